"""A path along lanes, laid out by waypoints: it follows a route or chooses, changes lanes and shifts to the side."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from math import atan2, hypot, inf, pi, radians
from typing import Any

import numpy as np

from bridge.carla_client.routing.lane_following import ROAD_AHEAD, until_lane_end
from bridge.carla_library import carla

STEP = 1.0  # m between points of the path
PATH_POINTS = 55  # length of the path in points
OFF_PATH = 4.0  # m from the path at which it is planned again


@dataclass(frozen=True)
class _LateralShift:
    """A lateral shift of the path: metres right of the lane's centre before and after, first point, point count."""

    before: float
    after: float
    first: int
    count: int

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the shift to the right, m, at ``points`` of the path, counted from its beginning."""
        t = np.clip((points - self.first) / self.count, 0.0, 1.0)
        return self.before + (self.after - self.before) * t * t * (3.0 - 2.0 * t)


def choose_branch(ways: list[carla.Waypoint], turn: str, random: np.random.Generator) -> carla.Waypoint:
    """Choose the continuation of a lane that leads "straight", "left" or "right".

    "any" draws one at random, a dead end only if all are.
    """
    ways = sorted(ways, key=lambda way: (way.road_id, way.lane_id))  # the client's order may vary
    if len(ways) == 1:
        return ways[0]
    if turn == "any":
        ways = [way for way in ways if way.next(ROAD_AHEAD[0])] or ways
        return ways[int(random.integers(len(ways)))]
    aim = {"straight": 0.0, "left": -0.5 * pi, "right": 0.5 * pi}[turn]
    return min(ways, key=lambda way: abs(wrap(_turned(way) - aim)))


class LanePath:
    """The path of one vehicle: points every ``STEP`` metres, at most ``PATH_POINTS``.

    ``turn`` is the direction at junctions: "straight", "left", "right" if available, or "any", drawn by ``seed``.
    """

    def __init__(self, town: carla.Map, seed: int) -> None:
        self._map = town
        self._random = np.random.default_rng(seed)
        self.turn = "any"
        self._waypoints: list[carla.Waypoint] = []
        self._places: list[tuple[float, float]] = []  # position of the path at each waypoint, m
        self._route: deque[tuple[carla.Waypoint, float, float]] = deque()  # rest of a route, not in the path yet
        self._xy = np.zeros((0, 2))
        self._passed = 0  # number of points that have been dropped from the path behind the vehicle
        self._shift: _LateralShift | None = None  # of the path from the lane's centre
        self._lane_offset, self._lane_offset_m = 0, 0.0  # lanes (to the right) from its waypoints' lane, and metres

    def follow(self, route: Iterable[tuple[carla.Waypoint, float, float]]) -> None:
        """Follow a route of points (waypoint, x, y in metres) every ``STEP`` metres; choose freely beyond its end."""
        self._clear()
        self._route = deque(route)

    def change_lane(self, lanes: int, length: float, oncoming: bool = False) -> bool:
        """Move the path ``lanes`` lanes to the right (negative: left) within ``length`` metres.

        ``oncoming``: allow lanes of the opposite direction or not for driving. Returns False, without any change, if
        there is no such lane over the whole length, or no path yet.
        """
        lanes += self._lane_offset
        target = list(takewhile(bool, (_neighbour(way, lanes) for way in self._waypoints)))
        need = min(int(length / STEP) + 1, len(self._waypoints))
        if not need or len(target) < need:
            return False
        same = 0  # leading points of the target lane that are for driving in the same direction
        for way, own in zip(target, self._waypoints, strict=False):
            if way.lane_type != carla.LaneType.Driving or way.lane_id * own.lane_id <= 0:
                break
            same += 1
        if same < need and not oncoming:
            return False
        here, there = self._waypoints[0].transform, target[0].transform.location
        right = here.get_right_vector()
        metres = (there.x - here.location.x) * right.x + (there.y - here.location.y) * right.y
        at = self._current_shift()
        if same >= need:
            self._waypoints = target[:same]
            self._places = [(way.transform.location.x, way.transform.location.y) for way in self._waypoints]
            self._lane_offset, self._lane_offset_m = 0, 0.0
            self._shift_to(at - metres, 0.0, length)
        else:
            self._lane_offset, self._lane_offset_m = lanes, metres
            self._shift_to(at, metres, length)
        self._lay_out()
        return True

    def lanes_to(self, lane: int) -> int:
        """Return the lanes from the path to the lane with this id, positive to the right; 0 without a path."""
        if not self._waypoints:
            return 0
        own = self._waypoints[0].lane_id
        # Counted from the middle of the road outwards, on the path's own side of it; there is no lane 0.
        target = lane if own > 0 else -lane
        outwards = target + (target < 0) - abs(own)
        return (-outwards if _keeps_left(self._waypoints[0]) else outwards) - self._lane_offset

    @property
    def remaining(self) -> float:
        """Metres of the path until the road ends, infinite if no end is in sight."""
        return inf if len(self._waypoints) >= PATH_POINTS else max(len(self._waypoints) - 2, 0) * STEP

    def shift(self, across: float, length: float) -> bool:
        """Shift the path ``across`` metres to the right of its lane's centre within ``length`` metres.

        Returns False if there is no path yet, unless it is to begin there (``length`` 0).
        """
        if self._waypoints:
            self._shift_to(self._current_shift(), self._lane_offset_m + across, length)
            self._lay_out()
        elif not length:
            self._shift_to(across, across, length)
        return bool(self._waypoints) or not length

    def ahead(self, x: float, y: float, metres: float) -> tuple[float, float, float] | None:
        """Return the point of the path ``metres`` further along than the point nearest to (``x``, ``y``).

        The result is x, y (m) and the path's heading at that nearest point (radians); None without a path, or beyond
        its end.
        """
        if len(self._xy) < 3:
            return None
        steps = np.diff(self._xy, axis=0)
        lengths = np.maximum(np.hypot(*steps.T), 1e-6)
        t = np.clip((((x, y) - self._xy[:-1]) * steps).sum(axis=1) / lengths**2, 0.0, 1.0)
        nearest = self._xy[:-1] + t[:, None] * steps
        k = int(np.hypot(nearest[:12, 0] - x, nearest[:12, 1] - y).argmin())  # only the first: a path may cross itself
        at = np.concatenate([[0.0], np.cumsum(lengths)])
        here = float(at[k] + t[k] * lengths[k])
        if here + metres > at[-1]:
            return None
        target, behind, beyond = (
            [float(np.interp(s, at, self._xy[:, axis])) for axis in (0, 1)]
            for s in (here + metres, max(here - STEP, 0.0), here + STEP)
        )
        return target[0], target[1], atan2(beyond[1] - behind[1], beyond[0] - behind[0])

    def _current_shift(self) -> float:
        return float(self._shift.at(np.array(self._passed))) if self._shift is not None else 0.0

    def _shift_to(self, before: float, after: float, length: float) -> None:
        self._shift = _LateralShift(before, after, self._passed, max(int(length / STEP), 1))

    def _plan(self, x: float, y: float, z: float) -> None:
        """Drop the points behind the vehicle and extend the path to ``PATH_POINTS`` points."""
        if self._waypoints:
            # Compare with the first points only: a path that crosses itself would be cut short.
            distance = np.hypot(self._xy[:12, 0] - x, self._xy[:12, 1] - y)
            nearest = int(distance.argmin())
            if distance[nearest] > OFF_PATH:
                if self._route:  # put the path back in front of the rest of the route
                    self._route.extendleft(
                        (way, *place) for way, place in zip(self._waypoints[::-1], self._places[::-1], strict=True)
                    )
                self._clear()
            elif nearest > 1:
                del self._waypoints[: nearest - 1], self._places[: nearest - 1]
                self._passed += nearest - 1
        if not self._waypoints and self._route:
            near = [hypot(at_x - x, at_y - y) for _, at_x, at_y in list(self._route)[: 2 * PATH_POINTS]]
            for _ in range(near.index(min(near))):
                self._route.popleft()
            if min(near) > OFF_PATH:
                self._route.clear()  # too far away to return to the route
        if not self._waypoints and not self._route:
            start = self._map.get_waypoint(
                carla.Location(x, y, z), project_to_road=True, lane_type=carla.LaneType.Driving
            )
            if start is None:
                self._xy = np.zeros((0, 2))
                return
            self._append(start)
        while len(self._waypoints) < PATH_POINTS:
            if self._route:
                way, at_x, at_y = self._route.popleft()
                self._waypoints.append(way)
                self._places.append((at_x, at_y))
                continue
            ways = self._waypoints[-1].next(STEP)
            if not ways:
                break
            self._append(choose_branch(ways, self.turn, self._random))
        self._lay_out()

    def _lay_out(self) -> None:
        """Compute the path's points from its waypoints and the lateral shift."""
        self._xy = np.array(self._places).reshape(-1, 2)
        if self._shift is not None and len(self._xy) > 1:
            along = np.gradient(self._xy, axis=0)
            along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
            shift = self._shift.at(self._passed + np.arange(len(self._xy)))
            self._xy += shift[:, None] * np.stack([-along[:, 1], along[:, 0]], 1)  # y is to the right of x

    def _append(self, way: carla.Waypoint) -> None:
        self._waypoints.append(way)
        self._places.append((way.transform.location.x, way.transform.location.y))

    def _clear(self) -> None:
        self._waypoints.clear()
        self._places.clear()
        self._shift, self._lane_offset, self._lane_offset_m = None, 0, 0.0


