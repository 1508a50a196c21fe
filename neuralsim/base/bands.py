"""Run compiled work that releases the GIL over bands of image rows, on two threads."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

_BANDS, _MIN_ROWS = 4, 32  # bands per image, and rows per band: every band costs one kernel call
_HELPER = ThreadPoolExecutor(1, "bands") if (os.cpu_count() or 1) > 1 else None
_IS_FREE: ContextVar[bool | None] = ContextVar("is_free", default=None)


@contextmanager
def second_thread(is_free: bool) -> Iterator[None]:
    """Say whether the second thread is free for what this one does, rather than needed by others."""
    token = _IS_FREE.set(is_free)
    try:
        yield
    finally:
        _IS_FREE.reset(token)


def is_second_free(default: bool = True) -> bool:
    """Return whether the second thread is free; ``default``: whether it is where ``second_thread`` says nothing."""
    declared = _IS_FREE.get()
    return default if declared is None else declared


def bands(height: int) -> list[tuple[int, int]]:
    """Return (first row, row after the last) of each band of an image of ``height`` rows.

    First rows are even. No band has a single row, unless it is the only one.
    """
    rows = max(height // _BANDS // 2 * 2, _MIN_ROWS)
    firsts = range(0, max(height - 1, 1), rows)
    return list(zip(firsts, [*firsts[1:], height], strict=True))


def run_in_bands(height: int, work: Callable[[int, int], object], is_alone: bool = False) -> None:
    """Call ``work(first row, row after the last)`` for every band; each of two threads takes the next band when free.

    ``is_alone``: this thread makes all calls, as it does with ``second_thread(is_free=False)``. Raises whatever
    ``work`` raises.
    """
    run_on_two(bands(height), work, is_alone=is_alone or height <= _MIN_ROWS)


def run_on_two(calls: Iterable[tuple[int, int]], work: Callable[[int, int], object], is_alone: bool = False) -> None:
    """Call ``work`` with each pair of arguments; each of two threads takes the next pair when free.

    ``is_alone``: as for ``run_in_bands``. Raises whatever ``work`` raises.
    """
    remaining = iter(list(calls))
    is_alone = is_alone or not is_second_free()

    def work_off() -> None:
        for first, second in remaining:
            work(first, second)

    helper = _HELPER.submit(work_off) if _HELPER is not None and not is_alone else None
    work_off()
    if helper is not None and not helper.cancel():
        helper.result()
