"""The ratio of simulated to real time, as the driver sees it."""

from collections import deque

_SLOW = 0.95  # ratio from which on time runs as fast as it should
_WINDOW = 2.5  # s of real time that are averaged over
_SETTLING_TIME = 1.5  # s of real time after which there is a value


def speed_of_time(is_real_time: bool, ratio: float = 1.0) -> str:
    """Return what is chosen, real speed or slow motion, and the ``ratio`` where time runs slower."""
    name = "real speed" if is_real_time else "slow motion"
    return name if ratio >= _SLOW else f"{name}{', but only' if is_real_time else ','} {ratio:.1f}x"


class TimeRatio:
    """Simulated over real seconds in the last ``_WINDOW`` seconds; 1 until it is known."""

    def __init__(self) -> None:
        self._times: deque[tuple[float, float]] = deque()

    def add(self, simulated: float, real: float) -> None:
        """Take the times (s) of a frame when it is displayed. Simulated time that goes backwards starts again."""
        if self._times and simulated < self._times[-1][0]:
            self.restart()
        self._times.append((simulated, real))
        while real - self._times[1 if len(self._times) > 1 else 0][1] > _WINDOW:
            self._times.popleft()

    def restart(self) -> None:
        """Forget all: the simulation was paused or replaced."""
        self._times.clear()

    @property
    def value(self) -> float:
        """The ratio."""
        if not self._times:
            return 1.0
        (simulated, real), (now, here) = self._times[0], self._times[-1]
        return (now - simulated) / (here - real) if here - real > _SETTLING_TIME else 1.0
