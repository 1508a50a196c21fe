"""Measures the resources of a drive: processor time and memory of each process, and of a GPU if there is one."""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from neuralsim.base import machine

_PERIOD = 0.25  # seconds between two samples of the GPU


class Resources:
    """Measures resources from :meth:`begin` to :meth:`end`."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._before: dict[str, tuple[int, float]] = {}
        self._gpu = GpuSampler()

    def begin(self, pids: Mapping[str, int]) -> None:
        """Start to measure these processes, this one among them, by name."""
        self._gpu.start()
        self._begun = time.monotonic()
        for name, pid in pids.items():
            seconds = machine.cpu_seconds(pid)
            if seconds is not None:
                self._before[name] = pid, seconds

    def end(self) -> dict[str, Any]:
        """Return {"cores": {process: processors kept busy}, "memory_mb": {process: MB, "all": MB}, "gpu": {...}}.

        Memory is the proportional set size, which counts pages shared between processes once. "gpu" may be
        None.
        """
        seconds = max(time.monotonic() - self._begun, 1e-9)
        cores: dict[str, float] = {}
        memory: dict[str, float] = {}
        own = os.getpid()
        for name, (pid, before) in self._before.items():
            spent = machine.cpu_seconds(pid)
            if spent is not None:
                cores[name] = round((spent - before) / seconds, 3)
            size = machine.memory_mb([pid])  # with all its descendants
            if size is not None:
                memory["all" if pid == own else name] = size
        if "all" in memory:
            others = sum(size for name, size in memory.items() if name != "all")
            memory |= {name: round(memory["all"] - others, 1) for name, (pid, _) in self._before.items() if pid == own}
        return {"cores": cores, "memory_mb": memory, "gpu": self._gpu.stop()}


class GpuSampler:
    """Samples the first NVIDIA GPU four times a second through NVML; does nothing without one."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._samples: list[tuple[float, float, float]] = []  # MiB, W, %

    def start(self) -> None:
        """Start to sample."""
        if machine.nvml() is not None:
            self._thread = threading.Thread(target=self._sample, name="gpu", daemon=True)
            self._thread.start()

    def stop(self) -> dict[str, float] | None:
        """Return {"memory_mb": largest, "power_w": mean, "busy": mean 0..1}, or None without samples."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)
        if not self._samples:
            return None
        memory, power, busy = zip(*self._samples, strict=True)
        return {
            "memory_mb": max(memory),
            "power_w": round(sum(power) / len(power), 1),
            "busy": round(sum(busy) / len(busy) / 100.0, 3),
        }

    def _sample(self) -> None:
        nvml = machine.nvml()
        assert nvml is not None
        with suppress(nvml.NVMLError):  # no GPU, or one that does not report one of these figures
            device = machine.nvml_device(nvml)
            while True:
                used = nvml.nvmlDeviceGetMemoryInfo(device).used / (1 << 20)
                power = nvml.nvmlDeviceGetPowerUsage(device) / 1000.0
                self._samples.append((used, power, float(nvml.nvmlDeviceGetUtilizationRates(device).gpu)))
                if self._stop.wait(_PERIOD):
                    return
