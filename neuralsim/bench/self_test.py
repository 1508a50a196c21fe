"""Test the benchmark itself by fault injection.

Each stage is delayed by a known time in some frames, and exactly that time must be measured in that stage and in the
total, and nowhere else. A delay before the frame must not be measured itself; what it changes all the same is the
machine's doing, which may be slower after a pause.
"""

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
_LEVEL = 0.999  # of the intervals: one of the eleven that errs would fail a correct benchmark
_COUNTED = 0.5 * DELAY  # ms that a delay before the frame adds, from which on it is counted itself
_DRAWS = 4000
_FRAMES = 1920  # 40 of them delayed in each stage


def job(seed: int = 0, frames: int = _FRAMES) -> Job:
    """Return the drive for it: in lockstep and rendered without a network, since the measuring is under test."""
    cell = Cell(model=TAGS, size=Size(128, 64), loop="lockstep")
    return Job(cell=cell, frames=frames, warm_up=20, seed=seed, faults=FaultInjection(delay_ms=DELAY))


def evaluate(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the self-test's part of a report, from its ``runs``.

    {"injected_ms", "tolerance_ms", "honest", "before_ms", "before_ci",
    "stages": {stage: {"frames", "stage_ms", "total_ms", "ci", "others_ms"}}}.
    Each delayed frame is compared with the unaffected ones nearest before and after it, so that a street that becomes
    busier does not count: ``stage_ms`` and ``total_ms`` are medians of those differences, ``ci`` their
    intervals, ``others_ms`` is the largest change of another stage; ``before_ms`` and ``before_ci`` are those of
    the total by a delay before the frame. ``honest`` is None where the machine does not allow a result: it is too busy,
    which more runs may make up for, or a pause alone prolongs a frame by as much as is found.
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
    before = np.array(changes[BEFORE][LATENCY])
    edges = _interval(before)
    return {
        "injected_ms": DELAY,
        "tolerance_ms": TOLERANCE,
        "honest": verdict(stages, edges),
        "before_ms": round(float(np.median(before)), 3),
        "before_ci": edges,
        "stages": stages,
    }


def is_final(result: dict[str, Any]) -> bool:
    """Return whether more runs would not change what ``evaluate`` returned."""
    return result["honest"] is not None or result["before_ci"][0] > TOLERANCE


def verdict(stages: dict[str, dict[str, Any]], before: Sequence[float]) -> bool | None:
    """Return False where an interval excludes the injected delay; else None while one is wider than allowed.

    Args:
        stages: As in what ``evaluate`` returns.
        before: The interval of what a delay before the frame changes, ms. Where it counts itself, the verdict is False;
            what it prolongs a frame by is no fault of the measuring.
    """
    seen = [(stage[key], *stage["ci"][key]) for stage in stages.values() for key in ("stage_ms", "total_ms")]
    most = DELAY + TOLERANCE + max(before[1], 0.0)
    if before[0] > _COUNTED or any(low > most or high < DELAY - TOLERANCE for _, low, high in seen):
        return False
    if any(high - low > 2.0 * TOLERANCE or DELAY + TOLERANCE < middle <= most for middle, low, high in seen):
        return None
    return all(abs(middle - DELAY) <= TOLERANCE for middle, *_ in seen)


def _measured(stage: str, changes: dict[str, np.ndarray]) -> dict[str, Any]:
    middle = {name: round(float(np.median(seen)), 3) for name, seen in changes.items()}
    intervals = {key: _interval(changes[name]) for key, name in (("stage_ms", stage), ("total_ms", LATENCY))}
    return {
        "frames": int(changes[stage].size),
        "stage_ms": middle[stage],
        "total_ms": middle[LATENCY],
        "ci": intervals,
        "others_ms": max((middle[other] for other in STAGES if other != stage), key=abs),
    }


def _interval(changes: np.ndarray) -> list[float]:
    drawn = draw([changes], np.random.default_rng(0), _DRAWS)
    return [round(edge, 3) for edge in interval(quantile(50.0)(drawn), _LEVEL)]


def _change(series: np.ndarray, sequence: np.ndarray, n: int) -> float:
    """Return how much frame ``n`` differs from the unaffected ones around it."""
    around = [k for k in (n - 2, n - 1, n + EVERY - 3, n + EVERY - 2) if is_unaffected(int(sequence[k]))]
    return float(series[n] - np.median(series[around]))
