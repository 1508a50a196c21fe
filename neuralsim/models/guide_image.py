"""The image that a guided generator starts from, where no simulator has one: tint and sketch of the surfaces."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.models.sketch_gain import GAIN, LIMIT


def with_relief(tint: Tensor, detail: Tensor) -> Tensor:
    """Return ``tint`` f32 (N, 3, H, W), -0.5..0.5, as dark and bright as the sketch says: the same shape and range.

    ``detail`` f32 (N, 2, H/2, W/2): edges, which are not used, and the sketch, -1..1.
    """
    sketch = detail[:, 1:].clamp(-LIMIT, LIMIT)
    relief = torch.log((1.0 + sketch) / (1.0 - sketch)) * (0.5 / GAIN)  # atanh, which ONNX's exporter lacks
    return (tint + F.interpolate(relief, scale_factor=2.0, mode="bilinear", align_corners=False)).clamp(-0.5, 0.5)
