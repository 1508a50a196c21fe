"""The per-pixel work of late warp, compiled: where each pixel of the moved picture comes from, and its colour.

Most blocks of 8 x 8 pixels show one smooth surface. There the way is worked out at the corners and drawn straight
between them; a block with an outline in it, or near one, goes pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.link.motion import FAR

BLOCK = 8  # pixels
_OFF = 0.125  # pixels that the middle of a block may be off the straight lines between its corners
_LENS = 0.01  # m; nothing is nearer
#: Not "nnan" and "ninf": what another machine sends may be anything, and must not lead beyond the picture.
_JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "arcp", "contract", "nsz", "afn"}}


@njit(inline="always")
def _inverse(metres: float, lens: float) -> float:
    """Inverse depth times ``lens``; 0 for the sky, and for what is no depth at all."""
    far, front, nothing = np.float32(FAR), np.float32(_LENS), np.float32(0.0)  # f64 would halve the speed
    if metres < far:
        return lens / (metres if metres > front else front)  # type: ignore[return-value]
    return nothing  # type: ignore[return-value]


@njit(inline="always")
def _went(
    row: int, column: int, metres: float, m: np.ndarray, lens: float, cx: float, cy: float
) -> tuple[float, float]:
    """How far a pixel goes (right, down) with what it shows; ``bridge.link.motion.place`` in f32."""
    x, y = np.float32(column) - cx, cy - np.float32(row)
    w = _inverse(metres, lens)
    scale = lens / max(m[0] * lens + m[1] * x + m[2] * y + m[3] * w, np.float32(1e-3))
    right = (m[4] * lens + m[5] * x + m[6] * y + m[7] * w) * scale
    up = (m[8] * lens + m[9] * x + m[10] * y + m[11] * w) * scale
    return right - x, y - up


@njit(**_JIT)
def survey(
    depth: np.ndarray, instance: np.ndarray, slots: np.ndarray, focal: float, near: np.ndarray, sheet: np.ndarray
) -> None:
    """Look at each block of a frame.

    near f32 (rows, columns, 3): depth, row and column of its nearest pixel. sheet f32 (rows, columns, 2): the slot of
    all its pixels, or -1, and by how much its inverse depth (times ``focal``) is off that of a surface through its
    corners, infinite for a block that the frame's edge cuts.

    Args:
        depth: f32 (H, W), m.
        instance: u16 (H, W).
        slots: u8 (65536,): instance -> row of its transform.
        focal: px.
        near: f32 (rows, columns, 3), written.
        sheet: f32 (rows, columns, 2), written.
    """
    height, width = depth.shape
    rows, columns = near.shape[:2]
    lens = np.float32(focal)
    for i in range(rows):
        for j in range(columns):
            top, left = i * BLOCK, j * BLOCK
            bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
            nearest, at_row, at_column = np.float32(np.inf), top, left
            slot = np.int32(slots[instance[top, left]])
            for a in range(top, bottom):
                for b in range(left, right):
                    if depth[a, b] < nearest:
                        nearest, at_row, at_column = depth[a, b], a, b
                    if slots[instance[a, b]] != slot:
                        slot = np.int32(-1)
            near[i, j, 0], near[i, j, 1], near[i, j, 2] = nearest, at_row, at_column
            off = np.float32(np.inf)
            if bottom - top == BLOCK and right - left == BLOCK:
                off = np.float32(0.0)
                last = BLOCK - 1
                p, q = _inverse(depth[top, left], lens), _inverse(depth[top, left + last], lens)
                r, s = _inverse(depth[top + last, left], lens), _inverse(depth[top + last, left + last], lens)
                for a in range(BLOCK):
                    down = np.float32(a / last)
                    first = p + (r - p) * down
                    step = (q + (s - q) * down - first) * np.float32(1.0 / last)
                    for b in range(BLOCK):
                        w = _inverse(depth[top + a, left + b], lens)
                        off = max(off, abs(w - first - step * np.float32(b)))
            sheet[i, j, 0], sheet[i, j, 1] = slot, off


@njit(**_JIT)
def guess(
    near: np.ndarray, instance: np.ndarray, slots: np.ndarray, transforms: np.ndarray, focal: float, out: np.ndarray
) -> None:
    """For each block, how far the nearest thing in it and around it goes: f32 (rows, columns, 2).

    Args:
        near: As from ``survey``.
        instance: u16 (H, W).
        slots: u8 (65536,): instance -> row of its transform.
        transforms: f32 (slots, 12): 3x4 matrices, row by row, of where each goes.
        focal: px.
        out: f32 (rows, columns, 2), written.
    """
    height, width = instance.shape
    rows, columns = out.shape[:2]
    lens, cx, cy = np.float32(focal), np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    for i in range(rows):
        for j in range(columns):
            y, x = i, j
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    if near[a, b, 0] < near[y, x, 0] * np.float32(0.9):  # another thing, not the same one's near end
                        y, x = a, b
            row, column = int(near[y, x, 1]), int(near[y, x, 2])
            m = transforms[slots[instance[row, column]]]
            out[i, j, 0], out[i, j, 1] = _went(row, column, near[y, x, 0], m, lens, cx, cy)


@njit(inline="always")
def _fold(at: float, most: float) -> float:
    """A coordinate beyond the picture's edge (0 or ``most``) mirrored into it.

    What comes into view is not known yet, and a repeated edge would be a band of stripes.
    """
    zero = np.float32(0.0)
    inside = abs(at) if at < most else np.float32(2.0) * most - at
    return min(max(inside, zero), most)  # type: ignore[return-value]


@njit(inline="always")
def _source(
    i: int,
    j: int,
    ahead: np.ndarray,
    depth: np.ndarray,
    instance: np.ndarray,
    slots: np.ndarray,
    transforms: np.ndarray,
    lens: float,
) -> tuple[float, float]:
    """Where the pixel at row i, column j comes from (right, down): one step of a fixed-point iteration.

    It begins with the movement ``ahead`` of the nearest thing around, so that what is near covers what is far. Where
    something far comes into view from behind it, what lies beside is taken.
    """
    height, width = depth.shape
    half = np.float32(0.5)
    cx, cy = np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    right, bottom = np.float32(width - 1.001), np.float32(height - 1.001)
    x, y = _fold(np.float32(j) - ahead[0], right), _fold(np.float32(i) - ahead[1], bottom)
    a, b = np.uint32(np.int32(y + half)), np.uint32(np.int32(x + half))
    metres = depth[a, b]
    dx, dy = _went(a, b, metres, transforms[slots[instance[a, b]]], lens, cx, cy)
    x_, y_ = _fold(np.float32(j) - dx, right), _fold(np.float32(i) - dy, bottom)
    a, b = np.uint32(np.int32(y_ + half)), np.uint32(np.int32(x_ + half))
    if depth[a, b] > metres * np.float32(0.8):
        return x_, y_
    return x, y


@njit(**_JIT)
def warp(
    pixels: np.ndarray,
    depth: np.ndarray,
    instance: np.ndarray,
    slots: np.ndarray,
    transforms: np.ndarray,
    focal: float,
    guessed: np.ndarray,
    sheet: np.ndarray,
    limits: np.ndarray,
    out: np.ndarray,
) -> None:
    """Take each pixel from where it came from.

    Args:
        pixels: u32 (H, W): the picture.
        depth: f32 (H, W), m.
        instance: u16 (H, W).
        slots: u8 (65536,): instance -> row of its transform.
        transforms: f32 (slots, 12): 3x4 matrices, row by row, of where each goes.
        focal: px.
        guessed: As from ``guess``.
        sheet: As from ``survey``.
        limits: f32 (slots): how far off a ``sheet`` may be to go as one.
        out: u32 (H, W), written.
    """
    height, width = depth.shape
    lens = np.float32(focal)
    last, one = BLOCK - 1, np.float32(65536.0)
    xs, ys = np.empty((BLOCK, width), np.int32), np.empty((BLOCK, width), np.int32)  # sources, in 1 / 65536 pixels
    for i in range(guessed.shape[0]):
        top = i * BLOCK
        count = min(BLOCK, height - top)
        for j in range(guessed.shape[1]):
            left = j * BLOCK
            ahead = guessed[i, j]
            if count == BLOCK and left + BLOCK <= width:
                px, py = _source(top, left, ahead, depth, instance, slots, transforms, lens)
                qx, qy = _source(top, left + last, ahead, depth, instance, slots, transforms, lens)
                rx, ry = _source(top + last, left, ahead, depth, instance, slots, transforms, lens)
                sx, sy = _source(top + last, left + last, ahead, depth, instance, slots, transforms, lens)
                mx, my = _source(top + 4, left + 4, ahead, depth, instance, slots, transforms, lens)
                g, h = np.float32(4.0 / 7.0), np.float32(3.0 / 7.0)
                off_x = h * (h * px + g * qx) + g * (h * rx + g * sx) - mx
                off_y = h * (h * py + g * qy) + g * (h * ry + g * sy) - my
                if max(abs(off_x), abs(off_y)) <= np.float32(_OFF) and _is_smooth(
                    min(px, rx, np.float32(left) - ahead[0]),
                    min(py, qy, np.float32(top) - ahead[1]),
                    max(qx, sx, np.float32(left + last) - ahead[0]),
                    max(ry, sy, np.float32(top + last) - ahead[1]),
                    sheet,
                    limits,
                ):
                    for a in range(BLOCK):
                        down = np.float32(a) * np.float32(1.0 / last)
                        x, y = np.int32((px + (rx - px) * down) * one), np.int32((py + (ry - py) * down) * one)
                        to_x, to_y = np.int32((qx + (sx - qx) * down) * one), np.int32((qy + (sy - qy) * down) * one)
                        # towards zero: the last pixel must not pass the corner, which may be the picture's
                        step_x, step_y = np.int32((to_x - x) / last), np.int32((to_y - y) / last)
                        for b in range(BLOCK):
                            xs[a, left + b], ys[a, left + b] = x + step_x * np.int32(b), y + step_y * np.int32(b)
                    continue
            for a in range(count):
                for b in range(left, min(left + BLOCK, width)):
                    x, y = _source(top + a, b, ahead, depth, instance, slots, transforms, lens)
                    xs[a, b], ys[a, b] = np.int32(x * one), np.int32(y * one)
        for a in range(count):
            _sample(pixels, xs[a], ys[a], out[top + a])


@njit(inline="always")
def _is_smooth(left: float, top: float, right: float, bottom: float, sheet: np.ndarray, limits: np.ndarray) -> bool:
    """Whether all blocks that this box (in pixels) touches are smooth and of one slot."""
    rows, columns = sheet.shape[:2]
    part = np.float32(1.0 / BLOCK)
    half = np.float32(0.5)
    first_row, last_row = max(int((top + half) * part), 0), min(int((bottom + half) * part), rows - 1)
    first, last = max(int((left + half) * part), 0), min(int((right + half) * part), columns - 1)
    if last_row - first_row > 2 or last - first > 2 or last_row < first_row or last < first:
        return False
    slot = sheet[first_row, first, 0]
    if slot < 0:
        return False
    limit = limits[int(slot)]
    for a in range(first_row, last_row + 1):
        for b in range(first, last + 1):
            if sheet[a, b, 0] != slot or sheet[a, b, 1] > limit:
                return False
    return True


@njit(**_JIT)
def _sample(pixels: np.ndarray, xs: np.ndarray, ys: np.ndarray, out: np.ndarray) -> None:
    """One row of the picture: colours blended bilinearly, all four bytes at a time."""
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
    """Bytes 0 and 2 to bits 0 and 16, bytes 1 and 3 to bits 32 and 48: room to multiply."""
    wide = np.uint64(pixel)
    return (wide | (wide << np.uint64(24))) & np.uint64(0x00FF00FF00FF00FF)


@njit(inline="always")
def _mix(first: np.uint64, second: np.uint64, part: np.uint64) -> np.uint64:
    """``part`` / 256 of the way from one to the other, for each of four bytes."""
    mixed = first * (np.uint64(256) - part) + second * part + np.uint64(0x0080008000800080)
    return (mixed >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
