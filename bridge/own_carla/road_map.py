"""An OpenDRIVE map with CARLA's waypoints and landmarks (ASAM OpenDRIVE 1.4; LibCarla's ``road/Map.cpp``).

What differs from ``carla.Map``: numbers are double, paramPoly3 is exact, and a place is projected to lanes sampled
every metre.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from bridge.own_carla.values import (
    LandmarkOrientation,
    LaneMarkingColor,
    LaneMarkingType,
    LaneType,
    Location,
    Rotation,
    Transform,
)
from bridge.reference_line import Profile, ReferenceLine, number

_STEP = 1.0  # m between samples of a lane, for the search of the nearest
_NEIGHBOURS = 12  # samples whose neighbours are looked at
_ROUNDING = 1e-9  # m
_EARTH = 6378137.0  # m, radius of CARLA's mercator projection
_ORIGIN = 42.0, 2.0  # degrees, latitude and longitude of a map without a reference, as in CARLA
_SIGNAL_AHEAD = 0.25  # m along the road by which CARLA shifts signals
_SIGNAL_MOVES = 10  # steps aside that CARLA moves a signal at most
_LANE_TYPES = {str(kind.name).lower(): kind for kind in LaneType}
_MARKINGS = {"".join(kind.name.lower().split()): kind for kind in LaneMarkingType}
_COLOURS = {kind.name.lower(): kind for kind in LaneMarkingColor} | {"white": LaneMarkingColor.Standard}
_ORIENTATIONS = {"+": LandmarkOrientation.Positive, "-": LandmarkOrientation.Negative}

LaneKey = tuple[int, int, int]  # road, section, lane


class LaneMarking(NamedTuple):
    """The marking at a lane's edge; ``width`` in metres."""

    type: Any
    color: Any
    width: float


class GeoLocation(NamedTuple):
    """Degrees and metres."""

    latitude: float
    longitude: float
    altitude: float


@dataclass
class _Lane:
    key: LaneKey
    kind: Any
    width: Profile
    marks: list[tuple[float, LaneMarking]]  # and the s from which each is valid
    links: tuple[int, int]  # ids of predecessor and successor along the road, 0: none
    is_along: bool  # traffic runs along the reference line
    next: list[_Lane] = field(default_factory=list)
    previous: list[_Lane] = field(default_factory=list)

    def marking(self, s: float) -> LaneMarking | None:
        known = [mark for start, mark in self.marks if start <= s + _ROUNDING]
        return known[-1] if known else None


class _Section(NamedTuple):
    start: float
    end: float
    lanes: dict[int, _Lane]


class _Road:
    """One road with its lane sections; ``ends``: its predecessor and successor, (is a junction, id)."""

    def __init__(self, element: ET.Element) -> None:
        self.id, self.junction = int(element.get("id", "-1")), int(element.get("junction", "-1"))
        self.line = ReferenceLine(element)
        self.length = self.line.length
        self.offset = Profile(element.findall("./lanes/laneOffset"))
        self.ends: list[tuple[bool, int] | None] = []
        for name in ("predecessor", "successor"):
            link = element.find(f"./link/{name}")
            known = link is not None and link.get("elementId") is not None
            self.ends.append((link.get("elementType") == "junction", int(link.get("elementId"))) if known else None)  # type: ignore[union-attr, arg-type]
        keeps_left = element.get("rule") == "LHT"
        elements = sorted(element.findall("./lanes/laneSection"), key=lambda each: number(each, "s"))
        self.starts = [number(each, "s") for each in elements]
        self.sections = [
            _Section(start, end, {lane.key[2]: lane for lane in _lanes(each, (self.id, k), start, keeps_left)})
            for k, (each, start, end) in enumerate(
                zip(elements, self.starts, [*self.starts[1:], self.length], strict=True)
            )
        ]

    def section_at(self, s: float) -> int:
        return max(bisect_right(self.starts, s) - 1, 0)

    def across(self, section: int, lane: int, s: float) -> tuple[float, float]:
        """Return how far a lane's centre is to the right of the line of lane 0, m, and the slope of that along s."""
        lanes, sign = self.sections[section].lanes, -1 if lane < 0 else 1
        total = slope = 0.0
        for k in range(sign, lane + sign, sign):
            if k in lanes:
                width, change = lanes[k].width.at(s)
                share = 0.5 if k == lane else 1.0
                total, slope = total + share * width, slope + share * change
        return -sign * total, -sign * slope


