"""Facts about the host: processor, memory, NVIDIA GPUs, and how much of them processes use."""

import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

_GIB = float(1 << 30)


@cache
def cpu() -> tuple[str, frozenset[str]]:
    """Return the processor's model name and its instruction-set flags, as the kernel names them.

    psutil provides neither. Without ``/proc/cpuinfo`` the name is the platform's and there are no flags.
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
    """Return total and available memory, GiB."""
    memory = psutil.virtual_memory()
    return memory.total / _GIB, memory.available / _GIB


@cache
def nvml() -> ModuleType | None:
    """Return ``pynvml``, initialised; None without an NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def nvml_device(library: ModuleType) -> Any:
    """Return NVML's handle of the GPU that this process computes on: the first that CUDA may use. Raises NVMLError."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return library.nvmlDeviceGetHandleByUUID(first)
    return library.nvmlDeviceGetHandleByIndex(int(first) if first.isdigit() else 0)


def gpu() -> str:
    """Return name, memory and driver of this machine's NVIDIA GPUs; "" without any."""
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
    """Return a description of this machine: processor, cores this process may use, system."""
    return f"{cpu()[0]}, {cores()} cores, {platform.system()}"


def cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time of a process so far, s, of all threads, user and kernel; None once it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return times.user + times.system


def memory_mb(pids: Iterable[int]) -> float | None:
    """Return the memory of these processes and all their descendants, MiB; None if none of them can be read.

    It is the proportional set size, which counts shared pages once, or the resident set size where the system has none.
    """
    family: set[psutil.Process] = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            family |= {process, *process.children(recursive=True)}
        except psutil.Error:
            continue  # ended meanwhile
    sizes = [size for process in family if (size := _memory_of(process)) is not None]
    return round(sum(sizes) / (1 << 20), 1) if sizes else None


def _memory_of(process: psutil.Process) -> int | None:
    """Return the memory of one process, bytes; None if it has ended."""
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
