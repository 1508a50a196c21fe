"""``neuralsim model train`` and ``export``: train a run from its config, and export a model from a run."""

import json
import time
from pathlib import Path

import numpy as np
import yaml
from safetensors import safe_open

from neuralsim import zoo
from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.imaging.image_files import ImageError
from neuralsim.models import onnx_export
from neuralsim.models.generator import Generator, GeneratorConfig
from neuralsim.models.input_planes import Surface
from neuralsim.models.video_generator import GeneratorGraph
from neuralsim.training import checkpoint, distributed
from neuralsim.training.checkpoint import STATE, about
from neuralsim.training.config import TrainConfig, load_stages
from neuralsim.training.data.datasets import Pictures, find
from neuralsim.training.data.guided_pairs import make_guided_pairs
from neuralsim.training.data.map_pairs import make_map_pairs
from neuralsim.training.data.palette import palettes, styles
from neuralsim.training.data.simulated_pairs import make_pairs
from neuralsim.training.pretrained import load_weights
from neuralsim.training.trainer import Trainer
from neuralsim.training.training_board import Board
from neuralsim.training.training_loop import TrainingInterrupted, interruptible, train

TOWNS = ("oldtown", "suburb", "village", "motorway")
PACKED = ".safetensors"  # how the name of a packed state ends
_SAMPLE = 1500  # images that colours are taken from
_COLOURS_AT = 512, 256  # px, for runs of any size: it decides which objects are large enough to have a colour


def load_pictures(
    config: TrainConfig, quiet: bool = False, fit: tuple[int, int] | None = None, simulators: bool = False
) -> Pictures:
    """Return the labelled images of a stage, shrunk to ``fit`` (default: its size), or those of other ``simulators``.

    Problems with them are reported on stderr, unless ``quiet``. Raises ImageError for a source without images,
    ClassMapError.
    """
    data = config.data
    sources = data.simulators if simulators else data.sources
    if not sources:
        raise ImageError("the config names no images: `data: {sources: [{name: camvid, root: FOLDER}]}`")

    def tell(line: str) -> None:
        if not quiet:
            logger().warning(line)

    data_sets = [find(source) for source in sources]
    return Pictures(data_sets, fit or (data.width, data.height), round(data.memory * 1e9), tell, data.zoom)


def load_colours(config: TrainConfig, quiet: bool = False) -> tuple[Pictures, Surface, dict[str, np.ndarray]]:
    """Return a run's images, and the palettes and styles from them. Raises ImageError, ClassMapError, ValueError."""
    pictures = load_pictures(config, quiet, _COLOURS_AT)
    return pictures, Surface(*palettes(pictures.sample(_SAMPLE))), styles(pictures.sample(_SAMPLE))


def run_check(path: Path) -> bool:
    """Read every image of the run configured at ``path`` once and print what is wrong; return True if nothing is."""
    good, checked = True, []
    for config in load_stages(path):
        if config.data.sources not in checked:
            checked.append(config.data.sources)
            good &= _check(load_pictures(config))
    return good


def _check(pictures: Pictures) -> bool:
    progress = ProgressLine(len(pictures), "images")
    try:
        for number, _ in enumerate(pictures.check(), 1):
            progress.show(number, "read")
    finally:
        progress.close()
    for each in pictures.sources:
        print(f"{each.name}: {len(each.items)} labelled images")
    for line in pictures.summary():
        print(line)
    return not pictures.left_out


def run_training(path: Path, simulate: int = 150) -> bool:
    """Train the stages of the config at ``path``, continuing from an earlier state; return False if interrupted.

    Where a stage needs simulator frames and its folder is empty, ``simulate`` pairs are recorded first in each town.
    """
    stages, began = load_stages(path), time.monotonic()
    with distributed.joined() as group:
        try:
            first = stage_of(stages)
            for number in range(first, len(stages)):
                if not _train(stages, number, group, simulate, began):
                    break
                group.wait_for_all()  # the next stage reads what the first process has saved
        except TrainingInterrupted as end:
            if group.is_first:
                logger().warning(end)
            return False
    return True


def stage_of(stages: list[TrainConfig]) -> int:
    """Return the number of the stage whose state is saved, from 0. Raises ValueError for a state of another run."""
    folder = Path(stages[0].output.folder)
    if not (folder / STATE).exists():
        return 0
    metadata = about(folder)
    if len(stages) > 1 and "stage" not in metadata:
        raise ValueError(f"{folder / STATE} is of a run without `stages`; train into a new folder")
    stage = int(metadata.get("stage", 0))
    if stage >= len(stages):
        raise ValueError(f"{folder / STATE} is of stage {stage + 1}, the config has {len(stages)}; choose a new folder")
    return stage


