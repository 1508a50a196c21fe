"""Runtimes that ``auto`` may use on this machine, and why it skips the others."""

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from neuralsim.runtimes import activation_ranges, cuda_driver
from neuralsim.runtimes.interface import RUNTIMES, NotCalibrated
from neuralsim.runtimes.loading import unavailable_reason
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.runtimes.tensorrt import runtime as tensorrt_


def candidates(graph: Path, height: int, width: int) -> dict[str, str]:
    """Return "" for each runtime that ``auto`` measures, and for the others the reason not to, one line each.

    int8 is measured where it is prepared. TensorRT is skipped without an engine, which takes minutes to build, and
    PyTorch without a GPU. ONNX Runtime is measured on CUDA by a name of its own, so that the processor's is known too.
    """
    reasons = {}
    for name in RUNTIMES:
        reason = unavailable_reason(name)
        if not reason and name == "torch":
            reason = _no_gpu()
        if not reason and name == "tensorrt":
            reason = _no_engine(graph, height, width, tensorrt_.PRECISIONS[0])
        reasons[name] = reason
    if not reasons["openvino"]:
        reasons["openvino:int8"] = _no_ranges(graph)
    if installed("onnxruntime-gpu"):
        from neuralsim.runtimes.onnxruntime_gpu import cuda  # imports ONNX Runtime

        reasons["onnxruntime:cuda"] = cuda.unavailable_reason()
        if not reasons["onnxruntime:cuda"]:
            reasons["onnxruntime"] = "measured as onnxruntime:cuda and onnxruntime:fp32"
            reasons["onnxruntime:fp32"] = ""
    if not reasons["tensorrt"] and not _no_engine(graph, height, width, "int8"):
        reasons["tensorrt:int8"] = ""
    return reasons


def on_gpu(graph: Path, height: int, width: int) -> bool:
    """Return whether one of the runtimes that ``auto`` measures renders on a GPU."""
    reasons = candidates(graph, height, width)
    return any(not reasons.get(name, "no") for name in ("tensorrt", "torch", "onnxruntime:cuda"))


def _no_gpu() -> str:
    """Return why PyTorch would run on the processor; "" if it would not."""
    needed = torch_cuda()
    if needed is None:
        return "this PyTorch is for processors only: for comparison, with --runtime torch"
    try:
        cuda_driver.check(cuda_driver.gpu(), needed)
    except cuda_driver.NoGpu as error:
        return f"{error}; on the processor it is for comparison only, with --runtime torch"
    return ""


def torch_cuda() -> tuple[int, int] | None:
    """Return the CUDA that the installed PyTorch is built for, None for a build without; it is not imported."""
    package = find_spec("torch")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        if match := re.search(r"^cuda\b.*?=\s*'(\d+)\.(\d+)'", text, re.MULTILINE):
            return int(match[1]), int(match[2])
    return None


def _no_ranges(graph: Path) -> str:
    try:
        activation_ranges.load_ranges(graph)
    except NotCalibrated as error:
        return str(error)
    return ""


def _no_engine(graph: Path, height: int, width: int, precision: str) -> str:
    try:
        facts = tensorrt_engines.EngineFacts.here(graph, height, width, precision)
        tensorrt_engines.read(facts)
    except tensorrt_engines.EngineError as error:
        return str(error)
    return ""


def installed(distribution: str) -> str:
    """Return the version of a distribution, "" where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
