"""An autopilot that follows lanes by waypoints on any CARLA map, independent of CARLA's Traffic Manager.

Steering is pure pursuit (Coulter 1992). Speed follows the intelligent driver model (Treiber, Hennecke, Helbing 2000)
with respect to road users on the path ahead; in bends, lateral acceleration limits it. All decisions depend only on the
map, the snapshot and a seeded generator: the same seed gives the same drive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, atan2, cos, hypot, inf, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

from bridge.carla_client.routing.lane_path import PATH_POINTS, STEP, LanePath, wrap
from bridge.carla_client.vehicle_geometry import VehicleGeometry
from bridge.carla_library import carla

LATERAL = 2.2  # m/s^2 in bends
ACCELERATION = 2.0  # m/s^2, comfortable
BRAKING = 2.2  # m/s^2, comfortable
HEADWAY = 1.3  # s behind a leader
GAP = 3.0  # m behind a leader
MARGIN = 0.35  # m, lateral clearance when passing
ROAD_END = 6.0  # m from the bumper to the end of a road: a vehicle that stands there has arrived
AHEAD = 0.0, 0.7, 1.4  # s, at which positions are predicted
STANDOFF_TIMEOUT = 6.0  # s behind a stationary road user before squeezing past: resolves mutual yielding

_BOX_POINTS = np.array(
    [(i, j) for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)]
)  # of a vehicle's box, in units of its half sizes


class RoadUser(NamedTuple):
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


class Autopilot(LanePath):
    """A driver that keeps one vehicle in its lane.

    Adjustable at any time: ``cruise``, the desired speed in m/s, and ``turn``, the direction at junctions: "straight",
    "left", "right" if available, or "any", drawn by ``seed``.
    """

    def __init__(self, town: carla.Map, geometry: VehicleGeometry, seed: int = 0, cruise: float = 10.0) -> None:
        super().__init__(town, seed)
        self._half_length, self._half_width, self._wheelbase, self._lock = geometry
        self.cruise = cruise
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

    @property
    def has_arrived(self) -> bool:
        """Whether the vehicle stands at the end of the road."""
        return self.remaining < ROAD_END + self._half_length and abs(self._speed) < 0.3

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
        """Return pedals and steering at a place (m) and heading (radians), ``delta`` seconds after the last call.

        ``halts`` are closed stop lines.
        """
        self._plan(x, y, z)
        self._learn_steering(yaw, speed, delta)
        self._waited = self._waited + delta if abs(speed) < 0.5 else max(0.0, self._waited - 4.0 * delta)
        if len(self._xy) < 3:
            return Pedals(0.0, 0.0, 1.0)
        return self._pedals(self._acceleration(x, y, speed, bodies, halts), self._steer(x, y, yaw, speed), speed, delta)

    def _steer(self, x: float, y: float, yaw: float, speed: float) -> float:
        """Steer by pure pursuit from the rear axle: curvature 2 sin(alpha) / distance to a point of the path ahead."""
        rear_x, rear_y = x - 0.5 * self._wheelbase * cos(yaw), y - 0.5 * self._wheelbase * sin(yaw)
        distance = np.hypot(self._xy[:, 0] - rear_x, self._xy[:, 1] - rear_y)
        reach = min(max(0.6 * speed, 4.0), 14.0)
        beyond = np.flatnonzero(distance[: int(3 * reach)] >= reach)
        target = int(beyond[0]) if len(beyond) else len(distance) - 1
        dx, dy = self._xy[target] - (rear_x, rear_y)
        alpha = wrap(atan2(dy, dx) - yaw)
        if abs(alpha) > 0.5 * pi:  # the path lies behind: turn around
            return 1.0 if alpha > 0.0 else -1.0
        curvature = 2.0 * sin(alpha) / max(hypot(dx, dy), 1.0)
        lock = self._lock * float(self._gain[0] / self._gain[1]) / (1.0 + (speed / 22.0) ** 2)
        steer = min(max(atan(self._wheelbase * curvature) / lock, -1.0), 1.0)
        self._bend = steer * self._lock / (1.0 + (speed / 22.0) ** 2) / self._wheelbase
        return steer

    def _learn_steering(self, yaw: float, speed: float, delta: float) -> None:
        """Measure the achieved curvature: it differs from what the server's wheel angles imply, mostly at speed."""
        turned, self._old_yaw = wrap(yaw - self._old_yaw), yaw
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
        for body in self._close(bodies, x, y):
            gap, leading = self._gap(body, along, MARGIN if body.walks else margin, crossing)
            if gap < inf:
                best = min(best, self._follow(speed, leading, gap, 2.0 if body.walks else rest))
        heading = np.arctan2(*np.gradient(self._xy, axis=0).T[::-1])
        for halt in halts:
            distance = np.hypot(self._xy[:, 0] - halt.x, self._xy[:, 1] - halt.y)
            k = int(distance.argmin())
            gap = float(along[k]) - self._half_length
            if distance[k] > 2.0 or abs(wrap(heading[k] - halt.yaw)) > 1.0 or gap < -1.5:
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

    def _close(self, bodies: Sequence[RoadUser], x: float, y: float) -> list[RoadUser]:
        """Return the road users that may be in the way, of those near ``x``, ``y``: a quick test of all at once."""
        table = np.array([(each.x, each.y, each.half_length, each.half_width, each.vx, each.vy) for each in bodies])
        if not len(table):
            return []
        places, (long, wide, vx, vy) = table[:, :2], table[:, 2:].T
        apart = np.hypot(*(places[:, None] - self._xy).transpose(2, 0, 1)).min(axis=1)
        reach = np.hypot(long, wide) + AHEAD[-1] * np.hypot(vx, vy) + self._half_width + MARGIN + STEP
        are_close = (apart <= reach) & (((places - (x, y)) ** 2).sum(axis=1) <= (PATH_POINTS * STEP) ** 2)
        return [bodies[k] for k in np.flatnonzero(are_close)]

    def _gap(self, body: RoadUser, along: np.ndarray, margin: float, crossing: bool) -> tuple[float, float]:
        """Return the free distance to a road user, m (inf if it is not in the way), and its speed along the path, m/s.

        For pedestrians, and for all road users at a junction, predicted positions are included.
        """
        c, s = cos(body.yaw), sin(body.yaw)
        local = _BOX_POINTS * (body.half_length, body.half_width)
        points = local @ np.array([(c, s), (-s, c)]) + (body.x, body.y)
        if body.walks or (crossing and hypot(body.vx, body.vy) > 1.0):
            steps = np.outer(AHEAD, (body.vx, body.vy))
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
