"""Stop, yield and speed limit signs, which CARLA's clients know as actors and as landmarks of the map."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.carla_library import carla
from bridge.reference_line import ReferenceLine
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.signals import heading_and_stop, passing_lanes

#: CARLA's kinds of signs by their numbers in the German catalogue (StVO), which OpenDRIVE maps for CARLA use.
KINDS = {"205": "yield", "206": "stop", "274": "speed_limit"}
NUMBERS = {kind: number for number, kind in KINDS.items()}


@dataclass(frozen=True)
class Sign:
    """A roadside sign. ``kind`` is as in the ids of CARLA's blueprints, such as ``speed_limit.50``."""

    id: str  # of its <signal>
    kind: str
    position: np.ndarray  # f64 (3,), foot of its post
    yaw: float  # degrees, direction of travel of the vehicles it applies to
    lanes: tuple[int, ...]  # indices of the driving lanes it applies to
    stop: float  # m from the end of those lanes to where it applies
    in_map: bool = True  # False: it is part of the generated scenery


def signs_of(town: carla.Map, lanes: Sequence[Lane]) -> list[Sign]:
    """Return the signs of a map whose driving lanes are ``lanes``."""
    before: dict[int, list[int]] = {}
    for k, lane in enumerate(lanes):
        for other in lane.next:
            before.setdefault(other, []).append(k)
    signs: dict[str, Sign] = {}
    marks = [mark for number in KINDS for mark in town.get_all_landmarks_of_type(number)]
    for mark in sorted(marks, key=lambda mark: (len(mark.id), mark.id, mark.road_id)):
        sign = -1 if mark.orientation == carla.LandmarkOrientation.Positive else 1
        here = [k for k, lane in enumerate(lanes) if lane.road == mark.road_id]
        guarded = passing_lanes(mark, [k for k in here if lanes[k].is_along == (sign < 0)] or here, lanes)
        if any(lanes[k].junction >= 0 for k in guarded):
            guarded = sorted({other for k in guarded for other in before.get(k, [])})
        if not guarded or mark.id in signs:
            continue
        place = mark.transform.location
        position = np.array([place.x, place.y, place.z - mark.z_offset])
        yaw, stop = heading_and_stop(position, lanes[guarded[0]])
        kind = KINDS[mark.type]
        if kind == "speed_limit":
            kind += f".{_limit(mark, lanes[guarded[0]])}"
        signs[mark.id] = Sign(mark.id, kind, position, yaw, tuple(guarded), stop)
    return list(signs.values())


def _limit(mark: carla.Landmark, lane: Lane) -> int:
    """Return the number on a speed limit sign: its value, else its subtype, else the road's limit in km/h."""
    if mark.value > 0.0:
        return round(mark.value)
    return int(mark.sub_type) if mark.sub_type.isdecimal() and int(mark.sub_type) > 0 else round(3.6 * lane.speed)


def with_signs(opendrive: str, town: carla.Map, signs: Sequence[Sign], lanes: Sequence[Lane]) -> str:
    """Return the same map with a ``<signal>`` for each of the signs that it does not have yet."""
    missing = [sign for sign in signs if not sign.in_map]
    if not missing:
        return opendrive
    root = ET.fromstring(opendrive.encode())
    roads = {road.get("id"): road for road in root.iter("road")}
    lines: dict[int, ReferenceLine] = {}
    for sign in missing:
        lane = lanes[sign.lanes[0]]
        road = roads[str(lane.road)]
        line = lines.setdefault(lane.road, ReferenceLine(road))
        nearest = lane.centre[int(np.hypot(*(lane.centre[:, :2] - sign.position[:2]).T).argmin())]
        s = town.get_waypoint(carla.Location(*nearest.tolist())).s
        at = line.at(s)
        yaw, (dx, dy) = math.radians(at.yaw), sign.position[:2] - at[:2]
        holder = road.find("signals")
        holder = ET.SubElement(road, "signals") if holder is None else holder
        kind, _, limit = sign.kind.partition(".")
        signal = ET.SubElement(
            holder, "signal", name=kind, id=sign.id, s=f"{s:.6g}", t=f"{dx * math.sin(yaw) - dy * math.cos(yaw):.6g}",
            zOffset="0", hOffset="0", roll="0", pitch="0", orientation="+" if lane.is_along else "-", dynamic="no",
            country="OpenDRIVE", type=NUMBERS[kind], subtype=limit or "-1", value=limit or "-1", text="",
            height="0.6", width="0.6",
        )  # fmt: skip
        if limit:
            signal.set("unit", "km/h")
        ET.SubElement(signal, "validity", fromLane=str(lane.id), toLane=str(lane.id))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
