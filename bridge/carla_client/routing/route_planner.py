"""The shortest way along lanes from one place of a map to another, for any CARLA map."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import carla
import numpy as np

from bridge.carla_client.routing.autopilot import STEP, choose_way

LANE_CHANGE = 20.0  # m that a lane change counts as when ways are compared, and takes at most
LONGEST = 20_000  # points of a route

_Lane = tuple[int, int, int]  # road, section, lane


@dataclass(frozen=True)
class RoutePoint:
    """A point of a route, ``STEP`` metres from the one before: its lane there, and where the way runs, metres."""

    way: carla.Waypoint
    x: float
    y: float


class RoutePlanner:
    """Plans routes on ``town``; its graph of lanes is made when it is first needed."""

    def __init__(self, town: carla.Map) -> None:
        self.town = town
        self._edges: dict[_Lane, list[tuple[float, _Lane]]] | None = None

    def way(self, start: carla.Waypoint, end: carla.Waypoint) -> list[RoutePoint] | None:
        """The shortest way from ``start`` to ``end``, a point each ``STEP`` metres; None where no lane leads there.

        One that is cut off at ``LONGEST`` points has more than that.
        """
        lanes = self._lanes(start, end)
        return None if lanes is None else _walk(start, end, lanes)

    def _lanes(self, start: carla.Waypoint, end: carla.Waypoint) -> list[_Lane] | None:
        """The lanes of the shortest way (Dijkstra), None if there is none."""
        edges = self._graph()
        goal = _lane(end)
        ahead = (end.s - start.s) * (-1.0 if start.lane_id > 0 else 1.0)
        if _lane(start) == goal and ahead >= 0.0:
            return [goal]
        waiting: list[tuple[float, _Lane, tuple[_Lane, ...]]] = [(0.0, _lane(start), (_lane(start),))]
        done: set[_Lane] = set()
        while waiting:
            cost, lane, path = heapq.heappop(waiting)
            if lane == goal and len(path) > 1:
                return list(path)
            if lane in done:
                continue
            if len(path) > 1:
                done.add(lane)  # not the first one: a loop leads back to it
            for more, following in edges.get(lane, ()):
                if following not in done:
                    heapq.heappush(waiting, (cost + more, following, (*path, following)))
        return None

    def _graph(self) -> dict[_Lane, list[tuple[float, _Lane]]]:
        """From each lane where one can go on, with metres: straight on, and to the lanes beside it."""
        if self._edges is None:
            self._edges = {}
            for here, on in self.town.get_topology():
                a, b = here.transform.location, on.transform.location
                known = self._edges.setdefault(_lane(here), [])
                known.append((a.distance(b), _lane(on)))
                if here.is_junction or len(known) > 1:
                    continue
                for beside in (here.get_left_lane(), here.get_right_lane()):
                    if _same_way(here, beside):
                        known.append((LANE_CHANGE, _lane(beside)))
        return self._edges


def way_ahead(
    town: carla.Map, place: tuple[float, float, float], metres: float, turn: str, random: np.random.Generator
) -> list[RoutePoint]:
    """The way along the lane nearest to ``place`` (x, y, z), m, a point each ``STEP`` metres.

    At junctions it goes on as ``turn`` says (``bridge.carla_client.routing.autopilot.choose_way``). It is shorter than
    ``metres`` where the road ends, and empty where there is no road.
    """
    way = town.get_waypoint(carla.Location(*place), lane_type=carla.LaneType.Driving)
    points: list[RoutePoint] = []
    while way is not None:
        location = way.transform.location
        points.append(RoutePoint(way, location.x, location.y))
        ways = way.next(STEP) if len(points) <= metres / STEP else []
        way = choose_way(ways, turn, random) if ways else None
    return points


def _walk(start: carla.Waypoint, end: carla.Waypoint, lanes: Sequence[_Lane]) -> list[RoutePoint]:
    """Points along ``lanes``, gliding over where the next lane is beside the one before."""
    points: list[RoutePoint] = []
    way, at = start, 0
    while len(points) <= LONGEST:
        while at + 1 < len(lanes) and _beside(lanes[at], lanes[at + 1]):
            points += _change(way, _right(way, lanes[at + 1]))
            way, at = points.pop().way, at + 1
        location = way.transform.location
        points.append(RoutePoint(way, location.x, location.y))
        if at == len(lanes) - 1 and _lane(way) == _lane(end):
            ahead = (end.s - way.s) * (-1.0 if way.lane_id > 0 else 1.0)
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


def _change(way: carla.Waypoint, right: bool) -> list[RoutePoint]:
    """From ``way`` over to the lane beside, as long as that one is there."""
    points: list[RoutePoint] = []
    count = int(LANE_CHANGE / STEP)
    for k in range(count + 1):
        beside = way.get_right_lane() if right else way.get_left_lane()
        if beside is None:
            break
        share = k / count
        share = share * share * (3.0 - 2.0 * share)
        here, there = way.transform.location, beside.transform.location
        points.append(RoutePoint(beside, here.x + share * (there.x - here.x), here.y + share * (there.y - here.y)))
        ways = [w for w in way.next(STEP) if _lane(w) == _lane(way)]
        if not ways:
            break
        way = ways[0]
    return points


def _lane(way: carla.Waypoint) -> _Lane:
    return way.road_id, way.section_id, way.lane_id


def _beside(a: _Lane, b: _Lane) -> bool:
    return a[:2] == b[:2] and a[2] != b[2]


def _right(way: carla.Waypoint, lane: _Lane) -> bool:
    beside = way.get_right_lane()
    return beside is not None and _lane(beside) == lane


def _same_way(here: carla.Waypoint, beside: carla.Waypoint | None) -> bool:
    return (
        beside is not None and beside.lane_type == carla.LaneType.Driving and here.lane_id * beside.lane_id > 0
    )  # fmt: skip
