"""Navigation to a destination that the driver has chosen on the map, and the chart that shows that map."""

from math import hypot, radians

import numpy as np

from bridge.carla_client.routing.autopilot import Autopilot, Halt, RoadUser
from bridge.carla_client.routing.lane_following import until_lane_end
from bridge.carla_client.routing.lane_path import STEP
from bridge.carla_client.routing.route_planner import RoutePlanner, RoutePoint
from bridge.carla_library import carla
from bridge.messages import Chart, Control

_SPACING = 4.0  # m between points of the chart's lines
_MAX_CHART_POINTS = 30_000  # larger maps are drawn more coarsely
_SENT_EVERY = 4  # one of this many points of the route is sent to the driver
_MAX_SENT = 1_200  # points sent
_OFF_ROUTE = 25.0  # m from the route at which it is planned again
_ARRIVED = 9.0  # m
_TRAFFIC_RANGE = 160.0  # m


class ChartSender:
    """Decides which frames carry the chart of a map: the first one, and those requested by a control."""

    def __init__(self, town: carla.Map) -> None:
        self._chart = lane_chart(town)
        self._is_sent = False

    def due(self, has: str) -> Chart | None:
        """Return the chart to send to a receiver that ``has`` that of a map; "?": it has none, "": it needs none."""
        is_due = not self._is_sent or has not in ("", self._chart.name)
        self._is_sent = True
        return self._chart if is_due else None


def lane_chart(town: carla.Map) -> Chart:
    """Return the lanes of a map as polylines, from its topology."""
    spacing = _SPACING
    while True:
        lines: list[np.ndarray] = []
        widths: list[float] = []
        for start, end in town.get_topology():
            waypoints = [start, *until_lane_end(start, spacing)]
            if waypoints[-1].transform.location.distance(end.transform.location) < 1.5 * spacing:
                waypoints.append(end)  # closes the gap to the next lane
            lines.append(np.array([(w.transform.location.x, w.transform.location.y) for w in waypoints], np.float32))
            widths.append(start.lane_width)
        if sum(map(len, lines)) <= _MAX_CHART_POINTS or spacing > 64.0:
            break
        spacing *= 2.0
    valid = [k for k, line in enumerate(lines) if len(line) > 1]
    return Chart(town.name, [lines[k] for k in valid], np.array([widths[k] for k in valid], np.float32)[:, None])


def nearby_traffic(bodies: list[RoadUser], x: float, y: float) -> np.ndarray:
    """Return f32 (N, 4): x, y (m), yaw (radians), 1 for pedestrians or 0 for vehicles, of road users near a place."""
    near = [b for b in bodies if hypot(b.x - x, b.y - y) < _TRAFFIC_RANGE]
    return np.array([(b.x, b.y, b.yaw, b.walks) for b in near], np.float32).reshape(-1, 4)


class Navigator:
    """Plans and tracks the route from the ego to the driver's destination.

    ``autopilot``: follows that route; None while something else drives. ``has_arrived``: whether the ego has reached a
    destination that nothing has replaced.
    """

    def __init__(self, town: carla.Map, autopilot: Autopilot | None = None) -> None:
        self._map, self._autopilot = town, autopilot
        self._planner = RoutePlanner(town)
        self.has_arrived = False
        self._end: carla.Waypoint | None = None
        self._points: list[RoutePoint] = []
        self._passed = 0

    @property
    def is_active(self) -> bool:
        """Whether there is a route."""
        return bool(self._points)

    @property
    def remaining(self) -> float:
        """Length of the rest of the route, m."""
        return max(len(self._points) - 1 - self._passed, 0) * STEP

    @property
    def halts(self) -> list[Halt]:
        """The end of the route, where the autopilot stops."""
        ends = self._points[-1:]
        return [Halt(end.x, end.y, radians(end.way.transform.rotation.yaw)) for end in ends]

    def set_destination(self, control: Control, here: carla.Location) -> str:
        """Plan the route from ``here`` to the destination in ``control``, if any; return a notice, or ""."""
        self.stop()
        notice = self.go(control.goal_x, control.goal_y, here) if control.goal else ""
        self.update_autopilot()
        return notice

    def go(self, x: float, y: float, here: carla.Location) -> str:
        """Plan the route from ``here`` to the lane nearest to (``x``, ``y``), m; return why there is none, or ""."""
        self.stop()
        self._end = self._map.get_waypoint(carla.Location(x, y, here.z), lane_type=carla.LaneType.Driving)
        if self._end is None:
            return "No road there"
        return "" if self._plan(here) else "No route leads there"

    def stop(self) -> None:
        """Forget the route."""
        self._end, self._points, self._passed = None, [], 0
        self.has_arrived = False

    def follow(self, here: carla.Location) -> str:
        """Update to the ego's position, and plan again if it is off the route; return a notice, or ""."""
        notice = self._track(here)
        if notice:
            self.update_autopilot()
        return notice

    def update_autopilot(self) -> None:
        """Pass the rest of the route to the autopilot, which forgets its previous path."""
        if self._autopilot is not None:
            self._autopilot.reset()
            self._autopilot.follow((point.way, point.x, point.y) for point in self._ahead)

    def visible_route(self) -> np.ndarray:
        """Return the rest of the route, thinned out, f32 (N, 2), m."""
        points = self._ahead[: _MAX_SENT * _SENT_EVERY]
        thinned = [*points[::_SENT_EVERY], *points[-1:]]
        return np.array([(point.x, point.y) for point in thinned], np.float32).reshape(-1, 2)

    @property
    def _ahead(self) -> list[RoutePoint]:
        return self._points[self._passed :]

    def _track(self, here: carla.Location) -> str:
        if not self._points:
            return ""
        near = range(self._passed, min(self._passed + 40, len(self._points)))
        distance, k = min((hypot(self._points[k].x - here.x, self._points[k].y - here.y), k) for k in near)
        if distance < _OFF_ROUTE:
            self._passed = k
            last = self._points[-1]
            if hypot(last.x - here.x, last.y - here.y) < _ARRIVED and self.remaining < 3.0 * _ARRIVED:
                self.stop()
                self.has_arrived = True
                return "You have arrived"
            return ""
        if self._plan(here):
            return "Recalculating the route"
        self.stop()
        return "No route leads there any more"

    def _plan(self, here: carla.Location) -> bool:
        start = self._map.get_waypoint(here, lane_type=carla.LaneType.Driving)
        route = None if start is None or self._end is None else self._planner.plan(start, self._end)
        self._points, self._passed = route or [], 0
        return bool(route)
