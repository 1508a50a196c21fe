"""The navigation mesh that CARLA's client uses for its walkers: pavements and crosswalks as one Detour tile.

The layout is that of Detour's ``DetourNavMesh.h`` (version 7, 32-bit references) inside the ``MSET`` file that the
client reads (``LibCarla``'s ``nav/Navigation.cpp``). Recast's axes are x, height, y in our
terms. Areas and flags are those of ``nav/Navigation.h``.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralsim.town.ground.blocks import KERB, Ground, Ring, offset

EDITION = 1  # version of the mesh built from a map, since clients cache files by name
MIN_PAVEMENT = 1.2  # m, narrower pavements are not walked on
MARGIN = 0.2  # m kept from kerbs and facades
MAX_EDGE = 4.0  # m, along a pavement
MIN_EDGE = 0.4  # m, along a pavement
MAX_KERB_DISTANCE = 4.0  # m from the end of a crosswalk to its kerb
MAX_CROSSWALK_WIDTH = 14.0  # m

SIDEWALK, CROSSWALK = 1, 2  # areas; the flag of area k is 1 << k
CORNERS = 6  # DT_VERTS_PER_POLYGON
VERSION = 7
HEIGHT, RADIUS, CLIMB = 1.8, 0.3, 0.4  # m, of a walker


@dataclass
class Polygons:
    """A mesh of convex polygons: ``vertices`` (N, 3), m; ``polygons``: at most six indices each; the area of each."""

    vertices: list[tuple[float, float, float]] = field(default_factory=list)
    polygons: list[list[int]] = field(default_factory=list)
    areas: list[int] = field(default_factory=list)

    def add(self, corners: Sequence[int], area: int) -> None:
        """Add a polygon in Detour's winding; skip it if it has no area, split a concave quadrilateral in two."""
        chosen = [a for a, b in zip(corners, [*corners[1:], corners[0]], strict=True) if a != b]
        points = [self.vertices[k][:2] for k in chosen]
        size = _area(points)
        if abs(size) < 1e-3:
            return
        if size > 0.0:
            chosen, points = chosen[::-1], points[::-1]
        bends = [_area([points[k - 1], points[k], points[(k + 1) % len(points)]]) for k in range(len(points))]
        if len(chosen) == 4 and max(bends) > 1e-6:
            k = bends.index(max(bends))  # the corner that points inwards
            turned = chosen[k:] + chosen[:k]
            self.add([turned[0], turned[1], turned[2]], area)
            self.add([turned[0], turned[2], turned[3]], area)
            return
        self.polygons.append(chosen)
        self.areas.append(area)


def walkable(ground: Ground) -> bool:
    """Return whether there are any pavements to walk on."""
    return any(ring.pavement >= MIN_PAVEMENT for ring in ground.rings)


def build(ground: Ground, crosswalks: Iterable[Any]) -> bytes:
    """Return the file for the client, empty without pavements.

    ``crosswalks``: ``carla.Map.get_crosswalks()``, closed outlines one after the other.
    """
    return pack(mesh(ground, crosswalks)) if walkable(ground) else b""


def mesh(ground: Ground, crosswalks: Iterable[Any]) -> Polygons:
    """Return pavements as strips along the kerbs, joined edge to edge by crosswalks."""
    rings = [_Strip(ring) for ring in ground.rings if ring.pavement >= MIN_PAVEMENT]
    bridges = []
    for outline in _outlines(crosswalks):
        ends = _kerb_edges(outline, rings)
        if ends is not None and all(rings[ring].reserve(low, high) for ring, low, high in ends):
            bridges.append(ends)
    result = Polygons()
    for ring in rings:
        ring.lay(result)
    for (ring_a, low_a, high_a), (ring_b, low_b, high_b) in bridges:
        a, b = rings[ring_a].corners(low_a, high_a), rings[ring_b].corners(low_b, high_b)
        if a is not None and b is not None:
            # Both kerbs have the road on their right, so they run in opposite directions.
            result.add([a[0], a[1], b[0], b[1]], CROSSWALK)
    return result


