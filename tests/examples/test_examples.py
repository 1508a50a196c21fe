"""Every example runs, at the smallest useful scale, and is as short as claimed."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import pytest

from bridge.messages import Control
from neuralsim import cli
from neuralsim.models.visibility import warp_source
from scenarios.sumo.sumo_network import network_of

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


@pytest.mark.slow  # torch is imported for it
def test_lane_following(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("lane_following")
    monkeypatch.setattr(module, "EMPTY", {**module.EMPTY, "town": "hamlet", "route_length": 20, "duration": 2})
    module.main("tags", episodes=1, epochs=1, tests=1)
    assert "tags, 20 steps: " in capsys.readouterr().out


def test_own_engine_is_driven_headless(tmp_path: Path) -> None:
    endpoint, report = f"ipc://{tmp_path}/frames", tmp_path / "report.json"
    engine = threading.Thread(target=example("own_engine").main, args=(endpoint, True), daemon=True)
    engine.start()
    drive = ("drive", "--connect", endpoint, "--headless", "--autopilot", "--model", "tags")
    assert cli.main([*drive, "--frames", "20", "--report", str(report)]) == 0
    engine.join(30.0)
    assert not engine.is_alive()  # it received quit
    assert json.loads(report.read_text(encoding="utf-8"))["frames"] == 20


def test_own_engines_motion_points_back_to_the_same_surfaces() -> None:
    module = example("own_engine")
    engine = module.Engine()
    engine.control = Control(1, autopilot=True)
    for _ in range(30):
        before = engine.frame().planes
        engine.step()
    now = engine.frame().planes
    rows, columns, inside = warp_source(now["motion"])
    same = before["instance"][rows, columns] == now["instance"]
    assert engine.speed > 4.0
    assert same[inside].mean() > 0.98
    moved = (before["instance"] == now["instance"])[now["instance"] > 0].mean()
    assert same[inside & (now["instance"] > 0)].mean() > moved  # better than without motion


@pytest.mark.skipif(not importlib.util.find_spec("traci"), reason="needs the extra sumo")
def test_sumo_town(tmp_path: Path) -> None:
    config = example("sumo_town").main(str(tmp_path / "town"))
    assert network_of(config).stat().st_size > 10_000


@pytest.mark.slow
def test_render_town(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    example("render_town").main(str(out), "hamlet", (64, 32), 2, runtime="onnxruntime")
    assert cv2.imread(str(out)).std() > 5.0


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("neuralsim.gym", "gymnasium"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(SystemExit, match=r'^gymnasium is missing: pip install "neuralsim\[gym\]"$'):
        runpy.run_path(str(FOLDER / "random_drive.py"))
