"""Autotuning: the runtimes are measured on this machine, for each model and size, and the fastest is remembered.

They are measured again on request (``neuralsim doctor --measure``), and on a machine that is idle now: once if it was
busy the first time, else when a week has passed.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from bridge.process.user_cache import cache_folder
from neuralsim.base import machine
from neuralsim.base.failure import reason
from neuralsim.runtimes import activation_ranges, cache, cuda_driver
from neuralsim.runtimes.candidates import candidates, installed
from neuralsim.runtimes.interface import ModelSession, NotCalibrated, RuntimeUnavailable
from neuralsim.runtimes.loading import load

_SECONDS = 0.4  # of measuring each candidate
_MIN_STEPS = 3  # before a candidate may be dropped
_HOPELESS = 1.6  # times slower than the best
_SPREAD = 0.25  # of a candidate's quartiles, over its median: if larger, something else was running
_VALID_FOR = 7 * 86400.0  # s
Step = Callable[[], object]

DISTRIBUTIONS = ("openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt-cu13", "torch")


@dataclass
class Measurement:
    """The measurement of one model and size on this machine."""

    runtime: str
    milliseconds: dict[str, float] = field(default_factory=dict)  # median per step, by session name
    measured: float = 0.0  # s since 1970
    busy: str = ""  # why the machine was not idle then, "" if it was
    tries: int = 1  # measurements in a row on a busy machine

    def is_due(self) -> bool:
        """Return whether to measure again: weekly at most, but a disturbed first measurement does not count.

        Never on a machine that is busy now.
        """
        old = not 0.0 <= _today() - self.measured < _VALID_FOR
        return (old or (bool(self.busy) and self.tries == 1)) and not disturbance()

    def __str__(self) -> str:
        ordered = sorted(self.milliseconds.items(), key=lambda item: item[1])
        (best, fastest), *others = ordered
        rest = f" ({', '.join(f'{name} {_rounded(value)} ms' for name, value in others)})" if others else ""
        busy = f"; the machine was busy ({self.busy})" if self.busy else ""
        return f"{best} is the fastest here: {_rounded(fastest)} ms{rest}{busy}"


def _rounded(milliseconds: float) -> str:
    """Return a duration with three digits and without an exponent."""
    return f"{float(f'{milliseconds:.3g}'):g}"


def _today() -> float:
    """Return s since 1970, by the calendar: weeks pass between two starts of a machine."""
    return datetime.now(timezone.utc).timestamp()


def disturbance(samples: Iterable[list[float]] = ()) -> str:
    """Return why measurements of now (``samples``: s of each candidate) are unreliable; "" if they are not.

    The smallest spread among the candidates counts: whatever disturbs a machine disturbs all of them.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > machine.cores() + 1.0:
        return f"load {load:.1f} on {machine.cores()} cores"
    spreads = []
    for times in samples:
        if len(times) > 2 * _MIN_STEPS:
            first, middle, third = statistics.quantiles(times, n=4)
            spreads.append((third - first) / middle)
    if spreads and min(spreads) > _SPREAD:
        return f"its times spread by {100.0 * min(spreads):.0f} %"
    return ""


def load_measurement(graph: Path, height: int, width: int, threads: int | None = None) -> Measurement | None:
    """Return the stored measurement of exactly this machine, model and size; None if it is missing or unreadable."""
    try:
        stored = json.loads(_path(graph, height, width, threads).read_text(encoding="utf-8"))
        milliseconds = {str(name): float(value) for name, value in stored["milliseconds"].items()}
        facts = float(stored["measured"]), str(stored["busy"]), int(stored["tries"])
        return Measurement(str(stored["runtime"]), milliseconds, *facts) if milliseconds else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def needs_measuring(graph: Path, height: int, width: int, threads: int | None = None) -> bool:
    """Return whether loading with "auto" will measure the runtimes, which nothing else should disturb."""
    known = load_measurement(graph, height, width, threads)
    return sum(not reason for reason in candidates(graph, height, width).values()) > 1 and (
        known is None or known.is_due()
    )


