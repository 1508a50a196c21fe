"""One measured drive, in a process of its own: ``python -m neuralsim.bench.measure JOB.json``.

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
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.messages import STAMPS, Control, Frame
from bridge.process.lifetime import end, parent_pid
from bridge.process.messages import send
from bridge.process.options import Options
from neuralsim.base.resources import Resources
from neuralsim.session import metrics
from neuralsim.session.loop import EXPECTED, DriveLoop
from neuralsim.session.options import DriveOptions
from neuralsim.session.processes import Child, Processes, free_port
from neuralsim.session.session import DriveSession, PaintedFrame

from .fault_injection import FaultInjection, delayed_renderer, delayed_stage, pause, wrap
from .options import NO_DISPLAY, Cell

_PRESS = (0.06, 0.14)  # seconds between two changes of the control: at any phase of the loop
_NUDGE = 0.02  # of the steering: a change like any other, which the autopilot does not heed
_LOOK = 0.045  # seconds the loop waits for a picture before it looks at its controls


class Job(Options):
    """One run of one cell, as the parent writes it down."""

    cell: Cell
    frames: int  # to measure
    warm_up: int  # before them
    seed: int = 0
    town: str = "oldtown"
    fps: float | None = None
    carla: str | None = None
    connect: str | None = None
    keys: Path | None = None
    faults: FaultInjection = FaultInjection()

    def drive_options(self) -> DriveOptions:
        """The drive to be measured."""
        cell = self.cell
        return DriveOptions(
            carla=self.carla,
            connect=self.connect,
            keys=self.keys,
            model=cell.model,
            runtime=cell.runtime,
            size=cell.size,
            town=self.town,
            seed=self.seed,
            fps=self.fps,
            autopilot=True,
            headless=cell.loop == "lockstep",
            frames=self.warm_up + self.frames,
        )


class Trail(metrics.Meter):
    """The drive's meter, which also keeps every frame's stamps and how long every key press took to be seen."""

    def __init__(self, warm_up: int) -> None:
        super().__init__()
        self.rows: list[tuple[int, int, int, dict[str, int]]] = []  # sequence, simulator's frame, skipped, stamps
        self.photons: list[tuple[int, int]] = []  # ns: key pressed, first frame with it shown
        self._warm_up = warm_up
        self._pressed: deque[int] = deque()  # ns
        self._waiting: deque[tuple[int, int]] = deque()  # control that says so, pressed at ns

    def press(self) -> None:
        """Something changes now; the next control will say so."""
        self._pressed.append(time.monotonic_ns())

    def sent(self, sequence: int, stamp: int) -> None:
        super().sent(sequence, stamp)
        while self._pressed:
            self._waiting.append((sequence, self._pressed.popleft()))

    def shown(self, frame: Frame) -> None:
        super().shown(frame)
        measured = self.frames > self._warm_up
        if measured:
            self.rows.append((frame.sequence, frame.sim_frame, frame.skipped, dict(frame.stamps)))
        while self._waiting and self._waiting[0][0] <= frame.control_seq:
            pressed = self._waiting.popleft()[1]
            if measured:
                self.photons.append((pressed, frame.stamps["displayed"]))

    def table(self) -> dict[str, list[int]]:
        """Column by column: frame numbers, and stamps in us since the first of them all."""
        begin = min((min(stamps.values()) for *_, stamps in self.rows), default=0)
        columns: dict[str, list[int]] = {
            "sequence": [row[0] for row in self.rows],
            "sim_frame": [row[1] for row in self.rows],
            "skipped": [row[2] for row in self.rows],
        }
        for name in STAMPS:
            columns[name] = [round((row[3].get(name, begin) - begin) / 1000) for row in self.rows]
        columns["pressed"] = [round((pressed - begin) / 1000) for pressed, _ in self.photons]
        columns["seen"] = [round((seen - begin) / 1000) for _, seen in self.photons]
        return columns


class BenchProcesses(Processes):
    """The drive's processes on the wanted link, with more subscribers and the job's faults."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._frames = ""

    def start(self, name: str, module: str, *arguments: str, later: bool = False) -> Child:
        """As the drive starts them; the bridge with injected faults, if any."""
        if name == "bridge" and self._job.faults:
            faults = self._job.faults.to_json()
            return super().start(name, "neuralsim.bench.fault_injection", faults, module, *arguments, later=later)
        return super().start(name, module, *arguments, later=later)

    def endpoint(self) -> str:
        """Of the wanted kind."""
        tcp = self._job.cell.link.transport == "tcp"
        self._frames = f"tcp://127.0.0.1:{free_port()}" if tcp else super().endpoint()
        return self._frames

    def crowd(self) -> None:
        """Start the other subscribers."""
        cell = self._job.cell
        more = ["--lockstep"] if cell.loop == "lockstep" else []
        for n in range(cell.link.others):
            super().start(f"subscriber {n + 1}", "neuralsim.bench.passive_subscriber", self._frames, *more)


class Measured:
    """What all measured loops add to the drive's: a trail instead of a meter, a measurement of the processes."""

    trail: Trail
    session: DriveSession
    resources: Resources
    taken: dict[str, Any]
    flips: list[float]  # s, when the screen changed

    def prepare(self, job: Job, drive: DriveLoop) -> None:
        """Replace what only counts by what also remembers."""
        self.trail = Trail(job.warm_up)
        drive.meter = self.trail
        drive.controls = type(drive.controls)(self.trail, drive.options.keys)
        self.session.processes = BenchProcesses(job)
        self.resources, self.taken, self.flips = Resources(), {}, []
        self._job = job

    def count(self) -> None:
        """Another picture has been shown."""
        frames, warm_up = self.trail.frames, self._job.warm_up
        if frames == 1 and self._job.cell.link.others:
            processes = self.session.processes
            assert isinstance(processes, BenchProcesses)
            processes.crowd()
        if frames == max(warm_up, 1):
            children = self.session.processes.children
            self.resources.begin({"renderer": os.getpid(), **{child.name: child.pid for child in children}})
        if frames == warm_up + self._job.frames:
            self.taken = self.resources.end()
        if frames % 10 == 0:
            send("done", frames)


class UnseenDrive(Measured, DriveLoop):
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
    from neuralsim.window.interactive import WindowDrive  # isort: skip (before pygame: it prepares SDL)

    import pygame

    from .input_injector import InputInjector

    class SeenDrive(Measured, WindowDrive):
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
        from .browser import ServedDrive

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
