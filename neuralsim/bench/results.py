"""Figures of a report from the stamps of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuralsim.bench.statistics import Runs, draw, interval, summary
from neuralsim.session.metrics import STAGES

#: What is drawn of each frame, besides its stages.
LATENCY, PHOTON, FRAME = "latency", "input_to_photon", "frame"


def columns(run: dict[str, Any]) -> dict[str, np.ndarray]:
    """A run's table of frames as f64 columns, us."""
    return {name: np.asarray(values, np.float64) for name, values in run["frames"].items()}


def values(run: dict[str, Any]) -> dict[str, np.ndarray]:
    """Milliseconds by name, in their order in time: the stages, "latency" (capture to display), "input_to_photon" (key
    pressed to the first frame shown that contains it) and "frame" (from one distinct picture to the next)."""
    table = columns(run)
    found = {stage: (table[end] - table[begin]) / 1e3 for stage, (begin, end) in STAGES.items()}
    found[LATENCY] = (table["displayed"] - table["capture"]) / 1e3
    found[FRAME] = np.diff(table["displayed"]) / 1e3
    found[PHOTON] = (table["seen"] - table["pressed"]) / 1e3
    return found


def gathered(runs: Sequence[dict[str, Any]], name: str) -> list[np.ndarray]:
    """One quantity of all runs."""
    return [values(run)[name] for run in runs]


def summarise(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one cell from its runs, ready for JSON; times in ms with intervals, see ``statistics.summary``."""
    first = runs[0]
    frames = gathered(runs, FRAME)
    resources = [run["resources"] for run in runs]
    found = {
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
        "cores": _mean([found["cores"] for found in resources]),
        "memory_mb": _mean([found["memory_mb"] for found in resources]),
        "gpu": _mean([found["gpu"] for found in resources]) if all(found["gpu"] for found in resources) else None,
        "clock": first["clock"],
        "wanted_fps": first["wanted_fps"],
        "runtime": first["runtime"],
        "model": first["model"],
    }
    displayed = [run["displayed_fps"] for run in runs if run["displayed_fps"]]
    if displayed:  # there was a window or a page
        found["displayed_fps"] = round(float(np.mean(displayed)), 2)
    upscaling = [run["drive"].get("upscale_ms", {"p50": 0.0}) for run in runs]
    if all(times["p50"] for times in upscaling):
        found["upscale_ms"] = _mean(upscaling)
    pages = [run["page"] for run in runs if run.get("page")]
    if pages:
        rates = ("shown_fps", "painted_fps")
        found["page"] = pages[0] | {name: round(float(np.mean([page[name] for page in pages])), 2) for name in rates}
    return found


def rate(frames: Runs) -> dict[str, Any]:
    """Distinct pictures per second from the times between them, ms: {"value", "ci": [low, high], "runs"}."""
    kept = [run for run in frames if run.size]
    if not kept:
        return {"value": 0.0, "ci": [0.0, 0.0], "runs": []}
    low, high = interval(1e3 / draw(kept, np.random.default_rng(0)).mean(axis=-1))
    return {
        "value": round(1e3 / float(np.concatenate(kept).mean()), 2),
        "ci": [round(low, 2), round(high, 2)],
        "runs": [round(1e3 / float(run.mean()), 2) for run in kept],
    }


def _mean(tables: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([t[name] for t in tables if name in t])), 3) for name in tables[0]}
