"""No stains on the ground: its painted hue stays near the one that it was asked for.

A painter that was trained on few streets leaves a red or blue patch on asphalt now and then, which no street has.
Luminance stays what was painted, and the graph's memory is not touched.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel

_FREE = 6.0  # of 255: differences of red and blue from green that ground may have beyond what was asked for
_KEPT = 0.2  # of what goes beyond that
_GROUND = np.isin(CARLA_TO_CHANNEL, (Channel.ROAD, Channel.ROAD_LINE, Channel.SIDEWALK))


def clean(picture: np.ndarray, tag: np.ndarray, guide: np.ndarray | None, style: np.ndarray) -> None:
    """Take stains from the roads and pavements of ``picture``, in place.

    Args:
        picture: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W), what it was painted from.
        guide: u8, at least (H, W, 4): tint and sketch that it was painted after, tint 0: none; None: no guide.
        style: f32 (CHANNELS, 3), -0.5..0.5: the tints without a guide.
    """
    guided = guide is not None
    tints = (255.0 * (style[CARLA_TO_CHANNEL] + 0.5)).astype(np.float32)
    _clean(picture, tag, guide if guided else picture, guided, tints, _GROUND)


def compile_kernels() -> None:
    """Do so before they are needed, for planes in messages (writable) and in shared memory (not)."""
    picture, tag, guide = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), np.zeros((1, 1, 4), np.uint8)
    for writable in (True, False):
        tag.flags.writeable = writable
        for each in (guide, None):
            clean(picture, tag, each, np.zeros((CHANNELS, 3), np.float32))


@njit(cache=True, nogil=True, error_model="numpy")
def _clean(picture, tag, guide, guided, tints, ground):  # type: ignore[no-untyped-def]
    """``clean``, of tints f32 (tags, 3), 0..255, and whether a tag is ``ground`` bool (tags,)."""
    free, going = np.float32(_FREE), np.float32(1.0 - _KEPT)
    weights = np.float32(0.299), np.float32(0.114)  # of red and blue in luminance (Rec. 601)
    none, half, most = np.float32(0.0), np.float32(0.5), np.float32(255.0)
    height, width = picture.shape[:2]
    for i in range(height):
        for j in range(width):
            here = tag[i, j]
            if not ground[here]:
                continue
            r, g, b = np.float32(picture[i, j, 0]), np.float32(picture[i, j, 1]), np.float32(picture[i, j, 2])
            x, y, z = tints[here, 0], tints[here, 1], tints[here, 2]
            if guided and (guide[i, j, 0] or guide[i, j, 1] or guide[i, j, 2]):
                x, y, z = np.float32(guide[i, j, 0]), np.float32(guide[i, j, 1]), np.float32(guide[i, j, 2])
            red, blue = (r - g) - (x - y), (b - g) - (z - y)
            away = max(abs(red), abs(blue))
            if away > free:
                less = going * (away - free) / away
                red, blue = less * red, less * blue
                back = weights[0] * red + weights[1] * blue + half  # to all three: luminance stays
                picture[i, j, 0] = np.uint8(min(max(r - red + back, none), most))
                picture[i, j, 1] = np.uint8(min(max(g + back, none), most))
                picture[i, j, 2] = np.uint8(min(max(b - blue + back, none), most))
