"""Compiled kernels that an update has made stale: numba knows a kernel by its own file alone.

Constants and inlined functions of other modules are compiled into a kernel as well. After an update numba would go on
with those of before, so what imports something that has changed is deleted from numba's cache, and compiled again. A
process that still runs the code of before can put its kernels back there: end it before an update.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
from pathlib import Path

ROOT = Path(os.path.abspath(__file__)).parents[2]  # folder of the packages; not resolved, as numba does not
_PACKAGES = ("bridge", "neuralsim")
_KERNEL = re.compile(r"^@(?:numba\.)?njit\b", re.MULTILINE)
_IMPORT = re.compile(
    r"^[ \t]*(?:from|import) ((?:bridge|neuralsim)[\w.]*)(?: import (?:\(([^)]*)\)|([^\n]*)))?", re.MULTILINE
)


class Sources:
    """The modules of the packages in ``root``, read when they are asked for."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._texts: dict[Path, str] = {}
        self._imports: dict[Path, list[Path]] = {}

    def text(self, file: Path) -> str:
        """Return the source of a module."""
        if file not in self._texts:
            self._texts[file] = file.read_text(encoding="utf-8")
        return self._texts[file]

    def digest(self, file: Path) -> str:
        """Return a number in hexadecimal that changes with the module, and with all of the packages that it imports by
        absolute names, however indirectly."""
        seen, new = {file}, [file]
        while new:
            found = {each for each in self._imported(new.pop()) if each not in seen}
            seen |= found
            new += found
        whole = hashlib.sha256()
        for each in sorted(seen):
            whole.update(self.text(each).encode())
        return whole.hexdigest()[:16]

    def _imported(self, file: Path) -> list[Path]:
        if file not in self._imports:
            found = []
            for module, several, one in _IMPORT.findall(self.text(file)):
                base = self._root.joinpath(*module.split("."))
                names = re.findall(r"\w+", several or one)
                found += [base.with_suffix(".py"), base / "__init__.py", *(base / f"{name}.py" for name in names)]
            self._imports[file] = [each for each in found if each.is_file()]
        return self._imports[file]


def forget_stale(root: Path = ROOT) -> list[Path]:
    """Delete from numba's cache the kernels in ``root`` that have changed since the last call, or whose imports have.

    Returns their modules. Nothing happens where numba's cache is neither beside the sources nor in
    ``NUMBA_CACHE_DIR``: kernels of an installation that is read-only for its user stay as they are.
    """
    own = os.environ.get("NUMBA_CACHE_DIR", "")
    folder = Path(own) if own else root / "neuralsim/__pycache__"
    stamp = folder / f"neuralsim-kernels-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(file for package in _PACKAGES for file in (root / package).rglob("*.py"))
        state = "\n".join(f"{file} {(stat := file.stat()).st_mtime_ns} {stat.st_size}" for file in files)
        fingerprint = hashlib.sha256(state.encode()).hexdigest()
        known = _read(stamp)
        if known.get("") == fingerprint or not os.access(folder, os.W_OK):
            return []
        sources = Sources(root)
        kernels = {str(file): sources.digest(file) for file in files if _KERNEL.search(sources.text(file))}
        stale = [Path(file) for file, digest in kernels.items() if known.get(file) != digest]
        for file in stale:
            _forget(file, own)
        _write(stamp, kernels | {"": fingerprint})
        return stale
    except OSError:  # a disk that is full, or sources that change meanwhile: the next call tries again
        return []


@functools.cache
def forget_stale_once() -> None:
    """Call ``forget_stale`` unless this process has done so."""
    forget_stale()


def _read(stamp: Path) -> dict[str, str]:
    """Return the digests by file, and by "" the fingerprint of all files; nothing of a stamp that is damaged."""
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(stamp: Path, known: dict[str, str]) -> None:
    part = stamp.with_suffix(f".{os.getpid()}")
    try:
        part.write_text(json.dumps(known), encoding="utf-8")
        part.replace(stamp)
    finally:
        part.unlink(missing_ok=True)


def _forget(file: Path, own: str) -> None:
    """Delete the kernels of a module, and marks in their folder that all kernels are compiled."""
    folder = file.parent / "__pycache__"
    if own:  # as numba names its folders
        folder = Path(own) / f"{file.parent.name}_{hashlib.sha1(str(file.parent).encode()).hexdigest()}"
    for cached in (*folder.glob(f"{file.stem}.*.nb[ic]"), *folder.glob("*.compiled")):
        with contextlib.suppress(OSError):
            cached.unlink()
