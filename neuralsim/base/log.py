"""Log lines of processes, apart from their results: "neuralsim: ..." on stderr, through ``logging``."""

import logging
import sys
from typing import TextIO


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which tests and progress lines replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def logger(name: str = "neuralsim") -> logging.Logger:
    """Return the logger of a command; ``name`` begins each of its lines. The first call installs the handler."""
    log = logging.getLogger(name)
    if not log.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    return log
