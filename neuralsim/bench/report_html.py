"""``report.html``: one file that opens from disk, without script and without network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neuralsim.base.html_pages import render
from neuralsim.bench import charts, tables
from neuralsim.bench.results import LATENCY, PHOTON, values
from neuralsim.session.metrics import STAGES

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_TIMELINE = 300  # frames
_COLOURS = {"simulate": "4477aa", "pack": "66ccee", "transport": "ccbb44", "render": "ee6677", "display": "aa3377"}


def page(report: dict[str, Any]) -> str:
    """The whole page."""
    measured = [drive for drive in report["drives"] if "summary" in drive]
    first = measured[0]["summary"] if measured else None
    machine, roofline = report["machine"], report.get("roofline")
    return render(
        _TEMPLATE,
        charts=charts,
        colours=_COLOURS,
        where=f"{report['date'][:16].replace('T', ' ')}, {machine['cpu']}, {machine['cores']} cores",
        warnings=warnings(report),
        cards=_cards(first) if first else [],
        skew=_skew(first["clock"]) if first else "",
        overview=[
            (tables.drive_name(drive["cell"], drive["summary"]), drive["summary"]["latency_ms"]) for drive in measured
        ],
        drives=[_drive(drive) for drive in measured],
        tables={name: table(report) for name, table in tables.ALL.items()},
        peaks=report.get("peaks"),
        roofline=roofline if roofline and roofline["layers"] else None,
        peers=_peers(report.get("peers") or {}),
        peers_by=" ".join(str((report.get("peers") or {}).get(name, "")) for name in ("runtime", "precision")),
        machine=tables.machine(report),
    )


def warnings(report: dict[str, Any]) -> list[str]:
    """What one has to know before one believes a figure, a line each."""
    machine = report["machine"]
    found: list[str] = []
    load = machine["load"]
    if load and load[0] > machine["cores"]:
        found.append(
            f"The machine was busy when it began: a load of {load[0]:g} on {machine['cores']} cores. "
            "Times are longer than its own."
        )
    found += [
        f"auto chose {each['runtime']} for {each['model']} at {each['size']} on a busy machine ({each['busy']}): "
        "neuralsim doctor --measure"
        for each in report.get("auto", ())
        if each["busy"]
    ]
    found += [f"{drive['cell']['name']} failed: {drive['error']}" for drive in report["drives"] if "error" in drive]
    if report.get("check", {"honest": True})["honest"] is not True:
        found.append("The check of the measurement did not come out: see its table.")
    above = _above_the_roof(report.get("peaks"), report.get("roofline"))
    if above:
        found.append(f"{above} layers are above the roof: the machine's peaks were measured in worse seconds.")
    return found + [str(line) for line in report.get("comparison", {}).get("warnings", ())]


def _above_the_roof(peaks: dict[str, float] | None, profile: dict[str, Any] | None) -> int:
    """Layers that were faster than the measured peak of their arithmetic."""
    if not peaks or not profile:
        return 0
    rates = [
        (layer["gflop"] / layer["ms"] * 1e3, peaks.get(f"{layer['precision']}_gflops"))
        for layer in profile["layers"]
        if layer["ms"]
    ]
    return sum(peak is not None and rate > 1.05 * peak for rate, peak in rates)


def _cards(summary: dict[str, Any]) -> list[tuple[str, str]]:
    latency, photon = summary["latency_ms"], summary["input_to_photon_ms"]
    return [
        (f"{summary['fps']['value']:.1f}", "distinct frames per second"),
        (f"{latency['p50']:.1f} ms", "capture to display, median"),
        (f"{latency['p95']:.1f} ms", "capture to display, p95"),
        (f"{photon['p95']:.1f} ms", "click to photon, p95"),
        (summary["bound_by"] or "?", "bounds the rate"),
    ]


def _skew(clock: dict[str, Any]) -> str:
    if not clock["offset_ms"]:
        return ""
    return f"The bridge's clock is {-clock['offset_ms']:.2f} ± {clock['uncertainty_ms']:.2f} ms ahead: corrected."


def _drive(drive: dict[str, Any]) -> dict[str, Any]:
    """What waterfall, timeline and distribution of one cell are drawn from."""
    runs = [values(run) for run in drive["runs"]]
    latency = np.concatenate([run[LATENCY] for run in runs])
    by_stage = {stage: np.concatenate([run[stage] for run in runs]) for stage in STAGES}
    order = np.argsort(latency)
    chosen = [("Median frame", int(order[len(order) // 2])), ("Worst frame", int(order[-1]))]
    series = [("Capture to display", "first", latency)]
    photon = np.concatenate([run[PHOTON] for run in runs])
    if photon.size:
        series.append(("Click to photon", "other", photon))
    return {
        "name": tables.drive_name(drive["cell"], drive["summary"]),
        "frames": [(words, {stage: float(by_stage[stage][n]) for stage in STAGES}) for words, n in chosen],
        "timeline": {stage: runs[0][stage][:_TIMELINE] for stage in STAGES},
        "series": series,
    }


def _peers(found: dict[str, Any]) -> list[tuple[str, float, str]]:
    """Name, ms and words of each bar."""
    return [(key.removesuffix("_ms"), float(ms), f"{ms:.1f} ms") for key, ms in found.items() if key.endswith("_ms")]
