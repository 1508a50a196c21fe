"""A limit on the memory that a process may allocate while it handles untrusted input."""

import contextlib
from collections.abc import Iterator

from bridge.untrusted.limits import KIB


@contextlib.contextmanager
def memory_limit(extra: int) -> Iterator[None]:
    """Let this process allocate up to ``extra`` bytes more than it has; beyond that, ``MemoryError`` is raised inside.

    Allocations of other threads count as well. Has no effect on systems without such a limit.
    """
    used = _data_bytes()
    if used is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    candidates = [used + extra, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(candidates), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int | None:
    """Return the bytes of private writable memory of this process, as the kernel counts them for the limit."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * KIB for line in file if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return None
