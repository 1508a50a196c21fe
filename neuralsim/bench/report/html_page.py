"""``report.html``: one file that opens from disk, without scripts and without network."""

from pathlib import Path
from typing import Any

import numpy as np

from neuralsim.base.extras import remedy
from neuralsim.base.html_pages import render
from neuralsim.bench.report import tables
from neuralsim.bench.report.latency_figures import LATENCY, PHOTON, values
from neuralsim.session.metrics import STAGES

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_TIMELINE = 300  # frames


def render_page(report: dict[str, Any]) -> str:
    """Return the whole page; without matplotlib it has the tables only."""
    try:
        from neuralsim.bench.report import charts
    except ModuleNotFoundError:
        charts = None  # type: ignore[assignment]
    measured = [drive for drive in report["drives"] if "summary" in drive]
    first = measured[0]["summary"] if measured else None
    machine = report["machine"]
    return render(
        _TEMPLATE,
        charts=charts,
        no_charts=f"Charts need matplotlib: {remedy('bench')}",
        where=f"{report['date'][:16].replace('T', ' ')}, {machine['cpu']}, {machine['cores']} cores",
        warnings=warnings(report),
        cards=_cards(first) if first else [],
        skew=_skew(first["clock"]) if first else "",
        overview=[
            (tables.drive_name(drive["cell"], drive["summary"]), drive["summary"]["latency_ms"]) for drive in measured
        ],
        drives=[_drive(drive) for drive in measured],
        tables={name: table(report) for name, table in tables.ALL.items()},
        machine=tables.machine(report),
    )


def busy_warnings(report: dict[str, Any]) -> list[str]:
    """Return a line for each figure that a busy machine has disturbed."""
    machine = report["machine"]
    lines: list[str] = []
    load = machine["load"]
    if load and load[0] > machine["cores"]:
        lines.append(
            f"The machine was busy at the start: a load of {load[0]:g} on {machine['cores']} cores. "
            "Times are longer than on an idle one."
        )
    return lines + [
        f"auto chose {each['runtime']} for {each['model']} at {each['size']} on a busy machine ({each['busy']}); "
        "on a free one, neuralsim doctor --measure chooses again."
        for each in report.get("auto", ())
        if each["busy"]
    ]


def warnings(report: dict[str, Any]) -> list[str]:
    """Return what a reader must know before trusting a figure, a line each."""
    lines = busy_warnings(report)
    lines += [f"{drive['cell']['name']} failed: {drive['error']}" for drive in report["drives"] if "error" in drive]
    if report.get("check", {"honest": True})["honest"] is not True:
        lines.append("The self-test did not pass: see its table.")
    return lines + [str(line) for line in report.get("comparison", {}).get("warnings", ())]


def _cards(summary: dict[str, Any]) -> list[tuple[str, str]]:
    latency, photon = summary["latency_ms"], summary["input_to_photon_ms"]
    return [
        (f"{summary['fps']['value']:.1f}", "distinct frames per second"),
        (f"{latency['p50']:.1f} ms", "capture to display, median"),
        (f"{latency['p95']:.1f} ms", "capture to display, p95"),
        (f"{photon['p95']:.1f} ms", "input latency, p95"),
        (summary["bound_by"] or "?", "limits the rate"),
    ]


def _skew(clock: dict[str, Any]) -> str:
    if not clock["offset_ms"]:
        return ""
    return f"The bridge's clock is {-clock['offset_ms']:.2f} ± {clock['uncertainty_ms']:.2f} ms ahead: corrected."


def _drive(drive: dict[str, Any]) -> dict[str, Any]:
    runs = [values(run) for run in drive["runs"]]
    latency = np.concatenate([run[LATENCY] for run in runs])
    by_stage = {stage: np.concatenate([run[stage] for run in runs]) for stage in STAGES}
    order = np.argsort(latency)
    chosen = [("Median frame", int(order[len(order) // 2])), ("Worst frame", int(order[-1]))]
    series = [("Capture to display", latency)]
    photon = np.concatenate([run[PHOTON] for run in runs])
    if photon.size:
        series.append(("Input latency", photon))
    return {
        "name": tables.drive_name(drive["cell"], drive["summary"]),
        "frames": [(name, {stage: float(by_stage[stage][n]) for stage in STAGES}) for name, n in chosen],
        "timeline": {stage: runs[0][stage][:_TIMELINE] for stage in STAGES},
        "series": series,
    }
