"""Runtimes: libraries that run a model's graph, behind one small interface; each module is imported only when used."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from neuralsim.runtimes.interface import (
    RUNTIMES,
    ForkableSession,
    ModelSession,
    NotCalibrated,
    RuntimeUnavailable,
    StatelessSession,
)
from neuralsim.runtimes.loading import available, check, load, stateless, unavailable_reason

__all__ = [
    "RUNTIMES",
    "ForkableSession",
    "ModelSession",
    "NotCalibrated",
    "RuntimeUnavailable",
    "StatelessSession",
    "available",
    "check",
    "create",
    "stateless",
    "unavailable_reason",
]


def create(
    runtime: str,
    graph: Path,
    height: int,
    width: int,
    threads: int | None = None,
    example: dict[str, np.ndarray] | None = None,
    without: Collection[str] = (),
) -> ModelSession:
    """Load ``graph`` for frames of ``height`` x ``width`` (multiples of 32).

    Args:
        runtime: A name, or "name:precision" such as "openvino:fp32", or "auto": the fastest on this machine, measured
            once; without ``example``, OpenVINO or the first that is installed.
        graph: The model's ONNX file.
        height: Of the frames, px.
        width: Of the frames, px.
        threads: CPU threads, None = all.
        example: The graph's inputs without the state, to measure with.
        without: Names that "auto" leaves out.

    Raises:
        RuntimeUnavailable: One line.
    """
    if runtime == "auto":
        from neuralsim.runtimes import fallback

        return fallback.load_fastest(graph, height, width, threads, example, without)
    return load(runtime, graph, height, width, threads)
