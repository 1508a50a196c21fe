"""The options of ``neuralsim build-engine``."""

from __future__ import annotations

from typing import Annotated, Literal

from bridge.process.options import Arg, Options
from bridge.process.values import Positive, whole
from bridge.size import Size
from neuralsim.base.options import DEFAULT_MODEL


class BuildEngineOptions(Options):
    """A TensorRT engine for this GPU."""

    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Model that paints."""
    size: Size = Size(512, 256)
    """Pixels to paint."""
    precision: Annotated[Literal["fp16", "fp32", "int8"], Arg("fp16|fp32|int8")] = "fp16"
    """Of the painter's layers."""
    level: Annotated[int, whole(0, 5), Arg("0..5")] = 3
    """Optimisation: higher builds longer."""
    workspace: Annotated[Positive, Arg("MB")] = 2048
    """GPU memory layers may use."""
    again: bool = False
    """Build it although it is there."""
