"""How a process of ours ends: soon after Ctrl-C or SIGTERM, or with its parent, even when a call into C++ hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType


class BridgeError(RuntimeError):
    """The bridge cannot go on; one line says what to do."""


def parent_pid() -> int:
    """The process to die with: as it said itself in NEURALSIM_PARENT, for it may be gone before we are up to ask."""
    told = os.environ.get("NEURALSIM_PARENT", "")
    return int(told) if told.isdecimal() else os.getppid()


class Lifetime:
    """Turns SIGINT and SIGTERM into ``over``; ``grace`` seconds later the process ends whatever it is doing.

    ``with_parent``: the end of the parent process counts as SIGTERM. To be made in the main thread.
    """

    def __init__(self, with_parent: bool = False, grace: float = 0.8) -> None:
        self._over = threading.Event()
        self._grace = grace
        self._parent = parent_pid() if with_parent else 0
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        # A Python handler has to wait until the call that hangs returns; this descriptor is written at once.
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        threading.Thread(target=self._watch, name="lifetime", daemon=True).start()
        if self._parent:
            threading.Thread(target=self._watch_parent, name="parent", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the end has been asked for."""
        return self._over.is_set()

    def wait(self) -> None:
        """Until ``over``."""
        self._over.wait()

    def _end(self, number: int, frame: FrameType | None) -> None:
        """The thread that reads the descriptor does it: a handler may not touch a lock that this thread waits on."""

    def _watch(self) -> None:
        os.read(self._told, 1)
        self._over.set()
        time.sleep(self._grace)
        os._exit(0)

    def _watch_parent(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(0.25)
        os.kill(os.getpid(), signal.SIGTERM)
