"""The compiled number plates of vehicles: every vehicle has its own number, which chooses the letters and digits.

A pixel shows the mean of what it covers, so that glyphs are sharp near by and an even grey far away.
"""

import numpy as np
from numba import njit

from neuralsim.town.render.raster_arrays import lean_options as options
from neuralsim.town.render.shading.edge_kernels import inside, line

WIDE = 0.52  # m, as in all of Europe
HIGH = 0.11  # m
SQUARE_WIDE = 0.18  # m, of motorcycles, with two lines
SQUARE_HIGH = 0.18  # m

#: Columns of 5 x 7 dots of each glyph, hexadecimal, with the uppermost dot in the lowest bit; letters that are mistaken
#: for digits are left out, as on real plates.
_FONT = """
7E1111117E 7F49494936 3E41414122 7F4141221C 7F49494941 7F09090901 3E4149497A 7F0808087F 7F08142241 7F40404040 7F020C027F
7F0408107F 7F09090906 7F09192946 4649494931 01017F0101 3F4040403F 1F2040201F 3F4038403F 6314081463 0708700807 6151494543
3E4141413E 00427F4000 4261514946 2141454B31 1814127F10 2745454539 3C4A494930 0171090503 3649494936 064949291E
"""
_DIGITS = 10  # the last glyphs


def _sums() -> np.ndarray:
    """Return the dots of each glyph above and to the left of each corner of its dots, f64 (glyphs, 8, 6)."""
    glyphs = _FONT.split()
    sums = np.zeros((len(glyphs), 8, 6))
    for glyph, text in enumerate(glyphs):
        columns = [int(text[2 * k : 2 * k + 2], 16) for k in range(5)]
        dots = np.array([[column >> row & 1 for column in columns] for row in range(7)], float)
        sums[glyph, 1:, 1:] = dots.cumsum(0).cumsum(1)
    return sums


_SUMS = _sums()
_LETTERS = len(_SUMS) - _DIGITS
_GLYPHS = 7  # of a plate: two letters, two letters, three digits
DOT_WIDTH = 0.0092  # m
DOT_HEIGHT = 0.0107  # m
SQUARE_SCALE = 0.7  # of these, on square plates
GLYPH_PITCH = 0.0565  # m from glyph to glyph
GROUP_GAP = 0.02  # m, in addition, between groups
BAND_WIDTH = 0.04  # m, of the blue band with the sign of the country


@njit(forceinline=True, **options)
def _glyph(number, place):
    """Return the glyph at a ``place`` of the plate of vehicle ``number``; -1: none."""
    mixed = np.int64(number) * 8 + place
    for _ in range(2):
        mixed = (mixed ^ (mixed >> 15)) * 2246822519 & 0xFFFFFFFF
        mixed = (mixed ^ (mixed >> 13)) * 2654435761 & 0xFFFFFFFF
    mixed = mixed >> 8
    if place < 4:
        return -1 if place == 1 and mixed & 3 == 0 else mixed % _LETTERS
    return _LETTERS + mixed % _DIGITS


@njit(forceinline=True, **options)
def _dots(glyph, u, v):
    """Return the dots of a glyph above and to the left of a point, ``u`` to the right and ``v`` down in dots."""
    u, v = min(max(u, 0.0), 5.0), min(max(v, 0.0), 7.0)
    i, j = min(int(v), 6), min(int(u), 4)
    a, b = v - i, u - j
    s = _SUMS[glyph]
    return (s[i, j] * (1.0 - b) + s[i, j + 1] * b) * (1.0 - a) + (s[i + 1, j] * (1.0 - b) + s[i + 1, j + 1] * b) * a


@njit(forceinline=True, **options)
def _ink(number, y, z, is_square, footprint):
    """Return the share of a pixel that glyphs cover, ``y`` and ``z`` m from the middle of the plate."""
    ink = 0.0
    wide, high = DOT_WIDTH, DOT_HEIGHT
    if is_square:
        wide, high = SQUARE_SCALE * wide, SQUARE_SCALE * high
    half_u, half_v = 0.5 * footprint / wide, 0.5 * footprint / high
    for place in range(_GLYPHS):
        if is_square:  # letters over digits
            count, at = (4, place) if place < 4 else (3, place - 4)
            left = y - SQUARE_SCALE * (GLYPH_PITCH * (at - 0.5 * count) + 0.5 * (GLYPH_PITCH - 5.0 * DOT_WIDTH))
            top = (0.076 if place < 4 else -0.016) - z
        else:
            groups = (1 if place > 1 else 0) + (1 if place > 3 else 0)
            left = (
                y
                - 0.5 * BAND_WIDTH
                - (GLYPH_PITCH * (place - 0.5 * (_GLYPHS - 1)) + GROUP_GAP * (groups - 1) - 2.5 * DOT_WIDTH)
            )
            top = 3.5 * high - z
        u, v = left / wide, top / high
        if u + half_u <= 0.0 or u - half_u >= 5.0 or v + half_v <= 0.0 or v - half_v >= 7.0:
            continue
        glyph = _glyph(number, place)
        if glyph >= 0:
            lower = _dots(glyph, u + half_u, v + half_v) - _dots(glyph, u - half_u, v + half_v)
            ink += lower - _dots(glyph, u + half_u, v - half_v) + _dots(glyph, u - half_u, v - half_v)
    return ink / (4.0 * half_u * half_v)


@njit(forceinline=True, **options)
def plate(number, y, z, is_square, footprint):
    """Return the share of a pixel that a number plate covers, how bright it is, and the share of its blue band.

    Args:
        number: That of the vehicle, an integer.
        y: To the right of who reads it, m from its middle.
        z: Upwards from there, m.
        is_square: Whether it has two lines, as those of motorcycles, which have no blue band.
        footprint: Size of a pixel, m.
    """
    soft = footprint + 0.004
    half_wide, half_high = 0.5 * WIDE, 0.5 * HIGH
    if is_square:
        half_wide, half_high = 0.5 * SQUARE_WIDE, 0.5 * SQUARE_HIGH
    away = max(abs(y) - half_wide, abs(z) - half_high)
    share = inside(away, -9.0, 0.0, soft)
    if share <= 0.0:
        return 0.0, 1.0, 0.0
    border = line(away + 0.006, 0.004, footprint)
    ink = max(_ink(number, y, z, is_square, footprint), border)
    blue = 0.0 if is_square else inside(y, -9.0, BAND_WIDTH - half_wide, soft) * inside(away, -9.0, -0.008, soft)
    return share, 1.0 - 0.88 * min(ink, 1.0), blue