def delete_measurement(graph: Path, height: int, width: int, threads: int | None = None) -> None:
    """Delete the stored measurement, so that the next start measures. Raises ``OSError`` if the file cannot go."""
    _path(graph, height, width, threads).unlink(missing_ok=True)


def measure_fastest(
    usable: list[str],
    graph: Path,
    height: int,
    width: int,
    threads: int | None,
    example: dict[str, np.ndarray],
    failed: dict[str, str],
    before: Measurement | None = None,
) -> ModelSession:
    """Load the fastest of ``usable`` and remember which it is. Raises RuntimeUnavailable where none can be loaded.

    ``usable``: runtimes, "name" or "name:precision". ``example``: inputs without the state to measure with. ``failed``:
    receives the reasons of runtimes that cannot be loaded, one line each, by name. ``before``: the measurement
    remembered until now.
    """
    load_before = disturbance()
    sessions: dict[str, ModelSession] = {}
    with ThreadPoolExecutor(_loaders()) as pool:
        loading = {name: pool.submit(load, name, graph, height, width, threads) for name in usable}
    for name, future in loading.items():
        try:
            session = future.result()
            session.step(example)  # fills caches
            sessions[name] = session
        except Exception as error:  # each library has its own
            failed[name] = failure_of(name, error)
    if not sessions:
        raise RuntimeUnavailable("; ".join(failed.values()))
    samples = race({name: _stepper(session, example) for name, session in sessions.items()})
    times = {name: statistics.median(taken) for name, taken in samples.items()}
    best = min(times, key=lambda name: times[name])
    chosen = sessions[best]
    chosen.reset()
    busy = load_before or disturbance(samples.values())
    choice = Measurement(
        best,
        {sessions[name].name: round(1000.0 * value, 3) for name, value in times.items()},
        _today(),
        busy,
        1 + (before.tries if before is not None and before.busy else 0),
    )
    chosen.note = str(choice)
    path = _path(graph, height, width, threads)
    try:
        cache.write(path, json.dumps(asdict(choice), indent=2).encode() + b"\n")
        chosen.note += "; remembered"
    except OSError as error:
        chosen.note += f"; cannot be stored: {error.strerror or error}"
    return chosen


def failure_of(name: str, error: Exception) -> str:
    """Return why a runtime was passed over, in one line."""
    return str(error) if isinstance(error, RuntimeUnavailable) else f"{name}: {reason(error)[:120]}"


def _loaders() -> int:
    """Return how many candidates to load at a time.

    Compilers for the processor run in parallel, but while one runtime captures a CUDA graph no other may use the GPU.
    """
    try:
        cuda_driver.gpu()
    except cuda_driver.NoGpu:
        return min(machine.cores(), 4)
    return 1


def race(steps: dict[str, Step]) -> dict[str, list[float]]:
    """Time the steps in turns, s each time; one that is clearly slower after a few turns is dropped."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    running = set(steps)
    while running:
        for name in sorted(running):
            begun = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - begun)
        best = min(statistics.median(taken) for taken in times.values())
        for name in sorted(running):
            slow = len(times[name]) >= _MIN_STEPS and statistics.median(times[name]) > _HOPELESS * best
            if slow or sum(times[name]) > _SECONDS:
                running.discard(name)
    return times


def _stepper(session: ModelSession, example: dict[str, np.ndarray]) -> Step:
    return lambda: session.step(example)


def _path(graph: Path, height: int, width: int, threads: int | None) -> Path:
    """Return the file of the measurement, named after everything that it depends on."""
    try:
        ranges = activation_ranges.load_ranges(graph).key
    except NotCalibrated:
        ranges = ""
    facts: dict[str, object] = {
        "ranges": ranges,
        "model": cache.sha256(graph),
        "size": (height, width),
        "threads": threads,
        "processor": machine.cpu()[0],
        "cores": machine.cores(),
        "candidates": candidates(graph, height, width),
        "versions": {name: installed(name) for name in DISTRIBUTIONS},
    }
    try:
        gpu = cuda_driver.gpu()
        facts["gpu"] = (gpu.name, gpu.driver)
    except cuda_driver.NoGpu:
        pass
    return cache_folder() / "choices" / f"{cache.key(facts)}.json"
