"""When to tick: so many times a second, and then when whoever drives can use the frame."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.link.durations import Habit
from bridge.link.transport import FramePublisher

_LONGEST = 0.01  # s between two looks at the controls


class Pace:
    """Keeps a loop at ``rate`` turns a second, as far as the interactive receivers of its frames keep up.

    A frame that comes while its receiver is busy grows old, and its making may cost that receiver the processor. So a
    turn that is due waits until the slowest is free (or about to be, if it allows work ahead), one period at most: then
    those who are not are forgotten until they are heard of again, so that a stopped one costs one period, once. A turn
    that was late makes the next one due earlier, which keeps simulated time at the pace of real time.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._due = time.monotonic()
        self._began = 0.0
        self._making = Habit()  # from the beginning of a turn to its frame's being sent

    def wait(self, frames: FramePublisher, stop: Callable[[], bool]) -> None:
        """Return when the next turn should begin, or as soon as ``stop()`` is true."""
        latest = max(self._due, self._began + self._period) + self._period
        frames.listen()
        while not stop():
            now = time.monotonic()
            left = max(self._due, min(frames.free_at(self._making.long), latest)) - now
            if left <= 0.0:
                break
            if left < 0.001:  # the socket counts in milliseconds
                time.sleep(left)
            frames.listen(min(left, _LONGEST))
        self._began = time.monotonic()
        self._due = max(self._due + self._period, self._began)
        if self._began >= latest:
            frames.give_up(self._making.long)
            self._due = self._began + self._period

    def made(self) -> None:
        """The turn's frame has just been sent."""
        self._making.took(time.monotonic() - self._began)
