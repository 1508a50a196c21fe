"""Where the asphalt ends: the kerb lines of a map and the blocks of ground between its streets.

All lanes are painted into a fine mask; its contours are then moved onto the exact lane edges. That works for any map,
junctions of any shape included, where lane-by-lane reasoning about corners would not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from bridge.town.network import ASPHALT, Lane, Network

MARGIN = 40.0  # m of ground around the outermost lane
ISLAND = 90.0  # m^2, smaller gaps between lanes are asphalt too
KERB = 0.12  # m


@dataclass
class Ring:
    """A closed kerb line, asphalt on its right: ``points`` f64 (N, 3), first not repeated; ``outer`` encloses the
    town."""

    points: np.ndarray
    outer: bool
    pavement: float  # width, metres


class Ground:
    """The mask of the asphalt and the rings around it."""

    def __init__(self, network: Network) -> None:
        asphalt = network.lanes + [lane for lane in network.others if lane.kind in ASPHALT]
        edges = np.concatenate([_finer(side) for lane in asphalt for side in (lane.left, lane.right)])
        self.low = edges[:, :2].min(0) - MARGIN
        self.high = edges[:, :2].max(0) + MARGIN
        self.cell = max(0.2, float((self.high - self.low).max()) / 8000.0)
        shape = np.ceil((self.high - self.low) / self.cell).astype(int) + 1
        self.mask = np.zeros((shape[1], shape[0]), np.uint8)
        self.paint(self.mask, asphalt)
        cv2.morphologyEx(self.mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8), dst=self.mask)
        self._tree = cKDTree(edges[:, :2])
        self._edges = edges
        centres = np.concatenate([lane.centre for lane in asphalt])
        self.flat = bool(np.ptp(centres[:, 2]) < 0.01)
        self._level = float(centres[0, 2])
        self._centres, self._heights = cKDTree(centres), centres[:, 2]
        walks = [lane for lane in network.others if lane.kind in ("sidewalk", "walking")]
        self._walks = cKDTree(np.concatenate([lane.centre[:, :2] for lane in walks])) if walks else None
        self._widths = np.concatenate([lane.width for lane in walks]) if walks else np.zeros(0)
        self.rings = self._rings()

    def paint(self, mask: np.ndarray, lanes: list[Lane], grow: float = 0.0) -> None:
        """Set the cells of `mask` under some lanes, widened by `grow` metres."""
        for lane in lanes:
            left, right = lane.left[:, :2], lane.right[:, :2]
            if grow:
                aside = (right - left) / np.maximum(np.linalg.norm(right - left, axis=1), 1e-6)[:, None] * grow
                left, right = left - aside, right + aside
            outline = (np.concatenate([left, right[::-1]]) - self.low) / self.cell * 16
            cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1, cv2.LINE_8, 4)

    def asphalt(self, x: float, y: float) -> bool:
        """Whether a point lies on the road."""
        i, j = int((y - self.low[1]) / self.cell + 0.5), int((x - self.low[0]) / self.cell + 0.5)
        return 0 <= i < self.mask.shape[0] and 0 <= j < self.mask.shape[1] and bool(self.mask[i, j])

    def height(self, x: float, y: float, z: float) -> float:
        """Height of the road nearest to a point, metres."""
        return self._level if self.flat else float(self._heights[self._centres.query((x, y, z))[1]])

    def level(self, x: float, y: float, z: float) -> float:
        """Height of what one stands on there: road, or pavement above it."""
        return self.height(x, y, z) + (0.0 if self.asphalt(x, y) else KERB)

    def heights(self, points: np.ndarray) -> np.ndarray:
        """Height of the road nearest to each of `points` (N, 2), f64 (N,)."""
        if self.flat:
            return np.full(len(points), self._level)
        flat = np.column_stack([points, np.full(len(points), self._heights.mean())])
        return self._heights[self._centres.query(flat)[1]]

    def _rings(self) -> list[Ring]:
        contours, tree = cv2.findContours(self.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        rings = []
        for contour, (_, _, _, parent) in zip(contours, tree[0] if tree is not None else (), strict=True):
            points = contour[:, 0].astype(float) * self.cell + self.low
            outer = parent < 0
            if not outer and abs(_area(points)) < ISLAND:
                cv2.drawContours(self.mask, [contour], -1, 1, -1)
                continue
            if len(points) < 40:
                continue
            distance, nearest = self._tree.query(points)
            exact = self._edges[nearest]
            snapped = np.where(distance[:, None] < 2.0 * self.cell, exact[:, :2], points)
            line = cv2.approxPolyDP(snapped[:, None].astype(np.float32), 0.035, True)[:, 0].astype(float)
            line = _without_spikes(line)
            if (_area(line) > 0) == outer:
                line = line[::-1]
            pavement = 2.4
            if self._walks is not None:
                reach, at = self._walks.query(line)
                near = reach < 4.0
                pavement = float(np.median(self._widths[at[near]])) if near.any() else pavement
            height = self.heights(line)
            rings.append(Ring(np.column_stack([line, height]), outer, float(np.clip(pavement, 1.2, 6.0))))
        return rings


def offset(points: np.ndarray, distance: float) -> np.ndarray:
    """A closed line shifted to its left by `distance` metres (mitred, limited at sharp corners); f64, same shape."""
    step = np.roll(points[:, :2], -1, axis=0) - points[:, :2]
    step /= np.maximum(np.linalg.norm(step, axis=1), 1e-9)[:, None]
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
    both = normal + np.roll(normal, 1, axis=0)
    both /= np.maximum((both**2).sum(1) / 2.0, 0.5)[:, None]
    result = points.copy()
    result[:, :2] += both * distance
    return result


def along(points: np.ndarray, step: float) -> np.ndarray:
    """A closed line resampled about every `step` metres, f64 (M, D)."""
    closed = np.concatenate([points, points[:1]])
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed[:, :2], axis=0), axis=1))])
    where = np.linspace(0.0, at[-1], max(8, int(at[-1] / step)), endpoint=False)
    return np.stack([np.interp(where, at, closed[:, k]) for k in range(closed.shape[1])], axis=1)


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd rule: bool (N,) for points (N, 2) and a closed polygon (M, 2)."""
    x, y = points[:, 0, None], points[:, 1, None]
    a, b = polygon, np.roll(polygon, -1, axis=0)
    spans = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(b[:, 1] == a[:, 1], 1.0, b[:, 1] - a[:, 1])
    left = x < a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / rise
    return (spans & left).sum(1) % 2 == 1


def _area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2.0


def _finer(line: np.ndarray, parts: int = 5) -> np.ndarray:
    share = np.arange(parts)[:, None, None] / parts
    return np.concatenate([(line[:-1] + share * (line[1:] - line[:-1])).reshape(-1, 3), line[-1:]])


def _without_spikes(line: np.ndarray) -> np.ndarray:
    """Drop vertices where the line turns back on itself, and neighbours that coincide."""
    for _ in range(3):
        into = line - np.roll(line, 1, axis=0)
        out = np.roll(line, -1, axis=0) - line
        size = np.linalg.norm(into, axis=1) * np.linalg.norm(out, axis=1)
        keep = ((into * out).sum(1) > -0.5 * size) & (np.linalg.norm(into, axis=1) > 0.05)
        if keep.all() or keep.sum() < 8:
            break
        line = line[keep]
    return line
