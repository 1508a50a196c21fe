"""The rows of a picture in bands, by two threads, for compiled work that lets go of Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_BANDS, _LEAST = 4, 32  # of a picture, and rows of each at least: each costs the call of a kernel
_HELPER = ThreadPoolExecutor(1, "bands") if (os.cpu_count() or 1) > 1 else None


def bands(height: int) -> list[tuple[int, int]]:
    """First rows, all even, and rows after the last, of the bands of a picture of ``height`` rows; none is of one row
    beside others."""
    rows = max(height // _BANDS // 2 * 2, _LEAST)
    firsts = range(0, max(height - 1, 1), rows)
    return list(zip(firsts, [*firsts[1:], height], strict=True))


def by_bands(height: int, work: Callable[[int, int], object]) -> None:
    """``work`` (first row, row after the last) on all bands: the next one for whichever of two threads is free.

    Raises what ``work`` raises.
    """
    left = iter(bands(height))

    def take() -> None:
        for first, last in left:
            work(first, last)

    helping = _HELPER.submit(take) if _HELPER is not None and height > _LEAST else None
    take()
    if helping is not None and not helping.cancel():
        helping.result()
