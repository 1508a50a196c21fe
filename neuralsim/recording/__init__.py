"""Recordings: writers for drives, readers for files that anybody may have written, exports and evaluation."""

from collections.abc import Callable

Progress = Callable[[int], None]  # called with the number of frames so far
Report = Callable[[str], None]  # called with one line


class RecordingError(RuntimeError):
    """A recording cannot be written or read; the message is one line."""


def ignore(_: object) -> None:
    """Do nothing: the default of ``Progress`` and ``Report``."""
