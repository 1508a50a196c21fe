"""Motion blur: what moves over the image while a camera's shutter is open is smeared, by the engine's exact motion.

As in McGuire, Hennessy, Bukowski, Osman, "A Reconstruction Filter for Plausible Motion Blur" (I3D 2012), pixels gather
along the longest motion near them: what is in front covers what it passes, and what is behind shows through where
something moves away. The graph's state is not changed.
"""

from __future__ import annotations

import numba
import numpy as np

from neuralsim.base import kernels

_BY_DAY, _BY_NIGHT = 1.0 / 320.0, 1.0 / 30.0  # s that the shutter is open: in the shade of a street, and at most
_LONGEST_FRAME = 0.2  # s between two frames; what has moved for longer is not on one line
_TILE = 1.0 / 64.0  # of the width: side of the tiles whose longest motion counts, and half of the longest smear
_LEAST = 0.7  # px, half of the shortest smear
_SPACING = 1.5  # px between two samples
_HIDDEN = 1000.0  # px, from where on a motion says that it is not known
_AHEAD = 0.05  # of its distance that something must be in front to be seen as in front


def blur_by_motion(image: np.ndarray, motion: np.ndarray, depth: np.ndarray, elapsed: float, dark: float) -> None:
    """Smear ``image`` u8 (H, W, 3), RGB, in place, by what moves while the shutter is open.

    Args:
        image: Before it is exposed.
        motion: f16, at least (H, W, 2), px since the last frame, as the plane of that name.
        depth: f32, at least (H, W), m.
        elapsed: s since the last frame; infinite or negative: it was not just before, and nothing is smeared.
        dark: From 0, by day, to 1, by night, when the shutter is open for longer.
    """
    if not 0.0 < elapsed < _LONGEST_FRAME:
        return
    height, width = image.shape[:2]
    side = max(round(_TILE * width), 1)
    share = 0.5 * min(_BY_DAY * (_BY_NIGHT / _BY_DAY) ** dark / elapsed, 1.0)
    reach = np.empty((height, width), np.float32)
    halves = kernels.read_only(np.ascontiguousarray(motion).view(np.uint16))
    longest = _longest(halves, reach, side, np.float32(share))
    if longest.any():
        _gather(image, image.copy(), reach, kernels.read_only(depth), longest, side)


def compile_kernels() -> None:
    """Compile the kernels ahead."""
    image, depth = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32)
    motion = np.full((8, 8, 2), 9.0, np.float16)
    blur_by_motion(image, motion, depth, 0.05, 1.0)


@numba.njit(inline="always")
def _value(half):  # type: ignore[no-untyped-def]
    """Return a number from its 16 bits; infinities are large."""
    exponent, fraction = (half >> 10) & 31, half & 1023
    size = (1024 + fraction) * 2.0 ** (exponent - 25) if exponent else fraction * 2.0**-24
    return -size if half >> 15 else size


