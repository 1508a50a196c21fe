"""A disk cache of builds: what takes seconds to compute from sources and seeds alone is computed once per machine.

The files are in ``towns`` below ``$NEURALSIM_CACHE``, by default ``neuralsim`` in the user's cache folder. They are
pickles. Only files of this user are read, and only our own classes and arrays are unpickled.
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

from bridge.process.user_cache import cache_folder, sole_writer

_T = TypeVar("_T")
MAX_BYTES = 2 << 30  # of all files, a town's two have up to 150 MB; the least recently used ones are deleted
_PATIENCE = 60.0  # s to wait for another process that builds the same, before building it here, too
_SOURCES = ("assets", "core", "dynamics", "ground", "opendrive", "render", "scenery")  # packages that builds depend on

_ARRAY_CLASSES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("scipy.spatial._ckdtree", "cKDTree"),
}


class _Unpickler(pickle.Unpickler):
    """An unpickler restricted to our own classes and those of arrays: a pickle may name any function to be called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class ``name`` of ``module``.

        Raises pickle.UnpicklingError for anything that a build does not contain.
        """
        if module.startswith(("bridge.", "neuralsim.town.")):
            cls = super().find_class(module, name)
            if isinstance(cls, type) and cls.__module__ == module:
                return cls
        elif (module, name) in _ARRAY_CLASSES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a build")


def cached(name: str, dependencies: tuple[object, ...], build: Callable[[], _T]) -> _T:
    """Return the result of ``build``, from the file of an earlier start if there is one.

    ``name`` begins the file name; ``dependencies`` are what the build depends on, apart from our sources, Python and
    its packages. Where the file cannot be read or written, ``build`` is called as if there were none.
    """
    path = _folder() / f"{name}-{_key(dependencies)}.pickle"
    stored: _T | None = _stored(path)
    if stored is None:
        with sole_writer(path.with_suffix(".lock"), _PATIENCE):  # processes that start together build it once
            stored = _stored(path)
            if stored is None:
                stored = build()
                with contextlib.suppress(OSError, pickle.PicklingError):
                    _write(path, stored)
    return stored


def _stored(path: Path) -> Any:
    """Return what is stored in the file, None if it cannot be read: it can be built again."""
    with contextlib.suppress(Exception):
        if _is_trusted(path):
            with path.open("rb") as file:
                stored = _Unpickler(file).load()
            os.utime(path)
            return stored
    return None


def _folder() -> Path:
    return cache_folder() / "towns"


def _is_trusted(path: Path) -> bool:
    """Return whether the file exists and nobody else can have written it."""
    try:
        state = path.stat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)


def _key(dependencies: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((_sources(), *dependencies)).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _sources() -> str:
    """Return a digest of everything that builds depend on: our sources, Python and the numerical packages."""
    import cv2
    import numpy

    from bridge import carla_library, reference_line
    from bridge.own_carla import road_map

    digest = hashlib.sha256(
        f"{sys.version} {numpy.__version__} {cv2.__version__} {carla_library.carla.__file__}".encode()
    )
    home = Path(__file__).parent
    files = [file for package in _SOURCES for kind in ("*.py", "*.yaml") for file in (home / package).rglob(kind)]
    files += [home / "static_town.py", *home.parent.glob("*.py"), Path(reference_line.__file__)]
    if not carla_library.IS_OFFICIAL:
        files.append(Path(road_map.__file__))
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _write(path: Path, built: object) -> None:
    """Write a build atomically, and delete the least recently used files beyond ``MAX_BYTES``."""
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
    total = 0
    for each in files:
        total += each.stat().st_size
        if total > MAX_BYTES and each != path:
            each.unlink(missing_ok=True)
