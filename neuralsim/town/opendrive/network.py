"""The lanes of an OpenDRIVE map as arrays: sampled once through ``carla.Map``, then no client call per tick.

The XML tells which roads, sections and lanes there are; where they lie, how wide they are, what is painted beside them
and where they lead is asked of ``carla.Map``, so that town, bridge and a real CARLA agree. Axes are UE's.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cached_property
from typing import Any

import carla
import numpy as np

from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive.lane import Lane, Marking
from neuralsim.town.opendrive.signals import signals_of
from neuralsim.town.opendrive.signs import signs_of

STEP = 1.5  # distance between samples of a lane, metres
WIDEST = 6.0  # m, borders and shoulders of a road that are wider are land

#: OpenDRIVE lane types that are asphalt: everything vehicles may stand on.
ASPHALT = frozenset(
    [
        "driving",
        "parking",
        "shoulder",
        "stop",
        "bidirectional",
        "entry",
        "exit",
        "onRamp",
        "offRamp",
        "connectingRamp",
        "biking",
        "border",
        "restricted",
        "special1",
        "special2",
        "special3",
        "bus",
        "taxi",
        "HOV",
        "mwyEntry",
        "mwyExit",
        "roadWorks",
    ]
)


class Network:
    """All lanes of a map.

    Raises:
        ValueError: ``carla.Map`` cannot read the text, or there is no lane to drive on.
    """

    def __init__(self, name: str, opendrive: str) -> None:
        self._name, self._opendrive = name, opendrive
        try:
            root = ET.fromstring(opendrive)
            _ = self.map
        except (ET.ParseError, RuntimeError) as error:
            raise ValueError(f"{name}: not an OpenDRIVE map that CARLA can read ({error})") from None
        self.lanes: list[Lane] = []  # driving lanes first, in order of road, section, lane
        self.others: list[Lane] = []  # parking lanes, pavements, ...
        self._last: list[carla.Waypoint] = []  # of each driving lane
        for road in root.iter("road"):
            self._read_road(road)
        if not self.lanes:
            raise ValueError(f"{name}: the map has no driving lane: choose another file")
        self.index = {(lane.road, lane.section, lane.id): k for k, lane in enumerate(self.lanes)}
        self._connect()
        self._settle()
        self.signals = signals_of(self.map, root, self.lanes, self.others)
        self.signs = signs_of(self.map, self.lanes)
        self.crosswalks = self._crosswalks()

    def __getstate__(self) -> dict[str, Any]:
        """``carla.Map`` and its waypoints cannot be kept: the map is read again from its text when it is asked for."""
        return {name: value for name, value in vars(self).items() if name not in ("map", "_last")}

    @cached_property
    def map(self) -> carla.Map:
        """The client's own map of it."""
        return carla.Map(self._name, self._opendrive)

    def berths(self) -> list[Transform]:
        """Poses in driving lanes outside junctions where vehicles might begin, in an order that is always the same."""
        points: list[Transform] = []
        for lane in self.lanes:
            if lane.junction >= 0 or lane.length < 22.0:
                continue
            at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lane.centre, axis=0), axis=1))])
            last = max(at[-1] - (12.0 if lane.next else 40.0), 8.0)  # who begins where a road ends drives off it
            for where in np.linspace(8.0, last, max(1, int((last - 8.0) // 24.0)) + 1).tolist():
                here, on = (
                    np.array([np.interp(s, at, lane.centre[:, k]) for k in range(3)]) for s in (where, where + 0.5)
                )
                x, y, z = here.tolist()
                along, across, up = (on - here).tolist()
                pitch, yaw = np.arctan2(up, np.hypot(along, across)), np.arctan2(across, along)
                points.append(Transform(x, y, z + 0.2, float(np.degrees(pitch)), float(np.degrees(yaw))))
        return [points[k] for k in np.random.default_rng(len(points)).permutation(len(points))]

    def _read_road(self, road: ET.Element) -> None:
        number, length = int(road.get("id", "-1")), float(road.get("length", "0"))
        junction = int(road.get("junction", "-1"))
        speed = _speed(road)
        setting = _setting(road, speed)
        sections = road.findall("./lanes/laneSection")
        starts = [float(section.get("s", "0")) for section in sections] + [length]
        for k, section in enumerate(sections):
            lo, hi = starts[k] + 1e-3, starts[k + 1] - 1e-3
            if hi - lo < 0.02:
                continue
            at = np.linspace(lo, hi, max(2, int(np.ceil((hi - lo) / STEP)) + 1))
            for element in section.iter("lane"):
                lane_id, kind = int(element.get("id", "0")), element.get("type", "none")
                if lane_id == 0 or kind in ("none", "rail", "tram"):
                    continue
                order = at if lane_id < 0 else at[::-1]
                points = [self.map.get_waypoint_xodr(number, lane_id, float(s)) for s in order]
                points = [point for point in points if point is not None]
                if len(points) < 2:
                    continue
                lane = self._sample(points, kind, junction, speed, setting)
                if kind in ("border", "shoulder", "restricted") and lane.width.mean() > WIDEST:
                    continue
                if kind in ("driving", "bidirectional"):
                    self.lanes.append(lane)
                    self._last.append(points[-1])
                else:
                    self.others.append(lane)

    def _sample(self, points: list[carla.Waypoint], kind: str, junction: int, speed: float, setting: str) -> Lane:
        poses = [point.transform for point in points]
        centre = np.array([(pose.location.x, pose.location.y, pose.location.z) for pose in poses])
        yaw = np.radians([pose.rotation.yaw for pose in poses])
        width = np.array([point.lane_width for point in points])
        aside = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1) * (width / 2)[:, None]
        middle = points[len(points) // 2]
        return Lane(
            road=middle.road_id,
            section=middle.section_id,
            id=middle.lane_id,
            kind=kind,
            junction=junction,
            centre=centre,
            left=centre - aside,
            right=centre + aside,
            width=width,
            left_marking=_marking(middle.left_lane_marking),
            right_marking=_marking(middle.right_lane_marking),
            speed=speed,
            setting=setting,
        )

    def _connect(self) -> None:
        for k, (lane, last) in enumerate(zip(self.lanes, self._last, strict=True)):
            for distance in (0.05, 0.5, 1.5):
                keys = {(w.road_id, w.section_id, w.lane_id) for w in last.next(distance)}
                found = {self.index[key] for key in keys if key in self.index}
                if found - {k}:
                    lane.next = sorted(found - {k})
                    break

    def _settle(self) -> None:
        """Roads that do not say what they lead through are like the roads they join."""
        pairs = [(lane, self.lanes[k]) for lane in self.lanes for k in lane.next]
        for _ in range(4):
            for lane, other in pairs + [(other, lane) for lane, other in pairs]:
                lane.setting = lane.setting or other.setting
        known = {lane.road: lane.setting for lane in self.lanes if lane.setting}
        for lane in self.lanes + self.others:
            lane.setting = lane.setting or known.get(lane.road, "town")

    def _crosswalks(self) -> list[np.ndarray]:
        """Polygons f64 (N, 3) of the zebra crossings; ``carla.Map`` closes each by repeating its first point."""
        polygons: list[np.ndarray] = []
        current: list[tuple[float, float, float]] = []
        for place in self.map.get_crosswalks():
            point = (place.x, place.y, place.z)
            if len(current) > 2 and np.allclose(point, current[0], atol=1e-3):
                polygons.append(np.array(current))
                current = []
            else:
                current.append(point)
        return polygons


def _setting(road: ET.Element, speed: float) -> str:
    """What a road leads through, by its type, or its pavements and speed limit; "" where it says none of these."""
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
    """The road's speed limit in m/s; 50 km/h where it says none."""
    element = road.find("./type/speed")
    try:
        value = float(element.get("max", "50")) if element is not None else 50.0
    except ValueError:
        return 50.0 / 3.6
    unit = element.get("unit", "m/s") if element is not None else "km/h"
    return value * {"km/h": 1 / 3.6, "mph": 0.44704}.get(unit, 1.0)


def _marking(mark: carla.LaneMarking | None) -> Marking | None:
    if mark is None or mark.type in (carla.LaneMarkingType.NONE, carla.LaneMarkingType.Other):
        return None
    width = mark.width if 0.05 <= mark.width <= 0.5 else 0.13
    return Marking(str(mark.type).rsplit(".", 1)[-1].lower(), float(width), mark.color == carla.LaneMarkingColor.Yellow)
