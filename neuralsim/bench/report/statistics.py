"""Compute percentiles with confidence intervals, and whether two sets of measurements differ by more than noise.

Consecutive frames resemble each other (the same street, the same load on the machine), so values are not drawn one by
one: the moving block bootstrap (Kuensch 1989) draws blocks of consecutive frames. Where there are several runs, runs
are drawn first and blocks within them second (Davison and Hinkley 1997, section 3.8), since two runs differ by more
than the frames within one do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

QUANTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
LEVEL = 0.95  # of the confidence intervals
_DRAWS = 1000

Runs = Sequence[np.ndarray]  # values of each run, f64 (N,), in their order in time
Statistic = Callable[[np.ndarray], np.ndarray]  # (draws, N) -> (draws,)


def quantile(q: float) -> Statistic:
    """Return a statistic: the percentile ``q``, 0 .. 100, of each row."""
    return lambda values: np.percentile(values, q, axis=-1)


def summary(runs: Runs, seed: int = 0) -> dict[str, object]:
    """Return percentiles over all runs, their intervals and the median of each run.

    {"n", "mean", "p50", "p95", "p99", "ci": {"p50": [low, high], ...}, "runs": [p50 of each run]}, in the values' unit,
    rounded to 0.001; zeros where there are no values.
    """
    filled = [run for run in runs if run.size]
    if not filled:
        nothing = dict.fromkeys(QUANTILES, 0.0)
        return {"n": 0, "mean": 0.0, **nothing, "ci": {name: [0.0, 0.0] for name in QUANTILES}, "runs": []}
    pooled = np.concatenate(filled)
    drawn = draw(filled, np.random.default_rng(seed))
    return {
        "n": int(pooled.size),
        "mean": _round(pooled.mean()),
        **{name: _round(np.percentile(pooled, q)) for name, q in QUANTILES.items()},
        "ci": {name: [_round(edge) for edge in interval(quantile(q)(drawn))] for name, q in QUANTILES.items()},
        "runs": [_round(np.median(run)) for run in filled],
    }


def draw(runs: Runs, random: np.random.Generator, draws: int = _DRAWS) -> np.ndarray:
    """Return bootstrap samples of all runs together: f64 (draws, N), N = the number of values."""
    total = sum(run.size for run in runs)
    parts: list[np.ndarray] = []
    shortest = min(run.size for run in runs)
    block = max(round(shortest ** (1 / 2)), 1)  # longer than the n^(1/3) of the theory, since scenes last seconds
    joined = np.concatenate(runs)
    begins = np.cumsum([0, *(run.size for run in runs[:-1])])
    sizes = np.array([run.size for run in runs])
    while sum(part.shape[1] for part in parts) < total:
        which = random.integers(len(runs), size=draws) if len(runs) > 1 else np.zeros(draws, np.intp)
        blocks = -(-shortest // block)
        room = sizes[which] - block + 1
        starts = begins[which][:, None] + (random.random((draws, blocks)) * room[:, None]).astype(np.intp)
        index = (starts[..., None] + np.arange(block)).reshape(draws, -1)[:, :shortest]
        parts.append(joined[index])
    return np.concatenate(parts, axis=1)[:, :total]


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval: the middle ``level`` of bootstrap values."""
    low, high = np.percentile(values, [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A change from old to new, in the values' unit."""

    old: float
    new: float
    change: float
    low: float  # of the interval around the change
    high: float
    floor: float  # spread between repeats of the same measurement
    paired: bool  # compared frame by frame

    @property
    def is_noise(self) -> bool:
        """Whether the change may be zero, or is no larger than that between repeats."""
        return self.low <= 0.0 <= self.high or abs(self.change) <= self.floor


def difference(old: Runs, new: Runs, statistic: Statistic, seed: int = 0) -> Difference:
    """Return how ``statistic`` changed between two independent sets of runs."""
    random = np.random.default_rng(seed)
    before, after = (float(statistic(np.concatenate(runs)[None])[0]) for runs in (old, new))
    low, high = interval(statistic(draw(new, random)) - statistic(draw(old, random)))
    return Difference(before, after, after - before, low, high, _floor(old, new, statistic), False)


def paired_difference(old: Runs, new: Runs, statistic: Statistic, seed: int = 0) -> Difference:
    """Return the difference where value k of run n is the same frame of the same drive in both: the scene cancels out.

    ``change`` is the median of the frames' changes, which is not the change of ``statistic`` itself.
    """
    changes = [b - a for a, b in zip(old, new, strict=True)]
    middle = quantile(50.0)
    before, after = (float(statistic(np.concatenate(runs)[None])[0]) for runs in (old, new))
    low, high = interval(middle(draw(changes, np.random.default_rng(seed))))
    change = float(np.median(np.concatenate(changes)))
    return Difference(before, after, change, low, high, _floor(old, new, statistic), True)


def _floor(old: Runs, new: Runs, statistic: Statistic) -> float:
    """Return the largest spread between repeats; with one run each, between the halves of a run."""
    floor = 0.0
    for runs in (old, new):
        parts = runs if len(runs) > 1 else np.array_split(runs[0], 2)
        values = [float(statistic(part[None])[0]) for part in parts if part.size]
        floor = max(floor, max(values) - min(values))
    return floor


def _round(value: float | np.floating) -> float:
    return round(float(value), 3)
