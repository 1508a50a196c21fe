"""Test the benchmark itself by fault injection.

Each stage is delayed by a known time in some frames, and exactly that time must be measured in that stage and in the
total, and nowhere else. A delay before the frame must not be measured at all: what it changes shows how precise this
machine can be, which may compute the more slowly after a pause the longer it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.size import Size
from neuralsim.bench.cells import Cell
from neuralsim.bench.fault_injection import BEFORE, EVERY, TURNS, FaultInjection, delayed_stage, is_unaffected
from neuralsim.bench.measurement import Job
from neuralsim.bench.report.latency_figures import LATENCY, columns, values
from neuralsim.bench.report.statistics import draw, interval, quantile
from neuralsim.session.metrics import STAGES
from neuralsim.session.options import TAGS

DELAY = 20.0  # ms
TOLERANCE = 1.0  # ms
_LEVEL = 0.999  # of the intervals: one of the ten that errs would fail a correct benchmark
_DRAWS = 4000
_FRAMES = 1920  # 40 of them delayed in each stage


def job(seed: int = 0, frames: int = _FRAMES) -> Job:
    """Return the drive for it: in lockstep and rendered without a network, since the measuring is under test."""
    cell = Cell(model=TAGS, size=Size(128, 64), loop="lockstep")
    return Job(cell=cell, frames=frames, warm_up=20, seed=seed, faults=FaultInjection(delay_ms=DELAY))


def evaluate(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the self-test's part of a report, from its ``runs``.

    {"injected_ms", "tolerance_ms", "honest", "before_ms",
    "stages": {stage: {"frames", "stage_ms", "total_ms", "ci", "others_ms"}}}.
    Each delayed frame is compared with the unaffected ones nearest before and after it, so that a street that becomes
    busier does not count: ``stage_ms`` and ``total_ms`` are medians of those differences, ``ci`` their
    intervals, ``others_ms`` is the largest change of another stage; ``before_ms`` is the change of the total by
    a delay before the frame. ``honest`` is None where the machine does not allow a result: it is too busy, which more
    runs may make up for, or a pause alone changes what it measures by as much as is found.
    """
    changes: dict[str, dict[str, list[float]]] = {turn: {name: [] for name in (*STAGES, LATENCY)} for turn in TURNS}
    for run in runs:
        sequence, quantities = columns(run)["sequence"].astype(int), values(run)
        for n in range(2, len(sequence) - EVERY + 1):
            stage = delayed_stage(int(sequence[n]))
            if stage is not None:
                for name, series in changes[stage].items():
                    series.append(_change(quantities[name], sequence, n))
    stages = {
        stage: _measured(stage, {name: np.array(seen) for name, seen in changes[stage].items()}) for stage in STAGES
    }
    before = _before(np.array(changes[BEFORE][LATENCY]))
    return {
        "injected_ms": DELAY,
        "tolerance_ms": TOLERANCE,
        "honest": _verdict(stages, max(*before, 0.0)),
        "before_ms": before[0],
        "stages": stages,
    }


def is_final(result: dict[str, Any]) -> bool:
    """Return whether more runs would not change what ``evaluate`` returned."""
    return result["honest"] is not None or result["before_ms"] > TOLERANCE


def _verdict(stages: dict[str, dict[str, Any]], slower: float) -> bool | None:
    """Return False where an interval excludes the injected delay; else None while one is wider than allowed.

    slower: By how much a pause alone may prolong a frame, ms.
    """
    seen = [(stage[key], *stage["ci"][key]) for stage in stages.values() for key in ("stage_ms", "total_ms")]
    if any(low > DELAY + TOLERANCE + slower or high < DELAY - TOLERANCE for _, low, high in seen):
        return False
    if any(high - low > 2.0 * TOLERANCE or low > DELAY + TOLERANCE for _, low, high in seen):
        return None
    return all(abs(middle - DELAY) <= TOLERANCE for middle, *_ in seen)


def _measured(stage: str, changes: dict[str, np.ndarray]) -> dict[str, Any]:
    middle = {name: round(float(np.median(seen)), 3) for name, seen in changes.items()}
    intervals = {
        key: [round(edge, 3) for edge in interval(quantile(50.0)(_drawn(changes[name])), _LEVEL)]
        for key, name in (("stage_ms", stage), ("total_ms", LATENCY))
    }
    return {
        "frames": int(changes[stage].size),
        "stage_ms": middle[stage],
        "total_ms": middle[LATENCY],
        "ci": intervals,
        "others_ms": max((middle[other] for other in STAGES if other != stage), key=abs),
    }


def _before(changes: np.ndarray) -> tuple[float, float]:
    """Return the median change of the total by a delay before the frame, and the upper limit of its interval, ms."""
    _, high = interval(quantile(50.0)(_drawn(changes)), _LEVEL)
    return round(float(np.median(changes)), 3), float(high)


def _drawn(changes: np.ndarray) -> np.ndarray:
    return draw([changes], np.random.default_rng(0), _DRAWS)


def _change(series: np.ndarray, sequence: np.ndarray, n: int) -> float:
    """Return how much frame ``n`` differs from the unaffected ones around it."""
    around = [k for k in (n - 2, n - 1, n + EVERY - 3, n + EVERY - 2) if is_unaffected(int(sequence[k]))]
    return float(series[n] - np.median(series[around]))
