"""The end of a step, compiled: the past is warped, limited to the new image and blended with it.

The same arithmetic as ``neuralsim/models/warp.py`` and ``blending.py`` for one past frame, but row by row: what a row
needs stays in the processor's nearest cache, where a graph reads and writes whole planes in each of its operations.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.runtimes.openvino.plane_kernels import INSTANCES

_F = np.float32
_KEPT = 5  # rows at a time: those whose mean is taken
_BICUBIC = _F(-0.75)
_SAME = _F(1e-3)  # difference up to which two labels are the same surface
_INSIDE = _F(0.05)  # difference of a label to the mean around it up to which it is not on an outline
_VARIANCE, _DEVIATION = _F(1e-5), _F(0.01)  # that an image without any detail has
_EXPONENT = _F(2.0**112)  # by which f32 exceeds f16 with the same bits in its exponent


class Blending(NamedTuple):
    """The constants of a graph's blending."""

    gain: float = 2.0  # of the tints to which a generated image is added
    gamma: float = 1.9  # deviations of its neighbourhood by which the past may differ from the new image
    sharpen: float = 0.3  # share of the detail finer than a neighbourhood that is added to what is shown


@njit(**kernels.FASTEST)
def blend(
    first, last, generated, tag, instance, guide,
    channel, tints, motion, past_rgb, past_label,
    weight, gain, gamma, sharpen,
    next_rgb, next_label, rgb,
):  # fmt: skip
    """Compute the rows from ``first`` to before ``last`` of an image and of the state.

    Args:
        first: Row.
        last: Row.
        generated: f32 (3, H, W).
        tag: u8 (H, W).
        instance: u16 (H, W).
        guide: u8 (H, W, 4).
        channel: u8 (256,), class by tag.
        tints: f32 (classes, 256, 3), by class and instance.
        motion: u16 (H, W, 2), the bits of f16: px, backward.
        past_rgb: f32 (3, H * W) in [-1, 1].
        past_label: f32 (H * W,), class + 1.
        weight: f32 (classes,), least weight of the new image.
        gain: As in ``Blending``.
        gamma: As in ``Blending``.
        sharpen: As in ``Blending``.
        next_rgb: f32 (3, H, W), written.
        next_label: f32 (H, W), written.
        rgb: u8 (H, W, 3), written.
    """
    height, width = tag.shape
    image = np.zeros((_KEPT, 3, width + 4), _F)  # as generated, with two columns of zeros on either side
    mean = np.zeros((_KEPT, 3, width), _F)
    square = np.zeros((_KEPT, width + 4), _F)  # of green's difference to its mean
    label = np.zeros((4, width + 2), _F)
    share = np.zeros((4, width), _F)
    nothing = np.zeros(width + 2, _F)
    total = np.empty(width + 4, _F)
    line = np.empty((3, width), _F)
    spread, kept, finer = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    shown = np.empty((3, width), np.uint8)
    past = np.empty((4, width), _F)
    place = np.empty(width, np.int32)
    right, down = np.empty(width, _F), np.empty(width, _F)
    bits = np.empty((2, width), np.uint32)
    offset = bits.view(np.float32)
    among3, among5 = _reciprocal_counts(width, 1), _reciprocal_counts(width, 2)
    for y in range(max(first - 1, 0), first + 1):
        _labels(tag[y], channel, weight, label[y % 4], share[y % 4])
    # rows of the image run four ahead of those that are finished, their means two
    for ahead in range(first - 4, last + 4):
        if 0 <= ahead < height:
            _tint_row(tag[ahead], instance[ahead], guide[ahead], channel, tints, line)
            for k in range(3):
                _add(generated[k, ahead], line[k], gain, image[ahead % _KEPT, k])
        else:
            image[ahead % _KEPT] = _F(0)
        y = ahead - 2
        if y >= first - 2:
            if 0 <= y < height:
                inverse = _reciprocal_rows(y, height, 2)
                for k in range(3):
                    _sum(image, y, k, total)
                    _mean_across(total, among5, inverse, mean[y % _KEPT, k])
                _square_difference(image[y % _KEPT, 1], mean[y % _KEPT, 1], square[y % _KEPT])
            else:
                square[y % _KEPT] = _F(0)
        y = ahead - 4
        if y < first:
            continue
        _sum(square.reshape(_KEPT, 1, width + 4), y, 0, total)
        _deviation(total, among5, _reciprocal_rows(y, height, 2), gamma, spread)
        if y + 1 < height:
            _labels(tag[y + 1], channel, weight, label[(y + 1) % 4], share[(y + 1) % 4])
        above = label[(y - 1) % 4] if y > 0 else nothing
        below = label[(y + 1) % 4] if y + 1 < height else nothing
        _warp(y, motion[y], past_rgb, past_label, height, bits, offset, place, right, down, past)
        inverse = _reciprocal_rows(y, height, 1)
        _shares(label[y % 4], above, below, past[3], share[y % 4], among3, inverse, sharpen, kept, finer)
        next_label[y] = label[y % 4, 1 : width + 1]
        for k in range(3):
            new, average = image[y % _KEPT, k], mean[y % _KEPT, k]
            _blend_row(new, average, past[k], spread, kept, finer, next_rgb[k, y], shown[k])
        for x in range(width):
            rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = shown[0, x], shown[1, x], shown[2, x]


