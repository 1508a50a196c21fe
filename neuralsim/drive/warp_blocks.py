"""Compiled kernels of late warp that survey a frame by blocks of 8 x 8 pixels: smooth surfaces, outlines, motion."""

import numpy as np
from numba import njit

from bridge.link.motion import FAR
from neuralsim.base import kernels

BLOCK = 8  # pixels
NEARER = np.float32(0.8)  # of a depth: what is less belongs to a nearer surface
OUTLINE = 2  # px beside a near surface that have some of its colours
_DEPTH_FLOOR = 0.01  # m, minimum depth


@njit(inline="always")
def inverse(metres: float, focal: float) -> float:
    """Return the inverse depth times ``focal``; 0 for the sky and for invalid depths."""
    far, front, zero = np.float32(FAR), np.float32(_DEPTH_FLOOR), np.float32(0.0)  # f64 would halve the speed
    if metres < far:
        return focal / (metres if metres > front else front)  # type: ignore[return-value]
    return zero  # type: ignore[return-value]


@njit(inline="always")
def displacement(
    row: int, column: int, metres: float, m: np.ndarray, focal: float, cx: float, cy: float
) -> tuple[float, float, float, float]:
    """Return how far a pixel moves right and down, px, how near it is then (above 0, the more the nearer), and how
    large a pixel of its surface is then, px; ``bridge.link.motion.static_motion`` in f32.
    """
    x, y = np.float32(column) - cx, cy - np.float32(row)
    w = inverse(metres, focal)
    scale = focal / max(m[0] * focal + m[1] * x + m[2] * y + m[3] * w, np.float32(1e-3))
    right = (m[4] * focal + m[5] * x + m[6] * y + m[7] * w) * scale
    up = (m[8] * focal + m[9] * x + m[10] * y + m[11] * w) * scale
    return right - x, y - up, w * scale + np.float32(1e-6), scale


