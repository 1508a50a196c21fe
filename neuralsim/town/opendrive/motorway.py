"""The motorway: a long ring of two carriageways with two interchanges, and the country road that crosses over them.

Traffic drives on the right: the outer carriageway (1) runs anticlockwise, the inner one (2) clockwise. On each straight
(1 south, 2 north) a carriageway consists of the same parts; road ids are 100 * carriageway + 10 * straight + part:

====  ==================================================================  =====================
part  description                                                         driving lanes
====  ==================================================================  =====================
0     from the straight before, through the bend, to the exit lane        -1 fast, -2 slow
1     with an exit lane                                                   -3 leads to the exit
2     under the overpass                                                  -1, -2
3     with an acceleration lane                                           -3 ends by merging
5, 6  exit and entry ramp                                                 -1
====  ==================================================================  =====================

Roads 31, 32 and 33 are the country road: northern overpass, middle, southern overpass. Ids of junctions and of roads in
them are 1000 and above.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from scenariogeneration import xodr

from neuralsim.town.opendrive.relief import set_elevation
from neuralsim.town.opendrive.streets import connecting_curve, cubic_curve, planview

LANE = 3.6  # m
SHOULDER, INNER, RAMP_SHOULDER, EDGE = 2.5, 1.0, 1.5, 0.4  # m, hard shoulders: right, left, of ramps, country road
MEDIAN = 3.0  # m from the middle of the median to the left edge of the leftmost lane
NOSE = 2 * LANE + 3.2  # m from there to the left edge of a ramp
COUNTRY = 3.4  # m, width of a lane of the country road
OVERPASS = 62.0  # m from the left edge of a carriageway to the junction next to it
MOUTH = 15.0  # m from the centre of a country road junction to its arms
HIGH = 6.6  # m, elevation of the country road at the interchanges
#: Start and end of the junctions between the parts of a straight, metres from the overpass in the direction of travel.
PARTS = {"open": (-400.0, -340.0), "exit": (-230.0, -175.0), "entry": (175.0, 230.0), "merge": (400.0, 470.0)}
FAST, RAMP_SPEED, COUNTRY_SPEED = 120, 60, 70  # km/h

Mark = xodr.RoadMarkType


@dataclass
class Straight:
    """A carriageway on one straight: ``origin`` on its left edge at the overpass, unit vectors ``ahead``, ``right``."""

    number: int  # its road ids without the part
    origin: np.ndarray
    ahead: np.ndarray
    right: np.ndarray

    def at(self, u: float, v: float) -> np.ndarray:
        """Return the point ``u`` metres ahead of the origin and ``v`` to the right."""
        return self.origin + u * self.ahead + v * self.right


@dataclass
class _LaneEnd:
    """The end of a lane at a junction: road and lane id, left edge ``place``, heading, and which end of the road."""

    road: int
    lane: int
    place: np.ndarray
    heading: np.ndarray
    end: xodr.ContactPoint


class _MapBuilder:
    """A builder that collects roads and junctions."""

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
        """Link a road to the junctions before and after it."""
        self._roads[number].add_predecessor(xodr.ElementType.junction, before)
        self._roads[number].add_successor(xodr.ElementType.junction, after)

    def connect(
        self,
        junction: xodr.Junction,
        source: _LaneEnd,
        target: _LaneEnd,
        view: xodr.PlanView,
        right: list[xodr.Lane],
        left: list[xodr.Lane],
        links: list[tuple[int, int, int]],
        kind: xodr.RoadType,
        speed: float,
        centre: xodr.RoadMarkType | None = None,
    ) -> None:
        """Add a connecting road to a junction.

        Args:
            junction: The junction.
            source: Lane end that the road starts from.
            target: Lane end that it leads to.
            view: Plan view of its reference line.
            right: Lanes on the right.
            left: Lanes on the left.
            links: Predecessor lane, lane on this road and successor lane of each link.
            kind: Road type.
            speed: Speed limit, km/h.
            centre: Marking of its centre lane.
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
    """Return the motorway as OpenDRIVE. Road ids are the same for every seed; radius and length vary slightly."""
    radius, half = float(rng.uniform(290.0, 330.0)), 480.0 + float(rng.uniform(0.0, 30.0))
    builder = _MapBuilder(name)
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    straights = {
        11: Straight(110, north * -(radius + MEDIAN), east, -north),
        12: Straight(120, north * (radius + MEDIAN), -east, north),
        21: Straight(210, north * -(radius - MEDIAN), -east, north),
        22: Straight(220, north * (radius - MEDIAN), east, -north),
    }
    for outer, (first, second) in ((1, (11, 12)), (-1, (21, 22))):
        _add_bend(builder, straights[first], straights[second], half, radius + outer * MEDIAN)
        _add_bend(builder, straights[second], straights[first], half, radius + outer * MEDIAN)
    for straight in straights.values():
        _add_carriageway(builder, straight)
    _add_country_road(builder, straights, rng)
    root = builder.drive.get_element()
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
    """Return a hard shoulder, whose width may change linearly to ``to`` along a road of ``length`` m."""
    slope = 0.0 if to is None else (to - width) / length
    return xodr.Lane(lane_type=xodr.LaneType.shoulder, a=width, b=slope)


