"""The generator: a SPADE encoder-decoder that generates one frame from what is known about each pixel.

SPADE (Park et al., CVPR 2019) modulates every normalised activation, per pixel, from the semantic map. Here the map's
encoder is a pyramid that the decoder reads level by level, with 1x1 modulation: the 3x3 neighbourhood is already in the
encoder's features. Two choices keep the image attached to the surfaces when the camera moves: normalisation looks at
one pixel's channels only, and all resampling is filtered (average-pool before a convolution, bilinear upsampling), so
that no pattern can follow the network's own stride grid.

A generator that sees the past (``past_frames``) is vid2vid's: every block is also modulated by the warped past, as in
few-shot and world-consistent vid2vid (Wang et al., NeurIPS 2019; Mallya et al., ECCV 2020), but only its background;
movers have a decoder of their own that sees the map alone (vid2vid, section 3.1).
``neuralsim/models/video_generator.py`` warps and composes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS, is_mover
from neuralsim.models.flow_head import FlowHead


@dataclass(frozen=True)
class GeneratorConfig:
    """The sizes of a generator; tuples hold one value for each level: 1/2, 1/4, 1/8, ... of the frame."""

    labels: int = CHANNELS
    encoder: tuple[int, ...] = (16, 48, 96, 128, 128)  # channels
    decoder: tuple[int, ...] = (32, 48, 96, 128, 128)  # channels
    blocks: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (2,), (2,))  # SPADE residual blocks, convolutions in each
    separable: int = 1  # levels at the fine end, and then the head too, whose 3x3 convolutions are depthwise separable
    embed: int = 8  # channels of the embedded map at full resolution
    head: int = 16  # channels of the last layer but one
    head_layers: int = 1  # 3x3 convolutions at full resolution
    guided: bool = False  # whether tint and sketch are those of a simulator's image; it sees textures, not edges
    past_frames: int = 0  # L: warped images of the past that it sees; 0: it sees the map alone
    past: tuple[int, ...] = ()  # channels of the past's pyramid
    foreground: tuple[int, ...] = ()  # channels of the decoder of movers; empty: movers are generated with the rest
    mask: bool = False  # whether it estimates where the past is valid; else that follows from the classes alone
    flow: int = 0  # channels of the head that estimates motion where the engine gives none; 0: no such head
    pool: int = 2  # side of the means that halve the size, 2 or 4: with 4, textures swim less but are softer
    blend_factor: float = 0.23  # least blend weight of each pixel: share of the newly generated pixel
    blend_movers: float = 0.0  # least blend weight of movers, where that is more
    clip_gamma: float = 1.9  # standard deviations around the local mean to which the past is clipped; 0: no bound

    def __post_init__(self) -> None:
        if not (0.0 <= self.blend_factor <= 1.0 and 0.0 <= self.blend_movers <= 1.0) or self.clip_gamma < 0.0:
            raise ValueError("`blend_factor` and `blend_movers` are weights, 0 to 1, and `clip_gamma` is 0 or more")
        if self.pool not in (2, 4):
            raise ValueError("`pool` is 2 or 4")
        if not self.past_frames and (self.past or self.foreground or self.mask or self.flow):
            raise ValueError("`past`, `foreground`, `mask` and `flow` need `past_frames`")
        if self.past_frames and len(self.past) != len(self.encoder):
            raise ValueError(f"`past` needs one number of channels for each of the {len(self.encoder)} levels")

    @property
    def blend(self) -> tuple[float, ...]:
        """The least blend weight of each class."""
        moving = max(self.blend_factor, self.blend_movers)
        return tuple(moving if is_mover(channel) else self.blend_factor for channel in range(CHANNELS))

    def as_dict(self) -> dict[str, object]:
        """Return the settings by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GeneratorConfig:
        """Return the config of ``as_dict``, also after a round trip through JSON. Raises TypeError for unknown
        settings."""

        def as_tuples(value: Any) -> Any:
            return tuple(as_tuples(item) for item in value) if isinstance(value, list | tuple) else value

        return cls(**{key: as_tuples(value) for key, value in values.items()})


