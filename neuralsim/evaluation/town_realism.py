"""Distance of recorded drives through the towns from real images, by a network that no loss has seen."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from bridge.messages import Frame
from bridge.weather import FAIR_WEATHER
from neuralsim.evaluation import measures
from neuralsim.evaluation.content import TOWNS
from neuralsim.evaluation.metric_networks import FEATURE_LAYERS, HERE, MetricNetwork
from neuralsim.imaging.image_files import list_images, read_image
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

SIZE = 512, 256  # width and height at which all images are compared, px
_STRIDES = {"stride8": 8, "stride16": 16}
_EVERY = 8  # frames of a drive from one sampled frame to the next
_RIDE = 5  # sampled frames per car
_RATE = 30.0  # frame rate of the recordings, Hz

Features = dict[str, list[np.ndarray]]


def fitted(image: np.ndarray, interpolation: int | None = None) -> np.ndarray:
    """Return the middle of u8 (H, W, ...), twice as wide as high, scaled to ``SIZE``; by default by area or
    bilinear."""
    height, width = image.shape[:2]
    high, wide = min(height, width // 2), min(width, 2 * height)
    top, left = (height - high) // 2, (width - wide) // 2
    cut = image[top : top + high, left : left + wide]
    if interpolation is None:
        interpolation = cv2.INTER_AREA if wide > SIZE[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, SIZE, interpolation=interpolation))


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
    """Return the Fréchet distance of drives to real images: rendered with the model's past, before and after H.264.

    The drives have the default weather.

    ``real``: folders of images. ``frames``: frames to compare, in all towns together; at most the same number of real
    images.

    Raises:
        ImageError: One of the folders has no image, or a damaged one.
        RecordingError: The recording cannot be written.
    """
    network = MetricNetwork(HERE / "features.onnx", threads)
    files = [file for folder in real for file in list_images(folder)]
    files = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(frames, len(files))).astype(int))]
    features: dict[str, Features] = {
        name: {layer: [] for layer in FEATURE_LAYERS} for name in ("real", "drive", "recorded")
    }
    for file in files:
        _look(network, fitted(cv2.cvtColor(read_image(file), cv2.COLOR_BGR2RGB)), features["real"])
    renderer = NeuralRenderer(model, runtime, guide=guide)
    renderer.follow(FAIR_WEATHER)
    each, done = max(1, frames // len(towns)), 0
    with tempfile.TemporaryDirectory() as folder:
        for name in towns:
            path = Path(folder) / f"{name}.mp4"
            for image in _driven(renderer, name, each, seed, path):
                _look(network, image, features["drive"])
                done += 1
                progress(done, each * len(towns))
            for image in _recorded(path):
                _look(network, image, features["recorded"])
    samples = {name: {layer: np.concatenate(rows) for layer, rows in each.items()} for name, each in features.items()}
    return {
        "frames": done,
        "real": len(files),
        "guide": guide,
        **{
            name: {layer: measures.frechet(samples[name][layer], samples["real"][layer]) for layer in FEATURE_LAYERS}
            for name in ("drive", "recorded")
        },
    }


def _look(network: MetricNetwork, image: np.ndarray, into: Features) -> None:
    for (layer, stride), feature in zip(_STRIDES.items(), network(image), strict=True):
        into[layer].append(measures.patches(feature, stride))


def ride_frames(renderer: NeuralRenderer, town: str, count: int, seed: int) -> Iterator[tuple[Frame, np.ndarray, bool]]:
    """Yield frames of rides through a town, their rendered images, and whether a frame is one of ``count`` samples."""
    drive = TownDrive(*SIZE, seed=seed, town=town)
    for index in range(count * _EVERY):
        if index % (_RIDE * _EVERY) == 0:
            drive.ride()
            renderer.reset()
        frame = drive.next_frame(colour="rgb")
        yield frame, renderer.render(frame).copy(), index % _EVERY == _EVERY - 1


def _driven(renderer: NeuralRenderer, town: str, count: int, seed: int, path: Path) -> Iterator[np.ndarray]:
    """Yield the sampled images of rides through a town, all of whose images are recorded to ``path``."""
    writer = Mp4Writer(path, SIZE, rate=_RATE, block=True)
    try:
        for index, (_, image, is_sampled) in enumerate(ride_frames(renderer, town, count, seed)):
            writer.write(image, index / _RATE)
            if is_sampled:
                yield image
    finally:
        writer.close()
    if writer.error:
        raise RecordingError(writer.error)


def _recorded(path: Path) -> Iterator[np.ndarray]:
    """Yield the same images as decoded from the recording."""
    with av.open(str(path)) as file:
        for index, frame in enumerate(file.decode(video=0)):
            if index % _EVERY == _EVERY - 1:
                yield frame.to_ndarray(format="rgb24")
