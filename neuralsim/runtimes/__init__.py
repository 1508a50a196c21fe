"""Ways to run a model's graph, behind one small interface; one file each, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

#: Runtime name -> (its room, the package it needs), in the order in which ``auto`` tries them.
RUNTIMES = {
    "openvino": ("neuralsim.runtimes.openvino_", "openvino"),
    "onnxruntime": ("neuralsim.runtimes.onnxruntime_", "onnxruntime"),
}


class RuntimeUnavailable(Exception):
    """A runtime that cannot be used here; the message says why and what to do, in one line."""


class Session(Protocol):
    """A graph loaded for one frame size, with its state inside."""

    name: str  # runtime and precision, e.g. "openvino bf16"

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


def state_shapes(height: int, width: int) -> dict[str, tuple[tuple[int, ...], float]]:
    """Name of each state input -> (shape, value that means "no past")."""
    return {"past_rgb": ((1, 3, height, width), 0.0), "past_label": ((1, 1, height, width), -1.0)}


#: State input -> the output that becomes it.
NEXT = {"past_rgb": "next_rgb", "past_label": "next_label"}


def available() -> list[str]:
    """Names of the runtimes whose package is installed."""
    return [name for name, (_, package) in RUNTIMES.items() if find_spec(package)]


def create(runtime: str, graph: Path, height: int, width: int, threads: int | None = None) -> Session:
    """Load ``graph`` for frames of ``height`` x ``width`` (multiples of 32) on ``runtime`` ("auto": the first found).

    ``threads``: CPU threads to use, None = all. Raises RuntimeUnavailable.
    """
    found = available()
    if runtime == "auto":
        if not found:
            raise RuntimeUnavailable(f"no runtime is installed: pip install {' or '.join(RUNTIMES)}")
        runtime = found[0]
    session: Session = import_module(_room(runtime)).load(graph, height, width, threads)
    return session


def plain(runtime: str, graph: Path, threads: int | None = None, precision: str | None = None) -> Plain:
    """Load any graph of fixed sizes. ``precision`` None: the runtime's best here. Raises RuntimeUnavailable."""
    session: Plain = import_module(_room(runtime)).load_plain(graph, threads, precision)
    return session


def _room(runtime: str) -> str:
    if runtime not in RUNTIMES:
        raise RuntimeUnavailable(f"unknown runtime {runtime!r}; known: auto, {', '.join(RUNTIMES)}")
    module, package = RUNTIMES[runtime]
    if runtime not in available():
        raise RuntimeUnavailable(f"runtime {runtime!r} is not installed: pip install {package}")
    return module
