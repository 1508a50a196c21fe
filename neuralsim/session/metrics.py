"""What a drive measured: rate, latency by stage, input to photon, what bounds it."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from bridge.link.clock import ClockOffset
from bridge.messages import STAMPS, Frame
from neuralsim.base.machine import host

#: Stage -> the two neighbouring stamps that enclose it.
STAGES: dict[str, tuple[str, str]] = dict(
    zip(("simulate", "pack", "transport", "render", "display"), pairwise(STAMPS), strict=True)
)
#: Stages that keep somebody busy; in `transport` a frame mostly waits for the renderer.
_WORKING = ("simulate", "pack", "render", "display")
_CEILING = 0.97  # of the wanted rate: above it nothing but the wish for that rate bounds


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """{"p50", "p95", "p99"} of ``values`` (any unit), rounded to 0.01; zeros where there are none."""
    array = np.fromiter(values, np.float64)
    if array.size == 0:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    return {name: round(float(np.percentile(array, q)), 2) for name, q in (("p50", 50), ("p95", 95), ("p99", 99))}


class Meter:
    """Collects the stamps of every frame shown, in nanoseconds; reports in milliseconds.

    The clock runs from :meth:`start` (everything is warm, the first frame is about to be painted) and not while the
    simulation is paused. The first frame counts, but its latency contains the start and is left out of the percentiles.
    """

    def __init__(self) -> None:
        self.frames = 0  # distinct neural frames shown
        self.dropped = 0  # frames this receiver skipped
        self.begun = self.last = 0  # ns, when the clock started (moved on by pauses), when the newest frame was shown
        self._stages: dict[str, list[float]] = {stage: [] for stage in STAGES}  # ms
        self._latency: list[float] = []  # ms
        self._photon: list[float] = []  # ms
        self._sent: deque[tuple[int, int]] = deque(maxlen=4096)  # (sequence, ns) of controls no frame contains yet
        self._recent: deque[int] = deque(maxlen=40)  # ns of the newest displays
        self.clock = ClockOffset()  # of the bridge's host
        self._moved: list[float] = []  # ms that each late-warped display took to make
        self._displays: deque[int] = deque(maxlen=160)  # ns of the newest displays of either kind

    def start(self, now: int) -> None:
        """Start the clock at ``now`` (ns)."""
        self.begun = self.last = now

    def rest(self, duration: int) -> None:
        """The simulation was paused for ``duration`` (ns) since the frame before: that time does not count."""
        self.begun += duration
        self._recent.clear()
        self._displays.clear()
        self._sent.clear()  # controls that had to wait for the pause to end say nothing about the loop

    def sent(self, sequence: int, stamp: int) -> None:
        """A control with this sequence number went out at ``stamp`` (ns)."""
        self._sent.append((sequence, stamp))
        self.clock.sent(sequence, stamp)

    def shown(self, frame: Frame) -> None:
        """``frame``, with all its stamps, has been displayed; the bridge's are put on this host's clock."""
        stamps = frame.stamps
        self.clock.heard(frame)
        self.clock.correct(stamps)
        now = self.last = stamps["displayed"]
        self._recent.append(now)
        self._displays.append(now)
        self.frames += 1
        if self.frames == 1:
            while self._sent and self._sent[0][0] <= frame.control_seq:
                self._sent.popleft()
            return
        self.dropped += frame.skipped
        for stage, (begin, end) in STAGES.items():
            if begin in stamps and end in stamps:
                self._stages[stage].append((stamps[end] - stamps[begin]) / 1e6)
        if "capture" in stamps:
            self._latency.append((now - stamps["capture"]) / 1e6)
        while self._sent and self._sent[0][0] <= frame.control_seq:
            self._photon.append((now - self._sent.popleft()[1]) / 1e6)

    def moved(self, now: int, cost: int) -> None:
        """The last picture was displayed once more at ``now``, moved to the newest pose; it took ``cost`` (ns)."""
        self._displays.append(now)
        self._moved.append(cost / 1e6)

    @property
    def seconds(self) -> float:
        """From the start of the clock to the newest frame, without pauses."""
        return (self.last - self.begun) / 1e9

    def rate(self) -> float:
        """Neural frames per second over the newest two seconds at most."""
        return _rate(self._recent, self.last)

    def displayed_rate(self) -> float:
        """Displays per second, late-warped ones among them, over the newest two seconds at most."""
        return _rate(self._displays, self.last)

    def recent(self, count: int = 30) -> tuple[float, dict[str, float]]:
        """Median capture-to-display latency and median of each stage over the newest ``count`` frames, ms."""
        return median(self._latency[-count:]), {stage: median(ms[-count:]) for stage, ms in self._stages.items()}

    def recent_tail(self, count: int = 200) -> tuple[float, float, float]:
        """p95 of the latency, median input to photon, median cost of a late warp, over the newest ones, ms."""
        p95 = percentiles(self._latency[-count:])["p95"]
        return p95, median(self._photon[-count:]), median(self._moved[-count:])

    def stages(self, count: int) -> list[tuple[float, ...]]:
        """Of the newest ``count`` frames, oldest first: ms of each stage in the order of ``STAGES``."""
        return list(zip(*(values[-count:] for values in self._stages.values()), strict=False))

    def busy(self) -> dict[str, float]:
        """Share of the whole time that each working stage was at work, 0 .. 1; the rest of it it waited."""
        whole = self.seconds * 1e3
        return {
            stage: round(min(sum(self._stages[stage]) / whole, 1.0), 3) if whole > 0.0 else 0.0 for stage in _WORKING
        }

    def bound_by(self, wanted_fps: float | None) -> str:
        """The stage that bounds the rate: the busiest; "pace" when the wanted rate is reached, "" with no frames.

        `simulate` and `pack` are one process that does one after the other, so their shares count together there.
        """
        if self.frames < 2 or self.seconds <= 0.0:
            return ""
        if wanted_fps and self.frames / self.seconds >= _CEILING * wanted_fps:
            return "pace"
        busy = self.busy()
        bridge = "simulate" if busy["simulate"] >= busy["pack"] else "pack"
        units = {bridge: busy["simulate"] + busy["pack"], "render": busy["render"], "display": busy["display"]}
        return max(units, key=lambda stage: units[stage])

    def report(
        self, *, runtime: str, model: str, size: tuple[int, int], wanted_fps: float | None, memory_mb: float | None
    ) -> dict[str, object]:
        """Everything, ready for JSON: counts, frames per second, milliseconds, megabytes."""
        seconds = self.seconds
        return {
            "frames": self.frames,
            "seconds": round(seconds, 3),
            "fps": round(self.frames / seconds, 2) if seconds > 0.0 else 0.0,
            "displayed_fps": round((self.frames + len(self._moved)) / seconds, 2) if seconds > 0.0 else 0.0,
            "late_warp_ms": percentiles(self._moved),
            "dropped": self.dropped,
            "latency_ms": percentiles(self._latency),
            "input_to_photon_ms": percentiles(self._photon),
            "stage_ms": {stage: percentiles(values) for stage, values in self._stages.items()},
            "bound_by": self.bound_by(wanted_fps),
            "busy": self.busy(),
            "memory_mb": memory_mb,
            "clock": self.clock.report(),
            "runtime": runtime,
            "model": model,
            "size": f"{size[0]}x{size[1]}",
            "host": host(),
        }


def median(values: list[float]) -> float:
    """The middle one of ``values``, 0 where there are none."""
    return sorted(values)[len(values) // 2] if values else 0.0


def _rate(stamps: Iterable[int], last: int) -> float:
    """Per second, of ``stamps`` (ns) within two seconds before ``last``."""
    recent = [stamp for stamp in stamps if last - stamp < 2_000_000_000]
    span = (recent[-1] - recent[0]) / 1e9 if len(recent) > 1 else 0.0
    return (len(recent) - 1) / span if span > 0.0 else 0.0


def write(path: str | os.PathLike[str], report: dict[str, object]) -> None:
    """Write ``report`` as JSON; an ``OSError`` says what is wrong with ``path``."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
