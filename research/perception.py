"""How well a segmenter trained on real streets alone segments the town, in simulator and rendered images.

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
from neuralsim.evaluation.real_clip import camvid_label, metric_size
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

SIMULATOR, RENDERED, REAL = "simulator", "rendered", "real"
_EVERY = 20  # frames from one that is segmented to the next
_RIDE = 60  # frames per car


def perceive(model: str, runtime: str, frames: int, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return the IoU by class and their ``mean``, over ``frames`` frames of a drive per seed, among people.

    They are given for the simulator image, for the output of ``model`` and, from the segmenter's card, for real images
    that were not in its training. The labels are the simulator's tags. Classes that it never detects count as 0, those
    without labels as nan.
    """
    segmenter = MetricNetwork(HERE / "segmenter.onnx")
    tallies = {name: np.zeros((len(CAMVID_CLASSES),) * 2, np.int64) for name in (SIMULATOR, RENDERED)}
    for seed in seeds:
        town, renderer = TownDrive(seed=seed), NeuralRenderer(model, runtime)
        for index in range(frames):
            if index % _RIDE == 0:
                town.ride(among_people=True)
                renderer.reset()
            frame = town.next_frame(colour="rgb")
            renderer.follow(frame.weather)
            rendered = renderer.render(frame)
            if index % _EVERY != _EVERY - 1:
                continue
            label = metric_size(camvid_label(frame.planes["tag"], frame.planes["instance"]), cv2.INTER_NEAREST)
            for name, picture in ((SIMULATOR, frame.planes["rgb"]), (RENDERED, rendered)):
                tallies[name] += confusion(segmenter(metric_size(picture, cv2.INTER_AREA))[0], label)
    results = {name: dict(zip(CAMVID_CLASSES, map(float, iou(tally)), strict=True)) for name, tally in tallies.items()}
    card: dict[str, Any] = yaml.safe_load((HERE / "card.yaml").read_text(encoding="utf-8"))["segmenter.onnx"]
    results[REAL] = {name: float(value) for name, value in card["val_iou"].items()}
    return {name: {**each, "mean": float(np.nanmean(list(each.values())))} for name, each in results.items()}


class PerceptionOptions(Options):
    """Measure how well a segmenter of real streets segments the town, in simulator and rendered images."""

    frames: Positive = 240
    """Frames of each drive; every twentieth is segmented."""
    drives: Positive = 2
    """Number of drives, with seeds 0, 1, ..."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "auto"


def main() -> int:
    """Print a row of the table in docs/guide/evaluation.md for each class."""
    options = parse(PerceptionOptions, None, "research.perception")
    results = perceive(options.model, options.runtime, options.frames, range(options.drives))
    print("| class | simulator | rendered | real |\n| --- | --- | --- | --- |")
    for name in ("mean", *CAMVID_CLASSES):
        values = (results[kind].get(name, float("nan")) for kind in (SIMULATOR, RENDERED, REAL))
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
