"""Simulator frames in a row as training pairs and clips: exact motion, no real picture.

The embedded town's cars carry a camera each for a while; what it sees at neighbouring ticks becomes a pair, or a longer
stretch, with the very planes that the shipped graph computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.messages import Frame
from neuralsim.town.town_drive import TownDrive
from neuralsim.guide.picture_guide import PictureGuide
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS
from neuralsim.models.surface import Surface
from neuralsim.models.warp import still_visible
from neuralsim.training.data.clips import Clip, halved

MAP = "map_"  # pairs of still maps (neuralsim/training/data/map_pairs.py): their files' names begin so
_GUIDED = 0.6  # share of the drives that follow the simulator's picture
_WITHHELD = 0.2  # share of the classes whose guide is withheld there
_STRENGTH = (0.6, 1.5)  # of the guide's sketch, over its own
_ALL = ("label", "tint", "detail")  # planes of every frame


@dataclass
class Pair:
    """Two neighbouring frames: label i64 (2, H, W), tint f32 (2, 3, H, W), detail f32 (2, 2, H/2, W/2); from the second
    to the first: motion f32 (H, W, 2) px and visibility f32 (1, H, W)."""

    label: Tensor
    tint: Tensor
    detail: Tensor
    motion: Tensor
    visible: Tensor
    still: bool = False  # of the labels of a picture, not of a drive

    def halved(self) -> Pair:
        """The same at half the size."""
        small = halved(Clip(self.label[None], self.tint[None], self.detail[None], *self._steps()))
        seen = small.label[0], small.tint[0], small.detail[0], small.motion[0, 1], small.visible[0, 1]
        return Pair(*seen, self.still)

    def _steps(self) -> tuple[Tensor, Tensor]:
        """Motion and visibility as a clip has them."""
        return F.pad(self.motion[None, None], (0,) * 6 + (1, 0)), F.pad(self.visible[None, None], (0,) * 6 + (1, 0))

    def to(self, device: str) -> Pair:
        """The same on another device."""
        planes = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: plane.to(device) for name, plane in planes.items() if name != "still"})


def pair_files(folder: Path, driven: bool = False) -> list[Path]:
    """The ``.npz`` pairs in ``folder``, only those of drives if asked. Raises FileNotFoundError when there are none."""
    files = sorted(path for path in folder.glob("*.npz") if not (driven and is_map(path)))
    if not files:
        raise FileNotFoundError(f"no .npz pairs in {folder}")
    return files


def is_map(file: Path) -> bool:
    """Is it a pair of the labels of a picture (``map_pairs.py``), not of a drive?"""
    return file.name.startswith(MAP)


def load_pair(file: Path) -> Pair:
    """One pair; of a longer stretch its first. Raises ValueError for a damaged file."""
    clip = load_clip(file, 2)
    seen = clip.label[0], clip.tint[0], clip.detail[0], clip.motion[0, 1], clip.visible[0, 1]
    return Pair(*seen, is_map(file))


def load_clip(file: Path, frames: int) -> Clip:
    """The first ``frames`` of a stretch. Raises ValueError for a damaged file, or one with fewer."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            planes = {name: torch.from_numpy(stored[name][:frames].astype(np.float32)) for name in _ALL}
            steps = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in ("motion", "visible")}
        steps = {name: value.reshape(-1, *value.shape[-2 - (name == "motion") :]) for name, value in steps.items()}
        motion, visible = (F.pad(each[: frames - 1].flatten(1), (0, 0, 1, 0)) for each in steps.values())
        size = planes["label"].shape
        count = size[0]
        if count == frames:
            return Clip(
                label=planes["label"].long()[None],
                tint=planes["tint"][None],
                detail=planes["detail"][None],
                motion=motion.reshape(1, *size, 2),
                visible=visible.reshape(1, size[0], 1, *size[1:]),
            )
    except (BadZipFile, KeyError, ValueError, EOFError, RuntimeError):
        raise ValueError(f"{file}: damaged; delete it, or the whole folder to have it driven anew") from None
    raise ValueError(f"{file} has {count} frames, rollouts want {frames}: delete its folder to have longer ones driven")


