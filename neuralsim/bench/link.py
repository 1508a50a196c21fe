"""Measure the link alone: a publisher in this process, subscribers in processes of their own, and nothing else."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.link.frame_header import pack
from bridge.link.transport import FramePublisher
from bridge.messages import Camera, Ego, Frame, Lamp, MovingObject
from bridge.tags import COUNT
from neuralsim.bench.report.statistics import summary
from neuralsim.session.processes import Child, ProcessError, Processes, free_port

RATE = 30.0  # Hz, of a drive
_AHEAD = 1  # frames in flight in addition to the requested one, as in a recording
_START_TIMEOUT = 30.0  # s that subscribers may take to start
_SETTLING = 0.5  # s at the beginning of each measurement that do not count


@dataclass(frozen=True)
class Case:
    """One measurement.

    ``rate`` in Hz, the latest frame wins; 0: as fast as all subscribers receive, no frame is lost. ``stopped`` and
    ``killed`` of the ``receivers`` are halted (SIGSTOP) or killed after their first frame.
    """

    transport: str
    receivers: int
    rate: float
    stopped: int = 0
    killed: int = 0

    @property
    def name(self) -> str:
        pace = f"{self.rate:g} Hz" if self.rate else "flood"
        faults = [f"{n} {fault}" for n, fault in ((self.stopped, "stopped"), (self.killed, "killed")) if n]
        return ", ".join(
            [self.transport, f"{self.receivers} receivers" if self.receivers > 1 else "1 receiver", pace, *faults]
        )


CASES = (
    Case("ipc", 1, 0.0),
    Case("tcp", 1, 0.0),
    Case("ipc", 1, RATE),
    Case("tcp", 1, RATE),
    Case("ipc", 8, RATE),
    Case("ipc", 8, RATE, stopped=1, killed=1),
)


def full_frame(size: tuple[int, int] = (512, 256)) -> Frame:
    """Return a frame with all planes, 64 objects and 8 lamps: the most that a tick sends."""
    width, height = size
    random = np.random.default_rng(0)
    shape = height, width
    planes = {
        "tag": random.integers(0, COUNT, shape, np.uint8),
        "instance": random.integers(0, 500, shape, np.uint16),
        "depth": random.uniform(1.0, 1000.0, shape).astype(np.float32),
        "motion": random.normal(0.0, 3.0, (*shape, 2)).astype(np.float16),
        "rgb": random.integers(0, 256, (*shape, 3), np.uint8),
    }
    frame = Frame(0, 0, 0.0, Camera(width, height, 70.0, np.eye(4)), planes, Ego(speed=8.0, road_id=3, lane_id=-1))
    frame.objects = [MovingObject(n, 14, np.eye(4), (2.0, 1.0, 0.7)) for n in range(1, 65)]
    frame.lamps = [Lamp("traffic_light", "red", (1.0, 2.0, 3.0, 4.0), 20.0)] * 8
    frame.weather, frame.weather_name = {f"weather_{n}": float(n) for n in range(14)}, "ClearNoon"
    return frame


def measure_packing(frame: Frame, times: int = 300) -> dict[str, object]:
    """Return the time to make the message of a frame, header included, ms."""
    frame.stamps = {"capture": 1, "simulated": 2, "sent": 3}
    spent = np.empty(times)
    for n in range(times):
        begun = time.perf_counter()
        pack(frame)
        spent[n] = 1e3 * (time.perf_counter() - begun)
    return summary([spent])


def measure_link(
    case: Case, size: tuple[int, int] = (512, 256), seconds: float = 3.0, is_over: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Measure one case; return it ready for JSON. Raises ``ProcessError`` where a subscriber fails.

    {"case", "frames_per_second": published, "send_ms": time the publisher spends per frame, "delay_ms": sent to
    received at the living subscribers, "tick_ms": from one frame to the next at the publisher, "received": [frames of
    each], "published"}.
    """
    frame = full_frame(size)
    processes = Processes()
    folder = Path(tempfile.mkdtemp(prefix="neuralsim-bench-"))
    try:
        endpoint = processes.endpoint() if case.transport == "ipc" else f"tcp://127.0.0.1:{free_port()}"
        with FramePublisher(endpoint, lockstep=case.rate == 0.0) as publisher:
            outs = [folder / f"{n}.json" for n in range(case.receivers)]
            arguments = ["--lockstep", "--ahead", str(_AHEAD)] if case.rate == 0.0 else []
            watchers = [
                processes.start(
                    f"subscriber {n + 1}",
                    "neuralsim.bench.passive_subscriber",
                    publisher.endpoint,
                    "--out",
                    str(out),
                    *arguments,
                )
                for n, out in enumerate(outs)
            ]
            _await(watchers, publisher, frame, case, is_over)
            for watcher in watchers[: case.stopped]:
                os.kill(watcher.pid, signal.SIGSTOP)
            for watcher in watchers[case.stopped : case.stopped + case.killed]:
                watcher.process.kill()
            healthy = slice(case.stopped + case.killed, None)
            begun, spent, ticks = _publish(publisher, frame, case, seconds, is_over)
            for watcher in watchers[: case.stopped]:
                os.kill(watcher.pid, signal.SIGCONT)
            for watcher in watchers[healthy]:
                watcher.process.terminate()
            counts = [_counts_of(watcher, out) for watcher, out in zip(watchers[healthy], outs[healthy], strict=True)]
    finally:
        processes.stop()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    after = [np.array(each["came_ms"]) >= begun for each in counts]
    delays = [np.array(each["delay_ms"])[counted] for each, counted in zip(counts, after, strict=True)]
    return {
        "case": asdict(case) | {"name": case.name, "size": f"{size[0]}x{size[1]}"},
        "bytes": int(sum(plane.nbytes for plane in frame.planes.values())),
        "frames_per_second": round(1e3 / float(ticks.mean()), 1) if ticks.size else 0.0,
        "send_ms": summary([spent]),
        "tick_ms": summary([ticks]),
        "delay_ms": summary(delays),
        "received": [int(counted.sum()) for counted in after],
        "published": int(spent.size),
    }


