"""The thread that ticks the town while no client is in synchronous mode.

A drive or a recording must find the town in the same state however busy the machine is. So nothing moves until the
first client has had time to become synchronous; if it waits for a tick meanwhile, it gets one in which nothing moves.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

FIRST_CLIENT_TIMEOUT = 2.0  # s without a call until the first client of a new town is taken to stay asynchronous
FIRST_CLIENT_MAX_WAIT = 10.0  # s after its first call until it is taken to stay asynchronous in any case
IDLE_BEFORE_TICK = 0.25  # s without a call after which it gets a tick in which nothing moves
RATE = 30.0  # ticks per second while no client is synchronous; 1 / RATE is also the default step


class Clock:
    """A thread that ticks a town ``RATE`` times a second unless it is paused.

    Args:
        tick: Called with the seconds since the last tick began.
        tick_idly: Called for a tick in which nothing moves.
        delta: Returns the seconds that one tick lasts.
        is_synchronous: Returns whether a client ticks by itself.
        lock: Guards what ``is_synchronous`` reads.
        patience: Seconds without a call after which the first client is taken to stay asynchronous; 0: everything moves
            at once, infinity: not until it is synchronous.
    """

    def __init__(
        self,
        tick: Callable[[float], None],
        tick_idly: Callable[[], None],
        delta: Callable[[], float],
        is_synchronous: Callable[[], bool],
        lock: AbstractContextManager[object],
        patience: float,
    ) -> None:
        self._tick, self._tick_idly, self._delta = tick, tick_idly, delta
        self._is_synchronous, self._lock, self._patience = is_synchronous, lock, patience
        self._stop = threading.Event()
        self._running = threading.Event()  # set while the town ticks by itself
        self._has_client = threading.Event()  # set by the first call of a client
        self._last_call = 0.0
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    @property
    def is_running(self) -> bool:
        """Whether it ticks now: the first client has had its time, and none is synchronous."""
        return self._running.is_set()

    def start(self) -> None:
        """Begin to tick with the first call of a client."""
        self._thread.start()

    def stop(self) -> None:
        """Stop for good."""
        self._stop.set()
        self._has_client.set()
        self._running.set()

    def pause(self) -> None:
        """Leave ticking to a client."""
        self._running.clear()

    def resume(self) -> None:
        """Tick by itself again."""
        self._running.set()

    def note_call(self, is_probe: bool) -> None:
        """Record a client's call. ``is_probe``: it only asks whether a server is there."""
        self._last_call = time.monotonic()
        if not is_probe:
            self._has_client.set()

    def _run(self) -> None:
        self._has_client.wait()
        if not self._await_first_client():
            return
        with self._lock:
            if not self._is_synchronous():
                self._running.set()
        due = started = time.monotonic()
        while not self._stop.is_set():
            if not self._running.is_set():
                self._running.wait()
                due = started = time.monotonic()
            # Pause in every round, however late it is: others need the lock too.
            due = max(due + self._delta(), time.monotonic() + 0.001)
            if self._stop.wait(due - time.monotonic()):
                return
            elapsed, started = time.monotonic() - started, time.monotonic()
            self._tick(elapsed)

    def _await_first_client(self) -> bool:
        """Give the first client time to become synchronous, so that it always finds the same town; False if stopped."""
        latest = time.monotonic() + max(FIRST_CLIENT_MAX_WAIT, self._patience)
        last_tick = 0.0
        while (
            self._patience > 0.0
            and not self._is_synchronous()
            and time.monotonic() < min(latest, self._last_call + self._patience)
        ):
            if self._stop.wait(0.05):
                return False
            if time.monotonic() > max(last_tick, self._last_call) + IDLE_BEFORE_TICK:
                # It may be waiting for a tick, as ``get_world()`` of an asynchronous town does.
                self._tick_idly()
                last_tick = time.monotonic()
        return True
