"""Site of a town under construction: an occupancy grid and everything placed so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numba import njit

from bridge.tags import Tag
from neuralsim.town.assets.houses import Builder
from neuralsim.town.ground.blocks import Ground, Ring, along, area, offset
from neuralsim.town.opendrive.network import Network
from neuralsim.town.scenery.town_styles import Look

CELL = 0.5  # m, of the occupancy grid
VERGE = 1.6  # m beside a road without pavement that stay free
TREE_KINDS = ("lime", "plane", "birch", "poplar")


@dataclass
class Prop:
    """One placed instance of a template: its name, place (m), yaw (degrees), scale and paint."""

    kind: str
    x: float
    y: float
    z: float
    yaw: float
    colour: tuple[int, int, int] = (128, 128, 128)
    scale: float = 1.0


@dataclass
class Site:
    """A town being dressed: what has been placed so far, and where there is room."""

    network: Network
    ground: Ground
    rng: np.random.Generator
    first_instance: int
    look: Look
    builder: Builder = field(default_factory=Builder)
    props: list[Prop] = field(default_factory=list)
    #: Signs among them that are for a lane: index of the prop, lane, metres before the lane's end.
    signs: list[tuple[int, int, float]] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    buildings: int = 0

    def __post_init__(self) -> None:
        ground = self.ground
        self.low = ground.low - 40.0
        size = np.ceil((ground.high + 40.0 - self.low) / CELL).astype(int)
        self.taken = np.zeros((size[1], size[0]), np.uint8)
        for ring in sorted(ground.rings, key=lambda ring: -abs(area(ring.points))):  # roads lie in land, land in roads
            self._fill(offset(ring.points, np.where(ring.walk > 0.0, ring.walk, VERGE))[:, :2], int(ring.outer))

        for lane, part in ground.bridges:
            self._fill(np.concatenate([lane.left[part, :2], lane.right[part, :2][::-1]]), 1)

    def _fill(self, polygon: np.ndarray, value: int) -> None:
        cells = np.round((polygon - self.low) / CELL * 16 - 8).astype(np.int32)
        cv2.fillPoly(self.taken, [cells], value, cv2.LINE_8, 4)

    def free(self, corners: np.ndarray) -> bool:
        """Whether a parallelogram (4, 2) has room; a little overlap at its rim is forgiven."""
        return bool(_free(self.taken, *self.low.tolist(), corners))

    def occupied(self, x: float, y: float) -> bool:
        """Whether something stands at a point, or the town ends there."""
        i, j = int((y - self.low[1]) / CELL), int((x - self.low[0]) / CELL)
        inside_grid = 0 <= i < self.taken.shape[0] and 0 <= j < self.taken.shape[1]
        return not inside_grid or bool(self.taken[i, j])

    def claim(self, corners: np.ndarray, solid: bool = True) -> None:
        """Take the room of a parallelogram (4, 2); ``solid`` makes it an obstacle."""
        self._fill(corners, 2)
        if solid:
            a, b = corners[1] - corners[0], corners[3] - corners[0]
            middle = corners[:4].mean(0)
            self.boxes.append(
                (*middle, float(np.arctan2(a[1], a[0])), float(np.hypot(*a)) / 2, float(np.hypot(*b)) / 2)
            )

    def post(self, x: float, y: float, half: float = 0.1) -> None:
        """An obstacle as small as a pole."""
        self.boxes.append((x, y, 0.0, half, half))

    def lie(self, places: np.ndarray, level: float) -> np.ndarray:
        """Heights of the land at places (N, 2): ``level`` where the map is flat."""
        return np.full(len(places), level) if self.ground.flat else self.ground.heights(places)

    def pave(self, corners: np.ndarray, level: float) -> None:
        """A path or a driveway over the land, ``level`` (m) where the map is flat."""
        lift = 0.012 if self.ground.flat else 0.06
        paved = np.column_stack([corners, self.lie(corners, level) + lift])
        self.builder.quads(paved[None], Tag.SIDEWALK, (140, 134, 128))

    def instance(self) -> int:
        """A new instance number for a building."""
        self.buildings += 1
        return self.first_instance + self.buildings - 1


@njit(cache=True, nogil=True)
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
    """A closed frontage, one sample a metre: places (N, 3), units along it, and whether it is a town street's."""

    points: np.ndarray
    forward: np.ndarray
    urban: np.ndarray

    @property
    def inward(self) -> np.ndarray:
        """f64 (N, 2), unit vectors away from the road."""
        return np.stack([-self.forward[:, 1], self.forward[:, 0]], axis=1)


def frontage(ring: Ring, distance: float) -> Frontage:
    """The kerb line moved inwards (away from the road), about one sample a metre."""
    line = along(offset(ring.columns(), distance), 1.0)
    step = np.roll(line[:, :2], -2, axis=0) - np.roll(line[:, :2], 2, axis=0)
    forward = step / np.maximum(np.linalg.norm(step, axis=1), 1e-9)[:, None]
    return Frontage(line[:, :3], forward, line[:, 3] > 0.9)
