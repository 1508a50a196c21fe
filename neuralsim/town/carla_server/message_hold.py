"""Sensor messages that wait while a client is in a synchronous batch.

CARLA's client holds Python's lock while ``apply_batch_sync(commands, True)`` sends the batch, asks for a tick and waits
for its snapshot. Each image of an earlier tick that arrives meanwhile blocks one of the client's threads, of which it
has as many as the machine has cores. With as many images as threads, nothing reads the snapshot and the call times out.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

MAX_HOLD = 0.1  # s after a batch until its client is taken not to ask for a tick


class MessageHold:
    """Holds messages back from the beginning of a batch until its client has what it waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: object = None  # whose batch it is; None: nothing is held back
        self._batch = 0  # its number
        self._is_over = False
        self._waiting: list[Callable[[], None]] = []
        self._tickers: WeakSet[Any] = WeakSet()  # the clients that have ticked right after a batch

    def has_ticked_in_batch(self, client: object) -> bool:
        """Return whether a client, which asks for a tick, does or did so right after a batch.

        Images on the way to it when it begins the next batch would block it as well, so its ticks are to be answered
        when it has them.
        """
        with self._lock:
            if client is self._client:
                self._tickers.add(client)
        return client in self._tickers

    @contextmanager
    def batch(self, client: object) -> Iterator[None]:
        """Hold messages back while a client's batch is executed, and ``MAX_HOLD`` seconds longer unless ``end`` is
        called before."""
        with self._lock:
            self._client, self._is_over = client, False
            self._batch += 1
        try:
            yield
        finally:
            with self._lock:
                self._is_over = True
                if self._waiting:
                    self._end_in_time()

    def end(self, client: object = None) -> None:
        """Send what waits and hold nothing back any more. ``client``: only if the batch is its own; None: anyone's."""
        with self._lock:
            if client in (None, self._client):
                self._release()

    def pass_on(self, send: Callable[[], None]) -> None:
        """Call ``send``, which must not block: now, or when the hold ends."""
        with self._lock:
            if self._client is not None:
                self._waiting.append(send)
                if self._is_over and len(self._waiting) == 1:
                    self._end_in_time()
                return
        send()

    def _release(self) -> None:
        self._client = None
        waiting, self._waiting = self._waiting, []
        for send in waiting:
            send()

    def _end_in_time(self) -> None:
        timer = threading.Timer(MAX_HOLD, self._expire, (self._batch,))
        timer.daemon = True
        timer.start()

    def _expire(self, batch: int) -> None:
        with self._lock:
            if batch == self._batch and self._is_over:
                self._release()
