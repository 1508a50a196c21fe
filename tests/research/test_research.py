"""Studies as they are run from a checkout: help, and the message for a missing package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = sorted(
    path.stem for path in (ROOT / "research").glob("[!_]*") if path.is_dir() or "__main__" in path.read_text("utf-8")
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_each_study_has_help(study: str) -> None:
    if study in ("train_segmenter", "transfer"):
        pytest.importorskip("torch", reason="training needs the train extra")
    done = run("-m", f"research.{study}", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_a_missing_package_is_one_line() -> None:
    code = """
import runpy, sys
sys.modules["torch"] = sys.modules["cv2"] = None
sys.argv[0] = "-m"
runpy.run_module("research.train_segmenter", run_name="__main__")
"""
    done = run("-c", code)
    assert done.returncode == 1
    assert done.stderr.startswith("research: cv2 is missing: pip install")
    assert done.stderr.count("\n") == 1
