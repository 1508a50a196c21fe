"""The way to a place that the driver has pointed at, and the map that it is pointed at on."""

from __future__ import annotations

from math import hypot

import carla
import numpy as np

from bridge.carla_client.routing.autopilot import STEP, RoadUser
from bridge.carla_client.routing.lane_following import until_lane_end
from bridge.carla_client.routing.route_planner import RoutePlanner, RoutePoint
from bridge.messages import Chart

_SPACING = 4.0  # m between points of the chart's lines
_MOST_POINTS = 30_000  # of a chart; larger maps are drawn more coarsely
_EVERY = 4  # points of the way that one is shown of
_SHOWN = 1_200  # points of the way that lie ahead and are shown
_OFF = 25.0  # m from the way until it is planned anew
_ARRIVED = 9.0  # m
_TRAFFIC_RANGE = 160.0  # m


class Charts:
    """The chart of a map, for the first frame and then for those who ask."""

    def __init__(self, town: carla.Map) -> None:
        self._chart = chart_of(town)
        self._sent = False

    def due(self, had: str) -> Chart | None:
        """What is to be sent to who has the chart of the map ``had``: "?" has none, "" wants none."""
        due = not self._sent or had not in ("", self._chart.name)
        self._sent = True
        return self._chart if due else None


def chart_of(town: carla.Map) -> Chart:
    """The lanes of a map as lines, by its topology."""
    spacing = _SPACING
    while True:
        lines: list[np.ndarray] = []
        widths: list[float] = []
        for here, beyond in town.get_topology():
            ways = [here, *until_lane_end(here, spacing)]
            if ways[-1].transform.location.distance(beyond.transform.location) < 1.5 * spacing:
                ways.append(beyond)  # without a gap to what follows
            lines.append(np.array([(w.transform.location.x, w.transform.location.y) for w in ways], np.float32))
            widths.append(here.lane_width)
        if sum(map(len, lines)) <= _MOST_POINTS or spacing > 64.0:
            break
        spacing *= 2.0
    whole = [k for k, line in enumerate(lines) if len(line) > 1]
    return Chart(town.name, [lines[k] for k in whole], np.array([widths[k] for k in whole], np.float32)[:, None])


def traffic_around(bodies: list[RoadUser], x: float, y: float) -> np.ndarray:
    """f32 (N, 4): x, y (m), yaw (radians) and 1 for those on foot, 0 for vehicles, of road users near a place."""
    near = [b for b in bodies if hypot(b.x - x, b.y - y) < _TRAFFIC_RANGE]
    return np.array([(b.x, b.y, b.yaw, b.walks) for b in near], np.float32).reshape(-1, 4)


class Navigator:
    """Keeps the way from where the ego is to where it is to go."""

    def __init__(self, town: carla.Map) -> None:
        self._map = town
        self._planner = RoutePlanner(town)
        self._end: carla.Waypoint | None = None
        self._points: list[RoutePoint] = []
        self._at = 0

    @property
    def active(self) -> bool:
        """Whether there is a way."""
        return bool(self._points)

    @property
    def ahead(self) -> list[RoutePoint]:
        """What of the way lies ahead."""
        return self._points[self._at :]

    @property
    def left(self) -> float:
        """Metres of it."""
        return max(len(self._points) - 1 - self._at, 0) * STEP

    def go(self, x: float, y: float, here: carla.Location) -> str:
        """Plan the way from ``here`` to the lane nearest to (``x``, ``y``), m; returns why there is none, or ""."""
        self.stop()
        self._end = self._map.get_waypoint(carla.Location(x, y, here.z), lane_type=carla.LaneType.Driving)
        if self._end is None:
            return "No road there"
        return "" if self._plan(here) else "No way leads there"

    def stop(self) -> None:
        """Forget the way."""
        self._end, self._points, self._at = None, [], 0

    def follow(self, here: carla.Location) -> str:
        """Take in where the ego is now; returns what there is to say about that, "" if nothing."""
        if not self._points:
            return ""
        near = range(self._at, min(self._at + 40, len(self._points)))
        away, k = min((hypot(self._points[k].x - here.x, self._points[k].y - here.y), k) for k in near)
        if away < _OFF:
            self._at = k
            last = self._points[-1]
            if hypot(last.x - here.x, last.y - here.y) < _ARRIVED and self.left < 3.0 * _ARRIVED:
                self.stop()
                return "You have arrived"
            return ""
        if self._plan(here):
            return "Planning the way anew"
        self.stop()
        return "No way leads there any more"

    def shown(self) -> np.ndarray:
        """f32 (N, 2): the way ahead, thinned out, m."""
        points = self.ahead[: _SHOWN * _EVERY]
        some = [*points[::_EVERY], *points[-1:]]
        return np.array([(point.x, point.y) for point in some], np.float32).reshape(-1, 2)

    def _plan(self, here: carla.Location) -> bool:
        start = self._map.get_waypoint(here, lane_type=carla.LaneType.Driving)
        way = None if start is None or self._end is None else self._planner.way(start, self._end)
        self._points, self._at = way or [], 0
        return bool(way)
