"""The beginning of a step, compiled: the planes that a generator is given, from tag, instance and guide.

The same as ``neuralsim/models/input_planes.py`` returns, written once, in the order in which OpenVINO's convolutions
read: a graph computes each of them in several passes and then reorders them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.models.sketch_gain import GAIN, LIMIT

_F = np.float32
_NO_SKETCH = 128  # in a guide: as bright as its tint
INSTANCES = 256  # of one class that have a colour of their own
COARSE_LEVELS = 255 * 4 * 16 + 1  # sums of four pixels, sixteen times: 9 + 3 + 3 + 1


@njit(**kernels.EXACT)
def embed(
    first, last, tag, instance, guide, channel,
    table, guided, embedded,
):  # fmt: skip
    """Write the rows from ``first`` to before ``last`` of ``embedded`` (H, W, C): tint and code of each pixel.

    Args:
        first: Row.
        last: Row.
        tag: u8 (H, W).
        instance: u16 (H, W).
        guide: u8 (H, W, 4).
        channel: u8 (256,), class by tag.
        table: (classes, 256, C), by class and instance.
        guided: (256,), the tint of each value of the guide.
        embedded: (H, W, C), written. As table and guided, f32 or the bits of bf16 as u16.
    """
    width, count = embedded.shape[1:]
    for y in range(first, last):
        for x in range(width):
            entry = table[channel[tag[y, x]], instance[y, x] % INSTANCES]
            if guide[y, x, 0] > 0:
                for k in range(3):
                    embedded[y, x, k] = guided[guide[y, x, k]]
                for k in range(3, count):
                    embedded[y, x, k] = entry[k]
            else:
                for k in range(count):
                    embedded[y, x, k] = entry[k]


@njit(**kernels.EXACT)
def is_image(first, last, guide):  # type: ignore[no-untyped-def]
    """Return whether every other pixel of the rows from ``first`` to before ``last`` of ``guide`` u8 (H, W, 4) is one
    of an image, which has a tint and no sketch."""
    for y in range(first, last, 2):
        for x in range(0, guide.shape[1], 2):
            if guide[y, x, 3] != _NO_SKETCH or guide[y, x, 0] == 0:
                return False
    return True


@njit(**kernels.EXACT)
def add_relief(first, last, detail, embedded):  # type: ignore[no-untyped-def]
    """Make tints of ``embedded``, rows from ``first`` to before ``last``, as dark and bright as the sketch says.

    The same as ``neuralsim/models/guide_image.py``.

    Args:
        first: Row.
        last: Row.
        detail: f32 (H/2, W/2, 2): outlines and sketch, also of the rows of the detail beside those of ``embedded``.
        embedded: f32 (H, W, C), changed; tints first.
    """
    rows, columns = detail.shape[:2]
    limit, per, half = _F(LIMIT), _F(1.0 / GAIN), _F(0.5)
    above, below = np.empty(columns, _F), np.empty(columns, _F)
    for y in range(first, last):
        # bilinear at twice the size: three quarters of the nearer sample
        near = y // 2
        far = min(max(near + 2 * (y % 2) - 1, 0), rows - 1)
        for x in range(columns):
            above[x] = np.arctanh(min(max(detail[near, x, 1], -limit), limit))
            below[x] = np.arctanh(min(max(detail[far, x, 1], -limit), limit))
        for x in range(2 * columns):
            beside = min(max(x // 2 + 2 * (x % 2) - 1, 0), columns - 1)
            here = _F(0.75) * above[x // 2] + _F(0.25) * below[x // 2]
            there = _F(0.75) * above[beside] + _F(0.25) * below[beside]
            relief = per * (_F(0.75) * here + _F(0.25) * there)
            for k in range(3):
                embedded[y, x, k] = min(max(embedded[y, x, k] + relief, -half), half)


@njit(**kernels.EXACT)
def coarse_image(first, last, guide, tints, embedded):  # type: ignore[no-untyped-def]
    """Write tints of ``embedded``, rows from ``first`` to before ``last``: those of an image without its finest band.

    The same as ``Generator.coarse``: means of 2x2 pixels, bilinear at twice the size, in whole numbers.

    Args:
        first: Row.
        last: Row.
        guide: u8 (H, W, 4), of an even size.
        tints: (``COARSE_LEVELS``,), the tint of each sum, in the generator's precision.
        embedded: (H, W, C), changed; tints first.
    """
    height, width = guide.shape[:2]
    rows, columns = height // 2, width // 2
    sums = np.empty((columns, 3), np.int32)
    for y in range(first, last):
        near = y // 2
        far = min(max(near + 2 * (y % 2) - 1, 0), rows - 1)
        for x in range(columns):
            for k in range(3):
                here = np.int32(guide[2 * near, 2 * x, k]) + guide[2 * near, 2 * x + 1, k]
                here += np.int32(guide[2 * near + 1, 2 * x, k]) + guide[2 * near + 1, 2 * x + 1, k]
                there = np.int32(guide[2 * far, 2 * x, k]) + guide[2 * far, 2 * x + 1, k]
                there += np.int32(guide[2 * far + 1, 2 * x, k]) + guide[2 * far + 1, 2 * x + 1, k]
                sums[x, k] = 3 * here + there
        for x in range(width):
            own, beside = x // 2, min(max(x // 2 + 2 * (x % 2) - 1, 0), columns - 1)
            for k in range(3):
                embedded[y, x, k] = tints[3 * sums[own, k] + sums[beside, k]]


@njit(**kernels.EXACT)
def coarse_tints(first, last, whole, embedded):  # type: ignore[no-untyped-def]
    """Write ``embedded`` f32 (H, W, C), rows from ``first`` to before ``last``, its tints as ``coarse_image`` does.

    ``whole``: f32 (H, W, C), the same with the finest band of its tints, which are first.
    """
    height, width = whole.shape[:2]
    rows, columns = height // 2, width // 2
    means = np.empty((columns, 3), _F)
    for y in range(first, last):
        near = y // 2
        far = min(max(near + 2 * (y % 2) - 1, 0), rows - 1)
        for x in range(columns):
            for k in range(3):
                here = whole[2 * near, 2 * x, k] + whole[2 * near, 2 * x + 1, k]
                here += whole[2 * near + 1, 2 * x, k] + whole[2 * near + 1, 2 * x + 1, k]
                there = whole[2 * far, 2 * x, k] + whole[2 * far, 2 * x + 1, k]
                there += whole[2 * far + 1, 2 * x, k] + whole[2 * far + 1, 2 * x + 1, k]
                means[x, k] = _F(0.1875) * here + _F(0.0625) * there
        for x in range(width):
            own, beside = x // 2, min(max(x // 2 + 2 * (x % 2) - 1, 0), columns - 1)
            for k in range(3):
                embedded[y, x, k] = _F(0.75) * means[own, k] + _F(0.25) * means[beside, k]
            for k in range(3, whole.shape[2]):
                embedded[y, x, k] = whole[y, x, k]
