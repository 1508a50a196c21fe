"""Pairs of simulator frames for a guided generator: the simulator's image, the next one, and a teacher's of both.

The embedded towns give exact motion, and a larger model's images of the same frames as a teacher's. Labelled images of
other simulators have neither: two views of one image stand in for neighbouring frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import torch

from bridge.weather import FAIR_WEATHER, darkness
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel
from neuralsim.models.guide_image import split_image, with_relief
from neuralsim.models.visibility import still_visible
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive
from neuralsim.training.data import conditioning, looks, textures
from neuralsim.training.data.conditioning import Picture
from neuralsim.training.data.simulated_pairs import Pair, inside, is_map, load_pair

_PER_WORLD, _PER_CAR = 16, 4  # pairs of one traffic and weather, and of one car
_AMONG_PEOPLE = 0.6  # share of the cars with walkers around
_FARTHEST = 8  # greatest offset between two views of one image, px
_DARK = 0.2  # ``darkness`` from which there are no photographs to compare with
_BRIGHTNESS, _NIGHT = 0.36, 0.17  # of what is below the sky, 0..1: of photographs, and of night
_BLUR_SHARE = 0.4  # share of the pairs whose simulator images are blurred
_WITHHOLDING = 0.15  # share of the classes without a sketch
_STRENGTH = (0.5, 1.4)  # range of factors on the sketches of classes


def load_guided_pair(file: Path, rng: np.random.Generator, window: tuple[int, int] = (0, 0)) -> Pair:
    """Return a pair of ``make_guided_pairs`` in a random look, or a pair of a label map with the image of its surfaces.

    ``window``: as for ``conditioning.random_window``. Raises ValueError for a damaged file.
    """
    if is_map(file):
        pair = load_pair(file)
        pair = pair.window(*conditioning.random_window(pair.label.shape[1:], window, rng))
        tint, sketch = split_image(with_relief(pair.tint, pair.detail), pair.label)
        textured = _textures(pair.label.numpy(), pair.motion.numpy(), pair.visible.numpy(), rng)
        return replace(pair, tint=tint, detail=torch.cat([textured, sketch], 1))
    try:
        with np.load(file, allow_pickle=False) as stored:
            planes = {name: stored[name] for name in ("label", "guide", "reference", "motion", "visible", "dark")}
    except (BadZipFile, KeyError, ValueError, EOFError):
        raise ValueError(f"{file}: damaged; delete it, or the whole folder to record it again") from None
    rows, columns = conditioning.random_window(planes["label"].shape[1:], window, rng)
    for name in ("label", "guide", "reference", "motion"):
        planes[name] = planes[name][:, rows, columns]
    visible = planes["visible"].reshape(-1, *planes["visible"].shape[-2:])[:1, rows, columns]
    motion, visible = planes["motion"][0].astype(np.float32), visible.astype(np.float32)
    pair = _pair(planes["label"], planes["guide"], motion, visible * inside(motion), rng)
    return replace(pair, colours=_image(planes["reference"]), taught=True, dark=float(planes["dark"]) > _DARK)


def view_pair(
    picture: Picture, width: int, height: int, rng: np.random.Generator, window: tuple[int, int] = (0, 0)
) -> Pair:
    """Return two views of a labelled image of a simulator, some pixels apart, in a random look.

    Their colours are its own, exposed as photographs are.

    Args:
        picture: A labelled image.
        width: Width of the image that the views are of, px.
        height: Height of that image, px.
        rng: Generator for everything random.
        window: As for ``conditioning.random_window``: the part of the image that the views show.
    """
    larger = conditioning.crop(picture, width + _FARTHEST, height + _FARTHEST, rng)
    rows, columns = conditioning.random_window((height, width), window, rng)
    width, height = columns.stop - columns.start, rows.stop - rows.start
    larger = larger.window(slice(rows.start, rows.stop + _FARTHEST), slice(columns.start, columns.stop + _FARTHEST))
    at = rng.integers(0, _FARTHEST + 1, (2, 2))
    label, image = (
        np.stack([plane[y : y + height, x : x + width] for x, y in at]) for plane in (larger.label, larger.image)
    )
    step = (at[1] - at[0]).astype(np.float32)
    motion = np.broadcast_to(step, (height, width, 2)).copy()
    pair = _pair(label, image, motion, inside(motion)[None].astype(np.float32), rng)
    colours, is_dark = exposed(image, label)
    return replace(pair, colours=_image(colours), dark=is_dark)


def exposed(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return ``image`` u8 (..., H, W, 3) as bright below the sky as photographs are, and whether it is too dark for
    that: then it is as it was.

    Simulators expose for whatever their engine's defaults are: at noon, roads are white. ``label`` u8 (..., H, W).
    """
    below = image[label != Channel.SKY]
    mean = float(below.mean()) / 255.0 if len(below) else _BRIGHTNESS
    if mean < _NIGHT:
        return image, True
    # a curve that keeps black and white, and brings the mean to where photographs have it
    gamma = np.log(_BRIGHTNESS) / np.log(min(mean, 0.95))
    curve = (np.linspace(0.0, 1.0, 256) ** np.clip(gamma, 0.6, 2.2) * 255.0).astype(np.uint8)
    return curve[image], False


