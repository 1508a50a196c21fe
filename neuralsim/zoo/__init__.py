"""Shipped models: one folder each, ``model.onnx`` with fp16 weights and ``card.yaml``, which says what it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

HERE = Path(__file__).parent
DEFAULT = "street-rt"


class ModelError(Exception):
    """A model that cannot be used; the message says why and what to do, in one line."""


@dataclass(frozen=True)
class Card:
    """A model's card: its graph and how it wants to be fed."""

    name: str
    file: Path
    inputs: tuple[str, ...]
    multiple_of: int
    styles: dict[str, np.ndarray]  # name -> f32 (channels, 3): mean colour of each class, -0.5..0.5
    default_style: str
    licence: str
    exemplars: Path | None = None  # sketches of real objects (``neuralsim/guide/exemplars.py``)


def names() -> list[str]:
    """The models that came with this installation."""
    return sorted(path.parent.name for path in HERE.glob("*/card.yaml"))


def load(model: str) -> Card:
    """The card of a shipped model by name, or of any folder with a ``card.yaml``, its graph's hash checked.

    Raises ModelError when there is none, when it is not readable, or when the graph is not the one the card describes.
    """
    folder = HERE / model if model in names() else Path(model)
    path = folder / "card.yaml"
    if not path.is_file():
        raise ModelError(f"unknown model {model!r}: not a folder with card.yaml, and shipped are: {', '.join(names())}")
    try:
        data = yaml.safe_load(path.read_text())
        file = folder / Path(data["file"]).name
        styles = {str(k): np.asarray(v, np.float32) for k, v in data["styles"].items()}
        card = Card(
            name=str(data["name"]),
            file=file,
            inputs=tuple(data["inputs"]),
            multiple_of=int(data["multiple_of"]),
            styles=styles,
            default_style=str(data["default_style"]),
            licence=str(data.get("licence", "")),
            exemplars=folder / Path(data["exemplars"]["file"]).name if "exemplars" in data else None,
        )
        expected = {file: str(data["sha256"])}
        if card.exemplars:
            expected[card.exemplars] = str(data["exemplars"]["sha256"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path}: not a readable model card ({type(error).__name__}: {error})".replace("\n", " ")
        ) from error
    if card.multiple_of < 1 or len({style.shape for style in styles.values()}) != 1:
        raise ModelError(f"{path}: multiple_of must be 1 or more, and all styles of one shape")
    if card.default_style not in card.styles:
        raise ModelError(f"{path}: default_style {card.default_style!r} is not among its styles")
    for each, wanted in expected.items():
        if not each.is_file():
            raise ModelError(f"{each} is missing: install the project again, or restore the file beside its card")
        actual = hashlib.sha256(each.read_bytes()).hexdigest()
        if actual != wanted:
            raise ModelError(
                f"{each}: sha256 {actual[:12]}… is not the card's {wanted[:12]}…; restore the file or the card"
            )
    return card
