"""Losses, each a plain function of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def hinge_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss of the discriminator (Lim & Ye 2017), mean over its heads."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean() for r, f in pairs]).mean()


def hinge_generator(fake: list[Tensor]) -> Tensor:
    """Generator's side of the hinge loss, mean over the heads."""
    return -torch.stack([f.float().mean() for f in fake]).mean()


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """L1 between two lists of features, each level by its own mean magnitude (perceptual loss, Johnson et al. 2016)."""
    return torch.stack(
        [(x.float() - y.float()).abs().mean() / (y.float().abs().mean() + 1e-6) for x, y in zip(a, b, strict=True)]
    ).mean()
