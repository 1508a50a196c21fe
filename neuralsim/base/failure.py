"""Failures of commands: one line on stderr and the exit code 1."""

from __future__ import annotations

import errno
import os

from neuralsim.base.log import logger

FAILED = 1  # exit code


def fail(problem: BaseException | str) -> int:
    """Say what went wrong, in one line; returns the exit code."""
    logger().error(problem if isinstance(problem, str) else words(problem))
    return FAILED


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
