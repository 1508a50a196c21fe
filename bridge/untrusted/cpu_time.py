"""A limit on the CPU time that a thread may spend on untrusted input."""

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator

CHECK_INTERVAL = 0.1  # s between two checks of the thread's clock
RAISE_INTERVAL = 1.0  # s until the exception is raised once more in a thread that has not ended


_clocks = threading.local()  # ``clock``: the innermost `_Clock` of this thread


class _Clock:
    """What does not count of a thread's CPU time: ``uncounted`` s so far, and everything while ``is_stopped``."""

    def __init__(self) -> None:
        self.uncounted, self.is_stopped = 0.0, False


class CpuTimeExceeded(BaseException):
    """A thread has used up its CPU time. Not an ``Exception``, so that no handler inside the limit swallows it."""


@contextlib.contextmanager
def cpu_time_limit(seconds: float) -> Iterator[None]:
    """Let this thread use up to ``seconds`` of CPU time; beyond that, ``CpuTimeExceeded`` is raised inside.

    Other threads and processes, and waiting, do not count. The exception is raised between two bytecode instructions,
    so not before a long call into compiled code returns. What `uncounted` encloses does not count. Has no effect where
    threads have no clocks.
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        yield
        return
    thread = threading.get_ident()
    done = threading.Event()
    lock = threading.Lock()
    outer, clock = getattr(_clocks, "clock", None), _Clock()
    watchdog = threading.Thread(target=_watch, args=(thread, seconds, clock, done, lock), name="cpu time", daemon=True)
    watchdog.start()
    _clocks.clock = clock
    try:
        yield
    finally:
        _clocks.clock = outer
        with lock:
            done.set()
            _raise_in(thread, None)  # withdraw an exception that would come too late
        watchdog.join()


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Do not count what this thread does here against its `cpu_time_limit`, and do not interrupt it."""
    clock: _Clock | None = getattr(_clocks, "clock", None)
    if clock is None or clock.is_stopped:
        yield
        return
    begin, clock.is_stopped = time.thread_time(), True
    try:
        yield
    finally:
        clock.uncounted += time.thread_time() - begin
        clock.is_stopped = False


def _watch(thread: int, seconds: float, clock: _Clock, done: threading.Event, lock: threading.Lock) -> None:
    of_thread = time.pthread_getcpuclockid(thread)
    until = time.clock_gettime(of_thread) + seconds
    while not done.wait(CHECK_INTERVAL):
        if clock.is_stopped or time.clock_gettime(of_thread) < until + clock.uncounted:
            continue
        with lock:
            if not done.is_set():
                _raise_in(thread, CpuTimeExceeded)
        done.wait(RAISE_INTERVAL)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise ``error`` in a thread; None withdraws one that has not been raised yet."""
    exception = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)
