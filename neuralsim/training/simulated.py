"""Neighbouring simulator frames as training pairs: exact motion, no real picture.

The embedded town's cars carry a camera each for a while; what it sees at two neighbouring ticks becomes a pair, with
the very planes that the shipped graph computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bridge.messages import Frame
from neuralsim.evaluation.town_drive import TownDrive, still_visible
from neuralsim.models.surface import Surface


@dataclass
class Pair:
    """Two neighbouring frames: label i64 (2, H, W), extra planes f32 (2, 5, H, W); from the second to the first: motion
    f32 (H, W, 2) px and visibility f32 (1, H, W)."""

    label: Tensor
    extra: Tensor
    motion: Tensor
    visible: Tensor


def pairs(folder: Path, seed: int) -> Iterator[Pair]:
    """Endless pairs from the ``.npz`` files in ``folder``, at random. Raises FileNotFoundError when there are none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"no .npz pairs in {folder}")
    rng = np.random.default_rng(seed)
    while True:
        with np.load(files[rng.integers(len(files))]) as stored:
            yield Pair(
                label=torch.from_numpy(stored["label"].astype(np.int64)),
                extra=torch.from_numpy(stored["extra"].astype(np.float32)),
                motion=torch.from_numpy(stored["motion"].astype(np.float32)),
                visible=torch.from_numpy(stored["visible"].astype(np.float32))[None],
            )


def make_pairs(
    folder: Path,
    surface: Surface,
    styles: dict[str, np.ndarray],
    count: int,
    width: int = 512,
    height: int = 256,
    seed: int = 0,
) -> None:
    """Drive ``count`` pairs out of the town into ``folder``: another car every eight, half a second between two."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    town = TownDrive(width, height, seed)
    for number in range(count):
        if number % 8 == 0:
            fov, turn = float(rng.choice([60.0, 70.0, 80.0, 90.0])), float(rng.choice([0.0, 0.0, 12.0, -12.0]))
            town.ride(fov, rng.uniform(0.6, 1.4), rng.uniform(1.38, 1.52), turn)
            style = torch.from_numpy(styles[rng.choice(list(styles))])
        town.skip(int(rng.integers(8, 20)))
        frames = [town.next(), town.next()]
        planes = [_planes(frame, surface, style) for frame in frames]
        np.savez_compressed(
            folder / f"{seed:03d}_{number:05d}.npz",
            label=np.stack([label for label, _ in planes]),
            extra=np.stack([extra for _, extra in planes]),
            motion=frames[1].planes["motion"],
            visible=still_visible(*frames),
        )


def _planes(frame: Frame, surface: Surface, style: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Label u8 (H, W) and the painter's extra planes f16 (5, H, W) of one frame."""
    camera = frame.camera
    lens = [camera.focal, camera.focal, camera.width / 2.0, camera.height / 2.0]
    with torch.no_grad():
        label, extra = surface(
            torch.from_numpy(frame.planes["tag"])[None],
            torch.from_numpy(frame.planes["instance"].astype(np.int32))[None],
            torch.from_numpy(frame.planes["depth"])[None],
            torch.tensor([*camera.pose.ravel(), *lens], dtype=torch.float32),
            style,
        )
    return label[0].numpy().astype(np.uint8), extra[0].numpy().astype(np.float16)
