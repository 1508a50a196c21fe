"""Drive on from a frame of a recording: its town once more, its scenario played up to there, then the ego is yours.

The same file with the same seed plays the same, tick for tick, so everybody is where they were. Whether that is so is
checked with the first picture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bridge.untrusted.names import below
from neuralsim import zoo
from neuralsim.recording.reel import Reel, frame_of
from neuralsim.recording.writer import RecordingError
from neuralsim.session.options import TAGS, DriveOptions
from scenarios.engine.loader import load

from .repaint import recorded_remap


def onward(reel: Reel, number: int, folder: Path, options: DriveOptions) -> DriveOptions:
    """``options`` made those of a drive that goes on from frame ``number``. The scenario is written into ``folder``.

    Raises RecordingError where the recording has no such frame or no scenario, ScenarioError where it is not to be
    played any more.
    """
    if not 0 <= number < len(reel):
        raise RecordingError(f"{reel.path} has frames 0 to {len(reel) - 1}, not {number}")
    text = reel.about.get("scenario_yaml", "")
    if not text:
        raise RecordingError(f"{reel.path} holds no scenario to drive on in")
    path = below(folder, f"{reel.about.get('scenario', 'scenario')}.yaml")
    path.write_text(text, encoding="utf-8")
    for name, content in reel.files.items():
        below(folder, name).write_bytes(content)
    loaded = load(path)
    scenario, frame = loaded.scenario, frame_of(reel.read(number))
    remap = recorded_remap(reel) if options.remap is None else options.remap
    return replace(
        options,
        remap=remap,
        size=(frame.camera.width, frame.camera.height),
        town=loaded.town,
        seed=scenario.seed,
        vehicles=scenario.traffic.vehicles,
        walkers=scenario.traffic.walkers,
        fps=scenario.fps,
        scenario=path,
        hand_over_at=number,
        hand_over_pose=frame.camera.pose,
    )


def model_to_drive(reel: Reel, shown: str | None) -> str:
    """The model that was looked at, or the one that painted the recording, or the default."""
    models = [*zoo.names(), TAGS]
    known = [name for name in (shown, reel.about.get("model")) if name in models or (name and Path(name).is_dir())]
    return known[0] or zoo.DEFAULT if known else zoo.DEFAULT