def _train(stages: list[TrainConfig], number: int, group: distributed.Ranks, simulate: int, began: float) -> bool:
    """Train stage ``number``; return whether all of its steps are done, within the minutes since ``began``."""
    config = stages[number]
    folder = Path(config.output.folder)
    pictures = load_pictures(config, quiet=not group.is_first)
    simulators = load_pictures(config, not group.is_first, simulators=True) if config.data.simulators else None
    trainer = Trainer(config, device=distributed.device(), ranks=group, stage=number)
    if (folder / STATE).exists() and stage_of(stages) == number:
        trainer.resume(folder)
    else:
        if number:
            trainer.generator.load_state_dict(load_generator(folder).state_dict())
        elif config.model.start.endswith(PACKED):
            checkpoint.start(trainer, Path(config.model.start))
        elif config.model.start:
            load_weights(trainer.generator, config.model.start)
        trainer.average.load_state_dict(trainer.generator.state_dict())
    if group.is_first:
        _simulate(config, pictures, simulate)
    group.wait_for_all()
    with interruptible() as stop:
        if not group.is_first:
            train(trainer, pictures, lambda *_: None, stop=stop, began=began, simulators=simulators)
            return trainer.step >= config.steps
        if len(stages) > 1:
            logger().info(f"stage {number + 1} of {len(stages)}{f': {config.name}' if config.name else ''}")
        board = Board(trainer, folder, sum(stage.steps for stage in stages[:number]))
        try:
            train(trainer, pictures, board.report, board.show, stop, began, simulators)
        finally:
            board.close()
            for line in pictures.summary():
                logger().warning(line)
    return trainer.step >= config.steps


def _simulate(config: TrainConfig, pictures: Pictures, simulate: int) -> None:
    """Record ``simulate`` pairs of simulator frames in each town, and map pairs, where a stage needs them and has
    none."""
    data, rollouts = config.data, config.rollouts
    is_needed = data.simulated_every or (rollouts.frames and rollouts.town + rollouts.maps)
    if not is_needed or any(Path(data.simulated).glob("*.npz")):
        return
    _, surface, looks = load_colours(config, quiet=True)
    part = Path(data.simulated + ".part")  # half a set, after a kill, would be taken for a whole one
    frames = max(2, rollouts.frames if rollouts.town else 0)
    if config.generator().guided:
        teacher = config.model.teacher or zoo.BEST
        make_guided_pairs(part, teacher, simulate, data.width, data.height, config.seed, TOWNS)
    else:
        make_pairs(part, surface, looks, simulate, data.width, data.height, config.seed, TOWNS, frames)
    maps = round(len(TOWNS) * simulate * data.map_pairs / (1.0 - data.map_pairs))
    make_map_pairs(part, pictures, surface, looks, maps, data.width, data.height, config.seed)
    part.replace(data.simulated)


def run_pack(path: Path, out: Path) -> Path:
    """Write the networks of the run configured at ``path``, discriminators included, to the file ``out``; return it."""
    return checkpoint.pack(Path(load_stages(path)[0].output.folder), out)


def run_export(path: Path, out: Path, licence: str) -> Path:
    """Export the run configured at ``path`` into the folder ``out``, whose name is the model's; return its card."""
    stages = load_stages(path)
    run = Path(stages[0].output.folder)
    generator = load_generator(run)
    number = stage_of(stages)
    config = stages[number]
    pictures, surface, looks = load_colours(config)
    out.mkdir(parents=True, exist_ok=True)
    model = GeneratorGraph(surface, generator)
    onnx_export.to_onnx(model, out / "model.onnx")
    onnx_export.check(model, out / "model.onnx")
    card = onnx_export.card(
        out.name,
        out / "model.onnx",
        looks,
        model,
        default_style="overcast" if "overcast" in looks else next(iter(looks)),
        steps=sum(stage.steps for stage in stages[:number]) + int(about(run)["step"]),
        training_data=[each.title for each in pictures.sources],
        licence=licence,
    )
    (out / "card.yaml").write_text(
        yaml.safe_dump(card, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8"
    )
    return out / "card.yaml"


def load_generator(run: Path) -> Generator:
    """Return the averaged generator of a run. Raises ValueError for none, or one that this code cannot build."""
    prefix = "average."
    if not (run / STATE).is_file():
        raise ValueError(f"{run}: no trained state in it; `neuralsim model train` first")
    try:
        settings = json.loads(about(run)["generator"])
    except (KeyError, ValueError):
        raise ValueError(f"{run / STATE} does not say which generator it is of; train into a new folder") from None
    with safe_open(run / STATE, "pt") as file:
        weights = {key[len(prefix) :]: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    try:
        generator = Generator(GeneratorConfig.from_dict(settings))
        generator.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{run}: its generator is of another architecture; train into a new folder") from None
    return generator
