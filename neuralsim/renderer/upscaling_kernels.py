"""The compiled pixel work of ``upscaling``, two rows at a time, by bands of rows (``bridge/bands.py``).

Colours are accumulated as Y = (R + 2 G + B) / 4, Co = R - B, Cg = G - (R + B) / 2 (Malvar and Sullivan, JVT-I014,
2003), in 0..255, so that the box to which the past is clipped lies along the axis on which pictures vary most. A
pixel's *word* is its instance, its tag and, in the lowest byte, the weight of its past in steps of 1 / 16. All planes
of the past have a margin, so that no look-up has to ask where the picture ends.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MARGIN = 4  # px
NOTHING = np.uint32(0xFFFFFF00)  # word of what is no part of the picture
STEPS = 16.0  # of a weight of 1
HEAVIEST = 15.0  # weight that a byte holds

_REACH = 48  # px to either side in which an uncovered pixel looks for more of the same surface
_JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": True}


@njit(inline="always")
def _single(half: int) -> np.float32:
    """The f32 of f16 bits; subnormals read as some 1e-5, which is as good for pixels."""
    bits = (np.uint32(half) & np.uint32(0x7FFF)) << np.uint32(13)
    bits = (bits + np.uint32(112 << 23)) | ((np.uint32(half) & np.uint32(0x8000)) << np.uint32(16))
    return np.uint32(bits).view(np.float32)


@njit(**_JIT)
def _nearest(depth, motion, top, metres, moved):  # type: ignore[no-untyped-def]
    """Depth and motion (both halves in a u32) of the nearest surface of each column of the four rows around ``top``,
    into rows with one more at either end."""
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


@njit(**_JIT)
def _follow(metres, moved, x, y):  # type: ignore[no-untyped-def]
    """Motion for each 2x2 pixels: of the nearest surface in the 4x4 around them, so that the rim of what is near, where
    pixels show some of both, goes with it."""
    for q in range(np.uint64(x.size)):
        j = np.uint64(2) * q
        d0, d1, d2, d3 = metres[j], metres[j + np.uint64(1)], metres[j + np.uint64(2)], metres[j + np.uint64(3)]
        m0, m1, m2, m3 = moved[j], moved[j + np.uint64(1)], moved[j + np.uint64(2)], moved[j + np.uint64(3)]
        left, right = d0 < d1, d3 < d2
        d0, m0 = d0 if left else d1, m0 if left else m1
        d2, m2 = d3 if right else d2, m3 if right else m2
        m = m2 if d2 < d0 else m0
        x[q], y[q] = _single(m & np.uint32(0xFFFF)), _single(m >> np.uint32(16))


@njit(inline="always")
def _cubic(f):  # type: ignore[no-untyped-def]
    """Catmull-Rom weights of the four samples around a point ``f`` of the way from the second to the third."""
    half, one = np.float32(0.5), np.float32(1.0)
    a = f * (-half + f * (one - half * f))
    b = one + f * f * (np.float32(-2.5) + np.float32(1.5) * f)
    c = f * (half + f * (np.float32(2.0) - np.float32(1.5) * f))
    return a, b, c, one - a - b - c


@njit(**_JIT)
def _mixed(old, at, new, here, stride):  # type: ignore[no-untyped-def]
    """Weight of a past that showed another thing: kept where the pixel was, and is, on the outline between the two."""
    one, eight = np.uint64(1), np.uint32(8)
    key, other = new[here] >> eight, old[at] >> eight
    was = is_ = False
    for r in range(3):
        for c in range(3):
            aside = np.uint64(r) * stride + np.uint64(c) - stride - one
            was = was or (old[at + aside] >> eight) == key
            is_ = is_ or (new[here + aside] >> eight) == other
    return old[at] & np.uint32(0xFF) if was and is_ else np.uint32(0)


@njit(inline="always")
def _weigh(old, at, new, here, stride):  # type: ignore[no-untyped-def]
    """Put the weight of the past at ``at`` into the word at ``here``."""
    word, key = old[at], new[here] & np.uint32(0xFFFFFF00)
    if (word ^ key) < np.uint32(256):
        new[here] = word
    else:
        new[here] = key | _mixed(old, at, new, here, stride)


@njit(**_JIT)
def _recall(  # type: ignore[no-untyped-def]
    top, move_x, move_y, old_words, old_y, old_o, old_g, words, upper, lower, stride, height, width
):
    """Two rows of the past from where they were: Y by Catmull-Rom, chroma bilinearly. Four pixels go as one, since
    their movements differ by hundredths of a pixel."""
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
        _weigh(old_words, near, words, j, stride)
        _weigh(old_words, near + u1, words, j + u1, stride)
        _weigh(old_words, near + stride, words, under, stride)
        _weigh(old_words, near + stride + u1, words, under + u1, stride)
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


@njit(**_JIT)
def _patch(words, above, y, o, g, over_y, over_o, over_g, means, uncovered):  # type: ignore[no-untyped-def]
    """Colours for what has come into view in a row: of the nearest past of the same thing to either side, else of the
    row above, else its class's mean. ``uncovered`` counts such pixels by column."""
    eight, weight = np.uint32(8), np.uint32(0xFF)
    width = words.size
    for j in range(width):
        if words[j] & weight:
            continue
        uncovered[j] += 1
        key, found = words[j] >> eight, -1
        for k in range(1, _REACH):
            for side in range(2):
                at = j - k if side == 0 else j + k
                if 0 <= at < width and (words[at] >> eight) == key and words[at] & weight:
                    found = at
                    break
            if found >= 0:
                break
        if found >= 0:
            y[j], o[j], g[j] = y[found], o[found], g[found]
        elif (above[j] >> eight) == key:
            y[j], o[j], g[j] = over_y[j], over_o[j], over_g[j]
        else:
            tag = np.uint8(key)
            y[j], o[j], g[j] = means[tag, 0], means[tag, 1], means[tag, 2]