class _Strip:
    """The pavement along a kerb line."""

    def __init__(self, ring: Ring) -> None:
        self.points = offset(ring.points, MARGIN)
        self.width = ring.pavement - 2.0 * MARGIN
        closed = np.concatenate([self.points, self.points[:1]])
        self._at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed[:, :2], axis=0), axis=1))])
        self._closed = closed
        self.length = float(self._at[-1])
        self._low, self._high = closed[:, :2].min(0) - MAX_KERB_DISTANCE, closed[:, :2].max(0) + MAX_KERB_DISTANCE
        self._reserved: list[tuple[float, float]] = []
        self._index: dict[float, int] = {}  # vertex by position along the line

    def nearest(self, point: np.ndarray) -> tuple[float, float]:
        """Return the distance of a point from the kerb (m, inf if it is not near) and its position along it (m)."""
        if ((point < self._low) | (point > self._high)).any():
            return np.inf, 0.0
        a, b = self._closed[:-1, :2], self._closed[1:, :2]
        along = b - a
        share = np.clip(((point - a) * along).sum(1) / np.maximum((along**2).sum(1), 1e-12), 0.0, 1.0)
        away = np.linalg.norm(a + share[:, None] * along - point, axis=1)
        k = int(np.argmin(away))
        return float(away[k]), float(self._at[k] + share[k] * (self._at[k + 1] - self._at[k]))

    def reserve(self, low: float, high: float) -> bool:
        """Reserve a straight edge between two positions; return False if it overlaps that of another crosswalk."""
        if any(low < b + MIN_EDGE and high > a - MIN_EDGE for a, b in self._reserved):
            return (low, high) in self._reserved
        self._reserved.append((low, high))
        return True

    def lay(self, result: Polygons) -> None:
        """Add the strip's polygons."""
        fixed = sorted({place for pair in self._reserved for place in pair})
        places = list(fixed)
        for place in self._at[:-1].tolist():
            inside = any(low - MIN_EDGE < place < high + MIN_EDGE for low, high in self._reserved)
            if not inside and all(abs(place - other) > MIN_EDGE for other in places[-3:] + fixed):
                places.append(place)
        places.sort()
        positions: list[float] = []
        for a, b in zip(places, [*places[1:], places[0] + self.length], strict=True):
            positions.append(a)
            if not any(abs(a - low) < 1e-9 for low, _ in self._reserved):
                parts = int(np.ceil((b - a) / MAX_EDGE))
                positions += [a + (b - a) * k / parts for k in range(1, parts)]
        outer = np.stack(
            [np.interp(np.mod(positions, self.length), self._at, self._closed[:, k]) for k in range(3)], axis=1
        )
        inner = _without_loops(outer, offset(outer, self.width))
        first = len(result.vertices)
        count = len(positions)
        for line in (outer, inner):
            result.vertices += [(float(x), float(y), float(z) + KERB) for x, y, z in line]
        merged = _merge_equal(inner)
        for k in range(count):
            after = (k + 1) % count
            corners = [first + k, first + after, first + count + merged[after], first + count + merged[k]]
            result.add(corners, SIDEWALK)
        self._index = {place: first + k for k, place in enumerate(positions)}

    def corners(self, low: float, high: float) -> tuple[int, int] | None:
        """Return the vertices at the ends of a reserved edge, ``None`` if it was not reserved."""
        a, b = self._index.get(low), self._index.get(high)
        return None if a is None or b is None else (a, b)


