"""A bound on what a process may take while it works on something that a stranger made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bridge.untrusted.limits import KIB


@contextlib.contextmanager
def bounded(extra: int) -> Iterator[None]:
    """Let this process take up to ``extra`` bytes more than it has; beyond that ``MemoryError`` is raised in here.

    What other threads ask for meanwhile counts as well. Without an effect where the system has no such limit.
    """
    taken = _data()
    if taken is None:
        yield
        return
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = [taken + extra, *(limit for limit in (before, most) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(wanted), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _data() -> int | None:
    """Bytes of private memory that this process may write to, as the kernel counts them for the limit."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * KIB for line in file if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return None
