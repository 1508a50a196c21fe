"""Meshes of houses: walls, roofs of several shapes, chimneys, bays, windows and shop fronts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.looks import COLOURS
from neuralsim.town.assets.meshes import ALWAYS, RGB, Mesh

STOREY = 2.9  # m
SIGNBOARD_HEIGHT = 2.9  # m above the foot of a house, of the middle of a shop's signboard

WALLS = COLOURS.walls
ROOFS = COLOURS.roofs
STONE: RGB = (150, 144, 134)
FRAME: RGB = (222, 220, 212)  # of the windows of dormers and bays
PANE: RGB = (42, 48, 56)
SKY_IN_PANE: RGB = (112, 124, 136)  # of the upper sashes of bays, which mirror the sky
BRICK: RGB = (150, 92, 72)
BAYS: tuple[RGB, ...] = (BRICK, (198, 194, 184), (170, 160, 146), (182, 176, 160))  # of bays: brick, and paints
_RELIEF = 0.02  # m by which what is drawn on a wall is before it
_BAY = 0.7  # m by which a bay window is before the wall
CHURCH_WALL: RGB = (176, 164, 144)
SIGNBOARDS = COLOURS.signboards

_FACES = np.array([(0, 1, 2), (0, 2, 3)])


class HouseFront(NamedTuple):
    """Where the street front of a house is, metres."""

    foot: float  # height of its foot
    eaves: float  # height of its eaves
    origin: tuple[float, float]  # its left end as seen from the street
    along: tuple[float, float]  # unit vector to its right end
    width: float
    signboard: float | None  # height of the middle of a shop's signboard; None: it has none, but for a painted one


class Builder:
    """A builder that collects polygons into one mesh."""

    def __init__(self) -> None:
        self._vertices: list[np.ndarray] = []
        self._counts: list[int] = []  # quads per entry
        self._looks: list[tuple[int, RGB, int, int]] = []
        self.fronts: dict[int, HouseFront] = {}  # of houses, by instance

    def quads(self, corners: np.ndarray, tag: int, colour: RGB, instance: int = 0, level: int = ALWAYS) -> None:
        """Add quadrilaterals; those whose last two corners coincide are triangles.

        Args:
            corners: f64 (N, 4, 3), metres.
            tag: Semantic tag.
            colour: RGB, 0 .. 255.
            instance: Instance number.
            level: Level of detail.
        """
        self._vertices.append(np.asarray(corners, np.float32).reshape(-1, 3))
        self._counts.append(len(self._vertices[-1]) // 4)
        self._looks.append((tag, colour, instance, level))

    def mesh(self) -> Mesh:
        """Return all collected polygons as triangles."""
        if not self._counts:
            return Mesh.empty()
        counts = np.array(self._counts)
        first = 4 * np.arange(counts.sum())[:, None, None]
        triangles = (first + _FACES).reshape(-1, 3)
        entry = np.repeat(np.arange(len(counts)), 2 * counts)
        tags, colours, instances, levels = zip(*self._looks, strict=True)
        vertices = np.concatenate(self._vertices)
        a, b, c = (vertices[triangles[:, k]] for k in range(3))
        real = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-6  # drop the empty halves of triangles
        return Mesh(
            vertices,
            triangles[real],
            np.array(tags, np.uint8)[entry][real],
            np.array(colours, np.uint8)[entry][real],
            np.array(instances, np.uint16)[entry][real],
            np.array(levels, np.uint8)[entry][real],
        )


@dataclass
class LotFrame:
    """The coordinate frame of a lot.

    ``origin`` (3,) is one end of its front, ``along`` and ``inward`` are unit vectors.
    """

    origin: np.ndarray
    along: np.ndarray
    inward: np.ndarray

    def __post_init__(self) -> None:
        self._axes = np.zeros((3, 3))
        self._axes[0, :2], self._axes[1, :2], self._axes[2, 2] = self.along, self.inward, 1.0

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the world coordinates of local ones: along the front, into the lot, up; shape (..., 3)."""
        return np.asarray(np.asarray(points, float) @ self._axes + self.origin)


def box(
    builder: Builder,
    frame: LotFrame,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    tag: int,
    colour: RGB,
    instance: int = 0,
    level: int = ALWAYS,
) -> None:
    """Add a box without its floor.

    Args:
        builder: Receives the polygons.
        frame: Frame of the coordinates.
        low: Lowest corner, metres.
        high: Highest corner, metres.
        tag: Semantic tag.
        colour: RGB, 0 .. 255.
        instance: Instance number.
        level: Level of detail.
    """
    (x0, y0, z0), (x1, y1, z1) = low, high
    walls = [
        [(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)],
        [(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)],
        [(x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)],
        [(x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)],
        [(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)],
    ]
    builder.quads(frame.at(np.array(walls)), tag, colour, instance, level)


