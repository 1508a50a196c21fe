"""Getting an autopilot's vehicle free: it backs off where there is room, and steers round what it has run into."""

from collections.abc import Callable, Sequence
from math import cos, hypot, sin

import numpy as np

from bridge.carla_client.routing.autopilot import Pedals, RoadUser
from bridge.carla_client.vehicle_geometry import VehicleGeometry

_PUSHING = 0.15  # throttle from which a vehicle that stands is stuck
_STANDING = 0.3  # m/s
_PATIENCE = 2.5  # s of standing with throttle
_SPEED = 2.0  # m/s at most of the manoeuvre
_MANOEUVRE = 10.0  # s at most
_ROUND = 10.0  # m of going round
_FREE = 12.0  # s of driving after which the attempts are forgotten
_STEERS = (0.0, 0.35, -0.35, 0.8, -0.8)
_ALONG = np.arange(1, 25) * 0.25  # m along an arc
_MARGIN = 0.2  # m around the vehicle that has to be free
_APPROACH = 0.02  # m by which what is within the margin already may come nearer
_WAY_FLOOR = 0.5  # m of free way that are worth driving
_BACK = (0.5, 1.0, 1.5, 2.0, 3.0, 4.5)  # m, ways back to choose from
_TURNING = 0.3  # m of free way that a metre back at full lock is worth, as it turns the nose
RANGE = 9.0  # m within which obstacles matter
_LOOK = 1.0  # m after which it looks again, as long as there have been attempts
_GRAIN = 0.25  # m, points nearer to each other are one
_BRAKING = 4.0  # m/s^2, with which it stops before what the autopilot does not see
ATTEMPTS = 6  # after these, it is out of ideas


