"""What streets have on their asphalt: covers of manholes, gullies at the kerb, patches, and trenches of pipes below.

Dimensions follow EN 124, which a cover of 0.6 m of clear opening and its frame meet. It all has the tag of a road.
"""

from __future__ import annotations

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, RGB, Mesh, merge
from neuralsim.town.core.polylines import arc_lengths, interpolate
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import ASPHALT, Network

_SEAM_LIFT, _PATCH_LIFT, _IRON_LIFT = 0.002, 0.004, 0.006  # m above the asphalt, all below markings
_MARGIN = 4.0  # m at both ends of a lane without any of it
_COVERS, _PATCHES, _TRENCHES, _GULLIES = 30.0, 34.0, 90.0, 24.0  # m of lane per each, on average
_COVER = np.array([0.17, 0.30, 0.345, 0.39])  # m, radii: of its middle, its rim, the gap around it, its frame
_CORNERS = 12  # of a cover
_SEAM = 0.03  # m, width of the bitumen around a patch
_BESIDE_LINES = 0.25  # m from the edge of a lane to a patch: on hills, meshes are not exact enough to lie below lines
_GULLY = 0.5, 0.36  # m, length along the kerb and width
_BARS = 4  # of a gully
_GAP, _BITUMEN, _BAR = (26, 26, 27), (54, 54, 56), (92, 90, 87)
#: RGB of a cover's middle, rim, the gap around it and its frame: of iron, worn bright or dark; filled with concrete.
_IRON = (
    ((74, 72, 69), (62, 60, 58), _GAP, (88, 86, 83)),
    ((52, 51, 50), (46, 45, 44), _GAP, (66, 65, 63)),
    ((118, 115, 110), (64, 62, 60), _GAP, (72, 70, 68)),
)
_NEW, _OLD = (56, 56, 58), (104, 103, 101)  # RGB of younger and of older asphalt
_SHARE_OF_NEW = 0.65


def road_surface(network: Network) -> list[Mesh]:
    """Return covers, gullies, patches and trenches of all streets in towns, seen from near by only."""
    outermost: dict[tuple[int, int, bool], int] = {}
    for lane in [*network.lanes, *network.other_lanes]:
        if lane.kind in ASPHALT or lane in network.lanes:
            side = lane.road, lane.section, lane.id > 0
            outermost[side] = max(outermost.get(side, 0), abs(lane.id))
    parts = []
    for lane in network.lanes:
        if lane.junction >= 0 or lane.road_type != "town" or lane.length < 4.0 * _MARGIN:
            continue
        rng = np.random.default_rng([lane.road, lane.section, abs(lane.id), lane.id > 0])
        street = _Street(lane)
        parts += [street.patch(rng) for _ in range(rng.poisson(street.length / _PATCHES))]
        parts += [street.trench(rng) for _ in range(rng.poisson(street.length / _TRENCHES))]
        parts += [street.cover(rng) for _ in range(rng.poisson(street.length / _COVERS))]
        if lane.right_marking is None and abs(lane.id) == outermost[lane.road, lane.section, lane.id > 0]:
            parts += [
                street.gully(at) for at in np.arange(rng.uniform(0.0, _GULLIES), street.length, _GULLIES).tolist()
            ]
    return [part.with_level(NEAR) for part in parts]