class Lot(NamedTuple):
    """The lot of a building: the builder that receives it, its frame, the source of its details, and its instance."""

    builder: Builder
    frame: LotFrame
    rng: np.random.Generator
    instance: int

    def quads(self, corners: object, colour: RGB, level: int = ALWAYS) -> None:
        """Add quadrilaterals (N, 4, 3) of the building, in the frame of the lot, metres."""
        self.builder.quads(self.frame.at(np.array(corners)), Tag.BUILDING, colour, self.instance, level)

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float], colour: RGB) -> None:
        """Add a box of the building, in the frame of the lot, metres."""
        box(self.builder, self.frame, low, high, Tag.BUILDING, colour, self.instance)


def house(lot: Lot, width: float, depth: float, storeys: int, urban: bool, base: float = 0.3) -> None:
    """Add a house.

    Args:
        lot: Its lot.
        width: Length along the street, metres.
        depth: Length into the lot, metres.
        storeys: Number of storeys.
        urban: Whether it is of the kind in town centres.
        base: Depth of the walls below the ground, which need not be level, metres.
    """
    rng, frame = lot.rng, lot.frame
    wall = WALLS[int(rng.integers(len(WALLS)))]
    roof = ROOFS[int(rng.integers(len(ROOFS)))]
    eaves = storeys * STOREY + float(rng.uniform(0.2, 0.9)) + (0.8 if urban else 0.0)
    w, d = width, depth
    shapes = ("along", "across", "flat", "mansard", "hip")
    shape = str(rng.choice(shapes, p=(0.4, 0.1, 0.24, 0.2, 0.06) if urban else (0.5, 0.24, 0.06, 0.05, 0.15)))
    if w > 13.0 and shape == "across":
        shape = "along"
    walls = np.array(
        [
            [(0, 0, 0), (w, 0, 0), (w, 0, eaves), (0, 0, eaves)],
            [(w, 0, 0), (w, d, 0), (w, d, eaves), (w, 0, eaves)],
            [(w, d, 0), (0, d, 0), (0, d, eaves), (w, d, eaves)],
            [(0, d, 0), (0, 0, 0), (0, 0, eaves), (0, d, eaves)],
        ]
    )
    walls[:, :2, 2] = -base
    lot.quads(walls, wall)
    top = _roof(lot, shape, (w, d), eaves, roof, wall)
    count = int(rng.integers(0, 3)) if shape != "flat" else int(rng.integers(0, 2))
    _chimneys(lot, (w, d), (eaves, top), count)
    if not urban and rng.random() < 0.35 and w > 6.0:  # a bay window
        x, tall = w * float(rng.uniform(0.15, 0.5)), STOREY * float(rng.choice([1.0, 2.0]))
        _bay_window(lot, x, min(tall, eaves - 0.3), roof)
    if urban and rng.random() < 0.25 and storeys > 2 and w > 8.0:  # balconies
        x = w * float(rng.uniform(0.2, 0.5))
        for k in range(1, storeys):
            z = k * STOREY + 0.3
            lot.box((x, -1.0, z), (x + 2.6, 0.0, z + 0.15), STONE)
            lot.box((x, -1.0, z + 0.15), (x + 2.6, -0.93, z + 1.0), (92, 94, 98))
    shop = urban and rng.random() < 0.6
    _shop_front(lot, w, shop)
    lot.builder.fronts[lot.instance] = _house_front(frame, w, eaves, shop)


def _house_front(frame: LotFrame, width: float, eaves: float, shop: bool) -> HouseFront:
    """Return where the front of a house is whose lot has the given frame; ``width`` and ``eaves`` are metres."""
    right = np.array([-frame.inward[1], frame.inward[0]])
    left_end = frame.origin if frame.along @ right > 0.0 else frame.at(np.array([width, 0.0, 0.0]))
    foot = float(frame.origin[2])
    origin, along = (float(left_end[0]), float(left_end[1])), (float(right[0]), float(right[1]))
    return HouseFront(foot, foot + eaves, origin, along, width, foot + SIGNBOARD_HEIGHT if shop else None)


def _chimneys(lot: Lot, plan: tuple[float, float], heights: tuple[float, float], count: int) -> None:
    """Add chimneys with two pots each; ``plan``: width and depth of the house, ``heights``: eaves and ridge, metres."""
    rng = lot.rng
    (w, d), (eaves, top) = plan, heights
    for _ in range(count):
        x = float(rng.choice([0.5, w - 0.5, rng.uniform(1.0, w - 1.0)]))
        y = d * float(rng.uniform(0.35, 0.65))
        size = float(rng.uniform(0.35, 0.6))
        high = top + float(rng.uniform(0.5, 1.2))
        low, far = (x - size, y - 0.35, eaves), (x + size, y + 0.35, high)
        lot.box(low, far, (126, 78, 62))
        for px in np.arange(2) * size - size / 2 + x:
            low, far = (px - 0.1, y - 0.1, high), (px + 0.1, y + 0.1, high + 0.4)
            lot.box(low, far, (150, 92, 70))


