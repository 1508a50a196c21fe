"""Leaves for the triangles of crowns, bushes and hedges: alpha testing by masks in each triangle's own coordinates.

A mask is fixed to its triangle, so that nothing swims. Triangles of a few pixels need none. The smaller a triangle
appears, the coarser its mask (Williams, SIGGRAPH 1983): a hole far smaller than a pixel would be a speck of sky.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 64  # texels of a mask along each of two sides of its triangle
LEVELS = 4  # mip levels of a mask: their smallest detail is 1, 2, 4, 8 texels wide
KINDS = 4  # masks for loose triangles that stick out of a crown, and as many for those of its closed bodies
LOOSE_LEAVES = 52  # in a mask of loose triangles
DENSE_LEAVES = 110  # in a mask of closed bodies
LEAF_COVER = 0.35  # share of leaf from which on a coarse texel is leaf: the eye notices only clear holes
LEAF_HALF_LENGTH = 0.09  # of a triangle's side
LEAF_HALF_WIDTH = 0.036


@lru_cache(maxsize=1)
def leaf_masks(seed: int = 5) -> np.ndarray:
    """Return where triangles have leaves, bool (LEVELS * 2 * KINDS, SIDE, SIDE).

    Texels are indexed by two barycentric coordinates (second, first). The finest level comes first; within each level,
    first the loose masks, whose leaves do not reach the triangle's edges, then the dense ones.
    """
    rng = np.random.default_rng(seed)
    second, first = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    x, y = _upright(first, second)
    outside = first + second >= 1.0
    masks = np.zeros((2 * KINDS, SIDE, SIDE), bool)
    for kind, mask in enumerate(masks):
        loose, leaves = kind < KINDS, 0
        while leaves < (LOOSE_LEAVES if loose else DENSE_LEAVES):
            turn, middle = rng.uniform(0.0, np.pi), rng.dirichlet((1.0, 1.0, 1.0))
            right, up = (a - b for a, b in zip((x, y), _upright(middle[0], middle[1]), strict=True))
            along, across = right * np.cos(turn) + up * np.sin(turn), up * np.cos(turn) - right * np.sin(turn)
            leaf = (along / LEAF_HALF_LENGTH) ** 2 + (across / LEAF_HALF_WIDTH) ** 2 < 1.0
            if loose and (
                middle.min() < LEAF_HALF_WIDTH or (leaf & outside).any() or leaf[0].any() or leaf[:, 0].any()
            ):
                continue
            mask |= leaf
            leaves += 1
    return np.concatenate([_coarser(masks, 1 << level) for level in range(LEVELS)])


def _coarser(masks: np.ndarray, texels: int) -> np.ndarray:
    """Return ``masks`` bool (N, SIDE, SIDE) in squares of ``texels`` x ``texels``, each leaf or not."""
    squares = masks.reshape(len(masks), SIDE // texels, texels, SIDE // texels, texels)
    leaf = squares.mean((2, 4)) > (LEAF_COVER if texels > 1 else 0.5)
    return np.asarray(leaf.repeat(texels, 1).repeat(texels, 2))


def _upright(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the point of an equilateral triangle of side 1 with these barycentric coordinates."""
    return first + 0.5 * second, np.sqrt(0.75) * second
