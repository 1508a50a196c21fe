"""Each of the examples runs, on the smallest scale that shows it, and is as short as it is said to be."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EMPTY = {"town": "hamlet", "vehicles": 0, "walkers": 0}


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (110 if path.name == "own_engine.py" else 60)


def test_random_drive() -> None:
    module = example("random_drive")
    small = {**EMPTY, "size": (64, 32)}
    assert module.main(steps=5, scenario=None, **small) == module.main(steps=5, scenario=None, **small)


def test_lane_following(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("lane_following")
    monkeypatch.setattr(module, "EMPTY", {**module.EMPTY, "town": "hamlet", "route_length": 20, "duration": 2})
    module.main("tags", episodes=1, epochs=1, tests=1)
    assert "tags: 20 steps; of 1 new routes" in capsys.readouterr().out


def test_paint_town(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    example("paint_town").main(str(out), "hamlet", (64, 32), 2, runtime="onnxruntime")
    assert cv2.imread(str(out)).std() > 5.0
