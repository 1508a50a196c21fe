"""The traffic lights of an OpenDRIVE map: poses, controlled lanes, phase groups.

Other people's files have lights above the lanes, several for one road, each for one lane or one arrow, and controllers
that are one box for a whole junction rather than one phase of it. Here a road has one light per direction and side.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace

import carla
import numpy as np

from neuralsim.town.opendrive.lane import Lane

TYPES = ("1000001", "1000011")  # three lamps, and three lamps with arrows
EDGE = 0.3  # m beside a lane that still count as on it: CARLA's reader moves lights off a lane, but not further
BESIDE = 0.9  # m beside the road where a light goes that hangs above it
ALONE = 1_000_000  # numbers of groups of lights away from junctions: this, and their road's
ACROSS = 45.0  # degrees between the headings of two lights that cannot be green together


@dataclass(frozen=True)
class Signal:
    """A traffic light of the map: where it stands, which way it faces and whom it stops."""

    id: str
    group: int  # signals of equal group are green together
    cycle: int  # groups of equal cycle take turns; negative away from junctions
    position: np.ndarray  # f64 (3,), foot of its pole
    yaw: float  # degrees, direction of travel of those it stops
    lanes: tuple[int, ...]  # indices of the driving lanes that it stops
    stop: float  # distance of its stop line from the end of those lanes, metres


def signals_of(town: carla.Map, root: ET.Element, lanes: Sequence[Lane], others: Sequence[Lane]) -> list[Signal]:
    """The lights of a map, whose driving lanes are ``lanes`` and whose other lanes are ``others``."""
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
    found: list[Signal] = []
    above: dict[tuple[int, int], int] = {}  # road and direction -> which of ``found`` is its light from above
    marks = [mark for kind in TYPES for mark in town.get_all_landmarks_of_type(kind)]
    places: dict[str, set[int]] = {}  # roads on which a signal is named
    for mark in marks:
        places.setdefault(mark.id, set()).add(mark.road_id)
    for mark in sorted(marks, key=lambda mark: (len(mark.id), mark.id, mark.road_id)):
        sign = -1 if mark.orientation == carla.LandmarkOrientation.Positive else 1
        here = of_road.get(mark.road_id, [])
        if len(places[mark.id]) > 1 and set(mark.get_lane_validities()) == {(0, 0)}:
            continue  # it only stands there: references say whom it stops
        # RoadRunner's connecting roads go one way, and it turns a signal's orientation round on them.
        guarded = [k for k in here if lanes[k].id * sign > 0] or here
        if any(lanes[k].junction >= 0 for k in guarded):
            guarded = sorted({other for k in guarded for other in before.get(k, [])})
        beside = guarded
        guarded = [k for k in guarded if any(lanes[n].junction >= 0 for n in lanes[k].next)]
        alone = not guarded  # on its road, away from any junction: for who walks across, or at roadworks
        if alone:
            guarded = passing(mark, [k for k in beside if lanes[k].junction < 0], lanes)
        if not guarded:
            continue
        known = next((k for k, other in enumerate(found) if other.id == mark.id), None)
        if known is not None:
            found[known] = replace(found[known], lanes=tuple(sorted({*found[known].lanes, *guarded})))
            continue
        lane = lanes[guarded[0]]
        place = mark.transform.location
        position = np.array([place.x, place.y, place.z - mark.z_offset])
        if _on_the_way(position, [lanes[k] for k in here]):
            if (mark.road_id, sign) in above:
                continue
            above[mark.road_id, sign] = len(found)
            position = _beside(position, lane, lanes, others)
        if alone:
            yaw, stop = stop_beside(position, lane)
            found.append(Signal(mark.id, ALONE + mark.road_id, -2 - mark.road_id, position, yaw, tuple(guarded), stop))
            continue
        heading = lane.centre[-1] - lane.centre[-2]
        yaw = float(np.degrees(np.arctan2(heading[1], heading[0])))
        ahead = float((lane.centre[-1] - position) @ heading / np.linalg.norm(heading))
        junction = next(lanes[n].junction for n in lane.next if lanes[n].junction >= 0)
        group = controllers.get(mark.id, _axis(junction, yaw))
        stop = ahead + 1.0 if 0.0 < ahead < 15.0 else 0.5
        found.append(Signal(mark.id, group, junction, position, yaw, tuple(guarded), stop))
    return _in_phases(found)


def passing(mark: carla.Landmark, here: Sequence[int], lanes: Sequence[Lane]) -> list[int]:
    """Those of the lanes ``here`` that pass a light or sign, as far as it is valid for them.

    CARLA's reader makes up validities where there are none, for the lanes of the opposite direction: they are no good.
    """
    place = mark.transform.location
    away = {k: float(np.hypot(*(lanes[k].centre[:, :2] - (place.x, place.y)).T).min()) for k in here}
    if not away:
        return []
    section = lanes[min(away, key=away.__getitem__)].section
    passing = [k for k in here if lanes[k].section == section]
    named = [k for k in passing if any(min(s) <= lanes[k].id <= max(s) for s in mark.get_lane_validities())]
    return named or passing


def stop_beside(position: np.ndarray, lane: Lane) -> tuple[float, float]:
    """Heading, degrees, of a lane where it passes a light or sign, and how far from its end one stops there, metres."""
    nearest = int(np.hypot(*(lane.centre[:, :2] - position[:2]).T).argmin())
    k = min(nearest, len(lane.centre) - 2)
    heading = lane.centre[k + 1] - lane.centre[k]
    left = float(np.linalg.norm(np.diff(lane.centre[nearest:], axis=0), axis=1).sum())
    return float(np.degrees(np.arctan2(heading[1], heading[0]))), left + 1.0


def _axis(junction: int, yaw: float) -> int:
    """The group of a light that no controller names: with those who come the same or the opposite way."""
    return 10_000 + junction * 2 + int(abs(np.sin(np.radians(yaw))) > 0.7)


def _in_phases(signals: list[Signal]) -> list[Signal]:
    """A controller whose lights stop ways that cross is all of a junction: its groups are the ways then."""
    axes: dict[int, list[float]] = {}
    for signal in (each for each in signals if each.cycle >= 0):
        axes.setdefault(signal.group, []).append(signal.yaw)
    mixed = set()
    for group, yaws in axes.items():
        away = (np.array(yaws) - yaws[0] + 90.0) % 180.0 - 90.0
        if np.abs(away).max() > ACROSS:
            mixed.add(group)
    return [replace(s, group=_axis(s.cycle, s.yaw)) if s.group in mixed else s for s in signals]


def _on_the_way(position: np.ndarray, lanes: Sequence[Lane]) -> bool:
    """Whether a place lies on one of the lanes."""
    for lane in lanes:
        away = np.hypot(*(lane.centre[:, :2] - position[:2]).T)
        k = int(away.argmin())
        if away[k] < lane.width[k] / 2 + EDGE:
            return True
    return False


def _beside(position: np.ndarray, guarded: Lane, lanes: Sequence[Lane], others: Sequence[Lane]) -> np.ndarray:
    """The foot of a light that hangs above a lane.

    It stands to the right of the outermost lane of that road and direction that vehicles use, level with the light.
    """
    outermost = guarded
    for lane in (*lanes, *others):
        same = (lane.road, lane.section) == (guarded.road, guarded.section) and lane.id * guarded.id > 0
        if same and lane.kind not in ("sidewalk", "walking") and abs(lane.id) > abs(outermost.id):
            outermost = lane
    edge = outermost.right[int(np.hypot(*(outermost.right[:, :2] - position[:2]).T).argmin())]
    k = int(np.hypot(*(guarded.centre[:, :2] - position[:2]).T).argmin())
    out = guarded.right[k] - guarded.left[k]
    return np.asarray(edge + out / max(float(np.linalg.norm(out)), 1e-6) * BESIDE)