def _counts_of(watcher: Child, out: Path) -> dict[str, Any]:
    """Return the counts of a subscriber that has been asked to end."""
    try:
        watcher.process.wait(_START_TIMEOUT)
        counts: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise ProcessError(f"{watcher.name} did not report its counts: {watcher.last_error_line()}") from None
    return counts


def _await(
    watchers: list[Child], publisher: FramePublisher, frame: Frame, case: Case, is_over: Callable[[], bool]
) -> None:
    """Publish until every subscriber has received."""
    until, waiting = time.monotonic() + _START_TIMEOUT, list(watchers)
    while waiting:
        if is_over():
            raise ProcessError("interrupted")
        for watcher in watchers:
            watcher.check()
        waiting = [watcher for watcher in waiting if "ready" not in (watcher.next_message() or {})]
        if time.monotonic() > until:
            raise ProcessError(
                f"{len(waiting)} of {case.receivers} subscribers received nothing in {_START_TIMEOUT:.0f} s"
            )
        if publisher.lockstep and not publisher.receivers:
            publisher.wait(lambda: publisher.receivers > 0 or is_over())
        publisher.wait(lambda: any(watcher.process.poll() is not None for watcher in watchers) or is_over())
        publisher.send(frame)
        frame.sequence += 1
        frame.sim_frame += 1
        time.sleep(0.01)


def _publish(
    publisher: FramePublisher, frame: Frame, case: Case, seconds: float, is_over: Callable[[], bool]
) -> tuple[float, np.ndarray, np.ndarray]:
    """Publish for ``seconds``; return start of counting (monotonic clock), times per send, times between sends, ms."""
    spent: list[float] = []
    sent: list[float] = []
    begun = time.monotonic() + _SETTLING
    due = time.monotonic()
    while (now := time.monotonic()) < begun + seconds and not is_over():
        if case.rate:
            due = max(due + 1.0 / case.rate, now)
            time.sleep(due - now)
        else:
            publisher.wait(is_over)
        before = time.perf_counter()
        publisher.send(frame)
        after = time.perf_counter()
        frame.sequence += 1
        frame.sim_frame += 1
        if time.monotonic() >= begun:
            spent.append(1e3 * (after - before))
            sent.append(1e3 * before)
    return 1e3 * begun, np.array(spent), np.diff(np.array(sent))
