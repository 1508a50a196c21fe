"""Ways to run a model's graph, behind one small interface; one file each, imported only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Room:
    """Where a runtime lives, and what it needs."""

    module: str
    package: str  # that must be importable
    remedy: str  # the command that gets it


#: Runtime name -> its room.
RUNTIMES = {
    "openvino": Room("neuralsim.runtimes.openvino_", "openvino", "pip install openvino"),
    "onnxruntime": Room("neuralsim.runtimes.onnxruntime_", "onnxruntime", "pip install onnxruntime"),
    "tensorrt": Room("neuralsim.runtimes.tensorrt_", "tensorrt", "pip install -r requirements/tensorrt.txt"),
    "torch": Room("neuralsim.runtimes.torch_", "torch", "pip install -r requirements/train.txt"),
}


class RuntimeUnavailable(Exception):
    """A runtime that cannot be used here; the message says why and what to do, in one line."""


class NotCalibrated(RuntimeUnavailable):
    """Nothing is known of how large a model's activations are, which int8 needs."""


class Session(Protocol):
    """A graph loaded for one frame size, with its state inside."""

    name: str  # runtime and precision, e.g. "openvino bf16"
    warning: str  # what is not as it was meant to be, for whoever drives; one line or ""
    note: str  # what was found out at loading and may be of interest; one line or ""

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """Paint one frame from its inputs (all but the state): u8 (H, W, 3), valid until the next step."""

    def reset(self) -> None:
        """Forget the past."""

    def state(self) -> dict[str, np.ndarray]:
        """A copy of what is remembered, by the names and shapes of ``state_shapes``."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what ``state`` gave, here or in another runtime."""


class Plain(Protocol):
    """Any other graph of fixed sizes, loaded with the same options."""

    name: str
    inputs: dict[str, tuple[int, ...]]  # their shapes

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, valid until the next run."""


def state_shapes(height: int, width: int, frames: int = 1) -> dict[str, tuple[tuple[int, ...], float]]:
    """Name of each state input -> (shape, value that means "no past"); of a graph with so many ``frames`` of the past,
    which is how many channels its ``past_label`` has."""
    return {"past_rgb": ((1, 3 * frames, height, width), 0.0), "past_label": ((1, frames, height, width), -1.0)}


#: State input -> the output that becomes it.
NEXT = {"past_rgb": "next_rgb", "past_label": "next_label"}


def obstacle(runtime: str) -> str:
    """Why a runtime cannot be used on this machine, and the command that helps, in one line; "" if it can."""
    room = RUNTIMES[runtime]
    if not find_spec(room.package):
        return f"not installed: {room.remedy}"
    if runtime == "tensorrt":  # its library would crash without a driver: ask first
        from neuralsim.runtimes import tensorrt_

        return tensorrt_.obstacle()
    return ""


def available() -> list[str]:
    """Names of the runtimes that can be used on this machine."""
    return [name for name in RUNTIMES if not obstacle(name)]


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
    name, _, precision = runtime.partition(":")
    session: Session = import_module(_module(name)).load(graph, height, width, threads, precision or None)
    return session


def plain(runtime: str, graph: Path, threads: int | None = None, precision: str | None = None) -> Plain:
    """Load any graph of fixed sizes. ``precision`` None: the runtime's best here. Raises RuntimeUnavailable."""
    session: Plain = import_module(_module(runtime)).load_plain(graph, threads, precision)
    return session


def quantised(graph: Path) -> Path:
    """The file of ``graph`` in int8, made on the first call and kept. Raises RuntimeUnavailable."""
    from neuralsim.runtimes import int8

    try:
        return int8.path(graph)
    except OSError as error:
        raise RuntimeUnavailable(f"the graph in int8 cannot be kept: {error.filename}: {error.strerror}") from error


def check(runtime: str) -> None:
    """Raise RuntimeUnavailable for a wish that cannot be fulfilled here, without loading anything."""
    if runtime != "auto":
        _module(runtime.partition(":")[0])


def _module(runtime: str) -> str:
    if runtime not in RUNTIMES:
        raise RuntimeUnavailable(f"unknown runtime {runtime!r}; known: auto, {', '.join(RUNTIMES)}")
    reason = obstacle(runtime)
    if reason:
        raise RuntimeUnavailable(f"runtime {runtime!r} cannot be used: {reason}")
    return RUNTIMES[runtime].module
