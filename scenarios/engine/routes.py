"""Resolution of the places in steps and conditions on the map: routes, paths, remaining distances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, cos, hypot, sin

import numpy as np
from pydantic import BaseModel

from bridge.carla_client.routing.lane_path import STEP
from bridge.carla_client.routing.route_planner import RoutePoint
from bridge.carla_library import carla
from scenarios.engine.lights import Signals
from scenarios.engine.loader import LoadedScenario, ScenarioError
from scenarios.engine.road import PlaceFinder, RouteProgress, along
from scenarios.engine.snapshot import ActorState, Snapshot
from scenarios.language.conditions import At, Place, SignalShows, Spawn, When
from scenarios.language.schema import ActorSpec, EgoSpec, Step

Key = tuple[str | int, ...]
CURVE_POINTS = 12  # points of a curve per control point


class RouteResolver:
    """Resolves the places in a scenario's steps. Raises ``ScenarioError`` with the line of a missing place."""

    def __init__(self, town: carla.Map, places: PlaceFinder, signals: Signals, loaded: LoadedScenario) -> None:
        self.signals = signals
        self._town, self._places, self._loaded, self._scenario = town, places, loaded, loaded.scenario
        self._keys = {id(step): key for step, key in self._steps()}

    def check(self) -> None:
        """Resolve all places once, to report missing ones early, and fill in the coordinates of those in conditions."""
        for step, key in self._steps():
            if step.follow_route is not None:
                for n, place in enumerate(step.follow_route.via):
                    self._check_place(place, *key, "follow_route", "via", n)
            if step.follow_path is not None:
                for n, mark in enumerate(step.follow_path.points):
                    if step.follow_path.frame is None:
                        self._check_place(mark, *key, "follow_path", "points", n)
            if step.meet is not None:
                self._check_place(step.meet.at, *key, "meet", "at")
                self._check_place(step.meet.there, *key, "meet", "there")
            if step.teleport is not None:
                self._check_place(step.teleport, *key, "teleport")
            if step.set_light is not None:
                self._check_signal(step.set_light.signal, *key, "set_light", "signal")
            for name, when in (("when", step.when), ("armed_by", step.armed_by)):
                self._fill(when, *key, name)
        for k, end in enumerate(self._scenario.end):
            self._fill(end, "end", k)
        for k, light in enumerate(self._scenario.lights):
            self._fill(light.when, "lights", k, "when")
            if light.signal is not None:
                self._check_signal(light.signal, "lights", k, "signal")
        for k, change in enumerate(self._scenario.changes):
            self._fill(change.when, "changes", k, "when")

    def _check_place(self, place: Place, *key: str | int) -> None:
        """Check that a place exists, unless it is not known yet."""
        if not self._places.is_pending(place):
            self._places.find(place, *key)

    def _check_signal(self, signal: str, *key: str | int) -> None:
        if signal not in self.signals:
            raise self._loaded.error(f"this map has no signal {signal!r}", *key)

    def pose(self, place: Spawn, *key: str | int) -> carla.Transform:
        """Return the pose of an actor that begins at a place, on the road there."""
        way = self._places.find(place, *key)
        pose, right = way.transform, way.transform.get_right_vector()
        if place.x is not None and place.y is not None:
            pose.location = carla.Location(place.x, place.y, pose.location.z if place.z is None else place.z)
            pose.rotation.yaw = pose.rotation.yaw if place.yaw is None else place.yaw
        pose.location += carla.Location(place.across * right.x, place.across * right.y, 0.0)
        pose.rotation.yaw += place.turned
        return pose

    def teleport(self, step: Step) -> carla.Transform:
        """Return the destination of a ``teleport``."""
        assert step.teleport is not None
        return self.pose(step.teleport, *self._keys[id(step)], "teleport")

    def route(self, step: Step, state: ActorState) -> list[RoutePoint]:
        """Return the route of a ``follow_route`` from an actor's position."""
        assert step.follow_route is not None
        start = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        return self._places.route(start, step.follow_route.via, *self._keys[id(step)], "follow_route", "via")

    def path(self, step: Step, now: Snapshot) -> tuple[list[tuple[float, float]], list[float]]:
        """Return the corners of a ``follow_path`` that begins now, m, and the seconds from now at which to reach them.

        There are no seconds if the points have no times.
        """
        assert step.follow_path is not None
        path = step.follow_path
        corners = []
        base = now.states[path.frame] if path.frame is not None else None
        for n, mark in enumerate(path.points):
            if base is not None and mark.x is not None and mark.y is not None:
                c, s = cos(base.yaw), sin(base.yaw)
                corners.append((base.x + c * mark.x - s * mark.y, base.y + s * mark.x + c * mark.y))
                continue
            way = self._places.find(mark, *self._keys[id(step)], "follow_path", "points", n)
            at, right = way.transform.location, way.transform.get_right_vector()
            x, y = (at.x, at.y) if mark.x is None or mark.y is None else (mark.x, mark.y)
            corners.append((x + mark.across * right.x, y + mark.across * right.y))
        times = [mark.at - (now.time if path.absolute else 0.0) for mark in path.points if mark.at is not None]
        if path.curve is None:
            return corners, times
        at = np.linspace(0.0, 1.0, CURVE_POINTS * len(corners))
        curve = nurbs(np.array(corners), path.curve.order, path.curve.knots, path.curve.weights, at)
        when = np.interp(at, np.linspace(0.0, 1.0, len(times)), times).tolist() if times else []
        return [(x, y) for x, y in curve.tolist()], when

    def points(self, corners: list[tuple[float, float]]) -> list[RoutePoint]:
        """Return points on straight lines between corners, one every ``STEP`` metres."""
        points: list[RoutePoint] = []
        for (x0, y0), (x1, y1) in pairwise(corners):
            count = max(ceil(hypot(x1 - x0, y1 - y0) / STEP), 1)
            for k in range(count):
                x, y = x0 + (x1 - x0) * k / count, y0 + (y1 - y0) * k / count
                points.append(RoutePoint(self._town.get_waypoint(carla.Location(x, y, 0.0)), x, y))
        x, y = corners[-1]
        return [*points, RoutePoint(self._town.get_waypoint(carla.Location(x, y, 0.0)), x, y)]

    def approach(self, place: Place, state: ActorState) -> Approach:
        """Return the approach from an actor's position to a place."""
        end = self._places.find(place)
        start = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        try:
            points = self._places.route(start, [place])
        except ScenarioError:
            points = []  # no lane leads there: a walker, or a position off the road
        return Approach(end.transform.location.x, end.transform.location.y, RouteProgress(points) if points else None)

    def moved(self, state: ActorState, metres: float) -> carla.Transform | None:
        """Return the pose of an actor that has been moved ``metres`` along its lane (negative: back).

        It keeps its distance from the lane's middle. None if the road ends before.
        """
        here = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        there = along(here, metres)
        if there is None:
            return None
        place, right = here.transform.location, here.transform.get_right_vector()
        aside = (state.x - place.x) * right.x + (state.y - place.y) * right.y
        pose, right = there.transform, there.transform.get_right_vector()
        to = pose.location + carla.Location(aside * right.x, aside * right.y, state.z - place.z)
        return carla.Transform(to, pose.rotation)

    def lane_of(self, state: ActorState, lanes_left: int = 0) -> int:
        """Return the id of the lane that an actor is on, or of the one ``lanes_left`` lanes to the left of it."""
        lane = int(self._town.get_waypoint(carla.Location(state.x, state.y, state.z)).lane_id)
        target = abs(lane) - lanes_left  # counted from the middle of the road outwards; there is no lane 0
        return (1 if lane > 0 else -1) * (target if target > 0 else target - 1)

    def _fill(self, model: BaseModel | None, *key: str | int) -> None:
        """Fill in the world coordinates of places in conditions below ``model``."""
        if isinstance(model, At) and model.place is not None and model.place.of is None:
            location = self._places.find(model.place, *key, "place").transform.location
            model.x, model.y = location.x, location.y
        elif isinstance(model, SignalShows):
            self._check_signal(model.signal, *key, "signal")
        elif isinstance(model, When):
            for name in model.model_fields_set:
                value = getattr(model, name)
                for k, one in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(one, BaseModel):
                        self._fill(one, *key, name, *([k] if isinstance(value, list) else []))

    def _steps(self) -> Iterator[tuple[Step, Key]]:
        participants: list[tuple[EgoSpec | ActorSpec, Key]] = [(self._scenario.ego, ("ego",))]
        participants += [(actor, ("actors", k)) for k, actor in enumerate(self._scenario.actors)]
        for actor, key in participants:
            for kind, steps in (("do", actor.do), ("events", actor.events)):
                for n, step in enumerate(steps):
                    yield step, (*key, kind, n)


