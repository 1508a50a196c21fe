"""Metrics of a drive: frame rate, latency by stage, input latency, and the bottleneck."""

import json
import os
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from bridge.link.clock import ClockOffset
from bridge.messages import STAMPS, Frame
from bridge.size import Size
from neuralsim.base.machine import host

#: Each stage with the two consecutive stamps that enclose it.
STAGES: dict[str, tuple[str, str]] = dict(
    zip(("simulate", "pack", "transport", "render", "display"), pairwise(STAMPS), strict=True)
)
#: Stages that keep a process busy. In `transport`, a frame mostly waits for the renderer.
_WORKING = ("simulate", "pack", "render", "display")
_CEILING = 0.97  # of the target rate; above it, the target itself is the limit


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Return {"p50", "p95", "p99"} of ``values`` (any unit), rounded to 0.01; zeros if there are none."""
    array = np.fromiter(values, np.float64)
    if array.size == 0:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    return {name: round(float(np.percentile(array, q)), 2) for name, q in (("p50", 50), ("p95", 95), ("p99", 99))}


class Meter:
    """Collects the stamps of every frame shown, in nanoseconds; reports in milliseconds.

    The clock runs from :meth:`start`, when everything is warmed up and the first frame is about to be rendered, and
    stops while the simulation is paused. The first frame counts, but its latency includes the start and is left out of
    the percentiles.
    """

    def __init__(self) -> None:
        self.frames = 0  # distinct neural frames shown
        self.dropped = 0  # frames this receiver skipped
        self.begun = self.last = 0  # ns: start of the clock (shifted by pauses), newest frame shown
        self._stages: dict[str, list[float]] = {stage: [] for stage in STAGES}  # ms
        self._latency: list[float] = []  # ms
        self._input_latency: list[float] = []  # ms
        self._sent: deque[tuple[int, int]] = deque(maxlen=4096)  # (sequence, ns) of controls that no frame contains yet
        self._recent: deque[int] = deque(maxlen=40)  # ns of the newest displays
        self.clock = ClockOffset()  # to the bridge's host
        self._warp_costs: list[float] = []  # ms to make each late-warped display
        self._upscaling: list[float] = []  # ms of `render` spent on upscaling
        self._displays: deque[int] = deque(maxlen=160)  # ns of the newest displays, late-warped ones included

    def start(self, now: int) -> None:
        """Start the clock at ``now`` (ns)."""
        self.begun = self.last = now

    def exclude_pause(self, duration: int) -> None:
        """Exclude ``duration`` (ns) since the previous frame, in which the simulation was paused."""
        self.begun += duration
        self._recent.clear()
        self._displays.clear()
        self._sent.clear()  # controls that waited for the pause to end say nothing about the loop

    def sent(self, sequence: int, stamp: int) -> None:
        """Record that a control with this sequence number was sent at ``stamp`` (ns)."""
        self._sent.append((sequence, stamp))
        self.clock.control_sent(sequence, stamp)

    def shown(self, frame: Frame) -> None:
        """Record that ``frame`` was displayed; the bridge's stamps are converted to this host's clock."""
        stamps = frame.stamps
        self.clock.frame_received(frame)
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
            self._input_latency.append((now - self._sent.popleft()[1]) / 1e6)

    def upscaled(self, seconds: float) -> None:
        """Record how many ``seconds`` of rendering the last frame were upscaling (0: none)."""
        if seconds > 0.0 and self.frames > 1:
            self._upscaling.append(seconds * 1e3)

    def warped(self, now: int, cost: int) -> None:
        """Record that the last frame was displayed again at ``now``, warped to the newest pose in ``cost`` ns."""
        self._displays.append(now)
        self._warp_costs.append(cost / 1e6)

    @property
    def seconds(self) -> float:
        """Time from the start of the clock to the newest frame, without pauses."""
        return (self.last - self.begun) / 1e9

    def rate(self) -> float:
        """Return neural frames per second over at most the last two seconds."""
        return _rate(self._recent, self.last)

    def displayed_rate(self) -> float:
        """Return displays per second, late-warped ones included, over at most the last two seconds."""
        return _rate(self._displays, self.last)

    def recent(self, count: int = 30) -> tuple[float, dict[str, float]]:
        """Return median capture-to-display latency and median of each stage over the newest ``count`` frames, ms."""
        return median(self._latency[-count:]), {stage: median(ms[-count:]) for stage, ms in self._stages.items()}

    def recent_tail(self, count: int = 200) -> tuple[float, float, float]:
        """Return p95 latency, median input latency and median late-warp cost over the newest ``count``, ms."""
        p95 = percentiles(self._latency[-count:])["p95"]
        return p95, median(self._input_latency[-count:]), median(self._warp_costs[-count:])

    def stages(self, count: int) -> list[tuple[float, ...]]:
        """Return the ms of each stage, in the order of ``STAGES``, of the newest ``count`` frames, oldest first."""
        return list(zip(*(values[-count:] for values in self._stages.values()), strict=False))

    def busy(self) -> dict[str, float]:
        """Return the share of time, 0 to 1, that each working stage was busy rather than waiting."""
        total = self.seconds * 1e3
        return {
            stage: round(min(sum(self._stages[stage]) / total, 1.0), 3) if total > 0.0 else 0.0 for stage in _WORKING
        }

    def bound_by(self, target_fps: float | None) -> str:
        """Return the stage that limits the rate, the busiest one; "pace" at the target rate, "" without frames.

        `simulate` and `pack` run one after the other in one process, so their shares are added.
        """
        if self.frames < 2 or self.seconds <= 0.0:
            return ""
        if target_fps and self.frames / self.seconds >= _CEILING * target_fps:
            return "pace"
        busy = self.busy()
        bridge = "simulate" if busy["simulate"] >= busy["pack"] else "pack"
        units = {bridge: busy["simulate"] + busy["pack"], "render": busy["render"], "display": busy["display"]}
        return max(units, key=lambda stage: units[stage])

    def report(
        self, *, runtime: str, model: str, size: Size, target_fps: float | None, memory_mb: float | None
    ) -> dict[str, object]:
        """Return everything, ready for JSON: counts, frames per second, milliseconds, megabytes.

        ``target_fps``: the tick rate that was set; None: as fast as possible. ``memory_mb``: the peak of all
        processes together.
        """
        seconds = self.seconds
        return {
            "frames": self.frames,
            "seconds": round(seconds, 3),
            "fps": round(self.frames / seconds, 2) if seconds > 0.0 else 0.0,
            "displayed_fps": round((self.frames + len(self._warp_costs)) / seconds, 2) if seconds > 0.0 else 0.0,
            "late_warp_ms": percentiles(self._warp_costs),
            "upscale_ms": percentiles(self._upscaling),
            "dropped": self.dropped,
            "latency_ms": percentiles(self._latency),
            "input_to_photon_ms": percentiles(self._input_latency),
            "stage_ms": {stage: percentiles(values) for stage, values in self._stages.items()},
            "bound_by": self.bound_by(target_fps),
            "busy": self.busy(),
            "memory_mb": memory_mb,
            "clock": self.clock.report(),
            "runtime": runtime,
            "model": model,
            "size": str(Size(*size)),
            "host": host(),
        }


def median(values: list[float]) -> float:
    """Return the median of ``values`` (the upper one of two), 0 if there are none."""
    return sorted(values)[len(values) // 2] if values else 0.0


def _rate(stamps: Iterable[int], last: int) -> float:
    """Return the rate per second of ``stamps`` (ns) within two seconds before ``last``."""
    recent = [stamp for stamp in stamps if last - stamp < 2_000_000_000]
    span = (recent[-1] - recent[0]) / 1e9 if len(recent) > 1 else 0.0
    return (len(recent) - 1) / span if span > 0.0 else 0.0


def write(path: str | os.PathLike[str], report: dict[str, object]) -> None:
    """Write ``report`` as JSON. Raises ``OSError``."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
