"""Compare two reports: what has changed, and what is noise."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from neuralsim.bench.report import tables
from neuralsim.bench.report.latency_figures import FRAME, LATENCY, PHOTON, columns, gathered
from neuralsim.bench.report.statistics import Difference, difference, paired_difference, quantile
from neuralsim.session.metrics import STAGES

_MACHINE = ("cpu", "cores", "gpu", "memory_gb", "system", "packages")  # must be equal for figures to be comparable
_NOT_A_REPORT = "{} is not a report of this version of `neuralsim bench`: measure again"
_BUSY = 0.5  # load of other processes, per core, from which on they disturb the figures


class ReportError(Exception):
    """The file cannot be compared with; the message is one line."""


def load(path: Path) -> dict[str, Any]:
    """Read an earlier report. Raises ``ReportError``."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"cannot read {path}: {(error.strerror or 'unknown reason').lower()}") from None
    except ValueError:
        raise ReportError(f"{path} is not JSON: give a report.json of `neuralsim bench`") from None
    if not isinstance(report, dict) or report.get("format") != 1 or not isinstance(report.get("drives"), list):
        raise ReportError(_NOT_A_REPORT.format(path))
    try:
        compare(report, report)  # finds missing fields now rather than after the measurement
        tables.ledger(report)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        raise ReportError(_NOT_A_REPORT.format(path)) from None
    return report


def compare(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return what has changed in the cells that are in both reports.

    {"warnings": [...], "drives": [{"name", "rows": [{"what", "unit", "old", "new", "change", "low", "high", "floor",
    "paired", "verdict"}]}]}; a verdict is "better", "worse" or "noise".
    """
    earlier = {drive["cell"]["name"]: drive for drive in old["drives"] if "runs" in drive}
    drives = [
        {"name": drive["cell"]["name"], "rows": _rows(earlier[drive["cell"]["name"]]["runs"], drive["runs"])}
        for drive in new["drives"]
        if "runs" in drive and drive["cell"]["name"] in earlier
    ]
    warnings = [
        f"{name}: {old['machine'].get(name)} before, {new['machine'].get(name)} now"
        for name in _MACHINE
        if old["machine"].get(name) != new["machine"].get(name)
    ]
    for when, report in (("before", old), ("now", new)):
        busy = (report["machine"].get("load") or [0.0])[0]
        if busy > _BUSY * report["machine"]["cores"]:
            warnings.append(f"the machine was busy {when}: load {busy:g} on {report['machine']['cores']} cores")
    if not drives:
        warnings.append("no drive is in both reports: measure with the same options")
    return {"against": old.get("date", ""), "warnings": warnings, "drives": drives}


def _rows(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    is_same = _has_same_frames(old, new)
    rows = []
    for name, q in ((LATENCY, 50), (LATENCY, 95), (PHOTON, 50), (PHOTON, 95), (FRAME, 99), *((s, 50) for s in STAGES)):
        before, after = gathered(old, name), gathered(new, name)
        if not all(run.size for run in (*before, *after)):
            continue
        paired = is_same and q == 50 and name != PHOTON
        change = (paired_difference if paired else difference)(before, after, quantile(q))
        rows.append(_row(f"{name} p{q}", "ms", change, -1.0))
    rows.append(_row("fps", "", difference(gathered(old, FRAME), gathered(new, FRAME), _rate), 1.0))
    return rows


def _rate(frames: np.ndarray) -> np.ndarray:
    rates: np.ndarray = 1e3 / frames.mean(axis=-1)
    return rates


def _has_same_frames(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Return whether both have the very same frames, as in lockstep with the same seed."""
    return len(old) == len(new) and all(
        np.array_equal(columns(a)["sim_frame"], columns(b)["sim_frame"]) for a, b in zip(old, new, strict=True)
    )


def _row(what: str, unit: str, change: Difference, good: float) -> dict[str, Any]:
    """Return one row; ``good`` is the sign of a change for the better."""
    verdict = "noise" if change.is_noise else "better" if change.change * good > 0.0 else "worse"
    numbers = {name: round(getattr(change, name), 3) for name in ("old", "new", "change", "low", "high", "floor")}
    return {"what": what, "unit": unit, **numbers, "paired": change.paired, "verdict": verdict}
