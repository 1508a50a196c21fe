"""Does it help on real streets? ``python -m research.transfer CAMVID --cityscapes FOLDER --out DIR``.

One segmenter of fixed recipe (``train_segmenter``: the same network, steps and augmentation) is trained on each of: the
simulator's images, generated images of the same frames, real CamVid, and real and generated ones together. Each is
tested on CamVid's ``val``, and on Cityscapes' labels if given, which none of them has seen: mean IoU over CamVid's
classes, mean and standard deviation over the seeds.

The generator was itself trained on CamVid's ``train``: generated images carry some of it. Each result is a file in DIR;
what exists is not computed again, so an interrupted run continues.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from bridge.process.option_types import Positive
from bridge.process.options import Arg, Options, parse
from neuralsim import classmaps
from neuralsim.base.shared_options import DEFAULT_MODEL, Model, Runtime
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, confusion, iou
from neuralsim.evaluation.real_clip import camvid_of_tag, metric_size
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive
from research.train_segmenter import SegmenterNetwork, load, train

ARMS = ("simulator", "generated", "real", "real+generated")
_EVERY = 15  # frames from one that is kept to the next
_RIDE = 120  # frames per car
_TOWNS = ("oldtown", "suburb", "village")

Pairs = list[tuple[np.ndarray, np.ndarray]]  # images u8 (H, W, 3) RGB with labels u8 (H, W) of CamVid


class TransferOptions(Options):
    """Train a segmenter on simulated, generated and real images, and test it on real ones."""

    camvid: Annotated[Path, Arg("CAMVID", positional=True)]
    """Folder with train/ and val/."""
    cityscapes: Annotated[Path, Arg("FOLDER")] | None = None
    """Folder with image/ and label/ (Cityscapes' label ids)."""
    out: Annotated[Path, Arg("DIR")]
    """Folder for the images and results."""
    images: Positive = 360
    """Simulated images."""
    steps: Positive = 2000
    """Training steps of four crops, for each network."""
    seeds: Positive = 3
    """Networks per kind of images."""
    threads: Positive = 2
    """CPU threads."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "openvino"


def simulate(options: TransferOptions) -> tuple[Pairs, Pairs]:
    """Return frames of the town with their labels: the simulator's images and generated ones; from disk if possible."""
    folder = options.out / "images"
    label_of, count = camvid_of_tag(), 0
    for k, town in enumerate(_TOWNS):
        share = options.images // len(_TOWNS) + (k < options.images % len(_TOWNS))
        names = [f"{town}-{number:04d}" for number in range(share)]
        count += share
        if all((folder / "label" / f"{name}.png").exists() for name in names):
            continue
        for kind in (*ARMS[:2], "label"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        drive, renderer = TownDrive(seed=k, town=town), NeuralRenderer(options.model, options.runtime)
        for number, name in enumerate(names):
            for tick in range(_EVERY):
                if (number * _EVERY + tick) % _RIDE == 0:
                    drive.ride()
                    renderer.reset()
                frame = drive.next_frame(colour="rgb")
                generated = renderer.render(frame)
            for kind, image in ((ARMS[0], frame.planes["rgb"]), (ARMS[1], generated)):
                cv2.imwrite(str(folder / kind / f"{name}.png"), metric_size(image, cv2.INTER_AREA)[..., ::-1])
            label = metric_size(label_of[frame.planes["tag"]], cv2.INTER_NEAREST)
            cv2.imwrite(str(folder / "label" / f"{name}.png"), label)  # last: it marks a complete frame
    paths = sorted((folder / "label").glob("*.png"))
    assert len(paths) >= count
    labels = [np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) for path in paths]

    def images(kind: str) -> Pairs:
        read = [np.asarray(cv2.imread(str(folder / kind / path.name), cv2.IMREAD_COLOR_RGB)) for path in paths]
        return list(zip(read, labels, strict=True))

    return images(ARMS[0]), images(ARMS[1])


def cityscapes(folder: Path) -> Pairs:
    """Return images and labels of a folder with Cityscapes' label ids. Raises ValueError for an empty one."""
    tag_of = classmaps.load("cityscapes").tags
    pairs = []
    for path in sorted((folder / "label").glob("*.png")):
        image = cv2.imread(str(next((folder / "image").glob(path.stem + ".*"))), cv2.IMREAD_COLOR_RGB)
        label = camvid_of_tag()[tag_of[np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))]]
        pairs.append((metric_size(np.asarray(image), cv2.INTER_AREA), metric_size(label, cv2.INTER_NEAREST)))
    if not pairs:
        raise ValueError(f"{folder}: no label/*.png")
    return pairs


def test(network: SegmenterNetwork, pairs: Pairs) -> dict[str, float]:
    """Return the IoU of each class that occurs in the labels, and their ``mean``."""
    counts = np.zeros((len(CAMVID_CLASSES),) * 2, np.int64)
    with torch.inference_mode():
        for image, label in pairs:
            logits = network(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float())
            whole = F.interpolate(logits, label.shape, mode="bilinear", align_corners=False)
            counts += confusion(whole.argmax(1)[0].numpy().astype(np.uint8), label)
    each = iou(counts)
    classes = {name: float(value) for name, value in zip(CAMVID_CLASSES, each, strict=True) if not np.isnan(value)}
    return {"mean": float(np.nanmean(each)), **classes}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the results as a table: a row per kind of images, mean ± standard deviation over the seeds."""
    tests = [name for name in results[0] if name not in ("arm", "seed", "steps", "images")]
    lines = [f"| trained on | images | {' | '.join(tests)} |", f"| --- | --- |{' --- |' * len(tests)}"]
    for arm in ARMS:
        rows = [result for result in results if result["arm"] == arm]
        cells = []
        for name in tests:
            values = [row[name]["mean"] for row in rows]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f}")
        lines.append(f"| {arm} | {rows[0]['images']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Run what is missing; print the table."""
    options = parse(TransferOptions, None, "research.transfer")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    simulated, generated = simulate(options)
    real = load(options.camvid / "train")
    data = dict(zip(ARMS, (simulated, generated, real, real + generated), strict=True))
    tests = {"CamVid val": load(options.camvid / "val")}
    if options.cityscapes is not None:
        tests["Cityscapes"] = cityscapes(options.cityscapes)
    results = []
    for seed in range(options.seeds):
        for arm, pairs in data.items():
            path = options.out / f"{arm}-{seed}-{options.steps}.json"
            if not path.exists():
                network, steps = train(pairs, 0.0, seed=seed, steps=options.steps)
                ious = {name: test(network, held) for name, held in tests.items()}
                result = {"arm": arm, "seed": seed, "steps": steps, "images": len(pairs), **ious}
                path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            results.append(json.loads(path.read_text(encoding="utf-8")))
    print(table(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