def _pair(
    label: np.ndarray, guide: np.ndarray, motion: np.ndarray, visible: np.ndarray, rng: np.random.Generator
) -> Pair:
    """Return a pair whose guide u8 (2, H, W, 3) has a random look, the same in both frames."""
    curves = looks.random_look(rng, 1.0 if rng.random() < 0.5 else 0.3)
    saturation = float(np.exp(rng.normal(0.0, 0.25)))
    seen = [looks.apply_look(each, curves, saturation) for each in guide]
    if rng.random() < _BLUR_SHARE:
        sigma = float(rng.uniform(0.4, 1.2))
        seen = [cv2.GaussianBlur(each, (0, 0), sigma) for each in seen]
    channels = torch.from_numpy(label.astype(np.int64))
    tint, sketch = split_image(torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2) - 0.5, channels)
    strength = np.where(rng.random(CHANNELS) < _WITHHOLDING, 0.0, rng.uniform(*_STRENGTH, CHANNELS)).astype(np.float32)
    sketch = (sketch * torch.from_numpy(strength)[channels[:, None, ::2, ::2]]).clamp(-1.0, 1.0)
    return Pair(
        label=channels,
        tint=tint,
        detail=torch.cat([_textures(label, motion, visible, rng), sketch], 1),
        motion=torch.from_numpy(motion),
        visible=torch.from_numpy(visible),
    )


def _textures(label: np.ndarray, motion: np.ndarray, visible: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Return the textures of both frames, f32 (2, 1, H/2, W/2)."""
    small, step = label[:, ::2, ::2].astype(np.uint8), motion[::2, ::2].astype(np.float32) / 2.0
    first = textures.noise(small[0], rng)
    following = textures.moved(first, small[1], step, visible[0, ::2, ::2] > 0.5, rng)
    return torch.from_numpy(np.stack([first, following]))[:, None]


def _image(images: np.ndarray) -> torch.Tensor:
    """Return images u8 (N, H, W, 3) as f32 (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def make_guided_pairs(
    folder: Path,
    teacher: str,
    count: int,
    width: int = 512,
    height: int = 256,
    seed: int = 0,
    towns: Sequence[str] = ("oldtown",),
) -> None:
    """Record ``count`` pairs in each of ``towns`` into ``folder``, in any weather, with the images of a ``teacher``.

    Args:
        folder: Folder to write to, created if needed.
        teacher: Name of a shipped model or a folder.
        count: Number of pairs in each town.
        width: Width, px.
        height: Height, px.
        seed: Seed of everything random.
        towns: Names of maps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    renderer = NeuralRenderer(teacher, size=(width, height), postprocess=False)
    for name in towns:
        town: TownDrive | None = None
        for number in range(count):
            if town is None or number % _PER_WORLD == 0:
                weather = random_weather(rng)
                town = TownDrive(width, height, int(rng.integers(1 << 16)), town=name, weather=weather)
                renderer.follow(weather)
            if number % _PER_CAR == 0:
                fov, turn = float(rng.choice([60.0, 70.0, 80.0, 90.0])), float(rng.choice([0.0, 0.0, 0.0, 12.0, -12.0]))
                ahead, high = rng.uniform(0.6, 1.4), rng.uniform(1.3, 1.6)
                town.ride(fov, ahead, high, turn, among_people=bool(rng.random() < _AMONG_PEOPLE))
            town.skip(int(rng.integers(10, 24)))
            row = [town.next_frame("rgb") for _ in (0, 1)]
            references = []
            for frame in row:
                renderer.reset()
                references.append(renderer.generate(frame).rgb)
            np.savez_compressed(
                folder / f"{name}_{seed:03d}_{number:05d}.npz",
                label=np.stack([CARLA_TO_CHANNEL[frame.planes["tag"]] for frame in row]),
                guide=np.stack([frame.planes["rgb"] for frame in row]),
                reference=np.stack(references),
                motion=np.stack([frame.planes["motion"] for frame in row[1:]]),
                visible=np.stack([still_visible(*each) for each in pairwise(row)]),
                dark=np.float32(darkness(weather)),
            )


def random_weather(rng: np.random.Generator) -> dict[str, float]:
    """Return ``carla.WeatherParameters`` by name: mostly by day, sometimes a low sun or night, sometimes wet."""
    kind = rng.random()
    altitude = rng.uniform(-1.0, 12.0) if kind < 0.15 else rng.uniform(-60.0, -3.0) if kind < 0.27 else None
    weather = FAIR_WEATHER | {
        "cloudiness": float(rng.choice([5.0, 20.0, 50.0, 80.0, 100.0])),
        "sun_azimuth_angle": float(rng.uniform(0.0, 360.0)),
        "sun_altitude_angle": float(rng.uniform(12.0, 80.0) if altitude is None else altitude),
    }
    if rng.random() < 0.25:
        wet = {name: float(rng.uniform(10.0, 100.0)) for name in ("precipitation_deposits", "wetness")}
        weather |= wet | {"cloudiness": float(rng.uniform(60.0, 100.0))}
    return weather