@njit(**_JIT)
def _show(y, o, g, rgb):  # type: ignore[no-untyped-def]
    """A row of Y, Co, Cg as u8 (w, 3)."""
    zero, full, half = np.float32(0.0), np.float32(255.0), np.float32(0.5)
    planes = np.empty((3, y.size), np.uint8)  # put side by side afterwards: in one go it would be done pixel by pixel
    red, green, blue = planes[0], planes[1], planes[2]
    for j in range(np.uint64(y.size)):
        middle = y[j] - half * g[j] + half
        red[j] = np.uint8(np.int32(min(max(middle + half * o[j], zero), full)))
        green[j] = np.uint8(np.int32(min(max(y[j] + half * g[j] + half, zero), full)))
        blue[j] = np.uint8(np.int32(min(max(middle - half * o[j], zero), full)))
    for j in range(np.uint64(y.size)):
        rgb[j, 0], rgb[j, 1], rgb[j, 2] = red[j], green[j], blue[j]


@njit(**_JIT)
def mark(tag: np.ndarray, instance: np.ndarray, words: np.ndarray, start: int, stop: int) -> None:
    """Words of the rows from ``start`` to before ``stop`` of a frame without any past; ``tag`` u8 and ``instance`` u16
    (H, W), ``words`` u32 with a margin."""
    width = tag.shape[1]
    for i in range(start, stop):
        row, tags, instances = words[i + MARGIN, MARGIN : MARGIN + width], tag[i], instance[i]
        for j in range(np.uint64(width)):
            row[j] = (np.uint32(instances[j]) << np.uint32(16)) | (np.uint32(tags[j]) << np.uint32(8))


