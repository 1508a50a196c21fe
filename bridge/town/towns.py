"""Towns as OpenDRIVE text: the generated ones, made with ``scenariogeneration``, and any other file by its path.

Coordinates in here are OpenDRIVE's (x east, y north, right-handed); ``carla.Map`` mirrors y when it reads them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from scenariogeneration import xodr

from bridge.town.probe import check_numbers, try_map

LANE = 3.15  # width of a driving lane, metres
PARKING = 2.15  # width of a parking lane
CORNER = 5.5  # radius of the kerb at a street corner
ZEBRA = (1.2, 4.4)  # a zebra crossing lies this far before the end of an arm, metres
STOP = 5.6  # and the stop line there
TAPER = (STOP + 3.0, STOP + 6.0)  # parking lanes begin between these distances from a junction
SIGNAL_TYPE = "1000001"  # OpenDRIVE's and CARLA's type of a three-colour traffic light


@dataclass(frozen=True)
class Plan:
    """What distinguishes one generated town from another: a jittered grid of streets."""

    columns: int
    rows: int
    spacing: tuple[float, float]  # least and greatest distance of parallel streets, metres
    avenues: tuple[tuple[int, ...], tuple[int, ...]]  # columns and rows with two lanes each way
    bends: float  # share of the streets that are not straight
    removed: float  # share of the inner streets left out (two blocks become one)


#: Every town that can be generated, by name.
TOWNS = {
    "oldtown": Plan(6, 6, (112.0, 168.0), ((2,), (3,)), 0.6, 0.2),
    "hamlet": Plan(3, 3, (95.0, 130.0), ((), ()), 0.6, 0.0),
}


@dataclass
class _Street:
    """A street between two junctions: control points, lanes each way and what lies beside them."""

    id: int
    nodes: tuple[int, int]
    points: list[np.ndarray]
    lanes: int
    parking: tuple[bool, bool]  # left, right
    pavement: float
    speed: int  # km/h
    markings: bool
    cut: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @property
    def half(self) -> float:
        """Centre line to kerb where no cars are parked, metres."""
        return self.lanes * LANE

    def direction(self, end: int) -> np.ndarray:
        """Unit vector from the node at this end (0 or 1) into the street."""
        a, b = (self.points[0], self.points[1]) if end == 0 else (self.points[-1], self.points[-2])
        return (b - a) / np.linalg.norm(b - a)


@dataclass
class _Arm:
    """A street's mouth at a junction, seen from the junction."""

    street: _Street
    end: int
    position: np.ndarray
    outward: np.ndarray

    def incoming(self, lane: int) -> int:
        return -lane if self.end == 1 else lane

    def outgoing(self, lane: int) -> int:
        return lane if self.end == 1 else -lane


