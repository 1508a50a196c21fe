"""The base of all writers of recordings: a queue, a thread, and one line when something fails."""

import contextlib
import queue
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

from neuralsim.base.failure import reason

_Item = TypeVar("_Item")
_POLL = 0.2  # s between checks, while waiting for the writer, whether it is alive


class QueuedWriter(ABC, Generic[_Item]):
    """Writes items to ``path`` in a thread.

    ``depth``: items between driving and writing; ``idle``: seconds without an item after which :meth:`_rest` is called,
    None = never. A subclass opens its file, then calls :meth:`_start`.
    """

    def __init__(self, path: Path, depth: int, idle: float | None = None, *, block: bool) -> None:
        self.path, self.block = path, block
        self.dropped = 0  # because the writer was behind
        self.error: str | None = None  # one line once writing has failed; later items are ignored
        self._idle = idle
        self._queue: queue.Queue[_Item | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._run, name=path.suffix.lstrip("."), daemon=True)

    def close(self) -> None:
        """Write the queued items and finish the file; ``error`` tells whether all could be written."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=_POLL)
                break
            except queue.Full:
                continue
        self._thread.join()

    def _start(self) -> None:
        self._thread.start()

    def _put(self, item: _Item) -> bool:
        """Queue an item; return False if writing has failed or, without ``block``, is behind."""
        while self.error is None:  # it may fail while this waits
            try:
                self._queue.put(item, self.block, _POLL)
                return True
            except queue.Full:
                if not self.block:
                    self.dropped += 1
                    return False
        return False

    def _run(self) -> None:
        try:
            self._begin()
            while True:
                try:
                    item = self._queue.get(timeout=self._idle)
                except queue.Empty:
                    self._rest()
                    continue
                if item is None:
                    break
                self._add(item)
            self._finish()
        except Exception as error:  # any error: a silent writer would block its caller for ever
            self.error = f"recording to {self.path} stopped: {reason(error)}"
            with contextlib.suppress(OSError, ValueError):  # already reported
                self._abandon()
            while not self._queue.empty():  # release a caller that waits
                self._queue.get_nowait()

    def _begin(self) -> None:
        """Write the beginning; called in the thread before the first item."""

    def _rest(self) -> None:
        """Called in the thread after ``idle`` seconds without an item."""

    @abstractmethod
    def _add(self, item: _Item) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Write the end and close the file."""

    @abstractmethod
    def _abandon(self) -> None:
        """Close the file unfinished, after an error."""
