"""An autopilot that follows lanes by waypoints on any CARLA map, independent of CARLA's Traffic Manager.

Steering is pure pursuit (Coulter 1992). Speed follows the intelligent driver model (Treiber, Hennecke, Helbing 2000)
with respect to road users on the path ahead; in bends, lateral acceleration limits it. All decisions depend only on the
map, the snapshot and a seeded generator: the same seed gives the same drive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import atan, atan2, cos, hypot, inf, pi, radians, sin, sqrt
from typing import Any

import carla
import numpy as np

from bridge.carla_client.routing.lane_following import until_lane_end
from bridge.carla_client.routing.spawn_points import ROAD_AHEAD
from bridge.carla_client.vehicle_geometry import VehicleGeometry

STEP = 1.0  # m between points of the path
PATH_POINTS = 55  # length of the path in points
OFF_PATH = 4.0  # m from the path at which it is planned again
LATERAL = 2.2  # m/s^2 in bends
ACCELERATION, BRAKING = 2.0, 2.2  # m/s^2, comfortable
HEADWAY, GAP = 1.3, 3.0  # s and m behind a leader
MARGIN = 0.35  # m, lateral clearance when passing
ROAD_END = 6.0  # m from the bumper to the end of a road: a vehicle that stands there has arrived
STANDOFF_TIMEOUT = 6.0  # s behind a stationary road user before squeezing past: resolves mutual yielding

_BOX_POINTS = np.array(
    [(i, j) for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)]
)  # of a vehicle's box, in units of its half sizes


@dataclass(frozen=True)
class RoadUser:
    """Another vehicle or pedestrian, seen from above. Metres, radians, m/s."""

    x: float
    y: float
    yaw: float
    half_length: float
    half_width: float
    vx: float
    vy: float
    walks: bool = False


@dataclass(frozen=True)
class Halt:
    """A stop line that must not be crossed at present: position in metres, heading of its lane in radians."""

    x: float
    y: float
    yaw: float
    yellow: bool = False


@dataclass(frozen=True)
class Pedals:
    """Throttle and brake 0 .. 1, steer -1 .. 1."""

    throttle: float
    steer: float
    brake: float


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
    return min(ways, key=lambda way: abs(_wrap(_turned(way) - aim)))


class Autopilot:
    """A driver that keeps one vehicle in its lane.

    Adjustable at any time: ``cruise``, the desired speed in m/s, and ``turn``, the direction at junctions: "straight",
    "left", "right" if available, or "any", drawn by ``seed``.
    """

    def __init__(self, town: carla.Map, geometry: VehicleGeometry, seed: int = 0, cruise: float = 10.0) -> None:
        self._map = town
        self._half_length, self._half_width, self._wheelbase, self._lock = geometry
        self._random = np.random.default_rng(seed)
        self.cruise = cruise
        self.turn = "any"
        self._waypoints: list[carla.Waypoint] = []
        self._places: list[tuple[float, float]] = []  # position of the path at each waypoint, m
        self._route: deque[tuple[carla.Waypoint, float, float]] = deque()  # rest of a route, not in the path yet
        self._xy = np.zeros((0, 2))
        self._passed = 0  # number of points that have been dropped from the path behind the vehicle
        self._shift: _LateralShift | None = None  # of the path from the lane's centre
        self._lane_offset, self._lane_offset_m = 0, 0.0  # lanes (to the right) from its waypoints' lane, and metres
        self._trim = 0.0  # learnt throttle that holds the speed
        self._speed = 0.0
        self._target_acceleration = 0.0  # m/s^2, of the last call
        self._old_yaw = 0.0
        self._waited = 0.0  # s of standing, except at a light
        self._bend = 0.0  # curvature commanded by the last steering, 1/m
        self._gain = np.array([0.01, 0.01])  # achieved and commanded curvature, as a running regression

    def reset(self) -> None:
        """Forget the path, after a respawn."""
        self._clear()
        self._route.clear()
        self._bend = 0.0

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
    def has_arrived(self) -> bool:
        """Whether the vehicle stands at the end of the road."""
        return self.remaining < ROAD_END + self._half_length and abs(self._speed) < 0.3

    @property
    def remaining(self) -> float:
        """Metres of the path until the road ends, infinite if no end is in sight."""
        return inf if len(self._waypoints) >= PATH_POINTS else max(len(self._waypoints) - 2, 0) * STEP

    def shift(self, across: float, length: float) -> bool:
        """Shift the path ``across`` metres to the right of its lane's centre within ``length`` metres.

        Returns False if there is no path yet.
        """
        if self._waypoints:
            self._shift_to(self._current_shift(), self._lane_offset_m + across, length)
            self._lay_out()
        return bool(self._waypoints)

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

    def drive(
        self,
        x: float,
        y: float,
        z: float,
        yaw: float,
        speed: float,
        bodies: Sequence[RoadUser],
        halts: Sequence[Halt],
        delta: float,
    ) -> Pedals:
        """Return pedals and steering.

        Args:
            x: Position of the vehicle, m.
            y: Position of the vehicle, m.
            z: Position of the vehicle, m.
            yaw: Heading, radians.
            speed: m/s.
            bodies: The other road users.
            halts: Closed stop lines.
            delta: Seconds since the last call.
        """
        self._plan(x, y, z)
        self._learn_steering(yaw, speed, delta)
        self._waited = self._waited + delta if abs(speed) < 0.5 else max(0.0, self._waited - 4.0 * delta)
        if len(self._xy) < 3:
            return Pedals(0.0, 0.0, 1.0)
        return self._pedals(self._acceleration(x, y, speed, bodies, halts), self._steer(x, y, yaw, speed), speed, delta)

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

    def _steer(self, x: float, y: float, yaw: float, speed: float) -> float:
        """Steer by pure pursuit from the rear axle: curvature 2 sin(alpha) / distance to a point of the path ahead."""
        rear_x, rear_y = x - 0.5 * self._wheelbase * cos(yaw), y - 0.5 * self._wheelbase * sin(yaw)
        distance = np.hypot(self._xy[:, 0] - rear_x, self._xy[:, 1] - rear_y)
        reach = min(max(0.6 * speed, 4.0), 14.0)
        beyond = np.flatnonzero(distance[: int(3 * reach)] >= reach)
        target = int(beyond[0]) if len(beyond) else len(distance) - 1
        dx, dy = self._xy[target] - (rear_x, rear_y)
        alpha = _wrap(atan2(dy, dx) - yaw)
        if abs(alpha) > 0.5 * pi:  # the path lies behind: turn around
            return 1.0 if alpha > 0.0 else -1.0
        curvature = 2.0 * sin(alpha) / max(hypot(dx, dy), 1.0)
        lock = self._lock * float(self._gain[0] / self._gain[1]) / (1.0 + (speed / 22.0) ** 2)
        steer = min(max(atan(self._wheelbase * curvature) / lock, -1.0), 1.0)
        self._bend = steer * self._lock / (1.0 + (speed / 22.0) ** 2) / self._wheelbase
        return steer

    def _learn_steering(self, yaw: float, speed: float, delta: float) -> None:
        """Measure the achieved curvature: it differs from what the server's wheel angles imply, mostly at speed."""
        turned, self._old_yaw = _wrap(yaw - self._old_yaw), yaw
        if speed > 2.0 and delta > 0.0 and abs(turned) < 0.2:
            self._gain = 0.998 * self._gain + (self._bend * turned / (speed * delta), self._bend**2)
            self._gain[0] = min(max(self._gain[0], 0.3 * self._gain[1]), 2.0 * self._gain[1])

    def _acceleration(
        self, x: float, y: float, speed: float, bodies: Sequence[RoadUser], halts: Sequence[Halt]
    ) -> float:
        """Return the acceleration, m/s^2: the minimum over free road, bends, road users ahead and lights."""
        best = ACCELERATION * (1.0 - (speed / self._bend_speed()) ** 4)
        rest, margin = (GAP, MARGIN) if self._waited < STANDOFF_TIMEOUT else (1.0, 0.1)
        along = np.arange(len(self._xy)) * STEP - hypot(self._xy[0, 0] - x, self._xy[0, 1] - y)
        if len(self._xy) < PATH_POINTS:  # a dead end
            best = min(best, self._follow(speed, 0.0, float(along[-1]) - self._half_length, 2.0))
        crossing = any(way.is_junction for way in self._waypoints[: int(12.0 + 1.5 * speed)])
        for body in bodies:
            gap, leading = self._gap(body, x, y, along, MARGIN if body.walks else margin, crossing)
            if gap < inf:
                best = min(best, self._follow(speed, leading, gap, 2.0 if body.walks else rest))
        heading = np.arctan2(*np.gradient(self._xy, axis=0).T[::-1])
        for halt in halts:
            distance = np.hypot(self._xy[:, 0] - halt.x, self._xy[:, 1] - halt.y)
            k = int(distance.argmin())
            gap = float(along[k]) - self._half_length
            if distance[k] > 2.0 or abs(_wrap(heading[k] - halt.yaw)) > 1.0 or gap < -1.5:
                continue
            if speed * speed > 2.0 * (5.0 if halt.yellow else 8.0) * max(gap, 0.01):
                continue  # too late to stop at 5 or 8 m/s^2
            best = min(best, self._follow(speed, 0.0, gap, 0.7))
            self._waited = 0.0
        return best

    def _bend_speed(self) -> float:
        """Return the speed, m/s, from which comfortable braking reduces to ``LATERAL`` in every bend ahead."""
        headings = np.unwrap(np.arctan2(*np.diff(self._xy, axis=0).T[::-1]))
        if len(headings) < 6:
            return self.cruise
        curvature = np.abs(headings[4:] - headings[:-4]) / (4.0 * STEP)
        allowed = LATERAL / np.maximum(curvature, 1e-3) + 2.0 * BRAKING * 0.7 * np.arange(len(curvature)) * STEP
        return max(min(self.cruise, sqrt(float(allowed.min()))), 2.0)

    def _gap(
        self, body: RoadUser, x: float, y: float, along: np.ndarray, margin: float, crossing: bool
    ) -> tuple[float, float]:
        """Return the free distance to a road user, m (inf if it is not in the way), and its speed along the path, m/s.

        For pedestrians, and for all road users at a junction, predicted positions are included.
        """
        if (body.x - x) ** 2 + (body.y - y) ** 2 > (PATH_POINTS * STEP) ** 2:
            return inf, 0.0
        c, s = cos(body.yaw), sin(body.yaw)
        local = _BOX_POINTS * (body.half_length, body.half_width)
        points = local @ np.array([(c, s), (-s, c)]) + (body.x, body.y)
        if body.walks or (crossing and hypot(body.vx, body.vy) > 1.0):
            steps = np.outer((0.0, 0.7, 1.4), (body.vx, body.vy))
            points = (steps[:, None] + points).reshape(-1, 2)
        apart = np.hypot(points[:, None, 0] - self._xy[None, :, 0], points[:, None, 1] - self._xy[None, :, 1])
        nearest = apart.argmin(axis=1)
        # Points of the path are STEP apart: estimate the lateral distance to the line through them.
        across = np.sqrt(np.maximum(apart.min(axis=1) ** 2 - (0.5 * STEP) ** 2 * 0.33, 0.0))
        hit = (across < self._half_width + margin) & (nearest > 0) & (nearest < len(along) - 1)
        if not hit.any():
            return inf, 0.0
        k = int(nearest[hit].min())
        dx, dy = self._xy[min(k + 1, len(self._xy) - 1)] - self._xy[k]
        length = max(hypot(dx, dy), 1e-6)
        gap = float(along[k]) - self._half_length
        return (gap, (body.vx * dx + body.vy * dy) / length) if gap > -self._half_length else (inf, 0.0)

    @staticmethod
    def _follow(speed: float, leading: float, gap: float, rest: float) -> float:
        """Return the interaction term of the intelligent driver model, m/s^2; ``rest``: gap at standstill, m."""
        target_gap = rest + max(
            0.0, speed * HEADWAY * (leading > 0.5) + speed * (speed - leading) / (2.0 * sqrt(ACCELERATION * BRAKING))
        )
        return ACCELERATION * (1.0 - (target_gap / max(gap, 0.1)) ** 2) if gap > 0.1 else -8.0

    def _pedals(self, acceleration: float, steer: float, speed: float, delta: float) -> Pedals:
        """Return the pedals for an acceleration, m/s^2; a trim learns the vehicle's resistance and the slope."""
        if delta > 0.0 and speed > 0.5 and self._target_acceleration > -1.0:
            self._trim += 0.25 * delta * (self._target_acceleration - (speed - self._speed) / delta)
            self._trim = min(max(self._trim, -0.1), 0.35)
        self._speed, self._target_acceleration = speed, acceleration
        if acceleration < 0.05 and abs(speed) < 0.4:
            return Pedals(0.0, steer, 0.6)
        push = acceleration / 5.0 + self._trim + 0.03
        if push >= 0.0:
            return Pedals(min(push, 0.8), steer, 0.0)
        return Pedals(0.0, steer, min(-push * 0.7, 1.0))


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
    """Return whether traffic keeps left there: the middle of the road is on a lane's right."""
    left, right = (lane.lane_id if lane is not None else 0 for lane in (way.get_left_lane(), way.get_right_lane()))
    own = way.lane_id
    return left * own > own * own or (right * own < own * own and right != 0)


def _turned(way: carla.Waypoint) -> float:
    """Return the angle by which the road turns right from ``way`` to its end, radians."""
    end = (until_lane_end(way, 2.0) or [way])[-1]
    return _wrap(radians(end.transform.rotation.yaw - way.transform.rotation.yaw))


def _wrap(angle: float) -> float:
    return (angle + pi) % (2.0 * pi) - pi