def _neighbour(way: Any, lanes: int) -> Any:
    """Return the lane ``lanes`` to the right (negative: left), also across the road's centre; None if there is none."""
    sign = way.lane_id
    for _ in range(abs(lanes)):
        # Beyond the road's centre lanes run in the opposite direction, and their right is this lane's left.
        outwards = (lanes > 0) == (way.lane_id * sign > 0)
        way = way.get_right_lane() if outwards else way.get_left_lane()
        if way is None:
            return None
    return way


def _keeps_left(way: Any) -> bool:
    return is_along(way) != (way.lane_id < 0)


def is_along(way: Any) -> bool:
    """Return whether a lane runs along its road's reference line: s grows in its direction of travel."""
    for others, sign in ((way.next(0.5), 1.0), (way.previous(0.5), -1.0)):
        for other in others:
            if (other.road_id, other.lane_id) == (way.road_id, way.lane_id) and other.s != way.s:
                return bool((other.s - way.s) * sign > 0.0)
    return bool(way.lane_id < 0)  # shorter than the step: traffic keeps right


def _turned(way: carla.Waypoint) -> float:
    """Return the angle by which the road turns right from ``way`` to its end, radians."""
    end = (until_lane_end(way, 2.0) or [way])[-1]
    return wrap(radians(end.transform.rotation.yaw - way.transform.rotation.yaw))


def wrap(angle: float) -> float:
    """Return an angle, radians, in -pi .. pi."""
    return (angle + pi) % (2.0 * pi) - pi
