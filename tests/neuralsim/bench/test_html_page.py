"""The page of a report: well-formed, with its warnings at the top, and its charts legible on a desktop and a phone."""

from __future__ import annotations

import copy
import html
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.bench_reports import report

from neuralsim.bench.cells import Cell
from neuralsim.bench.report.html_page import render_page, warnings


class Elements(HTMLParser):
    """Tags of a page, and whether they close in order."""

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


def test_page_is_well_formed_and_loads_nothing():
    hostile = report(cells=2)
    hostile["machine"]["cpu"] = "<script>alert(1)</script>"
    text = render_page(hostile)
    elements = Elements(text)
    assert not elements.open
    assert not [tag for tag, _ in elements.seen if tag in ("script", "iframe", "img", "object")]
    assert "http" not in text.replace("http-equiv", "")
    labels = {attributes.get("aria-label", "") or "" for tag, attributes in elements.seen if tag == "svg"}
    for word in ("waterfall", "Timeline of 300", "Distribution", "every drive"):
        assert any(word in label for label in labels), word


def test_page_without_some_parts_is_well_formed():
    less = copy.deepcopy(report())
    for name in ("link", "peaks", "check"):
        del less[name]
    assert not Elements(render_page(less)).open
    assert not Elements(render_page(less | {"drives": []})).open


def test_page_without_matplotlib_has_tables_and_says_how_to_get_charts(monkeypatch):
    monkeypatch.delattr("neuralsim.bench.report.charts", raising=False)
    monkeypatch.setitem(sys.modules, "neuralsim.bench.report.charts", None)
    text = render_page(report(cells=2))
    assert not Elements(text).open
    assert "<svg" not in text
    assert "neuralsim[bench]" in text
    assert "<h2>Drives</h2>" in text


def test_warnings_come_before_the_figures():
    made = report()
    assert not warnings(made)
    made["machine"]["load"] = [7.9, 5.0, 3.0]
    made["auto"] = [{"model": "street-rt", "size": "512x256", "runtime": "openvino", "busy": "load 7.9 on 2 cores"}]
    made["drives"].append({"cell": Cell(model="other").as_json(), "error": "it would not start"})
    made["check"]["honest"] = False
    made["comparison"] = {"against": "old.json", "warnings": ["cpu: another before"], "drives": []}
    lines = warnings(made)
    assert len(lines) == 5
    text = html.unescape(render_page(made))
    places = [text.index(line) for line in lines]
    assert max(places) < text.index('<div class="cards">')
    for word in ("a load of 7.9 on 2 cores", "auto chose openvino", "it would not start"):
        assert any(word in line for line in lines), word


def test_charts_name_the_runtime_that_was_used():
    """ "auto" is resolved to the runtime in the summaries."""
    text = render_page(report(cells=2))
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
    const outside = [...svg.querySelectorAll("text, use, path")].filter(one => {
      const r = one.getBoundingClientRect();
      return r.right > box.right + 3 || r.left < box.left - 3 || r.bottom > box.bottom + 3 || r.top < box.top - 3;
    }).map(one => one.tagName + " " + one.textContent);
    const shapes = [...svg.querySelectorAll("path, use")].filter(one => {
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
def test_browser_draws_every_chart_at_desktop_and_phone_width(tmp_path: Path):
    assert BROWSER is not None
    source = render_page(report(cells=2)).replace("&", "&amp;").replace('"', "&quot;")
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
        assert width < 1000 or seen["clipped"] == [], "figures are cut off on a desktop"
        assert len(seen["charts"]) == 7  # overview, twice three
        for chart in seen["charts"]:
            assert chart["shapes"] >= 2, chart
            assert chart["pixels"] >= 10.0, chart  # text that can be read
            assert chart["outside"] == [], chart
