"""A drive that is left running while it records: memory, descriptors, threads and rate must stay as they are.

    python -m tests.faults.soak --minutes 60      # `make soak` runs it; the last line is JSON

Headless, in lock-step, all processes together. The first tenth warms up. The exit code is 1 when memory has changed by
more than ``GROWTH``, descriptors or threads have become more, the rate has fallen by more than ``SLOWER`` (in lock-step
that is the latency), or the recording is not whole.
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
GROWTH, SLOWER = 0.02, 0.25  # shares of memory, of the rate
EVERY = 5.0  # s between samples


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        report = soak(60.0 * options.minutes, Path(name))
    print(json.dumps(report))
    return 0 if report["flat"] else 1


def soak(seconds: float, folder: Path) -> dict[str, object]:
    """Do it; returns what came of it."""
    video, log = folder / "soak.mp4", folder / "log.jsonl"
    command = [sys.executable, "-m", "neuralsim", "drive", "--headless", "--autopilot", "--size", "256x128"]
    command += ["--record", str(video), "--log", str(log)]
    drive = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    samples: list[tuple[float, int, int, float]] = []  # MB, descriptors, threads, frames a second
    try:
        while not (log.exists() and log.stat().st_size) and drive.poll() is None:  # kernels may be compiled first
            time.sleep(0.5)
        begun, frames = time.monotonic(), 0
        while time.monotonic() - begun < seconds and drive.poll() is None:
            time.sleep(EVERY)
            all_ = [psutil.Process(drive.pid), *psutil.Process(drive.pid).children(recursive=True)]
            now = log.read_bytes().count(b"\n")
            memory = sum(each.memory_full_info().pss for each in all_) / 1e6
            threads = sum(each.num_threads() for each in all_)
            samples.append((memory, sum(each.num_fds() for each in all_), threads, (now - frames) / EVERY))
            frames = now
    finally:
        drive.terminate()
        drive.wait(10.0)
    warm = samples[len(samples) // 10 :]
    third = max(len(warm) // 3, 1)
    first, last = (
        [statistics.median(column) for column in zip(*part, strict=True)] for part in (warm[:third], warm[-third:])
    )
    with av.open(str(video), "r") as file:
        recorded = sum(1 for _ in file.demux(video=0)) - 1  # and the packet that says that there are no more
    changed = last[0] / first[0] - 1.0
    flat = abs(changed) <= GROWTH and last[1] <= first[1] and last[2] <= first[2] and last[3] * (1 + SLOWER) >= first[3]
    return {
        "minutes": round(seconds / 60.0, 1),
        "memory_mb": [round(first[0], 1), round(last[0], 1)],
        "descriptors": [first[1], last[1]],
        "threads": [first[2], last[2]],
        "frames_per_s": [round(first[3], 1), round(last[3], 1)],
        "recorded": recorded,
        "flat": flat and recorded > 0,
    }


if __name__ == "__main__":
    sys.exit(main())
