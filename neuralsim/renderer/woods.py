"""Woods in place of what an edit turns into vegetation: crowns of several sizes instead of the outline of a house.

The trees stand on a lattice in the world, so they stay where they are from frame to frame. What rises above their
crowns becomes sky. In the guide each tree has a green of its own, and bunches of leaves that are bright above and dark
between, by cellular noise (Worley, SIGGRAPH 1996). All of it is on the surface of the house: depth and motion stay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge.ego_camera import EGO_CAMERA
from bridge.tags import Tag
from neuralsim.base import kernels

_SPACING = 7.0  # m, side of a cell of the lattice; each has one tree
_LEAST, _RANGE = 4.0, 5.0  # m, height of the lowest tree, and how much higher the highest is
_UNDERGROWTH = 3.2  # m, height between crowns
_BUNCHES = 3.1, 1.1  # m, sides of the cells of the noise in crowns: of boughs, and of bunches of leaves
_LEAF = 0.3  # m, side of a cell of the noise along their outline
_RAGGED = 0.7  # m, how far each of the noises moves the outline
_SKY, _VEGETATION = np.uint8(Tag.SKY), np.uint8(Tag.VEGETATION)
_EYE = float(EGO_CAMERA.z)  # m


class View(NamedTuple):
    """The camera of a frame."""

    pose: np.ndarray  # f64 (4, 4), world <- camera
    focal: float  # px
    cx: float  # px, principal point
    cy: float


def plant(
    before: np.ndarray, tag: np.ndarray, depth: np.ndarray, view: View, green: np.ndarray, guide: np.ndarray
) -> None:
    """Shape what became vegetation into a wood, in place: ``tag`` and ``guide``.

    Args:
        before: u8 (H, W), the tags before the edit.
        tag: u8 (H, W), after it; changed.
        depth: f32 (H, W), m.
        view: The camera, at the height of a driver over the ground that the trees stand on.
        green: f32 (3,), mean colour -0.5..0.5 of vegetation.
        guide: u8 (H, W, 4), changed.
    """
    before, depth = kernels.read_only(before), kernels.read_only(depth)
    _plant(before, tag, depth, view, (green.astype(np.float64) + 0.5) * 255.0, guide)


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    view, green = View(np.eye(4), 1.0, 0.5, 0.5), np.zeros(3, np.float32)
    tag, depth = np.zeros((1, 1), np.uint8), np.ones((1, 1), np.float32)
    plant(tag, tag.copy(), depth, view, green, np.zeros((1, 1, 4), np.uint8))


@njit(inline="always")
def _hash(i, j, k):  # type: ignore[no-untyped-def]
    """Return a number 0..1 of a cell."""
    n = np.uint32(i * 73856093) ^ np.uint32(j * 19349663) ^ np.uint32(k * 83492791)
    n = (n ^ (n >> np.uint32(13))) * np.uint32(1274126177)
    return np.float64((n ^ (n >> np.uint32(16))) & np.uint32(0xFFFF)) * (1.0 / 65535.0)


@njit(**kernels.EXACT)
def _tree(x, y):  # type: ignore[no-untyped-def]
    """Return the height in m of the crowns at ``x``, ``y`` m, and a number 0..1 of the tree that it belongs to."""
    u, v = x / _SPACING, y / _SPACING
    i0, j0 = int(np.floor(u - 0.5)), int(np.floor(v - 0.5))
    height, number = _UNDERGROWTH, 0.5
    for i in range(i0, i0 + 2):
        for j in range(j0, j0 + 2):
            size = _hash(i, j, 1)
            radius = 0.6 + 0.22 * size
            east, north = u - i - 0.35 - 0.3 * _hash(i, j, 2), v - j - 0.35 - 0.3 * _hash(i, j, 3)
            away = (east * east + north * north) / (radius * radius)
            if away < 1.0:
                top = _LEAST + _RANGE * _hash(i, j, 4)
                top -= (top - _UNDERGROWTH) * away
                if top > height:
                    height, number = top, _hash(i, j, 5)
    return height, number


@njit(**kernels.EXACT)
def _bunch(x, y, z, cell):  # type: ignore[no-untyped-def]
    """Return how bright leaves are at a point in m: -1 deep between bunches of size ``cell`` .. 1 on top of one."""
    u, v, w = x / cell, y / cell, z / cell
    i0, j0, k0 = int(np.floor(u - 0.5)), int(np.floor(v - 0.5)), int(np.floor(w - 0.5))
    nearest, up = 4.0, 0.0
    for i in range(i0, i0 + 2):
        for j in range(j0, j0 + 2):
            for k in range(k0, k0 + 2):
                east = u - i - 0.2 - 0.6 * _hash(i, j, k)
                north = v - j - 0.2 - 0.6 * _hash(j, k, i + 7)
                high = w - k - 0.2 - 0.6 * _hash(k, i, j + 3)
                away = east * east + north * north + high * high
                if away < nearest:
                    nearest, up = away, high
    return max(-1.0, min(1.0, 0.75 - 1.9 * nearest + 1.1 * up))


@njit(**kernels.EXACT)
def _plant(before, tag, depth, view, green, guide):  # type: ignore[no-untyped-def]
    pose, ground = view.pose, view.pose[2, 3] - _EYE
    height, width = tag.shape
    for x in range(width):
        aside = (x + 0.5 - view.cx) / view.focal
        is_open = True  # everything above in this column is sky, or beyond the image
        for y in range(height):
            if before[y, x] == tag[y, x] or tag[y, x] != _VEGETATION:
                is_open = is_open and tag[y, x] == _SKY
                continue
            up, d = -(y + 0.5 - view.cy) / view.focal, np.float64(depth[y, x])
            east = pose[0, 3] + d * (pose[0, 0] + pose[0, 1] * aside + pose[0, 2] * up)
            north = pose[1, 3] + d * (pose[1, 0] + pose[1, 1] * aside + pose[1, 2] * up)
            high = pose[2, 3] + d * (pose[2, 0] + pose[2, 1] * aside + pose[2, 2] * up) - ground
            crown, number = _tree(east, north)
            bough, bunch = _bunch(east, north, high, _BUNCHES[0]), _bunch(east, north, high, _BUNCHES[1])
            leaf = _hash(int(np.floor((east + north) / _LEAF)), int(np.floor(high / _LEAF)), 6)
            if is_open and high > crown + _RAGGED * (0.5 * bunch + leaf - 0.5):
                tag[y, x] = _SKY
                guide[y, x] = 0
                continue
            is_open = False
            shade = max(-1.0, min(1.0, 0.8 * bough + 0.7 * bunch + 0.5 * (high / max(crown, high) - 0.7)))
            tone = 0.85 + 0.3 * number
            guide[y, x, 0] = max(1, min(255, int(green[0] * tone * (0.85 + 0.1 * number))))
            guide[y, x, 1] = max(1, min(255, int(green[1] * tone)))
            guide[y, x, 2] = max(1, min(255, int(green[2] * tone * (0.95 - 0.1 * number))))
            guide[y, x, 3] = 0 if (x | y) & 1 else max(1, int(128.5 + 127.0 * shade))
