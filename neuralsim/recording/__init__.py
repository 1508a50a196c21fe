"""Recordings: writers for drives, readers for files that anybody may have written, exports and evaluation."""


class RecordingError(RuntimeError):
    """A recording cannot be written or read; the message is one line."""
