"""Spawn points of a map in seeded order; those on a long straight lane come first, dead ends last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import cos, radians, sin
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.carla_client.routing.lane_following import ROAD_AHEAD
from bridge.carla_library import carla

if TYPE_CHECKING:
    from bridge.carla_client.routing.autopilot import RoadUser

#: m of straight lane ahead, likewise; at full throttle, a car covers 122 m in eight seconds
STRAIGHT = (125.0, 105.0, 85.0, 65.0, 45.0, 25.0)
CLEARANCE = 10.0  # m, Manhattan distance of a free place to road users
_STEP = 5.0  # m between places of a lane that are looked at
_ASIDE = 0.4  # m that a straight lane may deviate
_LANE = 1.2  # m to either side of the line ahead that nobody may be in
_GONE = 5.0  # s for which what drives away ahead is taken to do so


def road_ahead(way: carla.Waypoint | None) -> float:
    """Return the metres of road ahead of a waypoint, rounded down to one of ``ROAD_AHEAD`` or 0."""
    return 0.0 if way is None else next((distance for distance in ROAD_AHEAD if way.next(distance)), 0.0)


def straight_ahead(way: carla.Waypoint | None) -> float:
    """Return the metres of straight lane without a junction ahead, rounded down to one of ``STRAIGHT`` or 0."""
    if way is None:
        return 0.0
    start = way.transform

    def goes_on(metres: float) -> bool:
        return any(
            not ahead.is_junction and abs(start.inverse_transform(ahead.transform.location).y) < _ASIDE
            for ahead in way.next(metres)
        )

    reach = next((m for m in np.arange(_STEP, STRAIGHT[0] + _STEP, _STEP).tolist() if not goes_on(m)), np.inf)
    return next((distance for distance in STRAIGHT if distance < reach), 0.0)


def is_clear(place: carla.Transform, bodies: Iterable[RoadUser]) -> bool:
    """Return whether no road user is in the way of a car that starts at a place with full throttle."""
    c, s = cos(radians(place.rotation.yaw)), sin(radians(place.rotation.yaw))
    for body in bodies:
        x, y = body.x - place.location.x, body.y - place.location.y
        size = max(body.half_length, body.half_width)
        along, away = c * x + s * y, max(c * body.vx + s * body.vy, 0.0)
        if -size < along < STRAIGHT[0] + size - _GONE * away and abs(c * y - s * x) < _LANE + body.half_width:
            return False
    return True


class SpawnPoints:
    """A cycle through a map's spawn points: each is used once before any repeats.

    ``points``: the spawn points, None for those of ``town``.
    """

    def __init__(self, town: carla.Map, seed: int, points: Sequence[carla.Transform] | None = None) -> None:
        self._map = town
        self.points: list[Any] = town.get_spawn_points() if points is None else list(points)
        self._order = [int(k) for k in np.random.default_rng(seed).permutation(len(self.points))]
        self._ahead: dict[int, tuple[float, float]] = {}  # m of straight lane and of road

    def __iter__(self) -> Iterator[carla.Transform]:
        """Yield all points, those with more straight lane and then more road ahead first.

        The point at which the caller stops iterating counts as used.
        """
        for index in self._order:
            if index not in self._ahead:
                way = self._map.get_waypoint(self.points[index].location)
                self._ahead[index] = straight_ahead(way), road_ahead(way)
        for index in sorted(self._order, key=self._ahead.__getitem__, reverse=True):
            self._order.remove(index)
            self._order.append(index)
            yield self.points[index]


def first_free(points: SpawnPoints, bodies: Sequence[RoadUser]) -> carla.Transform | None:
    """Return the first place away from road users, if possible with a free lane ahead; None if all are taken."""
    place = None
    for point in points:
        x, y = point.location.x, point.location.y
        if all(abs(body.x - x) + abs(body.y - y) > CLEARANCE for body in bodies):
            place = place or point
            if is_clear(point, bodies):
                return point
    return place