#: One architecture at three sizes: two for two processor cores, of which one starts from a simulator's image, and one
#: for a desktop GPU.
SIZES = {
    "street-guided": GeneratorConfig(
        encoder=(16, 48, 96, 128, 128),
        decoder=(32, 64, 128, 160, 160),
        blocks=((1,), (1,), (2,), (2,), (2,)),
        separable=0,
        head_layers=2,
        guided=True,
        pool=4,
    ),
    "street-rt": GeneratorConfig(pool=4),
    "street": GeneratorConfig(
        encoder=(48, 96, 192, 256, 256),
        decoder=(64, 128, 192, 256, 256),
        blocks=((2,), (2,), (2, 2), (2, 2), (2,)),
        separable=0,
        embed=16,
        head=32,
        past_frames=2,
        past=(16, 24, 32, 48, 64),
        foreground=(16, 32, 48, 64, 64),
        mask=True,
        flow=16,
        pool=4,
    ),
}

#: Channels of the planes in addition to the labels: tint (RGB) at the frame's size, instance edge (of a guided
#: generator: texture) and sketch at half of it.
TINT, DETAIL = 3, 2


class PixelNorm(nn.Module):
    """A root-mean-square normalisation over one pixel's channels (Zhang & Sennrich 2019), which cannot flicker."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)


class Spade(nn.Module):
    """The modulation y = norm(x) * gamma(map) + beta(map), per pixel (SPADE, equation 1, with 1 + gamma as one
    bias)."""

    def __init__(self, channels: int, condition: int, normalise: bool) -> None:
        super().__init__()
        self.norm = PixelNorm() if normalise else nn.Identity()
        self.gamma = nn.Conv2d(condition, channels, 1)
        self.beta = nn.Conv2d(condition, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.norm(x) * self.gamma(condition) + self.beta(condition)


def convolution(ins: int, outs: int, separable: bool) -> nn.Module:
    """Return a 3x3 convolution; separable: depthwise, then 1x1 (MobileNet, Howard et al. 2017), in a fifth of the
    time."""
    if not separable:
        return nn.Conv2d(ins, outs, 3, padding=1)
    return nn.Sequential(nn.Conv2d(ins, ins, 3, padding=1, groups=ins), nn.Conv2d(ins, outs, 1))


class PastModulation(nn.Module):
    """The modulation y * (1 + gamma(past)) + beta(past), per pixel; without biases, so that an empty past has no
    effect."""

    def __init__(self, channels: int, past: int) -> None:
        super().__init__()
        self.gamma = nn.Conv2d(past, channels, 1, bias=False)
        self.beta = nn.Conv2d(past, channels, 1, bias=False)

    def forward(self, y: Tensor, past: Tensor) -> Tensor:
        return y * (1.0 + self.gamma(past)) + self.beta(past)


class SpadeBlock(nn.Module):
    """A residual block of 3x3 convolutions, the first on activations modulated by the map, then the past.

    Args:
        channels: Channels in and out.
        condition: Channels of the map's features.
        normalise: Whether activations are normalised first.
        separable: Whether convolutions are depthwise separable.
        convolutions: Number of convolutions.
        past: Channels of the past's features; 0: it does not see the past.
    """

    def __init__(
        self, channels: int, condition: int, normalise: bool, separable: bool, convolutions: int, past: int = 0
    ) -> None:
        super().__init__()
        self.spade = Spade(channels, condition, normalise)
        self.past = PastModulation(channels, past) if past else None
        self.convs = nn.ModuleList(convolution(channels, channels, separable) for _ in range(convolutions))

    def forward(self, x: Tensor, condition: Tensor, past: Tensor | None = None) -> Tensor:
        y = self.spade(x, condition)
        if self.past is not None and past is not None:
            y = self.past(y, past)
        for conv in self.convs:
            y = conv(F.leaky_relu(y, 0.2))
        return x + y


def halve(x: Tensor, side: int) -> Tensor:
    """Return ``x`` at half the size, by means of ``side`` x ``side``.

    Means of 2 pass detail that is finer than the new grid, which then swims; those of 4 do not (Zhang, Making
    Convolutional Networks Shift-Invariant Again, ICML 2019).
    """
    return F.avg_pool2d(x, side, 2, side // 2 - 1, count_include_pad=False)


def upsample(x: Tensor) -> Tensor:
    """Return ``x`` at twice the size, bilinear.

    In an exported graph this is done by doubling pixels and averaging neighbours with weights 1/4, 1/2, 1/4 along both
    axes, which is the same: as a depthwise convolution it takes OpenVINO a third of the time of its interpolation, but
    PyTorch four times as long.
    """
    if not torch.onnx.is_in_onnx_export():
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    channels = int(x.shape[1])  # a constant for the exporter, too
    doubled = F.pad(F.interpolate(x, scale_factor=2.0, mode="nearest"), (1, 1, 1, 1), mode="replicate")
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    return F.conv2d(doubled, (taps[:, None] * taps).repeat(channels, 1, 1, 1), groups=channels)


class Decoder(nn.Module):
    """A decoder from the map's pyramid, and perhaps the past's, to an image."""

    def build(self, config: GeneratorConfig, dec: tuple[int, ...], past: tuple[int, ...]) -> None:
        """Create the layers for ``dec`` channels by level."""
        enc, levels = config.encoder, len(config.encoder)
        self.start = nn.Conv2d(enc[-1], dec[-1], 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                SpadeBlock(dec[i], enc[i], i > 0, i < config.separable, n, past[i] if past else 0)
                for n in config.blocks[i]
            )
            for i in range(levels)
        )
        self.lower = nn.ModuleList(nn.Conv2d(dec[i + 1], dec[i], 1) for i in range(levels - 1))
        self.to_head = nn.Conv2d(dec[0], config.embed, 1)
        self.head = convolution(config.embed, config.head, config.separable > 0)
        self.refine = nn.ModuleList(
            convolution(config.head, config.head, config.separable > 0) for _ in range(config.head_layers - 1)
        )
        self.rgb = nn.Conv2d(config.head, 3, 1)

    def decode(
        self, features: list[Tensor], embedded: Tensor, past: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the image f32 (N, 3, H, W) in about [-1, 1], and the activations at half size that it is made from."""
        x = self.start(features[-1])
        for i in reversed(range(len(features))):
            for block in cast(nn.ModuleList, self.blocks[i]):
                x = block(x, features[i], None if past is None else past[i])
            if i:
                x = upsample(self.lower[i - 1](x))
        half = F.leaky_relu(x, 0.2)
        x = upsample(self.to_head(half)) + embedded
        x = F.leaky_relu(self.head(F.leaky_relu(x, 0.2)), 0.2)
        for conv in self.refine:
            x = F.leaky_relu(conv(x), 0.2)
        return self.rgb(x) + 2.0 * embedded[:, :TINT], half  # starts from the tint