def _carriageway_lanes(count: int) -> tuple[list[xodr.Lane], list[xodr.Lane]]:
    """Return the right and left lanes of a carriageway with ``count`` driving lanes."""
    right = [_lane(Mark.broken if k < count else Mark.solid) for k in range(1, count + 1)]
    return [*right, _shoulder(SHOULDER)], [_shoulder(INNER)]


def _add_bend(builder: _MapBuilder, last: Straight, here: Straight, half: float, radius: float) -> None:
    """Add part 0: from the end of one straight through the half circle to the next."""
    out = last.ahead * radius
    corners = [last.at(half, 0.0) + out, here.at(-half, 0.0) + out]
    start, stop = last.at(PARTS["merge"][1], 0.0), here.at(PARTS["open"][0], 0.0)
    right, left = _carriageway_lanes(2)
    builder.road(
        here.number, planview([start, *corners, stop], radius), right, left,
        kind=xodr.RoadType.motorway, speed=FAST, centre=Mark.solid,
    )  # fmt: skip
    builder.link(here.number, 1000 + last.number + 4, 1000 + here.number + 1)


def _add_carriageway(builder: _MapBuilder, here: Straight) -> None:
    """Add parts 1 to 3 and both ramps of one carriageway on one straight, and the four junctions between them."""
    n = here.number
    for part, (begin, end), count in ((1, ("open", "exit"), 3), (2, ("exit", "entry"), 2), (3, ("entry", "merge"), 3)):
        right, left = _carriageway_lanes(count)
        line = planview([here.at(PARTS[begin][1], 0.0), here.at(PARTS[end][0], 0.0)], 0.0)
        builder.road(n + part, line, right, left, kind=xodr.RoadType.motorway, speed=FAST, centre=Mark.solid)
        builder.link(n + part, 1000 + n + part, 1000 + n + part + 1)

    at = OVERPASS - LANE / 2  # left edge of the ramps at the country road
    nose, mouth = PARTS["exit"][1], MOUTH
    for part, start, stop, ends in (
        (5, (nose, NOSE), (-mouth, at), (1000 + n + 2, 3000 + n)),
        (6, (mouth, at), (-nose, NOSE), (3000 + n, 1000 + n + 3)),
    ):
        view = cubic_curve(here.at(*start), here.ahead, here.at(*stop), here.ahead)
        lanes = [_lane(Mark.solid), _shoulder(RAMP_SHOULDER)]
        builder.road(
            n + part, view, lanes, [_shoulder(EDGE)],
            kind=xodr.RoadType.motorway, speed=RAMP_SPEED, centre=Mark.solid,
        )  # fmt: skip
        builder.link(n + part, *ends)

    after = n + 4  # the bend that follows begins at this junction
    following = {110: 120, 120: 110, 210: 220, 220: 210}[n]
    for number, gap, before, then in (
        (n + 1, "open", n, n + 1),
        (n + 2, "exit", n + 1, n + 2),
        (n + 3, "entry", n + 2, n + 3),
        (after, "merge", n + 3, following),
    ):
        junction = xodr.Junction(f"{gap} {n}", 1000 + number)
        _add_junction_lanes(builder, junction, here, gap, before, then)
        builder.drive.add_junction(junction)


