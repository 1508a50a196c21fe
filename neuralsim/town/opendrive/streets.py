"""Streets between junctions as OpenDRIVE: the building blocks of the generated towns.

Coordinates are OpenDRIVE's (x east, y north, right-handed); ``carla.Map`` mirrors y when it reads them.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scenariogeneration import xodr

LANE = 3.15  # width of a driving lane, metres
PARKING = 2.15  # width of a parking lane
EDGE = 0.35  # width of the asphalt beyond the edge line of a country road
CORNER = 5.5  # radius of the kerb at a street corner
CROSSWALK = (1.2, 4.4)  # extent of a crosswalk before the end of an arm, metres
STOP = 5.6  # distance of the stop line from there
TAPER = (STOP + 3.0, STOP + 6.0)  # parking lanes begin between these distances from a junction
SIGNAL_TYPE = "1000001"  # OpenDRIVE's and CARLA's type of a three-colour traffic light


@dataclass
class Street:
    """A street between two junctions: control points, lanes each way, and the lanes at its sides."""

    id: int
    nodes: tuple[int, int]
    points: list[np.ndarray]
    lanes: int
    parking: tuple[bool, bool]  # left, right
    pavement: float  # width, metres; 0 for a country road
    speed: int  # km/h
    has_markings: bool
    radius: float = 38.0  # of its bends, metres
    cut: list[float] = field(default_factory=lambda: [0.0, 0.0])  # distance of each end from its node, metres

    @property
    def half(self) -> float:
        """Distance from the centre line to the kerb where there is no parking lane, metres."""
        return self.lanes * LANE

    def direction(self, end: int) -> np.ndarray:
        """Return the unit vector from the node at this end (0 or 1) into the street."""
        a, b = (self.points[0], self.points[1]) if end == 0 else (self.points[-1], self.points[-2])
        return (b - a) / np.linalg.norm(b - a)


@dataclass
class Arm:
    """An arm of a junction: one end of a street, seen from the junction."""

    street: Street
    end: int
    position: np.ndarray
    outward: np.ndarray

    def incoming(self, lane: int) -> int:
        """Return the OpenDRIVE id of the ``lane``-th lane towards the junction, counted from 1 at the centre."""
        return -lane if self.end == 1 else lane

    def outgoing(self, lane: int) -> int:
        """Return the OpenDRIVE id of the ``lane``-th lane away from the junction, counted from 1 at the centre."""
        return lane if self.end == 1 else -lane


def compose(
    name: str, streets: list[Street], rng: np.random.Generator, signal_share: float, crosswalk_share: float
) -> ET.Element:
    """Return OpenDRIVE of streets that meet in junctions of three arms or more.

    Street k is road k; junction 1000 + n joins the streets at node n. Junctions of two wide streets and arms of
    junctions with lights always have lights and crosswalks, of the others the given shares.
    """
    arms: dict[int, list[Arm]] = {}
    for street in streets:
        for end, node in enumerate(street.nodes):
            arms.setdefault(node, []).append(Arm(street, end, street.points[-end], street.direction(end)))
    for junction in arms.values():
        trim_arms(junction)

    drive = xodr.OpenDrive(name)
    signals: dict[int, list[tuple[Arm, str]]] = {}
    guarded = {node for node, around in arms.items() if len(around) > 3 and rng.random() < signal_share}
    guarded |= {node for node, around in arms.items() if sum(arm.street.lanes > 1 for arm in around) > 1}
    number = 1
    for street in streets:
        road = _road(street)
        for end, node in enumerate(street.nodes):
            if node in guarded:
                signal = _signal(street, end)
                road.add_signal(signal)
                signal.id = str(number)  # set late: scenariogeneration renames ids that any earlier town has used
                signals.setdefault(node, []).append(
                    (Arm(street, end, street.points[-end], street.direction(end)), str(number))
                )
                number += 1
            if street.pavement and (node in guarded or rng.random() < crosswalk_share):
                crossing = _crosswalk(street, road.planview.get_total_length(), end)
                road.add_object(crossing)
                crossing.id = str(10 * street.id + end)
        drive.add_road(road)
    next_road = len(streets)
    for node, around in sorted(arms.items()):
        junction = xodr.Junction(f"junction {node}", 1000 + node)
        for source, lane, target, to in _movements(around):
            road = _connection(next_road, 1000 + node, source, lane, target, to)
            link = xodr.Connection(source.street.id, next_road, xodr.ContactPoint.start)
            link.add_lanelink(source.incoming(lane), -1)
            junction.add_connection(link)
            drive.add_road(road)
            next_road += 1
        drive.add_junction(junction)
    element = drive.get_element()
    _controllers(element, signals)
    return element


def trim_arms(arms: list[Arm]) -> None:
    """Set how far from its node each arm ends, so that kerbs of radius ``CORNER`` fit between neighbours."""
    arms.sort(key=lambda arm: float(np.arctan2(arm.outward[1], arm.outward[0])))
    reach = [8.5] * len(arms)
    for k, arm in enumerate(arms):
        other = (k + 1) % len(arms)
        cross = arm.outward[0] * arms[other].outward[1] - arm.outward[1] * arms[other].outward[0]
        angle = float(np.arctan2(cross, arm.outward @ arms[other].outward)) % (2 * np.pi)
        if angle < np.radians(165.0):
            sides = arm.street.half, arms[other].street.half
            fillet = CORNER / np.tan(angle / 2)
            reach[k] = max(reach[k], (sides[1] + sides[0] * np.cos(angle)) / np.sin(angle) + fillet)
            reach[other] = max(reach[other], (sides[0] + sides[1] * np.cos(angle)) / np.sin(angle) + fillet)
    for arm, distance in zip(arms, reach, strict=True):
        arm.street.cut[arm.end] = distance
        arm.position = arm.position + arm.outward * distance


def planview(points: Sequence[np.ndarray], radius: float) -> xodr.PlanView:
    """Return a polyline as lines and tangent arcs with ``radius``, or less where the corners are close together."""
    points = [np.asarray(point, float) for point in points]
    start = points[1] - points[0]
    view = xodr.PlanView(points[0][0], points[0][1], float(np.arctan2(start[1], start[0])))
    here = points[0]
    for k in range(1, len(points) - 1):
        into = points[k] - points[k - 1]
        out = points[k + 1] - points[k]
        lengths = np.linalg.norm(into), np.linalg.norm(out)
        into, out = into / lengths[0], out / lengths[1]
        turn = float(np.arctan2(into[0] * out[1] - into[1] * out[0], into @ out))
        room = min(lengths[0] * (1.0 if k == 1 else 0.5), lengths[1] * (1.0 if k == len(points) - 2 else 0.5))
        if abs(turn) < 1e-4:
            continue
        tangent = min(radius * np.tan(abs(turn) / 2), room * 0.999)
        before = float((points[k] - into * tangent - here) @ into)
        if before > 1e-3:
            view.add_geometry(xodr.Line(before))
        curvature = np.sign(turn) * np.tan(abs(turn) / 2) / tangent
        view.add_geometry(xodr.Arc(float(curvature), angle=abs(turn)))
        here = points[k] + out * tangent
    last = float(np.linalg.norm(points[-1] - here))
    if last > 1e-3:
        view.add_geometry(xodr.Line(last))
    view.adjust_geometries()
    return view


def cubic_curve(start: np.ndarray, heading: np.ndarray, stop: np.ndarray, final: np.ndarray) -> xodr.PlanView:
    """Return a cubic from one pose to another, for cases where line and arc do not fit (offset lanes)."""
    delta = stop - start
    local = np.array([delta @ heading, heading[0] * delta[1] - heading[1] * delta[0]])
    length = float(np.linalg.norm(delta))
    t0 = np.array([length, 0.0])
    t1 = length * np.array([heading @ final, heading[0] * final[1] - heading[1] * final[0]])
    c, d = 3 * local - 2 * t0 - t1, t0 + t1 - 2 * local
    p = np.linspace(0.0, 1.0, 257)[:, None]
    curve = t0 * p + c * p**2 + d * p**3
    arc = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())
    view = xodr.PlanView(float(start[0]), float(start[1]), float(np.arctan2(heading[1], heading[0])))
    view.add_geometry(xodr.ParamPoly3(0.0, t0[0], c[0], d[0], 0.0, t0[1], c[1], d[1], prange="normalized", length=arc))
    view.adjust_geometries()
    return view


def connecting_curve(start: np.ndarray, heading: np.ndarray, stop: np.ndarray, final: np.ndarray) -> xodr.PlanView:
    """Return the curve from one pose to another: a line, lines and an arc, or a cubic."""
    cross = heading[0] * final[1] - heading[1] * final[0]
    delta = stop - start
    if abs(cross) < 1e-3 and abs(heading[0] * delta[1] - heading[1] * delta[0]) < 1e-3:
        return planview([start, stop], 0.0)
    before = after = -1.0
    if abs(cross) > 0.05:
        before = (delta[0] * final[1] - delta[1] * final[0]) / cross
        after = (heading[0] * delta[1] - heading[1] * delta[0]) / cross
    if before > 1.0 and after > 1.0 and 0.2 < before / after < 5.0:
        return planview([start, start + heading * before, stop], 1e6)
    return cubic_curve(start, heading, stop, final)


def _reference_line(street: Street) -> xodr.PlanView:
    """Return the reference line of a street between its junctions."""
    points = list(street.points)
    points[0] = points[0] + street.direction(0) * street.cut[0]
    points[-1] = points[-1] + street.direction(1) * street.cut[1]
    return planview(points, street.radius)


def _road(street: Street) -> xodr.Road:
    view = _reference_line(street)
    length = view.get_total_length()
    centre = xodr.Lane(lane_type=xodr.LaneType.none)
    if street.has_markings:
        mark = xodr.RoadMarkType.solid if street.lanes > 1 else xodr.RoadMarkType.broken
        # as in CARLA's towns: a route planner that obeys the marks must not change into the oncoming lanes
        centre.add_roadmark(xodr.RoadMark(mark, width=0.13, laneChange=xodr.LaneChange.none))
    section = xodr.LaneSection(0, centre)
    for side, add in enumerate((section.add_left_lane, section.add_right_lane)):
        for k in range(1, street.lanes + 1):
            lane = xodr.Lane(lane_type=xodr.LaneType.driving, a=LANE)
            if k < street.lanes:
                lane.add_roadmark(xodr.RoadMark(xodr.RoadMarkType.broken, width=0.12, laneChange=xodr.LaneChange.both))
            elif not street.pavement:
                lane.add_roadmark(xodr.RoadMark(xodr.RoadMarkType.solid, width=0.12, laneChange=xodr.LaneChange.none))
            add(lane)
        if street.parking[side]:
            add(_parking(length))
        if street.pavement:
            pavement = xodr.Lane(lane_type=xodr.LaneType.sidewalk, a=street.pavement)
            pavement.add_height(0.12)
            add(pavement)
        else:
            add(xodr.Lane(lane_type=xodr.LaneType.shoulder, a=EDGE))
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    road = xodr.Road(street.id, view, lanes, name=f"street {street.id}")
    kind = xodr.RoadType.town if street.pavement else xodr.RoadType.rural
    road.add_type(kind, 0, speed=street.speed, speed_unit="km/h")
    road.add_predecessor(xodr.ElementType.junction, 1000 + street.nodes[0])
    road.add_successor(xodr.ElementType.junction, 1000 + street.nodes[1])
    return road


def _parking(length: float) -> xodr.Lane:
    """Return a parking lane that begins and ends at a distance from the junctions (where the kerb is built out)."""
    lane = xodr.Lane(lane_type=xodr.LaneType.parking, a=0.0)
    ramp = TAPER[1] - TAPER[0]
    c, d = 3 * PARKING / ramp**2, -2 * PARKING / ramp**3
    if length > 2 * TAPER[1] + 12.0:
        lane.add_lane_width(0.0, 0.0, c, d, TAPER[0])
        lane.add_lane_width(PARKING, 0.0, 0.0, 0.0, TAPER[1])
        lane.add_lane_width(PARKING, 0.0, -c, -d, length - TAPER[1])
        lane.add_lane_width(0.0, 0.0, 0.0, 0.0, length - TAPER[0])
    return lane


def _signal(street: Street, end: int) -> xodr.Signal:
    """Return the traffic light for vehicles approaching the junction at this end, on the kerb at its stop line."""
    length = float(_reference_line(street).get_total_length())
    s = length - STOP + 1.0 if end == 1 else STOP - 1.0
    side = -1 if end == 1 else 1
    signal = xodr.Signal(
        s=s,
        t=side * (street.half + 0.55),
        country="OpenDRIVE",
        Type=SIGNAL_TYPE,
        subtype="-1",
        name="light",
        dynamic=xodr.Dynamic.yes,
        orientation=xodr.Orientation.positive if end == 1 else xodr.Orientation.negative,
        zOffset=0.0,
        height=3.2,
        width=0.4,
    )
    signal.add_validity(*sorted((side, side * street.lanes)))
    return signal


def _crosswalk(street: Street, length: float, end: int) -> xodr.Object:
    middle, depth = sum(CROSSWALK) / 2, CROSSWALK[1] - CROSSWALK[0]
    crossing = xodr.Object(
        s=length - middle if end == 1 else middle,
        t=0.0,
        Type=xodr.ObjectType.crosswalk,
        name="crosswalk",
        orientation=xodr.Orientation.none,
        length=depth,
        width=2 * street.half,
        zOffset=0.0,
        hdg=0.0,
    )
    outline = xodr.Outline(closed=True)
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)):  # carla.Map separates them by the closing point
        outline.add_corner(xodr.CornerLocal(u * depth / 2, v * street.half, 0.0, 0.0))
    crossing.add_outline(outline)
    return crossing


def _movements(arms: list[Arm]) -> list[tuple[Arm, int, Arm, int]]:
    """Return (incoming arm, lane, outgoing arm, lane) of each movement; lanes are counted from 1 at the centre."""
    movements: list[tuple[Arm, int, Arm, int]] = []
    for source in arms:
        turns = []
        for target in arms:
            if target is source:
                continue
            heading = -source.outward
            turn = np.arctan2(heading[0] * target.outward[1] - heading[1] * target.outward[0], heading @ target.outward)
            turns.append((float(turn), target))
            lanes, onto = source.street.lanes, target.street.lanes
            if turn < -np.radians(40):
                movements.append((source, lanes, target, onto))
            elif turn > np.radians(40):
                movements.append((source, 1, target, 1))
            else:
                movements += [(source, k, target, k) for k in range(1, min(lanes, onto) + 1)]
        straightest = min(turns, key=lambda turn: abs(turn[0]))[1]
        used = {lane for arm, lane, _, _ in movements if arm is source}
        movements += [
            (source, k, straightest, min(k, straightest.street.lanes))
            for k in range(1, source.street.lanes + 1)
            if k not in used
        ]
    for target in arms:
        reached = {lane for _, _, arm, lane in movements if arm is target}
        for k in range(1, target.street.lanes + 1):
            if k not in reached:
                source = min((arm for arm in arms if arm is not target), key=lambda arm: arm.outward @ target.outward)
                movements.append((source, min(k, source.street.lanes), target, k))
    return movements


def _connection(number: int, junction: int, source: Arm, lane: int, target: Arm, to: int) -> xodr.Road:
    """Return the connecting road from one lane to another; its reference line is the lane's left edge."""
    heading, final = -source.outward, target.outward
    start = source.position + np.array([heading[1], -heading[0]]) * (lane - 1) * LANE
    stop = target.position + np.array([final[1], -final[0]]) * (to - 1) * LANE
    view = connecting_curve(start, heading, stop, final)
    centre = xodr.Lane(lane_type=xodr.LaneType.none)
    driving = xodr.Lane(lane_type=xodr.LaneType.driving, a=LANE)
    driving.add_link("predecessor", source.incoming(lane))
    driving.add_link("successor", target.outgoing(to))
    section = xodr.LaneSection(0, centre)
    section.add_right_lane(driving)
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    road = xodr.Road(number, view, lanes, road_type=junction)
    kind = xodr.RoadType.town if source.street.pavement or target.street.pavement else xodr.RoadType.rural
    road.add_type(kind, 0, speed=min(source.street.speed, target.street.speed), speed_unit="km/h")
    ends = xodr.ContactPoint.end, xodr.ContactPoint.start
    road.add_predecessor(xodr.ElementType.road, source.street.id, ends[1 - source.end])
    road.add_successor(xodr.ElementType.road, target.street.id, ends[1 - target.end])
    return road


def _controllers(element: ET.Element, signals: dict[int, list[tuple[Arm, str]]]) -> None:
    """Add one controller per axis of a junction, so that opposite arms are green together."""
    junctions = {int(junction.get("id", "-1")): junction for junction in element.findall("junction")}
    number = 1
    for node, arms in sorted(signals.items()):
        first = arms[0][0].outward
        axes: list[list[str]] = [[], []]
        for arm, signal in arms:
            axes[int(abs(arm.outward @ first) < 0.7)].append(signal)
        for sequence, axis in enumerate(axes):
            controller = ET.SubElement(
                element, "controller", id=str(number), name=f"ctrl {number}", sequence=str(sequence)
            )
            for signal in axis:
                ET.SubElement(controller, "control", signalId=signal, type="0")
            ET.SubElement(junctions[1000 + node], "controller", id=str(number), type="0", sequence=str(sequence))
            number += 1
