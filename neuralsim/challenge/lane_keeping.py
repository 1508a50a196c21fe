"""Where a vehicle is within the lanes of a chart."""

from math import cos, sin

import numpy as np

from bridge.messages import Chart

_ALONG = 0.5  # least cosine between the heading and a lane that counts as its direction
_AWAY = 6.0  # m: further than this from every lane it is off the road


class LaneFinder:
    """The distance of a vehicle from the middle of the nearest lane in its direction."""

    def __init__(self, chart: Chart) -> None:
        lines = [np.asarray(line, np.float64) for line in chart.lines if len(line) > 1]
        self._begins = np.concatenate([line[:-1] for line in lines] or [np.zeros((0, 2))])
        ways = np.concatenate([np.diff(line, axis=0) for line in lines] or [np.zeros((0, 2))])
        self._lengths = np.maximum(np.hypot(ways[:, 0], ways[:, 1]), 1e-6)
        self._ways = ways / self._lengths[:, None]

    def offset(self, x: float, y: float, yaw: float) -> float | None:
        """Return how far it is from that lane's middle, None off the road or against the traffic. Metres, radians."""
        away = np.array([x, y]) - self._begins
        along = (away * self._ways).sum(axis=1)
        aside = away[:, 1] * self._ways[:, 0] - away[:, 0] * self._ways[:, 1]
        beyond = np.maximum(np.maximum(-along, along - self._lengths), 0.0)
        distance = np.hypot(aside, beyond)
        distance[self._ways @ (cos(yaw), sin(yaw)) < _ALONG] = np.inf
        nearest = float(distance.min(initial=np.inf))
        return nearest if nearest < _AWAY else None
