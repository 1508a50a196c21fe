"""Names read from untrusted files: which may become part of a path, and the one way to build that path."""

import re
from pathlib import Path

#: Names of actors, cameras and steps, as in the scenario language.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")
#: The name of a file in its folder, such as a scenario or its map: any usual file name, but not a path.
FILE_NAME = re.compile(r"[^\s./\\:\x00-\x1f\x7f-\x9f][^/\\:\x00-\x1f\x7f-\x9f]{0,119}")
_MAX_PRINTED = 60  # characters of a bad name in a message


def check_name(text: str, what: str) -> str:
    """Return ``text`` if it is a valid name in the scenario language. Raises ``ValueError``."""
    if not NAME.fullmatch(text):
        raise ValueError(f"{what} is called {printable(text)}: letters, digits, _ and - only, 41 at most")
    return text


def check_file_name(text: str, what: str) -> str:
    """Return ``text`` if it is the name of a file, not a path. Raises ``ValueError``."""
    if not FILE_NAME.fullmatch(text):
        raise ValueError(f"{what} is called {printable(text)}, which is not a file name")
    return text


def path_inside(folder: Path, *parts: str) -> Path:
    """Return the path of ``parts`` in ``folder``, for writing. Raises ``ValueError`` if it lies outside, also by a
    symbolic link that already exists."""
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{printable('/'.join(parts))} is outside {folder}")
    return path


def printable(text: str) -> str:
    """Return ``text`` quoted and escaped for one line of output, cut to a readable length."""
    return ascii(text if len(text) <= _MAX_PRINTED else f"{text[:_MAX_PRINTED]}...")
