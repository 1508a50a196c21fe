"""Compiled pixel kernels of ``upscaling``, two rows at a time, by bands of rows (``bridge/bands.py``).

Colours are accumulated as Y = (R + 2 G + B) / 4, Co = R - B, Cg = G - (R + B) / 2 (Malvar and Sullivan, JVT-I014,
2003), in 0..255, so that the box to which the past is clipped lies along the axis on which images vary most. A *packed*
pixel, u32, is its instance, its tag and, in the lowest byte, the weight of its past in steps of 1 / 16. All planes of
the past have a margin, so that no look-up has to check where the image ends.
"""

import numpy as np
from numba import njit

from neuralsim.base import kernels

MARGIN = 4  # px
OUTSIDE = np.uint32(0xFFFFFF00)  # packed pixel of the margin
STEPS = 16.0  # of a weight of 1
LARGEST_WEIGHT = 15.0  # that a byte holds

_REACH = 48  # px to either side in which an uncovered pixel searches for more of the same surface


@njit(inline="always")
def _half_to_float(half: int) -> np.float32:
    """Return the f32 of f16 bits; subnormals read as some 1e-5, which is as good for pixels."""
    bits = (np.uint32(half) & np.uint32(0x7FFF)) << np.uint32(13)
    bits = (bits + np.uint32(112 << 23)) | ((np.uint32(half) & np.uint32(0x8000)) << np.uint32(16))
    return np.uint32(bits).view(np.float32)


@njit(**kernels.FASTEST)
def _nearest_surface(depth, motion, top, metres, moved):  # type: ignore[no-untyped-def]
    """Write depth and motion of the nearest surface in each column of the four rows around ``top``.

    Both halves of a motion are in a u32. ``metres`` and ``moved`` have one more element at either end.
    """
    height, width = depth.shape
    a, b = max(top - 1, 0), min(top + 2, height - 1)
    d0, d1, d2, d3 = depth[a], depth[top], depth[top + 1], depth[b]
    m0, m1, m2, m3 = motion[a], motion[top], motion[top + 1], motion[b]
    for j in range(np.uint64(width)):
        d, m = d0[j], m0[j]
        nearer = d1[j] < d
        d, m = d1[j] if nearer else d, m1[j] if nearer else m
        nearer = d2[j] < d
        d, m = d2[j] if nearer else d, m2[j] if nearer else m
        nearer = d3[j] < d
        metres[j + np.uint64(1)], moved[j + np.uint64(1)] = d3[j] if nearer else d, m3[j] if nearer else m
    metres[0], moved[0], metres[width + 1], moved[width + 1] = metres[1], moved[1], metres[width], moved[width]


@njit(**kernels.FASTEST)
def _block_motion(metres, moved, x, y):  # type: ignore[no-untyped-def]
    """Write the motion of each 2x2 pixels: that of the nearest surface in the 4x4 around them.

    The rim of a near object, where pixels show some of both, so moves with it.
    """
    for q in range(np.uint64(x.size)):
        j = np.uint64(2) * q
        d0, d1, d2, d3 = metres[j], metres[j + np.uint64(1)], metres[j + np.uint64(2)], metres[j + np.uint64(3)]
        m0, m1, m2, m3 = moved[j], moved[j + np.uint64(1)], moved[j + np.uint64(2)], moved[j + np.uint64(3)]
        left, right = d0 < d1, d3 < d2
        d0, m0 = d0 if left else d1, m0 if left else m1
        d2, m2 = d3 if right else d2, m3 if right else m2
        m = m2 if d2 < d0 else m0
        x[q], y[q] = _half_to_float(m & np.uint32(0xFFFF)), _half_to_float(m >> np.uint32(16))


@njit(inline="always")
def _cubic(f):  # type: ignore[no-untyped-def]
    """Return the Catmull-Rom weights of four samples; the point is ``f`` of the way from the second to the third."""
    half, one = np.float32(0.5), np.float32(1.0)
    a = f * (-half + f * (one - half * f))
    b = one + f * f * (np.float32(-2.5) + np.float32(1.5) * f)
    c = f * (half + f * (np.float32(2.0) - np.float32(1.5) * f))
    return a, b, c, one - a - b - c


