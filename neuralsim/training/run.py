"""``neuralsim train`` and ``neuralsim export``: a run from its config, and a shipped model from a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from safetensors import safe_open

from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.imaging.picture_files import ImageError
from neuralsim.models import onnx_export
from neuralsim.models.generator import Generator, GeneratorConfig
from neuralsim.models.surface import Surface
from neuralsim.models.video_generator import GeneratorGraph
from neuralsim.training import distributed
from neuralsim.training.checkpoint import STATE, about
from neuralsim.training.config import TrainConfig, load_config
from neuralsim.training.data.datasets import Pictures, find
from neuralsim.training.data.map_pairs import make_map_pairs
from neuralsim.training.data.palette import palettes, styles
from neuralsim.training.data.simulated_pairs import make_pairs
from neuralsim.training.pretrained import load_weights
from neuralsim.training.trainer import Trainer
from neuralsim.training.training_board import Board
from neuralsim.training.training_loop import TrainingInterrupted, interruptible, train

TOWNS = ("oldtown", "suburb", "village", "motorway")
_SAMPLE = 1500  # pictures that colours are taken from
_COLOURS_AT = 512, 256  # px, whatever the run's size: what is an object large enough to have a colour?


def load_pictures(config: TrainConfig, quiet: bool = False, fit: tuple[int, int] | None = None) -> Pictures:
    """The labelled pictures of a run, shrunk to ``fit`` (default: its size); problems with them are reported on stderr,
    unless ``quiet``.

    Raises ImageError for a source without pictures, ClassMapError.
    """
    if not config.data:
        raise ImageError("the config names no pictures: `data: [{name: camvid, root: FOLDER}]`; docs/generator.md")

    def tell(line: str) -> None:
        if not quiet:
            logger().warning(line)

    found = [find(source) for source in config.data]
    return Pictures(found, fit or (config.width, config.height), round(config.memory * 1e9), tell, config.zoom)


def load_colours(config: TrainConfig, quiet: bool = False) -> tuple[Pictures, Surface, dict[str, np.ndarray]]:
    """A run's pictures, and the palettes and styles taken from them. Raises ImageError, ClassMapError, ValueError."""
    pictures = load_pictures(config, quiet, _COLOURS_AT)
    return pictures, Surface(*palettes(pictures.sample(_SAMPLE))), styles(pictures.sample(_SAMPLE))


def run_check(path: Path) -> bool:
    """Read every picture of the run configured at ``path`` once and say what is wrong; True if nothing is."""
    pictures = load_pictures(load_config(path))
    progress = ProgressLine(len(pictures), "pictures")
    try:
        for number, _ in enumerate(pictures.check(), 1):
            progress.measured(number, "read")
    finally:
        progress.close()
    for each in pictures.found:
        print(f"{each.name}: {len(each.items)} labelled pictures")
    for line in pictures.summary():
        print(line)
    return not pictures.left_out


def run_training(path: Path, simulate: int = 150) -> bool:
    """Train as the config at ``path`` says, going on from ``out`` if it holds an earlier state. False if interrupted.

    Where the config wants simulator frames and its folder is empty, ``simulate`` pairs are driven first in each town.
    """
    config = load_config(path)
    with distributed.joined() as group:
        try:
            _train(config, group, simulate)
        except TrainingInterrupted as end:
            if group.first:
                logger().warning(end)
            return False
    return True


def _train(config: TrainConfig, group: distributed.Ranks, simulate: int) -> None:
    folder = Path(config.out)
    pictures = load_pictures(config, quiet=not group.first)
    trainer = Trainer(config, device=distributed.device(), ranks=group)
    if (folder / STATE).exists():
        trainer.resume(folder)
    elif config.start:
        load_weights(trainer.painter, config.start)
        trainer.average.load_state_dict(trainer.painter.state_dict())
    driven = config.simulated_every or (config.rollout and config.rollout_town + config.rollout_maps)
    if group.first and driven and not any(Path(config.simulated).glob("*.npz")):
        _, surface, looks = load_colours(config, quiet=True)
        part = Path(config.simulated + ".part")  # half a set, after a kill, would be taken for a whole one
        frames = max(2, config.rollout if config.rollout_town else 0)
        make_pairs(part, surface, looks, simulate, config.width, config.height, config.seed, TOWNS, frames)
        maps = round(len(TOWNS) * simulate * config.map_pairs / (1.0 - config.map_pairs))
        make_map_pairs(part, pictures, surface, looks, maps, config.width, config.height, config.seed)
        part.replace(config.simulated)
    group.meet()
    with interruptible() as stop:
        if not group.first:
            train(trainer, pictures, lambda *_: None, stop=stop)
            return
        board = Board(trainer, folder)
        try:
            train(trainer, pictures, board.report, board.show, stop)
        finally:
            board.close()
            for line in pictures.summary():
                logger().warning(line)


def run_export(path: Path, out: Path, licence: str) -> Path:
    """Write the shipped form of the run configured at ``path`` into the folder ``out``; its name is the model's."""
    config = load_config(path)
    painter = load_painter(Path(config.out))
    pictures, surface, looks = load_colours(config)
    out.mkdir(parents=True, exist_ok=True)
    model = GeneratorGraph(surface, painter)
    onnx_export.to_onnx(model, out / "model.onnx")
    onnx_export.check(model, out / "model.onnx")
    card = onnx_export.card(
        out.name,
        out / "model.onnx",
        looks,
        model,
        default_style="overcast" if "overcast" in looks else next(iter(looks)),
        steps=int(about(Path(config.out))["step"]),
        training_data=[each.title for each in pictures.found],
        licence=licence,
    )
    (out / "card.yaml").write_text(
        yaml.safe_dump(card, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8"
    )
    return out / "card.yaml"


def load_painter(run: Path) -> Generator:
    """The averaged painter of a run. Raises ValueError for none, or one that this code cannot build."""
    prefix = "average."
    if not (run / STATE).is_file():
        raise ValueError(f"{run}: no trained state in it; `neuralsim train` first")
    try:
        settings = json.loads(about(run)["painter"])
    except (KeyError, ValueError):
        raise ValueError(f"{run / STATE} does not say which painter it is of; train into a new folder") from None
    with safe_open(run / STATE, "pt") as file:
        weights = {key[len(prefix) :]: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    try:
        painter = Generator(GeneratorConfig.from_dict(settings))
        painter.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{run}: its painter is of another architecture; train into a new folder") from None
    return painter
