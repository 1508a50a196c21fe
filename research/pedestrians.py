"""How well a detector of people, trained on photographs alone, detects people of the town.

It is run on the simulator image and on the rendered image.

python -m research.pedestrians --real PENNFUDAN

The detector is OpenCV 4's: histograms of oriented gradients and a linear classifier (Dalal and Triggs, CVPR 2005),
trained on photographs. ``--real`` is a folder of photographs with ``image`` and ``instance``, such as Penn-Fudan.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np

from bridge.messages import Frame
from bridge.process.option_types import Positive
from bridge.process.options import Arg, Options, parse
from bridge.tags import Tag
from neuralsim.base.shared_options import DEFAULT_MODEL, Model, Runtime
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World
from research.detections import Tally

LEAST = 48  # least height of a person in a frame, px; smaller ones count neither as people nor as mistakes
TALL = 100  # height of a person in the detector's window of 128 px
_MARGIN = np.array([16.0, 16.0, 16.0, 16.0]) / (
    64,
    128,
    64,
    128,
)  # of that window around a person: left, top, right, bottom
_WITHIN = (5.0, 9.0)  # distance from the camera, m
_WIDTH, _HEIGHT, _FOV = 512, 256, 70.0
_STILL = 3  # frames rendered of a view


class Detector:
    """A detector of people in images u8 (H, W, 3), RGB. Raises ImportError where OpenCV has no such detector."""

    def __init__(self) -> None:
        kind: Any = getattr(cv2, "HOGDescriptor", None)
        if kind is None:
            raise ImportError(
                f"OpenCV {cv2.__version__} has no detector of people: pip install 'opencv-python-headless<5'"
            )
        self._hog = kind()
        self._hog.setSVMDetector(kind.getDefaultPeopleDetector())

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes f64 (N, 4) of the people: left, top, right, bottom; and their scores f64 (N,)."""
        scale = TALL / LEAST
        larger = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        boxes, scores = self._hog.detectMultiScale(larger, winStride=(4, 4), padding=(16, 16), scale=1.05)
        windows = np.asarray(boxes, float).reshape(-1, 4) / scale
        corners = np.concatenate([windows[:, :2], windows[:, :2] + windows[:, 2:]], axis=1)
        size = np.tile(windows[:, 2:], 2)
        return corners + size * _MARGIN * (1, 1, -1, -1), np.asarray(scores, float).reshape(-1)


def people_of(instance: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Return boxes f64 (N, 4) of the objects ``instance`` u16 (H, W) that bool ``persons`` marks."""
    boxes = []
    for number in np.unique(instance[persons]):
        rows, columns = np.nonzero(persons & (instance == number))
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return np.array(boxes, float).reshape(-1, 4)


def count(tally: Tally, detector: Detector, image: np.ndarray, people: np.ndarray) -> None:
    """Add an image with these people to a tally."""
    tall = people[:, 3] - people[:, 1] >= LEAST
    tally.add(*detector(image), people[tall], people[~tall])


def views(town: str, most: int, seed: int = 0) -> Iterator[list[Frame]]:
    """Yield ``most`` views of nearby walkers, from all sides and entirely visible, each of some frames with the
    simulator image."""
    rng = np.random.default_rng(seed)
    world = World(town, seed, 12, 30)
    attributes = {"image_size_x": str(_WIDTH), "image_size_y": str(_HEIGHT), "fov": str(_FOV)}
    camera = world.spawn("sensor.camera.rgb", attributes, Transform()).id
    made = 0
    for _ in range(40 * most):
        if made == most:
            return
        for _ in range(5):
            world.tick(1.0 / 30.0)
        walkers = [actor for actor in world.actors.values() if actor.blueprint.id.startswith("walker.")]
        walker = walkers[rng.integers(len(walkers))]
        towards, away = rng.uniform(-np.pi, np.pi), rng.uniform(*_WITHIN)
        x, y = walker.transform.x - away * np.cos(towards), walker.transform.y - away * np.sin(towards)
        world.set_transform(camera, Transform(x, y, walker.transform.z + 0.5, 0.0, float(np.degrees(towards))))
        frame = frame_of(world, camera, colour="rgb")
        visible = frame.planes["instance"] == walker.id
        box = people_of(frame.planes["instance"], visible)
        size = box[:, 2:] - box[:, :2]
        if not len(box) or size[0, 1] < LEAST or visible.sum() < 0.25 * np.prod(size):
            continue
        if box[0, :2].min() < 1 or box[0, 2] >= _WIDTH or box[0, 3] >= _HEIGHT:
            continue
        made += 1
        frames = []
        for _ in range(_STILL):
            world.tick(1.0 / 30.0)
            frames.append(frame_of(world, camera, colour="rgb"))
        yield frames


def photographs(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images u8 (H, W, 3) and their people's boxes, scaled to about the height of the people in the views."""
    for path in sorted((folder / "image").iterdir()):
        picture = cv2.imread(str(path))
        instance = cv2.imread(str(folder / "instance" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        if picture is None or instance is None:
            continue
        people = people_of(instance, instance > 0)
        scale = 1.6 * LEAST / float(np.median(people[:, 3] - people[:, 1]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield small[..., ::-1].copy(), people * scale


class PedestrianOptions(Options):
    """Measure how well a detector of people in photographs detects the town's, in simulator and rendered images."""

    frames: Positive = 200
    """Number of views, in all towns together."""
    towns: Annotated[tuple[str, ...], Arg("NAME", spread=True)] = ("oldtown", "suburb")
    real: Path | None = None
    """Folder with photographs to compare with, in ``image`` and ``instance``."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "auto"


def main() -> int:
    """Print a row of the table in docs/guide/perception.md for each kind of image."""
    options = parse(PedestrianOptions, None, "research.pedestrians")
    try:
        detector = Detector()
    except ImportError as error:
        raise SystemExit(f"pedestrians: {error}") from None
    renderer = NeuralRenderer(options.model, options.runtime)
    tallies = {"simulator": Tally(), "rendered": Tally()}
    for town in options.towns:
        for frames in views(town, options.frames // len(options.towns)):
            renderer.reset()
            for frame in frames:
                renderer.follow(frame.weather)
                rendered = renderer.render(frame)
            planes = frame.planes
            people = people_of(planes["instance"], planes["tag"] == Tag.PEDESTRIAN)
            for name, picture in (("simulator", planes["rgb"]), ("rendered", rendered)):
                count(tallies[name], detector, picture, people)
    if options.real is not None:
        tallies["real"] = Tally()
        for picture, people in photographs(options.real):
            count(tallies["real"], detector, picture, people)
    print("| images | people | recall | average precision |\n| --- | --- | --- | --- |")
    for name, tally in tallies.items():
        print(f"| {name} | {tally.objects} | {tally.recall:.2f} | {tally.average_precision:.2f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
