"""``neuralsim replay`` and ``neuralsim drive --replay``."""

import tempfile
from pathlib import Path

from neuralsim.base.failure import fail
from neuralsim.drive.drive_loop import EXPECTED, DriveError
from neuralsim.recording.reading.random_access_reader import RecordingReader
from neuralsim.replay.drive_on import continue_from, model_to_drive
from neuralsim.replay.headless import render_video
from neuralsim.replay.options import ReplayOptions
from neuralsim.session.options import DriveOptions
from neuralsim.session.processes import ended_by_signals
from neuralsim.window.run import run as start_drive
from scenarios.engine.loader import ScenarioError

_EXPECTED: tuple[type[BaseException], ...] = (*EXPECTED, ScenarioError)


def run(options: ReplayOptions) -> int:
    """Replay a recording; return the exit code. Errors are one line on stderr."""
    try:
        with RecordingReader(options.file) as reader:
            if options.model is None and (options.dashcam or options.style is not None or options.remap is not None):
                options = options.model_copy(update={"model": model_to_drive(reader, None)})
            if options.headless:
                frames, missing = render_video(reader, options)
                print(f"{options.record}: {frames} frames")
                return fail(f"{reader.path}: {missing} damaged frames are left out") if missing else 0
            number, drive = _play(reader, options)
        return 0 if number is None else drive_on(options.file, number, drive)
    except _EXPECTED as error:
        return fail(error)


def drive_on(file: Path, number: int, options: DriveOptions) -> int:
    """Drive on from frame ``number`` of a recording; return the exit code."""
    try:
        with RecordingReader(file) as reader, tempfile.TemporaryDirectory(prefix="neuralsim-replay-") as folder:
            code = start_drive(continue_from(reader, number, Path(folder), options))
    except _EXPECTED as error:
        return fail(error)
    return code


def _play(reader: RecordingReader, options: ReplayOptions) -> tuple[int | None, DriveOptions]:
    """Open the window; return the frame to drive on from, if any, and the options of that drive."""
    from neuralsim.window.window import display_available

    if not display_available():
        raise DriveError("no display: set DISPLAY, use --headless --record FILE.mp4, or drive with `make serve`")
    from neuralsim.replay.player import Player

    stop: list[bool] = []
    with ended_by_signals(lambda: stop.append(True)):
        player = Player(reader, options)
        player.run(lambda: bool(stop))
    model = model_to_drive(reader, player.model)
    style = player.style if player.model == model else None
    drive = DriveOptions(
        model=model,
        runtime=options.runtime,
        style=style,
        remap=str(player.remap),
        dashcam=options.dashcam,
        recordings=options.screenshots,
    )
    return player.drive_from, drive


def play_or_drive_on(file: Path, number: int | None, options: DriveOptions) -> int:
    """Run ``drive --replay``: the player, or with a frame's ``number`` the drive at once."""
    if number is not None:
        return drive_on(file, number, options)
    return run(
        ReplayOptions(
            file=file,
            style=options.style,
            remap=options.remap,
            dashcam=options.dashcam,
            runtime=options.runtime,
            paint=options.size if options.show else None,
            screenshots=options.recordings,
        )
    )
