"""The first usable NVIDIA GPU, queried from the CUDA driver itself before any library that would crash without one.

NVML (:func:`neuralsim.base.machine.gpu`) lists what is installed; only the CUDA driver knows what this process may use
(``CUDA_VISIBLE_DEVICES``, a container without compute rights).
"""

import ctypes
import os
from dataclasses import dataclass
from functools import lru_cache

_LIBRARY = "libcuda.so.1"
_NOT_CONNECTED = 100  # CUDA_ERROR_NO_DEVICE
CUDA = (13, 0)  # that the pinned packages are built for
#: The first driver for Linux of each major version of CUDA.
_DRIVERS = {11: "450.80", 12: "525.60", 13: "580"}
_DRIVER = _DRIVERS[CUDA[0]]
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, ..._MINOR


class NoGpu(Exception):
    """There is no usable GPU; the message says why and what to do, in one line."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU of this machine."""

    name: str  # e.g. "NVIDIA H200"
    memory: int  # bytes
    driver: str  # e.g. "580.65.06", or "for CUDA 13.0" where the system does not report it
    cuda: tuple[int, int]  # the newest CUDA that the driver supports
    capability: tuple[int, int] = (0, 0)  # of computing, e.g. (8, 9) of an RTX 40; (0, 0): unknown


@lru_cache(maxsize=1)
def gpu() -> Gpu:
    """Return the first GPU. Raises NoGpu.

    Loads nothing but the driver's own library, so it is safe on any machine.
    """
    try:
        cuda = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise NoGpu(f"no NVIDIA driver ({_LIBRARY}): with an NVIDIA GPU, install driver {_DRIVER} or newer") from None
    status = cuda.cuInit(0)
    if status == _NOT_CONNECTED:
        raise NoGpu("the NVIDIA driver finds no GPU: in a container, start it with --gpus all")
    if status:
        raise NoGpu(f"the NVIDIA driver does not start (cuInit: error {status}): nvidia-smi says more")
    number, device, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    calls = (
        lambda: cuda.cuDriverGetVersion(ctypes.byref(number)),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetName(name, len(name), device),
        lambda: cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
    )
    for call in calls:
        if status := call():
            raise NoGpu(f"the NVIDIA driver does not answer (error {status}): nvidia-smi says more")
    version = number.value // 1000, number.value % 1000 // 10
    driver = _driver_version() or f"for CUDA {version[0]}.{version[1]}"
    capability = major.value, minor.value
    return Gpu(name.value.decode(errors="replace"), memory.value, driver, version, capability)


def choose(number: int) -> None:
    """Let this process and its children see the GPU ``number`` alone, counted as nvidia-smi does, from 0.

    It is one of those that ``CUDA_VISIBLE_DEVICES`` allows. Call it before anything that uses a GPU.
    """
    visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    if visible and number >= len(visible):
        raise NoGpu(f"--gpu {number}: CUDA_VISIBLE_DEVICES allows {len(visible)}, counted from 0")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if visible else str(number)


def check(gpu: Gpu, needed: tuple[int, int] = CUDA) -> Gpu:
    """Return ``gpu``. Raises NoGpu if its driver is too old for ``needed``, by default the CUDA of pinned packages.

    A package runs on every driver of its CUDA's major version (minor version compatibility, from CUDA 11 on).
    """
    if gpu.cuda[0] < needed[0]:
        has, needs = (".".join(map(str, pair)) for pair in (gpu.cuda, needed))
        remedy = f"install driver {_DRIVERS.get(needed[0], _DRIVER)} or newer"
        raise NoGpu(f"driver {gpu.driver} serves CUDA {has}, {needs} is needed: {remedy}")
    return gpu


def _driver_version() -> str:
    try:
        from neuralsim.base.machine import nvml  # psutil, which a bare PyTorch image lacks
    except ImportError:
        return ""
    library = nvml()
    if library is None:
        return ""
    try:
        return str(library.nvmlSystemGetDriverVersion())
    except library.NVMLError:
        return ""
