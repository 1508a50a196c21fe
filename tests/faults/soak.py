"""A long drive in a window that records: memory, descriptors, threads and latency must not grow.

    python -m tests.faults.soak --minutes 60      # `make soak` runs it; the last line is JSON

The window has no screen and runs at the rate that this machine sustains; figures are of all processes together. The
first tenth is warm-up. The exit code is 1 if memory has changed by more than ``GROWTH``, there are more descriptors or
threads, the latency from a frame's capture to its display has grown by more than ``SLOWER``, or frames are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import psutil

ROOT = Path(__file__).resolve().parents[2]
GROWTH, SLOWER = 0.02, 0.1  # shares of memory, of the latency
WHOLE = 0.98  # share of the shown frames that are recorded: the last fragment may be cut short
EVERY = 5.0  # s between samples


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        report = soak(60.0 * options.minutes, Path(name))
    print(json.dumps(report))
    return 0 if report["flat"] else 1


def soak(seconds: float, folder: Path) -> dict[str, object]:
    """Run the drive; return the report."""
    video, log = folder / "soak.mp4", folder / "log.jsonl"
    command = [sys.executable, "-m", "neuralsim", "drive", "--autopilot", "--size", "256x128"]
    command += ["--record", str(video), "--log", str(log)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    drive = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    samples: list[tuple[float, int, int, float, float]] = []  # MB, descriptors, threads, frames a second, ms
    try:
        while not (log.exists() and log.stat().st_size) and drive.poll() is None:  # kernels may be compiled first
            time.sleep(0.5)
        begun, at = time.monotonic(), 0
        while time.monotonic() - begun < seconds and drive.poll() is None:
            time.sleep(EVERY)
            all_ = [psutil.Process(drive.pid), *psutil.Process(drive.pid).children(recursive=True)]
            with log.open("rb") as file:
                file.seek(at)
                lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
            at += sum(map(len, lines))
            stamps = [json.loads(line)["stamps"] for line in lines]
            latency = statistics.median((each["displayed"] - each["capture"]) / 1e6 for each in stamps)
            memory = sum(each.memory_full_info().pss for each in all_) / 1e6
            threads = sum(each.num_threads() for each in all_)
            samples.append((memory, sum(each.num_fds() for each in all_), threads, len(lines) / EVERY, latency))
        lives = drive.poll() is None
    finally:
        drive.terminate()
        drive.wait(10.0)
    shown = log.read_bytes().count(b"\n")
    warm = samples[len(samples) // 10 :]
    third = max(len(warm) // 3, 1)
    first, last = (
        [statistics.median(column) for column in zip(*part, strict=True)] for part in (warm[:third], warm[-third:])
    )
    with av.open(str(video), "r") as recording:
        recorded = sum(1 for _ in recording.demux(video=0)) - 1  # and the packet that says that there are no more
    changed = last[0] / first[0] - 1.0
    flat = abs(changed) <= GROWTH and last[1] <= first[1] and last[2] <= first[2] and last[4] <= first[4] * (1 + SLOWER)
    return {
        "minutes": round(seconds / 60.0, 1),
        "memory_mb": [round(first[0], 1), round(last[0], 1)],
        "descriptors": [first[1], last[1]],
        "threads": [first[2], last[2]],
        "frames_per_s": [round(first[3], 1), round(last[3], 1)],
        "latency_ms": [round(first[4], 1), round(last[4], 1)],
        "shown": shown,
        "recorded": recorded,
        "flat": lives and flat and recorded >= WHOLE * shown,
    }


if __name__ == "__main__":
    sys.exit(main())
