"""The site of a town under construction: an occupancy grid and everything placed so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.town.assets.houses import Builder
from neuralsim.town.ground.blocks import Ground, Ring, offset, resample, signed_area
from neuralsim.town.opendrive.network import Network
from neuralsim.town.scenery.town_styles import TownStyle

CELL = 0.5  # m, of the occupancy grid
VERGE = 1.6  # m next to a road without pavement that stay free
BEYOND_END = 4.0  # m that stay free where a road ends: half a car and half a hedge
TREE_KINDS = ("lime", "plane", "birch", "poplar")


@dataclass
class Prop:
    """A placed instance of a template: template name, position (m), yaw (degrees), colour and scale."""

    kind: str
    x: float
    y: float
    z: float
    yaw: float
    colour: tuple[int, int, int] = (128, 128, 128)
    scale: float = 1.0


class Box(NamedTuple):
    """The footprint of an obstacle: centre (m), yaw (radians) and half sizes (m)."""

    x: float
    y: float
    yaw: float
    half_length: float
    half_width: float


class PlacedSign(NamedTuple):
    """A sign that applies to a lane: indices of its prop and of the driving lane, metres before the end of the lane."""

    prop: int
    lane: int
    before_end: float


@dataclass
class Site:
    """A town under construction: what has been placed so far, and where there is room."""

    network: Network
    ground: Ground
    rng: np.random.Generator
    first_instance: int
    style: TownStyle
    builder: Builder = field(default_factory=Builder)
    props: list[Prop] = field(default_factory=list)
    signs: list[PlacedSign] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    buildings: int = 0

    def __post_init__(self) -> None:
        ground = self.ground
        self.low = ground.low - 40.0
        size = np.ceil((ground.high + 40.0 - self.low) / CELL).astype(int)
        self.taken = np.zeros((size[1], size[0]), np.uint8)
        for ring in sorted(
            ground.rings, key=lambda ring: -abs(signed_area(ring.points))
        ):  # from the outermost to the innermost
            distance = np.where(ring.pavement_widths > 0.0, ring.pavement_widths, VERGE)
            self._fill(offset(ring.points, distance)[:, :2], int(ring.outer))
        j, i = (
            np.clip(((self.low[d] + CELL * (np.arange(size[d]) + 0.5) - ground.low[d]) / ground.cell), 0, limit - 1)
            for d, limit in ((0, ground.mask.shape[1]), (1, ground.mask.shape[0]))
        )
        self.taken |= ground.mask[np.ix_(i.astype(int), j.astype(int))]  # where a ring's offset turns over
        self.ends = np.zeros_like(self.taken)
        for zone in _beyond_ends(self.network):
            self._fill(zone, 1, self.ends)
        for lane, part in ground.bridges:
            self._fill(np.concatenate([lane.left[part, :2], lane.right[part, :2][::-1]]), 1)

    def _fill(self, polygon: np.ndarray, value: int, mask: np.ndarray | None = None) -> None:
        cells = np.round((polygon - self.low) / CELL * 16 - 8).astype(np.int32)
        cv2.fillPoly(self.taken if mask is None else mask, [cells], value, cv2.LINE_8, 4)

    def is_at_end(self, corners: np.ndarray) -> bool:
        """Return whether a parallelogram (4, 2) or a point (1, 2) reaches to where a road ends, or out of the grid."""
        return not _free(self.ends, *self.low.tolist(), np.resize(corners, (4, 2)))

    def is_free(self, corners: np.ndarray) -> bool:
        """Return whether a parallelogram (4, 2) is free; a slight overlap at its border is tolerated."""
        return bool(_free(self.taken, *self.low.tolist(), corners)) and not self.is_at_end(corners)

    def is_occupied(self, x: float, y: float) -> bool:
        """Return whether a point is occupied or outside the town."""
        i, j = int((y - self.low[1]) / CELL), int((x - self.low[0]) / CELL)
        inside_grid = 0 <= i < self.taken.shape[0] and 0 <= j < self.taken.shape[1]
        return not inside_grid or bool(self.taken[i, j] | self.ends[i, j])

    def claim(self, corners: np.ndarray, solid: bool = True) -> None:
        """Mark a parallelogram (4, 2) as occupied; ``solid`` also makes it an obstacle."""
        self._fill(corners, 2)
        if solid:
            a, b = corners[1] - corners[0], corners[3] - corners[0]
            x, y = corners[:4].mean(0)
            yaw = float(np.arctan2(a[1], a[0]))
            self.boxes.append(Box(x, y, yaw, float(np.hypot(*a)) / 2, float(np.hypot(*b)) / 2))

    def add_post(self, x: float, y: float, half: float = 0.1) -> None:
        """Add a square obstacle of the size of a pole."""
        self.boxes.append(Box(x, y, 0.0, half, half))

    def terrain_heights(self, places: np.ndarray, level: float) -> np.ndarray:
        """Return the heights of the land at places (N, 2); ``level`` on a flat map."""
        return np.full(len(places), level) if self.ground.flat else self.ground.terrain_heights(places)

    def pave(self, corners: np.ndarray, level: float) -> None:
        """Add a path or a driveway on the land; ``level`` (m) is its height on a flat map."""
        lift = 0.012 if self.ground.flat else 0.06
        paved = np.column_stack([corners, self.terrain_heights(corners, level) + lift])
        self.builder.quads(paved[None], Tag.SIDEWALK, (140, 134, 128))

    def next_instance(self) -> int:
        """Return the instance number of the next building."""
        self.buildings += 1
        return self.first_instance + self.buildings - 1


def _beyond_ends(network: Network) -> list[np.ndarray]:
    """Return what stays free beyond the ends of lanes that lead nowhere or come from nowhere, (4, 2) each."""
    entered = {k for lane in network.lanes for k in lane.next}
    zones = []
    for k, lane in enumerate(network.lanes):
        for ends, is_open in ((slice(-2, None), not lane.next), (slice(1, None, -1), k not in entered)):
            if is_open:
                (before, end), left, right = lane.centre[ends, :2], lane.left[ends, :2][1], lane.right[ends, :2][1]
                way = (end - before) / max(float(np.linalg.norm(end - before)), 1e-6) * BEYOND_END
                zones.append(np.array([left, right, right + way, left + way]))
    return zones


@njit(**kernels.EXACT)
def _free(taken, x, y, corners):  # type: ignore[no-untyped-def]
    ax, ay = corners[1, 0] - corners[0, 0], corners[1, 1] - corners[0, 1]
    bx, by = corners[3, 0] - corners[0, 0], corners[3, 1] - corners[0, 1]
    n, m = max(2, int(np.hypot(ax, ay) / 0.7)), max(2, int(np.hypot(bx, by) / 0.7))
    for a in range(n + 1):
        u = 0.04 + 0.92 * a / n
        for b in range(m + 1):
            v = 0.04 + 0.92 * b / m
            j = int((corners[0, 0] + u * ax + v * bx - x) / CELL)
            i = int((corners[0, 1] + u * ay + v * by - y) / CELL)
            if i < 0 or j < 0 or i >= taken.shape[0] or j >= taken.shape[1] or taken[i, j] != 0:
                return False
    return True


@dataclass
class Frontage:
    """A closed frontage, one sample per metre: points (N, 3), unit vectors along it, and whether it has a pavement."""

    points: np.ndarray
    forward: np.ndarray
    urban: np.ndarray

    @property
    def inward(self) -> np.ndarray:
        """Unit vectors f64 (N, 2) away from the road."""
        return np.stack([-self.forward[:, 1], self.forward[:, 0]], axis=1)


def frontage(ring: Ring, distance: float) -> Frontage:
    """Return the kerb line, moved away from the road by ``distance`` m, with about one sample per metre."""
    line = resample(offset(ring.samples(), distance), 1.0)
    step = np.roll(line[:, :2], -2, axis=0) - np.roll(line[:, :2], 2, axis=0)
    forward = step / np.maximum(np.linalg.norm(step, axis=1), 1e-9)[:, None]
    return Frontage(line[:, :3], forward, line[:, 3] > 0.9)
