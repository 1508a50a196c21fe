"""The folder that caches this user's builds, engines and benchmark-based choices between runs."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def cache_folder() -> Path:
    """Return ``$NEURALSIM_CACHE``, else ``neuralsim`` in the user's cache folder. It may not exist yet."""
    own = os.environ.get("NEURALSIM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuralsim"


@contextmanager
def sole_writer(lock: Path, patience: float = 60.0) -> Iterator[bool]:
    """Hold a lock file, which exists as long, against other threads and processes.

    The value is whether it is held: not where no file can be locked, nor where another one keeps it for longer than
    ``patience``, s.
    """
    until = time.monotonic() + patience
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while (file := _locked(lock)) is None and time.monotonic() < until:
            time.sleep(0.05)
    except OSError:
        file = None
    try:
        yield file is not None
    finally:
        if file is not None:
            lock.unlink(missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_UN)  # also for children that were forked since
            file.close()


def _locked(lock: Path) -> TextIO | None:
    """Return the lock file, open and locked; None: another one has it. Raises OSError if it cannot be locked."""
    file = lock.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):  # its last holder has not deleted it meanwhile
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        file.close()
        raise
    file.close()
    return None
