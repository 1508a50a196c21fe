"""Where the ego begins: the map's spawn points in the order of a seed, those with road ahead before dead ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import carla
import numpy as np

ONWARD = (150.0, 80.0, 40.0, 20.0)  # m of road ahead that one would like to have


def onward(way: carla.Waypoint | None) -> float:
    """Metres of road ahead of a waypoint, so far as that matters: one of ``ONWARD``, or 0."""
    return 0.0 if way is None else next((distance for distance in ONWARD if way.next(distance)), 0.0)


class Places:
    """A map's spawn points, each to be had once before any of them again."""

    def __init__(self, town: carla.Map, seed: int) -> None:
        self._map = town
        self.points: list[Any] = town.get_spawn_points()
        self._order = [int(k) for k in np.random.default_rng(seed).permutation(len(self.points))]
        self._ahead: dict[int, float] = {}

    def __iter__(self) -> Iterator[carla.Transform]:
        """All of them, from the one behind that taken last; those with more road ahead first. Whoever stops has taken
        the one he stopped at."""
        for wanted in (*ONWARD, 0.0):
            for index in list(self._order):
                if index not in self._ahead:
                    self._ahead[index] = onward(self._map.get_waypoint(self.points[index].location))
                if self._ahead[index] == wanted:
                    self._order.remove(index)
                    self._order.append(index)
                    yield self.points[index]
