"""No stains: what is painted stays near the colour and the brightness that it was asked for.

A painter that was trained on few streets leaves a red or blue patch on asphalt now and then, which no street has, a
white disc in a dark window, a white stripe on a car's black pillar. What follows a guide is asked for its tint and, by
its sketch, for its luminance; ground without a guide for its style's tint. The graph's memory is not touched.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel

_FREE = 6.0, 24.0  # of 255: differences of red and blue from green beyond what was asked for; of ground, of all else
_LEVEL = 0.5  # luminance for a level of sketch: the slope of what is painted in the towns
_FREE_LIGHT = 45.0  # of 255: luminance off that, which 99 of 100 pixels keep
_KEPT = 0.1  # of what goes beyond
_GROUND = np.isin(CARLA_TO_CHANNEL, (Channel.ROAD, Channel.ROAD_LINE, Channel.SIDEWALK))


def clean(picture: np.ndarray, tag: np.ndarray, guide: np.ndarray | None, style: np.ndarray) -> None:
    """Take stains from ``picture``, in place: of hue, whose luminance stays, from ground and what has a guide's tint;
    of luminance from what has its sketch as well.

    Args:
        picture: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W), what it was painted from.
        guide: u8, at least (H, W, 4): tint and, every other pixel, sketch that it was painted after, 0: none; None: no
            guide.
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
    on_ground, elsewhere = np.float32(_FREE[0]), np.float32(_FREE[1])
    going, level, light = np.float32(1.0 - _KEPT), np.float32(_LEVEL), np.float32(_FREE_LIGHT)
    weights = np.float32(0.299), np.float32(0.587), np.float32(0.114)  # of luminance (Rec. 601)
    none, half, most = np.float32(0.0), np.float32(0.5), np.float32(255.0)
    height, width = picture.shape[:2]
    for i in range(height):
        for j in range(width):
            here = tag[i, j]
            told = guided and (guide[i, j, 0] | guide[i, j, 1] | guide[i, j, 2]) != 0
            if not (told or ground[here]):
                continue
            r, g, b = np.float32(picture[i, j, 0]), np.float32(picture[i, j, 1]), np.float32(picture[i, j, 2])
            if told:
                x, y, z = np.float32(guide[i, j, 0]), np.float32(guide[i, j, 1]), np.float32(guide[i, j, 2])
            else:
                x, y, z = tints[here, 0], tints[here, 1], tints[here, 2]
            red, blue = (r - g) - (x - y), (b - g) - (z - y)
            free = on_ground if ground[here] else elsewhere
            away = max(abs(red), abs(blue))
            less = going * (away - free) / away if away > free else none
            red, blue = less * red, less * blue
            back = weights[0] * red + weights[2] * blue  # to all three: luminance stays
            if told and guide[i & ~1, j & ~1, 3]:
                asked = level * (np.float32(guide[i & ~1, j & ~1, 3]) - np.float32(128.0))
                lighter = weights[0] * (r - x) + weights[1] * (g - y) + weights[2] * (b - z) - asked
                if abs(lighter) > light:
                    back -= going * (lighter - light if lighter > none else lighter + light)
            if back or less:
                picture[i, j, 0] = np.uint8(min(max(r - red + back + half, none), most))
                picture[i, j, 1] = np.uint8(min(max(g + back + half, none), most))
                picture[i, j, 2] = np.uint8(min(max(b - blue + back + half, none), most))
