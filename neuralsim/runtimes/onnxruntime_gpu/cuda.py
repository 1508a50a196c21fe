"""ONNX Runtime's CUDA provider: its libraries, its variant of the graph, and the options that it accepts.

``onnxruntime-gpu`` needs CUDA's and cuDNN's libraries, which its extras install. Where they cannot be loaded, ONNX
Runtime uses the processor without a word; here that is an error.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TypeVar

import onnxruntime as ort

from neuralsim.base.failure import reason
from neuralsim.runtimes import cuda_driver
from neuralsim.runtimes.interface import RuntimeUnavailable
from neuralsim.runtimes.onnxruntime_gpu.device_session import Device, DeviceSession, DeviceStateless, quiet

PROVIDER = "CUDAExecutionProvider"
PRECISIONS = ("fp16", "fp32")
DEVICE: Device = ("cuda", 0)
_REMEDY = 'pip install "onnxruntime-gpu[cuda,cudnn]", for Python 3.11 or newer, instead of onnxruntime'
#: NHWC or not, captured as a CUDA graph or not: the first that this card, graph and version accept is used.
_ATTEMPTS = tuple(product((True, False), repeat=2))


Opened = TypeVar("Opened")


def unavailable_reason() -> str:
    """Return why ONNX Runtime cannot run on CUDA here and what to do, in one line; "" if nothing speaks against it."""
    if PROVIDER not in ort.get_available_providers():
        return f"not installed: this onnxruntime is for processors only: {_REMEDY}"
    try:
        cuda_driver.check(cuda_driver.gpu(), _built_for())
    except cuda_driver.NoGpu as error:
        return str(error)
    return ""


def _built_for() -> tuple[int, int]:
    """Return the CUDA that this onnxruntime-gpu is built for; 1.20 to 1.26 are for 12, later ones for 13."""
    from onnxruntime.capi import build_and_package_info

    major, _, minor = str(getattr(build_and_package_info, "cuda_version", "") or "12.0").partition(".")
    return int(major), int(minor.partition(".")[0] or 0)


@lru_cache(maxsize=1)
def _preload() -> str:
    """Load CUDA's and cuDNN's libraries from where pip put them; returns what is missing, in one line, "" if nothing.

    PyTorch's own, if they are loaded already and of the same major version, are used.
    """
    with quiet() as printed:
        if hasattr(ort, "preload_dlls"):  # since 1.21
            ort.preload_dlls()
    missing = [line.split(":")[0] for line in printed.getvalue().splitlines() if line.startswith("Failed to load")]
    return ", ".join(line.removeprefix("Failed to load ") for line in missing)


def load(graph: Path, height: int, width: int, precision: str | None = None) -> DeviceSession:
    """Open ``graph`` on the GPU for one frame size. Raises RuntimeUnavailable, also if the processor would run it."""
    return _first_accepted(graph, (height, width), precision, lambda opened: DeviceSession(opened, height, width))


def load_stateless(graph: Path, precision: str | None = None) -> DeviceStateless:
    """Open a graph of fixed sizes on the GPU. Raises RuntimeUnavailable, also if the processor would run it."""

    def warmed_up(opened: DeviceStateless) -> DeviceStateless:
        opened.execute()
        return opened

    return _first_accepted(graph, (0, 0), precision, warmed_up)


def checked(precision: str | None) -> str:
    """Return the precision to use. Raises RuntimeUnavailable for an unknown one, and where CUDA cannot be used."""
    if precision not in (None, *PRECISIONS):
        raise RuntimeUnavailable(f"onnxruntime on CUDA has no precision {precision!r}; it has {', '.join(PRECISIONS)}")
    why = unavailable_reason()
    if why:
        raise RuntimeUnavailable(f"onnxruntime on CUDA: {why}")
    return precision or PRECISIONS[0]


def _first_accepted(
    graph: Path, size: tuple[int, int], precision: str | None, finish: Callable[[DeviceStateless], Opened]
) -> Opened:
    """Return the graph, opened and finished, with the first options that are accepted. Raises RuntimeUnavailable."""
    from neuralsim.runtimes import graph_variants  # onnx: imported only where it is needed

    precision = checked(precision)
    file = graph_variants.sized(graph, "cuda", precision, size)
    failure = ""
    for captures, channels_last in _ATTEMPTS:
        options = {
            "device_id": "0",
            "use_tf32": "0",  # fp32 is the reference
            "prefer_nhwc": str(int(channels_last)),
            "enable_cuda_graph": str(int(captures)),
        }
        name = f"onnxruntime {precision} on cuda" + ("" if captures else " without CUDA graph")
        try:
            with quiet():
                return finish(DeviceStateless(create(file, options), name, DEVICE))
        except RuntimeUnavailable:
            raise
        except Exception as error:  # its exceptions share no base class but Exception
            failure = reason(error)[:160]
    raise RuntimeUnavailable(f"onnxruntime on CUDA: {failure}")


def create(file: Path, options: dict[str, str]) -> ort.InferenceSession:
    """Return a session on CUDA. Raises RuntimeUnavailable where its provider does not load, else what ORT raises."""
    missing = _preload()
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    providers = [(PROVIDER, options), "CPUExecutionProvider"]
    session = ort.InferenceSession(str(file), settings, providers=providers, enable_fallback=0)
    if PROVIDER not in session.get_providers():  # left out in silence
        what = f"cannot load {missing}" if missing else "its provider does not load"
        raise RuntimeUnavailable(f"onnxruntime on CUDA: {what}: {_REMEDY}")
    return session
