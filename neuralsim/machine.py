"""What kind of machine this is."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path


def cpu() -> tuple[str, set[str]]:
    """The processor's name and what it can do, in the kernel's words."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() == "flags":
                flags = set(value.split())
                break
    except OSError:
        pass  # not Linux
    return model, flags


def memory_gb() -> tuple[float, float] | None:
    """All and available memory, GiB; None where it cannot be known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
        return kib["MemTotal"] / 1048576.0, kib["MemAvailable"] / 1048576.0
    except (OSError, KeyError, ValueError, IndexError):
        return None


def gpu() -> str:
    """NVIDIA GPUs: name, memory, driver; "" where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""
