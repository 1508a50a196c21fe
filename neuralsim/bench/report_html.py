"""``report.html``: one file that opens from disk, without script and without network."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from neuralsim.session.metrics import STAGES

from . import charts, tables
from .results import LATENCY, PHOTON, values

_WIDE, _NARROW = 1000.0, 350.0  # pixels that a chart is drawn for
_TIMELINE = 300  # frames

_COLOURS = {"simulate": "4477aa", "pack": "66ccee", "transport": "ccbb44", "render": "ee6677", "display": "aa3377"}
_STYLE = (
    """
:root { color-scheme: light dark; --ink: #1b2027; --soft: #5b6572; --line: #d9dee5; --page: #fbfcfd; --card: #f0f3f6;
  --first: #2f6db0; --other: #9fb3c8; --good: #1d7a3a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #a0abb8; --line: #343c47; --page: #14181d;
  --card: #1e242b; --first: #6ea8e5; --other: #566678; --good: #6fcf8a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 48px; max-width: 1080px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 6px 0; } .soft { color: var(--soft); font-size: 13px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; margin: 16px 0; }
.cards div { background: var(--card); border-radius: 10px; padding: 10px 14px; }
.cards b { display: block; font-size: 22px; line-height: 1.25; } .cards span { color: var(--soft); font-size: 12px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
table.words td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
table.words td:first-child { white-space: nowrap; overflow-wrap: normal; vertical-align: top; }
td.better { color: var(--good); font-weight: 600; } td.worse { color: var(--bad); font-weight: 600; }
figure { margin: 8px 0 16px; } svg { display: block; width: 100%; height: auto; } .narrow { display: none; }
@media (max-width: 700px) { .wide { display: none; } .narrow { display: block; } }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--ink); }
text.axis { fill: var(--soft); } text.strong { font-weight: 600; } text.on-bar { fill: #10151b; font-weight: 600; }
.grid { stroke: var(--line); stroke-width: 1; } .rule { stroke: var(--soft); stroke-width: 1; }
.mark { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; } .range { stroke: var(--other); stroke-width: 4; }
.roof { fill: none; stroke: var(--ink); stroke-width: 2; }
.layer { fill: var(--first); fill-opacity: .75; stroke: var(--page); }
.first { fill: var(--first); } .other { fill: var(--other); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
summary { cursor: pointer; padding: 8px 0; font-weight: 600; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); }
"""
    + "".join(f".s-{s} {{ fill: #{c}; }} .k-{s} {{ background: #{c}; }}\n" for s, c in _COLOURS.items())
).strip()


def page(report: dict[str, Any]) -> str:
    """The whole page."""
    sections = [_head(report)]
    measured = [drive for drive in report["drives"] if "summary" in drive]
    for n, drive in enumerate(measured):
        body = _drive(drive)
        name = escape(drive["cell"]["name"])
        sections.append(f"<details{' open' if n == 0 else ''}><summary>{name}</summary>{body}</details>")
    if len(measured) > 1:
        rows = [(drive["cell"]["name"], drive["summary"]["latency_ms"]) for drive in measured]
        overview = _figure(lambda width: charts.ranges(rows, width))
        sections.insert(1, f"<h2>All drives</h2><p class='soft'>Capture to display: median, p95, p99.</p>{overview}")
    sections.insert(1 + (len(measured) > 1), _tables(report, "drives", "stages", "comparison"))
    if measured:
        sections.insert(2 + (len(measured) > 1), "<h2>Frame by frame</h2>")
    if report.get("roofline") and report["roofline"]["layers"]:
        chart = _figure(lambda width: charts.roofline(report["peaks"], report["roofline"], width))
        words = (
            "Each dot is a layer, its area its time. Memory is the limit under the slope, arithmetic under the flat."
        )
        sections.append(f"<h2>Roofline</h2><p class='soft'>{words}</p>{chart}")
    sections.append(_tables(report, "roof"))
    if report.get("peers"):
        sections.append(_peers(report["peers"]))
    sections.append(_tables(report, "peers", "link", "check"))
    sections.append(f"<h2>This machine</h2>{_table(tables.machine(report), 'words')}")
    title = "NeuralSim: where the milliseconds go"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _head(report: dict[str, Any]) -> str:
    cards = ""
    drive = next((drive for drive in report["drives"] if "summary" in drive), None)
    if drive is not None:
        s = drive["summary"]
        latency, photon = s["latency_ms"], s["input_to_photon_ms"]
        figures = [
            (f"{s['fps']['value']:.1f}", "distinct frames per second"),
            (f"{latency['p50']:.1f} ms", "capture to display, median"),
            (f"{latency['p95']:.1f} ms", "capture to display, p95"),
            (f"{photon['p95']:.1f} ms", "input to photon, p95"),
            (s["bound_by"] or "?", "bounds the rate"),
        ]
        cards = "".join(f"<div><b>{escape(value)}</b><span>{escape(words)}</span></div>" for value, words in figures)
    machine = report["machine"]
    where = escape(f"{report['date'][:16].replace('T', ' ')}, {machine['cpu']}, {machine['cores']} cores")
    clock = drive["summary"]["clock"] if drive else {"offset_ms": 0.0}
    skew = ""
    if clock["offset_ms"]:
        skew = f"The bridge's clock is {-clock['offset_ms']:.2f} ± {clock['uncertainty_ms']:.2f} ms ahead: corrected."
    title = f"<h1>Where the milliseconds go</h1><p class='soft'>{where}</p>"
    return f"{title}<div class='cards'>{cards}</div><p class='soft'>{skew}</p>"


def _drive(drive: dict[str, Any]) -> str:
    """Waterfall, timeline and distribution of one cell."""
    runs = [values(run) for run in drive["runs"]]
    latency = np.concatenate([run[LATENCY] for run in runs])
    by_stage = {stage: np.concatenate([run[stage] for run in runs]) for stage in STAGES}
    order = np.argsort(latency)
    chosen = [("Median frame", int(order[len(order) // 2])), ("Worst frame", int(order[-1]))]
    frames = [(words, {stage: float(by_stage[stage][n]) for stage in STAGES}) for words, n in chosen]
    first = {stage: runs[0][stage][:_TIMELINE] for stage in STAGES}
    series = [("Capture to display", "first", latency)]
    photon = np.concatenate([run[PHOTON] for run in runs])
    if photon.size:
        series.append(("Input to photon", "other", photon))
    return (
        f"<h3>Waterfall</h3>{_figure(lambda width: charts.waterfall(frames, width))}{charts.legend()}"
        f"<h3>Timeline</h3>{_figure(lambda width: charts.timeline(first, width))}{charts.legend()}"
        f"<h3>Distribution</h3>{_figure(lambda width: charts.distribution(series, width))}"
    )


def _peers(found: dict[str, Any]) -> str:
    names = [name.removesuffix("_ms") for name in found if name.endswith("_ms")]
    rows = [(name, float(found[f"{name}_ms"]), f"{found[f'{name}_ms']:.1f} ms") for name in names]
    chart = _figure(lambda width: charts.bars(rows, width, "Time per frame of our model and of other generators"))
    return f"<h2>Against the peers' generators</h2>{chart}"


def _tables(report: dict[str, Any], *names: str) -> str:
    found = [table for name in names if (table := tables.ALL[name](report)) is not None]
    return "".join(f"<h2>{escape(table.title)}</h2>{_table(table)}" for table in found)


def _table(table: tables.Table, style: str = "") -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in table.head)
    rows = "".join(f"<tr>{''.join(_cell(word) for word in row)}</tr>" for row in table.rows)
    note = f"<p class='soft'>{escape(table.note)}</p>" if table.note else ""
    return f"<div class='scroll'><table class='{style}'><tr>{head}</tr>{rows}</table></div>{note}"


def _cell(word: str) -> str:
    style = f' class="{word}"' if word in ("better", "worse") else ""
    return f"<td{style}>{escape(word)}</td>"


def _figure(draw: Callable[[float], str]) -> str:
    """A chart at both widths, of which the page shows one."""
    return f'<figure><div class="wide">{draw(_WIDE)}</div><div class="narrow">{draw(_NARROW)}</div></figure>'
