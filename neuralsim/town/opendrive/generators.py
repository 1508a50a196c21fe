"""The generated towns as OpenDRIVE text: their parameters, and the layout of a grid of streets.

This module is imported only when a town is generated: importing scenariogeneration takes half a second, which a start
with a cached town does not need. Coordinates are OpenDRIVE's (x east, y north, right-handed).
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scenariogeneration import xodr

from bridge.process import presets
from neuralsim.town.opendrive.motorway import motorway
from neuralsim.town.opendrive.relief import Hills, apply_elevation
from neuralsim.town.opendrive.streets import Street, compose
from neuralsim.town.opendrive.village import village

PLAIN_ROAD_LENGTH = 1000.0  # m


@dataclass(frozen=True)
class GridPlan:
    """Parameters of a town that is a jittered grid of streets."""

    columns: int
    rows: int
    spacing: tuple[float, float]  # range of the distance between parallel streets, metres
    avenues: tuple[tuple[int, ...], tuple[int, ...]]  # columns and rows with two lanes each way
    bent_share: float  # share of the streets that are not straight
    removed_share: float  # share of the inner streets left out (two blocks become one)
    bend_offset: tuple[float, float] = (7.0, 16.0)  # range of the offset of bent streets from their chord, metres
    parking_share: float = 0.62  # share of the sides of narrow streets with a parking lane
    pavements: tuple[float, ...] = (2.2, 2.6, 3.0)  # widths, metres
    speeds: tuple[int, ...] = (30, 30, 50)  # limits of narrow streets, km/h
    signal_share: float = 0.4  # share of the four-arm junctions with traffic lights
    crosswalk_share: float = 0.5  # share of the junction arms with a crosswalk
    relief: float = 0.0  # height of the hills, metres
    grid_lines: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # x of the columns and y of the rows, metres


#: Every town that can be generated for driving, by name.
PLANS: dict[str, GridPlan | Callable[[str, np.random.Generator], ET.Element]] = {
    "oldtown": GridPlan(6, 6, (112.0, 168.0), ((2,), (3,)), 0.6, 0.2),
    "hamlet": GridPlan(3, 3, (95.0, 130.0), ((), ()), 0.6, 0.0),
    "suburb": GridPlan(
        5, 4, (120.0, 165.0), ((), (2,)), 1.0, 0.25, (16.0, 30.0), 0.2, (1.6, 1.8, 2.2), (30,), 0.15, 0.25, 4.0
    ),
    "motorway": motorway,
    "village": village,
}


def _plain_road(name: str, rng: np.random.Generator) -> ET.Element:
    """Return one straight road on open ground, for users who need no map."""
    road = xodr.create_road([xodr.Line(PLAIN_ROAD_LENGTH)], id=0, left_lanes=1, right_lanes=1, lane_width=3.5)
    road.planview.set_start_point(-PLAIN_ROAD_LENGTH / 2.0, 0.0, 0.0)
    drive = xodr.OpenDrive(name)
    drive.add_road(road)
    drive.adjust_roads_and_lanes()
    element: ET.Element = drive.get_element()
    return element


#: Towns that stand in for CARLA's. CARLA's own tests place vehicles at fixed coordinates of its maps: at those, the
#: last two have straight streets along the axes, as CARLA's maps have.
STANDINS: dict[str, GridPlan | Callable[[str, np.random.Generator], ET.Element]] = {
    presets.PLAIN: _plain_road,
    "borough": GridPlan(5, 4, (95.0, 130.0), ((), ()), 0.4, 0.1),
    "crossways": GridPlan(
        4,
        4,
        (0.0, 0.0),
        ((), (1, 2)),
        0.0,
        0.0,
        crosswalk_share=1.0,
        grid_lines=((-140.0, 85.0, 239.0, 350.0), (-140.0, 3.0, 202.0, 255.0)),
    ),
    "squares": GridPlan(
        4,
        4,
        (0.0, 0.0),
        ((1,), (1,)),
        0.0,
        0.0,
        crosswalk_share=1.0,
        grid_lines=((-140.0, 32.0, 170.0, 300.0), (-160.0, -40.0, 90.0, 215.0)),
    ),
}


def generate(name: str, seed: int) -> str:
    """Return the OpenDRIVE text of a generated town; the same name and seed give the same text."""
    rng = np.random.default_rng([seed, *name.encode()])
    plan = PLANS.get(name) or STANDINS[name]
    element = _grid(name, plan, rng) if isinstance(plan, GridPlan) else plan(name, rng)
    header = element.find("header")
    assert header is not None
    header.set("date", "2025-01-01T00:00:00")  # the clock must not make two equal towns differ
    ET.SubElement(header, "geoReference").text = "+proj=tmerc +lat_0=52.2 +lon_0=0.12 +k=1 +x_0=0 +y_0=0"
    for road_object in element.iter("object"):  # carla.Map expects outlines directly in the object (OpenDRIVE 1.4)
        outlines = road_object.find("outlines")
        if outlines is not None:
            road_object.extend(outlines)
            road_object.remove(outlines)
    ET.indent(element)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(element, encoding="unicode")


def _grid(name: str, plan: GridPlan, rng: np.random.Generator) -> ET.Element:
    streets = _streets(plan, rng)
    element = compose(name, streets, rng, plan.signal_share, plan.crosswalk_share)
    if plan.relief:
        nodes = {node: street.points[-end] for street in streets for end, node in enumerate(street.nodes)}
        reach = {node: max(s.cut[e] for s in streets for e in (0, 1) if s.nodes[e] == node) for node in nodes}
        apply_elevation(
            element, Hills(plan.relief, 420.0, [(nodes[n], reach[n] + 6.0) for n in sorted(nodes)], rng), 0.07
        )
    return element


def _streets(plan: GridPlan, rng: np.random.Generator) -> list[Street]:
    """Lay out a grid of streets, jittered, bent and thinned out; every junction keeps at least three arms."""
    xs = np.cumsum(rng.uniform(*plan.spacing, plan.columns))
    ys = np.cumsum(rng.uniform(*plan.spacing, plan.rows))
    xs, ys = xs - xs.mean(), ys - ys.mean()
    jitter = rng.uniform(-14.0, 14.0, (plan.columns, plan.rows, 2))
    if plan.grid_lines is not None:
        (xs, ys), jitter = (np.array(line) for line in plan.grid_lines), np.zeros_like(jitter)
    nodes = np.stack(np.meshgrid(xs, ys, indexing="ij"), -1) + jitter
    number = {(i, j): i * plan.rows + j for i in range(plan.columns) for j in range(plan.rows)}
    edges = [((i, j), (i + 1, j)) for i in range(plan.columns - 1) for j in range(plan.rows)]
    edges += [((i, j), (i, j + 1)) for i in range(plan.columns) for j in range(plan.rows - 1)]
    degree = {node: sum(node in edge for edge in edges) for node in number}

    def is_avenue(edge: tuple[tuple[int, int], tuple[int, int]]) -> bool:
        (i0, j0), (i1, j1) = edge
        return (i0 == i1 and i0 in plan.avenues[0]) or (j0 == j1 and j0 in plan.avenues[1])

    target = int(plan.removed_share * len(edges))
    for k in rng.permutation(len(edges)):
        edge = edges[k]
        if target and not is_avenue(edge) and min(degree[edge[0]], degree[edge[1]]) > 3:
            degree[edge[0]] -= 1
            degree[edge[1]] -= 1
            edges[k] = ((-1, -1), (-1, -1))
            target -= 1
    edges = [edge for edge in edges if edge[0] != (-1, -1)]

    # the two streets at a corner of the town become one street that bends there
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
        if rng.random() < plan.bent_share:
            normal = np.array([a[1] - b[1], b[0] - a[0]]) / np.linalg.norm(b - a)
            shift = rng.uniform(*plan.bend_offset) * rng.choice([-1.0, 1.0])
            if rng.random() < 0.4:
                points = [a, a + (b - a) * 0.33 + normal * shift, a + (b - a) * 0.67 - normal * shift * 0.6, b]
            else:
                points = [a, a + (b - a) * rng.uniform(0.42, 0.58) + normal * shift, b]
        lines.append((edge[0], edge[1], points, is_avenue(edge)))

    streets = []
    for k, (start, stop, points, wide) in enumerate(lines):
        parking = rng.random(2) < (0.35 if wide else plan.parking_share)
        streets.append(
            Street(
                id=k,
                nodes=(number[start], number[stop]),
                points=points,
                lanes=2 if wide else 1,
                parking=(bool(parking[0]), bool(parking[1])),
                pavement=float(rng.choice(plan.pavements) + (0.6 if wide else 0.0)),
                speed=50 if wide else int(rng.choice(plan.speeds)),
                has_markings=wide or bool(rng.random() < 0.8),
            )
        )
    return streets
