"""Ways to run a model's graph, behind one small interface; one file each, imported only when asked for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from neuralsim.runtimes.interface import (
    NEXT,
    RUNTIMES,
    BackendSpec,
    ModelSession,
    NotCalibrated,
    RuntimeUnavailable,
    StatelessSession,
    state_shapes,
)
from neuralsim.runtimes.loading import available, check, load, obstacle, stateless

__all__ = [
    "NEXT",
    "RUNTIMES",
    "BackendSpec",
    "ModelSession",
    "NotCalibrated",
    "RuntimeUnavailable",
    "StatelessSession",
    "available",
    "check",
    "create",
    "load",
    "obstacle",
    "quantised",
    "state_shapes",
    "stateless",
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

    ``runtime``: a name, or "name:precision" such as "openvino:fp32", or "auto": the fastest here, measured on
    ``example`` (the graph's inputs without the state) and remembered; without an example, OpenVINO or what there is.
    ``threads``: CPU threads to use, None = all. ``without``: names that "auto" leaves out. Raises RuntimeUnavailable.
    """
    if runtime == "auto":
        from neuralsim.runtimes import fallback

        return fallback.fastest(graph, height, width, threads, example, without)
    return load(runtime, graph, height, width, threads)


def quantised(graph: Path) -> Path:
    """The file of ``graph`` in int8, made on the first call and kept. Raises RuntimeUnavailable."""
    from neuralsim.runtimes import int8

    return int8.quantised(graph)
