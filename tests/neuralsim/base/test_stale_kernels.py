"""Kernels are compiled again when something that they import has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuralsim.base.stale_kernels import forget_stale

KERNEL = """
from numba import njit

from neuralsim.values import FACTOR


@njit(cache=True)
def scale(value):
    return FACTOR * value
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "neuralsim").mkdir()
    (tmp_path / "bridge").mkdir()
    (tmp_path / "neuralsim/__init__.py").touch()
    (tmp_path / "neuralsim/kernels.py").write_text(KERNEL)
    (tmp_path / "neuralsim/other.py").write_text(KERNEL.replace("from neuralsim.values import FACTOR", "FACTOR = 7"))
    (tmp_path / "neuralsim/values.py").write_text("FACTOR = 2\n")
    return tmp_path


def scaled(project: Path, **environment: str) -> str:
    script = (
        "from neuralsim.kernels import scale; from neuralsim.other import scale as other; print(scale(10), other(1))"
    )
    environment = os.environ | {"PYTHONPATH": str(project)} | environment
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("own", [False, True])
def test_a_changed_constant_of_another_module_is_compiled_in(
    project: Path, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = {"NUMBA_CACHE_DIR": str(project / "cache") if own else ""}
    monkeypatch.setenv("NUMBA_CACHE_DIR", cache["NUMBA_CACHE_DIR"])
    forget_stale(project)
    assert scaled(project, **cache) == "20 7"
    kept = set(project.rglob("other.*.nbi"))
    assert kept
    # of another length: bytecode of the same second and length is taken for that of this source
    (project / "neuralsim/values.py").write_text("FACTOR = 2 + 1\n")
    assert scaled(project, **cache) == "20 7"  # of numba's cache
    assert forget_stale(project) == [project / "neuralsim/kernels.py"]
    assert all(path.exists() for path in kept)
    assert scaled(project, **cache) == "30 7"
    assert forget_stale(project) == []


#: Kind -> imports of the kernels' module, and the text of a module between it and the changed one.
IMPORTS = {
    "indirect": ("from neuralsim.between import FACTOR", "from neuralsim.values import FACTOR"),
    "in parentheses": (
        "from neuralsim import (\n    between,\n)\nFACTOR = between.FACTOR",
        "from neuralsim.values import *",
    ),
    "of a module": (
        "import neuralsim.between as between\nFACTOR = between.FACTOR",
        "import neuralsim.values as values",
    ),
    "of a package": ("from neuralsim import FACTOR", ""),
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_every_way_of_importing_counts(project: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    ours, between = IMPORTS[kind]
    (project / "neuralsim/kernels.py").write_text(KERNEL.replace("from neuralsim.values import FACTOR", ours))
    (project / "neuralsim/between.py").write_text(between)
    changed = project / "neuralsim" / ("__init__.py" if kind == "of a package" else "values.py")
    forget_stale(project)
    changed.write_text("FACTOR = 5\n")
    os.utime(changed, (1, 1))  # as a copy that keeps the times of its files
    assert project / "neuralsim/kernels.py" in forget_stale(project)
    assert forget_stale(project) == []


def test_a_mark_that_all_is_compiled_goes_with_the_kernels(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    forget_stale(project)
    mark = project / "neuralsim/__pycache__/town-0.compiled"
    mark.touch()
    assert forget_stale(project) == []
    assert mark.exists()
    (project / "neuralsim/values.py").write_text("FACTOR = 3\n")
    forget_stale(project)
    assert not mark.exists()


def test_kernels_of_before_there_was_a_stamp_are_compiled_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert scaled(project, NUMBA_CACHE_DIR="") == "20 7"
    assert len(forget_stale(project)) == 2
    assert not list(project.rglob("*.nbi"))


def test_a_stamp_that_cannot_be_read_or_written_is_no_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (project / "neuralsim/__pycache__").touch()
    assert forget_stale(project) == []
    (project / "neuralsim/__pycache__").unlink()
    assert len(forget_stale(project)) == 2
    for damaged in ("{", "[1]"):
        (stamp,) = (project / "neuralsim/__pycache__").glob("neuralsim-kernels-*.json")
        stamp.write_text(damaged)
        assert len(forget_stale(project)) == 2
