"""The painter: a SPADE encoder-decoder that paints one frame from what the map says about each pixel.

SPADE (Park et al., CVPR 2019) modulates every normalised activation, per pixel, from the semantic map. Here the map's
encoder is a pyramid that the decoder reads level by level, with 1x1 modulation: the 3x3 neighbourhood is already in the
encoder's features. Two choices keep the picture attached to the surfaces when the camera moves: normalisation looks at
one pixel's channels only, and all resampling is filtered (average-pool before a convolution, bilinear upsampling), so
that no pattern can hang on the network's own stride grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS


@dataclass(frozen=True)
class PainterConfig:
    """Sizes of the painter. ``widths`` are the channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the frame."""

    labels: int = CHANNELS
    encoder: tuple[int, ...] = (32, 64, 96, 128, 128)
    decoder: tuple[int, ...] = (32, 64, 96, 128, 128)
    blocks: tuple[int, ...] = (1, 1, 2, 1, 1)  # SPADE residual blocks at each of these levels
    embed: int = 16  # channels at full resolution: of the embedded map and of the head

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


#: Planes beside the one-hot labels: instance edge, sketch, tint (RGB).
EXTRA_PLANES = 5


class PixelNorm(nn.Module):
    """Root-mean-square normalisation over one pixel's channels (Zhang & Sennrich 2019): cannot flicker."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)


class Spade(nn.Module):
    """y = norm(x) * (1 + gamma(map)) + beta(map), per pixel (SPADE, equation 1)."""

    def __init__(self, channels: int, condition: int, normalise: bool) -> None:
        super().__init__()
        self.norm = PixelNorm() if normalise else nn.Identity()
        self.gamma = nn.Conv2d(condition, channels, 1)
        self.beta = nn.Conv2d(condition, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.norm(x) * self.gamma(condition) + self.beta(condition)


class SpadeBlock(nn.Module):
    """Residual block of two 3x3 convolutions, the first on activations modulated by the map."""

    def __init__(self, channels: int, condition: int, normalise: bool) -> None:
        super().__init__()
        self.spade = Spade(channels, condition, normalise)
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.conv0(F.leaky_relu(self.spade(x, condition), 0.2))
        return x + self.conv1(F.leaky_relu(y, 0.2))


def upsample(x: Tensor) -> Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Painter(nn.Module):
    """``forward(label, extra)``: i64 (N, H, W) and f32 (N, 5, H, W) -> f32 (N, 3, H, W) in about [-1, 1].

    ``extra`` are the planes of ``EXTRA_PLANES``. Height and width are multiples of 32.
    """

    def __init__(self, config: PainterConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PainterConfig()
        enc, dec = config.encoder, config.decoder
        levels = len(enc)
        self.label = nn.Embedding(config.labels, config.embed)  # the same as a 1x1 convolution of one-hot planes
        self.extra = nn.Conv2d(EXTRA_PLANES, config.embed, 1)
        self.encode = nn.ModuleList(
            nn.Conv2d(enc[i - 1] if i else config.embed, enc[i], 3, padding=1) for i in range(levels)
        )
        self.start = nn.Conv2d(enc[-1], dec[-1], 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(SpadeBlock(dec[i], enc[i], normalise=i > 0) for _ in range(config.blocks[i]))
            for i in range(levels)
        )
        self.lower = nn.ModuleList(nn.Conv2d(dec[i + 1], dec[i], 1) for i in range(levels - 1))
        self.to_head = nn.Conv2d(dec[0], config.embed, 1)
        self.head = nn.Conv2d(config.embed, config.embed, 3, padding=1)
        self.rgb = nn.Conv2d(config.embed, 3, 1)
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation (2015), so that the map still has a voice five levels down; residuals begin small."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(cast(Tensor, module.bias))
        for module in self.modules():
            if isinstance(module, Spade):
                nn.init.normal_(module.gamma.weight, std=0.02)
                nn.init.ones_(cast(Tensor, module.gamma.bias))
                nn.init.normal_(module.beta.weight, std=0.1)
            elif isinstance(module, SpadeBlock):
                nn.init.normal_(module.conv1.weight, std=0.3 / module.conv1.in_channels**0.5 / 3)
        nn.init.normal_(self.rgb.weight, std=0.02)

    def forward(self, label: Tensor, extra: Tensor) -> Tensor:
        embedded = self.label(label).permute(0, 3, 1, 2) + self.extra(extra)
        features: list[Tensor] = []
        x = embedded
        for conv in self.encode:
            x = F.leaky_relu(conv(F.avg_pool2d(x, 2)), 0.2)
            features.append(x)
        x = self.start(x)
        for i in reversed(range(len(features))):
            for block in cast(nn.ModuleList, self.blocks[i]):
                x = block(x, features[i])
            if i:
                x = upsample(self.lower[i - 1](x))
        x = upsample(self.to_head(F.leaky_relu(x, 0.2))) + embedded
        x = F.leaky_relu(self.head(F.leaky_relu(x, 0.2)), 0.2)
        return self.rgb(x) + 2.0 * extra[:, -3:]  # starts from the tint
