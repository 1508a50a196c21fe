"""Notices that the driver is stuck, to offer a respawn."""

from bridge.messages import Ego

_SECONDS = 3.0  # s of throttle without moving
_AGAIN = 15.0  # s until it is offered again
_THROTTLE = 0.4  # pedal position
_STANDSTILL = 0.4  # m/s


class Stuck:
    """Whether the driver presses the throttle in vain."""

    def __init__(self) -> None:
        self._since: float | None = None  # s, simulated
        self._offered = -_AGAIN

    def update(self, ego: Ego, now: float) -> bool:
        """Take the state at ``now`` (simulated s); return True when a respawn should be offered."""
        in_vain = ego.throttle > _THROTTLE and abs(ego.speed) < _STANDSTILL and not (ego.hand_brake or ego.autopilot)
        if not in_vain or (self._since is not None and now < self._since):
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        if now - self._since < _SECONDS or 0.0 <= now - self._offered < _AGAIN:
            return False
        self._offered = now
        return True