@njit(**kernels.FASTEST)
def _outline_weight(old, at, new, here, stride):  # type: ignore[no-untyped-def]
    """Return the weight of a past of another object: it is kept on an outline between the two, then as now."""
    one, eight = np.uint64(1), np.uint32(8)
    key, other = new[here] >> eight, old[at] >> eight
    was_outline = is_outline = False
    for r in range(3):
        for c in range(3):
            aside = np.uint64(r) * stride + np.uint64(c) - stride - one
            was_outline = was_outline or (old[at + aside] >> eight) == key
            is_outline = is_outline or (new[here + aside] >> eight) == other
    return old[at] & np.uint32(0xFF) if was_outline and is_outline else np.uint32(0)


@njit(inline="always")
def _store_weight(old, at, new, here, stride):  # type: ignore[no-untyped-def]
    """Write the weight of the past at ``at`` into the packed pixel at ``here``."""
    past, key = old[at], new[here] & np.uint32(0xFFFFFF00)
    if (past ^ key) < np.uint32(256):
        new[here] = past
    else:
        new[here] = key | _outline_weight(old, at, new, here, stride)


@njit(**kernels.FASTEST)
def _resample_past(  # type: ignore[no-untyped-def]
    top, move_x, move_y, old_packed, old_y, old_o, old_g, packed, upper, lower, stride, height, width
):
    """Resample two rows of the past from where they were: Y by Catmull-Rom, chroma bilinearly.

    Four pixels move as one, since their motions differ by hundredths of a pixel. The planes come one by one: in a tuple
    they take this kernel half as long again.
    """
    half, one = np.float32(0.5), np.float32(1.0)
    low, right, bottom = np.float32(-2.0), np.float32(width), np.float32(height)
    for q in range(move_x.size):
        left = min(2 * q, width - 2)
        x = min(max(np.float32(left) + move_x[q], low), right) + np.float32(MARGIN)
        y = min(max(np.float32(top) + move_y[q], low), bottom) + np.float32(MARGIN)
        column, row = np.int32(x), np.int32(y)
        fx, fy = x - np.float32(column), y - np.float32(row)
        near = np.uint64(np.int32(y + half)) * stride + np.uint64(np.int32(x + half))
        u1, u2, u3, u4 = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
        j = np.uint64(top + MARGIN) * stride + np.uint64(left + MARGIN)
        under = j + stride
        _store_weight(old_packed, near, packed, j, stride)
        _store_weight(old_packed, near + u1, packed, j + u1, stride)
        _store_weight(old_packed, near + stride, packed, under, stride)
        _store_weight(old_packed, near + stride + u1, packed, under + u1, stride)
        a, b, c, d = _cubic(fx)
        e, f, g, h = _cubic(fy)
        s = np.uint64(row - 1) * stride + np.uint64(column - 1)
        p, r, t = old_y[s + u1], old_y[s + u2], old_y[s + u3]
        a0, b0 = a * old_y[s] + b * p + c * r + d * t, a * p + b * r + c * t + d * old_y[s + u4]
        s += stride
        m0 = s
        p, r, t = old_y[s + u1], old_y[s + u2], old_y[s + u3]
        a1, b1 = a * old_y[s] + b * p + c * r + d * t, a * p + b * r + c * t + d * old_y[s + u4]
        s += stride
        m1 = s
        p, r, t = old_y[s + u1], old_y[s + u2], old_y[s + u3]
        a2, b2 = a * old_y[s] + b * p + c * r + d * t, a * p + b * r + c * t + d * old_y[s + u4]
        s += stride
        m2 = s
        p, r, t = old_y[s + u1], old_y[s + u2], old_y[s + u3]
        a3, b3 = a * old_y[s] + b * p + c * r + d * t, a * p + b * r + c * t + d * old_y[s + u4]
        s += stride
        p, r, t = old_y[s + u1], old_y[s + u2], old_y[s + u3]
        a4, b4 = a * old_y[s] + b * p + c * r + d * t, a * p + b * r + c * t + d * old_y[s + u4]
        v = np.uint64(left)
        w = v + u1
        upper[0, v], upper[0, w] = e * a0 + f * a1 + g * a2 + h * a3, e * b0 + f * b1 + g * b2 + h * b3
        lower[0, v], lower[0, w] = e * a1 + f * a2 + g * a3 + h * a4, e * b1 + f * b2 + g * b3 + h * b4
        gx, gy = one - fx, one - fy
        p = old_o[m0 + u2]
        a0, b0 = gx * old_o[m0 + u1] + fx * p, gx * p + fx * old_o[m0 + u3]
        p = old_o[m1 + u2]
        a1, b1 = gx * old_o[m1 + u1] + fx * p, gx * p + fx * old_o[m1 + u3]
        p = old_o[m2 + u2]
        a2, b2 = gx * old_o[m2 + u1] + fx * p, gx * p + fx * old_o[m2 + u3]
        upper[1, v], upper[1, w] = gy * a0 + fy * a1, gy * b0 + fy * b1
        lower[1, v], lower[1, w] = gy * a1 + fy * a2, gy * b1 + fy * b2
        p = old_g[m0 + u2]
        a0, b0 = gx * old_g[m0 + u1] + fx * p, gx * p + fx * old_g[m0 + u3]
        p = old_g[m1 + u2]
        a1, b1 = gx * old_g[m1 + u1] + fx * p, gx * p + fx * old_g[m1 + u3]
        p = old_g[m2 + u2]
        a2, b2 = gx * old_g[m2 + u1] + fx * p, gx * p + fx * old_g[m2 + u3]
        upper[2, v], upper[2, w] = gy * a0 + fy * a1, gy * b0 + fy * b1
        lower[2, v], lower[2, w] = gy * a1 + fy * a2, gy * b1 + fy * b2


