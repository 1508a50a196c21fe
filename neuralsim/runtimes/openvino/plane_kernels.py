"""The beginning of a step, compiled: the planes that a generator is given, from tag, instance and guide.

The same as ``neuralsim/models/input_planes.py`` returns, written once, in the order in which OpenVINO's convolutions
read: a graph computes each of them in several passes and then reorders them.
"""

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.base.colour import LUMA
from neuralsim.models.sketch_gain import GAIN, LIMIT
from neuralsim.models.surfaces import BLOCK, SKETCH_END, SURFACES

_F = np.float32
_NO_SKETCH = 128  # in a guide: as bright as its tint
INSTANCES = 256  # of one class that have a colour of their own
_SURFACES = len(SURFACES)
_LUMA = tuple(LUMA)


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
def split_image(
    first,
    last,
    image,
    scale,
    offset,
    tag,
    place,
    is_bits,
    embedded,
    detail,
):
    """Write tints of ``embedded`` and sketches of ``detail``, rows from ``first`` to before ``last``: of an image.

    The same as ``neuralsim/models/guide_image.py``.

    Args:
        first: Row, an even number.
        last: Row, an even number.
        image: (H, W, 3 or more), its colours first; height and width are multiples of ``BLOCK``. Only the rows from
            ``blocks_of`` are read.
        scale: f32: what its values are multiplied by, and then
        offset: f32, what is added to them, for -0.5..0.5.
        tag: u8 (H, W).
        place: i8 (256,): which of ``SURFACES`` each tag is, -1: none.
        is_bits: Whether ``embedded`` has the bits of bf16, as u16; else it is f32.
        embedded: (H, W, C), changed; tints first.
        detail: f32 (H/2, W/2, 2), whose second plane is written: the sketch.
    """
    height, width = tag.shape
    rows, columns = height // BLOCK, width // BLOCK
    top, bottom = blocks_of(first, last, height)
    sums = np.zeros((bottom - top, columns, _SURFACES, 4), _F)
    for y in range(BLOCK * top, BLOCK * bottom):
        for x in range(width):
            k = place[tag[y, x]]
            if k >= 0:
                cell = sums[y // BLOCK - top, x // BLOCK, k]
                cell[0] += _F(image[y, x, 0])
                cell[1] += _F(image[y, x, 1])
                cell[2] += _F(image[y, x, 2])
                cell[3] += _F(1.0)
    tints, left_out = np.empty((width, 3), _F), np.empty(width // 2, _F)
    bits = tints.view(np.uint32)
    blurred = np.empty((columns, _SURFACES, 4), _F)  # of this row, by block
    per, half, one = _F(1.0 / BLOCK), _F(0.5), _F(1.0)
    for y in range(first, last):
        at = max((_F(y) + half) * per - half, _F(0.0))
        above = int(at)
        down = at - _F(above)
        below = min(above + 1, rows - 1) - top
        above -= top
        for block in range(columns):
            for k in range(_SURFACES):
                for j in range(4):
                    blurred[block, k, j] = (one - down) * sums[above, block, k, j] + down * sums[below, block, k, j]
        if y % 2 == 0:
            left_out[:] = 0
        near = y // 2
        far = min(max(near + 2 * (y % 2) - 1, 0), height // 2 - 1)
        for x in range(width):
            k = place[tag[y, x]]
            if k >= 0:
                at = max((_F(x) + half) * per - half, _F(0.0))
                left = int(at)
                across = at - _F(left)
                right = min(left + 1, columns - 1)
                weight = (one - across) * blurred[left, k, 3] + across * blurred[right, k, 3]
                factor = scale / weight
                for j in range(3):
                    value = (one - across) * blurred[left, k, j] + across * blurred[right, k, j]
                    tints[x, j] = value * factor + offset
            else:
                # means of 2x2 pixels, bilinear at twice the size: three quarters of the nearer one
                beside = x // 2
                other = min(max(beside + 2 * (x % 2) - 1, 0), width // 2 - 1)
                for j in range(3):
                    here = _F(0.75) * _mean(image, near, beside, j) + _F(0.25) * _mean(image, near, other, j)
                    there = _F(0.75) * _mean(image, far, beside, j) + _F(0.25) * _mean(image, far, other, j)
                    tints[x, j] = (_F(0.75) * here + _F(0.25) * there) * scale + offset
            if 0 <= k < SKETCH_END or place[tag[y - y % 2, x - x % 2]] >= 0:
                for j in range(3):
                    left_out[x // 2] += _F(_LUMA[j]) * (_F(image[y, x, j]) * scale + offset - tints[x, j])
        for x in range(width):
            for j in range(3):
                if is_bits:
                    embedded[y, x, j] = (bits[x, j] + np.uint32(0x8000)) >> np.uint32(16)
                else:
                    embedded[y, x, j] = tints[x, j]
        if y % 2 == 1:
            for x in range(width // 2):
                k = place[tag[y - 1, 2 * x]]
                detail[y // 2, x, 1] = np.tanh(_F(0.25 * GAIN) * left_out[x]) if 0 <= k < SKETCH_END else _F(0.0)


@njit(**kernels.EXACT)
def blocks_of(first, last, height):  # type: ignore[no-untyped-def]
    """Return the first block, and the one after the last, that ``split_image`` reads for the rows from ``first`` to
    before ``last`` of an image of ``height``."""
    return max(first - BLOCK // 2, 0) // BLOCK, min((last - 1 + BLOCK // 2) // BLOCK + 1, height // BLOCK)


@njit(**kernels.EXACT)
def _mean(image, y, x, j):  # type: ignore[no-untyped-def]
    """Return the mean of 2x2 pixels of one colour."""
    upper = _F(image[2 * y, 2 * x, j]) + _F(image[2 * y, 2 * x + 1, j])
    return _F(0.25) * (upper + _F(image[2 * y + 1, 2 * x, j]) + _F(image[2 * y + 1, 2 * x + 1, j]))
