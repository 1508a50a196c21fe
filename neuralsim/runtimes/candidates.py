"""Runtimes that ``auto`` may take on this machine, and why it passes over the others."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from neuralsim.runtimes import activation_ranges, cuda_driver
from neuralsim.runtimes.interface import RUNTIMES, NotCalibrated
from neuralsim.runtimes.loading import obstacle
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.runtimes.tensorrt import runtime as tensorrt_


def candidates(graph: Path, height: int, width: int) -> dict[str, str]:
    """Runtimes that ``auto`` measures -> "", and those that it passes over -> why, one line each.

    int8 is measured where it is prepared. Never builds an engine, which takes minutes, and leaves PyTorch alone where
    there is no GPU for it.
    """
    found = {}
    for name in RUNTIMES:
        reason = obstacle(name)
        if not reason and name == "torch":
            reason = _no_gpu()
        if not reason and name == "tensorrt":
            reason = _no_engine(graph, height, width, tensorrt_.PRECISIONS[0])
        found[name] = reason
    if not found["openvino"]:
        found["openvino:int8"] = _no_ranges(graph)
    if not found["tensorrt"] and not _no_engine(graph, height, width, "int8"):
        found["tensorrt:int8"] = ""
    return found


def on_gpu(graph: Path, height: int, width: int) -> bool:
    """Would one of the runtimes that ``auto`` measures paint on a GPU?"""
    try:
        cuda_driver.check(cuda_driver.gpu())
    except cuda_driver.NoGpu:
        return False
    found = candidates(graph, height, width)
    return bool(installed("onnxruntime-gpu")) or not (found["tensorrt"] and found["torch"])


def _no_gpu() -> str:
    """Why PyTorch would run on the processor."""
    if installed("torch").endswith("+cpu"):
        return "this PyTorch is for processors alone: for comparison only, with --runtime torch"
    try:
        cuda_driver.check(cuda_driver.gpu())
    except cuda_driver.NoGpu as error:
        return f"{error}; on the processor it is for comparison only, with --runtime torch"
    return ""


def _no_ranges(graph: Path) -> str:
    try:
        activation_ranges.recall(graph)
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
    """Version of a distribution, "" where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