@njit(**kernels.FASTEST)
def _fill_uncovered(packed, above, y, o, g, over_y, over_o, over_g, means, uncovered):  # type: ignore[no-untyped-def]
    """Fill the pixels of a row that have come into view.

    Their colour is that of the nearest past of the same object to either side, else of the row above, else the mean of
    their class. ``uncovered`` counts such pixels by column.
    """
    eight, weight = np.uint32(8), np.uint32(0xFF)
    width = packed.size
    for j in range(width):
        if packed[j] & weight:
            continue
        uncovered[j] += 1
        key, nearest = packed[j] >> eight, -1
        for k in range(1, _REACH):
            for side in range(2):
                at = j - k if side == 0 else j + k
                if 0 <= at < width and (packed[at] >> eight) == key and packed[at] & weight:
                    nearest = at
                    break
            if nearest >= 0:
                break
        if nearest >= 0:
            y[j], o[j], g[j] = y[nearest], o[nearest], g[nearest]
        elif (above[j] >> eight) == key:
            y[j], o[j], g[j] = over_y[j], over_o[j], over_g[j]
        else:
            tag = np.uint8(key)
            y[j], o[j], g[j] = means[tag, 0], means[tag, 1], means[tag, 2]


@njit(**kernels.FASTEST)
def _to_rgb(y, o, g, rgb):  # type: ignore[no-untyped-def]
    """Convert a row of Y, Co, Cg to u8 (w, 3)."""
    zero, full, half = np.float32(0.0), np.float32(255.0), np.float32(0.5)
    planes = np.empty((3, y.size), np.uint8)  # interleaved afterwards: in a single loop it would not be vectorised
    red, green, blue = planes[0], planes[1], planes[2]
    for j in range(np.uint64(y.size)):
        middle = y[j] - half * g[j] + half
        red[j] = np.uint8(np.int32(min(max(middle + half * o[j], zero), full)))
        green[j] = np.uint8(np.int32(min(max(y[j] + half * g[j] + half, zero), full)))
        blue[j] = np.uint8(np.int32(min(max(middle - half * o[j], zero), full)))
    for j in range(np.uint64(y.size)):
        rgb[j, 0], rgb[j, 1], rgb[j, 2] = red[j], green[j], blue[j]


@njit(**kernels.FASTEST)
def pack(tag: np.ndarray, instance: np.ndarray, packed: np.ndarray, start: int, stop: int) -> None:
    """Pack the rows from ``start`` to before ``stop`` of a frame without a past.

    ``tag`` u8 and ``instance`` u16 (H, W), ``packed`` u32 with a margin.
    """
    width = tag.shape[1]
    for i in range(start, stop):
        row, tags, instances = packed[i + MARGIN, MARGIN : MARGIN + width], tag[i], instance[i]
        for j in range(np.uint64(width)):
            row[j] = (np.uint32(instances[j]) << np.uint32(16)) | (np.uint32(tags[j]) << np.uint32(8))


