"""How every command says that it has failed: one line on stderr, and the exit code 1."""

from __future__ import annotations

import sys

from neuralsim.recording.writer import reason

FAILED = 1  # exit code


def fail(problem: BaseException | str) -> int:
    """Say what went wrong, in one line; returns the exit code."""
    print(f"neuralsim: {problem if isinstance(problem, str) else words(problem)}", file=sys.stderr)
    return FAILED


def words(error: BaseException) -> str:
    """One line of what an error says; of the system's own, which file and why, without its number."""
    if isinstance(error, OSError) and error.errno:
        return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    return " ".join(str(error).split()) or type(error).__name__
