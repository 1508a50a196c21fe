"""Threads of one interpreter."""

from __future__ import annotations

import sys

_INTERVAL = 0.0005  # s, a tenth of Python's own


def switch_threads_early() -> None:
    """Let a thread that runs Python give way to others after half a millisecond, in the whole process.

    A thread whose kernel is done waits for one that prepares the next frame; at Python's own interval that costs a
    drive on two cores 4 % of its rate, and a painted town's cameras 5 %.
    """
    sys.setswitchinterval(_INTERVAL)