class Foreground(Decoder):
    """The decoder of movers: thinner, and with one convolution per level."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.build(replace(config, blocks=((1,),) * len(config.blocks)), config.foreground, ())


class Generator(Decoder):
    """A network ``forward(label, tint, detail)`` -> f32 (N, 3, H, W) in about [-1, 1]: a frame without a past.

    label i64 (N, H, W); tint f32 (N, 3, H, W) in [-0.5, 0.5]; detail f32 (N, 2, H/2, W/2): edges and the sketch. Those
    of a guided one are of an image (``models/guide_image.py``), with a texture in place of the edges. Height and width
    are multiples of two to the number of levels. All but the embedded map and a thin head works at half size and below:
    on a CPU, full-size planes cost more to move than to compute.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        enc, past, frames = config.encoder, config.past, config.past_frames
        levels = len(enc)
        self.label = nn.Embedding(config.labels, config.embed - TINT)
        self.detail = nn.Conv2d(DETAIL, enc[0], 3, padding=1)
        self.encode = nn.ModuleList(
            nn.Conv2d(enc[i - 1] if i else config.embed, enc[i], 3, padding=1) for i in range(levels)
        )
        self.build(config, config.decoder, past)
        self.remember = nn.ModuleList(
            nn.Conv2d(past[i - 1] if i else 4 * frames, past[i], 3, padding=1) for i in range(len(past))
        )
        self.foreground = Foreground(config) if config.foreground else None
        self.occlusion = nn.Conv2d(config.decoder[0], 1, 3, padding=1) if config.mask else None
        self.flow = FlowHead(2 * config.embed, config.flow) if config.flow else None
        self._initialise()

    def _initialise(self) -> None:
        """Apply He initialisation (2015), so that the map still has an effect five levels down; residuals begin
        small."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Spade):
                nn.init.normal_(module.gamma.weight, std=0.02)
                nn.init.ones_(cast(Tensor, module.gamma.bias))
                nn.init.normal_(module.beta.weight, std=0.1)
            elif isinstance(module, PastModulation):
                nn.init.normal_(module.gamma.weight, std=0.02)
                nn.init.normal_(module.beta.weight, std=0.02)
            elif isinstance(module, SpadeBlock):
                last = module.convs[-1]
                last = cast(nn.Conv2d, last[-1] if isinstance(last, nn.Sequential) else last)
                nn.init.normal_(last.weight, std=0.3 / last.weight[0].numel() ** 0.5)
        for decoder in (self, self.foreground):
            if decoder is not None:
                nn.init.normal_(decoder.rgb.weight, std=0.02)
        if self.occlusion is not None:  # most of the past is valid: begin near the least blend weight
            nn.init.normal_(self.occlusion.weight, std=0.02)
            nn.init.constant_(cast(Tensor, self.occlusion.bias), -2.0)
        if self.flow is not None:
            self.flow.initialise()

    def forward(self, label: Tensor, tint: Tensor, detail: Tensor) -> Tensor:
        return self.generate(self.embed(label, tint), detail, self.movers(label))

    def embed(self, label: Tensor, tint: Tensor) -> Tensor:
        """Return f32 (N, embed, H, W): tint and the label's code."""
        return torch.cat([tint, self.label(label).permute(0, 3, 1, 2)], 1)

    @staticmethod
    def movers(label: Tensor) -> Tensor:
        """Return f32 (N, 1, H, W): 1 where a mover is (1 - m_B of vid2vid)."""
        moving: Tensor = is_mover(label)
        return moving[:, None].to(torch.float32)

    def _first(self, embedded: Tensor) -> Tensor:
        """Return a 3x3 convolution after a 2x2 mean, of every other pixel, as one 4x4 convolution with stride 2."""
        conv = cast(nn.Conv2d, self.encode[0])
        box = torch.full((1, 1, 2, 2), 0.25, dtype=conv.weight.dtype, device=conv.weight.device)
        outs, ins, _, _ = conv.weight.shape
        kernel = F.conv2d(conv.weight.reshape(-1, 1, 3, 3), box, padding=1).reshape(outs, ins, 4, 4)
        return F.conv2d(embedded, kernel, conv.bias, stride=2, padding=1)

    def _features(self, embedded: Tensor, detail: Tensor) -> list[Tensor]:
        """Return the map's pyramid, from 1/2 down."""
        features: list[Tensor] = []
        x = embedded
        for i, conv in enumerate(self.encode):
            x = self._first(x) if i == 0 else conv(halve(x, self.config.pool))
            if i == 0:
                x = x + self.detail(detail)
            x = F.leaky_relu(x, 0.2)
            features.append(x)
        return features

    def _past_features(self, past: Tensor, known: Tensor) -> list[Tensor]:
        """Return the past's pyramid, zero where the past is unknown."""
        count = self.config.past_frames
        images = [past[:, 3 * k : 3 * k + 3] * known[:, k : k + 1] for k in range(count)]
        x = torch.cat([*images, known], 1)
        share = known.mean(1, keepdim=True)
        levels: list[Tensor] = []
        for conv in self.remember:
            share = halve(share, self.config.pool)
            x = F.leaky_relu(conv(halve(x, self.config.pool)), 0.2) * share
            levels.append(x)
        return levels

    def generate(self, embedded: Tensor, detail: Tensor, movers: Tensor | None = None) -> Tensor:
        """Return a frame without a past, f32 (N, 3, H, W).

        ``embedded`` f32 (N, embed, H, W) as from ``embed``, which the graph gets by one look-up. ``movers`` as from
        ``movers``; only needed with a decoder for them.
        """
        features = self._features(embedded, detail)
        image, _ = self.decode(features, embedded)
        return self._composed(image, features, embedded, movers)

    def generate_after(
        self, embedded: Tensor, detail: Tensor, movers: Tensor, past: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return a frame after others: h_t (N, 3, H, W), and the soft occlusion mask m_t (N, 1, H, W) in [0, 1] if it
        has one.

        Args:
            embedded: f32 (N, embed, H, W), as from ``embed``.
            detail: f32 (N, 2, H/2, W/2): edges and sketch.
            movers: f32 (N, 1, H, W), as from ``movers``.
            past: f32 (N, 3 L, H, W): the warped images, the last one first.
            known: f32 (N, L, H, W): 1 where they show the same surface.
        """
        features = self._features(embedded, detail)
        image, half = self.decode(features, embedded, self._past_features(past, known))
        mask = None if self.occlusion is None else torch.sigmoid(upsample(self.occlusion(half)))
        return self._composed(image, features, embedded, movers), mask

    def _composed(self, image: Tensor, features: list[Tensor], embedded: Tensor, movers: Tensor | None) -> Tensor:
        """Return H = (1 - m_B) h_F + m_B h_B (vid2vid, section 3.1); ``image`` is h_B."""
        if self.foreground is None:
            return image
        assert movers is not None, "a generator with a foreground needs to know where it is"
        return image * (1.0 - movers) + self.foreground.decode(features, embedded)[0] * movers
