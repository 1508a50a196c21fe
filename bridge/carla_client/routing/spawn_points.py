"""Spawn points of a map in seeded order; those with road ahead come before dead ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import carla
import numpy as np

ROAD_AHEAD = (150.0, 80.0, 40.0, 20.0)  # m of road ahead of a spawn point, in order of preference


def road_ahead(way: carla.Waypoint | None) -> float:
    """Return the metres of road ahead of a waypoint, rounded down to one of ``ROAD_AHEAD`` or 0."""
    return 0.0 if way is None else next((distance for distance in ROAD_AHEAD if way.next(distance)), 0.0)


class SpawnPoints:
    """A cycle through a map's spawn points: each is used once before any repeats."""

    def __init__(self, town: carla.Map, seed: int) -> None:
        self._map = town
        self.points: list[Any] = town.get_spawn_points()
        self._order = [int(k) for k in np.random.default_rng(seed).permutation(len(self.points))]
        self._ahead: dict[int, float] = {}

    def __iter__(self) -> Iterator[carla.Transform]:
        """Yield all points, those with more road ahead first, beginning after the last one used.

        The point at which the caller stops iterating counts as used.
        """
        for distance in (*ROAD_AHEAD, 0.0):
            for index in list(self._order):
                if index not in self._ahead:
                    self._ahead[index] = road_ahead(self._map.get_waypoint(self.points[index].location))
                if self._ahead[index] == distance:
                    self._order.remove(index)
                    self._order.append(index)
                    yield self.points[index]
