"""``neuralsim record --ray``: messages without a cluster, and recording with one where Ray is installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
THERE = importlib.util.find_spec("ray") is not None

SCENARIO = """\
title: Far
town: hamlet
seed: 4
duration: 1
ego: {spawn: {point: 1, speed: 6}, do: [{follow_lane: {speed: 8}}]}
assert: [{no_collision: ego}]
"""


def record(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(SCENARIO, encoding="utf-8")
    command = [sys.executable, "-m", "neuralsim", "record", str(folder / "one.yaml"), str(folder / "two.yaml")]
    command += ["--out", str(folder / "out"), "--planes", "tag", "--size", "64x32", "--format", "mcap", *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=170, check=False)


@pytest.mark.skipif(THERE, reason="Ray is installed")
def test_missing_ray_is_one_line_with_the_remedy(tmp_path: Path):
    done = record(tmp_path, "--ray", "auto")
    assert done.returncode == 1
    assert done.stderr.strip() == 'neuralsim: ray is missing: pip install "neuralsim[cluster]"'


def test_conflicting_options_are_rejected(tmp_path: Path):
    done = record(tmp_path, "--ray", "auto", "--jobs", "2")
    assert done.returncode == 2
    assert "--ray cannot go with" in done.stderr


@pytest.mark.skipif(not THERE, reason='needs Ray: pip install "neuralsim[cluster]"')
def test_tasks_record_each_scenario_once(tmp_path: Path):
    done = record(tmp_path, "--ray", "local")
    assert done.returncode == 0, done.stderr
    results = [
        json.loads((tmp_path / "out" / name / "result.json").read_text(encoding="utf-8")) for name in ("one", "two")
    ]
    assert [result["frames"] for result in results] == [20, 20]
    assert results[0]["tag_sha256"] == results[1]["tag_sha256"]
    again = record(tmp_path, "--ray", "local")
    assert again.stdout.count("already recorded") == 2