@njit(**kernels.FASTEST)
def reproject(  # type: ignore[no-untyped-def]
    motion, depth, old_packed, old, packed, new, means, start, stop, uncovered, rgb
):
    """Reproject the past into this frame: the rows from ``start``, which is even, to before ``stop``.

    Args:
        motion: u32 (H, W): both f16 of the plane, px.
        depth: f32 (H, W), m.
        old_packed: u32, packed pixels of the past, with a margin.
        old: f32 (3, ...), Y, Co, Cg of the past, with a margin.
        packed: Packed pixels of this frame without weights; the weights are written.
        new: As ``old``, of this frame, written.
        means: f32 (256, 3), Y, Co, Cg of each class.
        start: First row.
        stop: Row after the last one.
        uncovered: i32 (W,), pixels that have come into view by column, written.
        rgb: u8 (H, W, 3), the image where nothing new is generated, written.
    """
    height, width = depth.shape
    metres, moved = np.empty(width + 2, np.float32), np.empty(width + 2, np.uint32)
    x, y = np.empty((width + 1) // 2, np.float32), np.empty((width + 1) // 2, np.float32)
    stride = np.uint64(old_packed.shape[1])
    flat_old, rows = old.reshape(3, -1), np.empty((2, 3, width), np.float32)
    flat_old_packed, flat_packed = old_packed.reshape(-1), packed.reshape(-1)
    inside = slice(MARGIN, MARGIN + width)
    uncovered[:] = 0
    for i in range(start, stop, 2):
        top = min(i, height - 2)
        _nearest_surface(depth, motion, top, metres, moved)
        _block_motion(metres, moved, x[: width // 2], y[: width // 2])
        if width % 2:
            x[width // 2], y[width // 2] = x[width // 2 - 1], y[width // 2 - 1]
        _resample_past(
            top, x, y, flat_old_packed, flat_old[0], flat_old[1], flat_old[2], flat_packed, rows[0], rows[1], stride,
            height, width,
        )  # fmt: skip
        for k in range(MARGIN + top, MARGIN + top + 2):
            for plane in range(3):
                new[plane, k, inside] = rows[k - MARGIN - top, plane]
            above = (
                0 if k == MARGIN + start else k - 1
            )  # not a row of another band, which may not be written yet: the margin
            _fill_uncovered(
                packed[k, inside], packed[above, inside], new[0, k, inside], new[1, k, inside], new[2, k, inside],
                new[0, above, inside], new[1, above, inside], new[2, above, inside], means, uncovered,
            )  # fmt: skip
            _to_rgb(new[0, k, inside], new[1, k, inside], new[2, k, inside], rgb[k - MARGIN])


@njit(**kernels.FASTEST)
def _to_ycocg(rgb, y, o, g):  # type: ignore[no-untyped-def]
    """Convert a row of u8 (w, 3) to Y, Co, Cg."""
    for j in range(y.size):
        red, green, blue = np.float32(rgb[j, 0]), np.float32(rgb[j, 1]), np.float32(rgb[j, 2])
        half = np.float32(0.5) * (red + blue)
        y[j], o[j], g[j] = np.float32(0.5) * (half + green), red - blue, green - half


@njit(**kernels.FASTEST)
def _clip_to_neighbours(above, here, below, sums, squares, spread, past):  # type: ignore[no-untyped-def]
    """Clip a row of the past to the mean -+ ``spread`` standard deviations of the generated 3x3 around each pixel.

    Salvi, GDC 2016.
    """
    width = here.size
    for j in range(width):
        a, b, c = above[j], here[j], below[j]
        sums[j + 1] = a + b + c
        squares[j + 1] = a * a + b * b + c * c
    sums[0], sums[width + 1] = sums[1], sums[width]
    squares[0], squares[width + 1] = squares[1], squares[width]
    ninth, zero, one = np.float32(1.0 / 9.0), np.float32(0.0), np.float32(1.0)
    for j in range(width):
        mean = ninth * (sums[j] + sums[j + 1] + sums[j + 2])
        square = ninth * (squares[j] + squares[j + 1] + squares[j + 2])
        reach = spread * np.sqrt(max(square - mean * mean, zero)) + one
        past[j] = min(max(past[j], mean - reach), mean + reach)


@njit(**kernels.FASTEST)
def _blend(packed, gains, most, fresh_y, fresh_o, fresh_g, y, o, g):  # type: ignore[no-untyped-def]
    """Blend the past and what was generated by their weights, in place."""
    steps, half, least = np.float32(STEPS), np.float32(0.5), np.float32(1e-6)
    for j in range(gains.size):
        kept, gain = np.float32(packed[j] & np.uint32(0xFF)) / steps, gains[j]
        share = gain / (kept + gain + least)
        y[j] += share * (fresh_y[j] - y[j])
        o[j] += share * (fresh_o[j] - o[j])
        g[j] += share * (fresh_g[j] - g[j])
        total = np.uint32(np.int32(max(min(kept + gain, most), kept * (np.float32(1.0) - share)) * steps + half))
        packed[j] = (packed[j] & np.uint32(0xFFFFFF00)) | total


@njit(**kernels.FASTEST)
def accumulate(window, left, gains, spread, most, start, stop, packed, new, totals, rgb):  # type: ignore[no-untyped-def]
    """Blend rows of a generated window into what ``reproject`` has written; columns without gain do not change.

    Args:
        window: u8 (H, w, 3), as generated.
        left: Its first column in the frame.
        gains: f32 (w,), its weight by column.
        spread: Standard deviations that the past may be off the window.
        most: Largest weight of the past.
        start: First row.
        stop: Row after the last one.
        packed: Packed pixels of the frame, written.
        new: f32 (3, ...), Y, Co, Cg of the frame, with a margin, written.
        totals: f32 (256, 4), to which some pixels of each class are added: Y, Co, Cg, count.
        rgb: u8 (H, W, 3), the image, written.
    """
    height, width = window.shape[:2]
    first, last = 0, width
    while first < width and gains[first] == 0.0:
        first += 1
    while last > first and gains[last - 1] == 0.0:
        last -= 1
    fresh = np.empty((3, 3, width), np.float32)  # Y, Co, Cg of three rows
    work = np.empty((2, last - first + 2), np.float32)
    for i in range(max(start - 1, 0), start + 1):
        _to_ycocg(window[i], fresh[i % 3, 0], fresh[i % 3, 1], fresh[i % 3, 2])
    inside = slice(MARGIN + left + first, MARGIN + left + last)
    some = slice(first, last)
    for i in range(start, stop):
        a, b, c = max(i - 1, 0) % 3, i % 3, min(i + 1, height - 1) % 3
        if i + 1 < height:
            _to_ycocg(window[i + 1], fresh[c, 0], fresh[c, 1], fresh[c, 2])
        k = i + MARGIN
        for plane in range(3):
            _clip_to_neighbours(
                fresh[a, plane, some], fresh[b, plane, some], fresh[c, plane, some], work[0], work[1], spread,
                new[plane, k, inside],
            )  # fmt: skip
        _blend(
            packed[k, inside], gains[some], most, fresh[b, 0, some], fresh[b, 1, some], fresh[b, 2, some],
            new[0, k, inside], new[1, k, inside], new[2, k, inside],
        )  # fmt: skip
        _to_rgb(new[0, k, inside], new[1, k, inside], new[2, k, inside], rgb[i, left + first : left + last])
        if i % 8 == 0:
            row = packed[k]
            for j in range(first, last, 4):
                tag = np.uint8(row[MARGIN + left + j] >> np.uint32(8))
                totals[tag, 3] += np.float32(1.0)
                for plane in range(3):
                    totals[tag, plane] += fresh[b, plane, j]


@njit(**kernels.FASTEST)
def extend_border(plane: np.ndarray) -> None:
    """Fill the margin with the border of what lies inside of it."""
    height, width = plane.shape
    for i in range(MARGIN, height - MARGIN):
        for k in range(MARGIN):
            plane[i, k] = plane[i, MARGIN]
            plane[i, width - 1 - k] = plane[i, width - 1 - MARGIN]
    for k in range(MARGIN):
        plane[k] = plane[MARGIN]
        plane[height - 1 - k] = plane[height - 1 - MARGIN]