def nurbs(
    points: np.ndarray, order: int, knots: Sequence[float], weights: Sequence[float], at: np.ndarray
) -> np.ndarray:
    """Evaluate a rational B-spline (Piegl and Tiller 1997, "The NURBS Book", eq. 4.1); returns f64 (N, 2).

    Args:
        points: Control points, f64 (K, 2).
        order: Degree plus one.
        knots: K + order values.
        weights: K values.
        at: Where to evaluate it, f64 (N,), from 0 at the beginning of the parameter range to 1 at its end.
    """
    from scipy.interpolate import BSpline  # its import takes a quarter of a second, which every bridge would spend

    homogeneous = np.column_stack([points, np.ones(len(points))]) * np.asarray(weights)[:, None]
    spline = BSpline(np.asarray(knots, float), homogeneous, order - 1)
    low, high = spline.t[order - 1], spline.t[len(points)]
    values = spline(low + at * (high - low))
    return np.asarray(values[:, :2] / values[:, 2:])


class Approach:
    """An actor's approach to a place: along lanes with ``progress``, or in a straight line if that is None."""

    def __init__(self, x: float, y: float, progress: RouteProgress | None) -> None:
        self._x, self._y, self._progress = x, y, progress

    def remaining(self, state: ActorState) -> float:
        """Return the remaining distance, m."""
        straight = hypot(self._x - state.x, self._y - state.y)
        if self._progress is None:
            return straight
        self._progress.update(state.x, state.y)
        return max(self._progress.length - self._progress.metres, straight)
