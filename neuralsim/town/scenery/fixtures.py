"""Fixtures from an OpenDRIVE file: its ``<object>`` elements and the signs among its ``<signal>`` elements.

See ASAM OpenDRIVE 1.7, chapters 13 and 14. Crosswalks and traffic lights are read elsewhere.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from bridge.reference_line import ReferenceLine, RoadPoint, number
from bridge.tags import Tag
from neuralsim.town.assets.houses import ROOFS, STONE, WALLS
from neuralsim.town.assets.meshes import triangulate
from neuralsim.town.assets.plant_meshes import TREES
from neuralsim.town.assets.prop_meshes import STEEL, nearest_limit
from neuralsim.town.assets.templates import templates
from neuralsim.town.ground.blocks import KERB
from neuralsim.town.opendrive.signals import TRAFFIC_LIGHT_TYPES
from neuralsim.town.scenery import furniture
from neuralsim.town.scenery.site import Box, Prop, Site

MAX_COUNT = 2000  # objects of one <repeat>
MAX_SIZE = 300.0  # m, of one object
OVERHEAD_HEIGHT = 4.0  # m, signs above this height have no post
WHITE = (232, 232, 228)

#: Keywords in the type or name of an object, in order of precedence, and the kind of `Fixture` ("": none).
KEYWORDS = {
    "crosswalk": "", "parking": "bay", "roadmark": "paint", "stencil": "paint", "patch": "", "tarmac": "",
    "streetlamp": "lamp", "lamp": "lamp", "lantern": "lantern", "guard": "rail", "soundbarrier": "wall", "wall": "wall",
    "fence": "fence", "railing": "fence", "barrier": "wall", "hedge": "hedge", "bush": "bush", "shrub": "bush",
    "tree": "tree", "vegetation": "tree", "building": "building", "house": "building", "busstop": "stop",
    "shelter": "stop", "bench": "bench", "trash": "litter", "bin": "litter", "bollard": "bollard", "delineator":
    "delineator", "cabinet": "cabinet", "island": "island", "gantry": "gantry", "motorbike": "", "bike": "bikes 0",
    "bicycle": "bikes 0", "pedestrian": "", "car": "car", "van": "car", "pole": "pole", "mast": "pole", "post": "pole",
}  # fmt: skip

#: Tag and colour of the kinds that are built from their outline or size.
MATERIALS = {
    "wall": (Tag.WALL, (150, 146, 138)), "fence": (Tag.FENCE, (96, 84, 66)), "rail": (Tag.GUARD_RAIL, (160, 164, 168)),
    "hedge": (Tag.VEGETATION, (62, 86, 50)), "island": (Tag.SIDEWALK, (140, 134, 128)), "gantry": (Tag.POLE, STEEL),
    "pole": (Tag.POLE, STEEL), "other": (Tag.STATIC, STONE), "paint": (Tag.ROAD_LINE, WHITE),
    "bay": (Tag.ROAD_LINE, WHITE),
}  # fmt: skip
HEIGHTS = {"wall": 1.2, "fence": 1.2, "rail": 0.8, "hedge": 1.3, "island": 0.15, "gantry": 7.0, "pole": 4.0,
           "other": 1.0, "building": 7.0, "paint": 0.0, "bay": 0.0}  # fmt: skip


@dataclass
class Fixture:
    """An object in the world: ``at`` is its foot; sizes in metres, 0 = unknown.

    ``outline`` f64 (N, 4): x, y, z, height of its corners in order, or of the points of a path if ``is_line``.
    """

    kind: str
    at: RoadPoint
    length: float = 0.0
    width: float = 0.0
    height: float = 0.0
    outline: np.ndarray | None = None
    is_line: bool = False

    @property
    def is_flat(self) -> bool:
        """Whether it covers ground without a height, like stop lines and hatchings of RoadRunner."""
        has_height = self.height > 0.0 or (self.outline is not None and bool((self.outline[:, 3] > 0.0).any()))
        return not has_height and not self.is_line and max(self.length, self.width) > 0.0


class FixedSign(NamedTuple):
    """A sign of the file: its pose, facing the traffic it is for, its kind in ``prop_meshes.sign``, and height (m)."""

    at: RoadPoint
    kind: str
    height: float


def kind_of(element: ET.Element) -> str:
    """Return the kind of `Fixture` of an ``<object>``: by its type, else by its name; "" for none."""
    for text in (element.get("type", ""), element.get("subtype", ""), element.get("name", "")):
        plain = "".join(c for c in text.lower() if c.isalpha())
        for word, kind in KEYWORDS.items():
            if word in plain:
                if kind == "tree" and any(low in element.get("name", "").lower() for low in ("bush", "shrub", "hedge")):
                    return "bush"
                if kind == "wall" and "guard" in (element.get("name", "") + element.get("subtype", "")).lower():
                    return "rail"
                if kind == "wall" and "fence" in element.get("name", "").lower():
                    return "fence"
                return kind
    return "other"


def read(root: ET.Element) -> tuple[list[Fixture], list[FixedSign]]:
    """Return the fixtures and the signs of an OpenDRIVE file."""
    fixtures: list[Fixture] = []
    signs = []
    for road in root.iter("road"):
        objects, signals = road.findall("./objects/object"), road.findall("./signals/signal")
        if not objects and not signals:
            continue
        line = ReferenceLine(road)
        for element in objects:
            kind = kind_of(element)
            if kind:
                fixtures += _fixtures(line, element, kind)
        for element in signals:
            if element.get("type") in TRAFFIC_LIGHT_TYPES or element.get("dynamic") == "yes":
                continue
            place = line.at(number(element, "s"), number(element, "t"))
            back = 180.0 if element.get("orientation", "+") == "+" else 0.0
            yaw = place.yaw + back - math.degrees(number(element, "hOffset"))
            signs.append(FixedSign(place._replace(yaw=yaw), sign_kind(element), number(element, "zOffset")))
    return fixtures, signs


def sign_kind(element: ET.Element) -> str:
    """Return the kind of a sign by its number, which is that of the German catalogue (StVO), as in CARLA."""
    kind = element.get("type", "")
    limit = f"limit {nearest_limit(max(number(element, 'value'), 0.0) or number(element, 'subtype'))}"
    exact = {"205": "yield", "206": "stop", "274": limit, "314": "parking", "350": "crossing", "301": "priority",
             "306": "priority"}  # fmt: skip
    if kind in exact:
        return exact[kind]
    name = element.get("name", "").lower()
    for word in ("yield", "stop", "limit", "parking", "crossing", "priority", "warning"):
        if word in name:
            return limit if word == "limit" else word
    return "warning" if len(kind) == 3 and kind.startswith("1") else limit


def _fixtures(line: ReferenceLine, element: ET.Element, kind: str) -> Iterator[Fixture]:
    """Yield one object, or the row of objects of its ``<repeat>`` elements."""

    def size(name: str) -> float:
        return min(max(number(element, name), 0.0), MAX_SIZE)

    radius = size("radius")
    length, width, high = size("length") or 2 * radius, size("width") or 2 * radius, size("height")
    lift, turn = number(element, "zOffset"), -math.degrees(number(element, "hdg"))
    repeats = element.findall("repeat")
    if not repeats:
        at = line.at(number(element, "s"), number(element, "t"))
        at = at._replace(z=at.z + lift, yaw=at.yaw + turn)
        outline = _outline(line, element, at)
        yield Fixture(kind, at, length, width, high, outline)
    for repeat in repeats:
        first, reach = number(repeat, "s"), min(number(repeat, "length"), line.length)
        gap = number(repeat, "distance")
        count = int(min(reach / (gap if gap > 0.1 else 2.0), MAX_COUNT)) + 1
        places, heights = [], []
        for k in range(count + (gap <= 0.1)):
            share = min(k / max(count, 1), 1.0) if gap <= 0.1 else k * gap / max(reach, 1e-9)
            a, b = number(repeat, "tStart"), number(repeat, "tEnd", number(repeat, "tStart"))
            at = line.at(first + share * reach, a + share * (b - a))
            a = number(repeat, "zOffsetStart", lift)
            b = number(repeat, "zOffsetEnd", a)
            places.append(at._replace(z=at.z + a + share * (b - a), yaw=at.yaw + turn))
            a = number(repeat, "heightStart", high)
            heights.append(min(max(a + share * (number(repeat, "heightEnd", a) - a), 0.0), MAX_SIZE))
        if gap <= 0.1:
            path = np.array([(*at[:3], tall) for at, tall in zip(places, heights, strict=True)])
            yield Fixture(kind, places[0], reach, width, max(heights), path, is_line=True)
        else:
            yield from (Fixture(kind, at, length, width, tall) for at, tall in zip(places, heights, strict=True))


def _outline(line: ReferenceLine, element: ET.Element, at: RoadPoint) -> np.ndarray | None:
    """Return the corners of the first outline with three or more, f64 (N, 4): x, y, z, height."""
    for outline in element.iter("outline"):
        corners = []
        c, s = math.cos(math.radians(at.yaw)), math.sin(math.radians(at.yaw))
        for corner in outline:
            tall = min(max(number(corner, "height"), 0.0), MAX_SIZE)
            if corner.tag == "cornerRoad":
                place = line.at(number(corner, "s"), number(corner, "t"))
                corners.append((place.x, place.y, place.z + number(corner, "dz"), tall))
            elif corner.tag == "cornerLocal":
                u, v = number(corner, "u"), -number(corner, "v")
                corners.append((at.x + c * u - s * v, at.y + s * u + c * v, at.z + number(corner, "z"), tall))
        if len(corners) > 2:
            return np.array(corners)
    return None


def place(site: Site, root: ET.Element) -> None:
    """Place all fixtures of a file on the site, before any other scenery."""
    fixtures, signs = read(root)
    for fixture in fixtures:
        if fixture.kind == "other" and fixture.is_flat:
            fixture.kind = "paint"
        if fixture.kind in MATERIALS or fixture.kind == "building":
            _build(site, fixture)
        else:
            _place_prop(site, fixture)
    for at, kind, high in signs:
        if high > OVERHEAD_HEIGHT:
            _place_overhead_sign(site, at, high)
        elif not site.ground.is_asphalt(at.x, at.y):
            z = float(site.terrain_heights(np.array([[at.x, at.y]]), at.z + KERB)[0])
            site.props.append(Prop(f"sign {kind}", at.x, at.y, z, at.yaw))
            site.add_post(at.x, at.y, 0.06)


def _place_overhead_sign(site: Site, at: RoadPoint, high: float) -> None:
    """Add a sign above the road."""
    c, s = math.cos(math.radians(at.yaw)), math.sin(math.radians(at.yaw))
    corners = [(at.x - s * y, at.y + c * y, at.z + high + z) for y, z in ((-0.5, 0), (0.5, 0), (0.5, 1), (-0.5, 1))]
    site.builder.quads(np.array([corners]), Tag.TRAFFIC_SIGN, (28, 84, 170))


def _place_prop(site: Site, fixture: Fixture) -> None:
    """Place a fixture that has a mesh, scaled to its height."""
    rng, at = site.rng, fixture.at
    kind, colour, scale = fixture.kind, (128, 128, 128), 1.0
    if kind == "tree" and min(fixture.length, fixture.width) > 2.0 and fixture.height < 5.0:  # an area of shrubs
        c, s = math.cos(math.radians(at.yaw)), math.sin(math.radians(at.yaw))
        for _ in range(int(min(fixture.length * fixture.width / 3.0, MAX_COUNT))):
            u, v = rng.uniform(-0.5, 0.5, 2) * (fixture.length, fixture.width)
            spot = at._replace(x=float(at.x + c * u - s * v), y=float(at.y + s * u + c * v))
            _place_prop(site, Fixture("bush", spot, height=fixture.height * float(rng.uniform(0.7, 1.1))))
        return
    if kind == "tree":
        height = fixture.height or float(rng.uniform(7.0, 11.0))
        fitting = [
            name for name, tree in TREES.items() if 0.6 * tree.height < height < 1.6 * tree.height and name != "bare"
        ]
        name = str(rng.choice(fitting or ["young" if height < 5.0 else "poplar"]))
        kind, scale = f"{name} {int(rng.integers(3))}", height / TREES[name].height
    elif kind == "bush":
        kind, scale = f"bush {int(rng.integers(2))}", (fixture.height or 1.2) / 1.3
    elif kind == "car":
        kind, _, colour = furniture.random_car(rng)
    elif kind == "lamp":
        scale = (fixture.height or 7.5) / 7.5
    scale = float(np.clip(scale, 0.3, 3.0))
    half = templates().extent(kind)[0]
    site.props.append(Prop(kind, at.x, at.y, at.z, at.yaw, colour, scale))
    if fixture.kind == "car":
        site.boxes.append(Box(at.x, at.y, math.radians(at.yaw), half[0], half[1]))
    else:
        site.add_post(at.x, at.y, 0.2 if fixture.kind in ("tree", "lamp", "lantern") else min(half[0], half[1]))


def _build(site: Site, fixture: Fixture) -> None:
    """Build a fixture from its outline or from its length, width and height."""
    rng, house = site.rng, fixture.kind == "building"
    tag, colour = (Tag.BUILDING, WALLS[int(rng.integers(len(WALLS)))]) if house else MATERIALS[fixture.kind]
    roof = ROOFS[int(rng.integers(len(ROOFS)))] if house else colour
    instance = site.next_instance() if house else 0
    tall = fixture.height or HEIGHTS[fixture.kind]
    ring = fixture.outline
    if fixture.is_line:
        assert ring is not None
        ring = np.column_stack([ring[:, :3], np.where(ring[:, 3] > 0.0, ring[:, 3], tall)])
        _build_row(site, ring, max(fixture.width, 0.08), tag, colour)
        return
    if ring is None:
        length, width = (max(value, 0.12) for value in (fixture.length, fixture.width))
        c, s = math.cos(math.radians(fixture.at.yaw)), math.sin(math.radians(fixture.at.yaw))
        corners = [(0.5 * a * length, 0.5 * b * width) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        x, y, z, _ = fixture.at
        ring = np.array([(x + c * u - s * v, y + s * u + c * v, z, tall) for u, v in corners])
    elif not (ring[:, 3] > 0.0).any():
        ring = np.column_stack([ring[:, :3], np.full(len(ring), tall)])
    low = ring[:, :3] + [0.0, 0.0, 0.03 if tall == 0.0 else -1.0 if house else 0.0]
    high = ring[:, :3] + np.column_stack([np.zeros((len(ring), 2)), np.maximum(ring[:, 3], 0.03)])
    if fixture.kind == "bay":  # only its edges are marked
        for a, b in zip(low, np.roll(low, -1, axis=0), strict=True):
            aside = np.array([a[1] - b[1], b[0] - a[0], 0.0]) * 0.06 / max(float(np.hypot(*(b - a)[:2])), 1e-6)
            site.builder.quads(np.array([[a - aside, b - aside, b + aside, a + aside]]), tag, colour)
        return
    lid = high[triangulate(ring[:, :2])]
    site.builder.quads(np.concatenate([lid, lid[:, 2:]], 1), tag, roof, instance)
    if fixture.kind == "paint":
        return
    walls = np.stack([low, np.roll(low, -1, 0), np.roll(high, -1, 0), high], 1)
    site.builder.quads(walls, tag, colour, instance)
    (x, y), (length, width), turned = cv2.minAreaRect(ring[:, :2].astype(np.float32))
    if fixture.kind not in ("island", "gantry"):
        site.boxes.append(Box(x, y, math.radians(turned), length / 2, width / 2))
    site.claim(cv2.boxPoints(((x, y), (length, width), turned)).astype(float), solid=False)


def _build_row(site: Site, path: np.ndarray, width: float, tag: int, colour: tuple[int, int, int]) -> None:
    """Build a wall, fence or rail along a path f64 (N, 4): x, y, z, height."""
    way = np.gradient(path[:, :2], axis=0) if len(path) > 1 else np.array([[1.0, 0.0]])
    aside = np.stack([-way[:, 1], way[:, 0]], 1) * 0.5 * width / np.maximum(np.hypot(*way.T), 1e-6)[:, None]
    left, right = (np.column_stack([path[:, :2] + side * aside, path[:, 2]]) for side in (1.0, -1.0))
    lift = np.column_stack([np.zeros((len(path), 2)), path[:, 3]])
    for a, b in ((left, left + lift), (left + lift, right + lift), (right + lift, right)):
        site.builder.quads(np.stack([a[:-1], a[1:], b[1:], b[:-1]], 1), tag, colour)
    middle, step = (path[1:, :2] + path[:-1, :2]) / 2, np.diff(path[:, :2], axis=0)
    for (x, y), (dx, dy) in zip(middle.tolist(), step.tolist(), strict=True):
        half = math.hypot(dx, dy) / 2
        site.boxes.append(Box(x, y, math.atan2(dy, dx), half, width / 2))
        along, across = np.array([dx, dy]) / 2, np.array([-dy, dx]) * 0.3 / max(2 * half, 1e-6)
        spot = np.array([x, y])
        corners = np.array([spot - along - across, spot + along - across, spot + along + across, spot - along + across])
        site.claim(corners, solid=False)
