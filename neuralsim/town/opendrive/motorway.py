"""The motorway: a long ring of two carriageways with two interchanges, and the country road that crosses over them.

Travel is on the right: the outer carriageway (1) runs counterclockwise, the inner one (2) clockwise. On each straight
(1 south, 2 north) a carriageway passes the same parts; road ids are 100 * carriageway + 10 * straight + part:

====  ==================================================================  =====================
part  what it is                                                          driving lanes
====  ==================================================================  =====================
0     from the straight before, through the bend, to the exit lane        -1 fast, -2 slow
1     with an exit lane                                                   -3 leads to the exit
2     under the overpass                                                  -1, -2
3     with an acceleration lane                                           -3 ends by merging
5, 6  exit and entry ramp                                                 -1
====  ==================================================================  =====================

Roads 31, 32 and 33 are the country road: northern overpass, middle, southern overpass. Whatever lies in a junction
(1000 and more) is numbered from 1000 up.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from scenariogeneration import xodr

from neuralsim.town.opendrive.relief import raise_road
from neuralsim.town.opendrive.streets import planview, swerve, turn

LANE = 3.6  # m
SHOULDER, INNER, RAMP_SHOULDER, EDGE = 2.5, 1.0, 1.5, 0.4  # m, hard shoulders: right, left, of ramps, country road
MEDIAN = 3.0  # m from the middle of the median to the left edge of the leftmost lane
NOSE = 2 * LANE + 3.2  # m from there to the left edge of a ramp
COUNTRY = 3.4  # m, lane of the country road
OVERPASS = 62.0  # m from the left edge of a carriageway to the junction beside it
MOUTH = 15.0  # m from a country junction's middle to where its roads begin
HIGH = 6.6  # m, the country road at the interchanges
#: Where the parts of a straight begin and end, metres from the overpass in the direction of travel.
PARTS = {"open": (-400.0, -340.0), "exit": (-230.0, -175.0), "entry": (175.0, 230.0), "merge": (400.0, 470.0)}
FAST, RAMP_SPEED, COUNTRY_SPEED = 120, 60, 70  # km/h

Mark = xodr.RoadMarkType


@dataclass
class Straight:
    """A carriageway on one straight: ``origin`` on its left edge at the overpass, unit vectors ``ahead``, ``right``."""

    number: int  # of its roads, without the part
    origin: np.ndarray
    ahead: np.ndarray
    right: np.ndarray

    def at(self, u: float, v: float) -> np.ndarray:
        """Place ``u`` metres along and ``v`` to the right."""
        return self.origin + u * self.ahead + v * self.right


@dataclass
class _Mouth:
    """A lane where it enters (or leaves) a junction: its left edge there, its heading, and whose it is."""

    road: int
    lane: int
    place: np.ndarray
    heading: np.ndarray
    end: xodr.ContactPoint


class _Drawing:
    """Collects roads and junctions."""

    def __init__(self, name: str) -> None:
        self.drive = xodr.OpenDrive(name)
        self._next = 2000
        self._roads: dict[int, xodr.Road] = {}

    def road(
        self,
        number: int,
        view: xodr.PlanView,
        right: list[xodr.Lane],
        left: list[xodr.Lane] = (),  # type: ignore[assignment]
        *,
        kind: xodr.RoadType,
        speed: float,
        junction: int = -1,
        centre: xodr.RoadMarkType | None = None,
        name: str = "",
    ) -> xodr.Road:
        middle = xodr.Lane(lane_type=xodr.LaneType.none)
        if centre is not None:
            middle.add_roadmark(xodr.RoadMark(centre, width=0.15, laneChange=xodr.LaneChange.none))
        section = xodr.LaneSection(0, middle)
        for lane in right:
            section.add_right_lane(lane)
        for lane in left:
            section.add_left_lane(lane)
        lanes = xodr.Lanes()
        lanes.add_lanesection(section)
        road = xodr.Road(number, view, lanes, road_type=junction, name=name)
        road.add_type(kind, 0, speed=speed, speed_unit="km/h")
        self.drive.add_road(road)
        self._roads[number] = road
        return road

    def link(self, number: int, before: int, after: int) -> None:
        """Say which junctions a road comes from and leads to."""
        self._roads[number].add_predecessor(xodr.ElementType.junction, before)
        self._roads[number].add_successor(xodr.ElementType.junction, after)

    def connect(
        self,
        junction: xodr.Junction,
        source: _Mouth,
        target: _Mouth,
        view: xodr.PlanView,
        right: list[xodr.Lane],
        left: list[xodr.Lane],
        links: list[tuple[int, int, int]],
        kind: xodr.RoadType,
        speed: float,
        centre: xodr.RoadMarkType | None = None,
    ) -> None:
        """A road inside a junction; ``links``: lane before, lane here, lane after.

        ``junction``: its id; ``source``: the road before; ``view``: plan view; ``right``, ``left``: lanes; ``kind``:
        road type; ``speed``: limit, m/s; ``centre``: its centre lane's mark.
        """
        number, self._next = self._next, self._next + 1
        road = self.road(number, view, right, left, kind=kind, speed=speed, junction=junction.id, centre=centre)
        connection = xodr.Connection(source.road, number, xodr.ContactPoint.start)
        for before, here, after in links:
            lane = right[-here - 1]
            lane.add_link("predecessor", before)
            lane.add_link("successor", after)
            connection.add_lanelink(before, here)
        junction.add_connection(connection)
        road.add_predecessor(xodr.ElementType.road, source.road, source.end)
        road.add_successor(xodr.ElementType.road, target.road, target.end)


def motorway(name: str, rng: np.random.Generator) -> ET.Element:
    """OpenDRIVE of the motorway. Road ids are the same for every seed; radius and length differ a little."""
    radius, half = float(rng.uniform(290.0, 330.0)), 480.0 + float(rng.uniform(0.0, 30.0))
    drawing = _Drawing(name)
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    straights = {
        11: Straight(110, north * -(radius + MEDIAN), east, -north),
        12: Straight(120, north * (radius + MEDIAN), -east, north),
        21: Straight(210, north * -(radius - MEDIAN), -east, north),
        22: Straight(220, north * (radius - MEDIAN), east, -north),
    }
    for outer, (first, second) in ((1, (11, 12)), (-1, (21, 22))):
        _bend(drawing, straights[first], straights[second], half, radius + outer * MEDIAN)
        _bend(drawing, straights[second], straights[first], half, radius + outer * MEDIAN)
    for straight in straights.values():
        _carriageway(drawing, straight)
    _country(drawing, straights, rng)
    root = drawing.drive.get_element()
    _elevate(root)
    return root


def _lane(
    mark: xodr.RoadMarkType | None, width: float = LANE, kind: xodr.LaneType = xodr.LaneType.driving
) -> xodr.Lane:
    lane = xodr.Lane(lane_type=kind, a=width)
    if mark is not None:
        change = xodr.LaneChange.none if mark is Mark.solid else xodr.LaneChange.both
        lane.add_roadmark(xodr.RoadMark(mark, width=0.3 if mark is Mark.solid else 0.15, laneChange=change))
    return lane


def _shoulder(width: float, to: float | None = None, length: float = 1.0) -> xodr.Lane:
    """A hard shoulder, which may change its width along a road of some length."""
    slope = 0.0 if to is None else (to - width) / length
    return xodr.Lane(lane_type=xodr.LaneType.shoulder, a=width, b=slope)


def _carriage(count: int) -> tuple[list[xodr.Lane], list[xodr.Lane]]:
    """Right and left lanes of a carriageway with some driving lanes."""
    right = [_lane(Mark.broken if k < count else Mark.solid) for k in range(1, count + 1)]
    return [*right, _shoulder(SHOULDER)], [_shoulder(INNER)]


def _bend(drawing: _Drawing, last: Straight, here: Straight, half: float, radius: float) -> None:
    """Part 0: from the end of one straight through the half circle to the next."""
    out = last.ahead * radius
    corners = [last.at(half, 0.0) + out, here.at(-half, 0.0) + out]
    start, stop = last.at(PARTS["merge"][1], 0.0), here.at(PARTS["open"][0], 0.0)
    right, left = _carriage(2)
    drawing.road(
        here.number, planview([start, *corners, stop], radius), right, left,
        kind=xodr.RoadType.motorway, speed=FAST, centre=Mark.solid,
    )  # fmt: skip
    drawing.link(here.number, 1000 + last.number + 4, 1000 + here.number + 1)


def _carriageway(drawing: _Drawing, here: Straight) -> None:
    """Parts 1 to 3 and both ramps of one carriageway on one straight, and the four junctions between them."""
    n = here.number
    for part, (begin, end), count in ((1, ("open", "exit"), 3), (2, ("exit", "entry"), 2), (3, ("entry", "merge"), 3)):
        right, left = _carriage(count)
        line = planview([here.at(PARTS[begin][1], 0.0), here.at(PARTS[end][0], 0.0)], 0.0)
        drawing.road(n + part, line, right, left, kind=xodr.RoadType.motorway, speed=FAST, centre=Mark.solid)
        drawing.link(n + part, 1000 + n + part, 1000 + n + part + 1)

    at = OVERPASS - LANE / 2  # left edge of the ramps beside the country road
    nose, mouth = PARTS["exit"][1], MOUTH
    for part, start, stop, ends in (
        (5, (nose, NOSE), (-mouth, at), (1000 + n + 2, 3000 + n)),
        (6, (mouth, at), (-nose, NOSE), (3000 + n, 1000 + n + 3)),
    ):
        view = swerve(here.at(*start), here.ahead, here.at(*stop), here.ahead)
        lanes = [_lane(Mark.solid), _shoulder(RAMP_SHOULDER)]
        drawing.road(
            n + part, view, lanes, [_shoulder(EDGE)],
            kind=xodr.RoadType.motorway, speed=RAMP_SPEED, centre=Mark.solid,
        )  # fmt: skip
        drawing.link(n + part, *ends)

    after = n + 4  # the bend that follows begins at this junction
    following = {110: 120, 120: 110, 210: 220, 220: 210}[n]
    for number, gap, before, then in (
        (n + 1, "open", n, n + 1),
        (n + 2, "exit", n + 1, n + 2),
        (n + 3, "entry", n + 2, n + 3),
        (after, "merge", n + 3, following),
    ):
        junction = xodr.Junction(f"{gap} {n}", 1000 + number)
        _passage(drawing, junction, here, gap, before, then)
        drawing.drive.add_junction(junction)


def _passage(drawing: _Drawing, junction: xodr.Junction, here: Straight, gap: str, before: int, then: int) -> None:
    """The lanes that go straight on through a junction of the motorway, and the one that joins or leaves there."""
    begin, end = PARTS[gap]
    length = end - begin

    def mouth(road: int, lane: int, u: float, v: float, contact: xodr.ContactPoint) -> _Mouth:
        return _Mouth(road, lane, here.at(u, v), here.ahead, contact)

    source = mouth(before, -1, begin, 0.0, xodr.ContactPoint.end)
    target = mouth(then, -1, end, 0.0, xodr.ContactPoint.start)
    right = [_lane(Mark.broken), _lane(Mark.broken)]
    if gap == "exit":
        right.append(_shoulder(0.0, SHOULDER, length))
    elif gap == "entry":
        right.append(_shoulder(SHOULDER, 0.0, length))
    drawing.connect(
        junction, source, target, planview([source.place, target.place], 0.0), right, [_shoulder(INNER)],
        [(-1, -1, -1), (-2, -2, -2)], xodr.RoadType.motorway, FAST, Mark.solid,
    )  # fmt: skip
    third, ramp = 2 * LANE, here.number + (5 if gap == "exit" else 6)
    widths = SHOULDER, SHOULDER
    speed = FAST
    if gap == "open":
        source, target, ids = (
            mouth(before, -2, begin, LANE, source.end),
            mouth(then, -3, end, third, target.end),
            (-2, -3),
        )
    elif gap == "merge":
        source, target, ids = (
            mouth(before, -3, begin, third, source.end),
            mouth(then, -2, end, LANE, target.end),
            (-3, -2),
        )
    elif gap == "exit":
        source, target, ids = (
            mouth(before, -3, begin, third, source.end),
            mouth(ramp, -1, end, NOSE, target.end),
            (-3, -1),
        )
        widths, speed = (SHOULDER, RAMP_SHOULDER), 80
    else:
        source, target, ids = (
            mouth(ramp, -1, begin, NOSE, source.end),
            mouth(then, -3, end, third, target.end),
            (-1, -3),
        )
        widths, speed = (RAMP_SHOULDER, SHOULDER), 80
    view = swerve(source.place, here.ahead, target.place, here.ahead)
    lanes = [_lane(Mark.solid), _shoulder(*widths, view.get_total_length())]
    drawing.connect(junction, source, target, view, lanes, [], [(ids[0], -1, ids[1])], xodr.RoadType.motorway, speed)


def _country(drawing: _Drawing, straights: dict[int, Straight], rng: np.random.Generator) -> None:
    """The road over the motorway: two overpasses and what lies between them, with junctions at the ramps."""
    middles = {key: straight.at(0.0, OVERPASS) for key, straight in straights.items()}
    north = np.array([0.0, 1.0])
    sway = rng.uniform(10.0, 18.0) * rng.choice([-1.0, 1.0])
    low, high = middles[21] + north * MOUTH, middles[22] - north * MOUTH
    bends = [
        low + north * 60.0,
        [sway, (low + high)[1] / 2 - 60.0],
        [-sway, (low + high)[1] / 2 + 60.0],
        high - north * 60.0,
    ]
    lines = {
        31: (22, [middles[22] + north * MOUTH, middles[12] - north * MOUTH], 12),
        32: (21, [low, *(np.array(bend) for bend in bends), high], 22),
        33: (11, [middles[11] + north * MOUTH, middles[21] - north * MOUTH], 21),
    }
    mouths: dict[int, list[tuple[_Mouth, bool]]] = {key: [] for key in straights}  # and whether it leads in
    starts, ends = xodr.ContactPoint.start, xodr.ContactPoint.end
    for number, (first, points, last) in lines.items():
        drawing.road(
            number, planview(points, 120.0),
            [_lane(Mark.solid, COUNTRY), _shoulder(EDGE)], [_lane(Mark.solid, COUNTRY), _shoulder(EDGE)],
            kind=xodr.RoadType.rural, speed=COUNTRY_SPEED, centre=Mark.broken,
        )  # fmt: skip
        drawing.link(number, 3000 + straights[first].number, 3000 + straights[last].number)
        mouths[first] += [
            (_Mouth(number, 1, points[0], -north, starts), True),
            (_Mouth(number, -1, points[0], north, starts), False),
        ]
        mouths[last] += [
            (_Mouth(number, -1, points[-1], north, ends), True),
            (_Mouth(number, 1, points[-1], -north, ends), False),
        ]
    for key, here in straights.items():
        edge = OVERPASS - LANE / 2
        mouths[key] += [
            (_Mouth(here.number + 5, -1, here.at(-MOUTH, edge), here.ahead, ends), True),
            (_Mouth(here.number + 6, -1, here.at(MOUTH, edge), here.ahead, starts), False),
        ]
        junction = xodr.Junction(f"ramps {here.number}", 3000 + here.number)
        for source, comes in mouths[key]:
            for target, arrives in mouths[key]:
                ramps = source.road > 100 and target.road > 100
                if not comes or arrives or source.road == target.road or ramps:
                    continue
                narrow, wide = (LANE if mouth.road > 100 else COUNTRY for mouth in (source, target))
                view = turn(source.place, source.heading, target.place, target.heading)
                slope = (wide - narrow) / view.get_total_length()
                lane = xodr.Lane(lane_type=xodr.LaneType.driving, a=narrow, b=slope)
                drawing.connect(
                    junction, source, target, view, [lane], [], [(source.lane, -1, target.lane)],
                    xodr.RoadType.rural, 50,
                )  # fmt: skip
        drawing.drive.add_junction(junction)


def _elevate(root: ET.Element) -> None:
    """The country road on its embankments and over the motorway; ramps climb to it."""
    for road in root.iter("road"):
        number, length = int(road.get("id", "0")), float(road.get("length", "0"))
        junction = int(road.get("junction", "-1"))
        if junction >= 3000:
            raise_road(road, [0.0, length], [HIGH, HIGH])
        elif number in (31, 33):
            raise_road(road, np.linspace(0.0, length, 5), HIGH + np.array([0.0, 0.25, 0.4, 0.25, 0.0]))
        elif number == 32:
            raise_road(road, np.linspace(0.0, length, 9), HIGH - np.array([0, 1.6, 4.2, 5.6, 6.0, 5.6, 4.2, 1.6, 0]))
        elif junction < 0 and number % 10 in (5, 6) and number > 100:
            share = np.linspace(0.0, 1.0, 9)
            climb = share**2 * (3.0 - 2.0 * share)
            raise_road(road, share * length, HIGH * (climb if number % 10 == 5 else 1.0 - climb))
