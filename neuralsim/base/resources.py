"""What a drive takes of the machine: processor time and memory of each process, and of a GPU where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuralsim.base.machine import memory_mb

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # per second, of the times in /proc
_QUERY = ("memory.used", "power.draw", "utilization.gpu")  # MiB, W, %
_PERIOD = 250  # ms between two looks at the GPU


def cpu_seconds(pid: int) -> float | None:
    """Processor time that a process has used so far, all its threads, user and kernel; None if it cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    except (OSError, ValueError, IndexError):
        return None


class Resources:
    """Measures from :meth:`begin` to :meth:`end`; ``pids`` by name, this process among them."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._before: dict[str, tuple[int, float]] = {}
        self._gpu = GpuSampler()

    def begin(self, pids: Mapping[str, int]) -> None:
        """Start measuring these processes."""
        self._gpu.start()
        self._begun = time.monotonic()
        for name, pid in pids.items():
            spent = cpu_seconds(pid)
            if spent is not None:
                self._before[name] = pid, spent

    def end(self) -> dict[str, Any]:
        """{"cores": {process: processors kept busy}, "memory_mb": {process: MB, "all": MB}, "gpu": {...} or None}.

        Memory is the proportional set size: pages shared between processes are counted once. Empty where /proc is not.
        """
        seconds = max(time.monotonic() - self._begun, 1e-9)
        cores: dict[str, float] = {}
        memory: dict[str, float] = {}
        own = os.getpid()
        for name, (pid, before) in self._before.items():
            spent = cpu_seconds(pid)
            if spent is not None:
                cores[name] = round((spent - before) / seconds, 3)
            held = memory_mb([pid])  # with all its descendants
            if held is not None:
                memory["all" if pid == own else name] = held
        if "all" in memory:
            others = sum(held for name, held in memory.items() if name != "all")
            memory |= {name: round(memory["all"] - others, 1) for name, (pid, _) in self._before.items() if pid == own}
        return {"cores": cores, "memory_mb": memory, "gpu": self._gpu.stop()}


class GpuSampler:
    """Looks at the first NVIDIA GPU four times a second through ``nvidia-smi``; without one it does nothing."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._samples: list[tuple[float, ...]] = []

    def start(self) -> None:
        """Begin looking."""
        tool = shutil.which("nvidia-smi")
        if tool is None:
            return
        query = [tool, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits", "-i", "0"]
        try:
            self._process = subprocess.Popen(
                [*query, "-lms", str(_PERIOD)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            return
        self._reader = threading.Thread(target=self._read, name="gpu", daemon=True)
        self._reader.start()

    def stop(self) -> dict[str, float] | None:
        """{"memory_mb": most, "power_w": mean, "busy": mean 0 .. 1}, or None where nothing was seen."""
        if self._process is None or self._reader is None:
            return None
        self._process.terminate()
        self._process.wait()
        self._reader.join(1.0)
        if not self._samples:
            return None
        memory, power, busy = zip(*self._samples, strict=True)
        return {
            "memory_mb": max(memory),
            "power_w": round(sum(power) / len(power), 1),
            "busy": round(sum(busy) / len(busy) / 100.0, 3),
        }

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                values = tuple(float(part) for part in line.split(","))
            except ValueError:
                continue  # a figure that this GPU does not tell: "[N/A]"
            if len(values) == len(_QUERY):
                self._samples.append(values)
