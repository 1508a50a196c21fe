"""Shipped models: one folder each, ``model.onnx`` with fp16 weights and ``card.yaml``, which says what it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.untrusted import limits
from bridge.untrusted import names as names_
from bridge.untrusted import yaml as untrusted_yaml

HERE = Path(__file__).parent
DEFAULT = "street-rt"
BEST = "street"  # the better picture, for GPUs, many cores and where nobody waits

MOTIONS = ("exact", "estimated")  # how well it is known: by a simulator, or from pictures


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
    sharpening: float = 0.0  # of what it painted (``neuralsim/renderer/sharpening.py``)
    exemplars: Path | None = None  # sketches of real objects (``neuralsim/guide/exemplar_guide.py``)
    #: By how the motion is known, f32 (channels,): the least share of each pixel that is painted anew in a frame, by
    #: class. Of models with this input.
    blend: dict[str, np.ndarray] = field(default_factory=dict)


_Colour = Annotated[list[Annotated[float, Field(ge=-1.0, le=1.0)]], Field(min_length=3, max_length=3)]
_Style = Annotated[list[_Colour], Field(min_length=1, max_length=limits.CARD_CHANNELS)]
_Word = Annotated[str, Field(min_length=1, max_length=100)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_Shares = Annotated[list[Annotated[float, Field(ge=0.0, le=1.0)]], Field(min_length=1, max_length=limits.CARD_CHANNELS)]


class _File(BaseModel):
    """Another file beside the card."""

    file: _Word
    sha256: _Sha256


class _Card(BaseModel):
    """What is read of a ``card.yaml``; it says more, for people."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    name: _Word
    file: _Word
    sha256: _Sha256
    inputs: Annotated[tuple[_Word, ...], Field(min_length=1, max_length=32)]
    multiple_of: Annotated[int, Field(le=limits.CARD_MULTIPLE)]
    styles: Annotated[dict[_Word, _Style], Field(min_length=1, max_length=limits.CARD_STYLES)]
    default_style: _Word
    licence: str = ""
    sharpening: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    exemplars: _File | None = None
    blend: dict[Literal["exact", "estimated"], _Shares] = {}


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
        found = _Card.model_validate(untrusted_yaml.read(path))
        file = folder / names_.file_name(Path(found.file).name, "its graph")
        exemplars: Path | None = None
        if found.exemplars is not None:
            exemplars = folder / names_.file_name(Path(found.exemplars.file).name, "its exemplars")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(f"{path}: not a readable model card ({where}: {first['msg'].lower()})") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable model card ({error})") from None
    styles = {name: np.asarray(colours, np.float32) for name, colours in found.styles.items()}
    card = Card(
        name=found.name,
        file=file,
        inputs=found.inputs,
        multiple_of=found.multiple_of,
        styles=styles,
        default_style=found.default_style,
        licence=found.licence,
        sharpening=found.sharpening,
        exemplars=exemplars,
        blend={motion: np.asarray(shares, np.float32) for motion, shares in found.blend.items()},
    )
    expected = {file: found.sha256}
    if found.exemplars is not None and exemplars is not None:
        expected[exemplars] = found.exemplars.sha256
    if card.multiple_of < 1 or len({style.shape for style in styles.values()}) != 1:
        raise ModelError(f"{path}: multiple_of must be 1 or more, and all styles of one shape")
    if "blend" in card.inputs:
        classes = len(next(iter(styles.values())))
        if set(card.blend) != set(MOTIONS) or any(len(shares) != classes for shares in card.blend.values()):
            raise ModelError(
                f"{path}: its graph is told how much to paint anew: `blend` for {' and '.join(MOTIONS)} motion, "
                f"a share for each of {classes} classes; export it again"
            )
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
