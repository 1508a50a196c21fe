"""A bound on how long a thread may compute on something that a stranger made."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator

EVERY = 0.1  # s between looks
AGAIN = 1.0  # s after which what has not ended is told once more


class PatienceError(BaseException):
    """It has taken too long. Not an ``Exception``: nothing between here and who set the bound may swallow it."""


@contextlib.contextmanager
def patient(seconds: float) -> Iterator[None]:
    """Let this thread compute for up to ``seconds`` of a processor; beyond that ``PatienceError`` is raised in here.

    What other threads and processes compute meanwhile, and waiting, do not count. It is raised between two steps of
    Python, so not before a long call of compiled code returns. Without an effect where threads have no clocks.
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        yield
        return
    thread = threading.get_ident()
    over = threading.Event()
    lock = threading.Lock()
    watch = threading.Thread(target=_watch, args=(thread, seconds, over, lock), name="patience", daemon=True)
    watch.start()
    try:
        yield
    finally:
        with lock:
            over.set()
            _raise(thread, None)  # what has been told too late
        watch.join()


def _watch(thread: int, seconds: float, over: threading.Event, lock: threading.Lock) -> None:
    clock = time.pthread_getcpuclockid(thread)
    until = time.clock_gettime(clock) + seconds
    while not over.wait(EVERY):
        if time.clock_gettime(clock) < until:
            continue
        with lock:
            if not over.is_set():
                _raise(thread, PatienceError)
        over.wait(AGAIN)


def _raise(thread: int, error: type[BaseException] | None) -> None:
    told = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), told)
