"""Interface of all runtimes: their specifications, sessions and errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuralsim.base.extras import remedy


@dataclass(frozen=True)
class BackendSpec:
    """A runtime's module and requirements."""

    module: str
    package: str  # that must be importable
    remedy: str  # the command that gets it


#: Runtime name -> its specification.
RUNTIMES = {
    "openvino": BackendSpec("neuralsim.runtimes.openvino_", "openvino", remedy("drive")),
    "onnxruntime": BackendSpec("neuralsim.runtimes.onnxruntime_", "onnxruntime", remedy("drive")),
    "tensorrt": BackendSpec("neuralsim.runtimes.tensorrt.runtime", "tensorrt", remedy("tensorrt")),
    "torch": BackendSpec("neuralsim.runtimes.torch_", "torch", remedy("train")),
}


class RuntimeUnavailable(Exception):
    """A runtime that cannot be used here; the message says why and what to do, in one line."""


class NotCalibrated(RuntimeUnavailable):
    """Nothing is known of how large a model's activations are, which int8 needs."""


class ModelSession(Protocol):
    """A graph loaded for one frame size, with its state inside."""

    name: str  # runtime and precision, e.g. "openvino bf16"
    warning: str  # what is not as it was meant to be, for the driver; one line or ""
    note: str  # what was found out at loading and may be of interest; one line or ""

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """Paint one frame from its inputs (all but the state): u8 (H, W, 3), valid until the next step."""

    def reset(self) -> None:
        """Forget the past."""

    def state(self) -> dict[str, np.ndarray]:
        """A copy of what is remembered, by the names and shapes of ``state_shapes``."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what ``state`` gave, here or in another runtime."""


class StatelessSession(Protocol):
    """Any other graph of fixed sizes, without a state, loaded with the same options."""

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
