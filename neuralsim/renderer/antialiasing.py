"""Outlines without stairs in one picture: morphological anti-aliasing along the edges of the tag and instance planes.

Reshetov, "Morphological Antialiasing", HPG 2009, finds silhouettes by thresholds on colours. Here they are known: the
planes say to the pixel where one thing ends and another begins. Each straight run of such an edge is replaced by the
line through the middles of its steps, and the pixels that this line cuts take their neighbour's colour by the share of
their area that lies beyond it. What is one pixel small, such as a gap between leaves, is seen through a lens as part of
what is around. Inside of things nothing changes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.tags import Tag

_LONGEST = 48  # px of a run on each side of which a step is looked for: what is flatter than that shows no stairs
_HIGHEST = 2  # px of a step; what is higher is a corner
_DARKER, _BRIGHTER = 20, 50  # of 255: by how much what is as small as a pixel may differ from what is around
_LIGHT = int(Tag.TRAFFIC_LIGHT)
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


def soften(picture: np.ndarray, tag: np.ndarray, instance: np.ndarray) -> None:
    """Take the stairs from the outlines of ``picture`` u8 (H, W, 3), in place.

    ``tag`` u8 and ``instance`` u16, at least (H, W): the planes that it was painted from.
    """
    height, width = picture.shape[:2]
    keys = np.empty((height, width), np.uint32)
    _mark(tag, instance, keys)
    before = picture.copy()
    _along(keys, before, picture)
    _specks(keys, before, picture)


def compile_kernels() -> None:
    """Do so before they are needed, for planes in messages (writable) and in shared memory (not)."""
    tag, instance, picture = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8)
    for writable in (True, False):
        for plane in (tag, instance):
            plane.flags.writeable = writable
        soften(picture, tag, instance)


@njit(**_JIT)
def _mark(tag, instance, keys):  # type: ignore[no-untyped-def]
    """What is seen where: instance and tag in one number."""
    height, width = keys.shape
    for i in range(height):
        for j in range(width):
            keys[i, j] = (np.uint32(instance[i, j]) << np.uint32(8)) | np.uint32(tag[i, j])


@njit(**_JIT)
def _along(keys, before, after):  # type: ignore[no-untyped-def]
    """All edges: between rows, then between columns; both look at ``before`` and add to ``after``."""
    _runs(keys, before, after)
    _runs(keys.T, before.transpose(1, 0, 2), after.transpose(1, 0, 2))


@njit(**_JIT)
def _specks(keys, before, after):  # type: ignore[no-untyped-def]
    """Bound how far a pixel that is of something else than all four neighbours lies outside of their range, but for
    traffic lights: those are there to be seen."""
    height, width = keys.shape
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            key = keys[i, j]
            if key & np.uint32(0xFF) == _LIGHT:
                continue
            if key != keys[i, j - 1] and key != keys[i, j + 1] and key != keys[i - 1, j] and key != keys[i + 1, j]:
                for c in range(3):
                    left, right = int(before[i, j - 1, c]), int(before[i, j + 1, c])
                    up, down = int(before[i - 1, j, c]), int(before[i + 1, j, c])
                    least, most = min(left, right, up, down) - _DARKER, max(left, right, up, down) + _BRIGHTER
                    after[i, j, c] = min(max(int(before[i, j, c]), least), most)


@njit(**_JIT)
def _runs(keys, before, after):  # type: ignore[no-untyped-def]
    """The edges between each row and the next one, run by run."""
    height, width = keys.shape
    for i in range(height - 1):
        j = 0
        while j < width:
            above, below = keys[i, j], keys[i + 1, j]
            if above == below:
                j += 1
                continue
            end = j + 1
            while end < width and keys[i, end] == above and keys[i + 1, end] == below:
                end += 1
            first = last = 0  # where the edge goes on beyond the run's ends: a row higher, 1, or lower, -1
            if j > 0:
                first = _step(keys, i, j - 1, above, below)
            if end < width:
                last = _step(keys, i, end, above, below)
            if first or last:
                _cut(before, after, i, j, end, first, last)
            j = end


@njit(inline="always")
def _step(keys, i, aside, above, below):  # type: ignore[no-untyped-def]
    """1 if in the column ``aside`` of a run the edge goes on a little higher, -1 if a little lower; 0 for anything
    else, such as the corner of a box."""
    if keys[i, aside] == below and keys[i + 1, aside] == below:
        for up in range(1, min(_HIGHEST, i) + 1):
            if keys[i - up, aside] != below:
                return 1 if keys[i - up, aside] == above else 0
    elif keys[i, aside] == above and keys[i + 1, aside] == above:
        for down in range(2, min(_HIGHEST + 2, keys.shape[0] - i)):
            if keys[i + down, aside] != above:
                return -1 if keys[i + down, aside] == below else 0
    return 0


@njit(**_JIT)
def _cut(before, after, i, start, end, first, last):  # type: ignore[no-untyped-def]
    """Blend the pixels above and below a run of the edge by what the line from its one end to the other cuts off.

    The line is half a pixel off the edge where a step ends the run and meets the edge in the middle of the run, or at
    its other end if there is no step.
    """
    length = end - start
    reach = length / 2.0 if first and last else float(length)
    reach = min(reach, float(_LONGEST))
    for j in range(start, end):
        cut = 0.0  # share of a pixel: positive of the upper one, which what is below covers
        if first:
            cut += 0.5 * first * _mean(j - start, reach)
        if last:
            cut += 0.5 * last * _mean(end - 1 - j, reach)
        if cut > 0.0:
            _mix(before, after, i, i + 1, j, cut)
        elif cut < 0.0:
            _mix(before, after, i + 1, i, j, -cut)


@njit(inline="always")
def _mean(place, reach):  # type: ignore[no-untyped-def]
    """Mean over [place, place + 1] of a line that falls from 1 at 0 to 0 at ``reach``."""
    if place >= reach:
        return 0.0
    most = min(place + 1.0, reach)
    return (most - place) * (1.0 - (place + most) / (2.0 * reach))


@njit(inline="always")
def _mix(before, after, into, other, j, share):  # type: ignore[no-untyped-def]
    for c in range(3):
        moved = share * (np.float64(before[other, j, c]) - np.float64(before[into, j, c]))
        after[into, j, c] = np.uint8(min(max(np.float64(after[into, j, c]) + moved + 0.5, 0.0), 255.0))
