"""Names on the signboards of shops: an atlas of invented ones, and the kernel that samples it.

The atlas is a summed-area table (Crow, "Summed-Area Tables for Texture Mapping", SIGGRAPH 1984): letters are averaged
over exactly the area of a pixel, however far away and however obliquely they are seen, so they neither flicker nor
break up. Lengths are metres.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.town.render.raster_arrays import lean_options

options = lean_options | kernels.FASTEST

PICTURE = Path(__file__).with_name("shop_names.png")
WIDTH, HEIGHT = 256, 32  # texels of a name's cell in the picture, one below the other


class Names(NamedTuple):
    """The names of shops."""

    sums: np.ndarray  # f32 (N, HEIGHT + 1, WIDTH + 1): ink, 0 to 1 per texel, above and left of each texel's corner
    widths: np.ndarray  # f32 (N,), texels


@lru_cache(maxsize=1)
def names() -> Names:
    """Return the atlas of names."""
    stored = cv2.imread(str(PICTURE), cv2.IMREAD_GRAYSCALE)
    assert stored is not None, "shop_names.png is part of the package"
    ink = stored.reshape(-1, HEIGHT, WIDTH) / 255.0
    sums = np.pad(ink.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    widths = WIDTH - (ink.max(axis=1) > 0.0)[:, ::-1].argmax(axis=1)
    return Names(sums.astype(np.float32), widths.astype(np.float32))


@njit(forceinline=True, **options)
def _sum_at(sums, number, x, y):
    """Return the ink of a name above and left of texel ``x``, ``y``, interpolated bilinearly."""
    i, j = min(int(x), WIDTH - 1), min(int(y), HEIGHT - 1)
    u, v = x - i, y - j
    above = sums[number, j, i] * (1.0 - u) + sums[number, j, i + 1] * u
    return above * (1.0 - v) + (sums[number, j + 1, i] * (1.0 - u) + sums[number, j + 1, i + 1] * u) * v


@njit(forceinline=True, **options)
def ink_at(names, number, across, up, wide, tall, high, longest):
    """Return the share of a pixel, 0 to 1, that the letters of name ``number`` cover.

    ``across``, ``up``: the pixel's centre, m right of and above the middle of the name; ``wide``, ``tall``: its size on
    the wall, m; ``high``: height of the name's cell, m, less if it would be longer than ``longest`` m.
    """
    length = names.widths[number]
    per_metre = max(HEIGHT / high, length / longest)
    x, y = 0.5 * length + across * per_metre, 0.5 * HEIGHT - up * per_metre
    half_wide, half_tall = max(0.5 * wide * per_metre, 0.5), max(0.5 * tall * per_metre, 0.5)
    left, right = min(max(x - half_wide, 0.0), WIDTH), min(max(x + half_wide, 0.0), WIDTH)
    top, bottom = min(max(y - half_tall, 0.0), HEIGHT), min(max(y + half_tall, 0.0), HEIGHT)
    if left >= right or top >= bottom:
        return 0.0
    below = _sum_at(names.sums, number, right, bottom) - _sum_at(names.sums, number, left, bottom)
    above = _sum_at(names.sums, number, right, top) - _sum_at(names.sums, number, left, top)
    return min(max((below - above) / (4.0 * half_wide * half_tall), 0.0), 1.0)
