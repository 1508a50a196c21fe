"""The image that a guided generator starts from, where no simulator has one: tint and sketch of the surfaces."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Gain of a sketch: tanh(gain x) of how much brighter a place is than its tint, of 1. About the middle of those in
#: ``neuralsim/training/data/conditioning.py``.
GAIN = 4.5
_LIMIT = 0.95  # of a sketch: beyond it, its inverse grows without bounds


def with_relief(tint: Tensor, detail: Tensor) -> Tensor:
    """Return ``tint`` f32 (N, 3, H, W), -0.5..0.5, as dark and bright as the sketch says: the same shape and range.

    ``detail`` f32 (N, 2, H/2, W/2): edges, which are not used, and the sketch, -1..1.
    """
    relief = torch.atanh(detail[:, 1:].clamp(-_LIMIT, _LIMIT)) * (1.0 / GAIN)
    return (tint + F.interpolate(relief, scale_factor=2.0, mode="bilinear", align_corners=False)).clamp(-0.5, 0.5)
