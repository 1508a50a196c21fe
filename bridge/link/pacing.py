"""Frame pacing: a fixed tick rate, and within it the moment when the renderer can use the frame."""

import time
from collections.abc import Callable

from bridge.link.durations import DurationEstimator
from bridge.link.transport import FramePublisher

_POLL_INTERVAL = 0.01  # s between two polls of the controls
_LONGEST = 0.2  # s that an iteration of variable length waits for the receivers
_MAX_LAG = 0.25  # s of simulated time that is made up for; a machine that is too slow for the ticks loses the rest


class FramePacer:
    """A pacer for a loop of ``rate`` iterations per second, or fewer if the interactive receivers cannot keep up.

    A frame that arrives while its receiver is busy becomes stale, and producing it may take CPU time from that
    receiver. So a due iteration waits until the slowest receiver is free (or about to be, if it allows work ahead), but
    at most for one period. A receiver that is still busy then is ignored until its next message, so that a stalled one
    delays one iteration only. A late iteration makes the next one due earlier.

    Set before each wait: ``steps_vary``, an iteration simulates the real time since the last one, so the receivers are
    waited for; ``keep_time``, otherwise, iterations follow real time even if receivers miss some of them. With neither,
    the simulation slows down to the receivers' rate.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._due = time.monotonic()
        self._began = 0.0
        self.keep_time = self.steps_vary = False
        self._production = DurationEstimator()  # from the start of an iteration until its frame was sent

    def wait(self, frames: FramePublisher, stop: Callable[[], bool]) -> None:
        """Return when the next iteration should begin, or as soon as ``stop()`` is true."""
        if self.steps_vary:
            latest = self._began + max(_LONGEST, 2.0 * self._period)
        elif self.keep_time:
            latest = self._due + self._period
        else:
            latest = max(self._due, self._began + self._period) + self._period
        frames.listen()
        while not stop():
            now = time.monotonic()
            remaining = max(self._due, min(frames.free_at(self._production.p75), latest)) - now
            if remaining <= 0.0:
                break
            if remaining < 0.001:  # the socket's resolution is a millisecond
                time.sleep(remaining)
            frames.listen(min(remaining, _POLL_INTERVAL))
        self._began = time.monotonic()
        if self.keep_time and not self.steps_vary:
            self._due = max(self._due + self._period, self._began - _MAX_LAG)
            return  # nothing is lost by an iteration that the receivers miss
        self._due = max(self._due + self._period, self._began)
        if self._began >= latest:
            frames.ignore_busy_receivers(self._production.p75)
            self._due = self._began + self._period

    def restart(self) -> None:
        """Forget how late the iterations are: the simulation was paused."""
        self._due = time.monotonic()

    def frame_sent(self) -> None:
        """Record that this iteration's frame has just been sent."""
        self._production.add(time.monotonic() - self._began)
