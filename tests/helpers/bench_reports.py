"""Made-up benchmark reports."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.messages import STAMPS
from neuralsim.bench.cells import Cell, Link
from neuralsim.bench.report.latency_figures import summarise
from neuralsim.bench.report.statistics import summary
from neuralsim.session.metrics import STAGES

STAGE_TIMES = {"simulate": 8.0, "pack": 1.5, "transport": 0.4, "render": 30.0, "display": 2.0}  # ms


def run(seed: int, frames: int = 300, slower: float = 0.0, noise: float = 1.5) -> dict[str, Any]:
    """Return a drive as `neuralsim.bench.measured_drive` writes it; the render stage takes ``slower`` ms more."""
    random = np.random.default_rng(seed)
    scene = np.cumsum(np.random.default_rng(7).normal(0.0, 0.4, frames))  # the same scene in every run
    table: dict[str, list[int]] = {name: [] for name in STAMPS}
    capture = 0.0
    for n in range(frames):
        at = capture
        table["capture"].append(round(1e3 * at))
        for (stage, typical), stamp in zip(STAGE_TIMES.items(), STAMPS[1:], strict=True):
            duration = (
                typical
                + (scene[n] + slower if stage == "render" else 0.0)
                + abs(random.normal(0.0, noise)) * (typical > 5)
            )
            at += duration
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
    """Return a complete report."""
    drives = []
    for cell in [Cell(loop="lockstep"), Cell(loop="live"), Cell(link=Link("tcp", 4))][:cells]:
        runs = [run(seed + 10 * n, slower=slower) for n in range(2)]
        drives.append({"cell": cell.as_json(), "summary": summarise(runs), "runs": runs})
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
        "check": {
            "injected_ms": 20.0,
            "tolerance_ms": 1.0,
            "honest": True,
            "before_ms": 0.2,
            "before_ci": [-0.1, 0.4],
            "stages": {s: {"frames": 40, "stage_ms": 20.1, "total_ms": 20.3, "others_ms": 0.1} for s in STAGES},
        },
    }


def nests(trace: dict[str, Any]) -> bool:
    """Return whether the events of every thread are nested or disjoint, as the format demands."""
    threads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            threads.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for slices in threads.values():
        open_: list[int] = []
        for begin, end in sorted(slices, key=lambda one: (one[0], -one[1])):
            while open_ and open_[-1] <= begin:
                open_.pop()
            if open_ and end > open_[-1]:
                return False
            open_.append(end)
    return True
