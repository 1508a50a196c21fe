"""Reading whole files: only files, never pipes or devices that do not end, and no more than a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from bridge.untrusted.limits import MIB


class FileRefused(ValueError):
    """A file that is not what it should be or would cost too much; the message is one line, without its name."""


class FileTooLarge(FileRefused):
    """A file that may well be what it should be, but has more in it than there is room or time for."""


def open_regular(path: str | Path) -> BinaryIO:
    """``path`` opened for reading, if it is a regular file. Raises ``FileRefused`` and ``OSError``.

    A pipe or a terminal would wait for ever, a device may have no end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except ValueError:  # a NUL in it
        raise FileRefused("no name of a file") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise FileRefused("is a directory")
        if not stat.S_ISREG(mode):
            raise FileRefused("is no regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, limit: int) -> bytes:
    """All of a regular file of up to ``limit`` bytes. Raises ``FileRefused`` and ``OSError``."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileRefused(f"over {limit / MIB:g} MiB, which is too large for what it should be")
    return data


def read_text(path: str | Path, limit: int) -> str:
    """The same as UTF-8, with or without a byte order mark. Raises ``FileRefused`` and ``OSError``."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileRefused("not a text file (UTF-8)") from None
