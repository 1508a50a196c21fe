"""What a training run depends on: ``neuralsim train CONFIG.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuralsim.recording.writer import reason


class Source(BaseModel):
    """One data set of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str  # its folder
    name: str = ""  # one of neuralsim.training.datasets.DATASETS; "": images/ and labels/ of your own
    classes: str = ""  # class map, a shipped one's name or a .yaml file; "": the data set's
    share: float = Field(1.0, gt=0)  # of the examples, against the other sources'
    splits: list[str] = []  # folders of the data set, such as train; none: those its benchmark trains on
    rows: float | None = Field(None, gt=0, le=1)  # share of the rows, from the top, that is used: no bonnet

    @model_validator(mode="after")
    def _known(self) -> Source:
        if not self.name and not self.classes:
            raise ValueError("needs `name` of a known data set, or `classes` for images/ and labels/ of your own")
        return self


class TrainConfig(BaseModel):
    """Everything a run depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    out: str = "runs/street-rt"
    size: Literal["street-rt", "street", "street-hq"] = "street-rt"  # neuralsim.models.generator.SIZES
    data: list[Source] = []
    memory: float = Field(2.0, ge=0)  # GB for decoded pictures
    workers: int = Field(1, ge=1)  # threads that make examples
    simulated: str = ""  # folder of .npz frame pairs made by neuralsim.training.simulated
    width: int = Field(512, ge=64, multiple_of=32)  # px
    height: int = Field(256, ge=32, multiple_of=32)  # px
    batch: int = Field(2, ge=1)  # of each process
    accumulate: int = Field(1, ge=1)  # batches whose gradients make one step
    precision: Literal["bf16", "fp32"] = "bf16"  # of the activations; weights and optimiser are fp32
    steps: int = Field(20_000, ge=1)
    rate: float = Field(5e-4, gt=0)  # Adam, painter
    judge_rate: float = Field(2e-4, gt=0)  # Adam, discriminator
    warmup: int = Field(100, ge=1)  # steps until the full rate, also after a resume with other settings
    ema: float = Field(0.998, ge=0, lt=1)
    adversarial: float = 1.5
    adversarial_from: int = 150  # step until which the painter only learns to reconstruct
    adversarial_ramp: int = Field(600, ge=1)  # steps until the full adversarial weight after that
    features: float = 4.0
    pixels: float = 6.0
    simulated_every: int = Field(0, ge=0)  # 0: real pictures only; n: every n-th step paints simulator frames
    equivariance: float = 4.0  # L1 between a painted simulator frame and the warped one before
    tone: float = 20.0  # how far its luminance strays from tint and sketch, beyond what textures do
    hue: float = 40.0  # how far the chroma of a painted simulator frame strays from its tint, beyond what textures do
    save_every: int = Field(100, ge=1)
    panels_every: int = Field(100, ge=1)  # steps between two pictures for TensorBoard, where that is installed
    minutes: float = Field(0.0, ge=0)  # stop after this long, 0 = by steps
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> TrainConfig:
        if self.simulated_every and not self.simulated:
            raise ValueError("`simulated_every` needs `simulated`, the folder for frames of the town")
        return self


def load_config(path: Path) -> TrainConfig:
    """Read a run's YAML. Raises ValueError, one line, for a setting that does not exist or cannot be."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {reason(error)}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of settings, such as docs/training/street-rt.yaml")
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first mistake, as `data.0.share: ...`."""
    mistake = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        model = Source if where.startswith("data.") else TrainConfig
        return f"unknown setting {where!r}; known: {', '.join(model.model_fields)}"
    said = mistake["msg"].removeprefix("Value error, ")
    said = said[0].lower() + said[1:]
    if not where:
        return said
    return f"{where}: {said}" if isinstance(mistake["input"], dict) else f"{where}: {said}, not {mistake['input']!r}"
