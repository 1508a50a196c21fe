"""What streets have on their asphalt: patches and trenches; and places for what ``scenery.road_fittings`` puts there.

It all has the tag of a road.
"""

from __future__ import annotations

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, RGB, Mesh, quad_strip
from neuralsim.town.core.polylines import arc_lengths, interpolate, simplified_band
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import Network

_PATCH_LIFT = 0.003  # m above the asphalt, below markings
_MARGIN = 4.0  # m at both ends of a lane without any of it
_PATCHES, _TRENCHES = 40.0, 90.0  # m of lane per each, on average
_BESIDE_LINES = 0.25  # m from the edge of a lane: on hills, markings are not exactly above the asphalt
_NEW, _OLD = (58, 58, 60), (94, 93, 92)  # RGB of younger and of older asphalt
_SHARE_OF_NEW = 0.75


def road_surface(network: Network) -> list[Mesh]:
    """Return the patches and trenches of all streets in towns, seen from near by only."""
    parts = []
    for street, rng in streets(network, 0):
        parts += [street.patch(rng) for _ in range(rng.poisson(street.length / _PATCHES))]
        parts += [street.trench(rng) for _ in range(rng.poisson(street.length / _TRENCHES))]
    return [part.with_level(NEAR) for part in parts]


def streets(network: Network, what: int) -> list[tuple[Street, np.random.Generator]]:
    """Return the lanes of streets in towns, with random numbers of their own for each ``what``."""
    return [
        (Street(lane), np.random.default_rng([lane.road, lane.section, abs(lane.id), lane.id > 0, what]))
        for lane in network.lanes
        if lane.junction < 0 and lane.road_type == "town" and lane.length >= 4.0 * _MARGIN
    ]


class Street:
    """A lane that things are put on: ``length`` is that of its part away from junctions, m.

    They lie on the asphalt that is drawn, a band with fewer samples than the lane has.
    """

    def __init__(self, lane: Lane) -> None:
        keep, self.lane = simplified_band(lane.left, lane.right), lane
        self._left, self._right = lane.left[keep], lane.right[keep]
        self._at = arc_lengths(lane.centre)[keep]
        self._width = np.maximum(lane.width[keep], 0.1)
        self.length = lane.length - 2.0 * _MARGIN

    def pose(self, at: float, aside: float, half: float) -> tuple[float, float, float, float]:
        """Return where something flat and level lies that is ``half`` as long, m, so that no part of it is below the
        asphalt: x, y, z, m, and its yaw along the lane, degrees.

        ``at``: m along the lane, behind its margin; ``aside``: m to the right of its middle.
        """
        back, middle, ahead = self._spots(np.array([at - half, at, at + half]), aside, 0.0)
        x, y, z = middle.tolist()
        along = ahead - back
        return x, y, z + 0.5 * abs(float(along[2])), float(np.degrees(np.arctan2(along[1], along[0])))

    def half_width(self, at: float) -> float:
        """Return half of the lane's width ``at`` m along it, m."""
        return float(np.interp(_MARGIN + at, self._at, self._width)) / 2.0

    def patch(self, rng: np.random.Generator) -> Mesh:
        """Return a mended place."""
        begin, middle = rng.uniform(0.0, self.length), rng.uniform(-1.0, 1.0)
        end, half = begin + rng.uniform(1.2, 6.0), rng.uniform(0.35, 0.9)
        return self._patched(begin, min(end, self.length), middle - half, middle + half, rng)

    def trench(self, rng: np.random.Generator) -> Mesh:
        """Return the asphalt over a pipe: along the lane or across it."""
        begin = rng.uniform(0.0, self.length)
        if rng.random() < 0.4:
            return self._patched(begin, begin + rng.uniform(0.5, 0.9), -np.inf, np.inf, rng)
        end, side = min(begin + rng.uniform(8.0, 30.0), self.length), rng.choice((-1.0, 1.0)) * rng.uniform(0.4, 0.9)
        return self._patched(begin, end, side - 0.35, side + 0.35, rng)

    def _patched(self, begin: float, end: float, left: float, right: float, rng: np.random.Generator) -> Mesh:
        most = self.most_aside()
        left, right = max(left, -most), min(right, most)
        colour = _NEW if rng.random() < _SHARE_OF_NEW else _OLD
        if right <= left:
            return Mesh.empty()
        return self._quad(begin, end, left, right, colour)

    def most_aside(self) -> float:
        """Return how far from the lane's middle something may reach, m."""
        return float(self._width.min()) / 2.0 - _BESIDE_LINES

    def _quad(self, begin: float, end: float, left: float, right: float, colour: RGB) -> Mesh:
        """Return a band of the lane from ``begin`` to ``end`` m along it, ``left`` to ``right`` m from its middle."""
        bends = self._at - _MARGIN
        along = np.concatenate([[begin], bends[(bends > begin) & (bends < end)], [end]])
        one, other = (self._spots(along, aside, _PATCH_LIFT) for aside in (left, right))
        return quad_strip(one, other, Tag.ROAD, colour)

    def _spots(self, along: float | np.ndarray, aside: float | np.ndarray, lift: float) -> np.ndarray:
        """Return the points f64 (N, 3) ``along`` m behind the margin, ``aside`` m to the right of the lane's middle and
        ``lift`` m above it."""
        where = _MARGIN + np.atleast_1d(np.asarray(along, float))
        left, right = (interpolate(edge, self._at, where) for edge in (self._left, self._right))
        share = 0.5 + aside / np.interp(where, self._at, self._width)
        points = left + (right - left) * np.reshape(share, (-1, 1))
        points[:, 2] += lift
        return points
