"""Examples as tensors, and operations on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS
from neuralsim.models.warp import sampling_grid
from neuralsim.training.data.conditioning import Example

if TYPE_CHECKING:
    from neuralsim.training.data.clips import Clip
    from neuralsim.training.data.simulated_pairs import Pair

#: Labels i64 (N, H, W), tints, details and images in [-1, 1], f32 (N, C, H, W).
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class StepBatch(NamedTuple):
    """The input of a step: labelled images and, in some steps, frames of the town or consecutive frames."""

    batch: Batch
    pair: Pair | None = None
    clip: Clip | None = None


def collate(examples: list[Example], device: str = "cpu") -> Batch:
    """Return examples as one batch."""

    def planes(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device).float().contiguous(memory_format=torch.channels_last)

    label = torch.from_numpy(np.stack([e.label for e in examples])).to(device).long()
    image = planes([e.image for e in examples]) / 127.5 - 1
    return label, planes([e.tint for e in examples]), planes([e.detail for e in examples]), image


def one_hot(label: Tensor) -> Tensor:
    """Return f32 (N, CHANNELS, H, W) from i64 (N, H, W)."""
    return F.one_hot(label, CHANNELS).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def blurred(labels: Tensor) -> Tensor:
    """Return which classes are nearby rather than exactly here: clean outlines alone would reveal a simulator's map.

    ``labels`` f32 (N, CHANNELS, H, W).
    """
    small = F.avg_pool2d(labels, 16)
    return F.interpolate(small, scale_factor=16.0, mode="bilinear", align_corners=False)


def warp(image: Tensor, motion: Tensor, mode: str = "bilinear") -> Tensor:
    """Return ``image`` (N, C, H, W), the last frame, as seen from this one: sampled at each pixel plus ``motion``.

    ``motion`` (N, H, W, 2), px.
    """
    return F.grid_sample(image, sampling_grid(motion), mode=mode, padding_mode="border", align_corners=False)


def chained(motions: list[Tensor]) -> Tensor:
    """Return the motion (N, H, W, 2), px, over several frames: from each pixel of the newest frame back to where it was
    before all of them. ``motions``: those from frame to frame, the newest first."""
    whole = motions[0]
    for earlier in motions[1:]:
        whole = whole + warp(earlier.permute(0, 3, 1, 2), whole).permute(0, 2, 3, 1)
    return whole
