"""The bench's judgement: statistics, budgets, comparison, tables, trace, page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.bench_reports import LASTING, nests, report, run

from neuralsim import zoo
from neuralsim.bench import compare, docs_tables, tables, trace
from neuralsim.bench.budget import Budget
from neuralsim.bench.measurement import Job
from neuralsim.bench.options import BenchOptions, Cell, Link, everything
from neuralsim.bench.results import summarise, values
from neuralsim.bench.statistics import difference, paired_difference, quantile, summary
from neuralsim.session.metrics import STAGES


def test_intervals_hold_the_truth_as_often_as_they_say():
    held, trials = 0, 120
    for trial in range(trials):
        random = np.random.default_rng(trial)
        series = np.zeros(300)
        for n in range(1, 300):  # neighbours resemble each other, as frames do
            series[n] = 0.5 * series[n - 1] + random.normal()
        low, high = summary([series + 40.0], seed=trial)["ci"]["p50"]  # type: ignore[index]
        held += low <= 40.0 <= high
    assert 0.86 <= held / trials <= 1.0


def test_more_runs_that_disagree_make_an_interval_wider():
    random = np.random.default_rng(0)
    alike = [random.normal(40.0, 1.0, 200) for _ in range(4)]
    apart = [series + shift for series, shift in zip(alike, (0.0, 3.0, -2.0, 5.0), strict=True)]
    widths = []
    for runs in (alike, apart):
        low, high = summary(runs)["ci"]["p50"]  # type: ignore[index]
        widths.append(high - low)
    assert widths[1] > 3.0 * widths[0]


def test_nothing_measured_is_no_crash():
    assert summary([np.array([])])["n"] == 0
    assert summary([np.array([3.0])])["p99"] == 3.0


def test_a_change_is_told_from_noise():
    base = [np.random.default_rng(n).normal(40.0, 2.0, 300) for n in range(2)]
    same = [np.random.default_rng(n + 5).normal(40.0, 2.0, 300) for n in range(2)]
    slower = [series + 3.0 for series in same]
    assert difference(base, same, quantile(50.0)).is_noise
    found = difference(base, slower, quantile(50.0))
    assert not found.is_noise
    assert found.change == pytest.approx(3.0, abs=0.5)
    assert found.low < 3.0 < found.high


def test_pairing_frames_finds_what_the_street_would_hide():
    street = np.cumsum(np.random.default_rng(1).normal(0.0, 2.0, 300)) + 60.0
    random = np.random.default_rng(2)
    old = [street + random.normal(0.0, 0.3, 300) for _ in range(2)]
    new = [street + 0.6 + random.normal(0.0, 0.3, 300) for _ in range(2)]
    paired = paired_difference(old, new, quantile(50.0))
    assert paired.low > 0.4
    assert paired.high < 0.8
    loose = difference(old, new, quantile(50.0))
    assert loose.low < 0.0 < loose.high


def test_a_change_smaller_than_that_between_repeats_is_noise():
    random = np.random.default_rng(0)
    old = [random.normal(40.0, 0.5, 300), random.normal(44.0, 0.5, 300)]
    new = [series + 2.0 for series in old]
    assert paired_difference(old, new, quantile(50.0)).low > 1.0  # surely there, in these runs
    assert paired_difference(old, new, quantile(50.0)).is_noise  # but two runs of the same differ by 4


# Results


def test_stages_latency_and_photons_come_from_the_stamps():
    found = values(run(0, noise=0.0))
    for stage in ("pack", "transport", "display"):
        np.testing.assert_allclose(found[stage], LASTING[stage], atol=2e-3)
    np.testing.assert_allclose(sum(found[stage] for stage in STAGES), found["latency"], atol=1e-6)
    assert len(found["frame"]) == 299
    figures = summarise([run(0), run(1)])
    assert (figures["frames"], figures["dropped"]) == (600, 12)
    assert figures["fps"]["value"] == pytest.approx(1e3 / figures["frame_ms"]["mean"], rel=1e-3)
    assert 50.0 < figures["input_to_photon_ms"]["p50"] < 85.0


# Budgets


@pytest.mark.parametrize(
    ("text", "kept"),
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
def test_budgets_are_kept_or_broken_in_one_line(text: str, kept: bool):
    lines = Budget.parse(text).broken(report())
    assert len(lines) == (0 if kept else 1)
    assert all(line.startswith("budget ") and "street-rt" in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("text", ["", "p95", "p95=", "p95=fast", "p94=5ms", "fps=30ms", "paint.p50=5ms", "memory=5ms"])
def test_what_is_no_budget_is_refused(text: str):
    with pytest.raises(ValueError, match=r"budget|measured"):
        Budget.parse(text)


# Comparison


def test_two_reports_of_the_same_are_noise_and_of_a_slower_renderer_are_not():
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


def test_another_machine_a_busy_one_and_other_cells_are_said():
    old, new = report(0), report(1)
    new["machine"]["cpu"], old["machine"]["load"] = "another one", [4.0, 4.0, 4.0]
    old["drives"][0]["cell"]["name"] = "something else"
    warnings = " ".join(compare.compare(old, new)["warnings"])
    assert all(word in warnings for word in ("another one", "busy before", "no drive is in both"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "drives": []}', "\0\1"])
def test_a_file_that_is_no_report_is_one_line(tmp_path: Path, text: str):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(compare.ReportError, match=r"old\.json"):
        compare.load(path)


# Trace


def test_the_trace_names_its_processes_and_its_events_nest():
    found = json.loads(json.dumps(trace.events(report())))
    events = found["traceEvents"]
    named = {
        (e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name" and e["args"]["name"]
    }
    assert {e["pid"] for e in events if e["name"] == "process_name"} == {e["pid"] for e in events}
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] != "M"} <= named
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= 0
    assert nests(found)
    begun = [(e["cat"], e["id"], e["name"]) for e in events if e["ph"] == "b"]
    assert sorted(begun) == sorted((e["cat"], e["id"], e["name"]) for e in events if e["ph"] == "e")
    assert {e["name"] for e in events if e["ph"] == "X"} >= {"simulate", "pack", "render", "display"}
    assert "transport" in {name for *_, name in begun}
    assert "click to photon" in {name for *_, name in begun}


def test_a_trace_that_does_not_nest_is_seen():
    bad = {"traceEvents": [{"ph": "X", "pid": 1, "tid": 1, "ts": ts, "dur": 10} for ts in (0, 5)]}
    assert not nests(bad)


# Tables and docs


def test_tables_hold_every_figure_and_line_up():
    text = tables.terminal(report(cells=3))
    for word in ("Drives", "Stages", "Link", "Peers", "Honesty", "lockstep", "tcp+4", "±", "times ours"):
        assert word in text, word
    table = tables.drives(report())
    assert table is not None
    assert all(len(row) == len(table.head) for row in table.rows)


def test_a_pages_tables_are_filled_and_its_prose_is_kept(tmp_path: Path):
    path = tmp_path / "page.md"
    path.write_text(
        "Before.\n<!-- bench: drives -->\nold\n<!-- /bench -->\nBetween.\n<!-- bench: check -->\n<!-- /bench -->\n"
    )
    docs_tables.check(path)
    docs_tables.fill(path, report())
    first = path.read_text(encoding="utf-8")
    assert first.startswith("Before.\n<!-- bench: drives -->\n| drive |")
    assert "old" not in first
    assert "Between." in first
    assert "load 0.1" in first
    assert "busy" not in first
    less = report()
    del less["check"]
    less["machine"]["load"] = [3.0, 3.0, 3.0]
    docs_tables.fill(path, less)
    assert "Honest" in path.read_text(encoding="utf-8")  # what was not measured again stays
    assert "busy with other work" in path.read_text(encoding="utf-8")
    path.write_text("<!-- bench: drives -->\n<!-- /bench -->\n<!-- bench: matrix -->\n<!-- /bench -->\n")
    whole = report(cells=3)
    whole["options"]["matrix"] = True
    docs_tables.fill(path, whole)
    assert path.read_text(encoding="utf-8").startswith(
        "<!-- bench: drives -->\n<!-- /bench -->\n<!-- bench: matrix -->\n| drive |"
    )
    path.write_text("nothing to fill")
    with pytest.raises(docs_tables.DocsError, match="bench: NAME"):
        docs_tables.check(path)


# Options


def test_a_matrix_is_every_combination_once():
    options = BenchOptions(sizes=("256x128", "512x256"), links=(Link("ipc"), Link("tcp", 4)), loops=("live",))
    names = [cell.name for cell in options.cells()]
    assert len(names) == len(set(names)) == 4
    assert names[0] == "street-rt auto 256x128 ipc live"
    remote = BenchOptions(connect="tcp://127.0.0.1:5600", loops=("live",))
    assert [cell.link.transport for cell in remote.cells()] == ["remote"]


def test_all_of_the_matrix_is_what_was_not_asked_for() -> None:
    asked = everything(BenchOptions(models=(zoo.DEFAULT,), runtimes=("openvino",), loops=("lockstep",)))
    assert asked.models == (zoo.DEFAULT,), "the default, too, if it was asked for"
    assert (asked.runtimes, asked.loops, len(asked.sizes), len(asked.links)) == (("openvino",), ("lockstep",), 3, 3)
    assert set(everything(BenchOptions()).models) == set(zoo.names())


def test_a_drive_after_something_else_than_the_picture_says_so() -> None:
    picture, surface = BenchOptions(guides="surface,picture", loops=("live",)).cells()
    assert (picture.guide, surface.guide) == ("picture", "surface")
    assert picture.name == "street-rt auto 512x256 ipc live", "as in reports of before"
    assert surface.name == "street-rt auto 512x256 ipc live surface"
    assert Job(cell=surface, frames=1, warm_up=0).drive_options().guide == "surface"
    table = tables.drives({"drives": [{"cell": surface.described(), "summary": summarise([run(0)])}]})
    assert table is not None
    assert table.rows[0][0].endswith("ipc live surface")


def test_what_upscaling_takes_is_a_figure_of_its_own() -> None:
    (cell,) = BenchOptions(show="1024x512", loops=("window",)).cells()
    assert cell.name == "street-rt auto 512x256>1024x512 ipc window"
    found = run(0)
    plain, found["drive"]["upscale_ms"] = summarise([run(0)]), {"p50": 7.0, "p95": 9.0, "p99": 9.5}
    drives = [{"cell": Cell().described(), "summary": plain}, {"cell": cell.described(), "summary": summarise([found])}]
    table = tables.stages({"drives": drives})
    assert table is not None
    column = table.head.index("upscale")
    assert [row[column] for row in table.rows] == ["", "7.00"]
    assert table.rows[1][0].endswith("512x256>1024x512 ipc window")
    assert Budget.parse("upscale.p95=8ms").broken({"drives": drives[1:]})
    assert not Budget.parse("upscale.p50=8ms").broken({"drives": drives[1:]})
    assert "upscale" not in tables.terminal(report())
    with pytest.raises(ValueError, match="show"):
        BenchOptions(show="1024x512", connect="tcp://127.0.0.1:5600", loops=("live",)).check()


@pytest.mark.parametrize("text", ["", "udp", "ipc+", "ipc+0", "ipc+31", "tcp+x"])
def test_what_is_no_link_is_refused(text: str):
    with pytest.raises(ValueError, match="no link"):
        Link.parse(text)
