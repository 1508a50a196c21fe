"""Host facts from NVML and psutil."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pynvml
import pytest

from neuralsim.base import machine
from neuralsim.base.resources import GpuSampler


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """NVML is looked up again in each test, and after it."""
    machine.nvml.cache_clear()
    yield
    machine.nvml.cache_clear()


def test_processor_time_and_memory_are_those_of_the_process() -> None:
    begun = machine.cpu_seconds(os.getpid())
    assert begun is not None
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    spent = machine.cpu_seconds(os.getpid())
    assert spent is not None
    assert 0.15 < spent - begun < 2.0
    total, available = machine.memory_gb()
    own = machine.memory_mb([os.getpid()])
    assert own is not None
    assert 5.0 < own < 1024.0 * total
    assert 0.0 < available <= total


def test_an_ended_process_has_neither() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert machine.cpu_seconds(child.pid) is None
    assert machine.memory_mb([child.pid]) is None


def test_a_gpu_is_sampled_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's answers are a stand-in's, through the real binding's names: there may be no GPU here."""
    samples = iter([(1024, 70.5, 40), (2048, 90.5, 60)])
    now: list[float] = []

    def memory(device: str) -> object:
        assert device == "first"
        now[:] = next(samples, (2048, 80.5, 50))
        return SimpleNamespace(used=int(now[0]) << 20, total=80 << 30)

    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlSystemGetDriverVersion": lambda: "580.65",
        "nvmlDeviceGetHandleByIndex": lambda n: "first" if n == 0 else None,
        "nvmlDeviceGetName": lambda device: "H200",
        "nvmlDeviceGetMemoryInfo": memory,
        "nvmlDeviceGetPowerUsage": lambda device: int(now[1] * 1000),
        "nvmlDeviceGetUtilizationRates": lambda device: SimpleNamespace(gpu=int(now[2]), memory=0),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    sampler = GpuSampler()
    sampler.start()
    while len(sampler._samples) < 2:
        time.sleep(0.01)
    assert sampler.stop() == {"memory_mb": 2048.0, "power_w": 80.5, "busy": 0.5}
    assert machine.gpu() == "H200, 81920 MiB, 580.65"


@pytest.mark.parametrize(
    ("visible", "handle"), [("", 0), ("2", 2), ("1,0", 1), ("GPU-5", "GPU-5"), ("MIG-3,0", "MIG-3")]
)
def test_the_gpu_that_computes_is_sampled(visible: str, handle: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--gpu 1``, not the first of the machine."""
    library = SimpleNamespace(nvmlDeviceGetHandleByIndex=int, nvmlDeviceGetHandleByUUID=str)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.nvml_device(library) == handle  # type: ignore[arg-type]


def test_without_an_nvidia_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    sampler = GpuSampler()
    sampler.start()
    assert sampler.stop() is None
    assert machine.gpu() == ""