def make_pairs(
    folder: Path,
    surface: Surface,
    styles: dict[str, np.ndarray],
    count: int,
    width: int = 512,
    height: int = 256,
    seed: int = 0,
    towns: Sequence[str] = ("oldtown",),
    frames: int = 2,
) -> None:
    """Drive ``count`` stretches of ``frames`` out of each of ``towns`` into ``folder``: another car every eight, half a
    second between two.

    Args:
        folder: Made if it is not there.
        surface: Of the run.
        styles: Name -> style f32 (CHANNELS, 3).
        count: Of the stretches in each town.
        width: Pixels.
        height: Pixels.
        seed: Of the towns and all that is random.
        towns: Names of maps.
        frames: Of each stretch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in towns:
        drive_pairs(
            TownDrive(width, height, seed, town=name),
            folder / f"{name}_{seed:03d}",
            surface,
            styles,
            count,
            rng,
            frames,
        )


def drive_pairs(
    town: TownDrive,
    path: Path,
    surface: Surface,
    styles: dict[str, np.ndarray],
    count: int,
    rng: np.random.Generator,
    frames: int = 2,
) -> None:
    """``count`` stretches as files whose names begin with ``path``.

    Args:
        town: That is driven through.
        path: How the files' paths begin.
        surface: Of the run.
        styles: Name -> style f32 (CHANNELS, 3).
        count: Of the stretches.
        rng: Of all that is random.
        frames: Of each stretch.
    """
    for number in range(count):
        if number % 8 == 0:
            fov, turn = float(rng.choice([60.0, 70.0, 80.0, 90.0])), float(rng.choice([0.0, 0.0, 12.0, -12.0]))
            town.ride(fov, rng.uniform(0.6, 1.4), rng.uniform(1.38, 1.52), turn)
            style = torch.from_numpy(styles[rng.choice(list(styles))])
            guide = PictureGuide() if rng.random() < _GUIDED else None
        town.skip(int(rng.integers(8, 20)))
        row = [town.next("" if guide is None else "rgb") for _ in range(frames)]
        kept, strength = rng.random(CHANNELS) > _WITHHELD, rng.uniform(*_STRENGTH)
        guides = [None if guide is None else _guide(frame, guide, style, kept, strength) for frame in row]
        planes = [_planes(frame, surface, style, guide) for frame, guide in zip(row, guides, strict=True)]
        np.savez_compressed(
            path.with_name(f"{path.name}_{number:05d}.npz"),
            label=np.stack([label for label, _, _ in planes]),
            tint=np.stack([tint for _, tint, _ in planes]),
            detail=np.stack([detail for _, _, detail in planes]),
            motion=np.stack([frame.planes["motion"] for frame in row[1:]]),
            visible=np.stack([still_visible(*pair) for pair in pairwise(row)]),
        )


def _guide(frame: Frame, guide: PictureGuide, style: Tensor, kept: np.ndarray, strength: float) -> np.ndarray:
    """The guide u8 (H, W, 4) of one frame, of the channels ``kept`` bool (CHANNELS,) and with its sketch at another
    ``strength``: what is painted should believe it without copying a simulator's plastic."""
    tag, instance, rgb = (frame.planes[name] for name in ("tag", "instance", "rgb"))
    out = guide.follow(tag, instance, rgb, style.numpy(), frame.sim_time) * kept[CARLA_TO_CHANNEL[tag]][..., None]
    sketch = out[..., 3].astype(np.float32)
    stronger = np.clip((sketch - 128.0) * strength + 128.0, 1.0, 255.0).astype(np.uint8)
    out[..., 3] = np.where(out[..., 3] > 0, stronger, 0)
    return out


def _planes(
    frame: Frame, surface: Surface, style: Tensor, guide: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label u8 (H, W), tint f16 (3, H, W) and detail f16 (2, H/2, W/2) of one frame."""
    guides = None if guide is None else torch.from_numpy(guide).permute(2, 0, 1)[None]
    camera = frame.camera
    lens = [camera.focal, camera.focal, camera.width / 2.0, camera.height / 2.0]
    with torch.no_grad():
        label, table, row, detail = surface(
            torch.from_numpy(frame.planes["tag"])[None],
            torch.from_numpy(frame.planes["instance"].astype(np.int32))[None],
            torch.from_numpy(frame.planes["depth"])[None],
            torch.tensor([*camera.pose.ravel(), *lens], dtype=torch.float32),
            style,
            guides,
        )
        tint = table[row[0]].permute(2, 0, 1)
        if guides is not None:
            tint = surface.tinted(tint[None], guides)[0]
    return label[0].numpy().astype(np.uint8), tint.numpy().astype(np.float16), detail[0].numpy().astype(np.float16)
