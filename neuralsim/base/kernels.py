"""Options of compiled kernels: ``@numba.njit(**kernels.FAST)``.

All are cached on disk, leave Python's lock to others while they run, and divide by zero as NumPy does. What an update
has made stale in that cache is deleted when this module is imported.
"""

from typing import Any

import numpy as np

from neuralsim.base.stale_kernels import forget_stale_once

forget_stale_once()
#: Nothing is reordered or fused.
EXACT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
#: Products and sums may be fused, quotients be products with the reciprocal. Nothing has "nnan" or "ninf": frames of
#: another machine may contain any value, which must not cause reads out of bounds.
FAST: dict[str, Any] = EXACT | {"fastmath": {"contract", "nsz", "arcp"}}
#: Sums may also be reordered, so that they use the processor's vectors, and functions be approximate.
FASTEST: dict[str, Any] = EXACT | {"fastmath": {"contract", "nsz", "arcp", "afn", "reassoc"}}


def read_only(plane: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to.

    What a kernel only reads has one type then, and the kernel is compiled once, wherever a plane comes from: those in
    messages are writable, those in shared memory are not.
    """
    view = plane.view()
    view.flags.writeable = False
    return view
