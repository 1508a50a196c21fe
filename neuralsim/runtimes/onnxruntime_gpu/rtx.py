"""TensorRT-RTX from PyPI, as a plugin of ONNX Runtime: TensorRT's speed on RTX 30, 40 and 50 without a build step.

The package brings NVIDIA's libraries; the graph is compiled in seconds when a drive starts, and cached. The provider
is registered once per process, which fails with an exception where there is no driver.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bridge.process.user_cache import cache_folder
from neuralsim.base.extras import remedy
from neuralsim.base.failure import reason
from neuralsim.runtimes import cuda_driver
from neuralsim.runtimes.interface import RuntimeUnavailable

if TYPE_CHECKING:
    import onnxruntime as ort

    from neuralsim.runtimes.onnxruntime_gpu.device_session import Device, DeviceSession, DeviceStateless

PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"
PRECISIONS = ("fp16", "fp32")
#: Where a plugin's memory is found: "cuda" means that of ONNX Runtime's own provider, which its package for processors
#: lacks (its PR 25346). Type, number, PCI vendor.
DEVICE: Device = ("gpu", 0, 0x10DE)
LEAST_ORT = (1, 24)  # of plugins; these need Python 3.11
#: NVIDIA's support matrix of TensorRT-RTX 1.4: (8, 6) and (8, 9), and everything from (12, 0) on.
_CAPABILITIES = ((8, 6), (8, 9))
_FROM = (12, 0)


Opened = TypeVar("Opened")


def unavailable_reason() -> str:
    """Return why TensorRT-RTX cannot be used here and what to do, one line; "" if it can.

    Imports neither ONNX Runtime nor the plugin.
    """
    if not find_spec(PACKAGE):
        return f"not installed: {remedy('rtx')} (Python 3.11 or newer, RTX 30, 40 or 50)"
    try:
        gpu = cuda_driver.check(cuda_driver.gpu(), _built_for())
    except cuda_driver.NoGpu as error:
        return str(error)
    if gpu.capability not in _CAPABILITIES and gpu.capability < _FROM:
        number = ".".join(map(str, gpu.capability))
        return f"{gpu.name} has capability {number}: TensorRT-RTX is for 8.6, 8.9, 12.0 and newer (RTX 30, 40, 50)"
    return ""


def _built_for() -> tuple[int, int]:
    try:
        version("onnxruntime-ep-nv-tensorrt-rtx-cu12")
        return 12, 0
    except PackageNotFoundError:
        return cuda_driver.CUDA


@lru_cache(maxsize=1)
def register() -> str:
    """Register the provider with ONNX Runtime, once per process; returns its name. Raises RuntimeUnavailable.

    Safe without a driver: ONNX Runtime then fails to load the provider's library.
    """
    import onnxruntime as ort

    if not hasattr(ort, "register_execution_provider_library") or _version(ort.__version__) < LEAST_ORT:
        least = ".".join(map(str, LEAST_ORT))
        raise RuntimeUnavailable(
            f"rtx: onnxruntime {ort.__version__} has no plugins of this kind: {least} or newer is needed, "
            f"for Python 3.11 or newer: {remedy('rtx')}"
        )
    from neuralsim.runtimes.onnxruntime_gpu.device_session import quiet

    before = os.environ.get("LD_LIBRARY_PATH")
    try:
        with quiet():
            import onnxruntime_ep_nv_tensorrt_rtx as plugin

            name = str(plugin.get_ep_name())
            ort.register_execution_provider_library(name, plugin.get_library_path())
    except Exception as error:  # ONNX Runtime's exceptions share no base class; a damaged package raises its own
        raise RuntimeUnavailable(f"rtx: the provider does not load: {_shortened(error)}") from error
    finally:  # the package puts its folder there, for all children
        if before is None:
            os.environ.pop("LD_LIBRARY_PATH", None)
        else:
            os.environ["LD_LIBRARY_PATH"] = before
    return name


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _shortened(error: Exception) -> str:
    """Return the end of ONNX Runtime's message, without the path of a library of the package."""
    return reason(error).rpartition(" with error: ")[2][:160]


def load(
    graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None
) -> DeviceSession:
    """Compile ``graph`` for this GPU; seconds, less from the cache. Raises RuntimeUnavailable.

    Arguments are those of ``Loader``. ``precision`` None: the first of ``PRECISIONS``.
    """
    from neuralsim.runtimes.onnxruntime_gpu.device_session import DeviceSession

    return _first_accepted(graph, (height, width), precision, lambda opened: DeviceSession(opened, height, width))


def load_stateless(graph: Path, threads: int | None = None, precision: str | None = None) -> DeviceStateless:
    """Compile a graph of fixed sizes for this GPU. Raises RuntimeUnavailable."""
    return _first_accepted(graph, (0, 0), precision, lambda opened: opened)


def _first_accepted(
    graph: Path, size: tuple[int, int], precision: str | None, finish: Callable[[DeviceStateless], Opened]
) -> Opened:
    """Return the graph, opened and finished, as a CUDA graph or, where that is refused, without."""
    from neuralsim.runtimes import graph_variants  # onnx and ONNX Runtime: imported only where they are needed
    from neuralsim.runtimes.onnxruntime_gpu.device_session import DeviceStateless, quiet

    if precision not in (None, *PRECISIONS):
        why = "; for int8 there is tensorrt:int8" if precision == "int8" else ""
        raise RuntimeUnavailable(f"rtx has no precision {precision!r}; it has {', '.join(PRECISIONS)}{why}")
    why = unavailable_reason()
    if why:
        raise RuntimeUnavailable(f"rtx: {why}")
    precision = precision or PRECISIONS[0]
    provider = register()
    file = graph_variants.sized(graph, "tensorrt", precision, size)
    failure = ""
    for captures in (True, False):
        name = f"rtx {precision}" + ("" if captures else " without CUDA graph")
        try:
            with quiet():
                return finish(DeviceStateless(_create(file, provider, captures), name, DEVICE))
        except Exception as error:
            failure = reason(error)[:160]
    raise RuntimeUnavailable(f"rtx: {failure}")


@lru_cache(maxsize=1)
def _compiled_folder() -> Path:
    """Return the folder in which this process keeps what is compiled.

    The provider writes it whenever a session ends, and knows no lock: one process at a time has the folder of the
    cache, which stays; others that run meanwhile (``neuralsim record`` with workers) have one until they end.
    """
    shared = cache_folder() / "engines" / "rtx"
    try:
        shared.mkdir(parents=True, exist_ok=True)
        lock = os.open(shared / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
        return shared
    except OSError:  # another process has it, or it cannot be written
        own = Path(tempfile.mkdtemp(prefix="neuralsim-rtx-"))
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        return own


def _create(file: Path, provider: str, captures: bool) -> ort.InferenceSession:
    """Return a session on the provider's first device; with none, or a provider that is left out, it raises."""
    import onnxruntime as ort

    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider]
    if not devices:
        raise RuntimeUnavailable("the provider finds no GPU of its kind")
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    options = {"enable_cuda_graph": str(int(captures)), "nv_runtime_cache_path": str(_compiled_folder())}
    settings.add_provider_for_devices(devices[:1], options)
    session = ort.InferenceSession(str(file), settings, enable_fallback=0)
    if provider not in session.get_providers():
        raise RuntimeUnavailable("the provider is left out")
    return session
