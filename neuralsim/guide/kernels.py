"""Compiled passes over a frame's pixels, single-threaded: three processes share the cores."""

from __future__ import annotations

import numba
import numpy as np

from neuralsim.models.classes import CHANNELS, MOVERS, Channel

#: How a class follows the simulator's picture: not at all; in each pixel's hue, at the brightness of its object; the
#: same at the brightness of its stretch of wall; in its sketch alone.
NONE, OBJECT, WALL, TEXTURE = 0, 1, 2, 3
CELL = 16  # px, side of the cells whose mean colours are a wall's
_IDS = 1 << 16
_GAIN = 4.5  # of the sketch, about the middle of those in training (``neuralsim/training/data.py``)
#: Of 255: how bright the brightest channel of a lamp is at least, how far it is over the least one, and how much
#: brighter the lamp is than its object in the sum of the three.
_LAMP, _HUE, _BRIGHTER = 130, 70, 90.0
_PURER = np.float32(1.5)  # of a lamp's tint: its distance from white, over the picture's
_RELIEF = np.float32(1.35)  # of walls' sketches: those of a simulator are plainer than real fronts
_STEPS = 1020  # of differences of luminance, -255..255 in halves
_SKETCH = np.array(  # u8: sketch in 1..255, 128 = none, by halves of luminance above the tint
    [128 + round(127 * float(np.tanh(_GAIN * (step - _STEPS // 2) / 2.0 / 255.0))) for step in range(_STEPS + 1)],
    np.uint8,
)


@numba.njit(cache=True, nogil=True)
def means(
    channel_of_tag: np.ndarray,
    kind_of_channel: np.ndarray,
    tag: np.ndarray,
    instance: np.ndarray,
    rgb: np.ndarray,
    objects: np.ndarray,
    cells: np.ndarray,
    classes: np.ndarray,
) -> None:
    """Sum up colours by object, by cell of wall and by class.

    ``channel_of_tag`` u8 (256,), ``kind_of_channel`` u8 (CHANNELS,); ``tag`` u8, ``instance`` u16 (H, W), ``rgb`` u8
    (H, W, 3); sums (R, G, B, count), zeroed here: ``objects`` i32 (65536 + CHANNELS, 4), those without an instance by
    class; ``cells`` i32 (H / CELL + 1, W / CELL + 1, 4); ``classes`` i64 (CHANNELS, 4).
    """
    objects[:] = 0
    cells[:] = 0
    classes[:] = 0
    height, width = tag.shape
    for y in range(height):
        x = 0
        while x < width:  # by runs of one object, which are summed up in registers
            channel, number = channel_of_tag[tag[y, x]], instance[y, x]
            last = tag[y, x]
            kind = kind_of_channel[channel]
            end = min(width, (x // CELL + 1) * CELL) if kind == WALL else width
            red, green, blue = numba.int32(0), numba.int32(0), numba.int32(0)
            start = x
            while x < end and tag[y, x] == last and instance[y, x] == number:
                red += rgb[y, x, 0]
                green += rgb[y, x, 1]
                blue += rgb[y, x, 2]
                x += 1
            count = x - start
            classes[channel, 0] += red
            classes[channel, 1] += green
            classes[channel, 2] += blue
            classes[channel, 3] += count
            if kind == OBJECT:
                row = numba.int64(number) if number else _IDS + channel
                objects[row, 0] += red
                objects[row, 1] += green
                objects[row, 2] += blue
                objects[row, 3] += count
            elif kind == WALL:
                cell = cells[y // CELL, start // CELL]
                cell[0] += red
                cell[1] += green
                cell[2] += blue
                cell[3] += count


@numba.njit(cache=True, nogil=True)
def smoothed(cells: np.ndarray, out: np.ndarray) -> None:
    """``out`` f32 (h, w, 4): means over 3x3 ``cells``, as RGB times the share of the last channel, which is 0 where
    there is no wall."""
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
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red * scale, green * scale, blue * scale
            out[y, x, 3] = 1.0 if count > 0.0 else 0.0


@numba.njit(cache=True, nogil=True)
def _shines(r: int, g: int, b: int, usual: float) -> bool:
    """Whether a pixel is a lamp: bright, of a pure hue, and brighter than its object, whose sum of RGB is ``usual``."""
    most, least = max(r, g, b), min(r, g, b)
    return most >= _LAMP and most - least >= _HUE and r + g + b - usual > _BRIGHTER


@numba.njit(cache=True, nogil=True)
def write(
    channel_of_tag: np.ndarray,
    kind_of_channel: np.ndarray,
    sketch_of_step: np.ndarray,
    tag: np.ndarray,
    instance: np.ndarray,
    rgb: np.ndarray,
    objects: np.ndarray,
    walls: np.ndarray,
    classes: np.ndarray,
    gain: float,
    luma: np.ndarray,
    out: np.ndarray,
) -> None:
    """The guide: tint and sketch of what follows the picture.

    ``channel_of_tag``, ``kind_of_channel``, ``tag``, ``instance``, ``rgb`` as in ``means``, whose sums ``objects`` and
    ``classes`` are; ``sketch_of_step`` u8 (1021,); ``walls`` f32 (h, w, 4) of ``smoothed``; ``gain``: exposure of what
    is painted over that of the picture; ``luma`` i32 (H + 3, W + 3), working space; ``out`` u8 (H, W, 4): tint 1..255
    (0: the surface's own), and at even rows and columns the sketch 1..255 (128 none, 0: the surface's own).
    """
    height, width = tag.shape
    one = np.float32(1.0)
    gain_ = np.float32(gain)
    for y in range(height):  # in 256ths, with a rim of one pixel before and two behind
        for x in range(width):
            luma[y + 1, x + 1] = (
                77 * numba.int32(rgb[y, x, 0]) + 150 * numba.int32(rgb[y, x, 1]) + 29 * numba.int32(rgb[y, x, 2])
            )
        luma[y + 1, 0], luma[y + 1, width + 1], luma[y + 1, width + 2] = (
            luma[y + 1, 1],
            luma[y + 1, width],
            luma[y + 1, width],
        )
    luma[0], luma[height + 1], luma[height + 2] = luma[1], luma[height], luma[height]
    red = green = blue = np.float32(0.0)
    for y in range(height):
        fy = (np.float32(y) + np.float32(0.5)) / np.float32(CELL) - np.float32(0.5)
        y0 = max(0, int(fy))
        y1 = min(walls.shape[0] - 1, y0 + 1)
        v = min(max(fy - np.float32(y0), np.float32(0.0)), one)
        before, number_before = -1, -1
        for x in range(width):
            channel = channel_of_tag[tag[y, x]]
            kind = kind_of_channel[channel]
            if kind == NONE:
                out[y, x, 0] = out[y, x, 1] = out[y, x, 2] = out[y, x, 3] = 0
                before = -1
                continue
            number = numba.int64(instance[y, x])
            if kind == WALL:
                fx = (np.float32(x) + np.float32(0.5)) / np.float32(CELL) - np.float32(0.5)
                x0 = max(0, int(fx))
                x1 = min(walls.shape[1] - 1, x0 + 1)
                u = min(max(fx - np.float32(x0), np.float32(0.0)), one)
                a, b, c, d = (one - v) * (one - u), (one - v) * u, v * (one - u), v * u
                red = a * walls[y0, x0, 0] + b * walls[y0, x1, 0] + c * walls[y1, x0, 0] + d * walls[y1, x1, 0]
                green = a * walls[y0, x0, 1] + b * walls[y0, x1, 1] + c * walls[y1, x0, 1] + d * walls[y1, x1, 1]
                blue = a * walls[y0, x0, 2] + b * walls[y0, x1, 2] + c * walls[y1, x0, 2] + d * walls[y1, x1, 2]
                share = a * walls[y0, x0, 3] + b * walls[y0, x1, 3] + c * walls[y1, x0, 3] + d * walls[y1, x1, 3]
                scale = gain_ / max(share, np.float32(1e-6))
                red, green, blue = red * scale, green * scale, blue * scale
                before = -1
            elif channel != before or number != number_before:
                if kind == OBJECT:
                    row = number if number else _IDS + channel
                    scale = gain_ / np.float32(objects[row, 3])
                    red, green, blue = objects[row, 0] * scale, objects[row, 1] * scale, objects[row, 2] * scale
                else:
                    scale = gain_ / np.float32(classes[channel, 3])
                    red = np.float32(classes[channel, 0]) * scale
                    green = np.float32(classes[channel, 1]) * scale
                    blue = np.float32(classes[channel, 2]) * scale
                before, number_before = channel, number
            tone = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
            grey = luma[y + 1, x + 1] / np.float32(256)
            if kind == TEXTURE:
                out[y, x, 0] = out[y, x, 1] = out[y, x, 2] = 0
            elif _shines(rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2], (red + green + blue) / gain_):
                most = max(rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2])
                purer = _PURER if kind == OBJECT else one  # for the painter whitens what is bright
                for hue in range(3):
                    out[y, x, hue] = max(1, int(most - purer * (most - rgb[y, x, hue])))
                tone = gain_ * grey  # its tint is as bright as it is: brighter still, it would turn white
            else:  # as bright as the whole, each part in its own hue
                for hue in range(3):
                    own = tone + gain_ * (rgb[y, x, hue] - grey)
                    out[y, x, hue] = max(1, min(255, int(own + np.float32(0.5))))
            if (x | y) & 1:
                out[y, x, 3] = 0
                continue
            # the 2x2 mean of a 3x3 binomial filter
            total = 0
            for j, rows in ((0, 1), (1, 3), (2, 3), (3, 1)):
                total += rows * (luma[y + j, x] + 3 * luma[y + j, x + 1] + 3 * luma[y + j, x + 2] + luma[y + j, x + 3])
            excess = np.float32(total) * (gain_ / np.float32(64 * 256)) - tone
            if kind == WALL:
                excess *= _RELIEF
            out[y, x, 3] = sketch_of_step[max(0, min(_STEPS, int(excess * np.float32(2.0) + np.float32(510.5))))]


def kinds() -> np.ndarray:
    """u8 (CHANNELS,): how each class follows the picture. Of the ground only what is darker or brighter than its mean:
    its colour is the style's. The sky does not: a simulator's is plainer than its surface noise."""
    out = np.full(CHANNELS, NONE, np.uint8)
    for channel in (
        *MOVERS,
        Channel.SIGN,
        Channel.BARRIER,
        Channel.POLE,
        Channel.OTHER,
    ):
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
    box: np.ndarray,
    mirrored: bool,
    out: np.ndarray,
) -> None:
    """Lay ``sketch`` u8 (h, w) into the ``box`` i64 (4,) of object ``number``, bilinearly, where the object is, only
    at even rows and columns; it is the last channel of ``out`` u8 (H, W, 4).

    Args:
        channel_of_tag: u8 (256,).
        channel: The object's class.
        number: Its instance.
        tag: u8 (H, W).
        instance: u16 (H, W).
        sketch: u8 (h, w).
        box: i64 (4,): top, bottom, left, right (exclusive), px.
        mirrored: Whether the sketch is laid in left to right.
        out: u8 (H, W, 4), changed.
    """
    height, width = tag.shape
    tall, wide = sketch.shape
    y0, y1, x0, x1 = box
    for y in range(y0 + (y0 & 1), min(y1, height), 2):
        v = max(0.0, min(tall - 1.001, (y - y0 + 0.5) / (y1 - y0) * tall - 0.5))
        i = int(v)
        v -= i
        for x in range(max(0, x0 + (x0 & 1)), min(x1, width), 2):
            if instance[y, x] != number or channel_of_tag[tag[y, x]] != channel:
                continue
            u = (x - x0 + 0.5) / (x1 - x0)
            u = max(0.0, min(wide - 1.001, (1.0 - u if mirrored else u) * wide - 0.5))
            j = int(u)
            u -= j
            above = sketch[i, j] * (1.0 - u) + sketch[i, j + 1] * u
            below = sketch[i + 1, j] * (1.0 - u) + sketch[i + 1, j + 1] * u
            out[y, x, 3] = max(1, int(above * (1.0 - v) + below * v + 0.5))
