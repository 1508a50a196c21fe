"""Compiled kernels of late warp: the source position of each pixel of the warped frame, and its colour.

Most blocks (``warp_blocks``) show one smooth surface. There, source positions are computed at the corners and
interpolated linearly. With or near an outline, each pixel of the frame is moved to where it will be seen, and the
nearest one that arrives at a pixel gives its source position; where none arrives, the background is mirrored.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.drive.warp_blocks import (
    BLOCK,
    NEARER,
    OUTLINE,
    displacement,
    examine,
    inverse,
    mark_arrivals,
    select_blocks,
)

ROUGH_SHARE = 0.6  # of all blocks, up to which moving pixels is not too slow
TEAR = 1.0  # px by which surfaces move apart, from which on an outline would be torn
TOLERANCE = 0.125  # px that the centre of a block may deviate from interpolation between its corners


class Scene(NamedTuple):
    """A frame and how what it shows has moved since."""

    depth: np.ndarray  # f32 (H, W), m
    instance: np.ndarray  # u16 (H, W)
    slots: np.ndarray  # u8 (65536,): index of the transform of each instance
    transforms: np.ndarray  # f32 (slots, 12): 3x4 matrices in row-major order, new camera <- camera of the frame
    focal: np.float32  # px


class Blocks(NamedTuple):
    """What is known of the blocks of a frame."""

    predictions: np.ndarray  # as from ``predict_motion``
    surface: np.ndarray  # as from ``analyse_blocks``
    nearest: np.ndarray  # as from ``analyse_blocks``
    beside: np.ndarray  # as from ``find_outlines``
    limits: np.ndarray  # f32 (slots,): maximum deviation of a block that is warped as a whole
    reaches: np.ndarray  # f32 (slots,): maximum displacement of a point with inverse depth 1 / focal by its depth, px


class Sources(NamedTuple):
    """Where the colour of each pixel comes from: outputs."""

    arrived: np.ndarray  # f32 (H, W): how near the pixel is that arrived, 0: none did; infinite where none may
    xs: np.ndarray  # i32 (H, W): columns of source positions, in 1 / 65536 px, up to 1 px outside of the frame
    ys: np.ndarray  # i32 (H, W): their rows


@njit(inline="always")
def _fold(at: float, most: float) -> float:
    """Return a coordinate mirrored at the frame's edges, 0 and ``most``.

    What comes into view there is unknown, and repeating the edge would give stripes.
    """
    zero = np.float32(0.0)
    inside = abs(at) if at < most else np.float32(2.0) * most - at
    return min(max(inside, zero), most)  # type: ignore[return-value]


@njit(inline="always")
def _source(i: int, j: int, predicted: np.ndarray, scene: Scene) -> tuple[float, float, float]:
    """Return the source position (x, y) of the pixel at row i, column j: one step of a fixed-point iteration.

    It starts with the ``predicted`` displacement of the nearest surface around, so that near surfaces cover far ones.
    Where a far surface is disoccluded, the pixels next to it are used. The last number is the difference of both
    displacements along the row, px.
    """
    depth = scene.depth
    height, width = depth.shape
    half = np.float32(0.5)
    cx, cy = np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    right, bottom = np.float32(width - 1.001), np.float32(height - 1.001)
    x, y = _fold(np.float32(j) - predicted[0], right), _fold(np.float32(i) - predicted[1], bottom)
    a, b = np.uint32(np.int32(y + half)), np.uint32(np.int32(x + half))
    metres = depth[a, b]
    dx, dy, _, _ = displacement(a, b, metres, scene.transforms[scene.slots[scene.instance[a, b]]], scene.focal, cx, cy)
    x_, y_ = _fold(np.float32(j) - dx, right), _fold(np.float32(i) - dy, bottom)
    a, b = np.uint32(np.int32(y_ + half)), np.uint32(np.int32(x_ + half))
    apart = predicted[0] - dx
    if depth[a, b] > metres * NEARER:
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
    near = depth[i, np.uint32(j)] * NEARER
    # without branches: they could not be predicted
    to_left = np.int32(depth[i, np.uint32(min(j + OUTLINE, width - 1))] < near)
    to_right = np.int32(depth[i, np.uint32(max(j - OUTLINE, 0))] < near)
    step = np.float32(OUTLINE * (to_right - to_left) * np.int32(abs(apart) > half))
    return min(max(x + step, zero), np.float32(width - 1.001))  # type: ignore[return-value]


@njit(**kernels.FASTEST)
def _scatter(scene: Scene, blocks: Blocks, chosen: np.ndarray, sources: Sources) -> None:
    """Move the pixels of the ``chosen`` blocks to where they will be seen in ``rough`` ones; the nearest one remains.

    Where a surface is stretched, a pixel takes the places up to the next one. Pixels beside an outline that moves
    otherwise are left out.

    ``chosen``: as from ``select_blocks``.
    """
    depth, instance, slots, transforms, focal = scene
    predictions, beside = blocks.predictions, blocks.beside
    arrived, xs, ys = sources.arrived.ravel(), sources.xs.ravel(), sources.ys.ravel()
    height, width = depth.shape
    half, one = np.float32(0.5), np.float32(65536.0)
    cx, cy = np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    moves = np.empty((height, width, 4), np.float32)
    for i in range(chosen.shape[0]):
        for j in range(chosen.shape[1]):
            if not chosen[i, j]:
                continue
            for a in range(i * BLOCK, min(i * BLOCK + BLOCK, height)):
                for b in range(j * BLOCK, min(j * BLOCK + BLOCK, width)):
                    dx, dy, near, size = displacement(
                        a, b, depth[a, b], transforms[slots[instance[a, b]]], focal, cx, cy
                    )
                    move = moves[a, b]
                    move[0], move[1], move[2], move[3] = dx, dy, near, size
    for i in range(chosen.shape[0]):
        for j in range(chosen.shape[1]):
            if not chosen[i, j]:
                continue
            right, down = predictions[i, j, 0], predictions[i, j, 1]
            for a in range(i * BLOCK, min(i * BLOCK + BLOCK, height)):
                for b in range(j * BLOCK, min(j * BLOCK + BLOCK, width)):
                    dx, dy, near, size = moves[a, b, 0], moves[a, b, 1], moves[a, b, 2], moves[a, b, 3]
                    code = beside[a, b]
                    if code and max(abs(dx - right), abs(dy - down)) > half:
                        step, way = (1, code) if code <= 4 else (2, code - 4)
                        p = a - step if way == 3 else a + step if way == 4 else a
                        q = b - step if way == 1 else b + step if way == 2 else b
                        if chosen[p // BLOCK, q // BLOCK]:
                            dx_, dy_, near_, size_ = moves[p, q, 0], moves[p, q, 1], moves[p, q, 2], moves[p, q, 3]
                        else:
                            dx_, dy_, near_, size_ = displacement(
                                p, q, depth[p, q], transforms[slots[instance[p, q]]], focal, cx, cy
                            )
                        if max(abs(dx_ - dx), abs(dy_ - dy)) > half:
                            if step > 1:
                                continue
                            dx, dy, near, size = dx_, dy_, near_ * np.float32(0.999), size_
                    x, y = np.float32(b) + dx, np.float32(a) + dy
                    if not (x > np.float32(-1.0) and x < np.float32(width)):  # also what is not a number
                        continue
                    if not (y > np.float32(-1.0) and y < np.float32(height)):
                        continue
                    way_x, way_y = np.int32(dx * one), np.int32(dy * one)
                    x, y = x + half, y + half
                    left, top = np.int32(np.floor(x)), np.int32(np.floor(y))
                    stop_x, stop_y = np.int32(np.floor(x + size)), np.int32(np.floor(y + size))
                    for v in range(max(top, np.int32(0)), min(max(stop_y, top + 1), height)):
                        for u in range(max(left, np.int32(0)), min(max(stop_x, left + 1), width)):
                            k = np.uint32(v) * np.uint32(width) + np.uint32(u)
                            if near > arrived[k]:
                                arrived[k] = near
                                xs[k], ys[k] = np.int32(u << 16) - way_x, np.int32(v << 16) - way_y


@njit(inline="always")
def _near_at(i: int, j: int, scene: Scene, sources: Sources) -> float:
    """Return how near what is seen at row ``i``, column ``j`` is, as ``displacement`` does; 0 if that is unknown."""
    depth = scene.depth
    arrived, xs, ys = sources
    height, width = depth.shape
    if i < 0 or j < 0 or i >= height or j >= width:
        return np.float32(0.0)  # type: ignore[return-value]
    if arrived[i, j] < np.inf:
        return arrived[i, j]  # type: ignore[no-any-return]
    return inverse(depth[ys[i, j] >> 16, xs[i, j] >> 16], scene.focal) + np.float32(1e-6)  # type: ignore[return-value]


@njit(inline="always")
def _mirrored(at: int, away: int, is_border: bool, most: int) -> np.int32:
    """Return the source position ``away`` from ``at`` on the other side of it, or, at the border of the image, on the
    same side, mirrored where the image ends; all in 1 / 65536 px from 0 to ``most``."""
    to = abs(at + (away if is_border else -away))
    return np.int32(min(max(to if to < most else 2 * most - to, 0), most))


@njit(inline="always")
def _is_nearer(x: int, y: int, than_x: int, than_y: int, depth: np.ndarray) -> bool:
    """Return whether a source position is that of a nearer surface than another one, in 1 / 65536 px."""
    bottom, right = depth.shape[0] - 1, depth.shape[1] - 1
    a, b = min(max(y >> 16, 0), bottom), min(max(x >> 16, 0), right)
    c, d = min(max(than_y >> 16, 0), bottom), min(max(than_x >> 16, 0), right)
    return depth[a, b] * NEARER < depth[c, d]  # type: ignore[no-any-return]


@njit(**kernels.FASTEST)
def _fill_row(i: int, scene: Scene, sources: Sources) -> None:
    """Give the pixels of row ``i`` at which none has arrived the source positions of the background beside them, or
    above or below if that is nearer.

    The background is mirrored: repeating one pixel would give stripes. Another object, which is nearer than that, is
    not.
    """
    depth = scene.depth
    arrived, xs, ys = sources
    height, width = depth.shape
    one = 1 << 16
    most_x, most_y = int((width - 1.001) * 65536.0), int((height - 1.001) * 65536.0)
    j = 0
    while j < width:
        if arrived[i, j] > 0.0:
            j += 1
            continue
        start = j
        while j < width and arrived[i, j] <= 0.0:
            j += 1
        left = _near_at(i, start - 1, scene, sources)
        right = _near_at(i, j, scene, sources)
        source = start - 1 if right <= 0.0 or 0.0 < left <= right else j
        for k in range(start, j):
            top, bottom = i - 1, i + 1
            least = max(i - (j - start), 0)
            while top >= least and arrived[top, k] <= 0.0:
                top -= 1
            while bottom < height and bottom - top <= j - start and arrived[bottom, k] <= 0.0:
                bottom += 1
            above = _near_at(top, k, scene, sources)
            below = _near_at(bottom, k, scene, sources)
            if above > 0.0 and below > 0.0 and bottom - top - 1 < j - start:
                row = top if above <= below else bottom
                x, y = xs[row, k], ys[row, k]
                to = _mirrored(y, (i - row) * one, False, most_y)
                xs[i, k], ys[i, k] = x, y if _is_nearer(x, to, x, y, depth) else to
            elif left > 0.0 or right > 0.0:
                is_border = left <= 0.0 or right <= 0.0
                x, y = xs[i, source], ys[i, source]
                to = _mirrored(x, (k - source) * one, is_border, most_x)
                xs[i, k], ys[i, k] = x if _is_nearer(to, y, x, y, depth) else to, y
            else:
                xs[i, k], ys[i, k] = np.int32(k * one), np.int32(i * one)
    for k in range(np.uint64(width)):
        xs[i, k] = min(max(xs[i, k], np.int32(0)), np.int32(most_x))
        ys[i, k] = min(max(ys[i, k], np.int32(0)), np.int32(most_y))


@njit(**kernels.FASTEST)
def _trace_back(top: int, left: int, predicted: np.ndarray, scene: Scene, sources: Sources) -> None:
    """Find the source positions of a block pixel by pixel."""
    depth, xs, ys = scene.depth, sources.xs, sources.ys
    height, width = depth.shape
    one = np.float32(65536.0)
    for a in range(top, min(top + BLOCK, height)):
        for b in range(left, min(left + BLOCK, width)):
            x, y, aside = _source(a, b, predicted, scene)
            x = _beyond_outline(x, y, aside, depth)
            xs[a, b], ys[a, b] = np.int32(x * one), np.int32(y * one)


@njit(**kernels.FASTEST)
def warp(pixels: np.ndarray, scene: Scene, blocks: Blocks, out: np.ndarray) -> None:
    """Sample each pixel of the image ``pixels`` u32 (H, W) at its source position, into ``out`` u32 (H, W)."""
    depth, predictions, surface = scene.depth, blocks.predictions, blocks.surface
    height, width = depth.shape
    last, one = BLOCK - 1, np.float32(65536.0)
    xs, ys = np.empty((height, width), np.int32), np.empty((height, width), np.int32)  # sources, in 1 / 65536 pixels
    arrived, taken = np.zeros((height, width), np.float32), np.float32(np.inf)  # nothing else may arrive there
    sources = Sources(arrived, xs, ys)
    rough = np.zeros(predictions.shape[:2], np.uint8)
    mark_arrivals(predictions, surface, blocks.limits, rough)
    for i in range(predictions.shape[0]):
        top = i * BLOCK
        for j in range(predictions.shape[1]):
            left = j * BLOCK
            predicted = predictions[i, j]
            if rough[i, j] or top + BLOCK > height or left + BLOCK > width:
                rough[i, j] = 1
                continue
            rough[i, j] = 1
            px, py, _ = _source(top, left, predicted, scene)
            qx, qy, _ = _source(top, left + last, predicted, scene)
            rx, ry, _ = _source(top + last, left, predicted, scene)
            sx, sy, _ = _source(top + last, left + last, predicted, scene)
            mx, my, _ = _source(top + 4, left + 4, predicted, scene)
            g, h = np.float32(4.0 / 7.0), np.float32(3.0 / 7.0)
            off_x = h * (h * px + g * qx) + g * (h * rx + g * sx) - mx
            off_y = h * (h * py + g * qy) + g * (h * ry + g * sy) - my
            box = (
                min(px, rx, np.float32(left) - predicted[0]),
                min(py, qy, np.float32(top) - predicted[1]),
                max(qx, sx, np.float32(left + last) - predicted[0]),
                max(ry, sy, np.float32(top + last) - predicted[1]),
            )
            is_smooth, apart = examine(box, blocks.nearest, surface, blocks.limits, blocks.reaches, scene.focal)
            is_smooth &= max(abs(off_x), abs(off_y)) <= np.float32(TOLERANCE)
            if apart > np.float32(TEAR) and not is_smooth:
                continue
            rough[i, j] = 0
            for a in range(top, top + BLOCK):
                for b in range(np.uint64(left), np.uint64(left + BLOCK)):
                    arrived[a, b] = taken
            if not is_smooth:
                _trace_back(top, left, predicted, scene, sources)
                continue
            for a in range(BLOCK):
                down = np.float32(a) * np.float32(1.0 / last)
                x, y = np.int32((px + (rx - px) * down) * one), np.int32((py + (ry - py) * down) * one)
                to_x, to_y = np.int32((qx + (sx - qx) * down) * one), np.int32((qy + (sy - qy) * down) * one)
                # rounded towards zero: the last pixel must not pass the corner, perhaps the frame's
                step_x, step_y = np.int32((to_x - x) / last), np.int32((to_y - y) / last)
                for b in range(BLOCK):
                    xs[top + a, left + b], ys[top + a, left + b] = x + step_x * np.int32(b), y + step_y * np.int32(b)
    if rough.sum() > ROUGH_SHARE * rough.size:
        for i in range(rough.shape[0]):
            for j in range(rough.shape[1]):
                if rough[i, j]:
                    _trace_back(i * BLOCK, j * BLOCK, predictions[i, j], scene, sources)
        for i in range(height):
            _sample(pixels, xs[i], ys[i], out[i])
        return
    chosen = np.empty_like(rough)
    select_blocks(rough, predictions, chosen)
    _scatter(scene, blocks, chosen, sources)
    for i in range(height):
        _fill_row(i, scene, sources)
        _sample(pixels, xs[i], ys[i], out[i])


@njit(**kernels.FASTEST)
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
