"""The processes of a drive, one by one, for tests that harm them."""

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
READY = 60.0  # s for a process to be ready on a machine that is busy
SOON = 2.0  # s that recovery may take on one that is not


def bridge(port: int, publish: str) -> subprocess.Popen[str]:
    """A bridge from the town at ``port`` to the endpoint ``publish``, ready."""
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
    """``town`` and ``bridge`` of a drive: not what they were forked from."""
    children = psutil.Process(drive).children()
    found = [each for child in children for each in (child.children() or [child])]
    return {"town" if "neuralsim.town.carla_server" in each.cmdline() else "bridge": each for each in found}


def told(what: str, seconds: list[float]) -> None:
    """Print what recoveries took: for ``pytest -s``."""
    figures = {"median": statistics.median(seconds), "slowest": max(seconds)}
    over = sum(value > SOON for value in seconds)
    rounded = {name: round(value, 2) for name, value in figures.items()}
    print(json.dumps({"what": what, "cycles": len(seconds), **rounded, f"over_{SOON:g}_s": over}))


class Window:
    """A drive in a window on no screen, and how many frames it has shown."""

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
        """Seconds from ``since`` (``time.monotonic()``) until the first frame that was taken after it was shown."""
        for line in self.log.read_bytes().splitlines():
            stamps = json.loads(line)["stamps"]
            if stamps["capture"] > 1e9 * since:
                return float(stamps["displayed"] / 1e9 - since)
        raise AssertionError("no frame since")

    @property
    def shown(self) -> int:
        """Frames so far."""
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def shows(self, more: int, within: float = READY) -> float:
        """Seconds until ``more`` frames have been shown; fails when that takes longer than ``within`` s."""
        begun, wanted = time.monotonic(), self.shown + more
        while self.shown < wanted:
            assert time.monotonic() < begun + within, f"{more - (wanted - self.shown)} of {more} frames"
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.02)
        return time.monotonic() - begun


@contextlib.contextmanager
def window(folder: Path, *options: str) -> Iterator[Window]:
    """A drive that is killed at the end."""
    drive = Window(folder, *options)
    try:
        yield drive
    finally:
        drive.process.kill()
        drive.process.wait()
