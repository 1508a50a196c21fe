"""``neuralsim train`` and ``neuralsim export``: a run from its config, and a shipped model from a run."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors import safe_open

from neuralsim import export
from neuralsim.models.generator import SIZES, Painter, PainterConfig
from neuralsim.models.surface import Surface
from neuralsim.models.temporal import TemporalGenerator
from neuralsim.training.data import Picture, load_camvid, load_cityscapes
from neuralsim.training.loop import TrainConfig, Trainer, train
from neuralsim.training.palette import palettes, styles
from neuralsim.training.simulated import make_pairs

CITYSCAPES_FOLDERS = ("clip0", "clip1", "clip2", "clip3", "clip4")  # clip5 is kept for evaluation
TOWNS = ("oldtown", "suburb", "village", "motorway")
_CAMVID_SHARE = 0.7  # of the examples, when both are there


def load_config(path: Path) -> TrainConfig:
    """Read a run's YAML. Raises ValueError, one line, for a key that does not exist or a value of another type."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of settings")
    known = {field.name: type(field.default) for field in fields(TrainConfig)}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{path}: unknown setting {key!r}; known: {', '.join(known)}")
        if not isinstance(value, known[key]) and not (known[key] is float and isinstance(value, int)):
            raise ValueError(f"{path}: {key} must be {known[key].__name__}, not {value!r}")
    config = TrainConfig(**values)
    if config.size not in SIZES:
        raise ValueError(f"{path}: no size {config.size!r}; there are {', '.join(SIZES)}")
    return config


def load_pictures(config: TrainConfig) -> tuple[list[Picture], np.ndarray]:
    """All labelled pictures of a run and how often each is drawn."""
    pictures: list[Picture] = []
    weights: list[np.ndarray] = []
    if config.camvid:
        found = load_camvid(Path(config.camvid))
        pictures += found
        weights.append(np.full(len(found), _CAMVID_SHARE / max(1, len(found))))
    if config.cityscapes:
        found = load_cityscapes(Path(config.cityscapes), CITYSCAPES_FOLDERS)
        pictures += found
        weights.append(np.full(len(found), (1 - _CAMVID_SHARE) / max(1, len(found))))
    if not pictures:
        raise ValueError("no pictures found: set camvid and/or cityscapes in the config to the data sets' folders")
    return pictures, np.concatenate(weights)


def run_training(path: Path, simulate: int = 150) -> None:
    """Train as the config at ``path`` says, going on from ``out`` if it holds an earlier state.

    Where the config wants simulator frames and its folder is empty, ``simulate`` pairs are driven first in each town.
    """
    config = load_config(path)
    pictures, weights = load_pictures(config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(config, device=device)
    if (Path(config.out) / "last.safetensors").exists():
        trainer.resume(Path(config.out))
    if config.simulated_every and not any(Path(config.simulated).glob("*.npz")):
        surface, looks = Surface(*palettes(pictures)), styles(pictures)
        make_pairs(Path(config.simulated), surface, looks, simulate, seed=config.seed, towns=TOWNS)
    began, first = time.monotonic(), trainer.step

    def report(step: int, losses: dict[str, float]) -> None:
        if step % 20 == 0:
            each = (time.monotonic() - began) / (step - first)
            left = (config.steps - step) * each / 60
            shown = "  ".join(f"{key} {value:.3f}" for key, value in losses.items())
            print(f"step {step}/{config.steps}  {each:.2f} s each, {left:.0f} min left  {shown}", file=sys.stderr)

    train(trainer, pictures, weights, report)


def run_export(path: Path, out: Path, licence: str) -> Path:
    """Write the shipped form of the run configured at ``path`` into the folder ``out``; its name is the model's."""
    config = load_config(path)
    pictures, _ = load_pictures(config)
    painter = load_painter(Path(config.out))
    looks = styles(pictures)
    out.mkdir(parents=True, exist_ok=True)
    export.to_onnx(TemporalGenerator(Surface(*palettes(pictures)), painter), out / "model.onnx")
    with safe_open(Path(config.out) / "last.safetensors", "pt") as file:
        step = int(file.metadata()["step"])
    data = [name for name, used in (("CamVid", config.camvid), ("Cityscapes clips", config.cityscapes)) if used]
    card = export.card(
        out.name,
        out / "model.onnx",
        looks,
        default_style="overcast" if "overcast" in looks else next(iter(looks)),
        steps=step,
        training_data=data,
        licence=licence,
    )
    (out / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False, default_flow_style=None, width=120))
    return out / "card.yaml"


def load_painter(run: Path) -> Painter:
    """The averaged painter of a run. Raises ValueError for one that this code cannot build."""
    prefix = "average."
    with safe_open(run / "last.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["painter"])
        weights = {key[len(prefix) :]: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    try:
        painter = Painter(PainterConfig.from_dict(settings))
        painter.load_state_dict(weights)
    except (TypeError, RuntimeError):
        raise ValueError(f"{run}: its painter is of another architecture; train into a new folder") from None
    return painter
