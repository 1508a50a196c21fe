"""The stamp that says that numba has compiled the town's kernels here already."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = """
from neuralsim.town.carla_server.compile_stamp import CompiledStamp
stamp = CompiledStamp()
print(stamp.path, stamp.is_set)
stamp.set()
print(CompiledStamp().is_set)
"""


def look(root: Path, **environment: str) -> tuple[Path, bool, bool]:
    """Where the stamp lies, whether it was set, whether it is after it has been set."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        check=True,
    )
    (path, before), (after,) = (line.split() for line in done.stdout.splitlines())
    return Path(path), before == "True", after == "True"


def copy_packages(folder: Path) -> None:
    for name in ("bridge", "neuralsim"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))


def test_it_lies_where_numba_is_told_to_keep_its_files(tmp_path: Path) -> None:
    path, before, after = look(ROOT, NUMBA_CACHE_DIR=str(tmp_path))
    assert tmp_path in path.parents
    assert (before, after) == (False, True)
    assert look(ROOT, NUMBA_CACHE_DIR=str(tmp_path)) == (path, True, True)
    shutil.rmtree(path.parent)  # numba's files are gone, and the stamp with them
    assert look(ROOT, NUMBA_CACHE_DIR=str(tmp_path))[1] is False


def test_another_source_is_not_compiled_yet(tmp_path: Path) -> None:
    copy_packages(tmp_path)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert look(tmp_path, **cache)[1:] == (False, True)
    assert look(tmp_path, **cache)[1:] == (True, True)
    kernels = tmp_path / "neuralsim/town/raycasting/rays.py"
    kernels.write_text(kernels.read_text(encoding="utf-8") + "\n# another one\n")
    assert look(tmp_path, **cache)[1:] == (False, True)


def test_an_installation_that_is_read_only_has_its_stamp_in_the_users_cache(tmp_path: Path) -> None:
    copy_packages(tmp_path)
    home = tmp_path / "home"
    for folder, _, _ in os.walk(tmp_path / "neuralsim"):
        # A file where numba would make its folder: to root nothing is read-only.
        (Path(folder) / "__pycache__").touch()
    where = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "NUMBA_CACHE_DIR": ""}
    path, before, after = look(tmp_path, **where)
    assert home in path.parents
    assert (before, after) == (False, True)
    assert look(tmp_path, **where)[1] is True
