"""Host facts: the processor, memory, NVIDIA GPUs, and what processes take of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

import psutil

_GIB = float(1 << 30)


@cache
def cpu() -> tuple[str, frozenset[str]]:
    """The processor's model name and its instruction-set flags, as the kernel names them.

    psutil gives neither. Without ``/proc/cpuinfo`` the name is the platform's and there are no flags.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())  # of the first core
    fields = {name.strip(): value.strip() for name, _, value in lines}
    return fields.get("model name") or platform.processor() or platform.machine(), frozenset(
        fields.get("flags", "").split()
    )


def memory_gb() -> tuple[float, float]:
    """Total and available memory, GiB."""
    memory = psutil.virtual_memory()
    return memory.total / _GIB, memory.available / _GIB


@cache
def nvml() -> ModuleType | None:
    """``pynvml``, initialised; None without an NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def gpu() -> str:
    """NVIDIA GPUs of this machine: name, memory, driver; "" without any."""
    library = nvml()
    if library is None:
        return ""
    try:
        driver = library.nvmlSystemGetDriverVersion()
        handles = [library.nvmlDeviceGetHandleByIndex(n) for n in range(library.nvmlDeviceGetCount())]
        facts = [(library.nvmlDeviceGetName(each), library.nvmlDeviceGetMemoryInfo(each).total) for each in handles]
    except library.NVMLError:
        return ""
    return "; ".join(f"{name}, {memory >> 20} MiB, {driver}" for name, memory in facts)


def host() -> str:
    """This machine in words: processor, cores this process may use, system."""
    return f"{cpu()[0]}, {cores()} cores, {platform.system()}"


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_seconds(pid: int) -> float | None:
    """Processor time that a process has used so far, all its threads, user and kernel; None once it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return times.user + times.system


def memory_mb(pids: Iterable[int]) -> float | None:
    """Memory of these processes and all their descendants, MiB; None if none of them can be read.

    The proportional set size, which counts shared pages once; the resident set size where the system does not give it.
    """
    family: set[psutil.Process] = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            family |= {process, *process.children(recursive=True)}
        except psutil.Error:
            continue  # ended meanwhile
    held = [found for process in family if (found := _held(process)) is not None]
    return round(sum(held) / (1 << 20), 1) if held else None


def _held(process: psutil.Process) -> int | None:
    """Bytes of one process."""
    try:
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", 0) or memory.rss)
    except psutil.AccessDenied:
        pass
    except psutil.Error:
        return None
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return None
