"""``python -m bridge.process.spare MODULE``: ``python -m MODULE -``, loaded a little at a time while nobody needs it.

A process that waits to replace another one takes a second of processor time to import what it needs. Taken at once, on
two cores, a drive would stutter for as long. So it sleeps between modules, until its standard input has the line that
it waits for, or has been closed: then the rest is loaded at full speed.
"""

from __future__ import annotations

import runpy
import select
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_SLEEPS = 9.0  # s for each second of processor time


class Unhurried:
    """A finder that finds nothing and takes its time, first in ``sys.meta_path``: asked before each module."""

    def __init__(self) -> None:
        self._worked = time.process_time()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        worked = time.process_time()
        if self in sys.meta_path and select.select([sys.stdin], [], [], _SLEEPS * (worked - self._worked))[0]:
            sys.meta_path.remove(self)
        self._worked = time.process_time()
        return None


def main() -> None:
    """The command line."""
    module = sys.argv[1]
    if sys.platform != "win32":  # where pipes cannot be waited for
        sys.meta_path.insert(0, Unhurried())
    sys.argv = [module, "-"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
