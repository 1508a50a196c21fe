"""Bounding volume hierarchies for ray casting, built by the binned surface-area heuristic (Wald 2007).

A tree is two arrays. ``bounds`` f32 (N, 12) has the boxes of the two children of each inner node, each low then high,
so that one step of a ray reads contiguous memory. ``link`` i32 (N, 4) has for each child its index and its number of
items: 0 for an inner node; otherwise it is a leaf, and the index is that of its first item. Boxes are rounded outwards,
as they only cull: the items decide what a ray hits.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from neuralsim.base import kernels

LEAF = 4  # most items per leaf, where their centres differ
BINS = 16  # bins of the surface-area heuristic per axis
DEEP = 48  # level from which on nodes are halved, so that no tree is deeper than DEEP + log2 of its items
STEP = 1.0  # cost of visiting a node relative to testing an item
MARGIN = 1e-4  # m, margin of boxes around their contents


@dataclass
class Bvh:
    """A bounding volume hierarchy. ``order`` i64 (M,): the items of the leaves, end to end."""

    bounds: np.ndarray
    link: np.ndarray
    order: np.ndarray


def build_bvh(low: np.ndarray, high: np.ndarray) -> Bvh:
    """Build a tree over boxes with corners ``low`` and ``high``, f64 (N, 3). No ray enters a tree of no boxes."""
    order = np.arange(len(low))
    nodes = max(len(low), 1)
    bounds, link = np.empty((nodes, 12), np.float32), np.zeros((nodes, 4), np.int32)
    used = _build(low, high, order, bounds, link)
    return Bvh(bounds[:used], link[:used], order)


@njit(**kernels.EXACT)
def _split(low, high, order, start, stop):  # type: ignore[no-untyped-def]
    """Partition ``order[start:stop]`` by the cheapest of the planes between bins.

    Return where the second group begins, or ``start`` if a leaf is cheaper.
    """
    count = stop - start
    least, most = np.full(3, np.inf), np.full(3, -np.inf)  # of the centres
    outer_low, outer_high = np.full(3, np.inf), np.full(3, -np.inf)
    for k in range(start, stop):
        n = order[k]
        for a in range(3):
            centre = low[n, a] + high[n, a]
            least[a], most[a] = min(least[a], centre), max(most[a], centre)
            outer_low[a], outer_high[a] = min(outer_low[a], low[n, a]), max(outer_high[a], high[n, a])
    best, axis, plane = np.inf, -1, 0
    members = np.empty(BINS, np.int64)
    bin_low, bin_high = np.empty((BINS, 3)), np.empty((BINS, 3))
    right = np.empty(BINS)
    for a in range(3):
        if most[a] - least[a] < 1e-9:
            continue
        scale = BINS * (1.0 - 1e-9) / (most[a] - least[a])
        members[:] = 0
        bin_low[:], bin_high[:] = np.inf, -np.inf
        for k in range(start, stop):
            n = order[k]
            b = int((low[n, a] + high[n, a] - least[a]) * scale)
            members[b] += 1
            for r in range(3):
                bin_low[b, r], bin_high[b, r] = min(bin_low[b, r], low[n, r]), max(bin_high[b, r], high[n, r])
        for way in range(2):
            x0 = y0 = z0 = np.inf
            x1 = y1 = z1 = -np.inf
            held = 0
            for step in range(BINS - 1):
                b = step if way else BINS - 1 - step
                x0, y0, z0 = min(x0, bin_low[b, 0]), min(y0, bin_low[b, 1]), min(z0, bin_low[b, 2])
                x1, y1, z1 = max(x1, bin_high[b, 0]), max(y1, bin_high[b, 1]), max(z1, bin_high[b, 2])
                held += members[b]
                dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
                cost = held * (dx * dy + dy * dz + dz * dx) if held else 0.0
                if way == 0:
                    right[b] = cost
                elif 0 < held < count and cost + right[b + 1] < best:
                    best, axis, plane = cost + right[b + 1], a, b
    dx, dy, dz = outer_high[0] - outer_low[0], outer_high[1] - outer_low[1], outer_high[2] - outer_low[2]
    whole = dx * dy + dy * dz + dz * dx
    if axis < 0:
        return start + count // 2 if count > LEAF else start  # all centres coincide
    if count <= LEAF and best + STEP * whole >= count * whole:
        return start
    scale = BINS * (1.0 - 1e-9) / (most[axis] - least[axis])
    i, j = start, stop - 1
    while i <= j:
        n = order[i]
        if int((low[n, axis] + high[n, axis] - least[axis]) * scale) <= plane:
            i += 1
        else:
            order[i], order[j] = order[j], n
            j -= 1
    return i


@njit(**kernels.EXACT)
def _enclose(low, high, order, start, stop, box):  # type: ignore[no-untyped-def]
    """Write the bounding box of ``order[start:stop]`` into ``box`` f32 (6,)."""
    box[:3], box[3:] = 1e30, -1e30
    for k in range(start, stop):
        n = order[k]
        for a in range(3):
            box[a] = min(box[a], np.float32(low[n, a] - MARGIN - 1e-7 * abs(low[n, a])))
            box[3 + a] = max(box[3 + a], np.float32(high[n, a] + MARGIN + 1e-7 * abs(high[n, a])))
    if stop == start:
        box[:] = 1e30  # a point that no ray reaches


@njit(**kernels.EXACT)
def _build(low, high, order, bounds, link):  # type: ignore[no-untyped-def]
    """Write a tree and return its number of nodes. The root is node 0, even if everything fits into one leaf."""
    count = len(order)
    zero = np.int64(0)  # a literal would be a type of its own, for which all is compiled twice
    middle = _split(low, high, order, zero, count) if count > 1 else 0
    # Per inner node: its index, its level, start and end of its items, and where those of the second child begin.
    waiting = [(0, 0, 0, count, middle if middle > 0 else count)]
    used = 1
    while len(waiting) > 0:
        node, level, start, stop, middle = waiting.pop()
        for side in range(2):
            first, last = (start, middle) if side == 0 else (middle, stop)
            _enclose(low, high, order, first, last, bounds[node, 6 * side : 6 * side + 6])
            within = first
            if last - first > 1 and last - first < count:
                deep = level >= DEEP and last - first > LEAF
                within = (first + last) // 2 if deep else _split(low, high, order, first, last)
            if within == first:
                link[node, 2 * side], link[node, 2 * side + 1] = first, last - first
            else:
                link[node, 2 * side], link[node, 2 * side + 1] = used, 0
                waiting.append((used, level + 1, first, last, within))
                used += 1
    return used
