"""Assertions: watched at every tick, judged in the end."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from scenarios.engine.snapshot import STANDING, Moment, gap
from scenarios.language.schema import (
    EGO,
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

IN_WAY = (40.0, 6.0)  # m forward and to the side: within, somebody counts as being in front


class Watcher:
    """Watches one assertion. ``value`` is the figure it is judged by, in the unit of ``limit``."""

    def __init__(self, assertion: Assertion) -> None:
        self.kind = assertion.chosen()[0]
        wanted = getattr(assertion, self.kind)
        self.of = wanted if isinstance(wanted, str) else getattr(wanted, "of", EGO)
        self.limit: float | None = None
        self.value: float | None = None
        self._wanted = wanted
        self._passed = False
        self._since: float | None = None
        self._met = False
        self._watch: Callable[[Moment], None] = getattr(self, f"_{self.kind}")

    def watch(self, now: Moment) -> None:
        """Take in a tick."""
        self._watch(now)

    def result(self) -> dict[str, Any]:
        """Ready for JSON: which assertion, of whom, passed or not, the figure and its limit."""
        return {
            "assertion": self.kind,
            "of": self.of,
            "passed": self._passed,
            "value": None if self.value is None else round(self.value, 3),
            "limit": self.limit,
        }

    def _no_collision(self, now: Moment) -> None:
        self.value = float(sum(self.of in (touch.of, touch.by) for touch in now.touches))
        self.limit, self._passed = 0.0, self.value == 0.0

    def _max_speed(self, now: Moment) -> None:
        if (speed := self._speed(now)) is not None:
            self.value = max(speed, self.value or 0.0)
        self._passed = self.value is not None and self.value <= self._wanted.value

    def _min_speed(self, now: Moment) -> None:
        if (speed := self._speed(now)) is not None:
            self.value = min(speed, inf if self.value is None else self.value)
        self._passed = self.value is not None and self.value >= self._wanted.value

    def _reaches_speed(self, now: Moment) -> None:
        if (speed := self._speed(now)) is not None:
            self.value = max(speed, self.value or 0.0)
        self._passed = self.value is not None and self.value >= self._wanted.value

    def _speed(self, now: Moment) -> float | None:
        wanted: SpeedLimit = self._wanted
        self.limit = wanted.value
        return now.states[self.of].speed if wanted.since <= now.time <= wanted.until else None

    def _travels(self, now: Moment) -> None:
        wanted: Travels = self._wanted
        self.value = now.states[self.of].travelled
        self.limit = wanted.least if self.value < wanted.least or wanted.most >= 10_000.0 else wanted.most
        self._passed = wanted.least <= self.value <= wanted.most

    def _keeps_distance(self, now: Moment) -> None:
        wanted: Keeps = self._wanted
        self.limit = wanted.least
        self.value = min(gap(now.states[self.of], now.states[wanted.to]), inf if self.value is None else self.value)
        self._passed = self.value >= wanted.least

    def _stops_before(self, now: Moment) -> None:
        wanted: StopsBefore = self._wanted
        me, other = now.states[self.of], now.states[wanted.to]
        self.limit = wanted.least
        self.value = min(gap(me, other), inf if self.value is None else self.value)
        forward, aside = me.ahead(other)
        self._met |= me.speed < STANDING and 0.0 < forward < IN_WAY[0] and abs(aside) < IN_WAY[1] and now.time > 1.0
        self._passed = self._met and self.value >= wanted.least

    def _stands(self, now: Moment) -> None:
        wanted: Stands = self._wanted
        if now.states[self.of].speed >= STANDING:
            self._since = None
        elif self._since is None:
            self._since = now.time
        self.limit = wanted.least
        self.value = max(self.value or 0.0, 0.0 if self._since is None else now.time - self._since)
        self._passed = self.value >= wanted.least

    def _passes(self, now: Moment) -> None:
        wanted: Passes = self._wanted
        self.value = now.states[wanted.other].ahead(now.states[self.of])[0]
        self._met |= self.value < 0.0  # it was behind
        self.limit, self._passed = 0.0, self._met and self.value > 0.0

    def _lane_invasions(self, now: Moment) -> None:
        wanted: LaneInvasions = self._wanted
        self.value, self.limit = float(len(now.invasions)), float(wanted.most)
        self._passed = self.value <= self.limit

    def _completes_route(self, now: Moment) -> None:
        wanted: CompletesRoute = self._wanted
        self.limit = wanted.least
        if now.route is not None:
            self.value = now.route[0] / max(now.route[1], 1.0)
        self._passed = self.value is not None and self.value >= wanted.least
