"""The map as a scenario needs it: places, the shortest way to them along lanes, markings that are crossed."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import carla

from bridge.carla_client.autopilot import STEP
from scenarios.engine.loader import Loaded
from scenarios.engine.snapshot import Invasion, State, corners
from scenarios.language.conditions import Place, Spawn

LANE_CHANGE = 20.0  # m that a lane change counts as when ways are compared, and takes at most
LONGEST = 20_000  # points of a route
BESIDE = 6.0  # m from a route within which somebody is still on it

_Lane = tuple[int, int, int]  # road, section, lane


@dataclass(frozen=True)
class RoutePoint:
    """A point of a route, ``STEP`` metres from the one before: its lane there, and where the way runs, metres."""

    way: carla.Waypoint
    x: float
    y: float


class Places:
    """Finds what a scenario's places name on a map. Raises ``ScenarioError`` with the line."""

    def __init__(self, town: carla.Map, loaded: Loaded) -> None:
        self.town = town
        self._loaded = loaded
        self._start: carla.Waypoint | None = None  # where the ego begins
        self._edges: dict[_Lane, list[tuple[float, _Lane]]] | None = None

    def begin_at(self, start: carla.Waypoint) -> None:
        """From here on there is something that ``ahead`` is ahead of."""
        self._start = start

    def find(self, place: Place, *key: str | int) -> carla.Waypoint:
        """The waypoint of a place, in the middle of its lane."""
        town, error = self.town, self._loaded.error
        if place.point is not None:
            points = town.get_spawn_points()
            if place.point >= len(points):
                raise error(f"this map has spawn points 0 to {len(points) - 1}", *key, "point")
            way = town.get_waypoint(points[place.point].location)
        elif place.ahead is not None:
            if self._start is None:
                raise error("is relative to the ego, which is not there yet", *key, "ahead")
            way = along(self._start, place.ahead)
            if way is None:
                raise error(f"the road does not go on for {abs(place.ahead):g} m", *key, "ahead")
        elif place.x is not None:
            way = town.get_waypoint(carla.Location(place.x, place.y or 0.0, 0.0))
            if way is None:
                raise error("there is no lane near", *key, "x")
        elif place.t is not None:
            way = self._beside_line(place)
            if way is None:
                raise error(f"this map has no road {place.road} at s = {place.s:g}", *key, "road")
        else:
            way = town.get_waypoint_xodr(place.road, place.lane, place.s)
            if way is None:
                there = f"road {place.road} with lane {place.lane} at s = {place.s:g}"
                raise error(f"this map has no {there}", *key, "road")
        for _ in range(abs(place.lanes) if isinstance(place, Spawn) else 0):
            way = way.get_right_lane() if place.lanes > 0 else way.get_left_lane()  # type: ignore[attr-defined]
            if way is None:
                raise error("there is no such lane", *key, "lanes")
        return way

    def _beside_line(self, place: Place) -> carla.Waypoint | None:
        """The lane nearest to a place that is so far from its road's reference line."""
        assert place.t is not None
        for lane in (-1, 1):
            way = self.town.get_waypoint_xodr(place.road, lane, place.s)
            if way is not None:
                # The middle of lane -1 is half its width to the right of the line, and looks along the road.
                right = -place.t - 0.5 * way.lane_width if lane < 0 else place.t - 0.5 * way.lane_width
                at, aside = way.transform.location, way.transform.get_right_vector()
                return self.town.get_waypoint(carla.Location(at.x + right * aside.x, at.y + right * aside.y, at.z))
        return None

    def route(self, start: carla.Waypoint, via: Sequence[Place], *key: str | int) -> list[RoutePoint]:
        """The shortest way from ``start`` past all places of ``via``, a point each ``STEP`` metres."""
        points: list[RoutePoint] = []
        for k, place in enumerate(via):
            end = self.find(place, *key, k)
            lanes = self._lanes(start, end)
            if lanes is None:
                raise self._loaded.error("no lane leads there", *key, k)
            points += _walk(start, end, lanes)
            if len(points) > LONGEST:
                raise self._loaded.error(f"the way there is over {LONGEST * STEP / 1000:.0f} km long", *key, k)
            start = end
        return points

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


def along(way: carla.Waypoint, metres: float) -> carla.Waypoint | None:
    """The waypoint so far along the road (negative: back), straight on at junctions; None where the road ends."""
    left = abs(metres)
    while left > 0.01:
        ways = way.next(min(left, 2.0)) if metres > 0.0 else way.previous(min(left, 2.0))
        if not ways:
            return None
        yaw = way.transform.rotation.yaw
        way = min(
            sorted(ways, key=lambda w: (w.road_id, w.lane_id)),
            key=lambda w: abs((_far_yaw(w) - yaw + 180.0) % 360.0 - 180.0),
        )
        left -= 2.0
    return way


class Progress:
    """How far somebody has come on a route."""

    def __init__(self, points: Sequence[RoutePoint]) -> None:
        self._points = points
        self._at = 0

    def update(self, x: float, y: float) -> None:
        """Take in where they are now. Only forward, and only a little at a time: routes may cross themselves."""
        near = range(self._at, min(self._at + 12, len(self._points)))
        away, k = min((hypot(self._points[k].x - x, self._points[k].y - y), k) for k in near)
        if away < BESIDE:
            self._at = k

    @property
    def metres(self) -> float:
        return self._at * STEP

    @property
    def length(self) -> float:
        """Of the route, metres."""
        return (len(self._points) - 1) * STEP

    @property
    def done(self) -> bool:
        """Whether the end is reached, but for the nose of a vehicle."""
        return self._at >= len(self._points) - 4


class LaneWatch:
    """Notices when a vehicle crosses a marking of its lane: once from the first wheel over it until all are on one
    side again. Junctions have no markings. CARLA's own sensor does the same from the corners of the vehicle's box."""

    def __init__(self, town: carla.Map) -> None:
        self._town = town
        self._crossing = False

    def look(self, time: float, state: State) -> Invasion | None:
        """The invasion that begins at this tick, if one does."""
        here = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        if here is None or here.is_junction:
            return None  # as it was: a crossing that goes on through a junction is still the same
        middle, right = here.transform.location, here.transform.get_right_vector()
        over: carla.Waypoint | None = None
        for x, y in corners(state):
            there = self._town.get_waypoint(carla.Location(x, y, state.z), lane_type=carla.LaneType.Any)
            if there is not None and there.road_id == here.road_id and there.lane_id != here.lane_id:
                over, aside = there, (x - middle.x) * right.x + (y - middle.y) * right.y
        before, self._crossing = self._crossing, over is not None
        if over is None or before:
            return None
        side = "right" if aside > 0.0 else "left"
        marking = here.right_lane_marking if aside > 0.0 else here.left_lane_marking
        if marking is None or marking.type == carla.LaneMarkingType.NONE:
            return None  # there is nothing to cross
        return Invasion(time, side, str(marking.type))


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


def _far_yaw(way: carla.Waypoint) -> float:
    """Where the road leads from here: the heading some metres on."""
    on = way.next(8.0)
    return float((on[0] if on else way).transform.rotation.yaw)
