"""What kind of machine this is, and what our processes take of its memory."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
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


def host() -> str:
    """This machine in words: processor, cores this process may use, system."""
    return f"{cpu()[0]}, {cores()} cores, {platform.system()}"


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_mb(pids: Iterable[int]) -> float | None:
    """Memory of these processes and all their descendants together, shared pages counted once; None if unknown.

    Linux only: the sum of "Pss" from ``/proc/<pid>/smaps_rollup``, or of "VmRSS" where that may not be read.
    """
    total, seen = 0, False
    for pid in _family(set(pids)):
        kib = _field(f"/proc/{pid}/smaps_rollup", "Pss:") or _field(f"/proc/{pid}/status", "VmRSS:")
        if kib is not None:
            total, seen = total + kib, True
    return round(total / 1024.0, 1) if seen else None


def _family(pids: set[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, open_ = set(pids), list(pids)
    while open_:
        for child in children.get(open_.pop(), []):
            if child not in found:
                found.add(child)
                open_.append(child)
    return found


def _field(path: str, name: str) -> int | None:
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return None