class _Street:
    """A lane that things are put on: ``length`` is that of its part away from junctions, m."""

    def __init__(self, lane: Lane) -> None:
        self._lane, self._at = lane, arc_lengths(lane.centre)
        self._across = (lane.right - lane.left) / np.maximum(lane.width, 0.1)[:, None]
        self.length = lane.length - 2.0 * _MARGIN

    def cover(self, rng: np.random.Generator) -> Mesh:
        """Return the cover of a manhole somewhere near the middle of the lane."""
        middle = self._spots(rng.uniform(0.0, self.length), rng.uniform(-0.9, 0.9))[0]
        angle = 2.0 * np.pi * np.arange(_CORNERS) / _CORNERS
        circle = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(_CORNERS)])
        colours = _IRON[rng.integers(len(_IRON))]
        rings = middle + np.concatenate([[0.0], _COVER])[:, None, None] * circle
        return merge(
            [_ring(inner, outer, colour) for inner, outer, colour in zip(rings, rings[1:], colours, strict=False)]
        )

    def gully(self, at: float) -> Mesh:
        """Return the grate at the kerb through which rain runs off, ``at`` m along the lane."""
        half = float(self._lane.width.mean()) / 2.0 - 0.08
        long, wide = _GULLY
        parts = [self._quad(at, at + long, half - wide, half, _GAP, _IRON_LIFT)]
        step = long / _BARS
        for k in range(_BARS):
            begin = at + (k + 0.25) * step
            parts.append(self._quad(begin, begin + 0.5 * step, half - wide, half, _BAR, _IRON_LIFT + 0.001))
        return merge(parts)

    def patch(self, rng: np.random.Generator) -> Mesh:
        """Return a mended place with bitumen around it."""
        begin, middle = rng.uniform(0.0, self.length), rng.uniform(-1.0, 1.0)
        end, half = begin + rng.uniform(1.2, 6.0), rng.uniform(0.35, 0.9)
        return self._patched(begin, min(end, self.length), middle - half, middle + half, rng)

    def trench(self, rng: np.random.Generator) -> Mesh:
        """Return the asphalt over a pipe: along the lane or across it."""
        half = float(self._lane.width.mean()) / 2.0
        begin = rng.uniform(0.0, self.length)
        if rng.random() < 0.4:
            return self._patched(begin, begin + rng.uniform(0.5, 0.9), -half, half, rng)
        end, side = min(begin + rng.uniform(8.0, 30.0), self.length), rng.choice((-1.0, 1.0)) * rng.uniform(0.4, 0.9)
        return self._patched(begin, end, side - 0.35, side + 0.35, rng)

    def _patched(self, begin: float, end: float, left: float, right: float, rng: np.random.Generator) -> Mesh:
        most = float(self._lane.width.min()) / 2.0 - _BESIDE_LINES - _SEAM
        left, right = max(left, -most), min(right, most)
        if right <= left:
            return Mesh.empty()
        colour = _NEW if rng.random() < _SHARE_OF_NEW else _OLD
        seam = self._quad(begin - _SEAM, end + _SEAM, left - _SEAM, right + _SEAM, _BITUMEN, _SEAM_LIFT)
        return merge([seam, self._quad(begin, end, left, right, colour, _PATCH_LIFT)])

    def _quad(self, begin: float, end: float, left: float, right: float, colour: RGB, lift: float) -> Mesh:
        """Return a band of the lane from ``begin`` to ``end`` m along it, ``left`` to ``right`` m from its middle."""
        along = np.linspace(begin, end, max(2, int(np.ceil((end - begin) / 3.0)) + 1))
        vertices = np.concatenate([self._spots(along, left), self._spots(along, right)])
        vertices[:, 2] += lift
        count = len(along)
        k = np.arange(count - 1)
        triangles = np.concatenate([np.stack([k, k + 1, k + count], 1), np.stack([k + 1, k + 1 + count, k + count], 1)])
        return Mesh.of(vertices, triangles, Tag.ROAD, colour)

    def _spots(self, along: float | np.ndarray, aside: float) -> np.ndarray:
        """Return the points f64 (N, 3) ``along`` m behind the margin, ``aside`` m to the right of the lane's middle."""
        where = _MARGIN + np.atleast_1d(np.asarray(along, float))
        return interpolate(self._lane.centre + self._across * aside, self._at, where)


def _ring(inner: np.ndarray, outer: np.ndarray, colour: RGB) -> Mesh:
    """Return what is between two closed lines f64 (N, 3)."""
    count = len(inner)
    k, after = np.arange(count), np.roll(np.arange(count), -1)
    triangles = np.concatenate([np.stack([k, k + count, after], 1), np.stack([after, k + count, after + count], 1)])
    vertices = np.concatenate([inner, outer])
    vertices[:, 2] += _IRON_LIFT
    return Mesh.of(vertices, triangles, Tag.ROAD, colour)
