"""Types of options that several commands share; nothing heavy is imported for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from bridge.process.options import Arg

DEFAULT_MODEL = "street-rt"  # as neuralsim.zoo says

Model = Annotated[str, Arg("NAME"), Field(description="Model that paints, or a folder with card.yaml.")]
Runtime = Annotated[
    str,
    Arg("NAME"),
    Field(description="What runs the model: openvino, onnxruntime, tensorrt, torch; auto takes the fastest."),
]
Style = Annotated[str, Arg("NAME")]
ClassMap = Annotated[str, Arg("NAME|FILE.yaml")]


def is_folder(*folders: Path | None) -> None:
    """Raises ``ValueError``, one line, for the first of those given that is no folder."""
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
