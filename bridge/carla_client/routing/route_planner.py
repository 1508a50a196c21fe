"""The shortest route along lanes from one place of a map to another, for any CARLA map."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.carla_client.routing.lane_path import STEP, choose_branch, is_along
from bridge.carla_library import carla

LANE_CHANGE = 20.0  # m, cost of a lane change in the search, and its maximum length
LONGEST = 20_000  # points of a route

_Lane = tuple[int, int, int]  # road, section, lane


@dataclass(frozen=True)
class RoutePoint:
    """A point of a route, ``STEP`` metres from the previous one: a waypoint on its lane, and its position, metres."""

    way: carla.Waypoint
    x: float
    y: float


class RoutePlanner:
    """A route planner for ``town``; its graph of lanes is built when first needed."""

    def __init__(self, town: carla.Map) -> None:
        self.town = town
        self._edges: dict[_Lane, list[tuple[float, _Lane]]] | None = None

    def plan(self, start: carla.Waypoint, end: carla.Waypoint) -> list[RoutePoint] | None:
        """Return the shortest route from ``start`` to ``end``, a point every ``STEP`` metres; None if there is none.

        A route with more than ``LONGEST`` points is truncated just above that number.
        """
        lanes = self._lanes(start, end)
        return None if lanes is None else _walk(start, end, lanes)

    def _lanes(self, start: carla.Waypoint, end: carla.Waypoint) -> list[_Lane] | None:
        """Return the lanes of the shortest route (Dijkstra), None if there is none."""
        edges = self._graph()
        goal = _lane(end)
        ahead = (end.s - start.s) * (1.0 if is_along(start) else -1.0)
        if _lane(start) == goal and ahead >= 0.0:
            return [goal]
        frontier: list[tuple[float, _Lane, tuple[_Lane, ...]]] = [(0.0, _lane(start), (_lane(start),))]
        visited: set[_Lane] = set()
        while frontier:
            cost, lane, path = heapq.heappop(frontier)
            if lane == goal and len(path) > 1:
                return list(path)
            if lane in visited:
                continue
            if len(path) > 1:
                visited.add(lane)  # except the first one, to which a loop may lead back
            for length, following in edges.get(lane, ()):
                if following not in visited:
                    heapq.heappush(frontier, (cost + length, following, (*path, following)))
        return None

    def _graph(self) -> dict[_Lane, list[tuple[float, _Lane]]]:
        """Return the graph of lanes: from each lane, the costs in metres of its successors and adjacent lanes."""
        if self._edges is None:
            self._edges = {}
            for start, end in self.town.get_topology():
                a, b = start.transform.location, end.transform.location
                edges = self._edges.setdefault(_lane(start), [])
                edges.append((a.distance(b), _lane(end)))
                if start.is_junction or len(edges) > 1:
                    continue
                for adjacent in (start.get_left_lane(), start.get_right_lane()):
                    if _is_same_direction(start, adjacent):
                        edges.append((LANE_CHANGE, _lane(adjacent)))
        return self._edges


def route_ahead(
    town: carla.Map, place: tuple[float, float, float], metres: float, turn: str, random: np.random.Generator
) -> list[RoutePoint]:
    """Return the route along the lane nearest to ``place`` (x, y, z), m, a point every ``STEP`` metres.

    At junctions it continues as ``turn`` says (``bridge.carla_client.routing.autopilot.choose_branch``). It is shorter
    than ``metres`` if the road ends, and empty if there is no road.
    """
    way = town.get_waypoint(carla.Location(*place), lane_type=carla.LaneType.Driving)
    points: list[RoutePoint] = []
    while way is not None:
        location = way.transform.location
        points.append(RoutePoint(way, location.x, location.y))
        ways = way.next(STEP) if len(points) <= metres / STEP else []
        way = choose_branch(ways, turn, random) if ways else None
    return points


def _walk(start: carla.Waypoint, end: carla.Waypoint, lanes: Sequence[_Lane]) -> list[RoutePoint]:
    """Return points along ``lanes``, with a smooth transition wherever two successive lanes are adjacent."""
    points: list[RoutePoint] = []
    way, at = start, 0
    while len(points) <= LONGEST:
        while at + 1 < len(lanes) and _is_adjacent(lanes[at], lanes[at + 1]):
            points += _lane_change(way, _is_right(way, lanes[at + 1]))
            way, at = points.pop().way, at + 1
        location = way.transform.location
        points.append(RoutePoint(way, location.x, location.y))
        if at == len(lanes) - 1 and _lane(way) == _lane(end):
            ahead = (end.s - way.s) * (1.0 if is_along(way) else -1.0)
            if ahead <= 0.5 * STEP and (at > 0 or len(points) > 1 or ahead > -STEP):
                break
        rest = set(lanes[at : at + 8])
        ways = sorted(way.next(STEP), key=lambda w: (w.road_id, w.lane_id))
        ways = [w for w in ways if _lane(w) in rest]
        if not ways:  # the end lies within the last metre of its lane
            break
        way = ways[0]
        while at + 1 < len(lanes) and _lane(way) != lanes[at] and _lane(way) in lanes[at + 1 :]:
            at += 1
    return points


def _lane_change(way: carla.Waypoint, to_right: bool) -> list[RoutePoint]:
    """Return the points of a change from ``way`` to the adjacent lane, as long as that lane exists."""
    points: list[RoutePoint] = []
    count = int(LANE_CHANGE / STEP)
    for k in range(count + 1):
        adjacent = way.get_right_lane() if to_right else way.get_left_lane()
        if adjacent is None:
            break
        t = k / count
        t = t * t * (3.0 - 2.0 * t)
        here, there = way.transform.location, adjacent.transform.location
        points.append(RoutePoint(adjacent, here.x + t * (there.x - here.x), here.y + t * (there.y - here.y)))
        ways = [w for w in way.next(STEP) if _lane(w) == _lane(way)]
        if not ways:
            break
        way = ways[0]
    return points


def _lane(way: carla.Waypoint) -> _Lane:
    return way.road_id, way.section_id, way.lane_id


def _is_adjacent(a: _Lane, b: _Lane) -> bool:
    return a[:2] == b[:2] and a[2] != b[2]


def _is_right(way: carla.Waypoint, lane: _Lane) -> bool:
    right = way.get_right_lane()
    return right is not None and _lane(right) == lane


def _is_same_direction(way: carla.Waypoint, other: carla.Waypoint | None) -> bool:
    return other is not None and other.lane_type == carla.LaneType.Driving and way.lane_id * other.lane_id > 0
