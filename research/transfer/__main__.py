"""Does it help on real streets? ``python -m research.transfer CAMVID --cityscapes FOLDER --out DIR``.

One network of fixed recipe (``recipe``: the same layers, steps and augmentation) is trained on each of: the
simulator's images, generated images of the same views, real CamVid, and real and generated ones together. Each is
tested on CamVid's ``val``, and on Cityscapes' labels if given, which none has seen: a segmenter's mean IoU over
CamVid's classes, or a detector's average precision on vehicles, mean and standard deviation over the seeds.

The generator was itself trained on CamVid's ``train`` and on Cityscapes: generated images carry some of both. Each
result is a file in DIR; what exists is not computed again, so an interrupted run continues.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from bridge.process.option_types import Positive
from bridge.process.options import Arg, Options, parse
from neuralsim.base.shared_options import Runtime
from research.transfer import images, recipe
from research.transfer.detector import VehicleDetector
from research.transfer.segmenter import Segmenter

#: What each network is trained on: kinds of images.
ARMS = {
    "simulator": ("simulator",),
    "generated": ("generated",),
    "generated-cambridge": ("generated-cambridge",),
    "real": ("real",),
    "real+simulator": ("real", "simulator"),
    "real+generated": ("real", "generated"),
}

TASKS: dict[str, recipe.Task] = {"segmenter": Segmenter(), "detector": VehicleDetector()}
_TESTED = 100  # images of each of Cityscapes' folders


class TransferOptions(Options):
    """Train a segmenter or a detector on simulated, generated and real images, and test it on real ones."""

    camvid: Annotated[Path, Arg("CAMVID", positional=True)]
    """Folder with train/ and val/."""
    cityscapes: Annotated[tuple[Path, ...], Arg("FOLDER", spread=True)] = ()
    """Folders with image/ and label/ (Cityscapes' label ids), each a test."""
    out: Annotated[Path, Arg("DIR")]
    """Folder for the images and results."""
    task: Literal["segmenter", "detector"] = "segmenter"
    """Classes of all pixels, or boxes of vehicles."""
    images: Positive = 360
    """Views of towns."""
    steps: Positive = 400
    """Training steps of eight crops, for each network."""
    seeds: Positive = 3
    """Networks per kind of images."""
    arms: Annotated[tuple[str, ...], Arg("NAME", spread=True)] = tuple(ARMS)
    """What is trained."""
    threads: Positive = 1
    """CPU threads."""
    runtime: Runtime = "openvino"


def table(results: Sequence[dict[str, Any]], row: str) -> str:
    """Return a figure of the tests as a table: mean ± standard deviation over the seeds."""
    tests = list(results[0]["tests"])
    lines = [f"| trained on | images | seeds | {' | '.join(tests)} |", f"| --- | --- | --- |{' --- |' * len(tests)}"]
    for arm in dict.fromkeys(result["arm"] for result in results):
        rows = [result for result in results if result["arm"] == arm]
        cells = []
        for name in tests:
            values = [each["tests"][name].get(row, float("nan")) for each in rows]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f}")
        lines.append(f"| {arm} | {rows[0]['images']} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


class _Study:
    """What the networks of one call share: features by kind, and test images."""

    def __init__(self, options: TransferOptions) -> None:
        self.options, self.backbone = options, recipe.Backbone(options.threads)
        self.task = TASKS[options.task]
        self.tests = {"CamVid val": images.read_camvid(options.camvid / "val")}
        for folder in options.cityscapes:
            self.tests[folder.name] = images.read_cityscapes(folder)[:_TESTED]
        self._cached: dict[str, recipe.Cached] = {}

    def cached(self, kind: str) -> recipe.Cached:
        """Return the features of a kind of images."""
        if kind not in self._cached:
            options = self.options
            path = options.out / f"features-{kind}-{options.images if kind != 'real' else 'train'}.npz"
            pairs: images.Pairs = []
            if not path.exists():
                folder, real = options.out / "images", options.camvid / "train"
                is_real = kind == "real"
                pairs = images.read_camvid(real) if is_real else images.read_simulated(folder, kind, options.images)
            self._cached[kind] = recipe.cache(pairs, self.backbone, path)
        return self._cached[kind]

    def result(self, arm: str, seed: int) -> dict[str, Any]:
        """Return the figures of one network; train and test it unless they exist."""
        options = self.options
        prefix = "" if options.task == "segmenter" else f"{options.task}-"
        path = options.out / f"{prefix}{arm}-{seed}-{options.images}-{options.steps}.json"
        if not path.exists():
            data = [each for kind in ARMS[arm] for each in self.cached(kind)]
            net = recipe.train(data, self.task, options.steps, seed)
            tests = {name: recipe.test(net, self.task, self.backbone, pairs) for name, pairs in self.tests.items()}
            result = {"arm": arm, "seed": seed, "images": len(data) // recipe.VERSIONS, "tests": tests}
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            means = ", ".join(f"{name} {each[self.task.rows[0]]:.3f}" for name, each in tests.items())
            print(f"{arm}, seed {seed}: {means}", flush=True)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def main() -> int:
    """Run what is missing; print the tables."""
    options = parse(TransferOptions, None, "research.transfer")
    unknown = [arm for arm in options.arms if arm not in ARMS]
    if unknown:
        raise SystemExit(f"transfer: unknown: {unknown[0]}; there are {', '.join(ARMS)}")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    images.simulate(options.out / "images", options.images, options.runtime)
    study = _Study(options)
    results = [study.result(arm, seed) for seed in range(options.seeds) for arm in options.arms]
    results.sort(key=lambda result: list(ARMS).index(result["arm"]))
    for row in study.task.rows:
        print(f"\n{row}\n\n{table(results, row)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
