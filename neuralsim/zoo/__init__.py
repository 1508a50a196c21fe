"""Shipped models: one folder each with ``model.onnx``, its weights in fp16, and ``card.yaml``, which describes it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.process.parser import unknown
from bridge.untrusted import limits
from bridge.untrusted import names as names_
from bridge.untrusted import yaml as untrusted_yaml

HERE = Path(__file__).parent
DEFAULT = "street-rt"
BEST = "street"  # the better image, for GPUs, many cores and offline use
GUIDED = "street-guided"  # of any simulator's picture, whose colours it keeps; the others know the embedded towns'

MOTIONS = ("exact", "estimated")  # from a simulator, or from images


class ModelError(Exception):
    """A model cannot be used; the message says why and what to do, in one line."""


@dataclass(frozen=True)
class Card:
    """A model's card: its graph and the inputs that it expects."""

    name: str
    file: Path
    inputs: tuple[str, ...]
    multiple_of: int
    styles: dict[str, np.ndarray]  # name -> f32 (channels, 3): mean colour of each class, -0.5..0.5
    default_style: str
    licence: str
    sharpening: float = 0.0  # of generated images (``neuralsim/renderer/postprocessing/sharpening.py``)
    exemplars: Path | None = None  # sketches of real objects (``neuralsim/guide/exemplar_guide.py``)
    guided: bool = False  # whether it starts from the simulator's image as it is (``neuralsim/models/guide_image.py``)
    #: Names of the steps that follow the network (``neuralsim/renderer/postprocessing/pipeline.py``); None: all.
    postprocessing: tuple[str, ...] | None = None
    #: By one of ``MOTIONS``, f32 (channels,): the least blend weight by class, that is the share of the newly generated
    #: pixel. Of models with this input.
    blend: dict[str, np.ndarray] = field(default_factory=dict)


_Colour = Annotated[list[Annotated[float, Field(ge=-1.0, le=1.0)]], Field(min_length=3, max_length=3)]
_Style = Annotated[list[_Colour], Field(min_length=1, max_length=limits.CARD_CHANNELS)]
_Word = Annotated[str, Field(min_length=1, max_length=100)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_Shares = Annotated[list[Annotated[float, Field(ge=0.0, le=1.0)]], Field(min_length=1, max_length=limits.CARD_CHANNELS)]


class _File(BaseModel):
    """Another file next to the card."""

    file: _Word
    sha256: _Sha256


class _Card(BaseModel):
    """The fields read from a ``card.yaml``; it has more, for humans."""

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
    guided: bool = False
    postprocessing: Annotated[tuple[_Word, ...], Field(max_length=limits.CARD_STEPS)] | None = None
    blend: dict[Literal["exact", "estimated"], _Shares] = {}


def names() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.parent.name for path in HERE.glob("*/card.yaml"))


def load(model: str) -> Card:
    """Load the card of a shipped model by name, or of any folder with a ``card.yaml``, and check its files' hashes.

    Raises ModelError when there is none, when it is not readable, or when a file is not the one the card describes.
    """
    folder = HERE / model if model in names() else Path(model)
    path = folder / "card.yaml"
    if not path.is_file():
        raise ModelError(f"{unknown('model', model, names())} (or give a folder with card.yaml)")
    try:
        fields = _Card.model_validate(untrusted_yaml.read(path))
        file = folder / names_.check_file_name(Path(fields.file).name, "its graph")
        exemplars: Path | None = None
        if fields.exemplars is not None:
            exemplars = folder / names_.check_file_name(Path(fields.exemplars.file).name, "its exemplars")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(f"{path}: not a readable model card ({where}: {first['msg'].lower()})") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable model card ({error})") from None
    styles = {name: np.asarray(colours, np.float32) for name, colours in fields.styles.items()}
    card = Card(
        name=fields.name,
        file=file,
        inputs=fields.inputs,
        multiple_of=fields.multiple_of,
        styles=styles,
        default_style=fields.default_style,
        licence=fields.licence,
        sharpening=fields.sharpening,
        exemplars=exemplars,
        guided=fields.guided,
        postprocessing=fields.postprocessing,
        blend={motion: np.asarray(shares, np.float32) for motion, shares in fields.blend.items()},
    )
    expected = {file: fields.sha256}
    if fields.exemplars is not None and exemplars is not None:
        expected[exemplars] = fields.exemplars.sha256
    if card.multiple_of < 1 or len({style.shape for style in styles.values()}) != 1:
        raise ModelError(f"{path}: multiple_of must be 1 or more, and all styles of one shape")
    if "blend" in card.inputs:
        classes = len(next(iter(styles.values())))
        if set(card.blend) != set(MOTIONS) or any(len(shares) != classes for shares in card.blend.values()):
            raise ModelError(
                f"{path}: its graph takes blend weights: `blend` for {' and '.join(MOTIONS)} motion, "
                f"a share for each of {classes} classes; export it again"
            )
    if card.default_style not in card.styles:
        raise ModelError(f"{path}: default_style {card.default_style!r} is not among its styles")
    for file, digest in expected.items():
        if not file.is_file():
            raise ModelError(f"{file} is missing: reinstall the project, or restore the file next to its card")
        actual = hashlib.sha256(file.read_bytes()).hexdigest()
        if actual != digest:
            raise ModelError(
                f"{file}: sha256 {actual[:12]}… is not the card's {digest[:12]}…; restore the file or the card"
            )
    return card
