"""``neuralsim dataset``: the plan, and a data set that is killed, continued, and equal to an unbroken one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.process.settings import SettingsError
from neuralsim.datagen.dataset_spec import DatasetSpec, load_spec, plan
from scenarios.engine.loader import parse

ROOT = Path(__file__).resolve().parents[3]
SPEC = """\
title: Small
drives: 3
towns: [hamlet, broken.xodr]
town_seeds: 4
vehicles: [1, 3]
walkers: 0
points: [0, 3]
duration: 0.5
fps: 10
camera: {size: 64x32, fov: 80}
splits: {train: 0.6, val: 0.4}
planes: [tag, instance, depth, rgb]
formats: [frames, nuscenes]
"""


def spec_of(**values: object) -> DatasetSpec:
    return DatasetSpec.model_validate({"title": "T", "drives": 40, **values})


def test_equal_specifications_give_equal_plans_of_valid_scenarios(tmp_path: Path) -> None:
    ranges = {"towns": ["oldtown", "suburb"], "weathers": ["ClearNoon", "WetNight"], "vehicles": [5, 9]}
    drives = plan(spec_of(**ranges), tmp_path)
    assert drives == plan(spec_of(**ranges), tmp_path)
    assert drives != plan(spec_of(**ranges, seed=2), tmp_path)
    assert drives[:10] == plan(spec_of(**ranges | {"drives": 10}), tmp_path)
    scenarios = [parse(tmp_path / f"{drive.name}.yaml", drive.scenario).scenario for drive in drives]
    assert {scenario.traffic.vehicles for scenario in scenarios} == {5, 6, 7, 8, 9}
    assert {scenario.weather.preset for scenario in scenarios} == {"ClearNoon", "WetNight"}
    towns = {
        split: {(s.town, s.seed) for d, s in zip(drives, scenarios, strict=True) if d.split == split}
        for split in ("train", "val")
    }
    assert towns["train"].isdisjoint(towns["val"])
    assert sum(drive.split == "val" for drive in drives) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: T\ndrives: 0\n", "spec.yaml:2: drives"),
        ("title: T\ndrives: 1\ntowns: [atlantis]\n", "atlantis"),
        ("title: T\ndrives: 1\nvehicles: [9, 2]\n", "least, most"),
        ("title: T\ndrives: 1\nsplits: {train: 0.5}\n", "add up to 1"),
        ("title: T\ndrives: 1\nspede: 3\n", "spede"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert "\n" not in str(caught.value)


def command(folder: Path, out: str) -> list[str]:
    arguments = ["dataset", str(folder / "spec.yaml"), "--out", str(folder / out), "--jobs", "1"]
    return [sys.executable, "-m", "neuralsim", *arguments]


def files(folder: Path) -> dict[str, str]:
    """The content of everything but what holds times."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name not in ("recording.mcap", "result.json")
    }


@pytest.mark.slow
def test_killed_and_continued_it_equals_an_unbroken_one_without_the_broken_scenes(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "broken.xodr").write_text("<OpenDRIVE/>", encoding="utf-8")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(tmp_path, "killed"), cwd=ROOT, env=dict(os.environ), **quiet)  # type: ignore[call-overload]
    until = time.monotonic() + 100.0
    while time.monotonic() < until and not list((tmp_path / "killed").glob("recordings/*/recording.mcap")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    for out in ("killed", "unbroken"):
        done = subprocess.run(command(tmp_path, out), cwd=ROOT, text=True, capture_output=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "broken: the map has no driving lane" in done.stderr
    card = json.loads((tmp_path / "killed/card.json").read_text(encoding="utf-8"))
    assert 1 <= len(card["drives"]) == 3 - len(card["missing"]) <= 2
    assert card["frames"] == 5 * len(card["drives"])
    assert card["pixels"]["road"] > 0
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")
    split = card["drives"][0]["split"]
    assert (tmp_path / f"killed/{split}/nuscenes/v1.0-neuralsim/scene.json").is_file()
    (tmp_path / "spec.yaml").write_text(SPEC.replace("drives: 3", "drives: 4"), encoding="utf-8")
    done = subprocess.run(command(tmp_path, "killed"), cwd=ROOT, text=True, capture_output=True, check=False)
    assert "another specification" in done.stderr
