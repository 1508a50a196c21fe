"""Neighbouring simulator frames as training pairs: exact motion, no real picture.

The embedded town's cars carry a camera each for a while; what it sees at two neighbouring ticks becomes a pair, with
the very planes that the shipped graph computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from bridge.messages import Frame
from neuralsim.evaluation.town_drive import TownDrive, still_visible
from neuralsim.models.surface import Surface


@dataclass
class Pair:
    """Two neighbouring frames: label i64 (2, H, W), tint f32 (2, 3, H, W), detail f32 (2, 2, H/2, W/2); from the second
    to the first: motion f32 (H, W, 2) px and visibility f32 (1, H, W)."""

    label: Tensor
    tint: Tensor
    detail: Tensor
    motion: Tensor
    visible: Tensor

    def to(self, device: str) -> Pair:
        """The same on another device."""
        return Pair(*(getattr(self, field.name).to(device) for field in fields(self)))


def pair_files(folder: Path) -> list[Path]:
    """The ``.npz`` pairs in ``folder``. Raises FileNotFoundError when there are none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"no .npz pairs in {folder}")
    return files


def load_pair(file: Path) -> Pair:
    """One pair. Raises ValueError for a damaged file."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return Pair(
                label=torch.from_numpy(stored["label"].astype(np.int64)),
                tint=torch.from_numpy(stored["tint"].astype(np.float32)),
                detail=torch.from_numpy(stored["detail"].astype(np.float32)),
                motion=torch.from_numpy(stored["motion"].astype(np.float32)),
                visible=torch.from_numpy(stored["visible"].astype(np.float32))[None],
            )
    except (BadZipFile, KeyError, ValueError, EOFError):
        raise ValueError(f"{file}: damaged; delete it, or the whole folder to have it driven anew") from None


def make_pairs(
    folder: Path,
    surface: Surface,
    styles: dict[str, np.ndarray],
    count: int,
    width: int = 512,
    height: int = 256,
    seed: int = 0,
    towns: Sequence[str] = ("oldtown",),
) -> None:
    """Drive ``count`` pairs out of each of ``towns`` into ``folder``: another car every eight, half a second between
    two."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in towns:
        drive_pairs(
            TownDrive(width, height, seed, town=name), folder / f"{name}_{seed:03d}", surface, styles, count, rng
        )


def drive_pairs(
    town: TownDrive, path: Path, surface: Surface, styles: dict[str, np.ndarray], count: int, rng: np.random.Generator
) -> None:
    """``count`` pairs as files whose names begin with ``path``."""
    for number in range(count):
        if number % 8 == 0:
            fov, turn = float(rng.choice([60.0, 70.0, 80.0, 90.0])), float(rng.choice([0.0, 0.0, 12.0, -12.0]))
            town.ride(fov, rng.uniform(0.6, 1.4), rng.uniform(1.38, 1.52), turn)
            style = torch.from_numpy(styles[rng.choice(list(styles))])
        town.skip(int(rng.integers(8, 20)))
        frames = [town.next(), town.next()]
        planes = [_planes(frame, surface, style) for frame in frames]
        np.savez_compressed(
            path.with_name(f"{path.name}_{number:05d}.npz"),
            label=np.stack([label for label, _, _ in planes]),
            tint=np.stack([tint for _, tint, _ in planes]),
            detail=np.stack([detail for _, _, detail in planes]),
            motion=frames[1].planes["motion"],
            visible=still_visible(*frames),
        )


def _planes(frame: Frame, surface: Surface, style: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label u8 (H, W), tint f16 (3, H, W) and detail f16 (2, H/2, W/2) of one frame."""
    camera = frame.camera
    lens = [camera.focal, camera.focal, camera.width / 2.0, camera.height / 2.0]
    with torch.no_grad():
        label, table, row, detail = surface(
            torch.from_numpy(frame.planes["tag"])[None],
            torch.from_numpy(frame.planes["instance"].astype(np.int32))[None],
            torch.from_numpy(frame.planes["depth"])[None],
            torch.tensor([*camera.pose.ravel(), *lens], dtype=torch.float32),
            style,
        )
        tint = table[row[0]].permute(2, 0, 1)
    return label[0].numpy().astype(np.uint8), tint.numpy().astype(np.float16), detail[0].numpy().astype(np.float16)
