"""Realism of drives class by class: Fréchet distances of feature cells that show a single class.

Walls are compared with walls and crowns with crowns, whatever share of a frame each has. The scale is the distance
between two sets of real images: a class at 1 is as far from both together as they are from each other.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.weather import FAIR_WEATHER
from neuralsim import classmaps
from neuralsim.evaluation import measures
from neuralsim.evaluation.content import TOWNS
from neuralsim.evaluation.metric_networks import HERE, MetricNetwork
from neuralsim.evaluation.town_realism import SIZE, fitted, ride_frames
from neuralsim.imaging.image_files import ImageError, find_image, list_images, read_ids, read_image
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.recording.reading.random_access_reader import RecordingReader, image_of
from neuralsim.renderer.neural_renderer import NeuralRenderer

#: Classes that are compared, by their names in the results.
CLASSES = {
    "road": Channel.ROAD,
    "pavement": Channel.SIDEWALK,
    "building": Channel.BUILDING,
    "vegetation": Channel.VEGETATION,
    "sky": Channel.SKY,
    "vehicle": Channel.VEHICLE,
}
PURITY = 0.8  # least share of a cell's pixels that have its class
FEWEST = 240  # cells of a class in a sample, twice the channels; with fewer it is not compared
_ROWS = {"cityscapes": 464 / 512}  # share of the rows, from the top, above the bonnet
_REAL_FRAMES = 200  # images of each set, at most

Cells = dict[str, list[np.ndarray]]


def cells(network: MetricNetwork, image: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
    """Return f64 (n, 120) by class: EfficientNet-Lite2's features at stride 16 in the cells that show it.

    ``image`` u8 (H, W, 3), ``channels`` u8 (H, W).
    """
    feature = network(image)[1]
    flat = feature.reshape(len(feature), -1).T.astype(np.float64)
    size = feature.shape[2], feature.shape[1]
    shares = {
        name: cv2.resize((channels == channel).astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel()
        for name, channel in CLASSES.items()
    }
    return {name: flat[share >= PURITY] for name, share in shares.items()}


def compare(
    sample: dict[str, np.ndarray], first: dict[str, np.ndarray], second: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return, by class, the Fréchet distance of ``sample`` to both real sets over that between the sets, and the mean;
    ``by_set`` has the distances to each set alone, over the same.

    A class of fewer than ``FEWEST`` cells in any of them is None, and not in the mean.
    """
    ratios: dict[str, float | None] = {}
    by_set: list[dict[str, float | None]] = [{}, {}]
    for name in CLASSES:
        parts = sample[name], first[name], second[name]
        if min(map(len, parts)) < FEWEST:
            ratios[name] = by_set[0][name] = by_set[1][name] = None
            continue
        scale = measures.frechet(parts[1], parts[2])
        ratios[name] = measures.frechet(parts[0], np.concatenate(parts[1:])) / scale
        for each, real in zip(by_set, parts[1:], strict=True):
            each[name] = measures.frechet(parts[0], real) / scale
    known = [ratio for ratio in ratios.values() if ratio is not None]
    return {"mean": float(np.mean(known)) if known else None, "by_class": ratios, "by_set": by_set}


