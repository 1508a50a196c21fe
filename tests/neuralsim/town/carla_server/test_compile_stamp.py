"""The stamp that marks the town's numba kernels as compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = """
from neuralsim.town.carla_server.compile_stamp import CompiledStamp
stamp = CompiledStamp()
print(stamp.path, stamp.is_set)
stamp.set()
print(CompiledStamp().is_set)
"""


def check_stamp(root: Path, **environment: str) -> tuple[Path, bool, bool]:
    """Return the stamp's path, whether it was set, and whether it is after setting it."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ
        | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1" if root == ROOT else ""}
        | environment,
        check=True,
    )
    (path, before), (after,) = (line.split() for line in done.stdout.splitlines())
    return Path(path), before == "True", after == "True"


def copy_packages(folder: Path) -> None:
    for name in ("bridge", "neuralsim"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))


@pytest.mark.slow
def test_the_stamp_lies_in_numbas_cache_folder(tmp_path: Path) -> None:
    path, before, after = check_stamp(ROOT, NUMBA_CACHE_DIR=str(tmp_path))
    assert tmp_path in path.parents
    assert (before, after) == (False, True)
    assert check_stamp(ROOT, NUMBA_CACHE_DIR=str(tmp_path)) == (path, True, True)
    shutil.rmtree(path.parent)  # numba's files are gone, and the stamp with them
    assert check_stamp(ROOT, NUMBA_CACHE_DIR=str(tmp_path))[1] is False


def test_a_changed_source_is_not_compiled_yet(tmp_path: Path) -> None:
    copy_packages(tmp_path)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert check_stamp(tmp_path, **cache)[1:] == (False, True)
    assert check_stamp(tmp_path, **cache)[1:] == (True, True)
    kernels = tmp_path / "neuralsim/town/raycasting/rays.py"
    kernels.write_text(kernels.read_text(encoding="utf-8") + "\n# another one\n")
    assert check_stamp(tmp_path, **cache)[1:] == (False, True)


@pytest.mark.slow
def test_a_read_only_installation_has_its_stamp_in_the_users_cache(tmp_path: Path) -> None:
    copy_packages(tmp_path)
    home = tmp_path / "home"
    for folder, _, _ in os.walk(tmp_path / "neuralsim"):
        # A file in place of numba's folder, since nothing is read-only for root.
        (Path(folder) / "__pycache__").touch()
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "NUMBA_CACHE_DIR": ""}
    path, before, after = check_stamp(tmp_path, **environment)
    assert home in path.parents
    assert (before, after) == (False, True)
    assert check_stamp(tmp_path, **environment)[1] is True