@njit(**kernels.FASTEST)
def _tint_row(tag, instance, guide, channel, tints, line):
    """Write the tints of one row, f32 (3, W): those of the guide, and where it has none those of class and instance.

    The other arguments are those of ``blend``.
    """
    for x in range(len(tag)):
        if guide[x, 0] > 0:
            for k in range(3):
                line[k, x] = _F(guide[x, k]) * _F(1.0 / 255.0) - _F(0.5)
        else:
            for k in range(3):
                line[k, x] = tints[channel[tag[x]], instance[x] % INSTANCES, k]


@njit(**kernels.FASTEST)
def _reciprocal_counts(width, radius):
    """Return for each column 1 over the number of columns within ``radius``, f32."""
    counts = np.empty(width, _F)
    for x in range(width):
        counts[x] = _reciprocal_rows(x, width, radius)
    return counts


@njit(**kernels.FASTEST)
def _reciprocal_rows(y, height, radius):
    return _F(1) / _F(min(y + radius, height - 1) - max(y - radius, 0) + 1)


@njit(**kernels.FASTEST)
def _labels(tag, channel, weight, label, share):
    """Write class + 1 of a row, between two zeros, and the largest share of the past."""
    for x in range(len(tag)):
        label[x + 1] = _F(channel[tag[x]]) + _F(1)
        share[x] = _F(1) - weight[channel[tag[x]]]


@njit(**kernels.FASTEST)
def _add(generated, tint, gain, image):
    for x in range(len(tint)):
        image[x + 2] = generated[x] + _F(gain) * tint[x]


@njit(**kernels.FASTEST)
def _sum(rows, y, k, total):
    """Write the sum of the five rows around ``y``."""
    a, b, c = rows[(y - 2) % _KEPT, k], rows[(y - 1) % _KEPT, k], rows[y % _KEPT, k]
    d, e = rows[(y + 1) % _KEPT, k], rows[(y + 2) % _KEPT, k]
    for x in range(len(total)):
        total[x] = a[x] + b[x] + c[x] + d[x] + e[x]


@njit(**kernels.FASTEST)
def _mean_across(total, among, inverse, mean):
    for x in range(len(mean)):
        five = total[x] + total[x + 1] + total[x + 2] + total[x + 3] + total[x + 4]
        mean[x] = five * (among[x] * inverse)


@njit(**kernels.FASTEST)
def _square_difference(image, mean, square):
    for x in range(len(mean)):
        difference = image[x + 2] - mean[x]
        square[x + 2] = difference * difference


@njit(**kernels.FASTEST)
def _deviation(total, among, inverse, gamma, spread):
    """Write by how much the past may differ from the mean."""
    for x in range(len(spread)):
        five = total[x] + total[x + 1] + total[x + 2] + total[x + 3] + total[x + 4]
        spread[x] = _F(gamma) * np.sqrt(five * (among[x] * inverse) + _VARIANCE) + _DEVIATION


@njit(**kernels.FASTEST)
def _shares(
    here, above, below, past, share, among,
    inverse, sharpen, kept, finer,
):  # fmt: skip
    """Write the share of the past, none where it shows another class, and that of the detail, none on outlines."""
    for x in range(len(share)):
        label = here[x + 1]
        kept[x] = share[x] if abs(past[x] - label) < _SAME else _F(0)
        nine = above[x] + above[x + 1] + above[x + 2] + here[x] + label + here[x + 2] + below[x] + below[x + 1]
        nine += below[x + 2]
        finer[x] = _F(sharpen) if abs(nine * (among[x] * inverse) - label) <= _INSIDE else _F(0)


@njit(**kernels.FASTEST)
def _blend_row(
    image, mean, past, spread, kept, finer,
    following, shown,
):  # fmt: skip
    for x in range(len(mean)):
        new = image[x + 2]
        limited = min(max(past[x], mean[x] - spread[x]), mean[x] + spread[x])
        value = min(max(new + (limited - new) * kept[x], _F(-1)), _F(1))
        following[x] = value
        value += finer[x] * (value - mean[x])
        shown[x] = np.uint8(np.int32(min(max(value * _F(127.5) + _F(128), _F(0)), _F(255))))