def _add_junction_lanes(
    builder: _MapBuilder, junction: xodr.Junction, here: Straight, gap: str, before: int, then: int
) -> None:
    """Add the lanes straight through a junction of the motorway, and the lane that merges or diverges there."""
    begin, end = PARTS[gap]
    length = end - begin

    def lane_end(road: int, lane: int, u: float, v: float, contact: xodr.ContactPoint) -> _LaneEnd:
        return _LaneEnd(road, lane, here.at(u, v), here.ahead, contact)

    source = lane_end(before, -1, begin, 0.0, xodr.ContactPoint.end)
    target = lane_end(then, -1, end, 0.0, xodr.ContactPoint.start)
    right = [_lane(Mark.broken), _lane(Mark.broken)]
    if gap == "exit":
        right.append(_shoulder(0.0, SHOULDER, length))
    elif gap == "entry":
        right.append(_shoulder(SHOULDER, 0.0, length))
    builder.connect(
        junction, source, target, planview([source.place, target.place], 0.0), right, [_shoulder(INNER)],
        [(-1, -1, -1), (-2, -2, -2)], xodr.RoadType.motorway, FAST, Mark.solid,
    )  # fmt: skip
    third, ramp = 2 * LANE, here.number + (5 if gap == "exit" else 6)
    widths = SHOULDER, SHOULDER
    speed = FAST
    if gap == "open":
        source, target, ids = (
            lane_end(before, -2, begin, LANE, source.end),
            lane_end(then, -3, end, third, target.end),
            (-2, -3),
        )
    elif gap == "merge":
        source, target, ids = (
            lane_end(before, -3, begin, third, source.end),
            lane_end(then, -2, end, LANE, target.end),
            (-3, -2),
        )
    elif gap == "exit":
        source, target, ids = (
            lane_end(before, -3, begin, third, source.end),
            lane_end(ramp, -1, end, NOSE, target.end),
            (-3, -1),
        )
        widths, speed = (SHOULDER, RAMP_SHOULDER), 80
    else:
        source, target, ids = (
            lane_end(ramp, -1, begin, NOSE, source.end),
            lane_end(then, -3, end, third, target.end),
            (-1, -3),
        )
        widths, speed = (RAMP_SHOULDER, SHOULDER), 80
    view = cubic_curve(source.place, here.ahead, target.place, here.ahead)
    lanes = [_lane(Mark.solid), _shoulder(*widths, view.get_total_length())]
    builder.connect(junction, source, target, view, lanes, [], [(ids[0], -1, ids[1])], xodr.RoadType.motorway, speed)


def _add_country_road(builder: _MapBuilder, straights: dict[int, Straight], rng: np.random.Generator) -> None:
    """Add the road over the motorway: two overpasses and the road between them, with junctions at the ramps."""
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
    lane_ends: dict[int, list[tuple[_LaneEnd, bool]]] = {key: [] for key in straights}  # and whether it leads in
    starts, ends = xodr.ContactPoint.start, xodr.ContactPoint.end
    for number, (first, points, last) in lines.items():
        builder.road(
            number, planview(points, 120.0),
            [_lane(Mark.solid, COUNTRY), _shoulder(EDGE)], [_lane(Mark.solid, COUNTRY), _shoulder(EDGE)],
            kind=xodr.RoadType.rural, speed=COUNTRY_SPEED, centre=Mark.broken,
        )  # fmt: skip
        builder.link(number, 3000 + straights[first].number, 3000 + straights[last].number)
        lane_ends[first] += [
            (_LaneEnd(number, 1, points[0], -north, starts), True),
            (_LaneEnd(number, -1, points[0], north, starts), False),
        ]
        lane_ends[last] += [
            (_LaneEnd(number, -1, points[-1], north, ends), True),
            (_LaneEnd(number, 1, points[-1], -north, ends), False),
        ]
    for key, here in straights.items():
        edge = OVERPASS - LANE / 2
        lane_ends[key] += [
            (_LaneEnd(here.number + 5, -1, here.at(-MOUTH, edge), here.ahead, ends), True),
            (_LaneEnd(here.number + 6, -1, here.at(MOUTH, edge), here.ahead, starts), False),
        ]
        junction = xodr.Junction(f"ramps {here.number}", 3000 + here.number)
        for source, comes in lane_ends[key]:
            for target, arrives in lane_ends[key]:
                ramps = source.road > 100 and target.road > 100
                if not comes or arrives or source.road == target.road or ramps:
                    continue
                narrow, wide = (LANE if end.road > 100 else COUNTRY for end in (source, target))
                view = connecting_curve(source.place, source.heading, target.place, target.heading)
                slope = (wide - narrow) / view.get_total_length()
                lane = xodr.Lane(lane_type=xodr.LaneType.driving, a=narrow, b=slope)
                builder.connect(
                    junction, source, target, view, [lane], [], [(source.lane, -1, target.lane)],
                    xodr.RoadType.rural, 50,
                )  # fmt: skip
        builder.drive.add_junction(junction)


def _elevate(root: ET.Element) -> None:
    """Raise the country road on embankments and over the motorway, and the ramps that climb to it."""
    for road in root.iter("road"):
        number, length = int(road.get("id", "0")), float(road.get("length", "0"))
        junction = int(road.get("junction", "-1"))
        if junction >= 3000:
            set_elevation(road, [0.0, length], [HIGH, HIGH])
        elif number in (31, 33):
            set_elevation(road, np.linspace(0.0, length, 5), HIGH + np.array([0.0, 0.25, 0.4, 0.25, 0.0]))
        elif number == 32:
            set_elevation(road, np.linspace(0.0, length, 9), HIGH - np.array([0, 1.6, 4.2, 5.6, 6.0, 5.6, 4.2, 1.6, 0]))
        elif junction < 0 and number % 10 in (5, 6) and number > 100:
            share = np.linspace(0.0, 1.0, 9)
            climb = share**2 * (3.0 - 2.0 * share)
            set_elevation(road, share * length, HIGH * (climb if number % 10 == 5 else 1.0 - climb))
