"""A running estimate of the duration of a repeated operation."""

from collections import deque

_WINDOW = 24  # most recent durations that are used
_MAX_DEVIATION = 0.002  # s from the median, so that rare outliers do not widen every estimate


class DurationEstimator:
    """Quartiles of the most recent durations, in seconds; 0, and ``known`` is False, before the first one.

    ``p75`` and ``p25`` are clamped to ``_MAX_DEVIATION`` around the ``median``.
    """

    def __init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=_WINDOW)
        self.known = False
        self.median = 0.0
        self.p75 = 0.0
        self.p25 = 0.0

    def add(self, seconds: float) -> None:
        """Add a measured duration."""
        self._durations.append(seconds)
        ordered = sorted(self._durations)
        last = len(ordered) - 1
        self.known = True
        self.median = ordered[last // 2]
        self.p75 = min(ordered[round(0.75 * last)], self.median + _MAX_DEVIATION)
        self.p25 = max(ordered[round(0.25 * last)], self.median - _MAX_DEVIATION)