def _without_loops(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the inner line without loops in tight bends, by merging neighbours that are in the wrong order."""
    inner = inner.copy()
    for _ in range(8):
        along = np.roll(outer, -1, axis=0)[:, :2] - outer[:, :2]
        is_reversed = ((np.roll(inner, -1, axis=0)[:, :2] - inner[:, :2]) * along).sum(1) < 0.0
        if not is_reversed.any():
            break
        for k in np.flatnonzero(is_reversed).tolist():
            after = (k + 1) % len(inner)
            inner[[k, after]] = (inner[k] + inner[after]) / 2.0
    return inner


def _merge_equal(line: np.ndarray) -> list[int]:
    """Return for every vertex the first vertex of its run of equal ones."""
    first = list(range(len(line)))
    for k in range(1, len(line)):
        if np.linalg.norm(line[k, :2] - line[first[k - 1], :2]) < 1e-6:
            first[k] = first[k - 1]
    return first


def _outlines(crosswalks: Iterable[Any]) -> list[np.ndarray]:
    """Split a list of points into outlines of four corners, f64 (4, 2); each outline ends with its first point."""
    outlines: list[np.ndarray] = []
    points: list[tuple[float, float]] = []
    for place in crosswalks:
        point = (place.x, place.y)
        if points and np.hypot(point[0] - points[0][0], point[1] - points[0][1]) < 1e-3:
            outlines.append(np.array(points))
            points = []
        else:
            points.append(point)
    return [outline for outline in outlines if len(outline) == 4]


def _kerb_edges(outline: np.ndarray, rings: list[_Strip]) -> list[tuple[int, float, float]] | None:
    """Return the two kerb edges that a crosswalk joins (ring, from, to), ``None`` if it does not join two kerbs."""
    best: tuple[float, list[tuple[int, float, float]]] | None = None
    for turn in (0, 1):
        total, ends = 0.0, []
        for k in (turn, turn + 2):
            pair = outline[[k, (k + 1) % 4]]
            nearest = _nearest_kerb_edge(pair, rings)
            if nearest is None:
                break
            total += nearest[0]
            ends.append(nearest[1])
        if len(ends) == 2 and (best is None or total < best[0]):
            best = total, ends
    return None if best is None else best[1]


def _nearest_kerb_edge(pair: np.ndarray, rings: list[_Strip]) -> tuple[float, tuple[int, float, float]] | None:
    """Return the kerb edge nearest to two corners f64 (2, 2): summed distance (m), and ring, from, to."""
    best = None
    for number, ring in enumerate(rings):
        (away_a, a), (away_b, b) = ring.nearest(pair[0]), ring.nearest(pair[1])
        low, high = min(a, b), max(a, b)
        if max(away_a, away_b) > MAX_KERB_DISTANCE or not MIN_EDGE < high - low < MAX_CROSSWALK_WIDTH:
            continue
        if best is None or away_a + away_b < best[0]:
            best = away_a + away_b, (number, low, high)
    return best


def _area(points: Sequence[tuple[float, ...]]) -> float:
    following = [*points[1:], points[0]] if points else []
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(points, following, strict=True)) / 2.0


# The file ---------------------------------------------------------------------------------------------------------


def pack(polygons: Polygons) -> bytes:
    """Return Detour's one-tile file. Raise ``ValueError`` for more vertices than a tile can hold."""
    vertices = np.array(polygons.vertices, np.float32)[:, [0, 2, 1]]
    if len(vertices) > 0xFFFE or len(polygons.polygons) > 0x7FFE:
        raise ValueError(f"{len(vertices)} vertices of pavement: a navigation mesh holds at most 65534")
    low, high = vertices.min(0) - 0.5, vertices.max(0) + 0.5
    neighbours = _neighbours(polygons.polygons)
    links = sum(other > 0 for row in neighbours for other in row)
    body, details, triangles = bytearray(), bytearray(), bytearray()
    for chosen, near, area in zip(polygons.polygons, neighbours, polygons.areas, strict=True):
        count = len(chosen)
        padding = [0] * (CORNERS - count)
        body += struct.pack("<I12HHBB", 0xFFFFFFFF, *chosen, *padding, *near, *padding, 1 << area, count, area)
        details += struct.pack("<IIBBxx", 0, len(triangles) // 4, 0, count - 2)
        for k in range(2, count):  # a fan; the last byte marks the edges that are the polygon's own
            edges = 1 << 2 | (1 if k == 2 else 0) | (1 << 4 if k == count - 1 else 0)
            triangles += bytes((0, k - 1, k, edges))
    scale = 65000.0 / float((high - low).max())
    tree = _tree(vertices, polygons.polygons, low, scale)
    counts = (len(polygons.polygons), len(vertices), links, len(polygons.polygons), 0, len(triangles) // 4)
    magic = int.from_bytes(b"DNAV", "big")
    header = struct.pack(
        "<5iI9i3f6ff", magic, VERSION, 0, 0, 0, 0, *counts, len(tree) // 16, 0, len(polygons.polygons),
        HEIGHT, RADIUS, CLIMB, *low, *high, scale,
    )  # fmt: skip
    tile = header + vertices.tobytes() + bytes(body) + bytes(12 * links) + bytes(details) + bytes(triangles) + tree
    bits = max(1, (len(polygons.polygons) - 1).bit_length())
    extent = high - low
    mset = struct.pack("<3i5f2i", int.from_bytes(b"MSET", "big"), 1, 1, *low, extent[0], extent[2], 1, 1 << bits)
    return mset + struct.pack("<Ii", 1 << bits, len(tile)) + tile


def _neighbours(polygons: list[list[int]]) -> list[list[int]]:
    """Return for every edge the number of the neighbouring polygon, counted from one; 0 if there is none."""
    owner: dict[tuple[int, int], int] = {}
    for number, chosen in enumerate(polygons):
        for a, b in zip(chosen, [*chosen[1:], chosen[0]], strict=True):
            owner[a, b] = number + 1
    return [
        [owner.get((b, a), 0) for a, b in zip(chosen, [*chosen[1:], chosen[0]], strict=True)] for chosen in polygons
    ]


def _tree(vertices: np.ndarray, polygons: list[list[int]], low: np.ndarray, scale: float) -> bytes:
    """Return Detour's tree of boxes in depth-first order: leaves hold their polygon, inner nodes the skip offset."""
    boxes = np.array([[vertices[chosen].min(0), vertices[chosen].max(0)] for chosen in polygons])
    whole = np.clip((boxes - low) * scale, 0.0, 65535.0).astype(np.int64)
    whole[:, 1] += 1
    nodes: list[tuple[np.ndarray, int]] = []

    def descend(chosen: np.ndarray) -> None:
        box = np.concatenate([whole[chosen, 0].min(0), whole[chosen, 1].max(0)])
        if len(chosen) == 1:
            nodes.append((box, int(chosen[0])))
            return
        here = len(nodes)
        nodes.append((box, 0))
        axis = int(np.argmax(box[3:] - box[:3]))
        order = chosen[np.argsort(whole[chosen, 0, axis] + whole[chosen, 1, axis], kind="stable")]
        descend(order[: len(order) // 2])
        descend(order[len(order) // 2 :])
        nodes[here] = box, here - len(nodes)

    descend(np.arange(len(polygons)))
    return b"".join(struct.pack("<6Hi", *box.tolist(), value) for box, value in nodes)