def _lanes(section: ET.Element, place: tuple[int, int], start: float, keeps_left: bool) -> Iterator[_Lane]:
    for element in section.iter("lane"):
        ident = int(element.get("id", "0"))
        links = []
        for name in ("predecessor", "successor"):
            link = element.find(f"./link/{name}")
            links.append(0 if link is None else int(link.get("id", "0")))
        marks = []
        for mark in element.findall("roadMark"):
            kind = _MARKINGS.get("".join(mark.get("type", "").lower().split()), LaneMarkingType.Other)
            colour = _COLOURS.get(mark.get("color", "").lower(), LaneMarkingColor.Other)
            marks.append((start + number(mark, "sOffset"), LaneMarking(kind, colour, number(mark, "width"))))
        yield _Lane(
            (*place, ident),
            _LANE_TYPES.get(element.get("type", "").lower(), LaneType.NONE),
            Profile(element.findall("width"), "sOffset", start),
            sorted(marks, key=lambda each: each[0]),
            (links[0], links[1]),
            (ident < 0) != keeps_left,
        )


class Waypoint:
    """A point in the middle of a lane."""

    __slots__ = ("_lane", "_map", "s")

    def __init__(self, town: Map, lane: _Lane, s: float) -> None:
        self._map, self._lane, self.s = town, lane, s

    @property
    def road_id(self) -> int:
        """The OpenDRIVE road."""
        return self._lane.key[0]

    @property
    def section_id(self) -> int:
        """The index of the lane section."""
        return self._lane.key[1]

    @property
    def lane_id(self) -> int:
        """The OpenDRIVE lane."""
        return self._lane.key[2]

    @property
    def lane_type(self) -> Any:
        """A ``LaneType``."""
        return self._lane.kind

    @property
    def lane_width(self) -> float:
        """Metres."""
        return self._lane.width.at(self.s)[0]

    @property
    def is_junction(self) -> bool:
        """Whether its road is part of a junction."""
        return self._road.junction != -1

    @property
    def transform(self) -> Transform:
        """A copy of its pose, whose yaw is the direction of travel."""
        road, s = self._road, self.s
        right, slope = road.across(*self._lane.key[1:], s)
        offset, offset_slope = road.offset.at(s)
        point = road.line.at(s)
        yaw, aside = math.radians(point.yaw), right - offset
        pitch = math.degrees(road.line.height.at(s)[1])
        turn = math.degrees(slope - offset_slope)
        x, y = point.x - aside * math.sin(yaw), point.y + aside * math.cos(yaw)
        rotation = (
            Rotation(pitch, point.yaw + turn) if self._lane.is_along else Rotation(-pitch, point.yaw + turn + 180.0)
        )
        return Transform(Location(x, y, point.z), rotation)

    @property
    def right_lane_marking(self) -> LaneMarking | None:
        """The marking on its right edge."""
        return self._marking(self._is_outwards(to_right=True))

    @property
    def left_lane_marking(self) -> LaneMarking | None:
        """The marking on its left edge."""
        return self._marking(self._is_outwards(to_right=False))

    def _is_outwards(self, to_right: bool) -> bool:
        """Return whether that side of the lane is away from the middle of the road."""
        return ((self.lane_id < 0) == self._lane.is_along) == to_right

    def _marking(self, outer: bool) -> LaneMarking | None:
        lane = self._lane if outer else self._section.lanes.get(self.lane_id + (1 if self.lane_id < 0 else -1))
        return None if lane is None else lane.marking(self.s)

    def next(self, distance: float) -> list[Waypoint]:
        """Return the places ``distance`` metres further in the direction of travel: none where the road ends."""
        return self._moved(distance, onwards=True)

    def previous(self, distance: float) -> list[Waypoint]:
        """Return the places ``distance`` metres back."""
        return self._moved(distance, onwards=False)

    def _moved(self, distance: float, onwards: bool) -> list[Waypoint]:
        section, grows = self._section, self._lane.is_along == onwards
        rest = section.end - self.s if grows else self.s - section.start
        if distance <= rest:
            return [Waypoint(self._map, self._lane, self.s + (distance if grows else -distance))]
        found: list[Waypoint] = []
        for lane in self._lane.next if onwards else self._lane.previous:
            other = self._map.section_of(lane)
            begin = Waypoint(self._map, lane, other.start if lane.is_along == onwards else other.end)
            found += begin._moved(distance - rest, onwards) if other.end > other.start else []
        return found

    def get_right_lane(self) -> Waypoint | None:
        """Return the place beside it on the lane to its right."""
        return self._beside(self._is_outwards(to_right=True))

    def get_left_lane(self) -> Waypoint | None:
        """Return the place beside it on the lane to its left, of the other direction beyond the middle."""
        return self._beside(self._is_outwards(to_right=False))

    def _beside(self, outwards: bool) -> Waypoint | None:
        ident, sign = self.lane_id, 1 if self.lane_id > 0 else -1
        lane = self._section.lanes.get(ident + sign if outwards else -ident if abs(ident) == 1 else ident - sign)
        return None if lane is None else Waypoint(self._map, lane, self.s)

    @property
    def _road(self) -> _Road:
        return self._map.roads[self._lane.key[0]]

    @property
    def _section(self) -> _Section:
        return self._road.sections[self._lane.key[1]]


