"""Whether processes have ended."""

from __future__ import annotations

import time
from pathlib import Path

from neuralsim.session.forks import alive


def gone(pids: list[int], within: float) -> bool:
    """Return whether all of these processes end within so many seconds; one that waits for its parent has ended."""
    until = time.monotonic() + within
    while any(
        alive(pid) and "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] for pid in pids
    ):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
