"""Access to the individual processes of a drive, for tests that kill or stop them."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
READY = 60.0  # s for a process to be ready on a busy machine
SOON = 2.0  # s that recovery may take on an idle machine


def bridge(port: int, publish: str) -> subprocess.Popen[str]:
    """Start a bridge from the town at ``port`` to the endpoint ``publish``, and wait until it is ready."""
    command = [sys.executable, "-m", "bridge.carla_bridge", "--carla", f"127.0.0.1:{port}", "--publish", publish]
    process = subprocess.Popen(
        [*command, "--size", "64x32", "--with-parent"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "bridge ready" in line, process.communicate()[1]
    return process


def working(drive: int) -> dict[str, psutil.Process]:
    """Return the processes ``town`` and ``bridge`` of a drive, not the servers that they were forked from."""
    children = psutil.Process(drive).children()
    leaves = [each for child in children for each in (child.children() or [child])]
    return {"town" if "neuralsim.town.carla_server" in each.cmdline() else "bridge": each for each in leaves}


def report(what: str, seconds: list[float]) -> None:
    """Print the durations of recoveries, for ``pytest -s``."""
    figures = {"median": statistics.median(seconds), "slowest": max(seconds)}
    over = sum(value > SOON for value in seconds)
    rounded = {name: round(value, 2) for name, value in figures.items()}
    print(json.dumps({"what": what, "cycles": len(seconds), **rounded, f"over_{SOON:g}_s": over}))


class Window:
    """A drive in a window without a screen, and the number of frames that it has shown."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / "log.jsonl"
        command = [sys.executable, "-m", "neuralsim", "drive", "--autopilot", "--model", "tags", "--size", "64x32"]
        self.process = subprocess.Popen(
            [*command, "--log", str(self.log), *options],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "SDL_VIDEODRIVER": "dummy"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def recovered(self, since: float) -> float:
        """Return the seconds from ``since`` (``time.monotonic()``) until a frame captured after it was displayed."""
        for line in self.log.read_bytes().splitlines():
            stamps = json.loads(line)["stamps"]
            if stamps["capture"] > 1e9 * since:
                return float(stamps["displayed"] / 1e9 - since)
        raise AssertionError("no frame since")

    @property
    def shown(self) -> int:
        """The number of frames shown so far."""
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def shows(self, more: int, within: float = READY) -> float:
        """Wait for ``more`` frames; return the seconds, or fail if it takes longer than ``within`` s."""
        begun, target = time.monotonic(), self.shown + more
        while self.shown < target:
            assert time.monotonic() < begun + within, f"{more - (target - self.shown)} of {more} frames"
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.02)
        return time.monotonic() - begun


@contextlib.contextmanager
def window(folder: Path, *options: str) -> Iterator[Window]:
    """Start a drive, which is killed at the end."""
    drive = Window(folder, *options)
    try:
        yield drive
    finally:
        drive.process.kill()
        drive.process.wait()
