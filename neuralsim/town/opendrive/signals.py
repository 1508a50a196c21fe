"""The traffic lights of an OpenDRIVE map: poses, controlled lanes, phase groups.

Files of other programs have lights above the lanes, several for one road, each for one lane or one arrow, and one
controller for a whole junction rather than for one phase of it. Here a road has one light per direction and side.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.carla_library import carla
from neuralsim.town.opendrive.lane import Lane

TRAFFIC_LIGHT_TYPES = ("1000001", "1000011")  # three lamps, and three lamps with arrows
LANE_MARGIN = 0.3  # m next to a lane that still count as on it: CARLA's reader moves lights off a lane, but not further
KERB_OFFSET = 0.9  # m from the road at which a light is placed that hangs above it
ALONE_GROUPS = 1_000_000  # plus the road id: group of lights away from junctions
CROSSING_ANGLE = 45.0  # degrees between the headings of two lights that cannot be green together


@dataclass(frozen=True)
class Signal:
    """A traffic light of the map: its position, its heading and the lanes that it controls."""

    id: str
    group: int  # signals of equal group are green together
    cycle: int  # groups of equal cycle take turns; negative away from junctions
    position: np.ndarray  # f64 (3,), foot of its pole
    yaw: float  # degrees, direction of travel of the vehicles it stops
    lanes: tuple[int, ...]  # indices of the driving lanes that it controls
    stop: float  # distance of its stop line from the end of those lanes, metres


def signals_of(town: carla.Map, root: ET.Element, lanes: Sequence[Lane], others: Sequence[Lane]) -> list[Signal]:
    """Return the lights of a map, whose driving lanes are ``lanes`` and whose other lanes are ``others``."""
    controllers: dict[str, int] = {}
    for number, controller in enumerate(root.findall("controller")):
        for control in controller.findall("control"):
            controllers[control.get("signalId", "")] = number
    before: dict[int, list[int]] = {}
    of_road: dict[int, list[int]] = {}
    for k, lane in enumerate(lanes):
        of_road.setdefault(lane.road, []).append(k)
        for other in lane.next:
            before.setdefault(other, []).append(k)
    signals: list[Signal] = []
    above: set[tuple[int, int]] = set()  # roads and directions that already have a light from above
    marks = [mark for kind in TRAFFIC_LIGHT_TYPES for mark in town.get_all_landmarks_of_type(kind)]
    places: dict[str, set[int]] = {}  # roads that name a signal
    for mark in marks:
        places.setdefault(mark.id, set()).add(mark.road_id)
    for mark in sorted(marks, key=lambda mark: (len(mark.id), mark.id, mark.road_id)):
        sign = -1 if mark.orientation == carla.LandmarkOrientation.Positive else 1
        here = of_road.get(mark.road_id, [])
        if len(places[mark.id]) > 1 and set(mark.get_lane_validities()) == {(0, 0)}:
            continue  # it only stands there: references name the lanes that it controls
        # RoadRunner's connecting roads are one-way, and it reverses the orientation of signals on them
        guarded = [k for k in here if lanes[k].is_along == (sign < 0)] or here
        if any(lanes[k].junction >= 0 for k in guarded):
            guarded = sorted({other for k in guarded for other in before.get(k, [])})
        nearby = guarded
        guarded = [k for k in guarded if any(lanes[n].junction >= 0 for n in lanes[k].next)]
        alone = not guarded  # away from any junction: at a crosswalk or at roadworks
        if alone:
            guarded = passing_lanes(mark, [k for k in nearby if lanes[k].junction < 0], lanes)
        if not guarded:
            continue
        known = next((k for k, other in enumerate(signals) if other.id == mark.id), None)
        if known is not None:
            signals[known] = replace(signals[known], lanes=tuple(sorted({*signals[known].lanes, *guarded})))
            continue
        lane = lanes[guarded[0]]
        place = mark.transform.location
        position = np.array([place.x, place.y, place.z - mark.z_offset])
        if _is_above_lanes(position, [lanes[k] for k in here]):
            if (mark.road_id, sign) in above:
                continue
            above.add((mark.road_id, sign))
            position = _kerbside(position, lane, lanes, others)
        if alone:
            yaw, stop = heading_and_stop(position, lane)
            group, cycle = ALONE_GROUPS + mark.road_id, -2 - mark.road_id
            signals.append(Signal(mark.id, group, cycle, position, yaw, tuple(guarded), stop))
            continue
        heading = lane.centre[-1] - lane.centre[-2]
        yaw = float(np.degrees(np.arctan2(heading[1], heading[0])))
        ahead = float((lane.centre[-1] - position) @ heading / np.linalg.norm(heading))
        junction = next(lanes[n].junction for n in lane.next if lanes[n].junction >= 0)
        group = controllers.get(mark.id, _axis(junction, yaw))
        stop = ahead + 1.0 if 0.0 < ahead < 15.0 else 0.5
        signals.append(Signal(mark.id, group, junction, position, yaw, tuple(guarded), stop))
    return _in_phases(signals)


def passing_lanes(mark: carla.Landmark, here: Sequence[int], lanes: Sequence[Lane]) -> list[int]:
    """Return those of the lanes ``here`` that pass a light or sign and for which it is valid.

    Where a file gives no validity, CARLA's reader invents one, for lanes of the opposite direction: it is ignored.
    """
    place = mark.transform.location
    away = {k: float(np.hypot(*(lanes[k].centre[:, :2] - (place.x, place.y)).T).min()) for k in here}
    if not away:
        return []
    section = lanes[min(away, key=away.__getitem__)].section
    passing = [k for k in here if lanes[k].section == section]
    valid = [k for k in passing if any(min(s) <= lanes[k].id <= max(s) for s in mark.get_lane_validities())]
    return valid or passing


def heading_and_stop(position: np.ndarray, lane: Lane) -> tuple[float, float]:
    """Return the heading (degrees) of a lane at a light or sign, and the distance of a stop there from its end (m)."""
    nearest = int(np.hypot(*(lane.centre[:, :2] - position[:2]).T).argmin())
    k = min(nearest, len(lane.centre) - 2)
    heading = lane.centre[k + 1] - lane.centre[k]
    left = float(np.linalg.norm(np.diff(lane.centre[nearest:], axis=0), axis=1).sum())
    return float(np.degrees(np.arctan2(heading[1], heading[0]))), left + 1.0


def _axis(junction: int, yaw: float) -> int:
    """Return the group of a light without a controller: that of lights with the same or the opposite heading."""
    return 10_000 + junction * 2 + int(abs(np.sin(np.radians(yaw))) > 0.7)


def _in_phases(signals: list[Signal]) -> list[Signal]:
    """Regroup by heading the lights of controllers for whole junctions, whose lights stop crossing directions."""
    axes: dict[int, list[float]] = {}
    for signal in signals:
        if signal.cycle >= 0:
            axes.setdefault(signal.group, []).append(signal.yaw)
    mixed = set()
    for group, yaws in axes.items():
        away = (np.array(yaws) - yaws[0] + 90.0) % 180.0 - 90.0
        if np.abs(away).max() > CROSSING_ANGLE:
            mixed.add(group)
    return [replace(s, group=_axis(s.cycle, s.yaw)) if s.group in mixed else s for s in signals]


def _is_above_lanes(position: np.ndarray, lanes: Sequence[Lane]) -> bool:
    """Return whether a position is on one of the lanes."""
    for lane in lanes:
        away = np.hypot(*(lane.centre[:, :2] - position[:2]).T)
        k = int(away.argmin())
        if away[k] < lane.width[k] / 2 + LANE_MARGIN:
            return True
    return False


def _kerbside(position: np.ndarray, guarded: Lane, lanes: Sequence[Lane], others: Sequence[Lane]) -> np.ndarray:
    """Return the foot of a light that hangs above a lane.

    It is beside the outermost lane for vehicles of that road and direction, level with the light.
    """
    outermost = guarded
    for lane in (*lanes, *others):
        same = (lane.road, lane.section) == (guarded.road, guarded.section) and lane.id * guarded.id > 0
        if same and lane.kind not in ("sidewalk", "walking") and abs(lane.id) > abs(outermost.id):
            outermost = lane
    edge = outermost.outer[int(np.hypot(*(outermost.outer[:, :2] - position[:2]).T).argmin())]
    k = int(np.hypot(*(guarded.centre[:, :2] - position[:2]).T).argmin())
    out = guarded.outwards[k]
    return np.asarray(edge + out / max(float(np.linalg.norm(out)), 1e-6) * KERB_OFFSET)
