"""Morphological anti-aliasing of one image along the edges of the tag and instance planes.

Reshetov, "Morphological Antialiasing", HPG 2009, detects silhouettes by thresholds on colours. Here they are known: the
planes say to the pixel where one object ends and another begins. Each straight run of such an edge is replaced by the
line through the middles of its steps, and the pixels that this line cuts take their neighbour's colour by the share of
their area that lies beyond it. A detail of a single pixel, such as a gap between leaves, looks through a lens like part
of its surroundings. Inside of objects nothing changes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.tags import Tag
from neuralsim.base import kernels

_LONGEST_RUN = 48  # px on each side of a step: a flatter edge shows no stairs
_HIGHEST_STEP = 2  # px: a higher one is a corner
_DARKER, _BRIGHTER = 20, 50  # how far a detail of a single pixel may lie outside the range around it, of 255
_TRAFFIC_LIGHT = int(Tag.TRAFFIC_LIGHT)


def antialias_edges(image: np.ndarray, tag: np.ndarray, instance: np.ndarray) -> None:
    """Anti-alias the outlines in ``image`` u8 (H, W, 3), in place.

    ``tag`` u8 and ``instance`` u16, at least (H, W): the planes that the image was generated from.
    """
    height, width = image.shape[:2]
    keys = np.empty((height, width), np.uint32)
    _fill_keys(kernels.read_only(tag), kernels.read_only(instance), keys)
    before = image.copy()
    _blend_edges(keys, before, image)
    _limit_specks(keys, before, image)


def compile_kernels() -> None:
    """Compile the kernels ahead."""
    tag, instance, image = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8)
    antialias_edges(image, tag, instance)


@njit(**kernels.EXACT)
def _fill_keys(tag, instance, keys):  # type: ignore[no-untyped-def]
    """Write instance and tag of each pixel as one number into ``keys`` u32 (H, W)."""
    height, width = keys.shape
    for i in range(height):
        for j in range(width):
            keys[i, j] = (np.uint32(instance[i, j]) << np.uint32(8)) | np.uint32(tag[i, j])


@njit(**kernels.EXACT)
def _blend_edges(keys, before, after):  # type: ignore[no-untyped-def]
    """Blend the edges between rows, then those between columns; both read ``before`` and add to ``after``."""
    _blend_row_edges(keys, before, after)
    _blend_row_edges(keys.T, before.transpose(1, 0, 2), after.transpose(1, 0, 2))


@njit(**kernels.EXACT)
def _limit_specks(keys, before, after):  # type: ignore[no-untyped-def]
    """Bound how far a pixel of another object than its four neighbours lies outside of their range.

    Traffic lights are exempt: they are there to be seen.
    """
    height, width = keys.shape
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            key = keys[i, j]
            if key != keys[i, j - 1] and key != keys[i, j + 1] and key != keys[i - 1, j] and key != keys[i + 1, j]:
                if key & np.uint32(0xFF) == _TRAFFIC_LIGHT:
                    continue
                for c in range(3):
                    left, right = int(before[i, j - 1, c]), int(before[i, j + 1, c])
                    up, down = int(before[i - 1, j, c]), int(before[i + 1, j, c])
                    least, most = min(left, right, up, down) - _DARKER, max(left, right, up, down) + _BRIGHTER
                    after[i, j, c] = min(max(int(before[i, j, c]), least), most)


@njit(**kernels.EXACT)
def _blend_row_edges(keys, before, after):  # type: ignore[no-untyped-def]
    """Blend the edges between each row and the next one, run by run."""
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
            first = last = 0  # how the edge continues beyond the run's ends: a row higher, 1, or lower, -1
            if j > 0:
                first = _step(keys, i, j - 1, above, below)
            if end < width:
                last = _step(keys, i, end, above, below)
            if first or last:
                _blend_run(before, after, i, j, end, first, last)
            j = end


@njit(inline="always")
def _step(keys, i, aside, above, below):  # type: ignore[no-untyped-def]
    """Return 1 if in the column ``aside`` of a run the edge continues a little higher, -1 if a little lower.

    Anything else, such as the corner of a box, is 0.
    """
    if keys[i, aside] == below and keys[i + 1, aside] == below:
        for up in range(1, min(_HIGHEST_STEP, i) + 1):
            if keys[i - up, aside] != below:
                return 1 if keys[i - up, aside] == above else 0
    elif keys[i, aside] == above and keys[i + 1, aside] == above:
        for down in range(2, min(_HIGHEST_STEP + 2, keys.shape[0] - i)):
            if keys[i + down, aside] != above:
                return -1 if keys[i + down, aside] == below else 0
    return 0


@njit(**kernels.EXACT)
def _blend_run(before, after, i, start, end, first, last):  # type: ignore[no-untyped-def]
    """Blend the pixels above and below a run of the edge by the area that the line between its ends cuts off.

    The line is half a pixel off the edge where a step ends the run and meets the edge in the middle of the run, or at
    its other end if there is no step.
    """
    length = end - start
    reach = length / 2.0 if first and last else float(length)
    reach = min(reach, float(_LONGEST_RUN))
    for j in range(start, end):
        cut = 0.0  # share of a pixel: positive where the object below covers part of the upper pixel
        if first:
            cut += 0.5 * first * _mean_of_line(j - start, reach)
        if last:
            cut += 0.5 * last * _mean_of_line(end - 1 - j, reach)
        if cut > 0.0:
            _blend_pixel(before, after, i, i + 1, j, cut)
        elif cut < 0.0:
            _blend_pixel(before, after, i + 1, i, j, -cut)


@njit(inline="always")
def _mean_of_line(place, reach):  # type: ignore[no-untyped-def]
    """Return the mean over [place, place + 1] of a line that falls from 1 at 0 to 0 at ``reach``."""
    if place >= reach:
        return 0.0
    most = min(place + 1.0, reach)
    return (most - place) * (1.0 - (place + most) / (2.0 * reach))


@njit(inline="always")
def _blend_pixel(before, after, into, other, j, share):  # type: ignore[no-untyped-def]
    """Move the pixel of row ``into`` in column ``j`` by ``share`` towards that of row ``other``."""
    for c in range(3):
        moved = share * (np.float64(before[other, j, c]) - np.float64(before[into, j, c]))
        after[into, j, c] = np.uint8(min(max(np.float64(after[into, j, c]) + moved + 0.5, 0.0), 255.0))