@numba.njit(**kernels.FASTEST)
def _longest(motion, reach, side, share):  # type: ignore[no-untyped-def]
    """Return the longest motion in and around each tile, f32 (h, w, 2), px, at most ``side`` long.

    ``motion``: u16, the bits of the plane, of which everything is ``share`` times. Writes its length by pixel to
    ``reach`` f32 (H, W): at most ``side``, and 0 where it is not known.
    """
    height, width = reach.shape
    most, hidden = np.float32(side), np.float32(_HIDDEN)
    bits = np.empty(2 * width, np.uint32)
    size = bits.view(np.float32)
    scale = np.float32(2.0**112)  # from the exponents of 16 bits to those of 32
    for y in range(height):
        row = motion[y].reshape(-1)
        for x in range(2 * width):
            bits[x] = (np.uint32(row[x]) & np.uint32(0x7FFF)) << np.uint32(13)
        for x in range(width):
            dx, dy = size[2 * x] * scale, size[2 * x + 1] * scale
            length = np.sqrt(dx * dx + dy * dy)
            part = length * share
            part = most if part > most else part
            reach[y, x] = part if length < hidden else np.float32(0.0)
    order = reach.view(np.int32)  # the bits of positive numbers are in their order
    least = np.full(1, _LEAST, np.float32).view(np.int32)[0]
    rows, columns = -(-height // side), -(-width // side)
    own = np.zeros((rows, columns, 3), np.float32)
    highest = np.empty(width, np.int32)
    for i in range(rows):
        first, end = i * side, min((i + 1) * side, height)
        highest[:] = 0
        for y in range(first, end):
            for x in range(width):
                highest[x] = max(highest[x], order[y, x])
        for j in range(columns):
            left, right = j * side, min((j + 1) * side, width)
            farthest = highest[left:right].max()
            if farthest < least:
                continue
            v, u = first, left
            while order[v, u] != farthest:
                v, u = (v, u + 1) if u + 1 < right else (v + 1, left)
            dx, dy = _value(np.int64(motion[v, u, 0])), _value(np.int64(motion[v, u, 1]))
            times = reach[v, u] / np.sqrt(dx * dx + dy * dy)
            own[i, j, 0], own[i, j, 1], own[i, j, 2] = dx * times, dy * times, reach[v, u]
    around = np.zeros((rows, columns, 2), np.float32)
    for i in range(rows):
        for j in range(columns):
            longest = np.float32(0.0)
            for k in range(max(i - 1, 0), min(i + 2, rows)):
                for n in range(max(j - 1, 0), min(j + 2, columns)):
                    if own[k, n, 2] > longest:
                        longest = own[k, n, 2]
                        around[i, j, 0], around[i, j, 1] = own[k, n, 0], own[k, n, 1]
    return around


@numba.njit(**kernels.FASTEST)
def _gather(image, sharp, reach, depth, longest, side):  # type: ignore[no-untyped-def]
    """Do what ``blur_by_motion`` does, from ``sharp``, a copy of ``image``."""
    height, width = reach.shape
    steps = np.empty((4 * side, 2), np.int32)
    for i in range(longest.shape[0]):
        for j in range(longest.shape[1]):
            dx, dy = longest[i, j]
            length = np.sqrt(dx * dx + dy * dy)
            if length == np.float32(0.0):
                continue
            samples = int(np.float32(2.0 / _SPACING) * length) + 2
            for sample in range(samples):
                t = np.float32(2 * sample + 1 - samples) / np.float32(samples - 1)
                steps[sample, 0], steps[sample, 1] = np.rint(t * dy), np.rint(t * dx)
            for y in range(i * side, min((i + 1) * side, height)):
                for x in range(j * side, min((j + 1) * side, width)):
                    _mix(image, sharp, reach, depth, steps, samples, length, y, x)


@numba.njit(inline="always")
def _mix(image, sharp, reach, depth, steps, samples, length, y, x):  # type: ignore[no-untyped-def]
    """Smear one pixel by those of ``samples`` that have covered it, or been seen from it while the shutter was open."""
    height, width = reach.shape
    far, own_reach = depth[y, x], reach[y, x] + np.float32(0.5)
    nearer, farther = far * np.float32(1.0 + _AHEAD), far * np.float32(1.0 - _AHEAD)
    red = green = blue = 0
    own = samples
    for sample in range(samples):
        v, u = y + steps[sample, 0], x + steps[sample, 1]
        if v < 0 or v >= height or u < 0 or u >= width:
            continue
        away = length * np.float32(abs(2 * sample + 1 - samples)) / np.float32(samples - 1)
        # what is in front has passed by here; what is behind was seen while this one was elsewhere
        covers = depth[v, u] < nearer and away < reach[v, u] + np.float32(0.5)
        if covers or (depth[v, u] > farther and away < own_reach):
            red += sharp[v, u, 0]
            green += sharp[v, u, 1]
            blue += sharp[v, u, 2]
            own -= 1
    image[y, x, 0] = (red + own * sharp[y, x, 0] + samples // 2) // samples
    image[y, x, 1] = (green + own * sharp[y, x, 1] + samples // 2) // samples
    image[y, x, 2] = (blue + own * sharp[y, x, 2] + samples // 2) // samples
