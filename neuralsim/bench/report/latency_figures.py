"""Compute the figures of a report from the time stamps of every frame."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuralsim.bench.ledger import Row
from neuralsim.bench.report.statistics import Runs, draw, interval, summary
from neuralsim.session.metrics import STAGES

#: Quantities of each frame in addition to its stages.
LATENCY = "latency"
PHOTON = "input_to_photon"
FRAME = "frame"
#: The row of a whole process in the ledger.
TOTAL = "all"


def columns(run: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return a run's table of frames as f64 (N,) columns, us."""
    return {name: np.asarray(values, np.float64) for name, values in run["frames"].items()}


def values(run: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return milliseconds by name, f64 (N,) in order of time.

    The names are the stages, "latency" (capture to display), "input_to_photon" (from a key press to the first frame
    shown that contains it) and "frame" (from one distinct image to the next).
    """
    table = columns(run)
    quantities = {stage: (table[end] - table[begin]) / 1e3 for stage, (begin, end) in STAGES.items()}
    quantities[LATENCY] = (table["displayed"] - table["capture"]) / 1e3
    quantities[FRAME] = np.diff(table["displayed"]) / 1e3
    quantities[PHOTON] = (table["seen"] - table["pressed"]) / 1e3
    return quantities


def gathered(runs: Sequence[dict[str, Any]], name: str) -> list[np.ndarray]:
    """Return one quantity of all runs."""
    return [values(run)[name] for run in runs]


def summarise(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one cell from its runs, ready for JSON; for times (ms) see ``statistics.summary``."""
    first = runs[0]
    frames = gathered(runs, FRAME)
    resources = [run["resources"] for run in runs]
    figures = {
        "frames": sum(len(run["frames"]["sequence"]) for run in runs),
        "dropped": sum(sum(run["frames"]["skipped"]) for run in runs),
        "seconds": round(sum(float(run.sum()) for run in frames) / 1e3, 3),
        "fps": rate(frames),
        "latency_ms": summary(gathered(runs, LATENCY)),
        "input_to_photon_ms": summary(gathered(runs, PHOTON)),
        "frame_ms": summary(frames),
        "jitter_ms": round(float(np.mean([np.abs(np.diff(run)).mean() for run in frames if run.size > 1] or [0.0])), 3),
        "stage_ms": {stage: summary(gathered(runs, stage)) for stage in STAGES},
        "bound_by": first["drive"]["bound_by"],
        "cores": _mean([taken["cores"] for taken in resources]),
        "memory_mb": _mean([taken["memory_mb"] for taken in resources]),
        "gpu": _mean([taken["gpu"] for taken in resources]) if all(taken["gpu"] for taken in resources) else None,
        "clock": first["clock"],
        "wanted_fps": first["wanted_fps"],
        "runtime": first["runtime"],
        "model": first["model"],
    }
    displayed = [run["displayed_fps"] for run in runs if run["displayed_fps"]]
    if displayed:  # there was a window or a page
        figures["displayed_fps"] = round(float(np.mean(displayed)), 2)
    upscaling = [run["drive"].get("upscale_ms", {"p50": 0.0}) for run in runs]
    if all(times["p50"] for times in upscaling):
        figures["upscale_ms"] = _mean(upscaling)
    pages = [run["page"] for run in runs if run.get("page")]
    if pages:
        rates = ("shown_fps", "painted_fps")
        figures["page"] = pages[0] | {name: round(float(np.mean([page[name] for page in pages])), 2) for name in rates}
    return figures


def ledger_of(drives: Sequence[dict[str, Any]], groups: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Return what a frame of the first drive costs, the median of its runs: by process a ``ledger.Row`` for each stage
    of ``groups``, and for ``TOTAL`` of all its stages and threads."""
    runs = [run["ledger"] for run in drives[0].get("runs", [])] if drives and groups else []
    entries: dict[str, dict[str, list[float]]] = {}
    for process in runs[0] if runs else ():
        own = [run[process] for run in runs]
        stages = {TOTAL: [np.sum([*rows.values()], 0) for rows in own]}
        for stage in dict.fromkeys(stage for rows in own for stage in rows):
            if ": " not in stage or stage.partition(": ")[0] in groups:
                stages[stage] = [np.array(rows.get(stage, np.zeros(len(Row())))) for rows in own]
        entries[process] = {stage: np.median(rows, 0).round(7).tolist() for stage, rows in stages.items()}
    return entries


def rate(frames: Runs) -> dict[str, Any]:
    """Return the distinct images per second from the times between them, ms: {"value", "ci": [low, high], "runs"}."""
    filled = [run for run in frames if run.size]
    if not filled:
        return {"value": 0.0, "ci": [0.0, 0.0], "runs": []}
    low, high = interval(1e3 / draw(filled, np.random.default_rng(0)).mean(axis=-1))
    return {
        "value": round(1e3 / float(np.concatenate(filled).mean()), 2),
        "ci": [round(low, 2), round(high, 2)],
        "runs": [round(1e3 / float(run.mean()), 2) for run in filled],
    }


def _mean(tables: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([t[name] for t in tables if name in t])), 3) for name in tables[0]}
