"""One measured drive, in a process of its own: ``python -m neuralsim.bench.measured_drive JOB.json``.

The loop is the drive's own (``DriveSession``, ``Controls``, ``Meter``, and with a display its window); here keys are
pressed and stamps written down. A fresh process per run, since what an earlier run left behind (compiled
graphs, threads, memory) would be measured as well.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.messages import Control
from bridge.process.lifetime import end, parent_pid
from neuralsim.bench.fault_injection import delayed_renderer, delayed_stage, pause, wrap
from neuralsim.bench.measurement import Job, MeasuredDrive
from neuralsim.bench.options import NO_DISPLAY
from neuralsim.drive.drive_loop import EXPECTED, DriveLoop
from neuralsim.session.painting_loop import PaintedFrame

_PRESS = (0.06, 0.14)  # seconds between two changes of the control: at any phase of the loop
_NUDGE = 0.02  # of the steering: a change like any other, which the autopilot does not heed
_LOOK = 0.045  # seconds the loop waits for a picture before it looks at its controls


class UnseenDrive(MeasuredDrive, DriveLoop):
    """The window's loop without a window: newest picture at once, or in lock-step every picture."""

    def __init__(self, job: Job) -> None:
        DriveLoop.__init__(self, job.drive_options())
        self.prepare(job, self)

    def drive(self) -> None:
        """Send controls, take pictures, until enough are measured."""
        session, random_ = self.session, random.Random(self._job.seed)
        wanted = Control(sequence=0, autopilot=True)
        due = 0.0
        session.start()
        while not self.done:
            now = time.monotonic()
            if self.trail.frames and now >= due:
                due = now + random_.uniform(*_PRESS)
                wanted = replace(wanted, steer=_NUDGE - wanted.steer)
                self.trail.press()
            self.controls.send(wanted, session.controls)
            picture = session.take(max(min(due - time.monotonic(), _LOOK), 0.0) if self.trail.frames else _LOOK)
            if picture is not None:
                self.shown(picture)
            elif session.error is not None:
                raise session.error

    def shown(self, picture: PaintedFrame) -> None:
        """With the recorder, if there was one."""
        delay = self._job.faults.delay_ms
        if delay and delayed_stage(picture.frame.sequence) == "display":
            pause(delay / 1e3)
        super().shown(picture)
        self.count()


def _window_drive(job: Job) -> DriveLoop:
    """The drive's window with injected key presses."""
    from neuralsim.window.windowed_drive import WindowDrive  # isort: skip (before pygame: it prepares SDL)

    import pygame

    from neuralsim.bench.input_injector import InputInjector

    class SeenDrive(MeasuredDrive, WindowDrive):
        way_out = NO_DISPLAY
        keeps_settings = False  # what is measured must not depend on whose machine it is

        def __init__(self) -> None:
            WindowDrive.__init__(self, job.drive_options())
            # The injected key would turn the camera round each time.
            self.settings = self.settings.model_copy(update={"reversing_view": False})
            self.prepare(job, self)
            self.injector = InputInjector(self.trail.press, _PRESS, job.seed)
            for name in ("flip", "update"):
                wrap(pygame.display, name, self.flipped, after=True)

        def act(self, command: str) -> None:
            """The injected key goes out with the next control, although the autopilot chooses its gears itself."""
            if command == "reverse":
                self.inputs.wanted = replace(self.inputs.wanted, reverse=not self.inputs.wanted.reverse)
            super().act(command)

        def flipped(self, *_: object) -> None:
            """Something new is on the screen: a picture, or the last one moved."""
            if self.trail.rows and not self.done:
                self.flips.append(time.monotonic())

        def shown(self, picture: PaintedFrame) -> None:
            if not self.trail.frames:
                self.injector.start()
            super().shown(picture)
            self.count()

    return SeenDrive()


def _drive(job: Job) -> DriveLoop:
    """The loop that the cell names."""
    if job.cell.loop == "window":
        return _window_drive(job)
    if job.cell.loop == "browser":
        from neuralsim.bench.browser import ServedDrive

        return ServedDrive(job)
    return UnseenDrive(job)


def measure(job: Job) -> dict[str, Any]:
    """Drive, and return what was seen, ready for JSON. Raises one of the drive's ``EXPECTED``."""
    with delayed_renderer(job.faults):
        drive: Any = _drive(job)
        drive.run()
    trail, session = drive.trail, drive.session
    wanted = session.fps if job.cell.loop != "lockstep" and not job.connect else None
    size = drive._size
    page = drive.found() if job.cell.loop == "browser" else None
    return {
        "model": session.model,
        "runtime": session.runtime,
        "frames": trail.table(),
        "resources": drive.taken,
        "clock": trail.clock.report(),
        "drive": trail.report(
            runtime=session.runtime, model=session.model, size=size, wanted_fps=wanted, memory_mb=drive._memory
        ),
        "wanted_fps": wanted,
        "displayed_fps": page["shown_fps"] if page else _rate(drive.flips),
        "page": page,
    }


def _rate(times: list[float]) -> float | None:
    """How often per second, of times in seconds; None where there was nothing to see."""
    return round((len(times) - 1) / (times[-1] - times[0]), 2) if len(times) > 1 else None


def end_with_parent() -> None:
    """Ctrl-C for this process when the one that started it has gone."""
    parent = parent_pid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(path: Path) -> int:
    """Run the job in ``path`` and put the result beside it; prints how many frames are done, now and then."""
    end_with_parent()
    job = Job.model_validate_json(path.read_bytes())
    try:
        result = measure(job)
    except EXPECTED as error:
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr, flush=True)
        return 1
    path.with_suffix(".result").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    end(main(Path(sys.argv[1])))  # a compiler that is still at work must not see the interpreter go away under it
