"""The places that steps and conditions name, found on the map: routes, paths, how far it is to somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, hypot

import carla
from pydantic import BaseModel

from bridge.carla_client.autopilot import STEP
from scenarios.engine.loader import Loaded, ScenarioError
from scenarios.engine.road import Places, Progress, RoutePoint
from scenarios.engine.snapshot import State
from scenarios.language.conditions import At, Place, When
from scenarios.language.schema import Actor, Ego, Step

Key = tuple[str | int, ...]


class Guide:
    """Says where the steps of a scenario lead. Raises ``ScenarioError`` with the line for a place that is not there."""

    def __init__(self, town: carla.Map, places: Places, loaded: Loaded) -> None:
        self._town, self._places, self._scenario = town, places, loaded.scenario
        self._keys = {id(step): key for step, key in self._steps()}

    def check(self) -> None:
        """Find all places once, so that one that is not there is said now; fills in those of conditions."""
        for step, key in self._steps():
            if step.follow_route is not None:
                for n, place in enumerate(step.follow_route.via):
                    self._places.find(place, *key, "follow_route", "via", n)
            if step.follow_path is not None:
                self.path(step)
            if step.meet is not None:
                self._places.find(step.meet.at, *key, "meet", "at")
                self._places.find(step.meet.there, *key, "meet", "there")
            for name, when in (("when", step.when), ("armed_by", step.armed_by)):
                self._fill(when, *key, name)
        for k, end in enumerate(self._scenario.end):
            self._fill(end, "end", k)
        for k, light in enumerate(self._scenario.lights):
            self._fill(light.when, "lights", k, "when")

    def route(self, step: Step, state: State) -> list[RoutePoint]:
        """The way of a ``follow_route`` from where somebody is."""
        assert step.follow_route is not None
        start = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        return self._places.route(start, step.follow_route.via, *self._keys[id(step)], "follow_route", "via")

    def path(self, step: Step) -> tuple[list[tuple[float, float]], list[float]]:
        """The corners of a ``follow_path``, metres, and the seconds at which to be there (empty: they have none)."""
        assert step.follow_path is not None
        corners = []
        for n, mark in enumerate(step.follow_path.points):
            way = self._places.find(mark, *self._keys[id(step)], "follow_path", "points", n)
            at, right = way.transform.location, way.transform.get_right_vector()
            x, y = (at.x, at.y) if mark.x is None or mark.y is None else (mark.x, mark.y)
            corners.append((x + mark.across * right.x, y + mark.across * right.y))
        return corners, [mark.at for mark in step.follow_path.points if mark.at is not None]

    def points(self, corners: list[tuple[float, float]]) -> list[RoutePoint]:
        """Straight lines between corners, a point each ``STEP`` metres."""
        found: list[RoutePoint] = []
        for (x0, y0), (x1, y1) in pairwise(corners):
            count = max(ceil(hypot(x1 - x0, y1 - y0) / STEP), 1)
            for k in range(count):
                x, y = x0 + (x1 - x0) * k / count, y0 + (y1 - y0) * k / count
                found.append(RoutePoint(self._town.get_waypoint(carla.Location(x, y, 0.0)), x, y))
        x, y = corners[-1]
        return [*found, RoutePoint(self._town.get_waypoint(carla.Location(x, y, 0.0)), x, y)]

    def way_to(self, place: Place, state: State) -> Way:
        """How somebody comes to a place from where they are."""
        end = self._places.find(place)
        start = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        try:
            points = self._places.route(start, [place])
        except ScenarioError:
            points = []  # no lane leads there: somebody on foot, or beside the road
        return Way(end.transform.location.x, end.transform.location.y, Progress(points) if points else None)

    def lane_of(self, state: State, beside: int = 0) -> int:
        """The id of the lane where somebody is, or so many lanes to the left of it."""
        lane = int(self._town.get_waypoint(carla.Location(state.x, state.y, state.z)).lane_id)
        wanted = abs(lane) - beside  # counted from the middle of the road outwards; there is no lane 0
        return (1 if lane > 0 else -1) * (wanted if wanted > 0 else wanted - 1)

    def _fill(self, model: BaseModel | None, *key: str | int) -> None:
        """Places of the conditions below ``model``, in the world."""
        if isinstance(model, At) and model.place is not None:
            location = self._places.find(model.place, *key, "place").transform.location
            model.x, model.y = location.x, location.y
        elif isinstance(model, When):
            for name in model.model_fields_set:
                value = getattr(model, name)
                for k, one in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(one, BaseModel):
                        self._fill(one, *key, name, *([k] if isinstance(value, list) else []))

    def _steps(self) -> Iterator[tuple[Step, Key]]:
        everybody: list[tuple[Ego | Actor, Key]] = [(self._scenario.ego, ("ego",))]
        everybody += [(actor, ("actors", k)) for k, actor in enumerate(self._scenario.actors)]
        for actor, key in everybody:
            for kind, steps in (("do", actor.do), ("events", actor.events)):
                for n, step in enumerate(steps):
                    yield step, (*key, kind, n)


class Way:
    """The way to a place. ``progress`` is along lanes, None for as the crow flies."""

    def __init__(self, x: float, y: float, progress: Progress | None) -> None:
        self._x, self._y, self._progress = x, y, progress

    def left(self, state: State) -> float:
        """Metres that are left of it."""
        straight = hypot(self._x - state.x, self._y - state.y)
        if self._progress is None:
            return straight
        self._progress.update(state.x, state.y)
        return max(self._progress.length - self._progress.metres, straight)
