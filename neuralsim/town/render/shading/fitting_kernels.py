"""The compiled fittings of cars: badges and lettering of chrome, trim of bumpers, wipers.

They are functions of the position on a body, like its seams (``vehicle_detail_kernels``), and as soft as a pixel is
large.
"""

import numpy as np
from numba import njit

from neuralsim.town.assets.lit_bodies import (
    BELT,
    HALF_WIDTH,
    IS_VAN,
    LAMP_Z,
    LENGTH,
    NOSE,
    SILL,
    STYLE,
    TALL,
)
from neuralsim.town.render.raster_arrays import lean_options as options
from neuralsim.town.render.shading.edge_kernels import inside, line

END_DEPTHS = 0.42, 0.62  # m from tail and nose, of what is drawn there
BADGE_RADIUS = 0.045  # m
LETTER_PITCH = 0.036  # m from letter to letter
LETTER_LIMIT = 6  # letters of a car's name at most
LETTER_HEIGHT = 0.026  # m
HATCH_HEIGHT = 1.465  # m, the least height of a car whose rear window has a wiper


@njit(forceinline=True, **options)
def fittings(body, x, y, z, nx, ny, footprint):
    """Return the share of chrome and of black plastic at a point of a car's body, given as to ``details``."""
    soft = footprint + 0.004
    half, sill, style = body[HALF_WIDTH], body[SILL], body[STYLE]
    chrome, black = 0.0, 0.0
    if abs(ny) > 0.75:
        return chrome, black
    if body[LENGTH] + x < END_DEPTHS[0] and z < body[BELT] + 0.05:
        middle = body[LAMP_Z] + 0.05
        if body[IS_VAN] <= 0.0:
            chrome = _badge(y, z - middle, style, soft)
            chrome = max(chrome, _lettering(int(1000.0 * style), y + 0.68 * half, z - middle + 0.1, footprint))
        if style >= 0.4:  # else the plate is there
            black = 0.7 * inside(abs(y), -1.0, 0.62 * half, 2.0 * soft) * inside(z, sill + 0.14, sill + 0.21, soft)
        black = max(black, 0.35 * line(z - (sill + 0.335), 0.012, footprint) * inside(abs(y), -1.0, half - 0.1, soft))
    elif body[LENGTH] - x < END_DEPTHS[1] and nx > 0.15 and z < body[NOSE] + 0.02:
        wide = (0.4 + 0.22 * style) * half
        top = body[NOSE] - 0.09 - 0.05 * style
        tall = 0.09 + 0.1 * (1.0 - style)
        chrome = _badge(y, z - top + 0.5 * tall, style, soft)
        chrome = max(chrome, 0.8 * line(z - top, 0.014, footprint) * inside(abs(y), -1.0, wide, soft))
        away = np.sqrt((abs(y) - 0.74 * half) ** 2 + (z - sill - 0.13) ** 2)
        chrome = max(chrome, 0.7 * inside(away, -1.0, 0.045, soft))  # the lens of a fog lamp
    return chrome, black


@njit(forceinline=True, **options)
def _badge(y, z, style, soft):
    """Return the share of chrome of a maker's badge: a disc, a ring around a stem, or a shield, by the car's style."""
    away = np.sqrt(y * y + 1.3 * z * z)
    if style < 0.33:
        return inside(away, -1.0, 0.8 * BADGE_RADIUS, soft)
    if style < 0.66:
        ring = inside(away, 0.7 * BADGE_RADIUS, BADGE_RADIUS, soft)
        return max(ring, inside(away, -1.0, BADGE_RADIUS, soft) * inside(abs(y), -1.0, 0.18 * BADGE_RADIUS, soft))
    wide = 0.75 * BADGE_RADIUS - 0.3 * max(-z, 0.0)
    return inside(abs(y), -1.0, wide, soft) * inside(abs(z), -1.0, 0.9 * BADGE_RADIUS, soft)


@njit(forceinline=True, **options)
def _lettering(number, y, z, footprint):
    """Return the share of chrome of a model's name, whose first letter is at ``y`` 0; from afar, a grey line."""
    count = 3 + number % (LETTER_LIMIT - 2)
    soft = footprint + 0.003
    if y < -soft or y > count * LETTER_PITCH + soft:
        return 0.0
    place = y / LETTER_PITCH
    part = place - np.floor(place)
    letter = (number >> 2) + 7 * int(np.floor(place))
    stem = inside(part, 0.0, 0.22, soft / LETTER_PITCH)
    if letter % 3 != 0:
        stem = max(stem, inside(part, 0.5, 0.72, soft / LETTER_PITCH))
    bar = inside(part, 0.0, 0.72, soft / LETTER_PITCH) * line(
        abs(z) - 0.5 * LETTER_HEIGHT * (letter % 2), 0.006, footprint
    )
    return max(stem, bar) * inside(z, -0.5 * LETTER_HEIGHT, 0.5 * LETTER_HEIGHT, soft)


@njit(forceinline=True, **options)
def wiper(body, y, z, nx, footprint):
    """Return the share of a pixel that a wiper on a car's glass covers."""
    up = z - body[BELT] - 0.035
    if up < -0.04 or up > 0.2:
        return 0.0
    if nx > 0.3:
        first, second = y - 0.05, y + 0.6  # along two of them, from their pivots
        arm = line(up - 0.09 * first, 0.022, footprint) * inside(first, 0.0, 0.56, footprint + 0.02)
        return 0.9 * max(arm, line(up - 0.09 * second, 0.022, footprint) * inside(second, 0.0, 0.58, footprint + 0.02))
    if nx < -0.3 and body[TALL] > HATCH_HEIGHT:
        return 0.9 * line(up + 0.16 * y, 0.02, footprint) * inside(-y, -0.02, 0.4, footprint + 0.02)
    return 0.0
