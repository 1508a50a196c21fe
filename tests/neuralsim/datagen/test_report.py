"""The page about a recording shows what was driven: assertions over time, collisions, places."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from helpers.link_frames import make_frame

from bridge.messages import Chart
from neuralsim.datagen.report.page import write_index, write_report
from neuralsim.datagen.report.track import Track
from scenarios.language.assertions import Assertion

END, HIT = 4.0, 3.0  # s of the drive, and of its collision


def _play(k: int, hit: bool) -> str:
    time = k / 10
    state = [5.0 * time, 2.0, 0.0, np.pi / 2, 0.0, 5.0, 2.0, 1.0, 5.0 * time, 0.0]
    collisions = [{"time": time, "of": "ego", "with": "van <1>"}] if hit else []
    report = {"time": time, "actors": {"ego": state}, "collisions": collisions, "lane_invasions": [], "route": None}
    return json.dumps(report)


def _track() -> Track:
    track = Track([Assertion(no_collision="ego"), Assertion.model_validate({"travels": {"least": 10}})])
    for k in range(round(END * 10) + 1):
        frame = make_frame(k)
        frame.sim_time = 7.0 + k / 10
        frame.ego.speed = 5.0
        frame.play = _play(k, hit=k == round(HIT * 10))
        if not k:
            lane = np.stack([np.linspace(-50, 50, 20), np.full(20, 2.0)], 1).astype(np.float32)
            frame.chart = Chart("x", [lane, lane + 5000], np.full((2, 1), 3.5, np.float32))
        track.add(frame)
    return track


def _result() -> dict[str, Any]:
    outcomes = [
        {"assertion": "no_collision", "of": "ego", "passed": False, "value": 1.0, "limit": 0.0},
        {"assertion": "travels", "of": "ego", "passed": True, "value": 20.0, "limit": 10.0},
    ]
    return {
        "passed": False, "assertions": outcomes, "frames": 41, "fps": 20.0, "size": "512x256", "model": "street-rt",
        "runtime": "openvino", "seed": 1, "planes": ["tag"], "files": ["video.mp4"], "distance": 20.0, "host": {},
    }  # fmt: skip


def test_a_report_shows_when_assertions_held_and_where_the_ego_was(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "A <b>", "", _result(), _track())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "A &lt;b&gt;" in page
    bars = re.findall(r'<rect class="(holds|open|broken)" x="([\d.]+)" width="([\d.]+)"', page)
    assert bars == [
        ("holds", "0.0", "750.0"), ("broken", "750.0", "250.0"), ("open", "0.0", "500.0"), ("holds", "500.0", "500.0"),
    ]  # fmt: skip
    assert re.search(r'<rect class="mark" x="748.0".*ego with van &lt;1&gt;', page)
    assert page.count('stroke-width="3.5"') == 1, "the lane that is far away is left out"
    data = json.loads(re.search(r"const data = (\{.*?\}), end = 4\.0", page)[1])  # type: ignore[index]
    assert data["actors"]["ego"][20] == [10.0, 2.0, 90.0]
    assert data["speed"][0] == 18.0
    assert not re.findall(r'(?:src|href)="https?:', page), "it needs no network"


def test_an_index_has_all_scenarios_with_what_failed_first(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.html").touch()
    passed = {**_result(), "passed": True, "assertions": []}
    write_index(tmp_path / "index.html", [("b", passed), ("a", _result())], [("c", "not recorded")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<b>(\w)</b>", page) == ["c", "a", "b"]
    assert "1 of 3 passed" in page
    assert 'href="a/report.html"' in page
    assert 'href="b/report.html"' not in page
