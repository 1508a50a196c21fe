"""Recordings: writers of what was driven, readers of files that anybody may have written, and what is made of them."""


class RecordingError(RuntimeError):
    """A recording cannot be written or read; the message is one line."""
