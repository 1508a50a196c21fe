"""Prompt process shutdown on Ctrl-C, SIGTERM or the parent's death, even while a call into C++ hangs."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

PARENT = "NEURALSIM_PARENT"  # environment variable: id of the process with which a child has to end


class BridgeError(RuntimeError):
    """The bridge cannot continue; the message is one line that says what to do."""


def parent_pid() -> int:
    """Return the id of the process to end with: ``PARENT`` if set, since the parent may have ended before this call."""
    value = os.environ.get(PARENT, "")
    return int(value) if value.isdecimal() else os.getppid()


def end(code: int) -> NoReturn:
    """Exit at once with ``code``: C++ threads may outlive the interpreter and crash in its teardown."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Lifetime:
    """A handler that turns SIGINT and SIGTERM into ``over``; ``grace`` seconds later the process exits unconditionally.

    ``with_parent``: the end of the parent process counts as SIGTERM. Must be created in the main thread. ``grace`` may
    be raised before work that must be finished.
    """

    def __init__(self, with_parent: bool = False, grace: float = 0.8) -> None:
        self._over = threading.Event()
        self.grace = grace
        self.is_orphaned = False  # the parent process has ended
        self._parent = parent_pid() if with_parent else 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        # A Python handler cannot run until a hanging call returns; this descriptor is written at once.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        threading.Thread(target=self._watch, name="lifetime", daemon=True).start()
        if self._parent:
            threading.Thread(target=self._watch_parent, name="parent", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the process has been asked to end."""
        return self._over.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until ``over``, at most ``timeout`` seconds; return ``over``."""
        return self._over.wait(timeout)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Do nothing: the thread that reads the descriptor acts, since a handler must not take locks."""

    def _watch(self) -> None:
        os.read(self._wake_read, 1)
        self._over.set()
        begun = time.monotonic()
        while time.monotonic() < begun + self.grace:
            time.sleep(0.05)
        os._exit(0)

    def _watch_parent(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(0.25)
        self.is_orphaned = True
        os.kill(os.getpid(), signal.SIGTERM)