def realism(
    model: str,
    runtime: str,
    real: Sequence[tuple[str, Path]],
    frames: int,
    seed: int = 0,
    threads: int | None = None,
    guide: str = "picture",
    recordings: Sequence[Path] = (),
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Compare drives through the towns, rendered with past, guide and sharpening as they are shown, with real images.

    The result has ``compare``'s figures of the model and, for reference, of the simulator image of the same frames;
    with ``recordings``, also of their ``neural`` images, and with further real sets, of each of them: ``photographs``.

    ``real``: two sets of labelled images, and any others to compare with them: class map and folder. ``recordings``:
    MCAP files with tags and generated images; ``frames`` are taken from all of them together.

    Raises:
        ImageError: A folder has no labelled images, or a damaged one.
        ClassMapError: A class map cannot be used.
        RecordingError: A recording is damaged, or has no tags or generated images.
    """
    network = MetricNetwork(HERE / "features.onnx", threads)
    known = [real_cells(network, classes, folder) for classes, folder in real]
    sets = [cells_ for _, cells_ in known[:2]]
    renderer = NeuralRenderer(model, runtime, guide=guide)
    renderer.follow(FAIR_WEATHER)
    samples: dict[str, Cells] = {name: _no_cells() for name in ("model", "simulator")}
    per_town, done = max(1, frames // len(TOWNS)), 0
    for town in TOWNS:
        for frame, image, is_sampled in ride_frames(renderer, town, per_town, seed):
            if not is_sampled:
                continue
            channels = CARLA_TO_CHANNEL[frame.planes["tag"]]
            _add(samples["model"], cells(network, image, channels))
            _add(samples["simulator"], cells(network, np.ascontiguousarray(frame.planes["rgb"]), channels))
            done += 1
            progress(done, per_town * len(TOWNS))
    if recordings:
        samples["recordings"] = _no_cells()
        for channels, image in _recorded(recordings, frames):
            _add(samples["recordings"], cells(network, image, channels))
    photographs = [compare(cells_, *sets) for _, cells_ in known[2:]]
    means = [each["mean"] for each in photographs if each["mean"] is not None]
    return {
        "frames": done,
        "real": [{"classes": classes, "images": count} for (classes, _), (count, _) in zip(real, known, strict=True)],
        "guide": guide,
        **{name: compare(_joined(each), *sets) for name, each in samples.items()},
        "photographs": {"mean": float(np.mean(means)) if means else None, "by_folder": photographs},
    }


def labelled_images(folder: Path) -> list[tuple[Path, Path]]:
    """Return images and their label maps in ``folder``, or in its subfolders: ``image/`` and ``label/`` with the same
    names. Raises ImageError where there are none."""
    roots = [root for root in (folder, *sorted(folder.iterdir())) if (root / "label").is_dir()]
    pairs = [(find_image(root / "image", file.stem), file) for root in roots for file in list_images(root / "label")]
    if not pairs:
        raise ImageError(f"{folder}: no image/ and label/ in it or in its subfolders")
    return pairs


def real_cells(network: MetricNetwork, classes: str, folder: Path) -> tuple[int, dict[str, np.ndarray]]:
    """Return the number of images that are used of a real set, and their cells."""
    class_map, pairs = classmaps.load(classes), labelled_images(folder)
    places = np.unique(np.linspace(0, len(pairs) - 1, min(_REAL_FRAMES, len(pairs))).astype(int))
    sample = _no_cells()
    for image_file, label_file in (pairs[place] for place in places):
        image, label = cv2.cvtColor(read_image(image_file), cv2.COLOR_BGR2RGB), read_ids(label_file)
        if label.shape != image.shape[:2]:
            raise ImageError(f"{label_file}: its image has another size")
        rows = round(_ROWS.get(class_map.name, 1.0) * len(label))
        channels = CARLA_TO_CHANNEL[class_map.tags[label[:rows]]]
        _add(sample, cells(network, fitted(image[:rows]), fitted(channels, cv2.INTER_NEAREST)))
    return len(places), _joined(sample)


def _recorded(recordings: Sequence[Path], frames: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield channels u8 (H, W) and generated images u8 (H, W, 3) of ``frames`` frames, evenly from all recordings."""
    for path in recordings:
        with RecordingReader(path) as reader:
            for number in np.linspace(0, len(reader) - 1, max(2, frames // len(recordings)) + 1).astype(int)[1:]:
                recorded = reader.read(int(number))
                image, tags = image_of(recorded, "neural"), recorded.planes["tag"]
                yield fitted(CARLA_TO_CHANNEL[tags], cv2.INTER_NEAREST), fitted(image)


def _no_cells() -> Cells:
    return {name: [] for name in CLASSES}


def _add(sample: Cells, more: dict[str, np.ndarray]) -> None:
    for name, rows in more.items():
        sample[name].append(rows)


def _joined(sample: Cells) -> dict[str, np.ndarray]:
    return {name: np.concatenate(rows) for name, rows in sample.items()}


assert SIZE[0] % 16 == SIZE[1] % 16 == 0  # cells of the label map lie on cells of the features