@njit(**kernels.FASTEST)
def _warp(
    y, motion, past_rgb, past_label, height, bits,
    offset, place, right, down, past,
):  # fmt: skip
    """Write the past of row ``y`` as seen from this frame, f32 (4, W): image and label.

    ``bits`` u32 and ``offset`` f32 (2, W) are the same memory; ``place``, ``right`` and ``down`` are written.
    """
    width = len(motion)
    moving = np.uint32(0)
    for x in range(width):
        for k in range(2):  # f16 to f32, but for the scale of its exponent
            half = np.uint32(motion[x, k])
            magnitude = (half & np.uint32(0x7FFF)) << np.uint32(13)
            bits[k, x] = magnitude | ((half & np.uint32(0x8000)) << np.uint32(16))
            moving |= magnitude
    if moving == 0:
        for k in range(3):
            past[k] = past_rgb[k, y * width : (y + 1) * width]
        past[3] = past_label[y * width : (y + 1) * width]
        return
    outside = False
    for x in range(width):
        from_x, from_y = _F(x) + offset[0, x] * _EXPONENT, _F(y) + offset[1, x] * _EXPONENT
        left, top = np.floor(from_x), np.floor(from_y)
        right[x], down[x] = from_x - left, from_y - top
        inner_left, inner_top = min(max(left, _F(1)), _F(width - 3)), min(max(top, _F(1)), _F(height - 3))
        is_outside = (inner_left != left) | (inner_top != top)
        outside |= is_outside
        index = np.int32(inner_top) * np.int32(width) + np.int32(inner_left)
        place[x] = np.int32(-1) - index if is_outside else index
    _sample(past_rgb, past_label, width, place, right, down, past)
    if outside:
        for x in range(width):
            if place[x] < 0:
                _sample_outside(x, y, offset, past_rgb, past_label, height, width, past)


@njit(inline="always")
def _cubic(t):
    """Return the weights of four neighbours in cubic convolution (Keys, 1981), ``t`` after the second."""
    a = _BICUBIC
    before, after, beyond = t + _F(1), _F(1) - t, _F(2) - t
    return (
        ((a * before - _F(5) * a) * before + _F(8) * a) * before - _F(4) * a,
        ((a + _F(2)) * t - (a + _F(3))) * t * t + _F(1),
        ((a + _F(2)) * after - (a + _F(3))) * after * after + _F(1),
        ((a * beyond - _F(5) * a) * beyond + _F(8) * a) * beyond - _F(4) * a,
    )


@njit(**kernels.FASTEST)
def _sample(
    past_rgb, past_label, width, place, right, down,
    past,
):  # fmt: skip
    """Write samples of which all neighbours are inside: bilinear, and the bicubic detail of green for all colours.

    ``place``: index of the pixel above and left of each sample; -1 - index: any value may be written.
    """
    red, green, blue = past_rgb[0], past_rgb[1], past_rgb[2]
    for x in range(width):
        i = np.int64(place[x])
        i = max(i, -1 - i)
        a, b = right[x], down[x]
        near, far = (_F(1) - a) * (_F(1) - b), a * (_F(1) - b)
        low, last = (_F(1) - a) * b, a * b
        k = i + width
        past[3, x] = past_label[i] * near + past_label[i + 1] * far + past_label[k] * low + past_label[k + 1] * last
        linear = green[i] * near + green[i + 1] * far + green[k] * low + green[k + 1] * last
        c0, c1, c2, c3 = _cubic(a)
        d0, d1, d2, d3 = _cubic(b)
        j = i - width
        value = d0 * (green[j - 1] * c0 + green[j] * c1 + green[j + 1] * c2 + green[j + 2] * c3)
        value += d1 * (green[i - 1] * c0 + green[i] * c1 + green[i + 1] * c2 + green[i + 2] * c3)
        value += d2 * (green[k - 1] * c0 + green[k] * c1 + green[k + 1] * c2 + green[k + 2] * c3)
        j = k + width
        value += d3 * (green[j - 1] * c0 + green[j] * c1 + green[j + 1] * c2 + green[j + 2] * c3)
        past[1, x] = value
        fine = value - linear
        past[0, x] = red[i] * near + red[i + 1] * far + red[k] * low + red[k + 1] * last + fine
        past[2, x] = blue[i] * near + blue[i + 1] * far + blue[k] * low + blue[k + 1] * last + fine


@njit(**kernels.FASTEST)
def _sample_outside(
    x, y, offset, past_rgb, past_label, height, width,
    past,
):  # fmt: skip
    """Write a sample with neighbours beyond the border: zeros to the bilinear one, the border's to the bicubic one."""
    from_x, from_y = _F(x) + offset[0, x] * _EXPONENT, _F(y) + offset[1, x] * _EXPONENT
    left, top = np.floor(from_x), np.floor(from_y)
    a, b = from_x - left, from_y - top
    column = np.int32(min(max(left, _F(-9)), _F(width + 9)))
    row = np.int32(min(max(top, _F(-9)), _F(height + 9)))
    across, along = _cubic(a), _cubic(b)
    cubic = red = green = blue = label = _F(0)
    for j in range(4):
        yj = row + j - 1
        for i in range(4):
            xi = column + i - 1
            at = min(max(yj, 0), height - 1) * width + min(max(xi, 0), width - 1)
            cubic += along[j] * across[i] * past_rgb[1, at]
            if (i == 1 or i == 2) and (j == 1 or j == 2) and 0 <= yj < height and 0 <= xi < width:
                share = (a if i == 2 else _F(1) - a) * (b if j == 2 else _F(1) - b)
                red += share * past_rgb[0, at]
                green += share * past_rgb[1, at]
                blue += share * past_rgb[2, at]
                label += share * past_label[at]
    past[0, x], past[1, x], past[2, x], past[3, x] = red + cubic - green, cubic, blue + cubic - green, label
