"""Compiled kernels over a frame's pixels, single-threaded, since three processes share the cores."""

from typing import NamedTuple

import numba
import numpy as np

from neuralsim.base import kernels
from neuralsim.base.colour import LUMA
from neuralsim.models.classes import CHANNELS, MOVERS, Channel
from neuralsim.models.sketch_gain import GAIN

#: How a class follows the simulator image: not at all; in each pixel's hue, at the brightness of its object; the same
#: at the brightness of its stretch of wall; in its sketch alone.
NONE, OBJECT, WALL, TEXTURE = 0, 1, 2, 3
CELL = 16  # px of the frame, side of the cells that the mean colours of walls are taken from
_IDS = 1 << 16
#: Chroma of a tint over the simulator image's: cars and façades of real streets have half to two thirds of a
#: simulator's.
_CHROMA = np.float32(0.6)
_BRIGHTEST = np.float32(170.0)  # of 255, tint in the dark: what is exposed like the night around it keeps its hue
#: f32 (CHANNELS,): contrast of the sketches of each class, over the simulator image's.
RELIEF = np.ones(CHANNELS, np.float32)
RELIEF[Channel.BUILDING] = 1.35  # a simulator's walls are plainer than real façades
RELIEF[Channel.VEGETATION] = 1.3  # and its crowns less deep
_IS_MOVER = np.isin(np.arange(CHANNELS), MOVERS)
_STEPS = 1020  # between differences of luminance of -255 and 255, in halves
SKETCH_OF_STEP = np.array(  # u8: sketch in 1..255, 128 = none, by halves of luminance above the tint
    [128 + round(127 * float(np.tanh(GAIN * (step - _STEPS // 2) / 2.0 / 255.0))) for step in range(_STEPS + 1)],
    np.uint8,
)


_POINT = 12  # fractional bits of fixed-point numbers


class Tables(NamedTuple):
    """Look-up tables of the kernels."""

    channel_of_tag: np.ndarray  # u8 (256,)
    kind_of_channel: np.ndarray  # u8 (CHANNELS,), of ``guide_kinds``
    sketch_of_step: np.ndarray  # u8 (1021,)
    relief: np.ndarray  # f32 (CHANNELS,): contrast of the sketches, over the simulator image's


class Pixels(NamedTuple):
    """A frame's planes that the guide is computed from, all of one size."""

    tag: np.ndarray  # u8 (H, W)
    instance: np.ndarray  # u16 (H, W)
    rgb: np.ndarray  # u8 (H, W, 3)


class Sums(NamedTuple):
    """Sums of colours (R, G, B, count), overwritten in each frame."""

    objects: np.ndarray  # i32 (65536 + CHANNELS, 4), by instance; those without an instance by class
    known: np.ndarray  # i32 (1 + 65536 + CHANNELS,): how many rows of ``objects`` are not 0, then their indices
    cells: np.ndarray  # i32 (H / cell + 1, W / cell + 1, 4), by cell of wall
    classes: np.ndarray  # i64 (CHANNELS, 4)
    runs: np.ndarray  # i32 (H, W + 2): by row the count of runs of one object, their starts, and the row's end


@numba.njit(**kernels.FAST)
def sum_colours(tables: Tables, pixels: Pixels, sums: Sums, cell: int) -> None:
    """Sum up the colours of a frame by object, by cell of wall (``cell`` px) and by class, into ``sums``."""
    channel_of_tag, kind_of_channel = tables.channel_of_tag, tables.kind_of_channel
    tag, instance, rgb = pixels.tag, pixels.instance, pixels.rgb
    objects, known, cells, classes, runs = sums
    for k in range(1, known[0] + 1):
        objects[known[k]] = 0
    known[0] = 0
    cells[:] = 0
    classes[:] = 0
    height, width = tag.shape
    for y in range(height):
        x, count = 0, 0
        while x < width:
            last, number = tag[y, x], instance[y, x]
            start = x
            count += 1
            runs[y, count] = start
            x += 1
            while x < width and tag[y, x] == last and instance[y, x] == number:
                x += 1
            channel = channel_of_tag[last]
            kind = kind_of_channel[channel]
            if kind == OBJECT:
                row = numba.int64(number) if number else _IDS + channel
                if objects[row, 3] == 0:
                    known[0] += 1
                    known[known[0]] = row
                _add(rgb[y], start, x, objects[row])
            elif kind != NONE:
                while kind == WALL and start < x:
                    end = min(x, (start // cell + 1) * cell)
                    _add(rgb[y], start, end, cells[y // cell, start // cell])
                    start = end
                _add(rgb[y], runs[y, count], x, classes[channel])
        runs[y, 0] = count
        runs[y, count + 1] = width


@numba.njit(inline="always")
def _add(rgb: np.ndarray, start: int, end: int, sums: np.ndarray) -> None:
    """Add the pixels of a part of a row u8 (W, 3), and their number, to ``sums`` (4,)."""
    red, green, blue = numba.int32(0), numba.int32(0), numba.int32(0)
    for x in range(np.uint64(start), np.uint64(end)):
        red += rgb[x, 0]
        green += rgb[x, 1]
        blue += rgb[x, 2]
    sums[0] += red
    sums[1] += green
    sums[2] += blue
    sums[3] += end - start


@numba.njit(**kernels.FAST)
def smooth_walls(cells: np.ndarray, out: np.ndarray) -> None:
    """Write means over 3x3 ``cells`` into ``out`` f32 (h, w, 2): luminance, and whether there is a wall.

    Both are 0 where there is none.
    """
    height, width = cells.shape[:2]
    for y in range(height):
        for x in range(width):
            red = green = blue = count = np.float32(0.0)
            for j in range(max(0, y - 1), min(height, y + 2)):
                for i in range(max(0, x - 1), min(width, x + 2)):
                    weight = np.float32((2.0 if j == y else 1.0) * (2.0 if i == x else 1.0))
                    red += weight * cells[j, i, 0]
                    green += weight * cells[j, i, 1]
                    blue += weight * cells[j, i, 2]
                    count += weight * cells[j, i, 3]
            scale = np.float32(1.0) / count if count > 0.0 else np.float32(0.0)
            out[y, x, 0] = _luminance(red, green, blue) * scale
            out[y, x, 1] = 1.0 if count > 0.0 else 0.0


@numba.njit(inline="always")
def _luminance(red: float, green: float, blue: float) -> float:
    """Return the luminance (ITU-R BT.601)."""
    weights = np.float32(LUMA[0]), np.float32(LUMA[1]), np.float32(LUMA[2])
    return weights[0] * red + weights[1] * green + weights[2] * blue  # type: ignore[return-value]


@numba.njit(**kernels.FAST)
def _filter_row(rgb: np.ndarray, luma: np.ndarray, out: np.ndarray, dense: bool) -> None:
    """Filter one row, ``rgb`` u8 (W, 3).

    ``luma`` i32 (W + 3,): its luminance in 256ths, with a margin of one pixel before and two behind. ``out`` i32 (W /
    2,): 8 times the mean of each two pixels of a 3-tap binomial filter; with ``dense`` of each pixel, (W,), as if it
    were two.
    """
    width = rgb.shape[0]
    for x in range(width):
        luma[x + 1] = 77 * numba.int32(rgb[x, 0]) + 150 * numba.int32(rgb[x, 1]) + 29 * numba.int32(rgb[x, 2])
    luma[0], luma[width + 1], luma[width + 2] = luma[1], luma[width], luma[width]
    if dense:
        for i in range(width):
            k = np.uint64(i)
            out[i] = luma[k] + 6 * luma[k + np.uint64(1)] + luma[k + np.uint64(2)]
        return
    for i in range((width + 1) // 2):
        k = np.uint64(2 * i)
        out[i] = luma[k] + 3 * (luma[k + np.uint64(1)] + luma[k + np.uint64(2)]) + luma[k + np.uint64(3)]


@numba.njit(inline="always")
def _pack(red: int, green: int, blue: int, sketch: int) -> int:
    """Return a pixel of the guide: four bytes, the first the lowest."""
    return numba.uint32(red | (green << 8) | (blue << 16) | (sketch << 24))  # type: ignore[no-any-return]


@numba.njit(inline="always")
def _tint(r: int, g: int, b: int, luma: int, tone: float, fixed: int) -> tuple[int, int, int]:
    """Return the tint of a pixel: as bright as ``tone``, in its own hue. ``fixed``, fixed-point, multiplies chroma."""
    base = numba.int32(tone * np.float32(1 << _POINT)) + (1 << (_POINT - 1)) - ((fixed * luma) >> 8)
    red = max(1, min(255, (base + fixed * r) >> _POINT))
    green = max(1, min(255, (base + fixed * g) >> _POINT))
    blue = max(1, min(255, (base + fixed * b) >> _POINT))
    return red, green, blue


@numba.njit(inline="always")
def _sketch(of_step: np.ndarray, total: int, tone: float, scale: float, relief: float) -> int:
    """Return the sketch where the filter's sum is ``total``, times ``scale`` a luminance, over a tint of ``tone``."""
    excess = (total * scale - tone) * relief
    return of_step[max(0, min(_STEPS, int(excess * np.float32(2.0) + np.float32(510.5))))]  # type: ignore[no-any-return]


@numba.njit(**kernels.FAST)
def _own_luminance(pixels: Pixels, y: int, x: int, luma: np.ndarray, total: int, dense: bool) -> int:
    """Return the filter's sum at a pixel from its own object alone; ``total``: that from all pixels.

    Else objects would have a rim of the luminance of what is behind them. ``luma``: that of ``write_guide``.
    """
    tag, instance = pixels.tag, pixels.instance
    height, width = tag.shape
    key, number = tag[y, x], instance[y, x]
    last = 1 if dense else 2
    part, weights = 0, 0
    for j in range(y - 1, y + last + 1):
        row = min(max(j, 0), height - 1)
        down = (6 if j == y else 1) if dense else (3 if j == y or j == y + 1 else 1)
        for i in range(x - 1, x + last + 1):
            column = min(max(i, 0), width - 1)
            if tag[row, column] == key and instance[row, column] == number:
                weight = down * ((6 if i == x else 1) if dense else (3 if i == x or i == x + 1 else 1))
                part += weight * luma[row & 3, column + 1]
                weights += weight
    return total if weights == 64 else part * 64 // weights


@numba.njit(**kernels.FAST)
def _write_row(  # type: ignore[no-untyped-def]
    y, tables, pixels, sums, wall, cell, gain, own, lumas, filtered, has_sketches, dense, out
):
    """Write one row of ``write_guide``, ``out`` u32 (W,).

    ``wall`` f32 (w, 2) of the row, ``own`` of ``write_guide``, ``lumas`` i32 (4, W + 3) and ``filtered`` of
    ``_filter_row``; ``has_sketches``: of rows with sketches.
    """
    channel_of_tag, kind_of_channel, sketch_of_step = (
        tables.channel_of_tag,
        tables.kind_of_channel,
        tables.sketch_of_step,
    )
    relief = tables.relief
    tag, instance, rgb = pixels.tag[y], pixels.instance[y], pixels.rgb[y]
    objects, classes, runs = sums.objects, sums.classes, sums.runs[y]
    luma = lumas[y & 3]
    odd = 0 if dense else 1  # the bit of columns without a sketch
    one = np.float32(1.0)
    fixed = numba.int32(gain * _CHROMA * np.float32(1 << _POINT))
    scale = gain * np.float32(1.0 / (64 * 256))
    for n in range(1, runs[0] + 1):
        start, x = runs[n], runs[n + 1]
        number = instance[start]
        channel = channel_of_tag[tag[start]]
        kind = kind_of_channel[channel]
        if kind == NONE:
            out[start:x] = 0
        elif kind == TEXTURE:
            out[start:x] = 0
            if has_sketches:
                part = gain / np.float32(classes[channel, 3])
                tone = part * _luminance(
                    np.float32(classes[channel, 0]), np.float32(classes[channel, 1]), np.float32(classes[channel, 2])
                )
                for k in range(start + (start & odd), x, 1 + odd):
                    out[k] = _pack(0, 0, 0, _sketch(sketch_of_step, filtered[k >> odd], tone, scale, relief[channel]))
        elif kind == OBJECT:
            row = numba.int64(number) if number else _IDS + channel
            part = one / np.float32(objects[row, 3])
            r, g, b = np.float32(objects[row, 0]), np.float32(objects[row, 1]), np.float32(objects[row, 2])
            tone = min(gain * part * _luminance(r, g, b), np.float32(255.0) - own * (np.float32(255.0) - _BRIGHTEST))
            for k in range(start, x):
                red, green, blue = _tint(
                    numba.int32(rgb[k, 0]), numba.int32(rgb[k, 1]), numba.int32(rgb[k, 2]), luma[k + 1], tone, fixed
                )
                sketch = 0
                if has_sketches and k & odd == 0:
                    total = filtered[k >> odd]
                    if _IS_MOVER[channel]:
                        total = _own_luminance(pixels, y, k, lumas, total, odd == 0)
                    sketch = _sketch(sketch_of_step, total, tone, scale, relief[channel])
                out[k] = _pack(red, green, blue, sketch)
        else:
            rim = wall.shape[0] - 1
            k = start
            while k < x:  # from the centre of one cell to that of the next
                i = max(0, (k - cell // 2) // cell)
                j = min(rim, i + 1)
                end = min(x, cell * i + cell * 3 // 2)
                is_mixed = min(wall[i, 1], wall[j, 1]) < one
                step = np.float32(1.0 / cell)
                for column in range(k, end):
                    u = max((np.float32(column - cell * i) + np.float32(0.5)) * step - np.float32(0.5), np.float32(0.0))
                    tone = wall[i, 0] + (wall[j, 0] - wall[i, 0]) * u
                    if is_mixed:  # not all of it is wall
                        tone /= max(wall[i, 1] + (wall[j, 1] - wall[i, 1]) * u, np.float32(1e-6))
                    tone *= gain
                    if own > np.float32(0.0):
                        lit = min(gain * luma[column + 1] * np.float32(1.0 / 256.0), _BRIGHTEST)
                        tone += own * (lit - tone)
                    red, green, blue = _tint(
                        numba.int32(rgb[column, 0]), numba.int32(rgb[column, 1]), numba.int32(rgb[column, 2]),
                        luma[column + 1], tone, fixed,
                    )  # fmt: skip
                    sketch = 0
                    if has_sketches and column & odd == 0:
                        sketch = _sketch(sketch_of_step, filtered[column >> odd], tone, scale, relief[channel])
                    out[column] = _pack(red, green, blue, sketch)
                k = end


@numba.njit(**kernels.FAST)
def write_guide(
    tables: Tables, pixels: Pixels, sums: Sums, walls: np.ndarray, cell: int, gain: float, own: float,
    luma: np.ndarray, filtered: np.ndarray, dense: bool, out: np.ndarray,
) -> None:  # fmt: skip
    """Write the guide: tint and sketch of everything that follows the simulator image.

    Args:
        tables: As for ``sum_colours``.
        pixels: As for ``sum_colours``.
        sums: As ``sum_colours`` wrote them.
        walls: f32 (h, w, 2), of ``smooth_walls``.
        cell: Side of a cell of wall, px.
        gain: Exposure of the generated image over that of the simulator image.
        own: Share of each pixel's own brightness in the tint of walls, 0..1: in the dark, lit windows are no part of a
            wall's mean.
        luma: i32 (4, W + 3), working space.
        filtered: i32 (5, W), working space.
        dense: Whether every pixel gets a sketch, not only those of even rows and columns.
        out: u32 (H, W), four bytes from the lowest on: tint 1..255 (0: the surface's own), then the sketch 1..255
            (128: none, 0: the surface's own).
    """
    tag, rgb = pixels.tag, pixels.rgb
    height = tag.shape[0]
    gain_, own_ = np.float32(gain), np.float32(own)
    wall = np.empty(walls.shape[1:], np.float32)
    blurred = filtered[4]
    ready = 0  # count of rows filtered so far
    for y in range(height):
        while ready < min(y + 3, height):
            _filter_row(rgb[ready], luma[ready & 3], filtered[ready & 3], dense)
            ready += 1
        if dense:
            above, here, below = filtered[max(y - 1, 0) & 3], filtered[y & 3], filtered[min(y + 1, height - 1) & 3]
            for i in range(blurred.shape[0]):
                blurred[i] = above[i] + 6 * here[i] + below[i]
        elif y & 1 == 0:
            above, here = filtered[max(y - 1, 0) & 3], filtered[y & 3]
            below, under = filtered[min(y + 1, height - 1) & 3], filtered[min(y + 2, height - 1) & 3]
            for i in range((tag.shape[1] + 1) // 2):
                blurred[i] = above[i] + 3 * (here[i] + below[i]) + under[i]
        at = (np.float32(y) + np.float32(0.5)) * np.float32(1.0 / cell) - np.float32(0.5)
        i = max(0, int(at))
        j = min(walls.shape[0] - 1, i + 1)
        v = min(max(at - np.float32(i), np.float32(0.0)), np.float32(1.0))
        for k in range(wall.shape[0]):
            for n in range(2):
                wall[k, n] = walls[i, k, n] + (walls[j, k, n] - walls[i, k, n]) * v
        has_sketches = dense or y & 1 == 0
        _write_row(y, tables, pixels, sums, wall, cell, gain_, own_, luma, blurred, has_sketches, dense, out[y])


@numba.njit(**kernels.FAST)
def upsample_guide(tag: np.ndarray, instance: np.ndarray, half: np.ndarray, out: np.ndarray) -> None:
    """Write the guide ``out`` u32 (H, W) from that of every second pixel, ``half`` u32 ((H + 1) / 2, (W + 1) / 2).

    Each pixel of ``half`` has a sketch. Even rows and columns are copied. Other pixels get the tint of the first of the
    pixels around, from the upper left on, that has their ``tag`` u8 and ``instance`` u16 (H, W); if none has, the
    surface's own.
    """
    height, width, one, tint = np.uint64(tag.shape[0]), np.uint64(tag.shape[1]), np.uint64(1), np.uint32(0xFFFFFF)
    for y in range(height):
        up, marks = y - (y & one), half[y >> one]
        tags, numbers, above, others, row = tag[y], instance[y], tag[up], instance[up], out[y]
        for x in range(width):
            left = x - (x & one)
            if tags[x] != above[left] or numbers[x] != others[left]:
                row[x] = _matching_mark(tag, instance, half, y, x) & tint
            elif x == left and y == up:
                row[x] = marks[x >> one]
            else:
                row[x] = marks[x >> one] & tint


@numba.njit(**kernels.FAST)
def _matching_mark(tag: np.ndarray, instance: np.ndarray, half: np.ndarray, y: int, x: int) -> int:
    """Return the guide at the first of the even rows and columns around pixel (y, x) that shows the same object, else
    0."""
    key, number, one = tag[y, x], instance[y, x], np.uint64(1)
    for row in (y - (y & one), y + (y & one)):
        for column in (x - (x & one), x + (x & one)):
            inside = row < np.uint64(tag.shape[0]) and column < np.uint64(tag.shape[1])
            if inside and tag[row, column] == key and instance[row, column] == number:
                return half[row >> one, column >> one]  # type: ignore[no-any-return]
    return numba.uint32(0)  # type: ignore[no-any-return]


def guide_kinds(lit: bool = False) -> np.ndarray:
    """Return how each class follows the simulator image, u8 (CHANNELS,).

    Roads and pavements follow only in what is darker or brighter than their mean: their colour is the style's. Where
    the ground is ``lit`` by lamps or mirrors what is above it, it follows in colour as well. The sky does not follow.
    """
    out = np.full(CHANNELS, NONE, np.uint8)
    for channel in (*MOVERS, Channel.SIGN, Channel.BARRIER, Channel.POLE, Channel.OTHER):
        out[channel] = OBJECT
    out[[Channel.BUILDING, Channel.VEGETATION, Channel.TERRAIN]] = WALL
    out[[Channel.ROAD, Channel.ROAD_LINE, Channel.SIDEWALK]] = WALL if lit else TEXTURE
    return out
