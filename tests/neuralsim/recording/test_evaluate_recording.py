"""Evaluation of recordings: assertions, collisions, lanes, the route, comfort; JUnit XML and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.messages import Camera, Frame
from neuralsim.recording.evaluate import COMFORT, evaluate, motion
from neuralsim.recording.writing.mcap_writer import McapWriter
from scenarios.engine.loader import ScenarioError, load

ROOT = Path(__file__).resolve().parents[3]

SCENARIO = """\
title: Braking
duration: 6
ego:
  spawn: {point: 0}
  do:
    - follow_lane: {speed: 10}
actors:
  - name: wall
    blueprint: vehicle.audi.tt
    spawn: {ahead: 60}
assert:
  - no_collision: ego
  - travels: {least: 20}
  - max_speed: {value: 10.5}
"""


def drive(path: Path, braking: float, *, hits: bool = False, scenario: str = SCENARIO) -> Path:
    """A recording of a car at 10 m/s that brakes after 3 s, with as many m/s^2."""
    writer = McapWriter(path, (), {"fps": "20", "scenario": path.stem, "scenario_yaml": scenario})
    travelled, speed = 0.0, 10.0
    for k in range(120):
        speed = max(speed - braking / 20, 0.0) if k > 60 else speed
        travelled += speed / 20
        pose = np.eye(4)
        pose[0, 3] = travelled
        frame = Frame(k, k, k / 20, Camera(64, 32, 70.0, pose), {})
        frame.ego = replace(frame.ego, speed=speed, pose=pose, collisions=int(hits and k > 90))
        seen = {
            "time": k / 20,
            "actors": {
                "ego": [travelled, 0.0, 0.0, 0.0, speed, 0.0, 2.0, 1.0, travelled, 0.0],
                "wall": [60.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0, k / 20],
            },
            "collisions": [{"time": 4.5, "of": "ego", "with": "wall"}] if hits and k == 90 else [],
            "lane_invasions": [{"time": 1.0, "side": "left", "marking": "Broken"}] if k == 20 else [],
            "route": [travelled, 100.0],
        }
        writer.write(replace(frame, play=json.dumps(seen)), None)
    writer.close()
    assert writer.error is None
    return path


def test_assertions_are_evaluated_from_the_recording_alone(tmp_path: Path):
    good = evaluate(drive(tmp_path / "good.mcap", 3.0))
    checks = {check.name: check for check in good.checks}
    assert good.passed
    assert (good.frames, good.complete, good.seconds) == (120, True, pytest.approx(5.95))
    assert checks["travels of ego"].value == pytest.approx(46.9, abs=0.2)
    assert checks["max_speed of ego"].value == pytest.approx(10.0)
    assert (checks["lane_invasions"].value, checks["lane_invasions"].note) == (1.0, "1 x Broken")
    assert checks["route_completion"].value == pytest.approx(0.469, abs=0.01)
    hit = evaluate(drive(tmp_path / "hit.mcap", 3.0, hits=True))
    checks = {check.name: check for check in hit.checks}
    assert not hit.passed
    assert (checks["no_collision of ego"].passed, checks["no_collision of ego"].value) == (False, 1.0)
    assert (checks["collisions"].value, checks["collisions"].note) == (1.0, "with wall")


def test_discomfort_fails_only_where_comfort_is_required(tmp_path: Path):
    gentle, hard = drive(tmp_path / "gentle.mcap", 2.0), drive(tmp_path / "hard.mcap", 7.0)
    worst = {check.name: check for check in evaluate(gentle, comfortable=True).checks}["longitudinal_acceleration"]
    assert (worst.passed, worst.value) == (True, pytest.approx(-2.0, abs=0.1))
    assert evaluate(hard).passed  # nothing demands comfort
    judged = evaluate(hard, comfortable=True)
    failed = {check.name for check in judged.checks if check.passed is False}
    assert {"longitudinal_acceleration", "longitudinal_jerk"} <= failed


def test_circular_drive_has_the_expected_lateral_acceleration():
    times = np.arange(200) / 20
    series = motion(times, np.full(200, 8.0), 0.25 * times)  # 8 m/s at 0.25 rad/s: a radius of 32 m
    assert series.keys() == COMFORT.keys()
    assert series["lateral_acceleration"] == pytest.approx(2.0, abs=1e-6)
    assert series["yaw_rate"] == pytest.approx(0.25, abs=1e-6)
    assert np.abs(series["jerk"]).max() < 1e-6
    assert motion(times[:5], np.zeros(5), np.zeros(5)) == {}


def test_recording_is_evaluated_by_another_scenario(tmp_path: Path):
    path = drive(tmp_path / "good.mcap", 3.0)
    other = tmp_path / "other.yaml"
    other.write_text(SCENARIO.replace("value: 10.5", "value: 9"), encoding="utf-8")
    assert not evaluate(path, load(other)).passed
    other.write_text(SCENARIO.replace("name: wall", "name: tree"), encoding="utf-8")
    with pytest.raises(ScenarioError, match="has no actor 'tree'"):
        evaluate(path, load(other))


def test_command_writes_junit_xml_and_json(tmp_path: Path):
    good, bad = drive(tmp_path / "good.mcap", 3.0), drive(tmp_path / "bad.mcap", 3.0, hits=True)
    bad.write_bytes(bad.read_bytes()[:-200])
    xml, report = tmp_path / "r/junit.xml", tmp_path / "r/report.json"
    command = [sys.executable, "-m", "neuralsim", "recording", "evaluate", good, bad, "--junit", xml, "--json", report]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "pass  good" in done.stdout
    assert "FAIL  bad" in done.stdout
    suites = ET.parse(xml).getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("6", "1")
    failure = suites.find("testsuite[@name='bad']/testcase[@name='no_collision of ego']/failure")
    assert failure is not None
    assert "1, limit 0" in failure.get("message", "")
    told = json.loads(report.read_text(encoding="utf-8"))
    assert [(one["scenario"], one["passed"], one["complete"]) for one in told] == [
        ("good", True, True),
        ("bad", False, False),
    ]
