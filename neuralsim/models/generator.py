"""The painter: a SPADE encoder-decoder that paints one frame from what the map says about each pixel.

SPADE (Park et al., CVPR 2019) modulates every normalised activation, per pixel, from the semantic map. Here the map's
encoder is a pyramid that the decoder reads level by level, with 1x1 modulation: the 3x3 neighbourhood is already in the
encoder's features. Two choices keep the picture attached to the surfaces when the camera moves: normalisation looks at
one pixel's channels only, and all resampling is filtered (average-pool before a convolution, bilinear upsampling), so
that no pattern can hang on the network's own stride grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS


@dataclass(frozen=True)
class PainterConfig:
    """Sizes of the painter. The tuples hold one value for each level: 1/2, 1/4, 1/8, ... of the frame."""

    labels: int = CHANNELS
    encoder: tuple[int, ...] = (16, 48, 96, 128, 128)  # channels
    decoder: tuple[int, ...] = (32, 48, 96, 128, 128)  # channels
    blocks: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (2,), (2,))  # SPADE residual blocks, convolutions in each
    separable: int = 1  # levels at the fine end, and then the head too, whose 3x3 convolutions are depthwise separable
    embed: int = 8  # channels of the embedded map at full resolution
    head: int = 16  # channels of the last layer but one

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PainterConfig:
        """What ``as_dict`` gave, also after a journey through JSON. Raises TypeError for unknown settings."""

        def whole(value: Any) -> Any:
            return tuple(whole(item) for item in value) if isinstance(value, list | tuple) else value

        return cls(**{key: whole(value) for key, value in values.items()})


#: One architecture at three sizes: for two processor cores, for a desktop GPU, for quality before speed.
SIZES = {
    "street-rt": PainterConfig(),
    "street": PainterConfig(
        encoder=(48, 96, 192, 256, 256),
        decoder=(64, 128, 192, 256, 256),
        blocks=((2,), (2,), (2, 2), (2, 2), (2,)),
        separable=0,
        embed=16,
        head=32,
    ),
    "street-hq": PainterConfig(
        encoder=(64, 128, 256, 384, 512),
        decoder=(96, 192, 320, 512, 512),
        blocks=((2,), (2, 2), (2, 2), (2, 2), (2, 2)),
        separable=0,
        embed=24,
        head=48,
    ),
}

#: Planes beside the one-hot labels: tint (RGB) at the frame's size, instance edge and sketch at half of it.
TINT, DETAIL = 3, 2


class PixelNorm(nn.Module):
    """Root-mean-square normalisation over one pixel's channels (Zhang & Sennrich 2019): cannot flicker."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)


class Spade(nn.Module):
    """y = norm(x) * gamma(map) + beta(map), per pixel (SPADE, equation 1, with 1 + gamma as one bias)."""

    def __init__(self, channels: int, condition: int, normalise: bool) -> None:
        super().__init__()
        self.norm = PixelNorm() if normalise else nn.Identity()
        self.gamma = nn.Conv2d(condition, channels, 1)
        self.beta = nn.Conv2d(condition, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.norm(x) * self.gamma(condition) + self.beta(condition)


def convolution(ins: int, outs: int, separable: bool) -> nn.Module:
    """3x3; separable: each channel by itself, then 1x1 (MobileNet, Howard et al. 2017), a fifth of the time."""
    if not separable:
        return nn.Conv2d(ins, outs, 3, padding=1)
    return nn.Sequential(nn.Conv2d(ins, ins, 3, padding=1, groups=ins), nn.Conv2d(ins, outs, 1))


class SpadeBlock(nn.Module):
    """Residual block of one or more 3x3 convolutions, the first on activations modulated by the map."""

    def __init__(self, channels: int, condition: int, normalise: bool, separable: bool, convolutions: int) -> None:
        super().__init__()
        self.spade = Spade(channels, condition, normalise)
        self.convs = nn.ModuleList(convolution(channels, channels, separable) for _ in range(convolutions))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.spade(x, condition)
        for conv in self.convs:
            y = conv(F.leaky_relu(y, 0.2))
        return x + y


def upsample(x: Tensor) -> Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Painter(nn.Module):
    """``forward(label, tint, detail)`` -> f32 (N, 3, H, W) in about [-1, 1].

    label i64 (N, H, W); tint f32 (N, 3, H, W) in [-0.5, 0.5]; detail f32 (N, 2, H/2, W/2). Height and width are
    multiples of two to the number of levels. All but the embedded map and a thin head works at half size and below:
    on a CPU, full-size planes cost more to move than to compute.
    """

    def __init__(self, config: PainterConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PainterConfig()
        enc, dec = config.encoder, config.decoder
        levels = len(enc)
        self.label = nn.Embedding(config.labels, config.embed - TINT)
        self.detail = nn.Conv2d(DETAIL, enc[0], 3, padding=1)
        self.encode = nn.ModuleList(
            nn.Conv2d(enc[i - 1] if i else config.embed, enc[i], 3, padding=1) for i in range(levels)
        )
        self.start = nn.Conv2d(enc[-1], dec[-1], 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(SpadeBlock(dec[i], enc[i], i > 0, i < config.separable, n) for n in config.blocks[i])
            for i in range(levels)
        )
        self.lower = nn.ModuleList(nn.Conv2d(dec[i + 1], dec[i], 1) for i in range(levels - 1))
        self.to_head = nn.Conv2d(dec[0], config.embed, 1)
        self.head = convolution(config.embed, config.head, config.separable > 0)
        self.rgb = nn.Conv2d(config.head, 3, 1)
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
                last = module.convs[-1]
                last = cast(nn.Conv2d, last[-1] if isinstance(last, nn.Sequential) else last)
                nn.init.normal_(last.weight, std=0.3 / last.weight[0].numel() ** 0.5)
        nn.init.normal_(self.rgb.weight, std=0.02)

    def forward(self, label: Tensor, tint: Tensor, detail: Tensor) -> Tensor:
        return self.paint(torch.cat([tint, self.label(label).permute(0, 3, 1, 2)], 1), detail)

    def _first(self, embedded: Tensor) -> Tensor:
        """3x3 convolution after a 2x2 mean, of every other pixel, as one 4x4 convolution with stride 2."""
        conv = cast(nn.Conv2d, self.encode[0])
        box = torch.full((1, 1, 2, 2), 0.25, dtype=conv.weight.dtype, device=conv.weight.device)
        outs, ins, _, _ = conv.weight.shape
        kernel = F.conv2d(conv.weight.reshape(-1, 1, 3, 3), box, padding=1).reshape(outs, ins, 4, 4)
        return F.conv2d(embedded, kernel, conv.bias, stride=2, padding=1)

    def paint(self, embedded: Tensor, detail: Tensor) -> Tensor:
        """The same from f32 (N, embed, H, W): tint and the label's code, which the graph gets by one look-up."""
        features: list[Tensor] = []
        x = embedded
        for i, conv in enumerate(self.encode):
            x = self._first(x) + self.detail(detail) if i == 0 else conv(F.avg_pool2d(x, 2))
            x = F.leaky_relu(x, 0.2)
            features.append(x)
        x = self.start(x)
        for i in reversed(range(len(features))):
            for block in cast(nn.ModuleList, self.blocks[i]):
                x = block(x, features[i])
            if i:
                x = upsample(self.lower[i - 1](x))
        x = upsample(self.to_head(F.leaky_relu(x, 0.2))) + embedded
        x = F.leaky_relu(self.head(F.leaky_relu(x, 0.2)), 0.2)
        return self.rgb(x) + 2.0 * embedded[:, :TINT]  # starts from the tint
