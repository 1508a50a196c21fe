"""Colour clamp: generated pixels stay near the colour and the brightness that was requested of them.

A generator that was trained on few streets leaves a red or blue patch on asphalt now and then, which no street has, a
white disc in a dark window, or a white stripe on a car's black pillar. A pixel with a guide has its tint requested and,
by its sketch, its luminance; ground without a guide has its style's tint requested. The graph's state is not touched.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.base.colour import LUMA
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, MOVERS, Channel

#: Tolerated error of red and blue minus green, of 255: on ground, on what is grey of buildings (plaster would have blue
#: stains and orange spots) and of vehicles and people (the side of a silver car would be as red as a lamp), elsewhere.
_GROUND_TOLERANCE, _WALL_TOLERANCE, _GREY_TOLERANCE, _TOLERANCE = 6.0, 10.0, 12.0, 24.0
_LEAF_TOLERANCE = 12.0  # the same of vegetation and grass: fog before woods would have red stains
#: A tint with less red and blue minus green is grey. By tag, the luminance below which what is grey has its own
#: tolerance: on vehicles what is brighter may be the glow of a lamp.
_GREY = np.float32(24.0)
_DULL = np.where(np.isin(CARLA_TO_CHANNEL, MOVERS), 80.0, 256.0).astype(np.float32)
#: Of a tolerance on dull movers, what is left in the dark, and the luminance from which on all of it is: on a black car
#: what is hardly red is a red streak.
_LEAST_OF_DULL, _BRIGHT = np.float32(0.35), np.float32(64.0)
_SKETCH_SLOPE = 0.5  # luminance per level of the sketch, as generated in the towns
_LUMINANCE_TOLERANCE = 45.0  # of 255; 99 of 100 pixels keep within it
#: Pixels per metre below which the generator, which works at half the size, begins to lose what moves: people, whose
#: heads have few pixels, up to some metres. At half of that, their tolerances are ``_LEAST`` of the others.
_SMALL = np.zeros(len(CARLA_TO_CHANNEL), np.float32)
_SMALL[CARLA_TO_CHANNEL == Channel.VEHICLE] = 30.0
_SMALL[np.isin(CARLA_TO_CHANNEL, (Channel.PERSON, Channel.CYCLE))] = 200.0
_LEAST = np.float32(0.2)
_NONE_SMALL = np.zeros_like(_SMALL)
_NO_DEPTH = np.zeros((1, 1), np.float32)
_KEPT = 0.1  # share of the error beyond the tolerance that stays
_IS_GROUND = np.isin(CARLA_TO_CHANNEL, (Channel.ROAD, Channel.ROAD_LINE, Channel.SIDEWALK))
_TOLERANCES = np.where(_IS_GROUND, _GROUND_TOLERANCE, _TOLERANCE).astype(np.float32)
_TOLERANCES[np.isin(CARLA_TO_CHANNEL, (Channel.VEGETATION, Channel.TERRAIN))] = _LEAF_TOLERANCE
_GREY_TOLERANCES = np.where(np.isin(CARLA_TO_CHANNEL, MOVERS), _GREY_TOLERANCE, _TOLERANCES).astype(np.float32)
_GREY_TOLERANCES[CARLA_TO_CHANNEL == Channel.BUILDING] = _WALL_TOLERANCE


def clamp_colour(
    image: np.ndarray,
    tag: np.ndarray,
    guide: np.ndarray | None,
    style: np.ndarray,
    depth: np.ndarray | None = None,
    focal: float = 1.0,
) -> None:
    """Clamp the colours of ``image`` to what was requested, in place.

    Hue is clamped on ground and where the guide has a tint; the luminance stays. Luminance is clamped where the guide
    has a sketch as well.

    Args:
        image: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W), the tags that the image was generated from.
        guide: u8, at least (H, W, 4): the tint and, at every other pixel, the sketch of the generator's guide, 0: none.
            None: no guide.
        style: f32 (CHANNELS, 3), -0.5..0.5: the tints without a guide.
        depth: f32, at least (H, W), m: what moves and is small keeps closer to what was requested. None: as all else.
        focal: Focal length, px.
    """
    has_guide = guide is not None
    tints = (255.0 * (style[CARLA_TO_CHANNEL] + 0.5)).astype(np.float32)
    _clamp(
        image, tag, guide if has_guide else image, has_guide, tints, _IS_GROUND, (_TOLERANCES, _GREY_TOLERANCES, _DULL),
        _NO_DEPTH if depth is None else depth, _NONE_SMALL if depth is None else _SMALL / np.float32(focal),
    )  # fmt: skip


def compile_kernels() -> None:
    """Compile the kernels ahead, for planes in messages (writable) and in shared memory (read-only)."""
    image, tag, guide = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), np.zeros((1, 1, 4), np.uint8)
    depth = np.ones((1, 1), np.float32)
    for writable in (True, False):
        tag.flags.writeable = depth.flags.writeable = writable
        for each in (guide, None):
            clamp_colour(image, tag, each, np.zeros((CHANNELS, 3), np.float32), depth)


@njit(**kernels.EXACT)
def _clamp(image, tag, guide, has_guide, tints, is_ground, tolerances, depth, per_metre):  # type: ignore[no-untyped-def]
    """Do what ``clamp_colour`` does.

    ``tints``: f32 (tags, 3), 0..255; ``is_ground``: bool (tags,); ``tolerances``: three f32 (tags,), in general, for
    what is grey, and the luminance up to which the latter counts; ``per_metre``: f32 (tags,), 1 over the depth from
    which on something is small, 0: never.
    """
    removed, slope = np.float32(1.0 - _KEPT), np.float32(_SKETCH_SLOPE)
    luminance_tolerance = np.float32(_LUMINANCE_TOLERANCE)
    weights = np.float32(LUMA[0]), np.float32(LUMA[1]), np.float32(LUMA[2])
    zero, half, one, most = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(255.0)
    height, width = image.shape[:2]
    for i in range(height):
        for j in range(width):
            here = tag[i, j]
            has_tint = has_guide and (guide[i, j, 0] | guide[i, j, 1] | guide[i, j, 2]) != 0
            if not (has_tint or is_ground[here]):
                continue
            r, g, b = np.float32(image[i, j, 0]), np.float32(image[i, j, 1]), np.float32(image[i, j, 2])
            if has_tint:
                x, y, z = np.float32(guide[i, j, 0]), np.float32(guide[i, j, 1]), np.float32(guide[i, j, 2])
            else:
                x, y, z = tints[here, 0], tints[here, 1], tints[here, 2]
            near = one
            if per_metre[here] > zero:
                near = min(max(np.float32(2.0) - per_metre[here] * depth[i, j], zero), one)
            strict = _LEAST + near * (one - _LEAST)
            red, blue = (r - g) - (x - y), (b - g) - (z - y)
            error, share, shift = max(abs(red), abs(blue)), zero, zero
            luminance = weights[0] * r + weights[1] * g + weights[2] * b
            dull = max(min(luminance / _BRIGHT, one), _LEAST_OF_DULL) if tolerances[2][here] < most else one
            if error > strict * dull * tolerances[1][here]:  # the smaller one
                is_grey = max(abs(x - y), abs(z - y)) < _GREY
                is_dull = is_grey and luminance < tolerances[2][here]
                tolerance = strict * (dull * tolerances[1][here] if is_dull else tolerances[0][here])
                share = removed * (error - tolerance) / error if error > tolerance else zero
                red, blue = share * red, share * blue
                shift = weights[0] * red + weights[2] * blue  # of all three channels, so that the luminance stays
            if has_tint and guide[i & ~1, j & ~1, 3]:
                requested = slope * (np.float32(guide[i & ~1, j & ~1, 3]) - np.float32(128.0))
                lighter = weights[0] * (r - x) + weights[1] * (g - y) + weights[2] * (b - z) - requested
                allowed = strict * luminance_tolerance
                if abs(lighter) > allowed:
                    beyond = lighter - allowed if lighter > zero else lighter + allowed
                    shift -= removed * beyond
            if shift or share:
                red, blue = (red, blue) if share else (zero, zero)
                image[i, j, 0] = np.uint8(min(max(r - red + shift + half, zero), most))
                image[i, j, 1] = np.uint8(min(max(g + shift + half, zero), most))
                image[i, j, 2] = np.uint8(min(max(b - blue + shift + half, zero), most))
