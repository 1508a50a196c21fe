"""Getting an autopilot's vehicle free: it backs off from what it has run into, and goes round."""

from __future__ import annotations

from bridge.carla_client.routing.autopilot import Pedals

_PUSHING = 0.15  # throttle from which a vehicle that stands is stuck
_STANDING = 0.3  # m/s
_PATIENCE = 2.5  # s of standing with throttle
_BACKING_TIME = 2.2  # s
_DETOUR_TIME = 1.8  # s of going round
_SPEED = 3.0  # m/s at most meanwhile
_FREE = 12.0  # s of driving after which the attempts are forgotten
ATTEMPTS = 4  # after these the vehicle should be put elsewhere


class Unstuck:
    """Takes over from an autopilot whose vehicle does not move. ``attempts``: those in a row, on alternating sides."""

    def __init__(self) -> None:
        self.attempts = 0
        self._stood = self._left = self._driven = 0.0  # s: of standing with throttle, of the manoeuvre, of driving

    def reset(self) -> None:
        """Forget everything, after a respawn."""
        self.__init__()  # type: ignore[misc]

    def drive(self, pedals: Pedals, speed: float, seconds: float) -> tuple[Pedals, bool]:
        """Return the pedals to apply for ``seconds``, and whether to reverse.

        Args:
            pedals: Those of the autopilot.
            speed: m/s along the vehicle.
            seconds: Length of this step.
        """
        if self._left > 0.0:
            self._left -= seconds
            side = 1.0 if self.attempts % 2 else -1.0
            push = 0.55 if abs(speed) < _SPEED else 0.0
            if self._left > _DETOUR_TIME:  # backwards, so that the nose turns to that side
                return Pedals(push, -0.8 * side, 0.0), True
            if speed < -_STANDING:
                return Pedals(0.0, 0.6 * side, 0.8), False
            return Pedals(push, 0.6 * side if self._left > 0.5 * _DETOUR_TIME else -0.3 * side, 0.0), False
        is_stuck = abs(speed) < _STANDING and pedals.throttle > _PUSHING
        self._stood = self._stood + seconds if is_stuck else 0.0
        self._driven = self._driven + seconds if abs(speed) > 1.0 else self._driven
        if self._driven > _FREE:
            self.attempts, self._driven = 0, 0.0
        if self._stood > _PATIENCE:
            self.attempts += 1
            self._stood, self._driven, self._left = 0.0, 0.0, _BACKING_TIME + _DETOUR_TIME
        return pedals, False