def load(town: str, seed: int = 0) -> tuple[str, str]:
    """Name and OpenDRIVE text of a town: one of `TOWNS`, or the path of an ``.xodr`` file.

    Raises:
        ValueError: no such town or file, or the file holds no OpenDRIVE roads.
    """
    if town in TOWNS:
        return town, generate(town, seed)
    path = Path(town)
    if path.suffix.lower() != ".xodr":
        raise ValueError(f"unknown town {town!r}: choose {', '.join(sorted(TOWNS))} or the path of an .xodr file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        root = ET.fromstring(text)
    except OSError as error:
        raise ValueError(f"cannot read {town}: {error.strerror or error}") from None
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise ValueError(f"{town} is damaged, not OpenDRIVE: {error}") from None
    if root.tag != "OpenDRIVE":
        raise ValueError(f"{town} is not OpenDRIVE: its root element is <{root.tag}>")
    check_numbers(town, root)
    try_map(path)
    return path.stem, text


@lru_cache(maxsize=4)
def generate(name: str, seed: int = 0) -> str:
    """OpenDRIVE text of a generated town; the same name and seed give the same text."""
    rng = np.random.default_rng([seed, *name.encode()])
    streets = _streets(TOWNS[name], rng)
    arms: dict[int, list[_Arm]] = {}
    for street in streets:
        for end, node in enumerate(street.nodes):
            arms.setdefault(node, []).append(_Arm(street, end, street.points[-end], street.direction(end)))
    for junction in arms.values():
        _cut(junction)

    drive = xodr.OpenDrive(name)
    signals: dict[int, list[tuple[_Arm, str]]] = {}
    lit = {node for node, around in arms.items() if len(around) > 3 and rng.random() < 0.4}
    lit |= {node for node, around in arms.items() if sum(arm.street.lanes > 1 for arm in around) > 1}
    number = 1
    for street in streets:
        road = _road(street)
        for end, node in enumerate(street.nodes):
            if node in lit:
                signal = _signal(street, end)
                road.add_signal(signal)
                signal.id = str(number)  # set late: scenariogeneration renames ids that any earlier town has used
                signals.setdefault(node, []).append(
                    (_Arm(street, end, street.points[-end], street.direction(end)), str(number))
                )
                number += 1
            if node in lit or rng.random() < 0.5:
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
    header = element.find("header")
    assert header is not None
    header.set("date", "2025-01-01T00:00:00")  # the clock must not make two equal towns differ
    ET.SubElement(header, "geoReference").text = "+proj=tmerc +lat_0=52.2 +lon_0=0.12 +k=1 +x_0=0 +y_0=0"
    for thing in element.iter("object"):  # carla.Map reads outlines as OpenDRIVE 1.4 has them: right in the object
        outlines = thing.find("outlines")
        if outlines is not None:
            thing.extend(outlines)
            thing.remove(outlines)
    ET.indent(element)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(element, encoding="unicode")


def _streets(plan: Plan, rng: np.random.Generator) -> list[_Street]:
    """A grid of streets, jittered, bent and thinned out; every junction keeps at least three arms."""
    xs = np.cumsum(rng.uniform(*plan.spacing, plan.columns))
    ys = np.cumsum(rng.uniform(*plan.spacing, plan.rows))
    xs, ys = xs - xs.mean(), ys - ys.mean()
    nodes = np.stack(np.meshgrid(xs, ys, indexing="ij"), -1) + rng.uniform(-14.0, 14.0, (plan.columns, plan.rows, 2))
    number = {(i, j): i * plan.rows + j for i in range(plan.columns) for j in range(plan.rows)}
    edges = [((i, j), (i + 1, j)) for i in range(plan.columns - 1) for j in range(plan.rows)]
    edges += [((i, j), (i, j + 1)) for i in range(plan.columns) for j in range(plan.rows - 1)]
    degree = {node: sum(node in edge for edge in edges) for node in number}

    def avenue(edge: tuple[tuple[int, int], tuple[int, int]]) -> bool:
        (i0, j0), (i1, j1) = edge
        return (i0 == i1 and i0 in plan.avenues[0]) or (j0 == j1 and j0 in plan.avenues[1])

    target = int(plan.removed * len(edges))
    for k in rng.permutation(len(edges)):
        edge = edges[k]
        if target and not avenue(edge) and min(degree[edge[0]], degree[edge[1]]) > 3:
            degree[edge[0]] -= 1
            degree[edge[1]] -= 1
            edges[k] = ((-1, -1), (-1, -1))
            target -= 1
    edges = [edge for edge in edges if edge[0] != (-1, -1)]

    # A corner of the town has two streets: they are one street that bends there.
    corners = [node for node in number if degree[node] == 2]
    lines: list[tuple[tuple[int, int], tuple[int, int], list[np.ndarray], bool]] = []
    for node in corners:
        first, second = (edge for edge in edges if node in edge)
        edges = [edge for edge in edges if node not in edge]
        a = first[0] if first[1] == node else first[1]
        b = second[0] if second[1] == node else second[1]
        lines.append((a, b, [nodes[a], nodes[node], nodes[b]], False))
    for edge in edges:
        a, b = nodes[edge[0]], nodes[edge[1]]
        points = [a, b]
        if rng.random() < plan.bends:
            normal = np.array([a[1] - b[1], b[0] - a[0]]) / np.linalg.norm(b - a)
            shift = rng.uniform(7.0, 16.0) * rng.choice([-1.0, 1.0])
            if rng.random() < 0.4:
                points = [a, a + (b - a) * 0.33 + normal * shift, a + (b - a) * 0.67 - normal * shift * 0.6, b]
            else:
                points = [a, a + (b - a) * rng.uniform(0.42, 0.58) + normal * shift, b]
        lines.append((edge[0], edge[1], points, avenue(edge)))

    streets = []
    for k, (start, stop, points, wide) in enumerate(lines):
        parking = rng.random(2) < (0.35 if wide else 0.62)
        streets.append(
            _Street(
                id=k,
                nodes=(number[start], number[stop]),
                points=points,
                lanes=2 if wide else 1,
                parking=(bool(parking[0]), bool(parking[1])),
                pavement=float(rng.choice([2.2, 2.6, 3.0]) + (0.6 if wide else 0.0)),
                speed=50 if wide else int(rng.choice([30, 30, 50])),
                markings=wide or bool(rng.random() < 0.8),
            )
        )
    return streets


def _cut(arms: list[_Arm]) -> None:
    """Set how far from its node each arm ends, so that kerbs of radius `CORNER` fit between neighbours."""
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


def _planview(points: Sequence[np.ndarray], radius: float) -> xodr.PlanView:
    """A polyline as lines and tangent arcs; corners take `radius`, or what their neighbours leave room for."""
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


def _swerve(start: np.ndarray, heading: np.ndarray, stop: np.ndarray, final: np.ndarray) -> xodr.PlanView:
    """A cubic from one pose to another, where line and arc do not fit (lanes that are offset)."""
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


def _road(street: _Street) -> xodr.Road:
    points = list(street.points)
    points[0] = points[0] + street.direction(0) * street.cut[0]
    points[-1] = points[-1] + street.direction(1) * street.cut[1]
    view = _planview(points, radius=38.0)
    length = view.get_total_length()
    centre = xodr.Lane(lane_type=xodr.LaneType.none)
    if street.markings:
        kind = xodr.RoadMarkType.solid if street.lanes > 1 else xodr.RoadMarkType.broken
        centre.add_roadmark(xodr.RoadMark(kind, width=0.13))
    section = xodr.LaneSection(0, centre)
    for side, add in enumerate((section.add_left_lane, section.add_right_lane)):
        for k in range(1, street.lanes + 1):
            lane = xodr.Lane(lane_type=xodr.LaneType.driving, a=LANE)
            if k < street.lanes:
                lane.add_roadmark(xodr.RoadMark(xodr.RoadMarkType.broken, width=0.12))
            add(lane)
        if street.parking[side]:
            add(_parking(length))
        pavement = xodr.Lane(lane_type=xodr.LaneType.sidewalk, a=street.pavement)
        pavement.add_height(0.12)
        add(pavement)
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    road = xodr.Road(street.id, view, lanes, name=f"street {street.id}")
    road.add_type(xodr.RoadType.town, 0, speed=street.speed, speed_unit="km/h")
    road.add_predecessor(xodr.ElementType.junction, 1000 + street.nodes[0])
    road.add_successor(xodr.ElementType.junction, 1000 + street.nodes[1])
    return road


def _parking(length: float) -> xodr.Lane:
    """A parking lane that opens and closes at a distance from the junctions (the kerb reaches out there)."""
    lane = xodr.Lane(lane_type=xodr.LaneType.parking, a=0.0)
    ramp = TAPER[1] - TAPER[0]
    c, d = 3 * PARKING / ramp**2, -2 * PARKING / ramp**3
    if length > 2 * TAPER[1] + 12.0:
        lane.add_lane_width(0.0, 0.0, c, d, TAPER[0])
        lane.add_lane_width(PARKING, 0.0, 0.0, 0.0, TAPER[1])
        lane.add_lane_width(PARKING, 0.0, -c, -d, length - TAPER[1])
        lane.add_lane_width(0.0, 0.0, 0.0, 0.0, length - TAPER[0])
    return lane


def _signal(street: _Street, end: int) -> xodr.Signal:
    """A traffic light for those who come to the junction at this end, on the kerb at its stop line."""
    length = _road_length(street)
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


def _road_length(street: _Street) -> float:
    points = list(street.points)
    points[0] = points[0] + street.direction(0) * street.cut[0]
    points[-1] = points[-1] + street.direction(1) * street.cut[1]
    return float(_planview(points, radius=38.0).get_total_length())


def _crosswalk(street: _Street, length: float, end: int) -> xodr.Object:
    middle, depth = sum(ZEBRA) / 2, ZEBRA[1] - ZEBRA[0]
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
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)):  # carla.Map tells them apart by the closing point
        outline.add_corner(xodr.CornerLocal(u * depth / 2, v * street.half, 0.0, 0.0))
    crossing.add_outline(outline)
    return crossing


