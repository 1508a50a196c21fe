"""Window panes: where the simulator image is darker than the wall around, the generated image is as much darker.

The generator fades the windows of sunlit walls, and makes white blobs of the goods in a shop window. By day a pane is
dark, whatever is behind it. Here it keeps the share of its surroundings' brightness that it has in the simulator image.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from bridge.tags import Tag
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel

#: Share of its surroundings' brightness in the simulator image below which a pixel begins to be a pane, and by how much
#: lower it is one entirely: bars and shadows of eaves are brighter.
_DARK, _SOFT = np.float32(0.75), np.float32(0.2)
_FREE = np.float32(8.0)  # of 255, by which it may be brighter than asked for
_WIDTH, _SIDE = 128, 31  # px of the small image that means are computed in, and side of the square that they cover
_LENS = 0.7  # px, of the blur that a lens has: the simulator image has none, and its outlines have steps
_IS_WALL = (CARLA_TO_CHANNEL == Channel.BUILDING).astype(np.uint8) * np.uint8(255)
_JIT = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy"}


def dim_panes(image: np.ndarray, tag: np.ndarray, simulated: np.ndarray) -> None:
    """Darken what is a pane in ``simulated``, in place.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        simulated: u8 (H, W, 3), the simulator image. Nothing happens if it has another size.
    """
    if simulated.shape != image.shape:
        return
    height, width = image.shape[:2]
    wall = cv2.LUT(tag[:height, :width], _IS_WALL)
    own, theirs = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, simulated))
    theirs = cv2.GaussianBlur(theirs, (5, 5), _LENS)
    own_mean, their_mean, share = (_means(each, wall) for each in (own, theirs, wall))
    around, gain = 255.0 * their_mean / np.maximum(share, 1.0), own_mean / np.maximum(their_mean, 1.0)
    _dim(image, wall, own, theirs, *(cv2.resize(each, (width, height)) for each in (around, gain)))


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    image = np.zeros((1, 1, 3), np.uint8)
    dim_panes(image, np.full((1, 1), Tag.BUILDING, np.uint8), image.copy())


def _means(plane: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Return local means of ``plane`` u8 (H, W) where ``wall`` is 255, 0 elsewhere, f32 of ``_WIDTH`` columns."""
    height, width = plane.shape
    size = min(_WIDTH, width), max(height * min(_WIDTH, width) // width, 1)
    small = cv2.resize(cv2.bitwise_and(plane, wall), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.boxFilter(small, cv2.CV_32F, (_SIDE, _SIDE)))


@numba.njit(**_JIT)
def _dim(image, wall, own, theirs, around, gain):  # type: ignore[no-untyped-def]
    """Do what ``dim_panes`` does, from luminances u8 (H, W).

    ``around`` f32 (H, W): local mean of ``theirs``; ``gain`` f32 (H, W): that of ``own`` over it.
    """
    height, width = own.shape
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    for y in range(height):
        for x in range(width):
            if wall[y, x] == 0:
                continue
            dark, mean = np.float32(theirs[y, x]), around[y, x]
            share = min((_DARK * mean - dark) / (_SOFT * max(mean, one)), one)
            most, now = dark * gain[y, x] + _FREE, np.float32(own[y, x])
            if share <= zero or now <= most:
                continue
            factor = one - share * (one - most / now)
            for c in range(3):
                image[y, x, c] = np.uint8(np.float32(image[y, x, c]) * factor + half)
