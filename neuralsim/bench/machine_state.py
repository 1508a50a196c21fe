"""Describe the measuring machine: its hardware, its load, and the highest rates that it reaches."""

import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from neuralsim import __version__
from neuralsim.base.machine import cores, cpu, gpu, memory_gb

_VECTOR_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16")
_PACKAGES = (
    "numpy",
    "openvino",
    "onnxruntime",
    "tensorrt-cu13",
    "pyzmq",
    "msgspec",
    "numba",
    "carla",
    "pygame-ce",
    "av",
)
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_SIDE = 1024  # of the square matrices whose product is timed: they fit into the caches
_COPIED = 192 << 20  # bytes, more than fits into any cache


def describe() -> dict[str, Any]:
    """Return CPU, cores, vector units, governor, memory, GPU with driver, system, versions, and the current load.

    Values that cannot be determined are "" or None.
    """
    model, flags = cpu()
    memory = memory_gb()
    return {
        "cpu": model,
        "cores": cores(),
        "cores_of_machine": psutil.cpu_count(),
        "vector_units": [name for name in _VECTOR_UNITS if name in flags],
        "governor": _read(_GOVERNOR),
        "virtual": "hypervisor" in flags,
        "quota_cores": _quota(),
        "memory_gb": round(memory[0], 1),
        "gpu": gpu(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "neuralsim": __version__,
        "commit": _commit(),
        "load": load(),
    }


def load() -> list[float]:
    """Return the load average over 1, 5 and 15 minutes; above the number of cores, other processes disturb."""
    return [round(value, 2) for value in psutil.getloadavg()]


def peaks(seconds: float = 1.0) -> dict[str, float]:
    """Return the best of many tries within ``seconds`` each: the machine's rates when nothing disturbs it.

    {"f32_gflops", "bf16_gflops": matrix products by OpenVINO on all cores (bf16 only where the processor has it),
    "numpy_gflops": the same by numpy's BLAS, "copy_gb_per_s": bytes read and written by copies on all cores}.
    A multiplication and an addition count as two operations.
    """
    rates = {"copy_gb_per_s": _copy_rate(seconds), "numpy_gflops": _numpy_rate(seconds)}
    try:
        from neuralsim.base.quiet_openvino import ov
    except ModuleNotFoundError:
        return rates
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision, name in (("f32", "f32_gflops"), ("bf16", "bf16_gflops")):
        if precision == "f32" or "BF16" in capabilities:
            rates[name] = _openvino_rate(precision, seconds)
    return rates


def _best(work: Callable[[], object], seconds: float) -> float:
    work()
    best, until = float("inf"), time.perf_counter() + seconds
    while (begun := time.perf_counter()) < until:
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def _numpy_rate(seconds: float) -> float:
    a, b = np.random.default_rng(0).random((2, _SIDE, _SIDE), np.float32)
    out = np.empty_like(a)
    return round(2.0 * _SIDE**3 / _best(lambda: np.matmul(a, b, out=out), seconds) / 1e9, 1)


def _openvino_rate(precision: str, seconds: float) -> float:
    from openvino import opset13 as ops

    from neuralsim.base.quiet_openvino import ov

    values = np.random.default_rng(0).random((2, _SIDE, _SIDE), np.float32)
    left = ops.parameter([_SIDE, _SIDE], np.float32)
    graph = ov.Model([ops.matmul(left, ops.constant(values[1]), False, False)], [left])
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "ENABLE_CPU_PINNING": False}
    request = ov.Core().compile_model(graph, "CPU", options).create_infer_request()
    request.set_input_tensor(ov.Tensor(values[0]))
    return round(2.0 * _SIDE**3 / _best(request.infer, seconds) / 1e9, 1)


def _copy_rate(seconds: float) -> float:
    count = cores()
    share = _COPIED // count // 8
    pairs = [(np.ones(share), np.ones(share)) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        best = _best(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)), seconds)
    return round(2.0 * share * 8 * count / best / 1e9, 2)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _quota() -> float | None:
    """Return the number of cores that a container may use, None = all."""
    parts = _read(Path("/sys/fs/cgroup/cpu.max")).split()
    return round(int(parts[0]) / int(parts[1]), 2) if len(parts) == 2 and parts[0].isdigit() else None


def _commit() -> str:
    """Return the checkout's commit, with a + where files differ from it; "" without a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
