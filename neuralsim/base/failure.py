"""Reports failures of commands: one line on stderr and the exit code 1."""

import errno
import os

from neuralsim.base.log import logger

FAILED = 1  # exit code
_LONGEST = 1000  # characters of a line


def fail(problem: BaseException | str) -> int:
    """Log what went wrong, in one line; returns the exit code."""
    log_line(problem if isinstance(problem, str) else describe(problem))
    return FAILED


def log_line(text: str) -> None:
    """Log one line to stderr."""
    logger().error(line(text))


def line(text: str) -> str:
    """Return ``text`` as one printable line of limited length: parts of it may come from an untrusted file."""
    one = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in " ".join(text.split()))
    return one if len(one) <= _LONGEST else f"{one[:_LONGEST]}..."


def describe(error: BaseException) -> str:
    """Return an error's message as one line; for errors of the system the file and the reason, without the number."""
    if isinstance(error, OSError) and error.errno:
        return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    return " ".join(str(error).split()) or type(error).__name__


def reason(error: BaseException) -> str:
    """Return why a file cannot be read or written."""
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        return "the disk is full; free some space and start again"
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return " ".join(str(error).split())
