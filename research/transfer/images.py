"""The images of the study: views of the town as the simulator and the generator show them, and real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from bridge.carla_client.weather import preset_values
from bridge.messages import Frame
from neuralsim import classmaps
from neuralsim.evaluation.metric_networks import CAMVID_VOID
from neuralsim.evaluation.real_clip import camvid_label, camvid_of_tag
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World

SIZE = (480, 360)  # px: CamVid's
SIMULATED = ("simulator", "generated", "generated-cambridge")  # folders of images of the same views
_DELTA = 1.0 / 30.0  # s
_VIEWS = 30  # of each world
_BETWEEN = 12  # ticks from one view to the next, which is seen from another car
_WARM = 2  # frames rendered of each view: a generated image has a past
_PLACES = (
    ("oldtown", 0), ("suburb", 1), ("village", 2), ("oldtown", 3), ("suburb", 4), ("hamlet", 5), ("oldtown", 6),
    ("village", 7), ("suburb", 8), ("oldtown", 9), ("motorway", 10), ("suburb", 11),
)  # fmt: skip
_WEATHERS = (
    "Default", "ClearNoon", "CloudyNoon", "CloudyNoon", "WetNoon", "WetCloudyNoon", "SoftRainNoon", "ClearSunset",
    "CloudySunset", "WetCloudySunset",
)  # fmt: skip

Pairs = list[tuple[np.ndarray, np.ndarray]]  # images u8 (360, W, 3) RGB with labels u8 (360, W) of CamVid


def simulate(folder: Path, views: int, runtime: str) -> None:
    """Write ``views`` views of towns: ``label/`` and a folder for each of ``SIMULATED``. What exists stays.

    Each view has a car, a lens and a weather of its own, drawn from a seed per world.
    """
    for kind in ("label", *SIMULATED):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    renderers = {
        "generated": NeuralRenderer("street-rt", runtime, threads=1),
        "generated-cambridge": NeuralRenderer("street-rt", runtime, threads=1, style="cambridge"),
    }
    for first in range(0, views, _VIEWS):
        names = [f"{number:05d}" for number in range(first, min(first + _VIEWS, views))]
        if all((folder / "label" / f"{name}.png").exists() for name in names):
            continue
        for name, frames in zip(names, _views(first // _VIEWS), strict=False):
            images = {"simulator": frames[-1].planes["rgb"]}
            for kind, renderer in renderers.items():
                renderer.reset()
                for frame in frames:
                    images[kind] = renderer.render(frame)
            for kind, image in images.items():
                _write(folder / kind / f"{name}.png", image[..., ::-1])
            label = camvid_label(frames[-1].planes["tag"], frames[-1].planes["instance"])
            _write(folder / "label" / f"{name}.png", label)  # last: the view is complete


def _write(path: Path, image: np.ndarray) -> None:
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"cannot write {path}")


def _views(number: int) -> Iterator[list[Frame]]:
    """Yield the frames of one view after another from a world."""
    town, seed = _PLACES[number % len(_PLACES)]
    world = World(town, seed + 100 * (number // len(_PLACES)), 60, 60)
    rng = np.random.default_rng([number, 5])
    for _ in range(60):
        world.tick(_DELTA)
    while True:
        world.weather = preset_values(str(rng.choice(_WEATHERS)))
        for _ in range(_BETWEEN):
            world.tick(_DELTA)
        cars = [actor.id for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
        lens = {"image_size_x": str(SIZE[0]), "image_size_y": str(SIZE[1]), "fov": f"{rng.uniform(48, 70):.1f}"}
        mount = Transform(
            x=0.6, z=float(rng.uniform(1.25, 1.7)), pitch=float(rng.uniform(-3, 3)), yaw=float(rng.normal(0, 8))
        )
        camera = world.spawn("sensor.camera.rgb", lens, mount, int(rng.choice(cars))).id
        frames = []
        for _ in range(_WARM):
            world.tick(_DELTA)
            frames.append(frame_of(world, camera, "rgb"))
        world.destroy(camera)
        yield frames


def read_simulated(folder: Path, kind: str, views: int) -> Pairs:
    """Return the first ``views`` images of a kind with their labels."""
    names = [f"{number:05d}.png" for number in range(views)]
    return [(_rgb(folder / kind / name), _ids(folder / "label" / name)) for name in names]


def read_camvid(folder: Path) -> Pairs:
    """Return a split of CamVid. Raises ValueError for an empty folder."""
    return _read(folder, lambda label: label)


def read_cityscapes(folder: Path) -> Pairs:
    """Return a folder with Cityscapes' label ids, at CamVid's height; squeezed images become 2:1 again. Raises
    ValueError."""
    table = camvid_of_tag()[classmaps.load("cityscapes").tags]
    return [_scaled(image, label) for image, label in _read(folder, lambda label: table[label])]


def _read(folder: Path, of: Callable[[np.ndarray], np.ndarray]) -> Pairs:
    pairs = [
        (_rgb(next((folder / "image").glob(path.stem + ".*"))), of(_ids(path)))
        for path in sorted((folder / "label").glob("*.png"))
    ]
    if not pairs:
        raise ValueError(f"{folder}: no label/*.png")
    return pairs


def _scaled(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = 2 if image.shape[1] == image.shape[0] else image.shape[1] / image.shape[0]
    size = (round(SIZE[1] * wide), SIZE[1])
    way = cv2.INTER_AREA if image.shape[0] > SIZE[1] else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=way), cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)


def _rgb(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))


def _ids(path: Path) -> np.ndarray:
    label = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    return np.minimum(label, CAMVID_VOID) if label.max() == CAMVID_VOID else label
