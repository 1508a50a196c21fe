"""Consecutive simulator frames as training pairs and clips: exact motion, no real image.

Cars of the embedded town carry a camera in turn; its frames at neighbouring ticks become a pair, or a longer stretch,
with exactly the planes that the shipped graph computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.messages import Frame
from neuralsim.guide.image_guide import ImageGuide
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS
from neuralsim.models.input_planes import Surface
from neuralsim.models.visibility import still_visible
from neuralsim.town.town_drive import TownDrive
from neuralsim.training.data.clips import Clip, halved

MAP = "map_"  # prefix of the files of map pairs (neuralsim/training/data/map_pairs.py)
_GUIDED = 0.6  # share of the drives with the simulator image as a guide
_AMONG_PEOPLE = 0.5  # share of the drives with walkers around, as around a driver; elsewhere hardly any is in sight
_WITHHELD = 0.2  # share of the classes without a guide there
_STRENGTH = (0.6, 1.5)  # range of factors on the guide's sketch
_PLANES = ("label", "tint", "detail", "motion", "visible")
_ALL = ("label", "tint", "detail")  # planes of every frame


def inside(motion: np.ndarray) -> np.ndarray:
    """Return bool (H, W): where a ``motion`` (H, W, 2), px, comes from within the image."""
    height, width = motion.shape[:2]
    x, y = np.arange(width) + motion[..., 0], np.arange(height)[:, None] + motion[..., 1]
    return np.asarray((x >= 0) & (x < width) & (y >= 0) & (y < height))


@dataclass
class Pair:
    """Two neighbouring frames: label i64 (2, H, W), tint f32 (2, 3, H, W), detail f32 (2, 2, H/2, W/2); from the second
    to the first: motion f32 (H, W, 2) px and visibility f32 (1, H, W)."""

    label: Tensor
    tint: Tensor
    detail: Tensor
    motion: Tensor
    visible: Tensor
    still: bool = False  # whether it is made from a label map, not from a drive
    colours: Tensor | None = None  # images f32 (2, 3, H, W) in [-1, 1] whose colours are to be kept; None: the tint's
    taught: bool = False  # whether these are a teacher's, whose textures are learned as well
    dark: bool = False  # whether there is too little light to compare it with photographs

    def window(self, rows: slice, columns: slice) -> Pair:
        """Return ``rows`` and ``columns``, which begin and end at even ones."""
        at, motion = (..., rows, columns), self.motion[rows, columns]
        top, left = (slice(each.start // 2, each.stop // 2) for each in (rows, columns))
        return replace(
            self,
            label=self.label[at],
            tint=self.tint[at],
            detail=self.detail[..., top, left],
            motion=motion,
            visible=self.visible[at] * torch.from_numpy(inside(motion.numpy())),
            colours=None if self.colours is None else self.colours[at],
        )

    def halved(self) -> Pair:
        """Return the same at half the size."""
        small = halved(Clip(self.label[None], self.tint[None], self.detail[None], *self._steps()))
        seen = small.label[0], small.tint[0], small.detail[0], small.motion[0, 1], small.visible[0, 1]
        colours = None if self.colours is None else F.avg_pool2d(self.colours, 2)
        planes: dict[str, Any] = dict(zip(_PLANES, seen, strict=True))
        return replace(self, **planes, colours=colours)

    def _steps(self) -> tuple[Tensor, Tensor]:
        """Return motion and visibility in the form of a clip."""
        return F.pad(self.motion[None, None], (0,) * 6 + (1, 0)), F.pad(self.visible[None, None], (0,) * 6 + (1, 0))

    def to(self, device: str) -> Pair:
        """Return the same on another device."""
        planes: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        moved = {name: plane.to(device) for name, plane in planes.items() if isinstance(plane, Tensor)}
        return replace(self, **dict[str, Any](moved))


def pair_files(folder: Path, driven: bool = False) -> list[Path]:
    """Return the ``.npz`` pairs in ``folder``, with ``driven`` only those of drives. Raises FileNotFoundError when
    there are none."""
    files = sorted(path for path in folder.glob("*.npz") if not (driven and is_map(path)))
    if not files:
        raise FileNotFoundError(f"no .npz pairs in {folder}")
    return files


def is_map(file: Path) -> bool:
    """Return whether it is a map pair (``map_pairs.py``), not one of a drive."""
    return file.name.startswith(MAP)


def load_pair(file: Path) -> Pair:
    """Return one pair; of a longer stretch the first. Raises ValueError for a damaged file."""
    clip = load_clip(file, 2)
    seen = clip.label[0], clip.tint[0], clip.detail[0], clip.motion[0, 1], clip.visible[0, 1]
    return Pair(*seen, is_map(file))


def load_clip(file: Path, frames: int) -> Clip:
    """Return the first ``frames`` of a stretch. Raises ValueError for a damaged file, or one with fewer."""
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
        raise ValueError(f"{file}: damaged; delete it, or the whole folder to record it again") from None
    raise ValueError(f"{file} has {count} frames, rollouts need {frames}: delete its folder to record longer ones")


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
    """Record ``count`` stretches of ``frames`` in each of ``towns`` into ``folder``: another car every eight stretches,
    half a second between two.

    Args:
        folder: Folder to write to, created if needed.
        surface: Surface of the run.
        styles: Name -> style f32 (CHANNELS, 3).
        count: Number of stretches in each town.
        width: Width, px.
        height: Height, px.
        seed: Seed of the towns and everything random.
        towns: Names of maps.
        frames: Frames of each stretch.
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
    """Write ``count`` stretches as files whose paths begin with ``path``.

    Args:
        town: Drive through the town.
        path: Start of the files' paths.
        surface: Surface of the run.
        styles: Name -> style f32 (CHANNELS, 3).
        count: Number of stretches.
        rng: Generator for everything random.
        frames: Frames of each stretch.
    """
    for number in range(count):
        if number % 8 == 0:
            fov, turn = float(rng.choice([60.0, 70.0, 80.0, 90.0])), float(rng.choice([0.0, 0.0, 12.0, -12.0]))
            ahead, high = rng.uniform(0.6, 1.4), rng.uniform(1.38, 1.52)
            town.ride(fov, ahead, high, turn, among_people=bool(rng.random() < _AMONG_PEOPLE))
            style = torch.from_numpy(styles[rng.choice(list(styles))])
            guide = ImageGuide() if rng.random() < _GUIDED else None
        town.skip(int(rng.integers(8, 20)))
        row = [town.next_frame("" if guide is None else "rgb") for _ in range(frames)]
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


def _guide(frame: Frame, guide: ImageGuide, style: Tensor, kept: np.ndarray, strength: float) -> np.ndarray:
    """Return the guide u8 (H, W, 4) of one frame, of the channels ``kept`` bool (CHANNELS,), its sketch scaled by
    ``strength``: the generator should follow it without copying a simulator's smooth surfaces."""
    tag, instance, rgb = (frame.planes[name] for name in ("tag", "instance", "rgb"))
    out = guide.follow(tag, instance, rgb, style.numpy(), frame.sim_time) * kept[CARLA_TO_CHANNEL[tag]][..., None]
    sketch = out[..., 3].astype(np.float32)
    stronger = np.clip((sketch - 128.0) * strength + 128.0, 1.0, 255.0).astype(np.uint8)
    out[..., 3] = np.where(out[..., 3] > 0, stronger, 0)
    return out


def _planes(
    frame: Frame, surface: Surface, style: Tensor, guide: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return label u8 (H, W), tint f16 (3, H, W) and detail f16 (2, H/2, W/2) of one frame."""
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
