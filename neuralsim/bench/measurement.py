"""Measure a drive: its job, every frame's time stamps, every key press, and the resources of its processes."""

import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from bridge.messages import STAMPS, Frame
from bridge.process.json_lines import send
from bridge.process.options import Options
from neuralsim.base.resources import Resources
from neuralsim.bench.cells import Cell
from neuralsim.bench.fault_injection import FaultInjection
from neuralsim.bench.ledger import Account, Ledger, ask
from neuralsim.drive.drive_loop import DriveLoop
from neuralsim.session import metrics
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import DriveOptions
from neuralsim.session.processes import Child, Processes, free_port


class Job(Options):
    """One run of one cell, as the parent process writes it for the child."""

    cell: Cell
    frames: int  # to measure
    warm_up: int  # frames before them
    seed: int = 0
    town: str = "oldtown"
    fps: float | None = None
    carla: str | None = None
    connect: str | None = None
    keys: Path | None = None
    faults: FaultInjection = FaultInjection()
    ledger: Path | None = None  # keep the ledger of a frame, in a drive that records to this file

    def drive_options(self) -> DriveOptions:
        """Return the options of the drive to measure."""
        cell = self.cell
        return DriveOptions(
            carla=self.carla,
            connect=self.connect,
            keys=self.keys,
            model=cell.model,
            runtime=cell.runtime,
            size=cell.size,
            show=cell.show,
            guide=cell.guide,
            town=self.town,
            seed=self.seed,
            fps=self.fps,
            autopilot=True,
            headless=cell.loop == "lockstep",
            frames=self.warm_up + self.frames,
            record=self.ledger,
        )


class Trail(metrics.Meter):
    """The drive's meter, which also keeps every frame's stamps and every key press's latency."""

    def __init__(self, warm_up: int) -> None:
        super().__init__()
        self.rows: list[tuple[int, int, int, dict[str, int]]] = []  # sequence, simulator's frame, skipped, stamps
        self.input_latencies: list[tuple[int, int]] = []  # ns: key press, first frame with it shown
        self._warm_up = warm_up
        self._pressed: deque[int] = deque()  # ns
        self._waiting: deque[tuple[int, int]] = deque()  # control with the press, pressed at ns

    def press(self) -> None:
        """Record a key press, which the next control will contain."""
        self._pressed.append(time.monotonic_ns())

    def sent(self, sequence: int, stamp: int) -> None:
        super().sent(sequence, stamp)
        while self._pressed:
            self._waiting.append((sequence, self._pressed.popleft()))

    def shown(self, frame: Frame) -> None:
        super().shown(frame)
        is_measured = self.frames > self._warm_up
        if is_measured:
            self.rows.append((frame.sequence, frame.sim_frame, frame.skipped, dict(frame.stamps)))
        while self._waiting and self._waiting[0][0] <= frame.control_seq:
            pressed = self._waiting.popleft()[1]
            if is_measured:
                self.input_latencies.append((pressed, frame.stamps["displayed"]))

    def table(self) -> dict[str, list[int]]:
        """Return columns: frame numbers, and stamps in us since the first of all stamps."""
        begin = min((min(stamps.values()) for *_, stamps in self.rows), default=0)
        columns: dict[str, list[int]] = {
            "sequence": [row[0] for row in self.rows],
            "sim_frame": [row[1] for row in self.rows],
            "skipped": [row[2] for row in self.rows],
        }
        for name in STAMPS:
            columns[name] = [round((row[3].get(name, begin) - begin) / 1000) for row in self.rows]
        columns["pressed"] = [round((pressed - begin) / 1000) for pressed, _ in self.input_latencies]
        columns["seen"] = [round((seen - begin) / 1000) for _, seen in self.input_latencies]
        return columns


class BenchProcesses(Processes):
    """The drive's processes on the cell's link, with further subscribers and the job's faults."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._frames = ""

    def start(
        self, name: str, module: str, *arguments: str, deferred: bool = False, restartable: bool = False
    ) -> Child:
        """Start a process as the drive does; the bridge with injected faults, if any, and all with a ledger."""
        if self._job.ledger is not None:
            return super().start(name, "neuralsim.bench.ledger", name, module, *arguments, deferred=deferred)
        if name == "bridge" and self._job.faults:
            faults = self._job.faults.to_json()
            return super().start(name, "neuralsim.bench.fault_injection", faults, module, *arguments, deferred=deferred)
        return super().start(name, module, *arguments, deferred=deferred, restartable=restartable)

    def endpoint(self) -> str:
        """Return an endpoint of the cell's transport."""
        tcp = self._job.cell.link.transport == "tcp"
        self._frames = f"tcp://127.0.0.1:{free_port()}" if tcp else super().endpoint()
        return self._frames

    def start_subscribers(self) -> None:
        """Start the further subscribers."""
        cell = self._job.cell
        more = ["--lockstep"] if cell.loop == "lockstep" else []
        for n in range(cell.link.others):
            super().start(f"subscriber {n + 1}", "neuralsim.bench.passive_subscriber", self._frames, *more)


class MeasuredDrive:
    """A mixin that adds to a drive loop: a trail instead of a meter, and a measurement of its processes."""

    trail: Trail
    session: DriveSession
    resources: Resources
    taken: dict[str, Any]
    flips: list[float]  # s, when the screen changed
    ledger: Ledger | None = None  # of this process
    spent: dict[str, dict[str, list[float]]]  # by process and stage: a ``Row``, of a frame

    def prepare(self, job: Job, drive: DriveLoop) -> None:
        """Replace the loop's meter by the trail, and its processes by measured ones."""
        self.trail = Trail(job.warm_up)
        drive.meter = self.trail
        drive.controls = type(drive.controls)(self.trail, drive.options.keys)
        self.session.processes = BenchProcesses(job)
        self.resources, self.taken, self.flips, self.spent = Resources(), {}, [], {}
        self._before: dict[str, Account] = {}
        self._job = job

    def count(self) -> None:
        """Count another shown image."""
        frames, warm_up = self.trail.frames, self._job.warm_up
        if frames == 1 and self._job.cell.link.others:
            processes = self.session.processes
            assert isinstance(processes, BenchProcesses)
            processes.start_subscribers()
        if frames == max(warm_up, 1):
            children = self.session.processes.children
            self.resources.begin({"renderer": os.getpid(), **{child.name: child.pid for child in children}})
            self._before = self._accounts()
        if frames == warm_up + self._job.frames:
            for name, account in self._accounts().items():
                rows = account.since(self._before[name])
                self.spent[name] = {stage: [value / self._job.frames for value in row] for stage, row in rows.items()}
            self.taken = self.resources.end()
        if frames % 10 == 0:
            send("done", frames)

    def _accounts(self) -> dict[str, Account]:
        """Return what each process has spent so far, if there is a ledger. Raises ``LedgerError``."""
        if self.ledger is None:
            return {}
        children = {child.name: ask(child) for child in self.session.processes.children}
        return {**children, "renderer": self.ledger.account()}
