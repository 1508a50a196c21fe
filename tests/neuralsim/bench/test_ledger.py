"""The ledger of a frame: processor time, waiting and bytes by stage."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from helpers.bench_reports import report
from helpers.bench_runs import drive

from bridge.size import Size
from neuralsim.bench.cells import GROUPS, Cell
from neuralsim.bench.ledger import STAGES, Ledger, LedgerError, Row, Stage, ask
from neuralsim.bench.measurement import Job
from neuralsim.bench.options import BenchOptions
from neuralsim.bench.report import tables
from neuralsim.bench.report.latency_figures import TOTAL, ledger_of
from neuralsim.session.options import TAGS
from neuralsim.session.processes import Child
from tools import bench_tables


def work(seconds: float) -> None:
    """Spend processor time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def inner() -> np.ndarray:
    work(0.03)
    return np.zeros(1000, np.uint8)


def outer() -> None:
    work(0.02)
    inner()
    time.sleep(0.05)
    with ThreadPoolExecutor(1, "helper") as pool:
        pool.submit(work, 0.04).result()


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    for name in ("outer", "inner"):  # each is put back at the end
        monkeypatch.setattr(sys.modules[__name__], name, globals()[name])
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    ledger = Ledger()
    ledger.install(
        [
            Stage("bridge", "outer", (f"{__name__}:outer",)),
            Stage("link", "inner", (f"{__name__}:inner",), "result"),
            Stage("link", "not installed", ("neuralsim_of_nobody:call",)),
        ]
    )
    return ledger


def test_a_stage_has_its_own_time_that_of_its_helpers_and_its_waiting(ledger: Ledger) -> None:
    before = ledger.account()
    for _ in range(2):
        sys.modules[__name__].outer()
    rows = ledger.account().since(before)
    own, called = rows["bridge: outer"], rows["link: inner"]
    assert own.calls == called.calls == 2.0
    assert own.processor == pytest.approx(0.12, rel=0.2), "its own and its helper's, without the inner stage's"
    assert called.processor == pytest.approx(0.06, rel=0.2)
    assert own.elapsed - own.processor > 0.1, "it slept, and waited for its helper"
    assert (called.moved, own.moved) == (2000.0, 0.0)


def test_the_rows_of_a_process_add_up_to_what_the_kernel_says(ledger: Ledger) -> None:
    before, begun = ledger.account(), time.process_time()
    thread = threading.Thread(target=work, args=(0.05,), name="loop-3")
    thread.start()
    sys.modules[__name__].outer()
    work(0.05)
    seen = ledger.account().since(before)
    thread.join()
    assert sum(row.processor for row in seen.values()) == pytest.approx(time.process_time() - begun, abs=0.03)
    assert seen["bridge: outer"].processor < 0.09, "what other threads do is not its own"
    assert seen["thread MainThread"].processor > 0.04


@pytest.mark.parametrize("process", STAGES)
def test_every_function_of_the_ledger_exists(process: str) -> None:
    for stage in STAGES[process]:
        assert stage.group in GROUPS
        for path in stage.functions:
            module, _, name = path.partition(":")
            found = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            assert callable(found), path


def test_a_function_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(LedgerError, match=r"no function json:loads_of_nobody") as error:
        Ledger().install([Stage("bridge", "gone", ("json:loads_of_nobody",))])
    assert "\n" not in str(error.value)


def test_a_process_that_was_killed_is_one_line() -> None:
    process = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.kill()
    process.wait()
    with pytest.raises(LedgerError, match=r"^the bridge has ended or hangs"):
        ask(Child("bridge", process))


def test_unknown_stages_and_drives_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown 'brige'; did you mean bridge"):
        BenchOptions.model_validate({"ledger": "brige,link"})
    with pytest.raises(ValueError, match="--ledger"):
        BenchOptions(ledger=("link",), matrix=True).check()


def test_the_table_has_medians_of_repeats_and_sums_of_all_stages() -> None:
    def run(milliseconds: float) -> dict[str, object]:
        stages = {"link: header": Row(1.0, milliseconds / 1e3, 0.0, 0.02, 4000.0), "simulator: shading": Row(1.0, 0.01)}
        return {"ledger": {"town server": {**stages, "thread stream": Row(0.0, 0.002, 0.001)}}}

    drives = [{"runs": [run(3.0), run(50.0), run(4.0)]}]
    entries = json.loads(json.dumps(ledger_of(drives, ("link",))))
    assert entries["town server"][TOTAL][1] == pytest.approx(0.016)
    table = tables.ledger({"ledger": entries})
    assert table is not None
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["all processes"][0] == rows["town server"][0] == "16.00"
    assert rows["- link: header"] == ("4.00", "4.00", "0.00", "16.00", "1.0", "4")
    assert rows["- thread stream"][:3] == ("2.00", "1.00", "1.00")
    assert not any("shading" in name for name in rows), "a stage that was not asked for"
    assert tables.ledger({"ledger": {}}) is None
    earlier = {
        "town server": {TOTAL: [0, 0.02, 0, 0, 0], "link: header": [1, 0.0051, 0, 0, 0], "link: gone": [1, 0.001]}
    }
    table = tables.ledger({"ledger": entries, "ledger_before": earlier})
    assert table is not None
    rows = {row[0]: (row[1], row[-1]) for row in table.rows}
    assert table.head[-1] == "before, ms"
    assert rows["all processes"] == ("16.00", "20.00")
    assert rows["- link: header"] == ("4.00", "5.10")
    assert rows["- thread stream"] == ("2.00", "")
    assert rows["- link: gone"] == ("", "1.00")
    assert ledger_of([{"error": "no drive"}], ("link",)) == {}


def test_a_page_gets_the_ledger_and_keeps_its_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- bench: drives -->\nold\n<!-- /bench -->\n<!-- bench: ledger -->\n<!-- /bench -->\n")
    bench_tables.fill(path, report() | {"ledger": {"bridge": {TOTAL: [0.0, 0.004, 0.001, 0.0, 0.0]}}})
    text = path.read_text(encoding="utf-8")
    assert "old" in text
    assert "| bridge | 4.00 | 3.00 | 1.00 |" in text


@pytest.mark.alone
def test_a_recorded_drive_has_a_ledger_of_all_its_processes(tmp_path: Path) -> None:
    job = Job(cell=Cell(model=TAGS, size=Size(128, 64)), frames=40, warm_up=10, ledger=tmp_path / "drive.mp4")
    run = drive(tmp_path, job)
    assert set(run["ledger"]) == set(STAGES)
    seconds = {name: sum(row[1] for row in stages.values()) for name, stages in run["ledger"].items()}
    duration = (run["frames"]["displayed"][-1] - run["frames"]["capture"][0]) / 1e6 / 40
    for name, busy in run["resources"]["cores"].items():
        assert seconds[name] == pytest.approx(busy * duration, rel=0.25, abs=2e-3), name
    for process, stage in (
        ("town server", "simulator: rasteriser"),
        ("bridge", "link: images to planes"),
        ("renderer", "recording: encoder"),
    ):
        calls, processor, *_ = run["ledger"][process][stage]
        assert calls == pytest.approx(1.0, abs=0.1), stage
        assert processor > 0.0, stage
    planes = 128 * 64 * (1 + 2 + 4 + 4)
    assert run["ledger"]["bridge"]["link: planes to shared memory"][4] == pytest.approx(planes, rel=0.1)
    assert job.ledger is not None
    assert job.ledger.stat().st_size > 1000
