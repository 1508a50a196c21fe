"""Builds kept between starts: what takes seconds to compute from sources and seeds alone is computed once a machine.

Files lie in ``$NEURALSIM_CACHE``, else ``neuralsim`` in the user's cache folder, in ``towns``. They are pickles, from
which nothing but our own classes and arrays is made, and only those that belong to this user are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bridge.process.user_cache import cache_folder

_T = TypeVar("_T")
MOST = 16  # files, two of a town; those that were used longest ago go
_SOURCES = ("assets", "core", "dynamics", "ground", "opendrive", "render", "scenery")  # what builds depend on

_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("scipy.spatial._ckdtree", "cKDTree"),
}


class _Reader(pickle.Unpickler):
    """Looks up nothing but our own classes and what arrays consist of: a pickle may name any function to be called."""

    def find_class(self, module: str, name: str) -> Any:
        """The class ``name`` of ``module``. Raises pickle.UnpicklingError for anything that a build does not hold."""
        if module.startswith(("bridge.", "neuralsim.town.")):
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        elif (module, name) in _ARRAYS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a build")


def kept(name: str, facts: tuple[object, ...], make: Callable[[], _T]) -> _T:
    """What ``make`` returns, from the file that an earlier start has left if there is one.

    ``name``: the file's, in part; ``facts``: what the build depends on besides our sources, Python and its packages.
    Where the file cannot be read or written the build is made, as if there were none.
    """
    path = _folder() / f"{name}-{_key(facts)}.pickle"
    with contextlib.suppress(Exception):  # whatever is wrong with the file: it can be made again
        if _ours(path):
            with path.open("rb") as file:
                found: _T = _Reader(file).load()
            os.utime(path)
            return found
    built = make()
    with contextlib.suppress(OSError, pickle.PicklingError):
        _write(path, built)
    return built


def _folder() -> Path:
    return cache_folder() / "towns"


def _ours(path: Path) -> bool:
    """Whether the file is there, and nobody else may have written it."""
    try:
        state = path.stat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)


def _key(facts: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((_sources(), *facts)).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _sources() -> str:
    """Of all that builds come from: our own modules, Python, and the packages that compute."""
    import carla
    import cv2
    import numpy

    digest = hashlib.sha256(f"{sys.version} {numpy.__version__} {cv2.__version__} {carla.__file__}".encode())
    home = Path(__file__).parent
    files = [file for room in _SOURCES for file in (home / room).rglob("*.py")]
    for file in sorted([*files, home / "static_town.py", *home.parent.glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _write(path: Path, built: object) -> None:
    """Whole or not at all; the files used longest ago make room for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            pickle.dump(built, file, protocol=5)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    files = sorted(path.parent.glob("*.pickle"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in files[MOST:]:
        old.unlink(missing_ok=True)
