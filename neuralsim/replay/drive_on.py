"""Drive on from a frame of a recording: its scenario is played again up to there, then the driver takes over the ego.

The same file with the same seed plays the same, tick for tick, so every actor is where it was. The first image is
checked for that.
"""

import tempfile
from pathlib import Path

from bridge.size import Size
from bridge.untrusted.names import path_inside
from neuralsim import zoo
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.replay.recording_renderer import recorded_remap
from neuralsim.session.options import TAGS, DriveOptions
from scenarios.engine.loader import ScenarioError, load


def continue_from(reader: RecordingReader, number: int, folder: Path, options: DriveOptions) -> DriveOptions:
    """Return ``options`` for a drive that continues from frame ``number``; the scenario is written into ``folder``.

    Raises RecordingError where the recording has no such frame or no scenario, ScenarioError where the scenario cannot
    be played any more.
    """
    if not 0 <= number < len(reader):
        raise RecordingError(f"{reader.path} has frames 0 to {len(reader) - 1}, not {number}")
    text = reader.about.get("scenario_yaml", "")
    if not text:
        raise RecordingError(f"{reader.path} holds no scenario to drive on in")
    path = path_inside(folder, f"{reader.about.get('scenario', 'scenario')}.yaml")
    path.write_text(text, encoding="utf-8")
    for name, content in reader.files.items():
        path_inside(folder, name).write_bytes(content)
    loaded = load(path)
    scenario, frame = loaded.scenario, frame_of(reader.read(number))
    x, y, z = map(float, frame.camera.pose[:3, 3])
    recorded = {
        "remap": str(recorded_remap(reader)) if options.remap is None else options.remap,
        "size": Size(frame.camera.width, frame.camera.height),
        "town": loaded.town,
        "seed": scenario.seed,
        "vehicles": scenario.traffic.vehicles,
        "walkers": scenario.traffic.walkers,
        "fps": scenario.fps,
        "scenario": path,
        "hand_over_at": number,
        "hand_over_place": (x, y, z),
    }
    return options.model_copy(update=recorded)


def obstacle(reader: RecordingReader, number: int) -> str:
    """Return why nobody can drive on from frame ``number``, in one line; "" if one can."""
    if not reader.about.get("scenario_yaml", ""):
        return "Cannot drive on: this is no scenario. neuralsim recording to-scenario makes one of it"
    try:
        with tempfile.TemporaryDirectory(prefix="neuralsim-replay-") as folder:
            continue_from(reader, number, Path(folder), DriveOptions())
    except (RecordingError, ScenarioError, OSError, ValueError) as error:
        return f"Cannot drive on: {str(error).rpartition('/')[2]}"
    return ""


def model_to_drive(reader: RecordingReader, shown: str | None) -> str:
    """Return the model that was shown, or the one that rendered the recording, or the default."""
    models = [*zoo.names(), TAGS]
    usable = [name for name in (shown, reader.about.get("model")) if name in models or (name and Path(name).is_dir())]
    return usable[0] or zoo.DEFAULT if usable else zoo.DEFAULT
