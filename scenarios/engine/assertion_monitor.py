"""Monitors of assertions (``scenarios/language/assertions.py``): updated at every tick, judged at the end."""

from collections.abc import Callable
from math import inf
from typing import Any

from scenarios.engine.snapshot import STANDING, Snapshot, gap
from scenarios.language.assertions import (
    Assertion,
    CompletesRoute,
    Keeps,
    LaneInvasions,
    Passes,
    SpeedLimit,
    Stands,
    StopsBefore,
    Travels,
)
from scenarios.language.conditions import EGO

IN_FRONT = (40.0, 6.0)  # m forward and to the side, within which an actor counts as being in front


class AssertionMonitor:
    """Monitors one assertion. ``value`` is the figure that it is judged by, in the unit of ``limit``."""

    def __init__(self, assertion: Assertion) -> None:
        self.kind = assertion.chosen()[0]
        spec = getattr(assertion, self.kind)
        self.of = spec if isinstance(spec, str) else getattr(spec, "of", EGO)
        self.limit: float | None = None
        self.value: float | None = None
        self._spec = spec
        self._passed = False
        self._since: float | None = None
        self._precondition_met = False
        self._watch: Callable[[Snapshot], None] = getattr(self, f"_{self.kind}")

    def watch(self, now: Snapshot) -> None:
        """Update to a tick."""
        self._watch(now)

    def result(self) -> dict[str, Any]:
        """Return the outcome, ready for JSON: assertion, actor, whether it passed, the figure and its limit."""
        return {
            "assertion": self.kind,
            "of": self.of,
            "passed": self._passed,
            "value": None if self.value is None else round(self.value, 3),
            "limit": self.limit,
        }

    def _no_collision(self, now: Snapshot) -> None:
        self.value = float(sum(self.of in (collision.of, collision.by) for collision in now.collisions))
        self.limit, self._passed = 0.0, self.value == 0.0

    def _max_speed(self, now: Snapshot) -> None:
        if (speed := self._speed(now)) is not None:
            self.value = max(speed, self.value or 0.0)
        self._passed = self.value is not None and self.value <= self._spec.value

    def _min_speed(self, now: Snapshot) -> None:
        if (speed := self._speed(now)) is not None:
            self.value = min(speed, inf if self.value is None else self.value)
        self._passed = self.value is not None and self.value >= self._spec.value

    def _reaches_speed(self, now: Snapshot) -> None:
        if (speed := self._speed(now)) is not None:
            self.value = max(speed, self.value or 0.0)
        self._passed = self.value is not None and self.value >= self._spec.value

    def _speed(self, now: Snapshot) -> float | None:
        spec: SpeedLimit = self._spec
        self.limit = spec.value
        return now.states[self.of].speed if spec.since <= now.time <= spec.until else None

    def _travels(self, now: Snapshot) -> None:
        spec: Travels = self._spec
        self.value = now.states[self.of].travelled
        self.limit = spec.least if self.value < spec.least or spec.most >= 10_000.0 else spec.most
        self._passed = spec.least <= self.value <= spec.most

    def _keeps_distance(self, now: Snapshot) -> None:
        spec: Keeps = self._spec
        self.limit = spec.least
        self.value = min(gap(now.states[self.of], now.states[spec.to]), inf if self.value is None else self.value)
        self._passed = self.value >= spec.least

    def _stops_before(self, now: Snapshot) -> None:
        spec: StopsBefore = self._spec
        me, other = now.states[self.of], now.states[spec.to]
        self.limit = spec.least
        self.value = min(gap(me, other), inf if self.value is None else self.value)
        forward, aside = me.ahead(other)
        is_in_front = 0.0 < forward < IN_FRONT[0] and abs(aside) < IN_FRONT[1]
        self._precondition_met |= me.speed < STANDING and is_in_front and now.time > 1.0
        self._passed = self._precondition_met and self.value >= spec.least

    def _stands(self, now: Snapshot) -> None:
        spec: Stands = self._spec
        if now.states[self.of].speed >= STANDING:
            self._since = None
        elif self._since is None:
            self._since = now.time
        self.limit = spec.least
        self.value = max(self.value or 0.0, 0.0 if self._since is None else now.time - self._since)
        self._passed = self.value >= spec.least

    def _passes(self, now: Snapshot) -> None:
        spec: Passes = self._spec
        self.value = now.states[spec.other].ahead(now.states[self.of])[0]
        self._precondition_met |= self.value < 0.0  # it was behind
        self.limit, self._passed = 0.0, self._precondition_met and self.value > 0.0

    def _lane_invasions(self, now: Snapshot) -> None:
        spec: LaneInvasions = self._spec
        self.value, self.limit = float(len(now.invasions)), float(spec.most)
        self._passed = self.value <= self.limit

    def _completes_route(self, now: Snapshot) -> None:
        spec: CompletesRoute = self._spec
        self.limit = spec.least
        if now.route is not None:
            self.value = now.route[0] / max(now.route[1], 1.0)
        self._passed = self.value is not None and self.value >= spec.least
