"""Map queries of the scenario engine: places, shortest routes along lanes, crossed lane markings."""

from collections.abc import Mapping, Sequence
from math import cos, hypot, radians

from bridge.carla_client.routing.lane_path import STEP, is_along
from bridge.carla_client.routing.route_planner import LONGEST, RoutePlanner, RoutePoint
from bridge.carla_library import carla
from scenarios.engine.loader import LoadedScenario
from scenarios.engine.snapshot import ActorState, Invasion, corners
from scenarios.language.actions import Waymark
from scenarios.language.conditions import Place, Spawn

ON_ROUTE = 6.0  # m from a route within which an actor is still on it
_BEND = 0.4  # m that a lane's edge may bend over the length of half a vehicle


class PlaceFinder:
    """Resolves a scenario's places on a map. Raises ``ScenarioError`` with the line."""

    def __init__(self, town: carla.Map, loaded: LoadedScenario) -> None:
        self.town = town
        self._loaded = loaded
        self._start: carla.Waypoint | None = None  # of the ego
        self._states: Mapping[str, ActorState] | None = None  # at this tick
        self._planner = RoutePlanner(town)

    def begin_at(self, start: carla.Waypoint) -> None:
        """Set the start of the ego, to which ``ahead`` refers."""
        self._start = start

    def update(self, states: Mapping[str, ActorState]) -> None:
        """Update the actors' states."""
        self._states = states

    def is_pending(self, place: Place) -> bool:
        """Return whether a place is not known yet, because it is relative to a moving actor."""
        return place.of is not None and self._states is None

    def find(self, place: Place, *key: str | int) -> carla.Waypoint:
        """Return the waypoint of a place, in the middle of its lane."""
        town, error = self.town, self._loaded.error
        if place.point is not None:
            points = town.get_spawn_points()
            if place.point >= len(points):
                raise error(f"this map has spawn points 0 to {len(points) - 1}", *key, "point")
            way = town.get_waypoint(points[place.point].location)
        elif place.ahead is not None:
            start = self._start
            if place.of is not None and self._states is not None:
                state = self._states[place.of]
                start = town.get_waypoint(carla.Location(state.x, state.y, state.z))
                # Along the road in the direction that the actor faces, whatever the direction of its lane.
                backwards = start is not None and cos(state.yaw - radians(start.transform.rotation.yaw)) < 0.0
                place = place.model_copy(update={"ahead": -place.ahead}) if backwards else place
            if start is None or place.ahead is None:
                raise error("is relative to an actor that does not exist yet", *key, "ahead")
            way = along(start, place.ahead)
            if way is None:
                raise error(f"the road does not continue for {abs(place.ahead):g} m", *key, "ahead")
        elif place.x is not None:
            way = town.get_waypoint(carla.Location(place.x, place.y or 0.0, 0.0))
            if way is None:
                raise error("there is no lane near", *key, "x")
        elif place.t is not None:
            way = self._at_offset(place)
            if way is None:
                raise error(f"this map has no road {place.road} at s = {place.s:g}", *key, "road")
        else:
            way = town.get_waypoint_xodr(place.road, place.lane, place.s)
            if way is None:
                lane = f"road {place.road} with lane {place.lane}"
                raise error(f"this map has no {lane} at s = {place.s:g}", *key, "road")
        lanes = place.lanes if isinstance(place, Spawn | Waymark) else 0
        for _ in range(abs(lanes)):
            way = way.get_right_lane() if lanes > 0 else way.get_left_lane()
            if way is None:
                raise error("there is no such lane", *key, "lanes")
        return way

    def _at_offset(self, place: Place) -> carla.Waypoint | None:
        """Return the lane nearest to a place at offset ``t`` from its road's reference line."""
        assert place.t is not None
        for lane in (-1, 1):
            way = self.town.get_waypoint_xodr(place.road, lane, place.s)
            if way is not None:
                # The middle of lane -1 is half its width to the right of the line, which is to the left of lane 1.
                left = place.t - 0.5 * way.lane_width * lane
                right = -left if is_along(way) else left
                at, aside = way.transform.location, way.transform.get_right_vector()
                return self.town.get_waypoint(carla.Location(at.x + right * aside.x, at.y + right * aside.y, at.z))
        return None

    def route(self, start: carla.Waypoint, via: Sequence[Place], *key: str | int) -> list[RoutePoint]:
        """Return the shortest route from ``start`` through all places of ``via``, a point every ``STEP`` metres."""
        points: list[RoutePoint] = []
        for k, place in enumerate(via):
            end = self.find(place, *key, k)
            way = self._planner.plan(start, end)
            if way is None:
                raise self._loaded.error("no lane leads there", *key, k)
            points += way
            if len(points) > LONGEST:
                raise self._loaded.error(f"the route is over {LONGEST * STEP / 1000:.0f} km long", *key, k)
            start = end
        return points


