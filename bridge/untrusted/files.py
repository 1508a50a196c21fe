"""Reading whole files up to a size limit: regular files only, never pipes or devices, which may not end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from bridge.untrusted.limits import MIB


class FileRefused(ValueError):
    """A file is of the wrong kind or would cost too much to read; the message is one line, without the file name."""


class FileTooLarge(FileRefused):
    """A file may be valid, but has more in it than there is memory or time for."""


def open_regular(path: str | Path) -> BinaryIO:
    """Open ``path`` for reading if it is a regular file. Raises ``FileRefused`` and ``OSError``.

    A pipe or a terminal would block for ever, a device may have no end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except ValueError:  # the path contains a NUL
        raise FileRefused("not a file name") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise FileRefused("is a directory")
        if not stat.S_ISREG(mode):
            raise FileRefused("is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Read a regular file of up to ``limit`` bytes. Raises ``FileRefused`` and ``OSError``."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileRefused(f"over {limit / MIB:g} MiB, which is too large for a file of its kind")
    return data


def read_text(path: str | Path, limit: int) -> str:
    """Read the same as UTF-8 text, with or without a byte order mark. Raises ``FileRefused`` and ``OSError``."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileRefused("not a text file (UTF-8)") from None