class Landmark:
    """A signal of the map, or a reference to one from another road."""

    def __init__(self, road: int, place: ET.Element, signal: ET.Element, transform: Transform, lanes: Any) -> None:
        self.road_id, self.s, self.transform = road, number(place, "s"), transform
        self.id, self.type, self.sub_type = signal.get("id", ""), signal.get("type", ""), signal.get("subtype", "")
        self.orientation = _ORIENTATIONS.get(place.get("orientation", ""), LandmarkOrientation.Both)
        self.z_offset, self.value = number(signal, "zOffset"), number(signal, "value")
        self._lanes = lanes

    def get_lane_validities(self) -> list[tuple[int, int]]:
        """Return the lanes for which it is valid, as pairs of the first and the last id."""
        return list(self._lanes)


class Map:
    """A map from OpenDRIVE text; ``spawn_points``: those of the world that it is of.

    Raises:
        RuntimeError: The text is not a usable map.
    """

    def __init__(self, name: str, opendrive: str, spawn_points: Any = ()) -> None:
        self.name, self._opendrive, self._spawn_points = name, opendrive, list(spawn_points)
        try:
            root = ET.fromstring(opendrive)
            self.roads = {road.id: road for road in map(_Road, root.findall("road"))}
            self._link(root)
        except (ET.ParseError, ValueError) as error:
            raise RuntimeError(f"not an OpenDRIVE map: {error}") from None
        if not self.roads:
            raise RuntimeError("the map has no road")
        self._root = root
        self._trees: dict[int, Any] = {}

    def section_of(self, lane: _Lane) -> Any:
        """Return the lane section that a lane is in."""
        return self.roads[lane.key[0]].sections[lane.key[1]]

    def to_opendrive(self) -> str:
        """Return the text."""
        return self._opendrive

    def get_spawn_points(self) -> list[Transform]:
        """Return copies of the world's spawn points."""
        return [Transform.read(point.wire()) for point in self._spawn_points]

    def get_waypoint_xodr(self, road_id: int, lane_id: int, s: float) -> Waypoint | None:
        """Return the place at road coordinates; None where there is no such lane."""
        road = self.roads.get(road_id)
        if road is None or not 0.0 <= s < road.length or not road.sections:
            return None
        lane = road.sections[road.section_at(s)].lanes.get(lane_id)
        return None if lane is None or lane_id == 0 else Waypoint(self, lane, s)

    def get_waypoint(
        self, location: Location, project_to_road: bool = True, lane_type: int = LaneType.Driving
    ) -> Waypoint | None:
        """Return the nearest place on a lane of ``lane_type``, without ``project_to_road`` only within that lane."""
        samples = self._samples(int(lane_type))
        if samples is None:
            return None
        tree, points, lanes, at = samples
        place = np.array([location.x, location.y, location.z], float)
        _, near = tree.query(place, min(_NEIGHBOURS, len(points)))
        best, found = math.inf, (0, 0.0)
        for k in {i for j in np.atleast_1d(near).tolist() for i in (j - 1, j) if 0 <= i < len(points) - 1}:
            if lanes[k] is not lanes[k + 1]:
                continue
            way = points[k + 1] - points[k]
            t = min(max(float((place - points[k]) @ way) / max(float(way @ way), 1e-12), 0.0), 1.0)
            away = float(np.linalg.norm(points[k] + t * way - place))
            if away < best - _ROUNDING:
                best, found = away, (k, t)
        k, t = found
        way_point = Waypoint(self, lanes[k], float(at[k] + t * (at[k + 1] - at[k])))
        if not project_to_road:
            centre = way_point.transform.location
            if math.hypot(centre.x - location.x, centre.y - location.y) >= way_point.lane_width / 2.0:
                return None
        return way_point

    def get_topology(self) -> list[tuple[Waypoint, Waypoint]]:
        """Return the beginning of each driving lane with that of each lane that follows."""
        return [
            (self._begin(lane), self._begin(other))
            for lane in self._all_lanes()
            if lane.kind == LaneType.Driving
            for other in lane.next
        ]

    def get_crosswalks(self) -> list[Location]:
        """Return the corners of all crosswalks; each repeats its first corner at its end."""
        corners = []
        for road, element in self._of_roads("./objects/object"):
            if element.get("type") != "crosswalk":
                continue
            at = road.line.at(number(element, "s"), number(element, "t"))
            turn = math.radians(at.yaw) - number(element, "hdg")
            for corner in element.iter("cornerLocal"):
                u, v = number(corner, "u"), -number(corner, "v")
                x, y = at.x + u * math.cos(turn) - v * math.sin(turn), at.y + u * math.sin(turn) + v * math.cos(turn)
                corners.append(Location(x, y, at.z + number(corner, "z")))
        return corners

    def get_all_landmarks(self) -> list[Landmark]:
        """Return all signals, and references to them, of all roads."""
        return self._landmarks

    def get_all_landmarks_of_type(self, kind: str) -> list[Landmark]:
        """Return those with a type."""
        return [mark for mark in self._landmarks if mark.type == kind]

    def transform_to_geolocation(self, location: Location) -> GeoLocation:
        """Return latitude, longitude and altitude of a place."""
        text = self._root.findtext("./header/geoReference") or ""
        given = dict(part.lstrip("+").split("=", 1) for part in text.split() if "=" in part)
        try:
            latitude, longitude = float(given.get("lat_0", _ORIGIN[0])), float(given.get("lon_0", _ORIGIN[1]))
        except ValueError:
            latitude, longitude = _ORIGIN
        scale = math.cos(math.radians(latitude))
        east = scale * math.radians(longitude) * _EARTH + location.x
        north = (
            scale * _EARTH * math.log(math.tan(math.radians(90.0 + latitude) / 2.0)) + location.y
        )  # as CARLA has it, whose y points south
        latitude = 2.0 * math.degrees(math.atan(math.exp(north / (_EARTH * scale)))) - 90.0
        return GeoLocation(latitude, math.degrees(east / (_EARTH * scale)), location.z)

    def _begin(self, lane: _Lane) -> Waypoint:
        section = self.section_of(lane)
        return Waypoint(self, lane, section.start if lane.is_along else section.end)

    def _all_lanes(self) -> Iterator[_Lane]:
        for road in self.roads.values():
            for section in road.sections:
                yield from (lane for ident, lane in section.lanes.items() if ident)

    def _of_roads(self, path: str) -> Iterator[tuple[_Road, ET.Element]]:
        for element in self._root.findall("road"):
            road = self.roads[int(element.get("id", "-1"))]
            yield from ((road, each) for each in element.findall(path))

    def _link(self, root: ET.Element) -> None:
        """Find the lanes that follow each lane."""
        junctions: dict[int, list[tuple[int, int, int, int]]] = {}  # incoming road and lane, connecting road and lane
        for junction in root.findall("junction"):
            links = junctions.setdefault(int(junction.get("id", "-1")), [])
            for connection in junction.findall("connection"):
                roads = int(connection.get("incomingRoad", "-1")), int(connection.get("connectingRoad", "-1"))
                for link in connection.findall("laneLink"):
                    links.append((roads[0], int(link.get("from", "0")), roads[1], int(link.get("to", "0"))))
        for lane in self._all_lanes():
            road = self.roads[lane.key[0]]
            other, ident = lane.key[1] + (1 if lane.is_along else -1), lane.links[lane.is_along]
            end = road.ends[lane.is_along]
            targets = []
            if 0 <= other < len(road.sections):
                targets = [road.sections[other].lanes.get(ident)] if ident else []
            elif end is not None and end[0]:
                targets = [self._at_edge(*pair[2:]) for pair in junctions.get(end[1], ()) if pair[:2] == lane.key[::2]]
            elif end is not None and ident:
                targets = [self._at_edge(end[1], ident)]
            lane.next = [each for each in targets if each is not None]
        for lane in self._all_lanes():
            for following in lane.next:
                following.previous.append(lane)

    def _at_edge(self, road_id: int, ident: int) -> _Lane | None:
        """Return the lane of a road in the section in which its traffic enters."""
        road = self.roads.get(road_id)
        if road is None or not road.sections:
            return None
        first, last = (road.sections[k].lanes.get(ident) for k in (0, -1))
        lane = first or last
        return None if lane is None else (first if lane.is_along else last)

    def _samples(self, kinds: int) -> Any:
        """Return a tree of points along the lanes of ``kinds``, the points f64 (N, 3), their lanes and their s."""
        if kinds not in self._trees:
            points, lanes, at = [], [], []
            for lane in self._all_lanes():
                section = self.section_of(lane)
                if not lane.kind & kinds or section.end <= section.start:
                    continue
                count = max(math.ceil((section.end - section.start) / _STEP), 1) + 1
                for s in np.linspace(section.start, section.end, count).tolist():
                    points.append(list(Waypoint(self, lane, s).transform.location))
                    lanes.append(lane)
                    at.append(s)
            table = np.array(points).reshape(-1, 3)
            self._trees[kinds] = (cKDTree(table), table, lanes, np.array(at)) if points else None
        return self._trees[kinds]

    @cached_property
    def _landmarks(self) -> list[Landmark]:
        signals = {each.get("id"): (road, each) for road, each in self._of_roads("./signals/signal")}
        poses = {ident: self._pose_of(*each) for ident, each in signals.items()}
        found = []
        for path in ("./signals/signal", "./signals/signalReference"):
            for road, place in self._of_roads(path):
                ident = place.get("id")
                if ident in signals:
                    lanes = _validities(road, place)
                    found.append(Landmark(road.id, place, signals[ident][1], poses[ident], lanes))
        return found

    def _pose_of(self, road: _Road, signal: ET.Element) -> Transform:
        """Return the pose of a signal, which CARLA moves aside where it stands on a lane."""
        at = road.line.at(number(signal, "s") + _SIGNAL_AHEAD, number(signal, "t"))
        turn = math.degrees(number(signal, "hOffset")) + (180.0 if signal.get("orientation") == "-" else 0.0)
        pose = Transform(Location(at.x, at.y, at.z + number(signal, "zOffset")), Rotation(0.0, at.yaw - turn, 0.0))
        right = pose.get_right_vector()
        for _ in range(_SIGNAL_MOVES):
            near = self.get_waypoint(pose.location, lane_type=LaneType.Driving | LaneType.Shoulder)
            if near is None or near.transform.location.distance(pose.location) >= 0.7 * near.lane_width:
                break
            step = 0.2 * near.lane_width
            pose.location += Location(step * right.x, step * right.y, step * right.z)
        return pose


def _validities(road: _Road, place: ET.Element) -> list[tuple[int, int]]:
    """Return the lanes for which a signal is valid; where the file has none, those that CARLA's reader invents."""
    given = [(int(each.get("fromLane", "0")), int(each.get("toLane", "0"))) for each in place.findall("validity")]
    if given or not road.sections:
        return given
    section = road.sections[road.section_at(number(place, "s"))]
    driving = [ident for ident, lane in section.lanes.items() if lane.kind == LaneType.Driving]
    left, right = max(driving, default=0), min(driving, default=0)
    sign = place.get("orientation", "")
    return [(1, left)] * (sign != "-" and left >= 1) + [(right, -1)] * (sign != "+" and right <= -1)
