"""Kerb lines of a map, and the blocks of ground between its streets.

All lanes are rasterised into a fine mask, whose contours are then snapped to the exact lane edges. That works for any
map and any shape of junction, where lane-by-lane reasoning about corners would not.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from neuralsim.base import kernels
from neuralsim.town.core.polylines import arc_lengths, interpolate
from neuralsim.town.ground.terrain import Terrain
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import ASPHALT, Network

MARGIN = 40.0  # m of ground around the outermost lane
ISLAND = 90.0  # m^2, smaller gaps between lanes count as asphalt
KERB = 0.12  # m
PAVEMENT = 2.4  # m, where a town street has one but the map does not say how wide
CLEARANCE = 3.5  # m, a road that far above another one is on a bridge
ABUTMENT = 9.0  # m that a bridge extends beyond the road below
ROAD_TYPES = ("town", "rural", "motorway")


@dataclass
class Ring:
    """A closed edge of the asphalt, which is on its right: ``points`` f64 (N, 3), the first one not repeated.

    An ``outer`` ring encloses the town. Per point: ``pavement_widths`` f64 (N,), 0 = no pavement; ``road_types`` i8
    (N,), index into ``ROAD_TYPES``; ``on_bridge`` bool (N,), where the road continues on a bridge and must stay free.
    """

    points: np.ndarray
    outer: bool
    pavement: float  # width, metres, where there is one
    pavement_widths: np.ndarray
    road_types: np.ndarray
    on_bridge: np.ndarray

    @property
    def is_urban(self) -> bool:
        """Whether there is a pavement all along the ring."""
        return bool((self.pavement_widths > 0.0).all())

    def samples(self) -> np.ndarray:
        """Return f64 (N, 6): points, pavement widths, road types, on_bridge, to be resampled together."""
        return np.column_stack([self.points, self.pavement_widths, self.road_types, self.on_bridge])


class Ground:
    """The mask of the asphalt on the ground, the rings around it, the terrain and the bridges.

    ``regions`` are the pieces of land between the roads: the ring around each (None: it extends to the horizon) and the
    rings of roads inside it. ``bridges`` are lanes (driving or not) and the slices of their samples on bridges.
    ``hills`` is the height (m) of the hills around a map that is not flat, ``seed`` determines their positions.
    """

    def __init__(self, network: Network, hills: float = 16.0, seed: int = 0) -> None:
        asphalt = network.lanes + [lane for lane in network.other_lanes if lane.kind in ASPHALT]
        edges = np.concatenate([_subdivide(side) for lane in asphalt for side in (lane.left, lane.right)])
        self.low = edges[:, :2].min(0) - MARGIN
        self.high = edges[:, :2].max(0) + MARGIN
        self.cell = max(0.2, float((self.high - self.low).max()) / 8000.0)
        shape = np.ceil((self.high - self.low) / self.cell).astype(int) + 1
        centres = np.concatenate([lane.centre for lane in asphalt])
        self.flat = bool(np.ptp(centres[:, 2]) < 0.01)
        raised = [np.zeros(len(lane.centre), bool) for lane in asphalt] if self.flat else _find_bridges(asphalt)
        self.bridges = [
            (lane, slice(max(part.start - 1, 0), part.stop + 1))  # up to the last sample on the ground
            for lane, high in zip(asphalt, raised, strict=True)
            for part in _runs(high)
        ]
        self.mask = np.zeros((shape[1], shape[0]), np.uint8)
        self.rasterise(
            self.mask, [_lane_slice(lane, run) for lane, up in zip(asphalt, raised, strict=True) for run in _runs(~up)]
        )
        cv2.morphologyEx(self.mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8), dst=self.mask)
        self._tree = cKDTree(edges[:, :2])
        self._edges = edges
        counts = [2 * (5 * len(lane.centre) - 4) for lane in asphalt]
        self._road_types = np.repeat([ROAD_TYPES.index(lane.road_type) for lane in asphalt], counts)
        self._in_junction = np.repeat([lane.junction >= 0 for lane in asphalt], counts)
        self._level = float(centres[0, 2])
        self._centres, self._heights = cKDTree(centres), centres[:, 2]
        self._places = centres
        self._on_bridge = np.concatenate(raised)
        self._half = np.concatenate([lane.width for lane in asphalt]) / 2.0
        self._kerbed = np.repeat([lane.road_type == "town" for lane in asphalt], [len(lane.centre) for lane in asphalt])
        self._slope = np.concatenate([_slope(lane.centre) for lane in asphalt])
        self.terrain = (
            None
            if self.flat
            else Terrain(edges[:, :2].min(0), edges[:, :2].max(0), centres[~self._on_bridge], hills, seed)
        )
        walks = [lane for lane in network.other_lanes if lane.kind in ("sidewalk", "walking")]
        self._walks = cKDTree(np.concatenate([lane.centre[:, :2] for lane in walks])) if walks else None
        self._widths = np.concatenate([lane.width for lane in walks]) if walks else np.zeros(0)
        self.rings = self._rings()
        self.regions = _regions(self.rings)

    def rasterise(self, mask: np.ndarray, lanes: list[Lane], grow: float = 0.0) -> None:
        """Set the cells of ``mask`` that are covered by lanes, which are widened by ``grow`` metres."""
        for lane in lanes:
            left, right = lane.left[:, :2], lane.right[:, :2]
            if grow:
                aside = (right - left) / np.maximum(np.linalg.norm(right - left, axis=1), 1e-6)[:, None] * grow
                left, right = left - aside, right + aside
            outline = (np.concatenate([left, right[::-1]]) - self.low) / self.cell * 16
            cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1, cv2.LINE_8, 4)

    def is_asphalt(self, x: float, y: float) -> bool:
        """Return whether a point is on a road."""
        i, j = int((y - self.low[1]) / self.cell + 0.5), int((x - self.low[0]) / self.cell + 0.5)
        return 0 <= i < self.mask.shape[0] and 0 <= j < self.mask.shape[1] and bool(self.mask[i, j])

    def surface_height(self, x: float, y: float, z: float) -> float:
        """Return the height of the surface nearest to a point, metres: road, bridge, land, or pavement above it."""
        if self.flat:
            return self._level + (0.0 if self.is_asphalt(x, y) else KERB)
        height, kerb = self._surface(x, y, z)
        return height + kerb

    def _surface(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return the height of the surface nearest below or above a point, and that of the kerb there."""
        assert self.terrain is not None
        k = self._centres.query((x, y, z))[1]
        dx, dy = x - self._places[k, 0], y - self._places[k, 1]
        road = float(self._heights[k] + self._slope[k, 0] * dx + self._slope[k, 1] * dy)
        if self._on_bridge[k] and np.hypot(dx, dy) < self._half[k] + 1.5:
            return road, 0.0
        if self.is_asphalt(x, y) and not self._on_bridge[k]:
            return road, 0.0
        share = float(np.clip((np.hypot(dx, dy) - self._half[k] - 2.5) / 3.0, 0.0, 1.0))
        land = float(self.terrain.heights(np.array([[x, y]]))[0])
        if self._on_bridge[k]:
            share = 1.0
        return road + share * (land - road), KERB if self._kerbed[k] else -0.04

    def terrain_heights(self, points: np.ndarray) -> np.ndarray:
        """Return the height of the land at ``points`` (N, 2), f64 (N,), metres."""
        if self.terrain is None:
            return np.full(len(points), self._level)
        return self.terrain.heights(points)

    def _rings(self) -> list[Ring]:
        contours, tree = cv2.findContours(self.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        rings = []
        if self.bridges:
            decks = np.concatenate([_points_on(_lane_slice(lane, part)) for lane, part in self.bridges])
            self._bridge_points, self._bridge_heights = cKDTree(decks[:, :2]), decks[:, 2]
        for contour, (_, _, _, parent) in zip(contours, tree[0] if tree is not None else (), strict=True):
            points = contour[:, 0].astype(float) * self.cell + self.low
            outer = parent < 0
            if not outer and abs(signed_area(points)) < ISLAND:
                cv2.drawContours(self.mask, [contour], -1, 1, -1)
                continue
            if len(points) < 40:
                continue
            distance, nearest = self._tree.query(points)
            exact = self._edges[nearest]
            snapped = np.where(distance[:, None] < 2.0 * self.cell, exact[:, :2], points)
            line = cv2.approxPolyDP(snapped[:, None].astype(np.float32), 0.035, True)[:, 0].astype(float)
            line = _without_spikes(line)
            if (signed_area(line) > 0) == outer:
                line = line[::-1]
            if not self.flat:
                line = _densified(line, 3.0)
            away, nearest = self._tree.query(line)
            road_types = self._road_types[nearest].astype(np.int8)
            pavement, paved = self._paved(line, road_types, self._in_junction[nearest] | (away > 1.0))
            if self.flat and not (paved.all() and not self._is_narrow(_densified(line, 3.0), pavement).any()):
                line = _densified(line, 3.0)
                nearest = self._tree.query(line)[1]
                road_types = self._road_types[nearest].astype(np.int8)
                pavement, paved = self._paved(line, road_types, self._in_junction[nearest])
            paved &= ~self._is_narrow(line, pavement)
            height = self._ring_heights(line)
            on_bridge = np.zeros(len(line), bool)
            if self.bridges:
                reach, k = self._bridge_points.query(line)
                on_bridge = (reach < 1.0) & (np.abs(height - self._bridge_heights[k]) < 2.0)
                paved &= ~on_bridge
            widths = np.where(paved, pavement, 0.0)
            rings.append(Ring(np.column_stack([line, height]), outer, pavement, widths, road_types, on_bridge))
        return rings

    def _is_narrow(self, line: np.ndarray, pavement: float) -> np.ndarray:
        """Return where the land beside points (N, 2) of a ring is too narrow for a pavement there and another one
        opposite, bool (N,): a median, which is grass."""
        reach = np.arange(0.6, 2.0 * pavement + 0.6, 0.4)
        narrow = np.zeros(len(line), bool)
        for away in reach.tolist():
            j, i = np.clip((offset(line, away) - self.low) / self.cell + 0.5, 0, self.mask.shape[::-1]).astype(int).T
            narrow |= self.mask[np.minimum(i, self.mask.shape[0] - 1), np.minimum(j, self.mask.shape[1] - 1)] > 0
        return narrow | np.roll(narrow, 1) | np.roll(narrow, -1)

    def _ring_heights(self, line: np.ndarray) -> np.ndarray:
        """Return the height of the edge of the asphalt at points (N, 2) of a contour."""
        if self.flat:
            return np.full(len(line), self._level)
        land = self.terrain_heights(line)
        distance, near = self._tree.query(line, k=6)  # of edges on top of each other, take the one near the land
        off = np.abs(self._edges[near, 2] - land[:, None])
        best = np.where((distance < distance[:, :1] + 0.6) & (off < 1.5), distance, np.inf).argmin(axis=1)
        chosen = near[np.arange(len(line)), best]
        known = distance[np.arange(len(line)), best] < 1.0
        return np.asarray(np.where(known, self._edges[chosen, 2], land))

    def _paved(self, line: np.ndarray, road_types: np.ndarray, unsure: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the width of a ring's pavement, and where along the ring there is one, bool (N,)."""
        if self._walks is None:
            return PAVEMENT, road_types == 0
        reach, at = self._walks.query(line)
        near = reach < 4.0
        pavement = float(np.median(self._widths[at[near]])) if near.any() else PAVEMENT
        if not near.any():
            return pavement, near
        known = np.flatnonzero(near | ~unsure)
        steps = np.linalg.norm(np.roll(line, -1, axis=0) - line, axis=1)
        along_ring = np.concatenate([[0.0], np.cumsum(steps)])
        total = along_ring[-1]
        gap = np.abs(along_ring[:-1, None] - along_ring[known])
        paved = near[known][np.minimum(gap, total - gap).argmin(axis=1)]
        if steps[paved].sum() > 0.95 * total:
            paved = np.ones(len(line), bool)
        return float(np.clip(pavement, 1.2, 6.0)), paved


def offset(points: np.ndarray, distance: float | np.ndarray) -> np.ndarray:
    """Return a closed line f64 (N, D) shifted to its left by ``distance`` metres, a number or one per point.

    Corners are mitred, with a limit where they are sharp.
    """
    step = np.roll(points[:, :2], -1, axis=0) - points[:, :2]
    step /= np.maximum(np.linalg.norm(step, axis=1), 1e-9)[:, None]
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
    both = normal + np.roll(normal, 1, axis=0)
    both /= np.maximum((both**2).sum(1) / 2.0, 0.5)[:, None]
    result = points.copy()
    result[:, :2] += both * np.reshape(distance, (-1, 1))
    return result


def resample(points: np.ndarray, step: float) -> np.ndarray:
    """Return a closed line f64 (N, D) resampled about every ``step`` metres, f64 (M, D)."""
    closed = np.concatenate([points, points[:1]])
    at = arc_lengths(closed[:, :2])
    return interpolate(closed, at, np.linspace(0.0, at[-1], max(8, int(at[-1] / step)), endpoint=False))


@njit(**kernels.EXACT)
def points_in_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Return bool (N,) by the even-odd rule, for points (N, 2) and a closed polygon (M, 2)."""
    result = np.zeros(len(points), np.bool_)
    for k in range(len(points)):
        x, y = points[k, 0], points[k, 1]
        odd = False
        j = len(polygon) - 1
        for i in range(len(polygon)):
            ay, by = polygon[j, 1], polygon[i, 1]
            if (ay > y) != (by > y) and x < polygon[j, 0] + (y - ay) * (polygon[i, 0] - polygon[j, 0]) / (by - ay):
                odd = not odd
            j = i
        result[k] = odd
    return result


def _regions(rings: list[Ring]) -> list[tuple[Ring | None, list[Ring]]]:
    """Return the outer ring of each piece of land (None: the horizon) and the rings inside it."""
    holes = sorted((ring for ring in rings if not ring.outer), key=lambda ring: abs(signed_area(ring.points)))
    members: dict[int, list[Ring]] = {id(hole): [] for hole in holes}
    far: list[Ring] = []
    for ring in rings:
        if ring.outer:
            around = [hole for hole in holes if points_in_polygon(ring.points[:1, :2], hole.points[:, :2])[0]]
            (members[id(around[0])] if around else far).append(ring)
    pieces: list[tuple[Ring | None, list[Ring]]] = [(hole, members[id(hole)]) for hole in rings if not hole.outer]
    return [(None, far), *pieces]


def signed_area(points: np.ndarray) -> float:
    """Return the area of a closed line, m^2; negative if it turns right."""
    x, y = points[:, 0], points[:, 1]
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2.0


def _subdivide(line: np.ndarray, parts: int = 5) -> np.ndarray:
    share = np.arange(parts)[:, None, None] / parts
    return np.concatenate([(line[:-1] + share * (line[1:] - line[:-1])).reshape(-1, 3), line[-1:]])


def _without_spikes(line: np.ndarray) -> np.ndarray:
    """Return the line without vertices where it turns back on itself, and without coincident neighbours."""
    for _ in range(3):
        into = line - np.roll(line, 1, axis=0)
        out = np.roll(line, -1, axis=0) - line
        size = np.linalg.norm(into, axis=1) * np.linalg.norm(out, axis=1)
        keep = ((into * out).sum(1) > -0.5 * size) & (np.linalg.norm(into, axis=1) > 0.05)
        if keep.all() or keep.sum() < 8:
            break
        line = line[keep]
    return line


def _densified(line: np.ndarray, step: float) -> np.ndarray:
    """Return a closed line (N, 2) with additional points, so that no two are further apart than ``step`` metres."""
    parts = []
    for a, b in pairwise(np.concatenate([line, line[:1]])):
        count = max(1, int(np.ceil(np.linalg.norm(b - a) / step)))
        parts.append(a + np.arange(count)[:, None] / count * (b - a))
    return np.concatenate(parts)


def _slope(centre: np.ndarray) -> np.ndarray:
    """Return the gradient of a lane's height at its samples, f64 (N, 2)."""
    step = np.gradient(centre, axis=0)
    size = np.maximum((step[:, :2] ** 2).sum(1), 1e-9)
    return step[:, :2] * (step[:, 2] / size)[:, None]


def _find_bridges(lanes: list[Lane]) -> list[np.ndarray]:
    """Return for each lane bool (N,): which samples are on a bridge over another road, its abutments included."""
    size = 2.0
    points = np.concatenate([_points_on(lane) for lane in lanes])
    low = points[:, :2].min(0) - 4 * size
    shape = ((points[:, :2].max(0) - low) / size).astype(int) + 6
    lowest = np.full((shape[1], shape[0]), 1e6, np.float32)
    i, j = ((points[:, 1] - low[1]) / size).astype(int), ((points[:, 0] - low[0]) / size).astype(int)
    np.minimum.at(lowest, (i, j), points[:, 2].astype(np.float32))
    lowest = cv2.erode(lowest, np.ones((3, 3), np.uint8))
    over: dict[tuple[int, int], np.ndarray] = {}
    result: list[np.ndarray] = []
    for lane in lanes:
        i, j = (((lane.centre[:, d] - low[d]) / size).astype(int) for d in (1, 0))
        high = lane.centre[:, 2] - lowest[i, j] > CLEARANCE
        high = high if lane.is_along else high[::-1]
        key = lane.road, lane.section
        known = over.get(key)
        over[key] = high if known is None or len(known) != len(high) else known | high
    for lane in lanes:
        high = over[lane.road, lane.section]
        if len(high) != len(lane.centre) or not high.any():
            result.append(np.zeros(len(lane.centre), bool))
            continue
        step = max(lane.length / max(len(high) - 1, 1), 0.1)
        grown = np.convolve(high, np.ones(2 * int(ABUTMENT / step) + 1), "same") > 0.0
        result.append(grown if lane.is_along else grown[::-1])
    return result


def _points_on(lane: Lane) -> np.ndarray:
    """Return points spread over a lane, f64 (M, 3), about a metre apart."""
    share = np.linspace(0.0, 1.0, 5)[:, None, None]
    return np.concatenate([_subdivide(line, 2) for line in lane.left + share * (lane.right - lane.left)])


def _runs(chosen: np.ndarray) -> list[slice]:
    """Return slices of the runs where ``chosen`` is true; runs of one sample are widened by one at both ends."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    pairs = zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True)
    slices = [slice(a, b) if b - a > 1 else slice(max(a - 1, 0), b + 1) for a, b in pairs]
    return [part for part in slices if part.stop - part.start > 1]


def _lane_slice(lane: Lane, part: slice) -> Lane:
    if part.start == 0 and part.stop >= len(lane.centre):
        return lane
    return replace(lane, centre=lane.centre[part], left=lane.left[part], right=lane.right[part], width=lane.width[part])
