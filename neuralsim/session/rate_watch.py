"""Whether a drive holds the rate that ``--size auto`` has promised, and the size that it goes on with if it does not.

The size was measured on a machine that had nothing else to do. Where the rate is missed for ten seconds, the next
smaller size takes its place, and a larger one again once there is time for it.
"""

from __future__ import annotations

from collections import deque

from bridge.size import Size
from neuralsim.session.size_choice import PERIOD, SIZES, SMALLER

_SPAN = 10.0  # s over which the rate is averaged
_TOLERANCE = 0.9  # of the promised rate
_RESERVE = 0.9  # of a frame's time that a larger size may need, as far as the smaller one tells
_FIRST_WAIT = 30.0  # s at a smaller size before a larger one is tried
_WAIT_LIMIT = 600.0  # s, after many tries in vain, each of which doubles the wait


class RateWatch:
    """Watches the rate of frames of ``size``, at first the ``chosen`` one, never more; ``rate``: of the ticks, Hz."""

    def __init__(self, chosen: Size, rate: float) -> None:
        smaller = (size for size in (*SMALLER, *SIZES) if size.pixels < chosen.pixels)
        self._sizes = [*sorted(smaller, key=lambda size: size.pixels), chosen]
        self._promised = min(1.0 / PERIOD, rate)
        self.size = chosen
        self.line = ""  # why the size is another one now
        self._times: deque[float] = deque()  # s, of the frames displayed
        self._changed = 0.0  # s
        self._wait, self._has_risen = _FIRST_WAIT, False

    @property
    def is_chosen(self) -> bool:
        """Whether ``size`` is the chosen one."""
        return self.size == self._sizes[-1]

    def restart(self) -> None:
        """Forget the frames so far: the simulation was paused, or frames do not have ``size`` yet."""
        self._times.clear()

    def add(self, now: float, seconds: float) -> bool:
        """Take the time (s) at which a frame was displayed, and the ``seconds`` that such frames take at the moment.

        Returns whether ``size`` has changed.
        """
        times = self._times
        times.append(now)
        while now - times[1 if len(times) > 1 else 0] >= _SPAN:
            times.popleft()
        if now - times[0] < _SPAN:
            return False
        held, index = (len(times) - 1) / (now - times[0]), self._sizes.index(self.size)
        if held < _TOLERANCE * self._promised:
            if index == 0:
                return False
            self._wait = min(2.0 * self._wait, _WAIT_LIMIT) if self._has_risen else self._wait
            self._change(index - 1, now)
            self.line = f"{self._sizes[index]} held {held:.0f} of {self._promised:.0f} frames a second: now {self.size}"
            return True
        if self.is_chosen or now - self._changed < self._wait:
            return False
        if seconds * self._sizes[index + 1].pixels / self.size.pixels > _RESERVE / self._promised:
            return False
        self._change(index + 1, now)
        self.line = f"{self._promised:.0f} frames a second are held: {self.size} again"
        return True

    def _change(self, index: int, now: float) -> None:
        self._has_risen = index > self._sizes.index(self.size)
        self.size, self._changed = self._sizes[index], now
        self.restart()
