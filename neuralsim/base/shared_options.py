"""Types of options that several commands share; nothing heavy is imported for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bridge.process.options import Arg

DEFAULT_MODEL, BEST_MODEL = "street-rt", "street"  # as neuralsim.zoo says

Model = Annotated[str, Arg("NAME"), Field(description="Model that paints, or a folder with card.yaml.")]
Quality = Annotated[
    Literal["fast", "best"],
    Arg("fast|best"),
    Field(description="best: the model with the better picture instead of --model, for where nobody waits."),
]
Runtime = Annotated[
    str,
    Arg("NAME"),
    Field(description="What runs the model: openvino, onnxruntime, tensorrt, torch; auto takes the fastest."),
]
Style = Annotated[str, Arg("NAME")]
ClassMap = Annotated[str, Arg("NAME|FILE.yaml")]


def model_of(model: str, quality: Quality) -> str:
    """The model that paints in ``quality``. Raises ``ValueError`` where another one than the default was asked for."""
    if quality == "fast":
        return model
    if model not in (DEFAULT_MODEL, BEST_MODEL):
        raise ValueError(f"--quality best is the model {BEST_MODEL}: it cannot go with --model {model}")
    return BEST_MODEL


def is_folder(*folders: Path | None) -> None:
    """Raises ``ValueError``, one line, for the first of those given that is no folder."""
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
