"""``neuralsim bench`` on the command line, and the link alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.bench_reports import nests

from neuralsim.bench import run as bench_run
from neuralsim.bench.link import RATE, Case, full_frame, measure_link, measure_packing
from neuralsim.cli import main
from neuralsim.session.metrics import STAGES
from tools import bench_tables

ROOT = Path(__file__).resolve().parents[3]
QUICK = (
    "--model",
    "tags",
    "--size",
    "128x64",
    "--frames",
    "30",
    "--warm-up",
    "5",
    "--repeats",
    "1",
    "--parts",
    "drive",
)


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neuralsim", "bench", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    )


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_bench_writes_all_files_compares_and_checks_budgets(tmp_path: Path):
    first = bench(tmp_path, *QUICK, "--loop", "lockstep", "--out", "a", "--trace", "t.json")
    assert first.returncode == 0, first.stderr
    report = json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    assert {"frames", "seconds", "fps", "dropped", "latency_ms", "stage_ms", "runtime", "model", "size", "host"} <= set(
        report
    )
    assert (report["frames"], report["size"], report["model"]) == (30, "128x64", "tags")
    assert set(report["stage_ms"]) == set(STAGES)
    assert {"cpu", "cores", "vector_units", "governor", "gpu", "packages", "load"} <= set(report["machine"])
    run = report["drives"][0]["runs"][0]
    assert run["frames"]["sequence"] == list(range(5, 35))  # lockstep: every frame but those of the warm-up
    assert all(a <= b for a, b in zip(run["frames"]["capture"], run["frames"]["displayed"], strict=True))
    assert run["frames"]["seen"], "no key press was seen"
    assert nests(json.loads((tmp_path / "t.json").read_text(encoding="utf-8")))
    assert "<svg" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"tags none 128x64 ipc lockstep +\d", first.stdout)

    second = bench(
        tmp_path, *QUICK, "--loop", "live,lockstep", "--out", "b", "--against", "a/report.json",
        "--budget", "fps=100000,p95=60s",
    )  # fmt: skip
    assert second.returncode == 1
    lines = [line for line in second.stderr.splitlines() if line.startswith("neuralsim:")]
    assert len(lines) == 2, second.stderr  # one per drive
    assert all("budget fps" in line and "at least 100000" in line for line in lines)
    compared = json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))["comparison"]
    assert [drive["name"] for drive in compared["drives"]] == ["tags auto 128x64 ipc lockstep"]
    rows = {row["what"]: row for row in compared["drives"][0]["rows"]}
    assert rows["simulate p50"]["paired"], "same seed, lockstep: the same frames"
    assert "verdict" in second.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--budget", "p95"), 2, "p95=50ms"),
        (("--budget", "speed=3"), 2, "unknown budget"),
        (("--link", "udp"), 2, "ipc, tcp"),
        (("--loop", "fast"), 2, "lockstep"),
        (("--size", "8x8"), 2, "512x256"),
        (("--repeats", "0"), 2, "1 or more"),
        (("--keys", "k"), 2, "--connect"),
        (("--connect", "tcp://127.0.0.1:9", "--loop", "lockstep"), 2, "--connect"),
        (("--parts", "link", "--budget", "fps=3"), 2, "--parts"),
        (("--against", "none.json"), 1, "none.json"),
        (("--against", "half.json"), 1, "measure again"),
        (("--out", "/proc/bench"), 1, "/proc/bench"),
        (("--model", "tags", "--parts", "drive", "--loop", "live,window"), 1, "xvfb-run"),
        (("--model", "no-such", "--parts", "drive", "--loop", "live"), 1, "no-such"),
        (("--model", "tags", "--town", "no-such", "--parts", "drive", "--loop", "live"), 1, "no-such"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, monkeypatch, capsys, arguments: tuple[str, ...], code: int, word: str):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "half.json").write_text('{"format": 1, "drives": [{"cell": {"name": "tags"}, "runs": [{}]}]}')
    assert main(["bench", *arguments]) == code
    errors = capsys.readouterr().err
    lines = [line for line in errors.splitlines() if line and not line.startswith(("waiting for", "["))]
    assert len(lines) == 1, errors
    assert word in lines[0]


@pytest.mark.parametrize(
    ("missing", "word"), [("chromium", "apt-get install chromium"), ("aiortc", "neuralsim[serve]")]
)
def test_missing_browser_requirements_are_one_line(tmp_path: Path, monkeypatch, capsys, missing: str, word: str):
    find = bench_run.find_spec
    monkeypatch.setattr(bench_run, "browser_command", lambda: [] if missing == "chromium" else ["chromium"])
    monkeypatch.setattr(bench_run, "find_spec", lambda name: None if name == missing else find(name))
    assert main(["bench", "--loop", "browser", "--out", str(tmp_path)]) == 1
    assert word in capsys.readouterr().err


@pytest.mark.alone
@pytest.mark.slow
def test_ctrl_c_ends_all_processes(tmp_path: Path):
    command = [sys.executable, "-m", "neuralsim", "bench", *QUICK, "--frames", "100000", "--loop", "live"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 120.0
        while len(started := descendants(process.pid)) < 3:  # the drive, its town, its bridge
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until, f"only {started} started"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=15)[1]
    finally:
        process.terminate()
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "neuralsim: interrupted"
    until = time.monotonic() + 5.0
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    pids: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text(encoding="utf-8").split()):
            pids += [child, *descendants(child)]
    return pids


@pytest.mark.alone
def test_packing_time_is_measured():
    times = measure_packing(full_frame((128, 64)), 50)
    assert times["n"] == 50
    assert 0.0 < float(str(times["p50"])) < 5.0


@pytest.mark.alone
def test_stopped_and_dead_subscribers_do_not_affect_the_others():
    result = measure_link(Case("ipc", 3, RATE, stopped=1, killed=1), (256, 128), seconds=1.0)
    assert len(result["received"]) == 1
    assert result["published"] >= 20
    assert result["received"][0] >= 0.8 * result["published"]
    assert result["send_ms"]["p50"] < 10.0


@pytest.mark.alone
def test_flood_loses_no_frame():
    result = measure_link(Case("tcp", 2, 0.0), (256, 128), seconds=0.5)
    assert all(abs(received - result["published"]) <= 3 for received in result["received"])  # those in flight
    assert result["frames_per_second"] > 30.0


def test_performance_page_has_places_for_the_tables():
    bench_tables.check(ROOT / "docs" / "guide" / "performance.md")
