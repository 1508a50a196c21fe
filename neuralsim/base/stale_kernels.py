"""Compiled kernels that an update has made stale: numba knows a kernel by its own file alone.

Constants and inlined functions of other modules are compiled into a kernel as well. After an update numba would go on
with those of before, so what imports something that has changed is deleted from numba's cache, and compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # folder of the packages
_PACKAGES = ("bridge", "neuralsim")
_IMPORT = re.compile(
    r"^(?:from|import) ((?:bridge|neuralsim)[\w.]*)(?: import (?:\(([^)]*)\)|([^\n]*)))?", re.MULTILINE
)


class Sources:
    """The modules of the packages in ``root``, read when they are asked for."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._texts: dict[Path, str] = {}

    def text(self, file: Path) -> str:
        """Return the source of a module."""
        if file not in self._texts:
            self._texts[file] = file.read_text(encoding="utf-8")
        return self._texts[file]

    def digest(self, file: Path) -> str:
        """Return a number in hexadecimal that changes with the module, and with all of the packages that it imports,
        however indirectly."""
        seen, new = {file}, [file]
        while new:
            found = {each for each in self._imported(self.text(new.pop())) if each not in seen}
            seen |= found
            new += found
        whole = hashlib.sha256()
        for each in sorted(seen):
            whole.update(self.text(each).encode())
        return whole.hexdigest()[:16]

    def _imported(self, text: str) -> list[Path]:
        found = []
        for module, several, one in _IMPORT.findall(text):
            base = self._root.joinpath(*module.split("."))
            names = re.findall(r"\w+", several or one)
            files = [base.with_suffix(".py"), *(base / f"{name}.py" for name in names)]
            found += [each for each in files if each.is_file()]
        return found


def forget_stale(root: Path = ROOT) -> list[Path]:
    """Delete from numba's cache the kernels in ``root`` that have changed since the last call, or whose imports have.

    Returns their modules. Nothing happens where numba's cache is not beside the sources or in ``NUMBA_CACHE_DIR``.
    """
    own = os.environ.get("NUMBA_CACHE_DIR")
    stamp = (Path(own) if own else root / "neuralsim/__pycache__") / "neuralsim-kernels.json"
    try:
        files = [file for package in _PACKAGES for file in (root / package).rglob("*.py")]
        if stamp.exists() and max(file.stat().st_mtime for file in files) < stamp.stat().st_mtime:
            return []
        known = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
        sources = Sources(root)
        kernels = [file for file in files if re.search(r"^@(?:numba\.)?njit\b", sources.text(file), re.MULTILINE)]
        now = {file.relative_to(root).as_posix(): sources.digest(file) for file in kernels}
        stale = [file for file in kernels if known.get(name := file.relative_to(root).as_posix()) != now[name]]
        for file in stale:
            folders = Path(own).glob(f"{file.parent.name}_*") if own else [file.parent / "__pycache__"]
            for cached in (each for folder in folders for each in folder.glob(f"{file.stem}.*.nb[ic]")):
                cached.unlink(missing_ok=True)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        part = stamp.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(now), encoding="utf-8")
        part.replace(stamp)
        return stale
    except (OSError, ValueError):  # a read-only installation: it is not updated in place
        return []