def _roof(lot: Lot, shape: str, plan: tuple[float, float], z: float, colour: RGB, wall: RGB) -> float:
    """Add a roof above the eaves at height ``z`` and return the height of its ridge, metres."""
    (w, d), rng = plan, lot.rng
    over = 0.3
    slope = float(np.tan(np.radians(rng.uniform(32.0, 50.0))))
    if shape == "flat":
        high = z + float(rng.uniform(0.2, 0.8))
        lot.box((0, 0, z - 0.1), (w, d, high), wall)
        if rng.random() < 0.4:
            x = float(rng.uniform(1.0, max(w - 4.0, 1.1)))
            lot.box((x, d * 0.4, high), (x + 3.0, d * 0.8, high + 2.2), STONE)
        return high
    if shape == "mansard":
        inset, rise = 0.9, 2.4
        low = [(0, -over, z), (w, -over, z), (w, d + over, z), (0, d + over, z)]
        deck = [(0, inset, z + rise), (w, inset, z + rise), (w, d - inset, z + rise), (0, d - inset, z + rise)]
        faces = [[low[k], low[(k + 1) % 4], deck[(k + 1) % 4], deck[k]] for k in range(4)] + [deck]
        lot.quads(faces, colour)
        for x in np.arange(1.2, w - 1.6, 2.6).tolist():
            _dormer(lot, (x, 0.1, z + 0.5), (x + 1.2, 1.2, z + 2.0), wall, colour)
        return z + rise
    if shape == "across":  # the gable faces the street
        ridge = min(z + w / 2 * slope, z + 5.5)
        faces = [
            [(-over, -over, z - 0.1), (-over, d, z - 0.1), (w / 2, d, ridge), (w / 2, -over, ridge)],
            [(w + over, -over, z - 0.1), (w + over, d, z - 0.1), (w / 2, d, ridge), (w / 2, -over, ridge)],
        ]
        gables = [[(0, y, z), (w, y, z), (w / 2, y, ridge), (w / 2, y, ridge)] for y in (0.0, d)]
        lot.quads(faces, colour)
        lot.quads(gables, wall)
        return ridge
    ridge = min(z + d / 2 * slope, z + 5.0)
    inset = min(w / 2 - 0.5, d / 2) if shape == "hip" else 0.0
    faces = [
        [(0, -over, z - 0.1), (w, -over, z - 0.1), (w - inset, d / 2, ridge), (inset, d / 2, ridge)],
        [(w, d + over, z - 0.1), (0, d + over, z - 0.1), (inset, d / 2, ridge), (w - inset, d / 2, ridge)],
    ]
    ends = [
        [(0, 0, z), (0, d, z), (inset, d / 2, ridge), (inset, d / 2, ridge)],
        [(w, 0, z), (w, d, z), (w - inset, d / 2, ridge), (w - inset, d / 2, ridge)],
    ]
    lot.quads(faces, colour)
    lot.quads(ends, colour if inset else wall)
    if rng.random() < 0.35 and w > 6.0:  # dormers
        for x in np.arange(1.5, w - 2.0, 3.4).tolist():
            _dormer(lot, (x, 0.6, z), (x + 1.4, d * 0.4, min(z + 1.9, ridge - 0.2)), wall, colour)
    return ridge


