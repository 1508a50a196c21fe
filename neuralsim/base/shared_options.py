"""Option types that several commands share; importing them is cheap."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bridge.process.option_types import Count
from bridge.process.options import Arg

DEFAULT_MODEL, BEST_MODEL = "street-rt", "street"  # as neuralsim.zoo says

Model = Annotated[str, Arg("NAME"), Field(description="Model that renders, or a folder with card.yaml.")]
Quality = Annotated[
    Literal["fast", "best"],
    Arg("fast|best"),
    Field(description="best: the model with the better image instead of --model, for offline use."),
]
Runtime = Annotated[
    str,
    Arg("NAME"),
    Field(description="Runtime of the model: openvino, onnxruntime, tensorrt, torch; auto selects the fastest."),
]
GpuNumber = Annotated[
    Count | None,
    Arg("N"),
    Field(description="NVIDIA GPU to use, from 0 as nvidia-smi counts (default: the first; $CUDA_VISIBLE_DEVICES)."),
]
Style = Annotated[str, Arg("NAME")]
ClassMap = Annotated[str, Arg("NAME|FILE.yaml")]


def model_of(model: str, quality: Quality) -> str:
    """Return the model of a quality. Raises ``ValueError`` where another one than the default was requested."""
    if quality == "fast":
        return model
    if model not in (DEFAULT_MODEL, BEST_MODEL):
        raise ValueError(f"--quality best is the model {BEST_MODEL}: it cannot go with --model {model}")
    return BEST_MODEL


def check_folders(*folders: Path | None) -> None:
    """Raise ``ValueError``, one line, for the first of ``folders`` that is not a folder; None is ignored."""
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
