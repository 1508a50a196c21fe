"""Failures of commands: one line on stderr and the exit code 1."""

from __future__ import annotations

import errno
import os

from neuralsim.base.log import logger

FAILED = 1  # exit code
_LONGEST = 1000  # characters of a line


def fail(problem: BaseException | str) -> int:
    """Say what went wrong, in one line; returns the exit code."""
    say(problem if isinstance(problem, str) else words(problem))
    return FAILED


def say(text: str) -> None:
    """Put a line on stderr."""
    logger().error(line(text))


def line(text: str) -> str:
    """``text`` as one line of bearable length that a terminal only shows: parts of it may come out of a file."""
    one = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in " ".join(text.split()))
    return one if len(one) <= _LONGEST else f"{one[:_LONGEST]}..."


def words(error: BaseException) -> str:
    """One line of what an error says; of the system's own, which file and why, without its number."""
    if isinstance(error, OSError) and error.errno:
        return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    return " ".join(str(error).split()) or type(error).__name__


def reason(error: BaseException) -> str:
    """Why a file cannot be written, in words."""
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        return "the disk is full; free some space and start again"
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return " ".join(str(error).split())
