"""Samples of textures that repeat, for compiled kernels."""

import numba
import numpy as np


@numba.njit(inline="always")
def sample(texture, u, v):  # type: ignore[no-untyped-def]
    """Return the bilinear sample of ``texture`` (N, N), N a power of 2, at ``u``, ``v``, texels; it repeats."""
    side = np.int32(texture.shape[0] - 1)
    fu, fv = np.floor(u), np.floor(v)
    i, j = np.int32(fu) & side, np.int32(fv) & side
    right, down = (i + np.int32(1)) & side, (j + np.int32(1)) & side
    a, b = u - fu, v - fv
    above = texture[j, i] + (texture[j, right] - texture[j, i]) * a
    below = texture[down, i] + (texture[down, right] - texture[down, i]) * a
    return above + (below - above) * b
