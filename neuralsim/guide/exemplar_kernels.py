"""Compiled kernels of the exemplar guide: boxes of objects, and exemplars pasted into them."""

import numba
import numpy as np

from neuralsim.base import kernels


@numba.njit(**kernels.EXACT)
def object_boxes(
    channel_of_tag: np.ndarray, channel: int, tag: np.ndarray, instance: np.ndarray, out: np.ndarray
) -> None:
    """Write top, bottom, left, right (exclusive) and size of each object of a class into ``out``.

    Args:
        channel_of_tag: u8 (256,).
        channel: The class.
        tag: u8 (H, W).
        instance: u16 (H, W).
        out: i32 (65536, 5) by instance, overwritten; 0 for those that do not occur.
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


@numba.njit(**kernels.EXACT)
def paste_exemplar(
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
    """Paste ``tint`` and ``sketch`` into the ``box`` of an object, bilinearly, on the object's own pixels.

    The sketch is written at even rows and columns only.

    Args:
        channel_of_tag: u8 (256,).
        channel: The object's class.
        number: Its instance.
        tag: u8 (H, W).
        instance: u16 (H, W).
        sketch: u8 (h, w), the last channel of ``out``.
        tint: f32 (h', w', 3), 1..255, the others.
        box: i64 (4,): top, bottom, left, right (exclusive), px.
        mirrored: Whether both are flipped left to right.
        out: u8 (H, W, 4), changed.
    """
    height, width = tag.shape
    y0, y1, x0, x1 = box
    for y in range(y0, min(y1, height)):
        v = (y - y0 + 0.5) / (y1 - y0)
        i, down = _sample_place(v, tint.shape[0])
        k, under = _sample_place(v, sketch.shape[0])
        for x in range(max(0, x0), min(x1, width)):
            if instance[y, x] != number or channel_of_tag[tag[y, x]] != channel:
                continue
            u = (x - x0 + 0.5) / (x1 - x0)
            u = 1.0 - u if mirrored else u
            j, right = _sample_place(u, tint.shape[1])
            for n in range(3):
                above = tint[i, j, n] * (1.0 - right) + tint[i, j + 1, n] * right
                below = tint[i + 1, j, n] * (1.0 - right) + tint[i + 1, j + 1, n] * right
                out[y, x, n] = max(1, int(above * (1.0 - down) + below * down + 0.5))
            if (y | x) & 1:
                continue
            j, right = _sample_place(u, sketch.shape[1])
            above = sketch[k, j] * (1.0 - right) + sketch[k, j + 1] * right
            below = sketch[k + 1, j] * (1.0 - right) + sketch[k + 1, j + 1] * right
            out[y, x, 3] = max(1, int(above * (1.0 - under) + below * under + 0.5))


@numba.njit(inline="always")
def _sample_place(share: float, count: int) -> tuple[int, float]:
    """Return the first of the two samples, of ``count``, around a place 0..1, and the fraction of the way on."""
    place = max(0.0, min(count - 1.001, share * count - 0.5))
    return int(place), place - int(place)
