"""The benchmark's reports: statistics, budgets, comparison, tables, trace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.bench_reports import STAGE_TIMES, nests, report, run

from neuralsim import zoo
from neuralsim.bench.cells import Cell, Link
from neuralsim.bench.measurement import Job
from neuralsim.bench.options import BenchOptions, whole_matrix
from neuralsim.bench.report import compare, tables, trace
from neuralsim.bench.report.budget import Budget
from neuralsim.bench.report.latency_figures import summarise, values
from neuralsim.bench.report.statistics import difference, paired_difference, quantile, summary
from neuralsim.session.metrics import STAGES
from tools import bench_tables


def test_confidence_intervals_have_their_nominal_coverage():
    held, trials = 0, 120
    for trial in range(trials):
        random = np.random.default_rng(trial)
        series = np.zeros(300)
        for n in range(1, 300):  # neighbours resemble each other, as frames do
            series[n] = 0.5 * series[n - 1] + random.normal()
        low, high = summary([series + 40.0], seed=trial)["ci"]["p50"]  # type: ignore[index]
        held += low <= 40.0 <= high
    assert 0.86 <= held / trials <= 1.0


def test_disagreeing_runs_widen_the_interval():
    random = np.random.default_rng(0)
    alike = [random.normal(40.0, 1.0, 200) for _ in range(4)]
    apart = [series + shift for series, shift in zip(alike, (0.0, 3.0, -2.0, 5.0), strict=True)]
    widths = []
    for runs in (alike, apart):
        low, high = summary(runs)["ci"]["p50"]  # type: ignore[index]
        widths.append(high - low)
    assert widths[1] > 3.0 * widths[0]


def test_summary_of_no_and_of_one_value():
    assert summary([np.array([])])["n"] == 0
    assert summary([np.array([3.0])])["p99"] == 3.0


def test_change_is_distinguished_from_noise():
    base = [np.random.default_rng(n).normal(40.0, 2.0, 300) for n in range(2)]
    same = [np.random.default_rng(n + 5).normal(40.0, 2.0, 300) for n in range(2)]
    slower = [series + 3.0 for series in same]
    assert difference(base, same, quantile(50.0)).is_noise
    change = difference(base, slower, quantile(50.0))
    assert not change.is_noise
    assert change.change == pytest.approx(3.0, abs=0.5)
    assert change.low < 3.0 < change.high


def test_pairing_frames_reveals_changes_that_the_scene_hides():
    street = np.cumsum(np.random.default_rng(1).normal(0.0, 2.0, 300)) + 60.0
    random = np.random.default_rng(2)
    old = [street + random.normal(0.0, 0.3, 300) for _ in range(2)]
    new = [street + 0.6 + random.normal(0.0, 0.3, 300) for _ in range(2)]
    paired = paired_difference(old, new, quantile(50.0))
    assert paired.low > 0.4
    assert paired.high < 0.8
    loose = difference(old, new, quantile(50.0))
    assert loose.low < 0.0 < loose.high


def test_change_smaller_than_between_repeats_is_noise():
    random = np.random.default_rng(0)
    old = [random.normal(40.0, 0.5, 300), random.normal(44.0, 0.5, 300)]
    new = [series + 2.0 for series in old]
    assert paired_difference(old, new, quantile(50.0)).low > 1.0  # significant within these runs
    assert paired_difference(old, new, quantile(50.0)).is_noise  # but two runs of the same differ by 4


# Results


def test_stages_and_latencies_are_computed_from_the_stamps():
    quantities = values(run(0, noise=0.0))
    for stage in ("pack", "transport", "display"):
        np.testing.assert_allclose(quantities[stage], STAGE_TIMES[stage], atol=2e-3)
    np.testing.assert_allclose(sum(quantities[stage] for stage in STAGES), quantities["latency"], atol=1e-6)
    assert len(quantities["frame"]) == 299
    figures = summarise([run(0), run(1)])
    assert (figures["frames"], figures["dropped"]) == (600, 12)
    assert figures["fps"]["value"] == pytest.approx(1e3 / figures["frame_ms"]["mean"], rel=1e-3)
    assert 50.0 < figures["input_to_photon_ms"]["p50"] < 85.0


# Budgets


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("p95=500ms", True),
        ("p95=0.5s", True),
        ("p95=20ms", False),
        ("photon.p95=90ms", True),
        ("photon.p50=10ms", False),
        ("render.p50=100ms", True),
        ("render.p50=5", False),
        ("fps=5", True),
        ("fps=500", False),
        ("dropped=100", True),
        ("dropped=0", False),
        ("memory=1GB", True),
        ("memory=100MB", False),
        ("displayed_fps=60", False),  # not measured here
    ],
)
def test_budget_violations_are_one_line(text: str, is_kept: bool):
    lines = Budget.parse(text).violations(report())
    assert len(lines) == (0 if is_kept else 1)
    assert all(line.startswith("budget ") and "street-rt" in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("text", ["", "p95", "p95=", "p95=fast", "p94=5ms", "fps=30ms", "paint.p50=5ms", "memory=5ms"])
def test_invalid_budgets_are_rejected(text: str):
    with pytest.raises(ValueError, match=r"budget|measured"):
        Budget.parse(text)


# Comparison


def test_comparison_detects_a_slower_renderer_but_no_noise():
    old, new = report(0), report(100)
    rows = {row["what"]: row for row in compare.compare(old, new)["drives"][0]["rows"]}
    assert {row["verdict"] for row in rows.values()} == {"noise"}
    assert rows["render p50"]["paired"]
    rows = {row["what"]: row for row in compare.compare(old, report(100, slower=4.0))["drives"][0]["rows"]}
    assert rows["render p50"]["verdict"] == rows["latency p50"]["verdict"] == rows["fps"]["verdict"] == "worse"
    assert rows["render p50"]["change"] == pytest.approx(4.0, abs=0.5)
    assert rows["simulate p50"]["verdict"] == "noise"
    rows = {row["what"]: row for row in compare.compare(report(100, slower=4.0), old)["drives"][0]["rows"]}
    assert rows["fps"]["verdict"] == "better"


def test_comparison_warns_of_other_machines_load_and_cells():
    old, new = report(0), report(1)
    new["machine"]["cpu"], old["machine"]["load"] = "another one", [4.0, 4.0, 4.0]
    old["drives"][0]["cell"]["name"] = "something else"
    warnings = " ".join(compare.compare(old, new)["warnings"])
    assert all(word in warnings for word in ("another one", "busy before", "no drive is in both"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "drives": []}', "\0\1"])
def test_invalid_report_is_one_line(tmp_path: Path, text: str):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(compare.ReportError, match=r"old\.json"):
        compare.load(path)


# Trace


def test_trace_names_its_processes_and_its_events_nest():
    content = json.loads(json.dumps(trace.events(report())))
    events = content["traceEvents"]
    named = {
        (e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name" and e["args"]["name"]
    }
    assert {e["pid"] for e in events if e["name"] == "process_name"} == {e["pid"] for e in events}
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] != "M"} <= named
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= 0
    assert nests(content)
    begun = [(e["cat"], e["id"], e["name"]) for e in events if e["ph"] == "b"]
    assert sorted(begun) == sorted((e["cat"], e["id"], e["name"]) for e in events if e["ph"] == "e")
    assert {e["name"] for e in events if e["ph"] == "X"} >= {"simulate", "pack", "render", "display"}
    assert "transport" in {name for *_, name in begun}
    assert "input latency" in {name for *_, name in begun}


def test_overlapping_events_do_not_nest():
    bad = {"traceEvents": [{"ph": "X", "pid": 1, "tid": 1, "ts": ts, "dur": 10} for ts in (0, 5)]}
    assert not nests(bad)


# Tables and docs


def test_tables_have_every_figure_and_line_up():
    text = tables.terminal(report(cells=3))
    for word in ("Drives", "Stages", "Link", "Self-test", "lockstep", "tcp+4", "±"):
        assert word in text, word
    table = tables.drives(report())
    assert table is not None
    assert all(len(row) == len(table.head) for row in table.rows)


def test_tables_of_a_page_are_filled_in_and_its_text_is_kept(tmp_path: Path):
    path = tmp_path / "page.md"
    path.write_text(
        "Before.\n<!-- bench: drives -->\nold\n<!-- /bench -->\nBetween.\n<!-- bench: check -->\n<!-- /bench -->\n"
    )
    bench_tables.check(path)
    bench_tables.fill(path, report())
    first = path.read_text(encoding="utf-8")
    assert first.startswith("Before.\n<!-- bench: drives -->\n| drive |")
    assert "old" not in first
    assert "Between." in first
    assert "load 0.1" in first
    assert "busy" not in first
    less = report()
    del less["check"]
    less["machine"]["load"] = [3.0, 3.0, 3.0]
    bench_tables.fill(path, less)
    assert "Passed" in path.read_text(encoding="utf-8")  # what was not measured again stays
    assert "busy with other work" in path.read_text(encoding="utf-8")
    path.write_text("<!-- bench: drives -->\n<!-- /bench -->\n<!-- bench: matrix -->\n<!-- /bench -->\n")
    whole = report(cells=3)
    whole["options"]["matrix"] = True
    bench_tables.fill(path, whole)
    assert path.read_text(encoding="utf-8").startswith(
        "<!-- bench: drives -->\n<!-- /bench -->\n<!-- bench: matrix -->\n| drive |"
    )
    path.write_text("nothing to fill")
    with pytest.raises(bench_tables.DocsError, match="bench: NAME"):
        bench_tables.check(path)


# Options


def test_matrix_has_every_combination_once():
    options = BenchOptions(sizes=("256x128", "512x256"), links=(Link("ipc"), Link("tcp", 4)), loops=("live",))
    names = [cell.name for cell in options.cells()]
    assert len(names) == len(set(names)) == 4
    assert names[0] == "street-rt auto 256x128 ipc live"
    remote = BenchOptions(connect="tcp://127.0.0.1:5600", loops=("live",))
    assert [cell.link.transport for cell in remote.cells()] == ["remote"]


def test_whole_matrix_replaces_only_unset_options() -> None:
    options = whole_matrix(BenchOptions(models=(zoo.DEFAULT,), runtimes=("openvino",), loops=("lockstep",)))
    assert options.models == (zoo.DEFAULT,), "the default, too, if it was set"
    assert (options.runtimes, options.loops, len(options.sizes), len(options.links)) == (
        ("openvino",),
        ("lockstep",),
        3,
        3,
    )
    assert set(whole_matrix(BenchOptions()).models) == set(zoo.names())


def test_cell_with_another_guide_is_named_after_it() -> None:
    picture, surface = BenchOptions(guides="surface,picture", loops=("live",)).cells()
    assert (picture.guide, surface.guide) == ("picture", "surface")
    assert picture.name == "street-rt auto 512x256 ipc live", "as in earlier reports"
    assert surface.name == "street-rt auto 512x256 ipc live surface"
    assert Job(cell=surface, frames=1, warm_up=0).drive_options().guide == "surface"
    table = tables.drives({"drives": [{"cell": surface.as_json(), "summary": summarise([run(0)])}]})
    assert table is not None
    assert table.rows[0][0].endswith("ipc live surface")


def test_upscaling_time_is_a_figure_of_its_own() -> None:
    (cell,) = BenchOptions(show="1024x512", loops=("window",)).cells()
    assert cell.name == "street-rt auto 512x256>1024x512 ipc window"
    upscaled = run(0)
    plain, upscaled["drive"]["upscale_ms"] = summarise([run(0)]), {"p50": 7.0, "p95": 9.0, "p99": 9.5}
    drives = [{"cell": Cell().as_json(), "summary": plain}, {"cell": cell.as_json(), "summary": summarise([upscaled])}]
    table = tables.stages({"drives": drives})
    assert table is not None
    column = table.head.index("upscale")
    assert [row[column] for row in table.rows] == ["", "7.00"]
    assert table.rows[1][0].endswith("512x256>1024x512 ipc window")
    assert Budget.parse("upscale.p95=8ms").violations({"drives": drives[1:]})
    assert not Budget.parse("upscale.p50=8ms").violations({"drives": drives[1:]})
    assert "upscale" not in tables.terminal(report())
    with pytest.raises(ValueError, match="show"):
        BenchOptions(show="1024x512", connect="tcp://127.0.0.1:5600", loops=("live",)).check()


@pytest.mark.parametrize("text", ["", "udp", "ipc+", "ipc+0", "ipc+31", "tcp+x"])
def test_invalid_links_are_rejected(text: str):
    with pytest.raises(ValueError, match="no link"):
        Link.parse(text)
