"""Leaves for the triangles of crowns, bushes and hedges: alpha testing by masks in each triangle's own coordinates.

A mask goes with its triangle, so that nothing swims; what is smaller than a few pixels needs none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 64  # texels of a mask along two sides of its triangle
KINDS = 4  # masks for triangles that stick out of a crown, and as many for those of its lumps
_LOOSE, _DENSE = 52, 110  # leaves in a mask
_LONG, _WIDE = 0.09, 0.036  # half axes of a leaf, of a triangle's side


@lru_cache(maxsize=1)
def leaf_masks(seed: int = 5) -> np.ndarray:
    """Bool (2 * KINDS, SIDE, SIDE): where a triangle has leaves, by two of its barycentric coordinates (second, first);
    first the loose masks, whose leaves end before the triangle does, then the dense ones."""
    rng = np.random.default_rng(seed)
    second, first = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    x, y = _upright(first, second)
    outside = first + second >= 1.0
    masks = np.zeros((2 * KINDS, SIDE, SIDE), bool)
    for kind, mask in enumerate(masks):
        loose, leaves = kind < KINDS, 0
        while leaves < (_LOOSE if loose else _DENSE):
            turn, middle = rng.uniform(0.0, np.pi), rng.dirichlet((1.0, 1.0, 1.0))
            right, up = (a - b for a, b in zip((x, y), _upright(middle[0], middle[1]), strict=True))
            along, across = right * np.cos(turn) + up * np.sin(turn), up * np.cos(turn) - right * np.sin(turn)
            leaf = (along / _LONG) ** 2 + (across / _WIDE) ** 2 < 1.0
            if loose and (middle.min() < _WIDE or (leaf & outside).any() or leaf[0].any() or leaf[:, 0].any()):
                continue
            mask |= leaf
            leaves += 1
    return masks


def _upright(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The point of an equilateral triangle of side 1 that has these barycentric coordinates."""
    return first + 0.5 * second, np.sqrt(0.75) * second