@njit(**_JIT)
def move(  # type: ignore[no-untyped-def]
    motion, depth, old_words, old, words, new, means, start, stop, uncovered, rgb
):
    """The past as this frame sees it, and what is shown where nothing is painted anew: the rows from ``start``, which
    is even, to before ``stop``.

    ``motion`` u32 (H, W): both f16 of the plane, px; ``depth`` f32 (H, W) m; ``old_words`` u32 and ``old`` f32
    (3, ...): the past, Y, Co, Cg, with a margin; ``words``: of this frame, without weights yet; ``means`` f32
    (256, 3): colour of each class. Written: weights in ``words``, ``new``, ``uncovered`` i32 (W,) and ``rgb`` u8
    (H, W, 3).
    """
    height, width = depth.shape
    metres, moved = np.empty(width + 2, np.float32), np.empty(width + 2, np.uint32)
    x, y = np.empty((width + 1) // 2, np.float32), np.empty((width + 1) // 2, np.float32)
    stride = np.uint64(old_words.shape[1])
    flat_old, rows = old.reshape(3, -1), np.empty((2, 3, width), np.float32)
    flat_old_words, flat_words = old_words.reshape(-1), words.reshape(-1)
    inside = slice(MARGIN, MARGIN + width)
    uncovered[:] = 0
    for i in range(start, stop, 2):
        top = min(i, height - 2)
        _nearest(depth, motion, top, metres, moved)
        _follow(metres, moved, x[: width // 2], y[: width // 2])
        if width % 2:
            x[width // 2], y[width // 2] = x[width // 2 - 1], y[width // 2 - 1]
        _recall(
            top, x, y, flat_old_words, flat_old[0], flat_old[1], flat_old[2], flat_words, rows[0], rows[1], stride,
            height, width,
        )  # fmt: skip
        for k in range(MARGIN + top, MARGIN + top + 2):
            for plane in range(3):
                new[plane, k, inside] = rows[k - MARGIN - top, plane]
            above = 0 if k == MARGIN + start else k - 1  # not another band's, which may not be there yet: nothing
            _patch(
                words[k, inside], words[above, inside], new[0, k, inside], new[1, k, inside], new[2, k, inside],
                new[0, above, inside], new[1, above, inside], new[2, above, inside], means, uncovered,
            )  # fmt: skip
            _show(new[0, k, inside], new[1, k, inside], new[2, k, inside], rgb[k - MARGIN])


@njit(**_JIT)
def _separate(rgb, y, o, g):  # type: ignore[no-untyped-def]
    """A row of u8 (w, 3) as Y, Co, Cg."""
    for j in range(y.size):
        red, green, blue = np.float32(rgb[j, 0]), np.float32(rgb[j, 1]), np.float32(rgb[j, 2])
        half = np.float32(0.5) * (red + blue)
        y[j], o[j], g[j] = np.float32(0.5) * (half + green), red - blue, green - half


@njit(**_JIT)
def _clip(above, here, below, sums, squares, spread, past):  # type: ignore[no-untyped-def]
    """A row of the past between mean -+ ``spread`` standard deviations of the painted 3x3 around each pixel (Salvi, GDC
    2016)."""
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


@njit(**_JIT)
def _blend(words, gains, most, fresh_y, fresh_o, fresh_g, y, o, g):  # type: ignore[no-untyped-def]
    """The past and what was painted by their weights, in place."""
    steps, half, least = np.float32(STEPS), np.float32(0.5), np.float32(1e-6)
    for j in range(gains.size):
        kept, gain = np.float32(words[j] & np.uint32(0xFF)) / steps, gains[j]
        share = gain / (kept + gain + least)
        y[j] += share * (fresh_y[j] - y[j])
        o[j] += share * (fresh_o[j] - o[j])
        g[j] += share * (fresh_g[j] - g[j])
        total = np.uint32(np.int32(max(min(kept + gain, most), kept * (np.float32(1.0) - share)) * steps + half))
        words[j] = (words[j] & np.uint32(0xFFFFFF00)) | total


@njit(**_JIT)
def accept(painted, left, gains, spread, most, start, stop, words, new, totals, rgb):  # type: ignore[no-untyped-def]
    """Blend the rows from ``start`` to before ``stop`` of the window ``painted`` u8 (H, w, 3), from column ``left`` on,
    into what ``move`` has made.

    ``gains`` f32 (w,): its weight by column; ``spread`` in standard deviations; ``most``: greatest weight of the past.
    Columns without gain stay as they are. Some pixels of each class are added to ``totals`` f32 (256, 4): Y, Co, Cg,
    how many.
    """
    height, width = painted.shape[:2]
    first, last = 0, width
    while first < width and gains[first] == 0.0:
        first += 1
    while last > first and gains[last - 1] == 0.0:
        last -= 1
    fresh = np.empty((3, 3, width), np.float32)  # Y, Co, Cg of three rows
    work = np.empty((2, last - first + 2), np.float32)
    for i in range(max(start - 1, 0), start + 1):
        _separate(painted[i], fresh[i % 3, 0], fresh[i % 3, 1], fresh[i % 3, 2])
    inside = slice(MARGIN + left + first, MARGIN + left + last)
    some = slice(first, last)
    for i in range(start, stop):
        a, b, c = max(i - 1, 0) % 3, i % 3, min(i + 1, height - 1) % 3
        if i + 1 < height:
            _separate(painted[i + 1], fresh[c, 0], fresh[c, 1], fresh[c, 2])
        k = i + MARGIN
        for plane in range(3):
            _clip(
                fresh[a, plane, some], fresh[b, plane, some], fresh[c, plane, some], work[0], work[1], spread,
                new[plane, k, inside],
            )  # fmt: skip
        _blend(
            words[k, inside], gains[some], most, fresh[b, 0, some], fresh[b, 1, some], fresh[b, 2, some],
            new[0, k, inside], new[1, k, inside], new[2, k, inside],
        )  # fmt: skip
        _show(new[0, k, inside], new[1, k, inside], new[2, k, inside], rgb[i, left + first : left + last])
        if i % 8 == 0:
            row = words[k]
            for j in range(first, last, 4):
                tag = np.uint8(row[MARGIN + left + j] >> np.uint32(8))
                totals[tag, 3] += np.float32(1.0)
                for plane in range(3):
                    totals[tag, plane] += fresh[b, plane, j]


@njit(**_JIT)
def surround(plane: np.ndarray) -> None:
    """Repeat the border of what lies inside the margin, all over the margin."""
    height, width = plane.shape
    for i in range(MARGIN, height - MARGIN):
        for k in range(MARGIN):
            plane[i, k] = plane[i, MARGIN]
            plane[i, width - 1 - k] = plane[i, width - 1 - MARGIN]
    for k in range(MARGIN):
        plane[k] = plane[MARGIN]
        plane[height - 1 - k] = plane[height - 1 - MARGIN]
