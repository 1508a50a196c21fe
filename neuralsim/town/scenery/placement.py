"""Placement of scenery along the roads of any map: houses, gardens, walls, fences, hedges, trees.

Everything is placed along the kerb rings of ``Ground`` and checked against the ``Site``, so that no lane or pavement is
ever obstructed. Street furniture and parked cars are in ``furniture``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.houses import HouseFront, Lot, LotFrame, box, church, house
from neuralsim.town.assets.meshes import Mesh
from neuralsim.town.ground.blocks import KERB, Ground, Ring, offset, points_in_polygon, resample, signed_area
from neuralsim.town.opendrive.network import Network
from neuralsim.town.scenery import countryside, fixtures, furniture
from neuralsim.town.scenery.site import TREE_KINDS, Box, Frontage, PlacedSign, Prop, Site, frontage
from neuralsim.town.scenery.town_styles import DEFAULT_STYLE, STREET_STYLES, TownStyle

BELT = (58.0, 95.0)  # m, distances of the woods around the town that close the horizon


@dataclass
class Scenery:
    """The scenery of a town.

    ``mesh`` is everything built in one piece, in world coordinates; ``boxes`` f64 (N, 5) are obstacles with the columns
    of ``Box``; ``levels`` f64 (N,) their heights, metres; ``buildings`` is the number of instances in the mesh;
    ``fronts`` are those of houses by instance; ``signs`` are those of lanes.
    """

    mesh: Mesh
    props: list[Prop]
    boxes: np.ndarray
    levels: np.ndarray
    buildings: int
    fronts: dict[int, HouseFront]
    signs: list[PlacedSign]


def place_scenery(
    network: Network, ground: Ground, rng: np.random.Generator, first_instance: int, style: TownStyle = DEFAULT_STYLE
) -> Scenery:
    """Return the scenery of a map, with buildings from ``first_instance`` on. Equal generators give equal scenery."""
    site = Site(network, ground, rng, first_instance, style)
    furniture.reserve(site)
    fixtures.place(site, ET.fromstring(network.map.to_opendrive()))
    if not style.is_bare:
        _fill_site(site)
    boxes = np.array(site.boxes, np.float64).reshape(-1, 5)
    levels, built = ground.terrain_heights(boxes[:, :2]), site.builder
    return Scenery(built.mesh(), site.props, boxes, levels, site.buildings, built.fronts, site.signs)


def _fill_site(site: Site) -> None:
    """Place everything that a town of this style has along its roads."""
    if site.style.has_church and site.ground.rings:
        _church(site)
    for ring in site.ground.rings:
        _build_frontage(site, ring)
    furniture.furnish(site)
    countryside.roadsides(site)
    if site.style.has_belt:
        _woods(site)
    else:
        countryside.woods(site)


def _build_frontage(site: Site, ring: Ring) -> None:
    """Fill the plots along one ring: each with a house, a garden or plants."""
    rng, line = site.rng, frontage(ring, ring.pavement + 0.05)
    count, at, bare = len(line.points), 0, 0  # the last ``bare`` metres before ``at`` are still empty
    name, left = "terrace", 0.0
    shares = site.style.street_styles
    while at < count - 3:
        if not line.urban[at]:
            _boundary(site, line, at - bare, bare, "hedge")
            at, bare = at + 1, 0
            continue
        if left <= 0.0:
            name, left = str(rng.choice(list(shares), p=list(shares.values()))), float(rng.uniform(25.0, 80.0))
        style = STREET_STYLES[name]
        desired = round(float(rng.uniform(*style.house_width)))
        built = 0
        if rng.random() >= style.open_share:
            setback = float(rng.uniform(*style.setback))
            storeys = int(rng.integers(style.storeys[0], style.storeys[1] + 1))
            for width in (desired, int(desired * 0.75), int(desired * 0.55)):
                if (
                    width >= 4
                    and at + width < count + 2
                    and line.urban[(at + width) % count]
                    and _build_house(site, line, at, width, name == "urban", setback, storeys)
                ):
                    built = width
                    break
            step = built or 2
        else:
            step = max(3, desired // 2)
        if built:
            _boundary(site, line, at - bare, bare, str(rng.choice(["hedge", "wall", "fence", "trees"])))
            bare = 0
            gap = round(float(rng.uniform(*style.gap)))
            if site.style.driveway_share and gap >= 4 and rng.random() < site.style.driveway_share:
                _driveway(site, line, at + built, gap)
            else:
                _boundary(site, line, at + built, gap, str(rng.choice(["wall", "fence", "hedge", "garage", "open"])))
            step += gap
        else:
            bare += step
            if bare >= 14:
                _boundary(site, line, at + step - bare, bare, str(rng.choice(["hedge", "wall", "fence", "trees"])))
                bare = 0
        at += step
        left -= step
    _boundary(site, line, at - bare, bare, "hedge")


def _frame(site: Site, line: Frontage, at: int, width: int, back: float) -> tuple[LotFrame, float, np.ndarray]:
    """Return the frame of a plot with its front ``back`` m behind the chord, its width (m) and the inward vector."""
    n = len(line.points)
    a, b = line.points[at % n], line.points[(at + width) % n]
    chord = b[:2] - a[:2]
    size = float(np.linalg.norm(chord))
    forward = chord / max(size, 1e-6)
    inward = np.array([-forward[1], forward[0]])
    between = line.points[np.arange(at, at + width + 1) % n, :2] - a[:2]
    bulge = max(0.0, float((between @ inward).max()))  # a front never extends over its pavement
    front = a[:2] + inward * (back + bulge)
    z = float(min(a[2], b[2])) + KERB - 0.02
    return LotFrame(np.array([front[0], front[1], z]), forward, inward), size, inward


def _build_house(site: Site, line: Frontage, at: int, width: int, urban: bool, setback: float, storeys: int) -> bool:
    """Build a house on a plot, with its front garden, if there is room; return whether there was."""
    rng = site.rng
    depth = float(rng.uniform(8.0, 12.5))
    frame, size, inward = _frame(site, line, at, width, setback)
    if size < 0.8 * width:  # the frontage turns a corner here
        return False
    corners = _corners(frame, 0.0, size, 0.0, depth)
    for shift in (0.0, 0.5, 1.0, 1.8, 2.6):
        moved = corners + inward * shift
        if site.is_free(moved):
            break
    else:
        return False
    frame.origin[:2] += inward * shift
    frame.origin[2] = float(site.terrain_heights(moved, frame.origin[2]).mean())
    base = 0.3 if site.ground.flat else 3.0
    house(Lot(site.builder, frame, rng, site.next_instance()), size, depth, storeys, urban, base)
    site.claim(moved)
    room = setback + shift
    if room < 1.3:
        strip = _corners(frame, -0.2, size + 0.2, -room - 0.2, 0.3)
        site.pave(strip, float(frame.origin[2]))
        if rng.random() < 0.2:
            _place_prop(site, frame, float(rng.uniform(0.5, size - 0.5)), -0.4, str(rng.choice(["bin", "bin brown"])))
    else:
        _front_garden(site, frame, size, room)
    return True


def _front_garden(site: Site, frame: LotFrame, size: float, room: float) -> None:
    """Place a path, a boundary and a few plants in front of a house with a setback."""
    rng = site.rng
    gate = float(rng.uniform(0.15, 0.75)) * size
    path = _corners(frame, gate, gate + 1.2, -room - 0.1, 0.0)
    site.pave(path, float(frame.origin[2]))
    kinds = ["low wall", "hedge low", "hedge", "fence", "railing", "none"]
    kind = str(rng.choice(kinds, p=(0.25, 0.2, 0.15, 0.16, 0.12, 0.12)))
    for start, stop in ((0.0, gate - 0.1), (gate + 1.3, size)):
        _barrier(site, frame, start, stop, -room + 0.2, kind)
    for _ in range(int(rng.integers(0, 3))):
        x, y = float(rng.uniform(0.5, max(size - 0.5, 0.6))), -float(rng.uniform(0.6, max(room - 0.5, 0.7)))
        if abs(x - gate - 0.6) > 1.1:
            _place_prop(site, frame, x, y, f"bush {int(rng.integers(2))}", scale=float(rng.uniform(0.5, 1.1)))
    if room > 2.6 and rng.random() < 0.3:
        x = float(rng.uniform(1.0, max(size - 1.0, 1.1)))
        _place_prop(site, frame, x, -room * 0.5, f"young {int(rng.integers(3))}", trunk=0.1)
    if rng.random() < 0.3:
        _place_prop(site, frame, gate + 1.7, -0.5, str(rng.choice(["bin", "bin brown"])))


def _boundary(site: Site, line: Frontage, at: int, width: int, kind: str) -> None:
    """Close a plot without a house by a wall, a fence, a hedge or a garage, with trees behind it."""
    rng = site.rng
    if width < 1:
        return
    frame, size, _ = _frame(site, line, at, width, 0.1)
    if size < 0.85 * width and width > 3:  # in two parts around a corner
        _boundary(site, line, at, width // 2, kind)
        _boundary(site, line, at + width // 2, width - width // 2, kind)
        return
    if size < 1.0:
        return
    if kind == "garage" and size > 2.6 and site.is_free(_corners(frame, 0.0, size, 1.0, 7.0)):
        low, high = (0, 1.0, -0.2 if site.ground.flat else -2.0), (size, 7.0, float(rng.uniform(2.4, 3.0)))
        box(site.builder, frame, low, high, Tag.BUILDING, (176, 170, 160), site.next_instance())
        site.claim(_corners(frame, 0.0, size, 1.0, 7.0))
        drive = _corners(frame, 0.0, size, -0.2, 1.0)
        site.pave(drive, float(frame.origin[2]))
        return
    barriers = {"wall": "wall", "fence": "fence", "hedge": "hedge high", "trees": "railing"}
    _barrier(site, frame, 0.0, size, 0.1, barriers.get(kind, "none"))
    spots = int(max(1, size // 4)) if kind != "open" else 1
    for _ in range(spots):
        x, y = float(rng.uniform(0.0, size)), float(rng.uniform(2.0, 9.0))
        kinds = ("lime", "birch", "young", "plane") if kind == "trees" else ("lime", "birch", "young", "poplar")
        tree = f"{rng.choice(kinds)} {int(rng.integers(3))}"
        _place_prop(site, frame, x, y, tree, scale=float(rng.uniform(0.8, 1.1)), trunk=0.25)


def _driveway(site: Site, line: Frontage, at: int, width: int) -> None:
    """Place a driveway to a garage between two houses, often with a car on it."""
    rng = site.rng
    frame, size, _ = _frame(site, line, at, width, 0.0)
    wide = min(size - 0.6, 3.2)
    if wide < 2.5:
        return
    start = float(rng.uniform(0.3, size - wide - 0.2))
    deep = float(rng.uniform(7.0, 9.5))
    ends = _corners(frame, start, start + wide, deep, deep + 5.5)
    if not site.is_free(_corners(frame, start, start + wide, 0.4, deep)):
        return
    site.pave(_corners(frame, start, start + wide, -0.2, deep), float(frame.origin[2]))
    if site.is_free(ends):
        foot = float(site.terrain_heights(ends, frame.origin[2]).mean() - frame.origin[2])
        high = foot + float(rng.uniform(2.4, 2.9))
        low, colour = foot - (0.2 if site.ground.flat else 1.5), (188, 182, 172)
        far = (start + wide, deep + 5.5, high)
        box(site.builder, frame, (start, deep, low), far, Tag.BUILDING, colour, site.next_instance())
        site.claim(ends)
    if rng.random() < 0.6:
        park_car(site, frame, start + wide / 2, deep - 3.0, rng)
    site.claim(_corners(frame, start, start + wide, 0.2, deep), solid=False)
    for edge in (start - 0.25, start + wide + 0.25):
        if rng.random() < 0.5:
            spots = np.arange(1.0, deep - 1.0, 2.0)
            places = frame.at(np.column_stack([np.full(len(spots), edge), spots, np.zeros(len(spots))]))
            heights = site.terrain_heights(places[:, :2], float(frame.origin[2]))
            yaw = float(np.degrees(np.arctan2(frame.inward[1], frame.inward[0])))
            site.props += [
                Prop("hedge low", float(x), float(y), float(z), yaw)
                for (x, y, _), z in zip(places, heights, strict=True)
            ]


def park_car(site: Site, frame: LotFrame, x: float, y: float, rng: np.random.Generator) -> None:
    """Park a random car on a driveway, forwards or backwards; ``x``, ``y`` is its centre in the frame, metres."""
    name, half, colour = furniture.random_car(rng)
    yaw = float(np.arctan2(frame.inward[1], frame.inward[0]) + rng.normal(0.0, 0.02) + np.pi * (rng.random() < 0.5))
    px, py, pz = frame.at(np.array([x, y, 0.0])).tolist()
    pz = float(site.terrain_heights(np.array([[px, py]]), pz)[0])
    site.props.append(Prop(name, px, py, pz, float(np.degrees(yaw)), colour))
    site.boxes.append(Box(px, py, yaw, half[0], half[1] * 0.93))


def _barrier(site: Site, frame: LotFrame, start: float, stop: float, y: float, kind: str) -> None:
    """Place a wall, hedge, fence or railing along a stretch of the street side of a plot."""
    length = stop - start
    if kind == "none" or length < 0.6:
        return
    corners = _corners(frame, start, stop, y - 0.2, y + 0.2)
    if kind in ("wall", "low wall"):
        high = float(site.rng.uniform(1.7, 2.4)) if kind == "wall" else float(site.rng.uniform(0.5, 1.0))
        colour = ((150, 96, 76), (158, 152, 142), (186, 180, 168))[int(site.rng.integers(3))]
        if site.is_at_end(corners):
            return
        pieces = 1 if site.ground.flat else max(1, round(length / 3.0))  # on a slope a wall is stepped
        for k in range(pieces):
            x0, x1 = start + k * length / pieces, start + (k + 1) * length / pieces
            foot = float(site.terrain_heights(_corners(frame, x0, x1, y, y), frame.origin[2]).mean() - frame.origin[2])
            low = -0.2 if site.ground.flat else foot - 0.8
            box(site.builder, frame, (x0, y - 0.14, low), (x1, y + 0.14, foot + high), Tag.WALL, colour)
            coping = (x0, y - 0.18, foot + high), (x1, y + 0.18, foot + high + 0.08)
            box(site.builder, frame, *coping, Tag.WALL, (172, 168, 160))
    elif site.is_at_end(corners):
        return
    else:
        count = max(1, round(length / 2.0))
        yaw = float(np.degrees(np.arctan2(frame.along[1], frame.along[0])))
        for k in range(count):
            px, py, pz = frame.at(np.array([start + (k + 0.5) * length / count, y, 0.0])).tolist()
            pz = float(site.terrain_heights(np.array([[px, py]]), pz)[0])
            site.props.append(Prop(kind, px, py, pz, yaw))
    site.claim(corners)


def _place_prop(
    site: Site, frame: LotFrame, x: float, y: float, kind: str, scale: float = 1.0, trunk: float = 0.0
) -> None:
    px, py, pz = frame.at(np.array([x, y, 0.0])).tolist()
    if trunk and site.is_occupied(px, py):
        return
    pz = float(site.terrain_heights(np.array([[px, py]]), pz)[0])
    yaw = float(site.rng.uniform(0.0, 360.0))
    if kind.startswith("bin"):
        yaw = float(np.degrees(np.arctan2(-frame.inward[1], -frame.inward[0])))
    site.props.append(Prop(kind, px, py, pz, yaw, scale=scale))
    if trunk:
        site.add_post(px, py, trunk)


def _church(site: Site) -> None:
    """Place a church in the block nearest to the centre of the town."""
    middle = (site.ground.low + site.ground.high) / 2
    rings = [ring for ring in site.ground.rings if not ring.outer]
    if not rings:
        return
    ring = min(rings, key=lambda ring: float(np.linalg.norm(ring.points[:, :2].mean(0) - middle)))
    line = frontage(ring, ring.pavement + 3.0)
    for at in range(0, len(line.points), 7):
        frame, size, _ = _frame(site, line, at, 16, 0.0)
        if size > 15.0 and site.is_free(_corners(frame, 0.0, 16.0, 0.0, 35.0)):
            frame.origin[2] = float(site.terrain_heights(_corners(frame, 0.0, 16.0, 0.0, 35.0), frame.origin[2]).mean())
            church(Lot(site.builder, frame, site.rng, site.next_instance()), 0.3 if site.ground.flat else 3.0)
            site.claim(_corners(frame, 2.0, 14.0, 0.0, 34.0))
            return


def _woods(site: Site) -> None:
    """Place trees in the yards behind the houses and around the town, and a belt that closes the horizon."""
    rng, ground = site.rng, site.ground
    for ring in ground.rings:
        low, high = ring.points[:, :2].min(0), ring.points[:, :2].max(0)
        if ring.outer:
            low, high = low - 36.0, high + 36.0
        area = float(np.prod(high - low))
        points = low + rng.uniform(0.0, 1.0, (int(area / (700.0 if ring.outer else 230.0)), 2)) * (high - low)
        line = offset(ring.points, ring.pavement + (9.0 if ring.outer else 7.0))[:, :2]
        points = points[points_in_polygon(points, line) != ring.outer]
        square = np.array([(-1.5, -1.5), (1.5, -1.5), (1.5, 1.5), (-1.5, 1.5)])
        points = points[[site.is_free(point + square) for point in points]] if len(points) else points
        heights = ground.terrain_heights(points) if len(points) else np.zeros(0)
        for (x, y), z in zip(points.tolist(), heights.tolist(), strict=True):
            kind = f"{TREE_KINDS[int(rng.integers(len(TREE_KINDS)))]} {int(rng.integers(3))}"
            yaw, scale = float(rng.uniform(0, 360)), float(rng.uniform(0.75, 1.1))
            site.props.append(Prop(kind, x, y, z + KERB - 0.03, yaw, scale=scale))
            site.add_post(x, y, 0.25)
    for ring in ground.rings:
        if ring.outer:
            _belt(site, ring)


def _belt(site: Site, ring: Ring) -> None:
    """Add the silhouette of woods around the town: two uneven bands of foliage behind each other."""
    hull = cv2.convexHull(ring.points[:, None, :2].astype(np.float32))[:, 0].astype(float)
    if signed_area(hull) < 0.0:
        hull = hull[::-1]
    for distance, tall in zip(BELT, (7.0, 12.0), strict=True):
        line = resample(offset(np.column_stack([hull, np.zeros(len(hull))]), -distance), 5.0)
        heights = site.ground.terrain_heights(line[:, :2])
        top = tall * site.rng.uniform(0.6, 1.25, len(line))
        a = np.column_stack([line[:, :2], heights - 1.0])
        b = np.column_stack([line[:, :2], heights + top])
        quads = np.stack([a, np.roll(a, -1, 0), np.roll(b, -1, 0), b], axis=1)
        site.builder.quads(quads, Tag.VEGETATION, (70, 96, 48))


def _corners(frame: LotFrame, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """Return the world corners (4, 2) of a rectangle in a plot's coordinates."""
    return frame.at(np.array([(x0, y0, 0.0), (x1, y0, 0.0), (x1, y1, 0.0), (x0, y1, 0.0)]))[:, :2]
