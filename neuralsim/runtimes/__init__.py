"""Ways to run a model's graph, behind one small interface; one file each, imported only when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuralsim.runtimes.interface import (
    NEXT,
    RUNTIMES,
    NotCalibrated,
    Plain,
    Room,
    RuntimeUnavailable,
    Session,
    state_shapes,
)
from neuralsim.runtimes.loading import available, check, load, obstacle, plain

__all__ = [
    "NEXT",
    "RUNTIMES",
    "NotCalibrated",
    "Plain",
    "Room",
    "RuntimeUnavailable",
    "Session",
    "available",
    "check",
    "create",
    "load",
    "obstacle",
    "plain",
    "quantised",
    "state_shapes",
]


def create(
    runtime: str,
    graph: Path,
    height: int,
    width: int,
    threads: int | None = None,
    example: dict[str, np.ndarray] | None = None,
) -> Session:
    """Load ``graph`` for frames of ``height`` x ``width`` (multiples of 32).

    ``runtime``: a name, or "name:precision" such as "openvino:fp32", or "auto": the fastest here, measured on
    ``example`` (the graph's inputs without the state) and remembered; without an example, OpenVINO or what there is.
    ``threads``: CPU threads to use, None = all. Raises RuntimeUnavailable.
    """
    if runtime == "auto":
        from neuralsim.runtimes import choice

        return choice.fastest(graph, height, width, threads, example)
    return load(runtime, graph, height, width, threads)


def quantised(graph: Path) -> Path:
    """The file of ``graph`` in int8, made on the first call and kept. Raises RuntimeUnavailable."""
    from neuralsim.runtimes import int8

    return int8.quantised(graph)
