"""How long something usually takes, and how far from that it strays."""

from __future__ import annotations

from collections import deque

_NEWEST = 24  # times that are remembered
_SLACK = 0.002  # s beyond the median at most: what is now and then far longer must not count every time


class Habit:
    """Seconds that something took the newest times. ``known`` is False, and all others 0, until the first one."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_NEWEST)
        self.known = False
        self.usual = 0.0  # the median
        self.long = 0.0  # the upper quartile, unless that is far from usual
        self.short = 0.0  # likewise the lower one

    def took(self, seconds: float) -> None:
        """It has taken so long this time."""
        self._times.append(seconds)
        ordered = sorted(self._times)
        last = len(ordered) - 1
        self.known = True
        self.usual = ordered[last // 2]
        self.long = min(ordered[round(0.75 * last)], self.usual + _SLACK)
        self.short = max(ordered[round(0.25 * last)], self.usual - _SLACK)