def along(way: carla.Waypoint, metres: float) -> carla.Waypoint | None:
    """Return the waypoint ``metres`` along the road (negative: back), straight on at junctions; None if it ends."""
    remaining = abs(metres)
    while remaining > 0.01:
        ways = way.next(min(remaining, 2.0)) if metres > 0.0 else way.previous(min(remaining, 2.0))
        if not ways:
            return None
        yaw = way.transform.rotation.yaw
        way = min(
            sorted(ways, key=lambda w: (w.road_id, w.lane_id)),
            key=lambda w: abs((_far_yaw(w) - yaw + 180.0) % 360.0 - 180.0),
        )
        remaining -= 2.0
    return way


class RouteProgress:
    """An actor's progress along a route."""

    def __init__(self, points: Sequence[RoutePoint]) -> None:
        self._points = points
        self._at = 0

    def update(self, x: float, y: float) -> None:
        """Update to the actor's position. Progress is only forward and in small steps: routes may cross themselves."""
        near = range(self._at, min(self._at + 12, len(self._points)))
        distance, k = min((hypot(self._points[k].x - x, self._points[k].y - y), k) for k in near)
        if distance < ON_ROUTE:
            self._at = k

    @property
    def metres(self) -> float:
        """Metres covered."""
        return self._at * STEP

    @property
    def length(self) -> float:
        """Length of the route, metres."""
        return (len(self._points) - 1) * STEP

    @property
    def done(self) -> bool:
        """Whether the end is reached, within about half the length of a vehicle."""
        return self._at >= len(self._points) - 4


class LaneInvasionDetector:
    """Detects when a vehicle crosses a marking of its lane.

    An invasion lasts from the first wheel over the marking until all are on one side again. Junctions have no markings.
    CARLA's own sensor uses the corners of the vehicle's box in the same way.
    """

    def __init__(self, town: carla.Map) -> None:
        self._town = town
        self._crossing = False

    def look(self, time: float, state: ActorState) -> Invasion | None:
        """Return the invasion that begins at this tick, if there is one."""
        here = self._town.get_waypoint(carla.Location(state.x, state.y, state.z))
        if here is None or here.is_junction:
            return None  # unchanged: a crossing that continues through a junction is still the same one
        middle, right = here.transform.location, here.transform.get_right_vector()
        over: carla.Waypoint | None = None
        within = here.lane_width / 2.0 - _BEND
        for x, y in corners(state):
            offset = (x - middle.x) * right.x + (y - middle.y) * right.y
            if abs(offset) < within:
                continue  # no need to search the map, which takes .2 ms
            there = self._town.get_waypoint(carla.Location(x, y, state.z), lane_type=carla.LaneType.Any)
            if there is not None and there.road_id == here.road_id and there.lane_id != here.lane_id:
                over, aside = there, offset
        before, self._crossing = self._crossing, over is not None
        if over is None or before:
            return None
        side = "right" if aside > 0.0 else "left"
        marking = here.right_lane_marking if aside > 0.0 else here.left_lane_marking
        if marking is None or marking.type == carla.LaneMarkingType.NONE:
            return None  # no marking to cross
        return Invasion(time, side, str(marking.type))


def _far_yaw(way: carla.Waypoint) -> float:
    """Return the heading of the road 8 m ahead, degrees."""
    ahead = way.next(8.0)
    return float((ahead[0] if ahead else way).transform.rotation.yaw)
