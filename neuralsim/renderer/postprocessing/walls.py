"""Walls: within a façade, contrasts are those of the simulator image.

The generator fades the windows of sunlit walls, makes white blobs of the goods in a shop window, and gives plain walls
dark streaks and pale patches. By day a pane is dark, whatever is behind it: here it keeps the share of its
surroundings' brightness that it has in the simulator image, and plain wall keeps near to its own.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.renderer.postprocessing.detail import soft_luminance

#: Share of its surroundings' brightness in the simulator image below which a pixel begins to be a pane, and by how much
#: lower it is one entirely: bars and shadows of eaves are brighter.
_DARK, _SOFT = np.float32(0.75), np.float32(0.2)
_FREE = np.float32(8.0)  # of 255, by which it may be brighter than asked for
#: Brightness of plain wall over the one asked for, at least and at most: else it would have streaks and patches.
_LEAST, _MOST = np.float32(0.9), np.float32(1.15)
_WIDTH = 128  # px of the small image that local means are computed in
_AROUND = 0.24  # side of the square that they cover, as a share of the width
_IS_BUILDING = (np.arange(256) == Tag.BUILDING).astype(np.uint8) * np.uint8(255)


def follow_walls(image: np.ndarray, tag: np.ndarray, simulated: np.ndarray, daylight: float = 1.0) -> None:
    """Darken what is a pane in ``simulated``, and even out what is plain wall there, in place.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        simulated: u8 (H, W, 3), the simulator image. Nothing happens if it has another size.
        daylight: 1 by day to 0 by night, when walls are dark beside lit windows.
    """
    if simulated.shape != image.shape or daylight <= 0.0:
        return
    height, width = image.shape[:2]
    building = cv2.LUT(tag[:height, :width], _IS_BUILDING)
    if not building.any():
        return
    own, theirs = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), soft_luminance(simulated)
    own_mean, their_mean, share = (_means(each, building) for each in (own, theirs, building))
    share = np.maximum(share / 255.0, 1e-3)
    around = their_mean / share
    gain = own_mean / share / np.maximum(around, 1.0)
    around, gain = (cv2.resize(each, (width, height)) for each in (around, gain))
    _follow(image, building, own, theirs, around, gain, np.float32(daylight))


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    image = np.zeros((1, 1, 3), np.uint8)
    follow_walls(image, np.full((1, 1), Tag.BUILDING, np.uint8), image.copy())


def _means(plane: np.ndarray, building: np.ndarray) -> np.ndarray:
    """Return local means f32 of ``plane`` u8 (H, W), taken as 0 where ``building`` is not 255, in a small image."""
    height, width = plane.shape
    size = min(_WIDTH, width), max(height * min(_WIDTH, width) // width, 1)
    small = cv2.resize(cv2.bitwise_and(plane, building), size, interpolation=cv2.INTER_AREA)
    side = round(_AROUND * size[0]) | 1
    return np.asarray(cv2.boxFilter(small, cv2.CV_32F, (side, side)))


@numba.njit(**kernels.FAST)
def _follow(image, building, own, theirs, around, gain, daylight):  # type: ignore[no-untyped-def]
    """Do what ``follow_walls`` does, from luminances u8 (H, W) and where ``building`` u8 (H, W) is not 0.

    ``around`` f32 (H, W): local mean of ``theirs``; ``gain`` f32 (H, W): that of ``own`` over it.
    """
    height, width = own.shape
    zero, half, one, most = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(255.0)
    for y in range(height):
        for x in range(width):
            if building[y, x] == 0:
                continue
            dark, mean = np.float32(theirs[y, x]), around[y, x]
            pane = min((_DARK * mean - dark) / (_SOFT * max(mean, one)), one)
            asked, now = gain[y, x] * dark, np.float32(own[y, x])
            least = _LEAST * min(asked, gain[y, x] * mean)  # nothing is brightened beyond its wall
            if pane > zero and now > asked + _FREE:
                factor = one - daylight * pane * (one - (asked + _FREE) / now)
            elif pane < zero and now < least:
                factor = one + daylight * min(-pane, one) * min(least / max(now, one) - one, one)
            elif pane < zero and now > _MOST * asked:
                factor = one - daylight * min(-pane, one) * (one - _MOST * asked / now)
            else:
                continue
            for c in range(3):
                image[y, x, c] = np.uint8(min(np.float32(image[y, x, c]) * factor + half, most))
