"""What a guided generator is given of an image: tints without textures, and a sketch of what is left out of them.

The textures of a simulator's surfaces are nothing like a photograph's. A generator that sees them hands them on, where
it should draw its own; so of surfaces it is given the local mean colour of their class, and the rest as a sketch, which
in training is only a hint. Of things, which are small, it is given the image without its finest band. The pattern that
it draws textures with is another input (``surface_texture.py``).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.base.colour import LUMA
from neuralsim.models.sketch_gain import GAIN, LIMIT
from neuralsim.models.surfaces import BLOCK, SURFACES, is_sketched


def with_relief(tint: Tensor, detail: Tensor) -> Tensor:
    """Return ``tint`` f32 (N, 3, H, W), -0.5..0.5, as dark and bright as the sketch says, of the same shape and range:
    an image where there is none.

    ``detail`` f32 (N, 2, H/2, W/2): edges, which are not used, and the sketch, -1..1.
    """
    sketch = detail[:, 1:].clamp(-LIMIT, LIMIT)
    relief = torch.log((1.0 + sketch) / (1.0 - sketch)) * (0.5 / GAIN)  # atanh, which ONNX's exporter lacks
    return (tint + _doubled(relief)).clamp(-0.5, 0.5)


def split_image(image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a guided generator is given of ``image``: tint f32 (N, 3, H, W) and sketch f32 (N, 1, H/2, W/2).

    ``image`` f32 (N, 3, H, W), -0.5..0.5; ``label`` i64 (N, H, W): channels. Height and width are multiples of eight.
    The sketch is tanh(``GAIN`` x) of what is brighter than the tint by x, on surfaces but the sky; elsewhere 0.
    """
    tint = _doubled(F.avg_pool2d(image, 2))
    for channel in SURFACES:
        here = (label == channel)[:, None].to(image.dtype)
        # means of the class's pixels alone (normalised convolution: Knutsson & Westin 1993)
        sums, counts = _spread(F.avg_pool2d(image * here, BLOCK)), _spread(F.avg_pool2d(here, BLOCK))
        tint = tint + here * (sums / counts.clamp(min=1e-4) - tint)
    weights = torch.tensor(LUMA, device=image.device, dtype=image.dtype).reshape(1, 3, 1, 1)
    left_out = F.avg_pool2d(((image - tint) * weights).sum(1, keepdim=True), 2)
    return tint, torch.tanh(GAIN * left_out) * is_sketched(label[:, ::2, ::2])[:, None].to(image.dtype)


def _doubled(planes: Tensor) -> Tensor:
    return F.interpolate(planes, scale_factor=2.0, mode="bilinear", align_corners=False)


def _spread(means: Tensor) -> Tensor:
    return F.interpolate(means, scale_factor=float(BLOCK), mode="bilinear", align_corners=False)
