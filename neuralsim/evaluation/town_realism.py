"""How far recorded drives of the towns are from real pictures, by a network that no loss has seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from neuralsim.evaluation import measures
from neuralsim.evaluation.content import TOWNS
from neuralsim.evaluation.metric_networks import FEATURE_LAYERS, HERE, MetricNetwork
from neuralsim.imaging.picture_files import pictures, read
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.render.daylight import DEFAULT_WEATHER
from neuralsim.town.town_drive import TownDrive

_SIZE = 512, 256  # px, width and height at which all pictures are looked at
_STRIDES = {"stride8": 8, "stride16": 16}
_EVERY = 8  # frames of a drive from one that is looked at to the next
_RIDE = 5  # of those on one car
_RATE = 30.0  # pictures a second of the recordings

Features = dict[str, list[np.ndarray]]


def fitted(picture: np.ndarray) -> np.ndarray:
    """The middle of u8 (H, W, 3), twice as wide as high, scaled to ``_SIZE``."""
    height, width = picture.shape[:2]
    high, wide = min(height, width // 2), min(width, 2 * height)
    top, left = (height - high) // 2, (width - wide) // 2
    cut = picture[top : top + high, left : left + wide]
    return np.asarray(cv2.resize(cut, _SIZE, interpolation=cv2.INTER_AREA if wide > _SIZE[0] else cv2.INTER_LINEAR))


def realism(
    model: str,
    runtime: str,
    real: Sequence[Path],
    frames: int,
    seed: int = 0,
    threads: int | None = None,
    guide: str = "picture",
    towns: Sequence[str] = TOWNS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Fréchet distance of drives to real pictures: painted with the model's past, as H.264 and as painted.

    They are in the weather in which a drive begins.

    Args:
        model: Name of a shipped model or a folder.
        runtime: As for ``neuralsim.runtimes.create``.
        real: Folders of pictures.
        frames: That are looked at, in all towns together; as many of the real ones at most.
        seed: Of the towns' traffic.
        threads: CPU threads of the metric network, None = all.
        guide: One of ``neuralsim.guide.GUIDES``.
        towns: Names of maps.
        progress: Called with the frames done and all of them.

    Raises:
        ImageError: No picture in one of the folders, or a damaged one.
        RecordingError: The recording cannot be written.
    """
    network = MetricNetwork(HERE / "features.onnx", threads)
    files = [file for folder in real for file in pictures(folder)]
    files = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(frames, len(files))).astype(int))]
    found: dict[str, Features] = {
        name: {layer: [] for layer in FEATURE_LAYERS} for name in ("real", "drive", "recorded")
    }
    for file in files:
        _look(network, fitted(cv2.cvtColor(read(file), cv2.COLOR_BGR2RGB)), found["real"])
    renderer = NeuralRenderer(model, runtime, guide=guide)
    renderer.follow(DEFAULT_WEATHER)
    each, done = max(1, frames // len(towns)), 0
    with tempfile.TemporaryDirectory() as folder:
        for name in towns:
            path = Path(folder) / f"{name}.mp4"
            for picture in _driven(renderer, name, each, seed, path):
                _look(network, picture, found["drive"])
                done += 1
                progress(done, each * len(towns))
            for picture in _recorded(path):
                _look(network, picture, found["recorded"])
    samples = {name: {layer: np.concatenate(rows) for layer, rows in each.items()} for name, each in found.items()}
    return {
        "frames": done,
        "real": len(files),
        "guide": guide,
        **{
            name: {layer: measures.frechet(samples[name][layer], samples["real"][layer]) for layer in FEATURE_LAYERS}
            for name in ("drive", "recorded")
        },
    }


def _look(network: MetricNetwork, picture: np.ndarray, into: Features) -> None:
    for (layer, stride), feature in zip(_STRIDES.items(), network(picture), strict=True):
        into[layer].append(measures.patches(feature, stride))


def _driven(renderer: NeuralRenderer, town: str, count: int, seed: int, path: Path) -> Iterator[np.ndarray]:
    """Every ``_EVERY``-th picture of rides through a town, all of which are recorded to ``path``."""
    drive = TownDrive(*_SIZE, seed=seed, town=town)
    writer = Mp4Writer(path, _SIZE, rate=_RATE, block=True)
    try:
        for index in range(count * _EVERY):
            if index % (_RIDE * _EVERY) == 0:
                drive.ride()
                renderer.reset()
            painted = renderer.render(drive.next(picture="rgb")).copy()
            writer.write(painted, index / _RATE)
            if index % _EVERY == _EVERY - 1:
                yield painted
    finally:
        writer.close()
    if writer.error:
        raise RecordingError(writer.error)


def _recorded(path: Path) -> Iterator[np.ndarray]:
    """The same pictures, as a player shows them."""
    with av.open(str(path)) as file:
        for index, frame in enumerate(file.decode(video=0)):
            if index % _EVERY == _EVERY - 1:
                yield frame.to_ndarray(format="rgb24")
