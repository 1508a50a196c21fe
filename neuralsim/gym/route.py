"""The route of an episode: a vehicle's position along and across it."""

from collections.abc import Sequence

import numpy as np

from bridge.carla_client.routing.route_planner import RoutePoint

_POINTS_BACK = 5  # searched before the last known position: routes may cross themselves
_POINTS_AHEAD = 25  # searched after it


class Route:
    """A route by its points, a metre apart; it tracks a vehicle.

    Attributes:
        points: The points with their waypoints, as the autopilot follows them.
        length: Its length, m.
        metres: Distance that the vehicle had covered at the last ``update``, m.
        offset: Distance of the vehicle's centre to the right of it, m.
        half_lane: Half the width of the lane there, m.
    """

    def __init__(self, points: Sequence[RoutePoint]) -> None:
        """Raise ``ValueError`` for fewer than two ``points``."""
        if len(points) < 2:
            raise ValueError("no route begins here: the road ends within two metres")
        self.points = list(points)
        self._xy = np.array([(point.x, point.y) for point in points])
        self._along = np.diff(self._xy, axis=0)
        self._lengths = np.maximum(np.hypot(*self._along.T), 1e-6)
        self._at = np.concatenate([[0.0], np.cumsum(self._lengths)])
        self._segment = 0
        self.length = float(self._at[-1])
        self.metres = self.offset = 0.0
        self.half_lane = points[0].way.lane_width / 2.0

    def update(self, x: float, y: float) -> None:
        """Update the vehicle's position, m."""
        first = max(self._segment - _POINTS_BACK, 0)
        part = slice(first, self._segment + _POINTS_AHEAD)
        along, lengths = self._along[part], self._lengths[part]
        away = (x, y) - self._xy[:-1][part]
        share = np.clip((away * along).sum(axis=1) / lengths**2, 0.0, 1.0)
        off = away - share[:, None] * along
        k = int(np.argmin((off**2).sum(axis=1)))
        aside = along[k, 0] * off[k, 1] - along[k, 1] * off[k, 0]  # y is to the right of x
        self.offset = float(np.copysign(np.hypot(*off[k]), aside))
        self.metres = float(self._at[first + k] + share[k] * lengths[k])
        self._segment = first + k
        self.half_lane = self.points[self._segment].way.lane_width / 2.0

    def ahead(self, metres: float) -> tuple[float, float]:
        """Return the point of the route ``metres`` ahead of the vehicle, at most its end: x, y, m."""
        distance = min(self.metres + metres, self.length)
        x, y = (float(np.interp(distance, self._at, self._xy[:, axis])) for axis in (0, 1))
        return x, y