class Unstuck:
    """Takes over from an autopilot whose vehicle does not move. ``attempts``: those in a row.

    ``is_helpless``: whether it is out of ideas, and stands until :meth:`reset`.
    """

    def __init__(self, geometry: VehicleGeometry) -> None:
        self._geometry = geometry
        self.reset()

    def reset(self) -> None:
        """Forget everything, after a respawn."""
        self.attempts, self.is_helpless = 0, False
        self._stood = self._driven = self._left = 0.0  # s: of standing with throttle, of driving, of the manoeuvre
        self._back = self._round = 0.0  # m of the manoeuvre that are left, backwards and then forwards
        self._steer = 0.0  # of the manoeuvre
        self._seen = np.zeros((0, 2))  # m, world: what stands around
        self._looked = (np.inf, np.inf)  # m, from where it was seen last

    def drive(
        self,
        pedals: Pedals,
        place: tuple[float, float, float],
        speed: float,
        seconds: float,
        bodies: Sequence[RoadUser],
        look: Callable[[], np.ndarray],
    ) -> tuple[Pedals, bool]:
        """Return the pedals to apply for ``seconds``, and whether to reverse.

        Args:
            pedals: Those of the autopilot.
            place: Position of the vehicle, m, and its heading, radians.
            speed: m/s along the vehicle.
            seconds: Length of this step.
            bodies: The other road users.
            look: Returns what else stands within ``RANGE``: points f64 (N, 2), m.
        """
        if self.is_helpless:
            return Pedals(0.0, 0.0, 1.0), False
        if self.attempts and hypot(place[0] - self._looked[0], place[1] - self._looked[1]) > _LOOK:
            self._look(place, look)
        if self._left > 0.0:
            self._left -= seconds
            moved = abs(speed) * seconds
            points = self._around(place, bodies)
            if self._back > 0.0:
                return self._go_back(points, speed, moved)
            if self._round > 0.0:
                return self._go_round(points, pedals, speed, moved), False
            self._left = 0.0
        is_stuck = abs(speed) < _STANDING and pedals.throttle > _PUSHING
        self._stood = self._stood + seconds if is_stuck else 0.0
        self._driven = self._driven + seconds if abs(speed) > 1.0 else self._driven
        if self._driven > _FREE:
            self.attempts, self._driven = 0, 0.0
        if self._stood > _PATIENCE:
            self._look(place, look)
            self._plan(self._around(place, bodies))
        elif self.attempts:
            points = self._around(place, bodies)
            way = self._free_way(points, pedals.steer, 1.0)
            if way < min(_WAY_FLOOR + speed * speed / (2.0 * _BRAKING), _ALONG[-1]):  # the autopilot does not see it
                if speed > _SPEED:
                    return Pedals(0.0, pedals.steer, 1.0), False
                self._back, self._round, self._left = 0.0, _ROUND, _MANOEUVRE
                return self._go_round(points, pedals, speed, 0.0), False
        return pedals, False

    def _look(self, place: tuple[float, float, float], look: Callable[[], np.ndarray]) -> None:
        """See what stands around from here, and remember what was seen before: a look misses what is thin or hidden."""
        near = np.hypot(*(self._seen - place[:2]).T) < 2.0 * RANGE
        known = np.concatenate([self._seen[near], look()])
        _, first = np.unique(np.round(known / _GRAIN), axis=0, return_index=True)
        self._seen, self._looked = known[np.sort(first)], place[:2]

    def _plan(self, points: np.ndarray) -> None:
        """Choose the way back from which the way ahead is freest; none of it if that is how it is here."""
        self.attempts += 1
        self._stood, self._driven = 0.0, 0.0
        ahead = best = self._freest(points)
        self._back = 0.0
        for steer in _STEERS:
            room = self._free_way(points, steer, -1.0)
            for metres in (metres for metres in _BACK if metres < room):
                way = self._freest(self._seen_from(points, steer, -metres))
                worth = way + _TURNING * abs(steer) * metres
                if worth > best + 0.2:
                    ahead, best, self._back, self._steer = way, worth, metres, steer
        self.is_helpless = ahead < _WAY_FLOOR or self.attempts > ATTEMPTS
        self._round, self._left = _ROUND, _MANOEUVRE

    def _go_back(self, points: np.ndarray, speed: float, moved: float) -> tuple[Pedals, bool]:
        self._back -= moved if speed < 0.0 else 0.0
        if self._free_way(points, self._steer, -1.0) < _WAY_FLOOR or self._back <= 0.0:
            self._back, self._steer = 0.0, -self._steer  # turns on in the same sense
            return Pedals(0.0, self._steer, 1.0), speed < 0.0
        return Pedals(0.35 if speed > -_SPEED else 0.0, self._steer, 0.0), True

    def _go_round(self, points: np.ndarray, pedals: Pedals, speed: float, moved: float) -> Pedals:
        if speed < -_STANDING:
            return Pedals(0.0, 0.0, 1.0)
        self._round -= moved
        ways = {steer: self._free_way(points, steer, 1.0) for steer in (pedals.steer, *_STEERS)}
        ample = [steer for steer, way in ways.items() if way == _ALONG[-1]]
        last = self._steer  # it stays with a side once it has chosen one
        if ample:
            steer = min(ample, key=lambda at: abs(at - pedals.steer) + abs(at - last))
        else:
            steer = max(ways, key=lambda at: ways[at] - abs(at - last))
        self._steer = steer
        if ways[steer] < _WAY_FLOOR:
            if abs(speed) < _STANDING:
                self._plan(points)
            return Pedals(0.0, steer, 1.0)
        if pedals.brake > 0.3 and pedals.throttle == 0.0:  # for a light or somebody on the road
            return Pedals(0.0, steer, pedals.brake)
        return Pedals(0.35 if speed < min(_SPEED, ways[steer]) else 0.0, steer, 0.0)

    def _around(self, place: tuple[float, float, float], bodies: Sequence[RoadUser]) -> np.ndarray:
        """Return the outlines of road users and what was seen, as the vehicle sees them, f64 (N, 2), m."""
        x, y, yaw = place
        near = [_outline(body) for body in bodies if hypot(body.x - x, body.y - y) < RANGE + body.half_length]
        points = np.concatenate([self._seen, *near]) - (x, y)
        return points @ np.array([(cos(yaw), -sin(yaw)), (sin(yaw), cos(yaw))])

    def _freest(self, points: np.ndarray) -> float:
        """Return the longest free way ahead, m."""
        return max(self._free_way(points, steer, 1.0) for steer in _STEERS)

    def _free_way(self, points: np.ndarray, steer: float, sign: float) -> float:
        """Return the metres, up to ``_ALONG[-1]``, that can be driven with ``steer`` ahead (1) or back (-1)."""
        if not len(points):
            return float(_ALONG[-1])
        depths = [self._depth(self._seen_from(points, steer, sign * way)) for way in _ALONG]
        most = np.maximum(self._depth(points), 0.0) + _APPROACH
        blocked = np.flatnonzero((np.array(depths) > most).any(axis=1))
        return float(_ALONG[-1]) if not len(blocked) else float(_ALONG[blocked[0]] - _ALONG[0])

    def _depth(self, points: np.ndarray) -> np.ndarray:
        """Return how far points f64 (N, 2) lie within the vehicle and its margin, m, negative outside."""
        half = np.array([self._geometry.half_length, self._geometry.half_width]) + _MARGIN
        return np.asarray((half - np.abs(points)).min(axis=1))

    def _seen_from(self, points: np.ndarray, steer: float, way: float) -> np.ndarray:
        """Return ``points`` f64 (N, 2) as the vehicle sees them after ``way`` metres with ``steer``."""
        base = 0.5 * self._geometry.wheelbase  # from the rear axle, which the vehicle turns about, to the middle
        bend = np.tan(steer * self._geometry.steering_lock) / (2.0 * base)
        turn = bend * way
        rear = (way, 0.0) if abs(bend) < 1e-6 else (sin(turn) / bend, (1.0 - cos(turn)) / bend)
        middle = rear[0] - base + base * cos(turn), rear[1] + base * sin(turn)
        return (points - middle) @ np.array([(cos(turn), -sin(turn)), (sin(turn), cos(turn))])


def _outline(body: RoadUser) -> np.ndarray:
    """Return points on the edge of a road user's box, f64 (N, 2), m, world."""
    across = np.linspace(-1.0, 1.0, 9)
    ends = np.ones(9)
    units = np.concatenate([np.stack(pair, 1) for end in (-ends, ends) for pair in ((across, end), (end, across))])
    c, s = cos(body.yaw), sin(body.yaw)
    local = units * (body.half_length, body.half_width)
    return np.asarray(local @ np.array([(c, s), (-s, c)]) + (body.x, body.y))
