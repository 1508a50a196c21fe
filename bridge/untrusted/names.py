"""Names that come out of files: what may be part of a path, and the one way to make a path of it."""

from __future__ import annotations

import re
from pathlib import Path

#: Of actors, cameras and steps, as the scenario language has them.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")
#: Of a file in its folder, such as a scenario's or that of its map: whatever people call files, but no path.
FILE_NAME = re.compile(r"[^\s./\\:\x00-\x1f\x7f-\x9f][^/\\:\x00-\x1f\x7f-\x9f]{0,119}")
_SHOWN = 60  # characters of a bad name that are worth a look


def name(text: str, what: str) -> str:
    """``text`` if it is a name of the scenario language. Raises ``ValueError``."""
    if not NAME.fullmatch(text):
        raise ValueError(f"{what} is called {shown(text)}: letters, digits, _ and - only, 41 at most")
    return text


def file_name(text: str, what: str) -> str:
    """``text`` if it names a file and no path. Raises ``ValueError``."""
    if not FILE_NAME.fullmatch(text):
        raise ValueError(f"{what} is called {shown(text)}, which is no name of a file")
    return text


def below(folder: Path, *parts: str) -> Path:
    """The path of ``parts`` in ``folder``, for writing. Raises ``ValueError`` where that is not below it, links that
    are there already included."""
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{shown('/'.join(parts))} leads out of {folder}")
    return path


def shown(text: str) -> str:
    """``text`` as it can be shown in a line, cut to a readable length."""
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
