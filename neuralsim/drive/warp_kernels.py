"""Compiled kernels of late warp: the source position of each pixel of the warped frame, and its colour.

Most blocks of 8 x 8 pixels show one smooth surface. There, source positions are computed at the corners and
interpolated linearly. Blocks with or near an outline are warped pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.link.motion import FAR

BLOCK = 8  # pixels
_OUTLINE = 2  # px beside a near surface that have some of its colours
_TOLERANCE = 0.125  # pixels that the centre of a block may deviate from interpolation between its corners
_NEAREST = 0.01  # m, minimum depth
#: Without "nnan" and "ninf": frames of another machine may contain any value, which must not cause reads out of bounds.
_JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "arcp", "contract", "nsz", "afn"}}


@njit(inline="always")
def _inverse(metres: float, focal: float) -> float:
    """Return the inverse depth times ``focal``; 0 for the sky and for invalid depths."""
    far, front, zero = np.float32(FAR), np.float32(_NEAREST), np.float32(0.0)  # f64 would halve the speed
    if metres < far:
        return focal / (metres if metres > front else front)  # type: ignore[return-value]
    return zero  # type: ignore[return-value]


@njit(inline="always")
def _displacement(
    row: int, column: int, metres: float, m: np.ndarray, focal: float, cx: float, cy: float
) -> tuple[float, float]:
    """Return the displacement (right, down) of a pixel, in pixels; ``bridge.link.motion.static_motion`` in f32."""
    x, y = np.float32(column) - cx, cy - np.float32(row)
    w = _inverse(metres, focal)
    scale = focal / max(m[0] * focal + m[1] * x + m[2] * y + m[3] * w, np.float32(1e-3))
    right = (m[4] * focal + m[5] * x + m[6] * y + m[7] * w) * scale
    up = (m[8] * focal + m[9] * x + m[10] * y + m[11] * w) * scale
    return right - x, y - up


@njit(**_JIT)
def analyse_blocks(
    depth: np.ndarray, instance: np.ndarray, slots: np.ndarray, focal: float, nearest: np.ndarray, surface: np.ndarray
) -> None:
    """Analyse each block of a frame.

    ``nearest`` receives depth, row and column of the block's nearest pixel. ``surface`` receives the common slot of its
    pixels, or -1, and the deviation of its inverse depth (times ``focal``) from a bilinear surface through its corners,
    infinite for a block that the frame's edge cuts.

    Args:
        depth: f32 (H, W), m.
        instance: u16 (H, W).
        slots: u8 (65536,): index of the transform of each instance.
        focal: px.
        nearest: f32 (rows, columns, 3), output.
        surface: f32 (rows, columns, 2), output.
    """
    height, width = depth.shape
    rows, columns = nearest.shape[:2]
    focal32 = np.float32(focal)
    for i in range(rows):
        for j in range(columns):
            top, left = i * BLOCK, j * BLOCK
            bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
            least, at_row, at_column = np.float32(np.inf), top, left
            slot = np.int32(slots[instance[top, left]])
            for a in range(top, bottom):
                for b in range(left, right):
                    if depth[a, b] < least:
                        least, at_row, at_column = depth[a, b], a, b
                    if slots[instance[a, b]] != slot:
                        slot = np.int32(-1)
            nearest[i, j, 0], nearest[i, j, 1], nearest[i, j, 2] = least, at_row, at_column
            deviation = np.float32(np.inf)
            if bottom - top == BLOCK and right - left == BLOCK:
                deviation = np.float32(0.0)
                last = BLOCK - 1
                p, q = _inverse(depth[top, left], focal32), _inverse(depth[top, left + last], focal32)
                r, s = _inverse(depth[top + last, left], focal32), _inverse(depth[top + last, left + last], focal32)
                for a in range(BLOCK):
                    down = np.float32(a / last)
                    first = p + (r - p) * down
                    step = (q + (s - q) * down - first) * np.float32(1.0 / last)
                    for b in range(BLOCK):
                        w = _inverse(depth[top + a, left + b], focal32)
                        deviation = max(deviation, abs(w - first - step * np.float32(b)))
            surface[i, j, 0], surface[i, j, 1] = slot, deviation


@njit(**_JIT)
def predict_motion(
    nearest: np.ndarray, instance: np.ndarray, slots: np.ndarray, transforms: np.ndarray, focal: float, out: np.ndarray
) -> None:
    """Compute each block's displacement: that of the nearest surface in it and around it.

    Args:
        nearest: As from ``analyse_blocks``.
        instance: u16 (H, W).
        slots: u8 (65536,): index of the transform of each instance.
        transforms: f32 (slots, 12): 3x4 matrices in row-major order, new camera <- camera of the frame.
        focal: px.
        out: f32 (rows, columns, 2): right, down in px; output.
    """
    height, width = instance.shape
    rows, columns = out.shape[:2]
    focal32, cx, cy = np.float32(focal), np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    for i in range(rows):
        for j in range(columns):
            y, x = i, j
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    if nearest[a, b, 0] < nearest[y, x, 0] * np.float32(0.9):  # a nearer surface
                        y, x = a, b
            row, column = int(nearest[y, x, 1]), int(nearest[y, x, 2])
            m = transforms[slots[instance[row, column]]]
            out[i, j, 0], out[i, j, 1] = _displacement(row, column, nearest[y, x, 0], m, focal32, cx, cy)


@njit(inline="always")
def _fold(at: float, most: float) -> float:
    """Return a coordinate mirrored at the frame's edges, 0 and ``most``.

    What comes into view there is unknown, and repeating the edge would give stripes.
    """
    zero = np.float32(0.0)
    inside = abs(at) if at < most else np.float32(2.0) * most - at
    return min(max(inside, zero), most)  # type: ignore[return-value]


@njit(inline="always")
def _source(
    i: int,
    j: int,
    predicted: np.ndarray,
    depth: np.ndarray,
    instance: np.ndarray,
    slots: np.ndarray,
    transforms: np.ndarray,
    focal: float,
) -> tuple[float, float, float]:
    """Return the source position (x, y) of the pixel at row i, column j: one step of a fixed-point iteration.

    It starts with the ``predicted`` displacement of the nearest surface around, so that near surfaces cover far ones.
    Where a far surface is disoccluded, the pixels next to it are used. The last number is the difference of both
    displacements along the row, px.
    """
    height, width = depth.shape
    half = np.float32(0.5)
    cx, cy = np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    right, bottom = np.float32(width - 1.001), np.float32(height - 1.001)
    x, y = _fold(np.float32(j) - predicted[0], right), _fold(np.float32(i) - predicted[1], bottom)
    a, b = np.uint32(np.int32(y + half)), np.uint32(np.int32(x + half))
    metres = depth[a, b]
    dx, dy = _displacement(a, b, metres, transforms[slots[instance[a, b]]], focal, cx, cy)
    x_, y_ = _fold(np.float32(j) - dx, right), _fold(np.float32(i) - dy, bottom)
    a, b = np.uint32(np.int32(y_ + half)), np.uint32(np.int32(x_ + half))
    apart = predicted[0] - dx
    if depth[a, b] > metres * np.float32(0.8):
        return x_, y_, apart
    return x, y, apart


@njit(inline="always")
def _beyond_outline(x: float, y: float, apart: float, depth: np.ndarray) -> float:
    """Return the column ``x`` of a source position, moved away from the outline of a near surface left or right of it
    that is shifted by ``apart`` px relative to it.

    Pixels beside it have some of its colours. Left behind, they would be a line where it was.
    """
    width = depth.shape[1]
    half, zero = np.float32(0.5), np.float32(0.0)
    i, j = np.uint32(np.int32(y + half)), int(x + half)
    near = depth[i, np.uint32(j)] * np.float32(0.8)
    # without branches: they could not be predicted
    to_left = np.int32(depth[i, np.uint32(min(j + _OUTLINE, width - 1))] < near)
    to_right = np.int32(depth[i, np.uint32(max(j - _OUTLINE, 0))] < near)
    step = np.float32(_OUTLINE * (to_right - to_left) * np.int32(abs(apart) > half))
    return min(max(x + step, zero), np.float32(width - 1.001))  # type: ignore[return-value]


@njit(**_JIT)
def warp(
    pixels: np.ndarray,
    depth: np.ndarray,
    instance: np.ndarray,
    slots: np.ndarray,
    transforms: np.ndarray,
    focal: float,
    predictions: np.ndarray,
    surface: np.ndarray,
    limits: np.ndarray,
    out: np.ndarray,
) -> None:
    """Sample each pixel at its source position.

    Args:
        pixels: u32 (H, W): the image to warp.
        depth: f32 (H, W), m.
        instance: u16 (H, W).
        slots: u8 (65536,): index of the transform of each instance.
        transforms: f32 (slots, 12): 3x4 matrices in row-major order, new camera <- camera of the frame.
        focal: px.
        predictions: As from ``predict_motion``.
        surface: As from ``analyse_blocks``.
        limits: f32 (slots): maximum deviation of a block that is warped as a whole.
        out: u32 (H, W), output.
    """
    height, width = depth.shape
    focal32 = np.float32(focal)
    last, one = BLOCK - 1, np.float32(65536.0)
    xs, ys = np.empty((BLOCK, width), np.int32), np.empty((BLOCK, width), np.int32)  # sources, in 1 / 65536 pixels
    for i in range(predictions.shape[0]):
        top = i * BLOCK
        count = min(BLOCK, height - top)
        for j in range(predictions.shape[1]):
            left = j * BLOCK
            predicted = predictions[i, j]
            if count == BLOCK and left + BLOCK <= width:
                px, py, _ = _source(top, left, predicted, depth, instance, slots, transforms, focal32)
                qx, qy, _ = _source(top, left + last, predicted, depth, instance, slots, transforms, focal32)
                rx, ry, _ = _source(top + last, left, predicted, depth, instance, slots, transforms, focal32)
                sx, sy, _ = _source(top + last, left + last, predicted, depth, instance, slots, transforms, focal32)
                mx, my, _ = _source(top + 4, left + 4, predicted, depth, instance, slots, transforms, focal32)
                g, h = np.float32(4.0 / 7.0), np.float32(3.0 / 7.0)
                off_x = h * (h * px + g * qx) + g * (h * rx + g * sx) - mx
                off_y = h * (h * py + g * qy) + g * (h * ry + g * sy) - my
                if max(abs(off_x), abs(off_y)) <= np.float32(_TOLERANCE) and _is_smooth(
                    min(px, rx, np.float32(left) - predicted[0]),
                    min(py, qy, np.float32(top) - predicted[1]),
                    max(qx, sx, np.float32(left + last) - predicted[0]),
                    max(ry, sy, np.float32(top + last) - predicted[1]),
                    surface,
                    limits,
                ):
                    for a in range(BLOCK):
                        down = np.float32(a) * np.float32(1.0 / last)
                        x, y = np.int32((px + (rx - px) * down) * one), np.int32((py + (ry - py) * down) * one)
                        to_x, to_y = np.int32((qx + (sx - qx) * down) * one), np.int32((qy + (sy - qy) * down) * one)
                        # rounded towards zero: the last pixel must not pass the corner, perhaps the frame's
                        step_x, step_y = np.int32((to_x - x) / last), np.int32((to_y - y) / last)
                        for b in range(BLOCK):
                            xs[a, left + b], ys[a, left + b] = x + step_x * np.int32(b), y + step_y * np.int32(b)
                    continue
            for a in range(count):
                for b in range(left, min(left + BLOCK, width)):
                    x, y, apart = _source(top + a, b, predicted, depth, instance, slots, transforms, focal32)
                    x = _beyond_outline(x, y, apart, depth)
                    xs[a, b], ys[a, b] = np.int32(x * one), np.int32(y * one)
        for a in range(count):
            _sample(pixels, xs[a], ys[a], out[top + a])


@njit(inline="always")
def _is_smooth(left: float, top: float, right: float, bottom: float, surface: np.ndarray, limits: np.ndarray) -> bool:
    """Return whether all blocks that this box (in pixels) touches are smooth and share one slot."""
    rows, columns = surface.shape[:2]
    part = np.float32(1.0 / BLOCK)
    half = np.float32(0.5)
    first_row, last_row = max(int((top + half) * part), 0), min(int((bottom + half) * part), rows - 1)
    first, last = max(int((left + half) * part), 0), min(int((right + half) * part), columns - 1)
    if last_row - first_row > 2 or last - first > 2 or last_row < first_row or last < first:
        return False
    slot = surface[first_row, first, 0]
    if slot < 0:
        return False
    limit = limits[int(slot)]
    for a in range(first_row, last_row + 1):
        for b in range(first, last + 1):
            if surface[a, b, 0] != slot or surface[a, b, 1] > limit:
                return False
    return True


@njit(**_JIT)
def _sample(pixels: np.ndarray, xs: np.ndarray, ys: np.ndarray, out: np.ndarray) -> None:
    """Sample one row bilinearly, all four bytes of a pixel at a time."""
    one = np.uint64(1)
    for j in range(xs.shape[0]):
        x, y = np.uint64(np.uint32(xs[j])), np.uint64(np.uint32(ys[j]))
        b, a = x >> np.uint64(16), y >> np.uint64(16)
        u, v = (x >> np.uint64(8)) & np.uint64(255), (y >> np.uint64(8)) & np.uint64(255)
        above = _mix(_spread(pixels[a, b]), _spread(pixels[a, b + one]), u)
        below = _mix(_spread(pixels[a + one, b]), _spread(pixels[a + one, b + one]), u)
        mixed = _mix(above, below, v)
        out[j] = np.uint32(mixed | (mixed >> np.uint64(24)))


@njit(inline="always")
def _spread(pixel: np.uint32) -> np.uint64:
    """Spread bytes 0 and 2 to bits 0 and 16 and bytes 1 and 3 to bits 32 and 48, to make room for products."""
    wide = np.uint64(pixel)
    return (wide | (wide << np.uint64(24))) & np.uint64(0x00FF00FF00FF00FF)


@njit(inline="always")
def _mix(first: np.uint64, second: np.uint64, part: np.uint64) -> np.uint64:
    """Interpolate each of four bytes: ``part`` / 256 of the way from ``first`` to ``second``."""
    mixed = first * (np.uint64(256) - part) + second * part + np.uint64(0x0080008000800080)
    return (mixed >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
