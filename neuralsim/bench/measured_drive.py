"""Run one measured drive in a process of its own: ``python -m neuralsim.bench.measured_drive JOB.json``.

The loop is the drive's own (``DriveSession``, ``Controls``, ``Meter``, and with a display its window); here keys are
pressed and stamps recorded. Each run has a fresh process, since the remains of an earlier run (compiled graphs,
threads, memory) would be measured as well.
"""

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
from neuralsim.bench.ledger import STAGES, Ledger
from neuralsim.bench.measurement import Job, MeasuredDrive
from neuralsim.bench.options import NO_DISPLAY
from neuralsim.drive.drive_loop import EXPECTED, DriveLoop, HeadlessDrive
from neuralsim.session.render_loop import RenderedFrame

_PRESS_INTERVAL = (0.06, 0.14)  # s between two changes of the control, at any phase of the loop
_NUDGE = 0.02  # change of the steering, which the autopilot overrides
_POLL = 0.045  # s that the loop waits for an image before it checks its controls


class WindowlessDrive(MeasuredDrive, DriveLoop):
    """The window's loop without a window: the latest image at once, or in lockstep every image."""

    def __init__(self, job: Job) -> None:
        DriveLoop.__init__(self, job.drive_options())
        self.prepare(job, self)

    def drive(self) -> None:
        """Send controls and take images until enough are measured."""
        session, random_ = self.session, random.Random(self._job.seed)
        control = Control(sequence=0, autopilot=True)
        due = 0.0
        session.start()
        while not self.done:
            now = time.monotonic()
            if self.trail.frames and now >= due:
                due = now + random_.uniform(*_PRESS_INTERVAL)
                control = replace(control, steer=_NUDGE - control.steer)
                self.trail.press()
            guide = session.guide_plane
            control = replace(control, rgb=guide == "rgb", rgb_half=guide == "rgb_half")
            self.controls.send(control, session.controls)
            rendered = session.take(max(min(due - time.monotonic(), _POLL), 0.0) if self.trail.frames else _POLL)
            if rendered is not None:
                self.shown(rendered)
            elif session.error is not None:
                raise session.error

    def shown(self, rendered: RenderedFrame) -> None:
        """Count a shown image, delayed where the display stage is to be delayed."""
        delay = self._job.faults.delay_ms
        if delay and delayed_stage(rendered.frame.sequence) == "display":
            pause(delay / 1e3)
        super().shown(rendered)
        self.count()


class RecordedDrive(MeasuredDrive, HeadlessDrive):
    """A drive without a window, which records, with the ledger of its frames."""

    def __init__(self, job: Job) -> None:
        HeadlessDrive.__init__(self, job.drive_options())
        self.prepare(job, self)
        self.ledger = Ledger()
        self.ledger.install(STAGES["renderer"])

    def shown(self, rendered: RenderedFrame) -> None:
        """Count a recorded image."""
        super().shown(rendered)
        self.count()


def _window_drive(job: Job) -> DriveLoop:
    from neuralsim.window.windowed_drive import WindowDrive  # isort: skip (before pygame: it prepares SDL)

    import pygame

    from neuralsim.bench.input_injector import InputInjector

    class MeasuredWindowDrive(MeasuredDrive, WindowDrive):
        no_display_hint = NO_DISPLAY
        keeps_settings = False  # measurements must not depend on a user's settings

        def __init__(self) -> None:
            WindowDrive.__init__(self, job.drive_options())
            # The injected key would turn the camera around each time.
            self.choose("reversing_view", False)
            self.prepare(job, self)
            self.injector = InputInjector(self.trail.press, _PRESS_INTERVAL, job.seed)
            for name in ("flip", "update"):
                wrap(pygame.display, name, self.flipped, after=True)

        def carry_out(self, command: str) -> None:
            """Let the injected key go out with the next control, although the autopilot chooses its gears itself."""
            if command == "reverse":
                self.inputs.requested = replace(self.inputs.requested, reverse=not self.inputs.requested.reverse)
            super().carry_out(command)

        def flipped(self, *_: object) -> None:
            """Record that the screen has changed: a new image, or the last one moved."""
            if self.trail.rows and not self.done:
                self.flips.append(time.monotonic())

        def shown(self, rendered: RenderedFrame) -> None:
            if not self.trail.frames:
                self.injector.start()
            super().shown(rendered)
            self.count()

    return MeasuredWindowDrive()


def _drive(job: Job) -> DriveLoop:
    if job.ledger is not None:
        return RecordedDrive(job)
    if job.cell.loop == "window":
        return _window_drive(job)
    if job.cell.loop == "browser":
        from neuralsim.bench.browser import ServedDrive

        return ServedDrive(job)
    return WindowlessDrive(job)


def measure(job: Job) -> dict[str, Any]:
    """Drive; return the measurements, ready for JSON. Raises one of the drive's ``EXPECTED``."""
    with delayed_renderer(job.faults):
        drive: Any = _drive(job)
        drive.run()
    trail, session = drive.trail, drive.session
    target_fps = session.fps if job.cell.loop != "lockstep" and not job.connect else None
    size = drive.size
    page = drive.page_report() if job.cell.loop == "browser" else None
    return {
        "model": session.model,
        "runtime": session.runtime,
        "frames": trail.table(),
        "resources": drive.taken,
        "ledger": drive.spent,
        "clock": trail.clock.report(),
        "drive": trail.report(
            runtime=session.runtime, model=session.model, size=size, target_fps=target_fps, memory_mb=drive._memory
        ),
        "wanted_fps": target_fps,
        "displayed_fps": page["shown_fps"] if page else _rate(drive.flips),
        "page": page,
    }


def _rate(times: list[float]) -> float | None:
    """Return the rate per second of times in seconds; None for fewer than two."""
    return round((len(times) - 1) / (times[-1] - times[0]), 2) if len(times) > 1 else None


def end_with_parent() -> None:
    """Interrupt this process once its parent has ended."""
    parent = parent_pid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(path: Path) -> int:
    """Run the job in ``path`` and write the result next to it; prints the number of frames done now and then."""
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
    end(main(Path(sys.argv[1])))  # the interpreter must not go away under a compiler that is still at work
