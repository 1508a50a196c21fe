"""Measured drives with real processes: injected delays and clock skews are measured, injected keys are seen."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from helpers.bench_runs import drive

from bridge.size import Size
from neuralsim.bench import self_test
from neuralsim.bench.cells import Cell, Link
from neuralsim.bench.fault_injection import FaultInjection, delayed_stage
from neuralsim.bench.measured_drive import _window_drive
from neuralsim.bench.measurement import Job
from neuralsim.bench.options import browser_command
from neuralsim.bench.report import tables
from neuralsim.bench.report.latency_figures import summarise, values
from neuralsim.session.metrics import STAGES
from neuralsim.session.options import TAGS

ROOT = Path(__file__).resolve().parents[3]
SMALL = Cell(model=TAGS, size=Size(128, 64))


def test_job_round_trips_through_json():
    cell = Cell(link=Link("tcp", 3), size=Size(256, 128), guide="surface")
    job = Job(cell=cell, frames=30, warm_up=10, faults=FaultInjection(20.0, 5.0), fps=20.0)
    assert Job.model_validate_json(job.to_json()) == job


@pytest.mark.alone
def test_delay_of_20_ms_in_any_stage_is_measured_there_and_in_the_total_within_1_ms(tmp_path: Path):
    runs: list[dict[str, Any]] = []
    while True:  # a busy machine needs more frames for the same precision
        runs.append(drive(tmp_path, self_test.job(seed=len(runs), frames=840)))
        result = self_test.evaluate(runs)
        if self_test.is_final(result) or len(runs) == 3:
            break
    assert set(result["stages"]) == set(STAGES)
    assert result["honest"] is not False, result
    if result["honest"] is None:
        pytest.skip(f"this machine is too busy, or too slow after a pause ({result['before_ms']:+.1f} ms)")
    for stage, seen in result["stages"].items():
        assert seen["frames"] >= 15
        assert seen["stage_ms"] == pytest.approx(20.0, abs=1.0), stage
        assert seen["total_ms"] == pytest.approx(20.0, abs=1.0), stage
        assert abs(seen["others_ms"]) < 1.0, stage


@pytest.mark.parametrize(
    ("stage", "before", "expected"),
    [
        ((20.1, 19.7, 20.5), (-0.3, 0.4), True),
        ((20.1, 19.7, 20.5), (2.0, 4.0), True),
        ((21.5, 21.2, 21.8), (-0.3, 0.1), False),
        ((21.5, 21.2, 21.8), (2.0, 4.0), None),  # as much as a pause alone
        ((21.2, 20.5, 21.9), (0.8, 1.5), None),
        ((18.5, 18.2, 18.8), (2.0, 4.0), False),
        ((20.1, 18.0, 22.0), (-0.3, 0.4), None),
        ((20.1, 19.7, 20.5), (19.6, 20.3), False),  # it counts a delay that lies before the frame
    ],
)
def test_verdict_allows_for_what_a_pause_costs(stage, before, expected):
    middle, *edges = stage
    seen = {"stage_ms": middle, "total_ms": middle, "ci": {"stage_ms": edges, "total_ms": edges}}
    assert self_test.verdict({"render": seen}, before) is expected
    assert self_test.is_final({"honest": expected, "before_ci": before}) == (expected is not None or before[0] > 1.0)


@pytest.mark.alone
def test_self_test_fails_without_the_injected_delays(tmp_path: Path):
    """The same drive without its delays does not pass."""
    run = drive(tmp_path, Job(cell=self_test.job().cell, frames=120, warm_up=5))
    result = self_test.evaluate([run])
    assert result["honest"] is False
    assert abs(result["stages"]["render"]["stage_ms"]) < 5.0


@pytest.mark.alone
@pytest.mark.slow
def test_render_delay_reaches_the_live_loop_of_the_network(tmp_path: Path):
    cell = Cell(size=Size(64, 32), loop="live")
    run = drive(tmp_path, Job(cell=cell, frames=200, warm_up=10, faults=FaultInjection(delay_ms=80.0)))
    sequence, spent = np.array(run["frames"]["sequence"]), values(run)["render"]
    is_delayed = np.array([delayed_stage(int(n)) == "render" for n in sequence])
    assert is_delayed.sum() >= 3
    others = np.array([delayed_stage(int(n)) is None for n in sequence])
    assert spent[is_delayed].min() >= 80.0
    assert np.median(spent[is_delayed]) - np.median(spent[others]) > 50.0


@pytest.mark.alone
@pytest.mark.slow
def test_skew_of_the_bridges_clock_is_corrected(tmp_path: Path):
    cell = Cell(model=TAGS, size=Size(128, 64), link=Link("tcp"))
    run = drive(tmp_path, Job(cell=cell, frames=90, warm_up=30, faults=FaultInjection(skew_ms=3700.0)))
    clock = run["clock"]
    assert clock["uncertainty_ms"] is not None
    assert clock["offset_ms"] == pytest.approx(-3700.0, abs=clock["uncertainty_ms"])
    assert 0.0 < clock["uncertainty_ms"] < 25.0
    latency = values(run)["latency"]
    assert latency.min() > -clock["uncertainty_ms"]
    assert np.median(latency) < 500.0  # and not 3700 ms off


def test_injected_key_changes_the_control_and_keeps_the_autopilot(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    drive = _window_drive(Job(cell=Cell(model=TAGS, size=Size(128, 64), loop="window"), frames=1, warm_up=0))
    try:
        sent = [drive.inputs.requested]
        for _ in range(3):
            drive.inputs.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q, mod=0))
            sent.append(drive.inputs.control(0.01, 5.0))
        assert all(before != after for before, after in pairwise(sent))
        assert all(control.autopilot for control in sent)
    finally:
        drive.window.close()


@pytest.mark.alone
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="no virtual screen here")
@pytest.mark.slow
def test_window_drive_measures_the_latency_of_injected_keys(tmp_path: Path):
    job = Job(cell=Cell(model=TAGS, size=Size(128, 64), loop="window"), frames=60, warm_up=10)
    run = drive(tmp_path, job, "xvfb-run", "-a")
    figures = summarise([run])
    assert figures["frames"] == 60
    assert figures["input_to_photon_ms"]["n"] >= 5
    assert 0.0 < figures["input_to_photon_ms"]["p50"] < 2000.0
    assert figures["displayed_fps"] >= 0.9 * figures["fps"]["value"]
    assert set(figures["cores"]) == {"renderer", "town server", "bridge"}
    assert all(0.0 <= busy <= (os.cpu_count() or 1) + 0.5 for busy in figures["cores"].values())
    assert figures["memory_mb"]["all"] > 100.0


@pytest.mark.alone
@pytest.mark.skipif(not browser_command(), reason="needs Chromium: apt-get install chromium")
@pytest.mark.slow
def test_browser_drive_measures_the_latency_of_injected_keys(tmp_path: Path):
    job = Job(cell=Cell(model=TAGS, size=Size(256, 128), loop="browser"), frames=120, warm_up=10)
    run = drive(tmp_path, job)
    figures = summarise([run])
    assert figures["frames"] == 120
    assert figures["input_to_photon_ms"]["n"] >= 5
    assert 0.0 < figures["input_to_photon_ms"]["p50"] < 5000.0
    page = figures["page"]
    assert page["transport"] == "webrtc"
    assert "264" in page["encoder"]
    assert page["shown_fps"] == figures["displayed_fps"] > 1.0
    assert 0.0 < page["painted_fps"] <= page["shown_fps"]
    table = tables.pages({"drives": [{"cell": job.cell.as_json(), "summary": figures}]})
    assert table is not None
    assert "webrtc" in table.rows[0]
