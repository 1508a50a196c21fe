"""Is the bench honest? Each stage is held up by a known time in some frames; the same time has to be seen there, and in
the whole, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuralsim.drive.options import TAGS
from neuralsim.drive.report import STAGES

from .altered import Alteration, held_up, is_untouched
from .measure import Job
from .options import Cell
from .results import LATENCY, columns, values
from .statistics import draw, interval, quantile

DELAY = 20.0  # ms
TOLERANCE = 1.0  # ms
_FRAMES = 800  # 40 of them held up in each stage


def job(size: tuple[int, int] = (128, 64), seed: int = 0, frames: int = _FRAMES) -> Job:
    """The drive for it: in lock-step and painted without a network, since it is the measuring that is tried."""
    cell = Cell(model=TAGS, size=size, loop="lockstep")
    return Job(cell, frames=frames, warm_up=20, seed=seed, alteration=Alteration(delay_ms=DELAY))


def evaluate(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """{"injected_ms", "tolerance_ms", "honest", "stages": {stage: {"frames", "stage_ms", "total_ms", "ci",
    "others_ms"}}}

    Each frame that was held up is compared with the untouched ones right before and after it, so that a street that
    becomes busier does not count: ``stage_ms`` and ``total_ms`` are medians of those differences, ``ci`` their
    intervals, ``others_ms`` is the largest change of another stage.
    """
    changes: dict[str, dict[str, list[float]]] = {stage: {name: [] for name in (*STAGES, LATENCY)} for stage in STAGES}
    for run in runs:
        sequence, found = columns(run)["sequence"].astype(int), values(run)
        for n in range(2, len(sequence) - 3):
            stage = held_up(int(sequence[n]))
            if stage is not None:
                for name, into in changes[stage].items():
                    into.append(_change(found[name], sequence, n))
    stages = {
        stage: _judged(stage, {name: np.array(seen) for name, seen in changes[stage].items()}) for stage in STAGES
    }
    near = all(abs(seen[key] - DELAY) <= TOLERANCE for seen in stages.values() for key in ("stage_ms", "total_ms"))
    return {"injected_ms": DELAY, "tolerance_ms": TOLERANCE, "honest": near, "stages": stages}


def is_precise(found: dict[str, Any]) -> bool:
    """Whether every interval is narrower than the tolerance: more runs would say the same."""
    return all(high - low <= TOLERANCE for seen in found["stages"].values() for low, high in seen["ci"].values())


def _judged(stage: str, changes: dict[str, np.ndarray]) -> dict[str, Any]:
    middle = {name: round(float(np.median(seen)), 3) for name, seen in changes.items()}
    intervals = {
        key: [round(edge, 3) for edge in interval(quantile(50.0)(draw([changes[name]], np.random.default_rng(0))))]
        for key, name in (("stage_ms", stage), ("total_ms", LATENCY))
    }
    return {
        "frames": int(changes[stage].size),
        "stage_ms": middle[stage],
        "total_ms": middle[LATENCY],
        "ci": intervals,
        "others_ms": max((middle[other] for other in STAGES if other != stage), key=abs),
    }


def _change(series: np.ndarray, sequence: np.ndarray, n: int) -> float:
    """How much frame ``n`` differs from the untouched ones around it."""
    around = [k for k in (n - 2, n - 1, n + 2, n + 3) if is_untouched(int(sequence[k]))]
    return float(series[n] - np.median(series[around]))
