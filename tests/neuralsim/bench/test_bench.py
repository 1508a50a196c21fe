"""The bench's judgement: statistics, budgets, comparison, tables, trace, page."""

from __future__ import annotations

import copy
import html
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.messages import STAMPS
from neuralsim.bench import compare, docs, tables, trace
from neuralsim.bench.budget import Budget
from neuralsim.bench.options import BenchOptions, Cell, Link
from neuralsim.bench.report_html import page, warnings
from neuralsim.bench.results import summarise, values
from neuralsim.bench.statistics import difference, paired_difference, quantile, summary
from neuralsim.session.metrics import STAGES

LASTING = {"simulate": 8.0, "pack": 1.5, "transport": 0.4, "render": 30.0, "display": 2.0}  # ms


def run(seed: int, frames: int = 300, slower: float = 0.0, noise: float = 1.5) -> dict[str, Any]:
    """A drive as `neuralsim.bench.measure` writes it, of known stages; render is ``slower`` by so many ms."""
    random = np.random.default_rng(seed)
    scene = np.cumsum(np.random.default_rng(7).normal(0.0, 0.4, frames))  # the same street in every run
    table: dict[str, list[int]] = {name: [] for name in STAMPS}
    capture = 0.0
    for n in range(frames):
        at = capture
        table["capture"].append(round(1e3 * at))
        for (stage, spent), stamp in zip(LASTING.items(), STAMPS[1:], strict=True):
            own = (
                spent + (scene[n] + slower if stage == "render" else 0.0) + abs(random.normal(0.0, noise)) * (spent > 5)
            )
            at += own
            table[stamp].append(round(1e3 * at))
        capture = at + 0.2
    pressed = [round(1e3 * (20.0 + 90.0 * n)) for n in range(frames // 3)]
    return {
        "model": "street-rt",
        "runtime": "openvino bf16",
        "frames": {
            "sequence": list(range(frames)),
            "sim_frame": list(range(100, 100 + frames)),
            "skipped": [int(n % 50 == 49) for n in range(frames)],
            **table,
            "pressed": pressed,
            "seen": [round(p + 1e3 * random.uniform(50, 85)) for p in pressed],
        },
        "resources": {
            "cores": {"renderer": 1.2, "town server": 0.3, "bridge": 0.2},
            "memory_mb": {"all": 700.0, "town server": 300.0, "bridge": 100.0, "renderer": 300.0},
            "gpu": None,
        },
        "clock": {"offset_ms": 0.0, "uncertainty_ms": 0.0},
        "drive": {"bound_by": "render"},
        "wanted_fps": None,
        "displayed_fps": None,
    }


def report(seed: int = 0, slower: float = 0.0, cells: int = 1) -> dict[str, Any]:
    """A whole report with everything in it."""
    drives = []
    for cell in [Cell(loop="lockstep"), Cell(loop="live"), Cell(link=Link("tcp", 4))][:cells]:
        runs = [run(seed + 10 * n, slower=slower) for n in range(2)]
        drives.append({"cell": cell.described(), "summary": summarise(runs), "runs": runs})
    times = summary([np.random.default_rng(0).gamma(3.0, 0.2, 200)])
    case = {"name": "ipc, 1 receiver, 30 Hz", "size": "512x256"}
    return {
        "format": 1,
        "date": "2026-11-20T12:00:00+0000",
        "host": "some processor",
        "options": {"frames": 300, "warm_up": 60, "repeats": 2, "matrix": False},
        "machine": {
            "cpu": "some processor",
            "cores": 2,
            "vector_units": ["avx2"],
            "governor": "",
            "virtual": True,
            "quota_cores": None,
            "memory_gb": 23.5,
            "gpu": "",
            "system": "Linux",
            "python": "3.11",
            "packages": {},
            "neuralsim": "0.1.0",
            "commit": "abc",
            "load": [0.1, 0.2, 0.3],
        },
        "load_after": [1.5, 0.2, 0.3],
        "drives": drives,
        "link": {
            "packing_ms": times,
            "cases": [
                {
                    "case": case,
                    "bytes": 1_572_864,
                    "frames_per_second": 30.0,
                    "published": 90,
                    "send_ms": times,
                    "tick_ms": times,
                    "delay_ms": times,
                    "received": [90],
                }
            ],
        },
        "peaks": {"copy_gb_per_s": 20.0, "numpy_gflops": 90.0, "f32_gflops": 100.0, "bf16_gflops": 300.0},
        "roofline": {
            "model": "street-rt",
            "size": "512x256",
            "precision": "bf16",
            "gflop": 6.3,
            "ms": 30.0,
            "kinds": {"Convolution": 20.0, "Gather": 4.0},
            "layers": [
                {"name": f"layer {n}", "ms": 3.0 / n, "gflop": 0.6 / n, "mb": 4.0 / n**2, "precision": "bf16"}
                for n in range(1, 8)
            ],
        },
        "peers": {
            "ours_ms": 30.0,
            "slow_ms": 900.0,
            "gflop": {"ours": 6.3, "slow": 280.0},
            "runtime": "openvino",
            "precision": "bf16",
            "threads": 2,
        },
        "check": {
            "injected_ms": 20.0,
            "tolerance_ms": 1.0,
            "honest": True,
            "stages": {s: {"frames": 40, "stage_ms": 20.1, "total_ms": 20.3, "others_ms": 0.1} for s in STAGES},
        },
    }


# Statistics


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
    assert trace.nests(found)
    begun = [(e["cat"], e["id"], e["name"]) for e in events if e["ph"] == "b"]
    assert sorted(begun) == sorted((e["cat"], e["id"], e["name"]) for e in events if e["ph"] == "e")
    assert {e["name"] for e in events if e["ph"] == "X"} >= {"simulate", "pack", "render", "display"}
    assert "transport" in {name for *_, name in begun}
    assert "click to photon" in {name for *_, name in begun}


def test_a_trace_that_does_not_nest_is_seen():
    bad = {"traceEvents": [{"ph": "X", "pid": 1, "tid": 1, "ts": ts, "dur": 10} for ts in (0, 5)]}
    assert not trace.nests(bad)


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
    docs.check(path)
    docs.fill(path, report())
    first = path.read_text(encoding="utf-8")
    assert first.startswith("Before.\n<!-- bench: drives -->\n| drive |")
    assert "old" not in first
    assert "Between." in first
    assert "load 0.1" in first
    assert "busy" not in first
    less = report()
    del less["check"]
    less["machine"]["load"] = [3.0, 3.0, 3.0]
    docs.fill(path, less)
    assert "Honest" in path.read_text(encoding="utf-8")  # what was not measured again stays
    assert "busy with other work" in path.read_text(encoding="utf-8")
    path.write_text("<!-- bench: drives -->\n<!-- /bench -->\n<!-- bench: matrix -->\n<!-- /bench -->\n")
    whole = report(cells=3)
    whole["options"]["matrix"] = True
    docs.fill(path, whole)
    assert path.read_text(encoding="utf-8").startswith(
        "<!-- bench: drives -->\n<!-- /bench -->\n<!-- bench: matrix -->\n| drive |"
    )
    path.write_text("nothing to fill")
    with pytest.raises(docs.DocsError, match="bench: NAME"):
        docs.check(path)


# The page


class Elements(HTMLParser):
    """Tags of a page, and whether they close in order."""

    VOID = ("meta", "link", "br", "rect", "line", "path", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody():
    hostile = report(cells=2)
    hostile["machine"]["cpu"] = "<script>alert(1)</script>"
    text = page(hostile)
    elements = Elements(text)
    assert not elements.open
    assert not [tag for tag, _ in elements.seen if tag in ("script", "iframe", "img", "object")]
    assert "http" not in text.replace("http-equiv", "")
    labels = {attributes.get("aria-label", "") or "" for tag, attributes in elements.seen if tag == "svg"}
    for word in ("waterfall", "Timeline of 300", "Distribution", "Roofline", "generators", "every drive"):
        assert any(word in label for label in labels), word


def test_a_page_of_less_is_a_page_too():
    less = copy.deepcopy(report())
    for name in ("link", "peaks", "roofline", "peers", "check"):
        del less[name]
    assert not Elements(page(less)).open
    assert not Elements(page(less | {"drives": []})).open


def test_what_one_has_to_know_first_is_said_first():
    made = report()
    assert not warnings(made)
    made["machine"]["load"] = [7.9, 5.0, 3.0]
    made["auto"] = [{"model": "street-rt", "size": "512x256", "runtime": "openvino", "busy": "load 7.9 on 2 cores"}]
    made["drives"].append({"cell": Cell(model="other").described(), "error": "it would not start"})
    made["check"]["honest"] = False
    made["roofline"]["layers"][0]["ms"] = 1.0  # 600 GFLOP/s of 300
    made["comparison"] = {"against": "old.json", "warnings": ["cpu: another before"], "drives": []}
    said = warnings(made)
    assert len(said) == 6
    text = html.unescape(page(made))
    places = [text.index(line) for line in said]
    assert max(places) < text.index('<div class="cards">')
    for word in (
        "a load of 7.9 on 2 cores",
        "auto chose openvino",
        "it would not start",
        "1 layers are above the roof",
    ):
        assert any(word in line for line in said), word


def test_every_chart_names_what_really_painted():
    """ "auto" is no answer: summaries have what it was."""
    text = page(report(cells=2))
    assert "street-rt auto" not in text
    assert text.count("street-rt openvino bf16 512x256 ipc lockstep") >= 3  # overview, table, its own charts


BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PROBE = """
<!doctype html><body><script>
const found = {errors: []};
addEventListener("error", event => found.errors.push(String(event.message)));
function look(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, charts = [];
  page.querySelectorAll("details").forEach(one => one.open = true);
  page.querySelectorAll("svg").forEach(svg => {
    const box = svg.getBoundingClientRect();
    if (!box.width) return;
    const scale = box.width / svg.viewBox.baseVal.width;
    const outside = [...svg.querySelectorAll("text, rect, circle, path")].filter(one => {
      const r = one.getBoundingClientRect();
      return r.right > box.right + 3 || r.left < box.left - 3 || r.bottom > box.bottom + 3 || r.top < box.top - 3;
    }).map(one => one.tagName + " " + one.textContent);
    const shapes = [...svg.querySelectorAll("rect, path, circle")].filter(one => {
      const r = one.getBoundingClientRect();
      return r.width > 0 && r.height > 0 && view.getComputedStyle(one).fill !== "rgb(0, 0, 0)";
    }).length;
    charts.push({label: svg.getAttribute("aria-label"), width: box.width, pixels: 12 * scale, shapes, outside});
  });
  const clipped = [...page.querySelectorAll("table")].filter(table => {
    const r = table.getBoundingClientRect();
    const around = table.parentElement;
    return r.right > page.documentElement.clientWidth || around.scrollWidth > around.clientWidth;
  }).map(table => table.rows[0].textContent);
  const wide = page.documentElement.scrollWidth;
  found[frame.width] = {charts, clipped, wide, ink: view.getComputedStyle(page.body).color};
}
</script>
FRAMES
<script>
addEventListener("load", () => {
  document.querySelectorAll("iframe").forEach(look);
  document.body.innerHTML = "<pre id=result></pre>";
  document.getElementById("result").textContent = JSON.stringify(found);
});
</script></body>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the page in")
@pytest.mark.slow
def test_a_browser_draws_every_chart_for_a_desk_and_for_a_phone(tmp_path: Path):
    assert BROWSER is not None
    source = page(report(cells=2)).replace("&", "&amp;").replace('"', "&quot;")
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{source}"></iframe>' for width in (1280, 390))
    (tmp_path / "probe.html").write_text(PROBE.replace("FRAMES", frames))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--window-size=1400,1000", "--dump-dom", f"file://{tmp_path / 'probe.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "CONSOLE" not in done.stderr, done.stderr
    text = done.stdout.partition('<pre id="result">')[2].partition("</pre>")[0]
    found = json.loads(text.replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert found["errors"] == []
    for width in (1280, 390):
        seen = found[str(width)]
        assert seen["wide"] <= width, f"the page is {seen['wide']} wide at {width}"
        assert width < 1000 or seen["clipped"] == [], "figures are cut off on a desk"
        assert len(seen["charts"]) == 9  # overview, twice three, roofline, peers
        for chart in seen["charts"]:
            assert chart["shapes"] >= 2, chart
            assert chart["pixels"] >= 10.0, chart  # text that can be read
            assert chart["outside"] == [], chart


# Options


def test_a_matrix_is_every_combination_once():
    options = BenchOptions(sizes=("256x128", "512x256"), links=(Link("ipc"), Link("tcp", 4)), loops=("live",))
    names = [cell.name for cell in options.cells()]
    assert len(names) == len(set(names)) == 4
    assert names[0] == "street-rt auto 256x128 ipc live"
    remote = BenchOptions(connect="tcp://127.0.0.1:5600", loops=("live",))
    assert [cell.link.transport for cell in remote.cells()] == ["remote"]


@pytest.mark.parametrize("text", ["", "udp", "ipc+", "ipc+0", "ipc+31", "tcp+x"])
def test_what_is_no_link_is_refused(text: str):
    with pytest.raises(ValueError, match="no link"):
        Link.parse(text)