@njit(**kernels.FASTEST)
def analyse_blocks(
    depth: np.ndarray, instance: np.ndarray, slots: np.ndarray, focal: float, nearest: np.ndarray, surface: np.ndarray
) -> None:
    """Analyse each block of a frame.

    ``nearest`` receives depth, row and column of the block's nearest pixel, and its greatest depth. ``surface``
    receives the common slot of its pixels, or -1, and the deviation of its inverse depth (times ``focal``) from a
    bilinear surface through its corners, infinite for a block that the frame's edge cuts.

    Args:
        depth: f32 (H, W), m.
        instance: u16 (H, W).
        slots: u8 (65536,): index of the transform of each instance.
        focal: px.
        nearest: f32 (rows, columns, 4), output.
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
            greatest = np.float32(0.0)
            slot = np.int32(slots[instance[top, left]])
            for a in range(top, bottom):
                for b in range(left, right):
                    if depth[a, b] < least:
                        least, at_row, at_column = depth[a, b], a, b
                    greatest = max(greatest, depth[a, b])
                    if slots[instance[a, b]] != slot:
                        slot = np.int32(-1)
            nearest[i, j, 0], nearest[i, j, 1], nearest[i, j, 2], nearest[i, j, 3] = least, at_row, at_column, greatest
            deviation = np.float32(np.inf)
            if bottom - top == BLOCK and right - left == BLOCK:
                deviation = np.float32(0.0)
                last = BLOCK - 1
                p, q = inverse(depth[top, left], focal32), inverse(depth[top, left + last], focal32)
                r, s = inverse(depth[top + last, left], focal32), inverse(depth[top + last, left + last], focal32)
                for a in range(BLOCK):
                    down = np.float32(a / last)
                    first = p + (r - p) * down
                    step = (q + (s - q) * down - first) * np.float32(1.0 / last)
                    for b in range(BLOCK):
                        w = inverse(depth[top + a, left + b], focal32)
                        deviation = max(deviation, abs(w - first - step * np.float32(b)))
            surface[i, j, 0], surface[i, j, 1] = slot, deviation


@njit(**kernels.FASTEST)
def find_outlines(depth: np.ndarray, nearest: np.ndarray, beside: np.ndarray) -> None:
    """Find the pixels beside the outlines of nearer surfaces: they have some of their colours.

    Args:
        depth: f32 (H, W), m.
        nearest: As from ``analyse_blocks``.
        beside: u8 (H, W), output: 0, or 1 to 4 where the pixel to the left, to the right, above or below is of a nearer
            surface, or 5 to 8 where the second one is.
    """
    height, width = depth.shape
    rows, columns = nearest.shape[:2]
    for i in range(rows):
        for j in range(columns):
            top, left = i * BLOCK, j * BLOCK
            bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
            least = nearest[i, j, 0]
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    least = min(least, nearest[a, b, 0])
            is_near = least < nearest[i, j, 3] * NEARER
            for a in range(top, bottom):
                for b in range(left, right):
                    beside[a, b] = 0
                    if not is_near:
                        continue
                    near = depth[a, b] * NEARER
                    for step in range(OUTLINE, 0, -1):
                        code = 4 * (step - 1)
                        if b >= step and depth[a, b - step] < near:
                            beside[a, b] = code + 1
                        elif b + step < width and depth[a, b + step] < near:
                            beside[a, b] = code + 2
                        elif a >= step and depth[a - step, b] < near:
                            beside[a, b] = code + 3
                        elif a + step < height and depth[a + step, b] < near:
                            beside[a, b] = code + 4


@njit(**kernels.FASTEST)
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
            out[i, j, 0], out[i, j, 1], _, _ = displacement(row, column, nearest[y, x, 0], m, focal32, cx, cy)


@njit(inline="always")
def examine(
    box: tuple[float, float, float, float],
    nearest: np.ndarray,
    surface: np.ndarray,
    limits: np.ndarray,
    reaches: np.ndarray,
    focal: float,
) -> tuple[bool, float]:
    """Examine all blocks that a ``box`` touches: left, top, right, bottom, px.

    Returns whether they are smooth and share one slot, and by how much what they show moves apart, px, at most;
    infinite for several slots.
    """
    rows, columns = surface.shape[:2]
    part, half = np.float32(1.0 / BLOCK), np.float32(0.5)
    first_row, last_row = max(int((box[1] + half) * part), 0), min(int((box[3] + half) * part), rows - 1)
    first, last = max(int((box[0] + half) * part), 0), min(int((box[2] + half) * part), columns - 1)
    if last_row < first_row or last < first:
        return False, np.float32(np.inf)  # type: ignore[return-value]
    slot = surface[first_row, first, 0]
    if slot < 0:
        return False, np.float32(np.inf)  # type: ignore[return-value]
    limit = limits[int(slot)]
    is_smooth = last_row - first_row <= 2 and last - first <= 2
    least, most = np.float32(np.inf), np.float32(0.0)
    for a in range(first_row, last_row + 1):
        for b in range(first, last + 1):
            if surface[a, b, 0] != slot:
                return False, np.float32(np.inf)  # type: ignore[return-value]
            is_smooth &= surface[a, b, 1] <= limit
            most = max(most, inverse(nearest[a, b, 0], focal))
            least = min(least, inverse(nearest[a, b, 3], focal))
    return is_smooth, (most - least) * reaches[int(slot)]  # type: ignore[return-value]


@njit(**kernels.FASTEST)
def mark_arrivals(predictions: np.ndarray, surface: np.ndarray, limits: np.ndarray, rough: np.ndarray) -> None:
    """Mark the blocks at which outlines from further away than the next block arrive as ``rough``, u8 (rows, columns).

    Arguments are those of ``warp``.
    """
    rows, columns = rough.shape
    part = np.float32(1.0 / BLOCK)
    for i in range(rows):
        for j in range(columns):
            right, down = predictions[i, j, 0], predictions[i, j, 1]
            slot = int(surface[i, j, 0])
            if not max(abs(right), abs(down)) > np.float32(BLOCK) or (slot >= 0 and surface[i, j, 1] <= limits[slot]):
                continue
            row, column = np.float32(i) + down * part, np.float32(j) + right * part
            if not (abs(row) < np.float32(2 * rows) and abs(column) < np.float32(2 * columns)):
                continue
            first_row, first = int(np.floor(row)), int(np.floor(column))
            for a in range(max(first_row, 0), min(first_row + 2, rows)):
                for b in range(max(first, 0), min(first + 2, columns)):
                    rough[a, b] = 1


@njit(**kernels.FASTEST)
def select_blocks(rough: np.ndarray, predictions: np.ndarray, chosen: np.ndarray) -> None:
    """Choose the blocks of the frame whose pixels may arrive in a ``rough`` one: between their place and the predicted
    one, and one block around.

    ``rough``, ``chosen``: u8 (rows, columns); ``predictions``: as from ``predict_motion``.
    """
    rows, columns = rough.shape
    part = np.float32(1.0 / BLOCK)
    for i in range(rows):
        for j in range(columns):
            right, down = predictions[i, j, 0] * part, predictions[i, j, 1] * part
            right = min(max(right, np.float32(-columns)), np.float32(columns))
            down = min(max(down, np.float32(-rows)), np.float32(rows))
            first, last = j + int(np.floor(min(right, np.float32(0.0)))), j + int(np.ceil(max(right, np.float32(0.0))))
            above, below = i + int(np.floor(min(down, np.float32(0.0)))), i + int(np.ceil(max(down, np.float32(0.0))))
            chosen[i, j] = 0
            for a in range(max(above - 1, 0), min(below + 2, rows)):
                for b in range(max(first - 1, 0), min(last + 2, columns)):
                    chosen[i, j] |= rough[a, b]
