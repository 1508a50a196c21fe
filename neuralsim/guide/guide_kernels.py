"""Compiled passes over a frame's pixels, single-threaded: three processes share the cores."""

from __future__ import annotations

import numba
import numpy as np

from neuralsim.models.classes import CHANNELS, MOVERS, Channel

#: How a class follows the simulator's picture: not at all; in each pixel's hue, at the brightness of its object; the
#: same at the brightness of its stretch of wall; in its sketch alone.
NONE, OBJECT, WALL, TEXTURE = 0, 1, 2, 3
CELL = 16  # px of the frame, side of the cells whose mean colours are a wall's
_IDS = 1 << 16
_GAIN = 4.5  # of the sketch, about the middle of those in training (``neuralsim/training/data/conditioning.py``)
#: Of 255: how bright the brightest channel of a lamp is at least, how far it is over the least one, and how much
#: brighter the lamp is than its object in the sum of the three.
_LAMP, _HUE, _BRIGHTER = 130, 70, 90.0
#: By how much purer a lamp is than its object with its grey panes and tyres, if that moves by itself, and its chroma
#: over the sum of RGB at least: paint in the sun has a third. What is as red as the third number, and more so than
#: green by the fourth, that is red to amber, is a lamp even so.
_THAN_PAINT, _PURE, _SURELY, _AMBER = np.float32(1.6), np.float32(0.5), 230, np.float32(1.2)
#: Of a tint's chroma, over the picture's: cars and façades of real streets have half to two thirds of a simulator's.
_CHROMA = np.float32(0.6)
_PURER = np.float32(1.5)  # of a lamp's tint: its distance from white, over the picture's
_RELIEF = np.float32(1.35)  # of walls' sketches: those of a simulator are plainer than real fronts
_MOVING = np.isin(np.arange(CHANNELS), MOVERS)
_STEPS = 1020  # of differences of luminance, -255..255 in halves
_SKETCH = np.array(  # u8: sketch in 1..255, 128 = none, by halves of luminance above the tint
    [128 + round(127 * float(np.tanh(_GAIN * (step - _STEPS // 2) / 2.0 / 255.0))) for step in range(_STEPS + 1)],
    np.uint8,
)


_JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}
_POINT = 12  # bits behind the point of fixed-point numbers


@numba.njit(**_JIT)
def means(
    channel_of_tag: np.ndarray,
    kind_of_channel: np.ndarray,
    tag: np.ndarray,
    instance: np.ndarray,
    rgb: np.ndarray,
    objects: np.ndarray,
    known: np.ndarray,
    cells: np.ndarray,
    cell: int,
    classes: np.ndarray,
    runs: np.ndarray,
) -> None:
    """Sum up colours by object, by cell of wall and by class.

    ``channel_of_tag`` u8 (256,), ``kind_of_channel`` u8 (CHANNELS,); ``tag`` u8, ``instance`` u16 (H, W), ``rgb`` u8
    (H, W, 3); sums (R, G, B, count): ``objects`` i32 (65536 + CHANNELS, 4), those without an instance by class, whose
    rows that are not 0 ``known`` i32 (1 + 65536 + CHANNELS,) lists, behind their number; ``cells`` i32 (H / cell + 1,
    W / cell + 1, 4); ``classes`` i64 (CHANNELS, 4). ``runs`` i32 (H, W + 2): how many runs of pixels of one object each
    row has, and where they begin, and the row's end. What they all hold of the frame before is overwritten.
    """
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


@numba.njit(**_JIT)
def smoothed(cells: np.ndarray, out: np.ndarray) -> None:
    """``out`` f32 (h, w, 3): means over 3x3 ``cells`` of the luminance and of the sum of RGB, both times the share of
    the last channel, which is 0 where there is no wall."""
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
            out[y, x, 0] = _tone(red, green, blue) * scale
            out[y, x, 1] = (red + green + blue) * scale
            out[y, x, 2] = 1.0 if count > 0.0 else 0.0


@numba.njit(inline="always")
def _tone(red: float, green: float, blue: float) -> float:
    """Luminance (ITU-R BT.601)."""
    return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue  # type: ignore[return-value]


@numba.njit(**_JIT)
def _filter(rgb: np.ndarray, luma: np.ndarray, out: np.ndarray, dense: bool) -> None:
    """One row, ``rgb`` u8 (W, 3): its luminance, ``luma`` i32 (W + 3,), in 256ths, with a rim of a pixel before and two
    behind; ``out`` i32 (W / 2,): 8 times the mean of each two pixels of a 3-tap binomial filter. ``dense``: of each
    pixel, (W,), as if it were two."""
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
def _mark(red: int, green: int, blue: int, sketch: int) -> int:
    """A pixel of the guide: four bytes, the first the lowest."""
    return numba.uint32(red | (green << 8) | (blue << 16) | (sketch << 24))  # type: ignore[no-any-return]


@numba.njit(inline="always")
def _coloured(
    r: int, g: int, b: int, luma: int, tone: float, usual: float, paint: float, purer: float, gain: float, fixed: int
) -> tuple[int, int, int, float]:
    """Tint of a pixel, and how bright that is: as bright as the whole (``tone``), in its own hue.

    A lamp (bright, of a pure hue, brighter than its object, whose sum of RGB is ``usual``, and very bright red to
    amber, or of more chroma than ``paint`` of its sum of RGB) is as bright as it is: brighter still, it would turn
    white; and purer by ``purer``, for the painter whitens what is bright, though no purer than its hue can be (yellow
    would turn to orange). ``gain`` of its luminance; ``fixed`` point: that of all other chroma.
    """
    most, least = max(r, g, b), min(r, g, b)
    total, chroma = r + g + b, most - least
    lit = most >= _LAMP and chroma >= _HUE and total - usual > _BRIGHTER
    if lit and ((r >= _SURELY and r > _AMBER * g) or chroma > paint * total):
        pure = min(purer, (most - 1) / chroma)
        red = max(1, int(most - pure * (most - r)))
        green = max(1, int(most - pure * (most - g)))
        blue = max(1, int(most - pure * (most - b)))
        return red, green, blue, gain * luma * np.float32(1.0 / 256.0)  # type: ignore[return-value]
    base = numba.int32(tone * np.float32(1 << _POINT)) + (1 << (_POINT - 1)) - ((fixed * luma) >> 8)
    red = max(1, min(255, (base + fixed * r) >> _POINT))
    green = max(1, min(255, (base + fixed * g) >> _POINT))
    blue = max(1, min(255, (base + fixed * b) >> _POINT))
    return red, green, blue, tone


@numba.njit(inline="always")
def _sketched(of_step: np.ndarray, total: int, tone: float, scale: float, relief: float) -> int:
    """Sketch where the filter's sum is ``total``, times ``scale`` a luminance, in a tint as bright as ``tone``."""
    excess = (total * scale - tone) * relief
    return of_step[max(0, min(_STEPS, int(excess * np.float32(2.0) + np.float32(510.5))))]  # type: ignore[no-any-return]


@numba.njit(**_JIT)
def _row(
    channel_of_tag: np.ndarray,
    kind_of_channel: np.ndarray,
    sketch_of_step: np.ndarray,
    tag: np.ndarray,
    instance: np.ndarray,
    rgb: np.ndarray,
    objects: np.ndarray,
    wall: np.ndarray,
    cell: int,
    classes: np.ndarray,
    runs: np.ndarray,
    gain: float,
    luma: np.ndarray,
    sums: np.ndarray,
    sketches: bool,
    dense: bool,
    out: np.ndarray,
) -> None:
    """One row of ``write``: ``wall`` f32 (w, 3) there; ``luma``, ``sums``: of ``_filter``; ``sketches``: of a row that
    has them; ``out`` u32 (W,)."""
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
            if sketches:
                part = gain / np.float32(classes[channel, 3])
                tone = part * _tone(
                    np.float32(classes[channel, 0]), np.float32(classes[channel, 1]), np.float32(classes[channel, 2])
                )
                for k in range(start + (start & odd), x, 1 + odd):
                    out[k] = _mark(0, 0, 0, _sketched(sketch_of_step, sums[k >> odd], tone, scale, one))
        elif kind == OBJECT:
            row = numba.int64(number) if number else _IDS + channel
            part = one / np.float32(objects[row, 3])
            r, g, b = np.float32(objects[row, 0]), np.float32(objects[row, 1]), np.float32(objects[row, 2])
            tone, usual = gain * part * _tone(r, g, b), part * (r + g + b)
            paint = np.float32(0.0)
            if _MOVING[channel] and usual > paint:
                paint = max(_PURE, _THAN_PAINT * (max(r, g, b) - min(r, g, b)) / (r + g + b))
            for k in range(start, x):
                red, green, blue, bright = _coloured(
                    numba.int32(rgb[k, 0]), numba.int32(rgb[k, 1]), numba.int32(rgb[k, 2]), luma[k + 1], tone, usual,
                    paint, _PURER, gain, fixed,
                )  # fmt: skip
                sketch = 0
                if sketches and k & odd == 0:
                    sketch = _sketched(sketch_of_step, sums[k >> odd], bright, scale, one)
                out[k] = _mark(red, green, blue, sketch)
        else:
            rim = wall.shape[0] - 1
            k = start
            while k < x:  # from the middle of one cell to that of the next
                i = max(0, (k - cell // 2) // cell)
                j = min(rim, i + 1)
                end = min(x, cell * i + cell * 3 // 2)
                bare = min(wall[i, 2], wall[j, 2]) < one
                step = np.float32(1.0 / cell)
                for column in range(k, end):
                    u = max((np.float32(column - cell * i) + np.float32(0.5)) * step - np.float32(0.5), np.float32(0.0))
                    tone = wall[i, 0] + (wall[j, 0] - wall[i, 0]) * u
                    usual = wall[i, 1] + (wall[j, 1] - wall[i, 1]) * u
                    if bare:  # not all of it is wall
                        part = one / max(wall[i, 2] + (wall[j, 2] - wall[i, 2]) * u, np.float32(1e-6))
                        tone, usual = tone * part, usual * part
                    tone *= gain
                    red, green, blue, bright = _coloured(
                        numba.int32(rgb[column, 0]), numba.int32(rgb[column, 1]), numba.int32(rgb[column, 2]),
                        luma[column + 1], tone, usual, np.float32(0.0), one, gain, fixed,
                    )  # fmt: skip
                    sketch = 0
                    if sketches and column & odd == 0:
                        sketch = _sketched(sketch_of_step, sums[column >> odd], bright, scale, _RELIEF)
                    out[column] = _mark(red, green, blue, sketch)
                k = end


@numba.njit(**_JIT)
def write(
    channel_of_tag: np.ndarray,
    kind_of_channel: np.ndarray,
    sketch_of_step: np.ndarray,
    tag: np.ndarray,
    instance: np.ndarray,
    rgb: np.ndarray,
    objects: np.ndarray,
    walls: np.ndarray,
    cell: int,
    classes: np.ndarray,
    runs: np.ndarray,
    gain: float,
    luma: np.ndarray,
    filtered: np.ndarray,
    dense: bool,
    out: np.ndarray,
) -> None:
    """The guide: tint and sketch of what follows the picture.

    ``channel_of_tag``, ``kind_of_channel``, ``tag``, ``instance``, ``rgb`` as in ``means``, which makes ``objects``,
    ``classes`` and ``runs``; ``sketch_of_step`` u8 (1021,); ``walls`` f32 (h, w, 3) of ``smoothed``; ``gain``: exposure
    of what is painted over that of the picture; ``luma`` i32 (4, W + 3) and ``filtered`` i32 (5, W), working space;
    ``out`` u32 (H, W), four bytes from the lowest on: tint 1..255 (0: the surface's own), and at even rows and columns,
    or everywhere if it is ``dense``, the sketch 1..255 (128 none, 0: the surface's own).
    """
    height = tag.shape[0]
    gain_ = np.float32(gain)
    wall = np.empty(walls.shape[1:], np.float32)
    sums = filtered[4]
    ready = 0  # rows that have been filtered
    for y in range(height):
        while ready < min(y + 3, height):
            _filter(rgb[ready], luma[ready & 3], filtered[ready & 3], dense)
            ready += 1
        if dense:
            above, here, below = filtered[max(y - 1, 0) & 3], filtered[y & 3], filtered[min(y + 1, height - 1) & 3]
            for i in range(sums.shape[0]):
                sums[i] = above[i] + 6 * here[i] + below[i]
        elif y & 1 == 0:
            above, here = filtered[max(y - 1, 0) & 3], filtered[y & 3]
            below, under = filtered[min(y + 1, height - 1) & 3], filtered[min(y + 2, height - 1) & 3]
            for i in range((tag.shape[1] + 1) // 2):
                sums[i] = above[i] + 3 * (here[i] + below[i]) + under[i]
        at = (np.float32(y) + np.float32(0.5)) * np.float32(1.0 / cell) - np.float32(0.5)
        i = max(0, int(at))
        j = min(walls.shape[0] - 1, i + 1)
        v = min(max(at - np.float32(i), np.float32(0.0)), np.float32(1.0))
        for k in range(wall.shape[0]):
            for n in range(3):
                wall[k, n] = walls[i, k, n] + (walls[j, k, n] - walls[i, k, n]) * v
        _row(
            channel_of_tag, kind_of_channel, sketch_of_step, tag[y], instance[y], rgb[y], objects, wall, cell, classes,
            runs[y], gain_, luma[y & 3], sums, dense or y & 1 == 0, dense, out[y],
        )  # fmt: skip


@numba.njit(**_JIT)
def enlarge(tag: np.ndarray, instance: np.ndarray, half: np.ndarray, out: np.ndarray) -> None:
    """Write the guide ``out`` u32 (H, W) from that of every second pixel, ``half`` u32 ((H + 1) / 2, (W + 1) / 2), with
    a sketch in each: the same at even rows and columns, elsewhere the tint of the first of the pixels around, from the
    upper left on, that has this one's ``tag`` u8 and ``instance`` u16 (H, W); if none has, the surface's own."""
    height, width, one, tint = np.uint64(tag.shape[0]), np.uint64(tag.shape[1]), np.uint64(1), np.uint32(0xFFFFFF)
    for y in range(height):
        up, marks = y - (y & one), half[y >> one]
        tags, numbers, above, others, row = tag[y], instance[y], tag[up], instance[up], out[y]
        for x in range(width):
            left = x - (x & one)
            if tags[x] != above[left] or numbers[x] != others[left]:
                row[x] = _like(tag, instance, half, y, x) & tint
            elif x == left and y == up:
                row[x] = marks[x >> one]
            else:
                row[x] = marks[x >> one] & tint


@numba.njit(**_JIT)
def _like(tag: np.ndarray, instance: np.ndarray, half: np.ndarray, y: int, x: int) -> int:
    """The guide at the first of the even rows and columns around pixel (y, x) that shows what it shows, 0 if none
    does."""
    key, number, one = tag[y, x], instance[y, x], np.uint64(1)
    for row in (y - (y & one), y + (y & one)):
        for column in (x - (x & one), x + (x & one)):
            inside = row < np.uint64(tag.shape[0]) and column < np.uint64(tag.shape[1])
            if inside and tag[row, column] == key and instance[row, column] == number:
                return half[row >> one, column >> one]  # type: ignore[no-any-return]
    return numba.uint32(0)  # type: ignore[no-any-return]


def kinds() -> np.ndarray:
    """u8 (CHANNELS,): how each class follows the picture. Of the ground only what is darker or brighter than its mean:
    its colour is the style's. The sky does not: a simulator's is plainer than its surface noise."""
    out = np.full(CHANNELS, NONE, np.uint8)
    for channel in (*MOVERS, Channel.SIGN, Channel.BARRIER, Channel.POLE, Channel.OTHER):
        out[channel] = OBJECT
    out[Channel.BUILDING] = WALL
    out[[Channel.VEGETATION, Channel.ROAD, Channel.ROAD_LINE, Channel.SIDEWALK, Channel.TERRAIN]] = TEXTURE
    return out


@numba.njit(cache=True, nogil=True)
def boxes(channel_of_tag: np.ndarray, channel: int, tag: np.ndarray, instance: np.ndarray, out: np.ndarray) -> None:
    """Each object of a class: ``out`` i32 (65536, 5), zeroed here, gets top, bottom, left, right (exclusive), size.

    Args:
        channel_of_tag: u8 (256,).
        channel: The class.
        tag: u8 (H, W).
        instance: u16 (H, W).
        out: i32 (65536, 5), overwritten.
    """
    out[:] = 0
    height, width = tag.shape
    for y in range(height):
        for x in range(width):
            if channel_of_tag[tag[y, x]] != channel or not instance[y, x]:
                continue
            box = out[instance[y, x]]
            if box[4] == 0:
                box[0], box[1], box[2], box[3] = y, y + 1, x, x + 1
            else:
                box[1] = y + 1
                box[2] = min(box[2], x)
                box[3] = max(box[3], x + 1)
            box[4] += 1


@numba.njit(cache=True, nogil=True)
def lay(
    channel_of_tag: np.ndarray,
    channel: int,
    number: int,
    tag: np.ndarray,
    instance: np.ndarray,
    sketch: np.ndarray,
    tint: np.ndarray,
    box: np.ndarray,
    mirrored: bool,
    out: np.ndarray,
) -> None:
    """Lay ``tint`` and ``sketch`` into the ``box`` of an object, bilinearly, where the object is; the sketch at even
    rows and columns only.

    Args:
        channel_of_tag: u8 (256,).
        channel: The object's class.
        number: Its instance.
        tag: u8 (H, W).
        instance: u16 (H, W).
        sketch: u8 (h, w), the last channel of ``out``.
        tint: f32 (h', w', 3), 1..255, the others.
        box: i64 (4,): top, bottom, left, right (exclusive), px.
        mirrored: Whether both are laid in left to right.
        out: u8 (H, W, 4), changed.
    """
    height, width = tag.shape
    y0, y1, x0, x1 = box
    for y in range(y0, min(y1, height)):
        v = (y - y0 + 0.5) / (y1 - y0)
        i, down = _between(v, tint.shape[0])
        k, under = _between(v, sketch.shape[0])
        for x in range(max(0, x0), min(x1, width)):
            if instance[y, x] != number or channel_of_tag[tag[y, x]] != channel:
                continue
            u = (x - x0 + 0.5) / (x1 - x0)
            u = 1.0 - u if mirrored else u
            j, right = _between(u, tint.shape[1])
            for n in range(3):
                above = tint[i, j, n] * (1.0 - right) + tint[i, j + 1, n] * right
                below = tint[i + 1, j, n] * (1.0 - right) + tint[i + 1, j + 1, n] * right
                out[y, x, n] = max(1, int(above * (1.0 - down) + below * down + 0.5))
            if (y | x) & 1:
                continue
            j, right = _between(u, sketch.shape[1])
            above = sketch[k, j] * (1.0 - right) + sketch[k, j + 1] * right
            below = sketch[k + 1, j] * (1.0 - right) + sketch[k + 1, j + 1] * right
            out[y, x, 3] = max(1, int(above * (1.0 - under) + below * under + 0.5))


@numba.njit(inline="always")
def _between(share: float, count: int) -> tuple[int, float]:
    """The first of the two of ``count`` samples that a place, 0..1, lies between, and how far it is on to the other."""
    place = max(0.0, min(count - 1.001, share * count - 0.5))
    return int(place), place - int(place)
