"""How a segmenter of real streets, which never saw a simulator, sees the town: in the simulator's picture, and painted.

python -m research.perception --frames 240 --drives 2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import yaml

from bridge.process.option_types import Positive
from bridge.process.options import Options, parse
from neuralsim.base.shared_options import DEFAULT_MODEL, Model, Runtime
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, HERE, MetricNetwork, confusion, iou
from neuralsim.evaluation.real_clip import camvid_of_tag, metric_size
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

SIMULATOR, PAINTED, REAL = "simulator", "painted", "real"
_EVERY = 20  # frames from one that is judged to the next
_RIDE = 60  # frames on one car


def perceive(model: str, runtime: str, frames: int, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """IoU by class and their ``mean``, over so many frames of a drive per seed: of the simulator's own picture, of what
    ``model`` paints after it, and, from the segmenter's card, of the real pictures that it was held back from.

    The labels are the simulator's tags. Classes of which it finds none count as 0, those that are not there as nan.
    """
    segmenter, to_camvid = MetricNetwork(HERE / "segmenter.onnx"), camvid_of_tag()
    tallies = {name: np.zeros((len(CAMVID_CLASSES),) * 2, np.int64) for name in (SIMULATOR, PAINTED)}
    for seed in seeds:
        town, painter = TownDrive(seed=seed), NeuralRenderer(model, runtime)
        for index in range(frames):
            if index % _RIDE == 0:
                town.ride()
                painter.reset()
            frame = town.next(picture="rgb")
            painted = painter.render(frame)
            if index % _EVERY != _EVERY - 1:
                continue
            label = metric_size(to_camvid[frame.planes["tag"]], cv2.INTER_NEAREST)
            for name, picture in ((SIMULATOR, frame.planes["rgb"]), (PAINTED, painted)):
                tallies[name] += confusion(segmenter(metric_size(picture, cv2.INTER_AREA))[0], label)
    found = {name: dict(zip(CAMVID_CLASSES, map(float, iou(tally)), strict=True)) for name, tally in tallies.items()}
    card: dict[str, Any] = yaml.safe_load((HERE / "card.yaml").read_text(encoding="utf-8"))["segmenter.onnx"]
    found[REAL] = {name: float(value) for name, value in card["val_iou"].items()}
    return {name: {**each, "mean": float(np.nanmean(list(each.values())))} for name, each in found.items()}


class PerceptionOptions(Options):
    """How a segmenter of real streets sees the town, in the simulator's picture and painted."""

    frames: Positive = 240
    """Of each drive; every twentieth is judged."""
    drives: Positive = 2
    """Of seeds 0, 1, ..."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "auto"


def main() -> int:
    """The command line: a row of the table in docs/evaluation.md for each class."""
    options = parse(PerceptionOptions, None, "research.perception")
    found = perceive(options.model, options.runtime, options.frames, range(options.drives))
    print("| class | simulator | painted | real |\n| --- | --- | --- | --- |")
    for name in ("mean", *CAMVID_CLASSES):
        values = (found[kind].get(name, float("nan")) for kind in (SIMULATOR, PAINTED, REAL))
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
