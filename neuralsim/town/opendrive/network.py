"""The lanes of an OpenDRIVE map as arrays, sampled once through ``carla.Map``, so that no tick needs a client call.

The XML says which roads, lane sections and lanes there are. Their geometry, widths, markings and successors come from
``carla.Map``, so that the town, the bridge and a real CARLA agree. Axes are those of Unreal Engine.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cached_property
from typing import Any

import numpy as np

from bridge.carla_library import carla
from neuralsim.town.core.polylines import arc_lengths, interpolate
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive.lane import Lane, Marking
from neuralsim.town.opendrive.signals import signals_of
from neuralsim.town.opendrive.signs import signs_of

STEP = 1.5  # m, distance between samples of a lane
MAX_BORDER_WIDTH = 6.0  # m, wider borders and shoulders of a road are land

#: OpenDRIVE lane types with asphalt: those on which vehicles may stand.
ASPHALT = frozenset(
    ("driving", "parking", "shoulder", "stop", "bidirectional", "entry", "exit", "onRamp", "offRamp", "connectingRamp",
     "biking", "border", "restricted", "special1", "special2", "special3", "bus", "taxi", "HOV", "mwyEntry", "mwyExit",
     "roadWorks")
)  # fmt: skip


class Network:
    """All lanes of a map.

    Raises:
        ValueError: ``carla.Map`` cannot read the text, or there is no driving lane.
    """

    def __init__(self, name: str, opendrive: str) -> None:
        self._name, self._opendrive = name, opendrive
        try:
            root = ET.fromstring(opendrive)
            _ = self.map
        except (ET.ParseError, RuntimeError) as error:
            raise ValueError(f"{name}: not an OpenDRIVE map that CARLA can read ({error})") from None
        self.lanes: list[Lane] = []  # driving lanes first, in order of road, section, lane
        self.other_lanes: list[Lane] = []  # parking lanes, pavements, ...
        self._last: list[carla.Waypoint] = []  # the last waypoint of each driving lane
        for road in root.iter("road"):
            self._read_road(road)
        if not self.lanes:
            raise ValueError(f"{name}: the map has no driving lane: choose another file")
        self.index = {(lane.road, lane.section, lane.id): k for k, lane in enumerate(self.lanes)}
        self._find_successors()
        self._infer_road_types()
        self.signals = signals_of(self.map, root, self.lanes, self.other_lanes)
        self.signs = signs_of(self.map, self.lanes)
        self.crosswalks = self._crosswalks()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out ``carla.Map`` and its waypoints, which cannot be pickled: the map is read again when needed."""
        return {name: value for name, value in vars(self).items() if name not in ("map", "_last")}

    @cached_property
    def map(self) -> carla.Map:
        """The same map as clients have it."""
        return carla.Map(self._name, self._opendrive)

    @property
    def keeps_left(self) -> bool:
        """Whether traffic keeps left."""
        return self.lanes[0].keeps_left

    def spawn_candidates(self, spacing: float) -> list[Transform]:
        """Return poses in driving lanes outside junctions where vehicles might start, always in the same order.

        If all of them are short, it is the middle of the longest one. ``spacing``: least distance along a lane, m.
        """
        points: list[Transform] = []
        longest = max(self.lanes, key=lambda lane: (lane.junction < 0, lane.length))
        usable = [lane for lane in self.lanes if lane.junction < 0 and lane.length >= 22.0]
        for lane in usable or [longest]:
            at = arc_lengths(lane.centre)
            # a vehicle that starts at a dead end would drive off it
            last = max(at[-1] - (12.0 if lane.next else 40.0), 8.0)
            places = np.linspace(8.0, last, max(1, int((last - 8.0) // spacing)) + 1) if usable else at[-1:] / 2.0
            for s in places.tolist():
                here, ahead = interpolate(lane.centre, at, np.array([s, s + 0.5]))
                x, y, z = here.tolist()
                dx, dy, dz = (ahead - here).tolist()
                pitch, yaw = np.arctan2(dz, np.hypot(dx, dy)), np.arctan2(dy, dx)
                points.append(Transform(x, y, z + 0.2, float(np.degrees(pitch)), float(np.degrees(yaw))))
        return [points[k] for k in np.random.default_rng(len(points)).permutation(len(points))]

    def _read_road(self, road: ET.Element) -> None:
        number, length = int(road.get("id", "-1")), float(road.get("length", "0"))
        junction = int(road.get("junction", "-1"))
        keeps_left = road.get("rule") == "LHT"
        speed = _speed(road)
        road_type = _road_type(road, speed)
        sections = road.findall("./lanes/laneSection")
        starts = [float(section.get("s", "0")) for section in sections] + [length]
        for k, section in enumerate(sections):
            lo, hi = starts[k] + 1e-3, starts[k + 1] - 1e-3
            if hi - lo < 0.02:
                continue
            through = [_is_driven(side) for side in (section.find("left"), section.find("right"))]
            at = np.linspace(lo, hi, max(2, int(np.ceil((hi - lo) / STEP)) + 1))
            for element in section.iter("lane"):
                lane_id, kind = int(element.get("id", "0")), element.get("type", "none")
                if lane_id == 0 or kind in ("none", "rail", "tram"):
                    continue
                order = at if (lane_id < 0) != keeps_left else at[::-1]
                points = [self.map.get_waypoint_xodr(number, lane_id, float(s)) for s in order]
                points = [point for point in points if point is not None]
                if len(points) < 2:
                    continue
                lane = _sample(points, kind, junction, speed, road_type)
                if kind in ("border", "shoulder", "restricted") and lane.width.mean() > MAX_BORDER_WIDTH:
                    continue
                lane.keeps_left = keeps_left
                if kind == "driving" or (kind == "bidirectional" and not all(through)):
                    self.lanes.append(lane)
                    self._last.append(points[-1])
                else:
                    self.other_lanes.append(lane)

    def _find_successors(self) -> None:
        for k, (lane, last) in enumerate(zip(self.lanes, self._last, strict=True)):
            for distance in (0.05, 0.5, 1.5):
                keys = {(w.road_id, w.section_id, w.lane_id) for w in last.next(distance)}
                successors = {self.index[key] for key in keys if key in self.index} - {k}
                if successors:
                    lane.next = sorted(successors)
                    break

    def _infer_road_types(self) -> None:
        """Give roads without a type that of the roads they join."""
        pairs = [(lane, self.lanes[k]) for lane in self.lanes for k in lane.next]
        for _ in range(4):
            for lane, other in pairs + [(other, lane) for lane, other in pairs]:
                lane.road_type = lane.road_type or other.road_type
        by_road = {lane.road: lane.road_type for lane in self.lanes if lane.road_type}
        for lane in self.lanes + self.other_lanes:
            lane.road_type = lane.road_type or by_road.get(lane.road, "town")

    def _crosswalks(self) -> list[np.ndarray]:
        """Return polygons f64 (N, 3) of the crosswalks; ``carla.Map`` closes each by repeating its first point."""
        polygons: list[np.ndarray] = []
        current: list[tuple[float, float, float]] = []
        for location in self.map.get_crosswalks():
            point = (location.x, location.y, location.z)
            if len(current) > 2 and np.allclose(point, current[0], atol=1e-3):
                polygons.append(np.array(current))
                current = []
            else:
                current.append(point)
        return polygons


def _is_driven(side: ET.Element | None) -> bool:
    """Return whether a side of a lane section has a driving lane: turning lanes between two such are not for through
    traffic."""
    return side is not None and any(lane.get("type") == "driving" for lane in side.iter("lane"))


def _sample(points: list[carla.Waypoint], kind: str, junction: int, speed: float, road_type: str) -> Lane:
    poses = [point.transform for point in points]
    centre = np.array([(pose.location.x, pose.location.y, pose.location.z) for pose in poses])
    yaw = np.radians([pose.rotation.yaw for pose in poses])
    width = np.array([point.lane_width for point in points])
    to_edge = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1) * (width / 2)[:, None]
    middle = points[len(points) // 2]
    return Lane(
        road=middle.road_id,
        section=middle.section_id,
        id=middle.lane_id,
        kind=kind,
        junction=junction,
        centre=centre,
        left=centre - to_edge,
        right=centre + to_edge,
        width=width,
        left_marking=_marking(middle.left_lane_marking),
        right_marking=_marking(middle.right_lane_marking),
        speed=speed,
        road_type=road_type,
    )


def _road_type(road: ET.Element, speed: float) -> str:
    """Return the road type by the type element, else by pavements and speed limit; "" if the road has none of them."""
    element = road.find("type")
    kind = element.get("type", "") if element is not None else ""
    if kind in ("motorway", "rural"):
        return kind
    if any(lane.get("type") in ("sidewalk", "walking") for lane in road.iter("lane")):
        return "town"
    if element is None:
        return ""
    if kind in ("", "unknown"):
        return "town" if speed < 18.0 else "rural" if speed < 26.0 else "motorway"
    return "town"


def _speed(road: ET.Element) -> float:
    """Return the speed limit of a road in m/s, by default 50 km/h."""
    element = road.find("./type/speed")
    try:
        value = float(element.get("max", "50")) if element is not None else 50.0
    except ValueError:
        return 50.0 / 3.6
    unit = element.get("unit", "m/s") if element is not None else "km/h"
    return value * {"km/h": 1 / 3.6, "mph": 0.44704}.get(unit, 1.0)


def _marking(marking: carla.LaneMarking | None) -> Marking | None:
    if marking is None or marking.type in (carla.LaneMarkingType.NONE, carla.LaneMarkingType.Other):
        return None
    width = marking.width if 0.05 <= marking.width <= 0.5 else 0.13
    kind = str(marking.type).rsplit(".", 1)[-1].lower()
    return Marking(kind, float(width), marking.color == carla.LaneMarkingColor.Yellow)
