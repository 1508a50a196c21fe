"""Colours of walls: within a façade they differ by half of what they do in the simulator image.

A generator gives plain walls patches of rust, moss and chalk. Here the chroma of buildings moves towards its own mean
around, and half of what the simulator image has beyond its mean there: as for contrasts (``contrasts.py``), the mean is
the generator's and the differences are the simulator's. Small differences and brightness are not changed.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.renderer.postprocessing.contrasts import AROUND, LEAST_SHARE

_SHARE, _MUTED = 0.8, 0.5  # of the way to the wanted chroma; of the simulator's differences
_TOLERATED = 3.0  # of 255, difference from the wanted chroma
_REDUCTION = 4  # px of the image per pixel of what is computed: colours are coarse
_WALLS = np.uint8(255) * (CARLA_TO_CHANNEL == Channel.BUILDING)  # u8 (256,), by tag
_LEAST_KNOWN = np.float32(0.05)  # weight of what is computed around a pixel from which on it says something
#: What a unit of each chroma adds to R, G and B (ITU-R BT.601).
_RED, _GREEN, _BLUE = np.float32(1.403), (np.float32(-0.714), np.float32(-0.344)), np.float32(1.773)


def even_walls(image: np.ndarray, tag: np.ndarray, simulated: np.ndarray, daylight: float = 1.0) -> None:
    """Even out the chroma of buildings, in place.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        simulated: u8 (H, W, 3), the simulator image, or one of half that size.
        daylight: 1 by day to 0 by night, when lamps have colours.
    """
    height, width = image.shape[:2]
    walls = cv2.LUT(np.ascontiguousarray(tag[:height, :width]), _WALLS)
    _, top, _, high = cv2.boundingRect(walls)
    if daylight <= 0.0 or high < _REDUCTION or width < _REDUCTION:
        return
    rows = slice(top, top + high)
    size = width // _REDUCTION, high // _REDUCTION
    theirs = simulated[top * simulated.shape[0] // height : (top + high) * simulated.shape[0] // height]
    if not len(theirs):
        return
    # of pixels that show nothing but wall: colours beside it would leave their complements on it
    is_wall = cv2.resize(walls[rows], size, interpolation=cv2.INTER_AREA) == 255
    own, wanted = (_small(each, size) for each in (image[rows], theirs))
    known = np.empty((size[1], size[0], 5), np.float32)
    _gather(own, wanted, is_wall, known)
    side = round(AROUND * size[0]) | 1
    change = np.empty((size[1], size[0], 3), np.float32)
    _compare(known, cv2.boxFilter(known, cv2.CV_32F, (side, side)), np.float32(_SHARE * daylight), change)
    _add(image[rows], walls[rows], cv2.resize(change, (width, high), interpolation=cv2.INTER_LINEAR))


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    image = np.zeros((8, 8, 3), np.uint8)
    even_walls(image, np.full((8, 8), Tag.BUILDING, np.uint8), image.copy())


def _small(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``image`` u8 (H, W, 3) reduced to ``size``, in Y, Cr and Cb."""
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2YCrCb)


@numba.njit(**kernels.FAST)
def _gather(own, theirs, is_wall, known):  # type: ignore[no-untyped-def]
    """Write to ``known`` f32 (h, w, 5) where it ``is_wall``: the chroma of ``own``, that of ``theirs``, and 1."""
    for y in range(known.shape[0]):
        for x in range(known.shape[1]):
            wall = np.float32(is_wall[y, x])
            for c in range(2):
                known[y, x, c] = wall * np.float32(own[y, x, c + 1])
                known[y, x, c + 2] = wall * np.float32(theirs[y, x, c + 1])
            known[y, x, 4] = wall


@numba.njit(**kernels.FAST)
def _compare(known, means, share, change):  # type: ignore[no-untyped-def]
    """Write to ``change`` f32 (h, w, 3) what Cr and Cb lack, times how much is ``known``, and that."""
    tolerated, muted, zero = np.float32(_TOLERATED), np.float32(_MUTED), np.float32(0.0)
    for y in range(known.shape[0]):
        for x in range(known.shape[1]):
            count = means[y, x, 4]
            is_known = known[y, x, 4] > zero and count >= np.float32(LEAST_SHARE)
            change[y, x, 2] = np.float32(is_known)
            for c in range(2):
                change[y, x, c] = zero
                if is_known:
                    lack = (means[y, x, c] - muted * means[y, x, c + 2]) / count
                    lack += muted * known[y, x, c + 2] - known[y, x, c]
                    change[y, x, c] = share * (lack - min(max(lack, -tolerated), tolerated))


@numba.njit(**kernels.FAST)
def _add(image, walls, change):  # type: ignore[no-untyped-def]
    """Add ``change`` to ``image`` u8 (H, W, 3) where ``walls`` u8 (H, W) is not 0.

    ``change``: f32 (H, W, 3), of Cr and Cb, each times its weight, and that weight.
    """
    zero, half, most = np.float32(0.0), np.float32(0.5), np.float32(255.0)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            weight = change[y, x, 2]
            if walls[y, x] == 0 or weight < _LEAST_KNOWN:
                continue
            red, blue = change[y, x, 0] / weight, change[y, x, 1] / weight
            added = _RED * red, _GREEN[0] * red + _GREEN[1] * blue, _BLUE * blue
            for c in range(3):
                image[y, x, c] = np.uint8(min(max(np.float32(image[y, x, c]) + added[c] + half, zero), most))
