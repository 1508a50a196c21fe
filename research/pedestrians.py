"""Does a detector of people that never saw a simulator find those of the town: in the simulator's picture, and painted?

python -m research.pedestrians --real PENNFUDAN

The detector is OpenCV 4's: histograms of oriented gradients and a linear classifier (Dalal and Triggs, CVPR 2005),
learned from photographs. ``--real`` are photographs with ``image`` and ``instance`` folders, as of Penn-Fudan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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

LEAST = 48  # px of height in a frame, below which a person is neither to be found nor counted as a mistake
TALL = 100  # px of a person in the detector's window of 128
_MARGIN = np.array([16.0, 16.0, 16.0, 16.0]) / (64, 128, 64, 128)  # of that window, round a person: left, top, ...
_SAME = 0.5  # intersection over union from which on a box is a person's
_WITHIN = (5.0, 9.0)  # m of the camera
_WIDTH, _HEIGHT, _FOV = 512, 256, 70.0
_STILL = 3  # frames that a painter gets of a view


@dataclass
class Tally:
    """What was found, from the surest on, and how many there were to be found."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    people: int = 0

    def add(self, boxes: np.ndarray, scores: np.ndarray, people: np.ndarray, small: np.ndarray) -> None:
        """Boxes f64 (N, 4) of a picture: left, top, right, bottom; each person counts for the surest of theirs, and a
        box on a person who is ``small`` for nothing."""
        free = np.ones(len(people), bool)
        self.people += len(people)
        for k in np.argsort(-scores, kind="stable"):
            overlaps = overlap(boxes[k], people)
            best = int(np.argmax(np.where(free, overlaps, 0.0))) if len(people) else -1
            if best >= 0 and free[best] and overlaps[best] >= _SAME:
                free[best] = False
            elif (overlap(boxes[k], small) >= _SAME).any():
                continue
            else:
                best = -1
            self.scores.append(float(scores[k]))
            self.right.append(best >= 0)

    @property
    def recall(self) -> float:
        """Share of the people that were found at all."""
        return sum(self.right) / max(self.people, 1)

    @property
    def average_precision(self) -> float:
        """Average precision: the area below precision over recall, precision taken as its best from there on."""
        right = np.array(self.right)[np.argsort(-np.array(self.scores), kind="stable")]
        found = np.cumsum(right)
        precision = np.maximum.accumulate((found / np.arange(1, len(right) + 1))[::-1])[::-1]
        return float((precision * right).sum() / max(self.people, 1))


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box f64 (4,) with others (N, 4), f64 (N,)."""
    size = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.prod(np.maximum(size, 0.0), axis=1)
    each = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(both / (np.prod(box[2:] - box[:2]) + each - both))


class Detector:
    """Finds people in pictures u8 (H, W, 3), RGB. Raises ImportError where OpenCV has no such detector."""

    def __init__(self) -> None:
        kind: Any = getattr(cv2, "HOGDescriptor", None)
        if kind is None:
            raise ImportError(
                f"OpenCV {cv2.__version__} has no detector of people: pip install 'opencv-python-headless<5'"
            )
        self._hog = kind()
        self._hog.setSVMDetector(kind.getDefaultPeopleDetector())

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes f64 (N, 4): left, top, right, bottom, of the people themselves; and how sure they are, f64 (N,)."""
        scale = TALL / LEAST
        larger = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found, scores = self._hog.detectMultiScale(larger, winStride=(4, 4), padding=(16, 16), scale=1.05)
        windows = np.asarray(found, float).reshape(-1, 4) / scale
        corners = np.concatenate([windows[:, :2], windows[:, :2] + windows[:, 2:]], axis=1)
        size = np.tile(windows[:, 2:], 2)
        return corners + size * _MARGIN * (1, 1, -1, -1), np.asarray(scores, float).reshape(-1)