def _dormer(lot: Lot, low: tuple[float, float, float], high: tuple[float, float, float], wall: RGB, roof: RGB) -> None:
    """Add a dormer between two corners, with tiled cheeks and lid, and a window of two casements in its front."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    lot.quads([[(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)]], wall)
    cheeks = [[(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)] for x in (x0, x1)]
    lid = [(x0 - 0.15, y0 - 0.2, z1), (x1 + 0.15, y0 - 0.2, z1), (x1 + 0.15, y1, z1 + 0.12), (x0 - 0.15, y1, z1 + 0.12)]
    lot.quads([*cheeks, lid], roof)
    sill, lintel = max(z0 + 0.35, z1 - 1.45), z1 - 0.18
    if lintel - sill < 0.4:
        return
    for rim, colour in ((0.0, FRAME), (0.08, PANE)):
        middle = (x0 + x1) / 2.0
        parts = ((x0 + 0.12, x1 - 0.12),) if not rim else ((x0 + 0.2, middle - 0.04), (middle + 0.04, x1 - 0.2))
        y = y0 - (1.0 + (rim > 0.0)) * _RELIEF
        lot.quads(
            [[(a, y, sill + rim), (b, y, sill + rim), (b, y, lintel - rim), (a, y, lintel - rim)] for a, b in parts],
            colour,
        )


def _bay_window(lot: Lot, x: float, high: float, roof: RGB) -> None:
    """Add a canted bay from ``x`` m along the front on, ``high`` m, with a sash window in each storey of each face."""
    foot, out = [x, x + 0.5, x + 1.7, x + 2.2], [0.0, -_BAY, -_BAY, 0.0]
    paint = BAYS[lot.instance % len(BAYS)]
    ridge = high + 0.3
    (a, b, c, d), over = foot, -_BAY - 0.08
    lot.quads(
        [
            [(b, over, high), (c, over, high), (d, 0, ridge), (a, 0, ridge)],
            [(a, 0, high), (b, over, high), (a, 0, ridge), (a, 0, ridge)],
            [(c, over, high), (d, 0, high), (d, 0, ridge), (d, 0, ridge)],
        ],
        roof,
    )
    plan = np.column_stack([foot, out])
    for begin, end in itertools.pairwise(plan):
        length = float(np.hypot(*(end - begin)))
        face = _Face(lot, begin, (end - begin) / length)
        face.panel((0.0, length), (-0.2, high), 0.0, paint)
        for storey in np.arange(round(high / STOREY)) * STOREY:
            sill, lintel = storey + 0.75, min(storey + 2.45, high - 0.12)
            face.panel((0.1, length - 0.1), (sill, lintel), _RELIEF, FRAME)
            middle, across = (sill + lintel) / 2.0, (0.18, length - 0.18)
            face.panel(across, (sill + 0.08, middle - 0.03), 2.0 * _RELIEF, PANE)
            face.panel(across, (middle + 0.03, lintel - 0.08), 2.0 * _RELIEF, SKY_IN_PANE)


class _Face(NamedTuple):
    """An upright face of a building on its lot: ``begin`` of its foot and the unit vector ``along`` it, in the plan."""

    lot: Lot
    begin: np.ndarray
    along: np.ndarray

    def panel(self, across: tuple[float, float], heights: tuple[float, float], proud: float, colour: RGB) -> None:
        """Add a rectangle, ``across`` and ``heights`` in metres, so far before the face."""
        out = proud * np.array([self.along[1], -self.along[0]])
        ends = [self.begin + at * self.along + out for at in across]
        low, high = heights
        self.lot.quads([[(*ends[0], low), (*ends[1], low), (*ends[1], high), (*ends[0], high)]], colour)


def _shop_front(lot: Lot, w: float, is_shop: bool) -> None:
    """Add what protrudes from the street side of a shop: its signboard, and perhaps an awning."""
    rng = lot.rng
    columns = max(1, int(w / float(rng.uniform(2.0, 2.9))))
    rng.uniform(), rng.integers(columns)  # of no use, but without them every seed would become another town
    if is_shop:
        colour = SIGNBOARDS[int(rng.integers(30, 170, 3).sum()) % len(SIGNBOARDS)]
        lot.box((0.2, -0.14, SIGNBOARD_HEIGHT - 0.3), (w - 0.2, 0.0, SIGNBOARD_HEIGHT + 0.3), colour)
        if rng.random() < 0.4:  # an awning
            a = [(0.4, 0.0, 2.6), (w - 0.4, 0.0, 2.6), (w - 0.4, -1.1, 2.1), (0.4, -1.1, 2.1)]
            lot.quads([a], colour)


def church(lot: Lot, base: float = 0.3) -> None:
    """Add a church: nave, tower and spire, about 16 m by 34 m; its walls extend ``base`` metres into the ground."""
    wall, roof = CHURCH_WALL, (86, 84, 88)
    lot.box((2, 6, -base), (14, 34, 9.0), wall)
    nave = [
        [(1.6, 5.6, 8.9), (1.6, 34.4, 8.9), (8, 34.4, 16), (8, 5.6, 16)],
        [(14.4, 5.6, 8.9), (14.4, 34.4, 8.9), (8, 34.4, 16), (8, 5.6, 16)],
        [(2, 34, 9), (14, 34, 9), (8, 34, 16), (8, 34, 16)],
        [(2, 6, 9), (14, 6, 9), (8, 6, 16), (8, 6, 16)],
    ]
    lot.quads(nave, roof)
    high = float(lot.rng.uniform(24.0, 30.0))
    lot.box((4.5, 0, -base), (11.5, 7, high), wall)
    tip = (8.0, 3.5, high + 15.0)
    foot = [(4.2, -0.3, high), (11.8, -0.3, high), (11.8, 7.3, high), (4.2, 7.3, high)]
    lot.quads([[foot[k], foot[(k + 1) % 4], tip, tip] for k in range(4)], roof)