def _movements(arms: list[_Arm]) -> list[tuple[_Arm, int, _Arm, int]]:
    """Which lane leads where: (incoming arm, its lane, outgoing arm, its lane); lanes count from the centre, 1.. ."""
    found: list[tuple[_Arm, int, _Arm, int]] = []
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
                found.append((source, lanes, target, onto))
            elif turn > np.radians(40):
                found.append((source, 1, target, 1))
            else:
                found += [(source, k, target, k) for k in range(1, min(lanes, onto) + 1)]
        straightest = min(turns, key=lambda turn: abs(turn[0]))[1]
        used = {lane for arm, lane, _, _ in found if arm is source}
        found += [
            (source, k, straightest, min(k, straightest.street.lanes))
            for k in range(1, source.street.lanes + 1)
            if k not in used
        ]
    for target in arms:
        reached = {lane for _, _, arm, lane in found if arm is target}
        for k in range(1, target.street.lanes + 1):
            if k not in reached:
                source = min((arm for arm in arms if arm is not target), key=lambda arm: arm.outward @ target.outward)
                found.append((source, min(k, source.street.lanes), target, k))
    return found


def _connection(number: int, junction: int, source: _Arm, lane: int, target: _Arm, to: int) -> xodr.Road:
    """The road inside a junction from one lane to another; its reference line is the lane's left edge."""
    heading, final = -source.outward, target.outward
    start = source.position + np.array([heading[1], -heading[0]]) * (lane - 1) * LANE
    stop = target.position + np.array([final[1], -final[0]]) * (to - 1) * LANE
    cross = heading[0] * final[1] - heading[1] * final[0]
    delta = stop - start
    if abs(cross) < 1e-3 and abs(heading[0] * delta[1] - heading[1] * delta[0]) < 1e-3:
        view = _planview([start, stop], 0.0)
    else:
        before = after = -1.0
        if abs(cross) > 0.05:
            before = (delta[0] * final[1] - delta[1] * final[0]) / cross
            after = (heading[0] * delta[1] - heading[1] * delta[0]) / cross
        if before > 1.0 and after > 1.0 and 0.2 < before / after < 5.0:
            view = _planview([start, start + heading * before, stop], 1e6)
        else:
            view = _swerve(start, heading, stop, final)
    centre = xodr.Lane(lane_type=xodr.LaneType.none)
    driving = xodr.Lane(lane_type=xodr.LaneType.driving, a=LANE)
    driving.add_link("predecessor", source.incoming(lane))
    driving.add_link("successor", target.outgoing(to))
    section = xodr.LaneSection(0, centre)
    section.add_right_lane(driving)
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    road = xodr.Road(number, view, lanes, road_type=junction)
    road.add_type(xodr.RoadType.town, 0, speed=min(source.street.speed, target.street.speed), speed_unit="km/h")
    ends = xodr.ContactPoint.end, xodr.ContactPoint.start
    road.add_predecessor(xodr.ElementType.road, source.street.id, ends[1 - source.end])
    road.add_successor(xodr.ElementType.road, target.street.id, ends[1 - target.end])
    return road


def _controllers(element: ET.Element, signals: dict[int, list[tuple[_Arm, str]]]) -> None:
    """One controller per axis of a junction: opposite arms show green together."""
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