def people_of(instance: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Boxes f64 (N, 4) of the objects ``instance`` u16 (H, W) that bool ``persons`` marks."""
    boxes = []
    for number in np.unique(instance[persons]):
        rows, columns = np.nonzero(persons & (instance == number))
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return np.array(boxes, float).reshape(-1, 4)


def judge(tally: Tally, detector: Detector, picture: np.ndarray, people: np.ndarray) -> None:
    """Add a picture with these people to a tally."""
    tall = people[:, 3] - people[:, 1] >= LEAST
    tally.add(*detector(picture), people[tall], people[~tall])


def views(town: str, most: int, seed: int = 0) -> Iterator[list[Frame]]:
    """``most`` views of walkers near by, each of some frames with the town's picture: from all sides, nobody cut."""
    rng = np.random.default_rng(seed)
    world = World(town, seed, 12, 30)
    attributes = {"image_size_x": str(_WIDTH), "image_size_y": str(_HEIGHT), "fov": str(_FOV)}
    camera = world.spawn("sensor.camera.rgb", attributes, Transform()).id
    found = 0
    for _ in range(40 * most):
        if found == most:
            return
        for _ in range(5):
            world.tick(1.0 / 30.0)
        walkers = [actor for actor in world.actors.values() if actor.blueprint.id.startswith("walker.")]
        who = walkers[rng.integers(len(walkers))]
        towards, away = rng.uniform(-np.pi, np.pi), rng.uniform(*_WITHIN)
        x, y = who.transform.x - away * np.cos(towards), who.transform.y - away * np.sin(towards)
        world.set_transform(camera, Transform(x, y, who.transform.z + 0.5, 0.0, float(np.degrees(towards))))
        frame = frame_of(world, camera, picture="rgb")
        seen = frame.planes["instance"] == who.id
        box = people_of(frame.planes["instance"], seen)
        size = box[:, 2:] - box[:, :2]
        if not len(box) or size[0, 1] < LEAST or seen.sum() < 0.25 * np.prod(size):
            continue
        if box[0, :2].min() < 1 or box[0, 2] >= _WIDTH or box[0, 3] >= _HEIGHT:
            continue
        found += 1
        frames = []
        for _ in range(_STILL):
            world.tick(1.0 / 30.0)
            frames.append(frame_of(world, camera, picture="rgb"))
        yield frames


def photographs(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures u8 (H, W, 3) and their people's boxes, so small that the tallest is as tall as those of the views."""
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
    """How well a detector of people in photographs finds the town's, in the simulator's picture and painted."""

    frames: Positive = 200
    """Views, in all towns together."""
    towns: Annotated[tuple[str, ...], Arg("NAME", spread=True)] = ("oldtown", "suburb")
    real: Path | None = None
    """Folder with photographs to compare with: ``image``, ``instance``."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "auto"


def main() -> int:
    """The command line: a row of the table in docs/perception.md for each kind of picture."""
    options = parse(PedestrianOptions, None, "research.pedestrians")
    try:
        detector = Detector()
    except ImportError as error:
        raise SystemExit(f"pedestrians: {error}") from None
    painter = NeuralRenderer(options.model, options.runtime)
    tallies = {"simulator": Tally(), "painted": Tally()}
    for town in options.towns:
        for frames in views(town, options.frames // len(options.towns)):
            painter.reset()
            for frame in frames:
                painted = painter.render(frame)
            planes = frame.planes
            people = people_of(planes["instance"], planes["tag"] == Tag.PEDESTRIAN)
            for name, picture in (("simulator", planes["rgb"]), ("painted", painted)):
                judge(tallies[name], detector, picture, people)
    if options.real is not None:
        tallies["real"] = Tally()
        for picture, people in photographs(options.real):
            judge(tallies["real"], detector, picture, people)
    print("| pictures | people | found | average precision |\n| --- | --- | --- | --- |")
    for name, tally in tallies.items():
        print(f"| {name} | {tally.people} | {tally.recall:.2f} | {tally.average_precision:.2f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
