"""The interface of all runtimes: their specifications, sessions and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from neuralsim.base.extras import remedy


@dataclass(frozen=True)
class BackendSpec:
    """A runtime's module and requirements."""

    module: str
    package: str  # that must be importable
    remedy: str  # the command that installs it


#: Runtime name -> its specification.
RUNTIMES = {
    "openvino": BackendSpec("neuralsim.runtimes.openvino.runtime", "openvino", remedy("drive")),
    "onnxruntime": BackendSpec("neuralsim.runtimes.onnxruntime_", "onnxruntime", remedy("drive")),
    "tensorrt": BackendSpec("neuralsim.runtimes.tensorrt.runtime", "tensorrt", remedy("tensorrt")),
    "torch": BackendSpec("neuralsim.runtimes.torch_", "torch", remedy("train")),
}


class RuntimeUnavailable(Exception):
    """A runtime cannot be used here; the message says why and what to do, in one line."""


class NotCalibrated(RuntimeUnavailable):
    """The ranges of a model's activations, which int8 needs, are unknown."""


class ModelSession(Protocol):
    """A graph loaded for one frame size, with its state inside."""

    name: str  # runtime and precision, e.g. "openvino bf16"
    warning: str  # how it differs from what was requested, for the driver; one line or ""
    note: str  # what was measured while loading; one line or ""
    is_past_on_host: bool  # so that ``edit_past`` costs no copy

    def step(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Generate one image from the inputs (all but the state): u8 (H, W, 3), valid until the next step."""

    def reset(self) -> None:
        """Forget the past."""

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of the state, by the names and shapes of ``state_shapes``."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what ``state`` returned, here or in another runtime. What is left out stays as it is."""

    def edit_past(self, edit: Callable[[np.ndarray], None]) -> None:
        """Let ``edit`` change the state ``past_rgb`` in place, of its shape in ``state_shapes``."""


class Loader(Protocol):
    """The function ``load`` of a runtime's module."""

    def __call__(
        self, graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None
    ) -> ModelSession:
        """Load a model for one frame size.

        Args:
            graph: The model's ONNX file.
            height: Of the frames, px.
            width: Of the frames, px.
            threads: CPU threads, None = all; ignored on a GPU.
            precision: One of the module's ``PRECISIONS``; None: the module chooses.

        Raises:
            RuntimeUnavailable: The runtime cannot be used here, or refuses the graph or the precision.
        """


@runtime_checkable
class ForkableSession(ModelSession, Protocol):
    """A session that several cameras share: one loaded graph, a state for each.

    ``streams``, which may be set between two steps, is how many of the forks step at the same time, each on its share
    of the threads: slower for one of them, faster for all.
    """

    streams: int

    def fork(self) -> ForkableSession:
        """Return a session of the same loaded graph with no past."""


class StatelessSession(Protocol):
    """Any other graph of fixed sizes, without a state, loaded with the same options."""

    name: str
    inputs: dict[str, tuple[int, ...]]  # shapes by name

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name, valid until the next run."""


def state_shapes(height: int, width: int, frames: int = 1) -> dict[str, tuple[tuple[int, ...], float]]:
    """Return the shape of each state input, and the value that means "no past", by name.

    ``frames``: of the past that the graph keeps, the channels of its ``past_label``.
    """
    return {"past_rgb": ((1, 3 * frames, height, width), 0.0), "past_label": ((1, frames, height, width), -1.0)}


#: The output that becomes each state input in the next step.
STATE_OUTPUTS = {"past_rgb": "next_rgb", "past_label": "next_label"}
