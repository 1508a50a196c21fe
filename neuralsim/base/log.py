"""Log lines of processes, beside their results: one each on stderr, "neuralsim: ...", through ``logging``."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class _Stderr(logging.StreamHandler[TextIO]):
    """Whatever ``sys.stderr`` is when a line is written."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def logger(name: str = "neuralsim") -> logging.Logger:
    """The logger of a command; ``name`` leads each of its lines. The first call gives it its handler."""
    found = logging.getLogger(name)
    if not found.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        found.addHandler(handler)
        found.setLevel(logging.INFO)
        found.propagate = False
    return found
