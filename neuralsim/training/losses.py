"""Losses, each a plain function of tensors. docs/guide/generator.md has the table of their weights and sources."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.models.sketch_gain import GAIN, LIMIT
from neuralsim.training.data.conditioning import LUMA
from neuralsim.training.tensors import warp

Gan = Literal["hinge", "lsgan"]

_HUE_FREEDOM = 0.08  # chroma that a texture may add to its tint, of a range of 2
_HUE_OF_VEHICLES = 0.15  # additional chroma of a vehicle, for its lamps and number plates
_TONE_FREEDOM = 0.4  # luminance that a texture may add to its sketch, of a range of 2
_TONE_OF_VEHICLES = 0.3  # additional luminance of a vehicle, which reflects the sky
_OCTAVES = 4
_BLOCK_SIDE = 16  # px: side of the coarsest means that octaves are differences of
_ENERGY_FLOOR = (0.5 / 127.5) ** 2  # variance below which a texture cannot be seen
_PIXEL_FLOOR = 500  # of a class, at half the size
#: Surfaces whose texture in training is mostly the photograph's.
_PATTERN_CLASSES = (Channel.ROAD, Channel.SIDEWALK, Channel.TERRAIN, Channel.VEGETATION)
_PATTERN_FLOOR = 0.5 / 127.5  # brightness, of a range of 2, that cannot be seen
_MAX_WEIGHT = 8.0  # of a pixel of a rare class, over that of a class of mean frequency


def discriminator_loss(real: list[Tensor], fake: list[Tensor], kind: Gan = "hinge") -> Tensor:
    """Return a discriminator's loss, the mean over its scores: hinge (Lim & Ye 2017, as in SPADE) or least squares (Mao
    et al., ICCV 2017, as in pix2pixHD and vid2vid)."""
    pairs = [(r.float(), f.float()) for r, f in zip(real, fake, strict=True)]
    if kind == "lsgan":
        return torch.stack([(r - 1).square().mean() + f.square().mean() for r, f in pairs]).mean()
    return torch.stack([F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in pairs]).mean()


def generator_loss(fake: list[Tensor], kind: Gan = "hinge") -> Tensor:
    """Return the generator's side of ``discriminator_loss``."""
    if kind == "lsgan":
        return torch.stack([(f.float() - 1).square().mean() for f in fake]).mean()
    return -torch.stack([f.float().mean() for f in fake]).mean()


def class_weights(label: Tensor) -> Tensor:
    """Return f32 (N, H, W), the weight of each pixel of ``label`` i64.

    It is the root of the inverse frequency of its class in the batch, at most ``_MAX_WEIGHT``, and 0 where the class is
    unknown. OASIS uses the inverse frequency itself, by which a few pixels of a sign outweigh a street.
    """
    counts = torch.bincount(label.flatten(), minlength=CHANNELS).float()
    present = (counts > 0).sum().clamp(min=1)
    weights = torch.sqrt(counts.sum() / present / counts.clamp(min=1.0)).clamp(max=_MAX_WEIGHT)
    weights[Channel.OTHER] = 0.0
    return weights[label]


def segmentation_loss(logits: Tensor, target: Tensor | int, weights: Tensor) -> Tensor:
    """Return the cross entropy of ``logits`` (N, K, H, W) against ``target`` i64 (N, H, W), or one class for all
    pixels, weighted per pixel (OASIS, equations 1 and 2)."""
    if isinstance(target, int):
        target = torch.full(logits.shape[:1] + logits.shape[2:], target, device=logits.device)
    entropy = F.cross_entropy(logits.float(), target, reduction="none")
    return (entropy * weights).sum() / (weights.sum() + 1.0)


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Return the L1 distance of two lists of features, each level over its mean magnitude (perceptual loss, Johnson et
    al. 2016)."""
    return torch.stack(
        [(x.float() - y.float()).abs().mean() / (y.float().abs().mean() + 1e-6) for x, y in zip(a, b, strict=True)]
    ).mean()


def feature_matching(fake: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """Return the L1 distance between a discriminator's features, without its scores, of generated and real images
    (pix2pixHD, equation 4)."""
    pairs = [pair for f, r in zip(fake, real, strict=True) for pair in zip(f[:-1], r[:-1], strict=True)]
    return torch.stack([(f.float() - r.detach().float()).abs().mean() for f, r in pairs]).mean()


def pixel_distance(generated: Tensor, image: Tensor) -> Tensor:
    """Return the L1 distance between means of 4x4 pixels: compared pixel by pixel, details that no map determines would
    be generated as their mean, a blur."""
    return (F.avg_pool2d(generated.float(), 4) - F.avg_pool2d(image, 4)).abs().mean()


def contrast_distance(generated: Tensor, reference: Tensor, label: Tensor) -> Tensor:
    """Return how far the contrast of textures is from that of a reference of the same map, class by class and octave by
    octave: the mean of the absolute logarithm of the ratio of their standard deviations.

    A perceptual distance is least for the mean of all textures that might be there, which has less contrast than any of
    them. Octaves are those of a Laplacian pyramid (Burt & Adelson 1983), compared as Heeger & Bergen (1995) compare
    those of textures.

    Args:
        generated: f32 (N, 3, H, W) in [-1, 1]; sides are multiples of 16, or the rest is left out.
        reference: The same.
        label: i64 (N, H/2, W/2): the map at half the size.
    """
    height, width = (side // _BLOCK_SIDE * _BLOCK_SIDE for side in generated.shape[-2:])
    images = [_luma(image.float()[..., :height, :width]) for image in (generated, reference)]
    places = F.one_hot(label[:, : height // 2, : width // 2], CHANNELS).permute(0, 3, 1, 2).float()
    terms = []
    for octave in range(_OCTAVES):
        smaller = [F.avg_pool2d(image, 2) for image in images]
        bands = [
            image - F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
            for image, small in zip(images, smaller, strict=True)
        ]
        energies = [band.square() if octave else F.avg_pool2d(band.square(), 2) for band in bands]
        counts = places.sum((0, 2, 3))
        mine, real = ((energy * places).sum((0, 2, 3)) / counts.clamp(min=1.0) for energy in energies)
        ratio = 0.5 * torch.log((mine + _ENERGY_FLOOR) / (real + _ENERGY_FLOOR)).abs()
        seen = counts * 4.0 ** max(0, octave - 1) >= _PIXEL_FLOOR
        terms.append((ratio * seen).sum() / seen.sum().clamp(min=1))
        images = smaller
        if octave:
            places = F.avg_pool2d(places, 2)
    return torch.stack(terms).mean()


def pattern_distance(generated: Tensor, image: Tensor, label: Tensor) -> Tensor:
    """Return how far the brightness of textured surfaces is from an image's, pixel by pixel, over the image's contrast.

    A guided generator is given the image's own pattern (``data/textures.py``): what it has to know is how strong it is.

    Args:
        generated: f32 (N, 3, H, W) in [-1, 1]; sides are multiples of 16, or the rest is left out.
        image: The same.
        label: i64 (N, H/2, W/2): the map at half the size.
    """
    height, width = (side // _BLOCK_SIDE * _BLOCK_SIDE for side in generated.shape[-2:])
    label = label[:, : height // 2, : width // 2]
    bands = []
    for each in (generated, image):
        small = F.avg_pool2d(_luma(each.float()[..., :height, :width]), 2)
        coarse = F.interpolate(F.avg_pool2d(small, 8), scale_factor=8.0, mode="bilinear", align_corners=False)
        bands.append((small - coarse)[:, 0])
    error, strength = (bands[0] - bands[1]).abs(), bands[1].abs()
    terms = []
    for channel in _PATTERN_CLASSES:
        here = (label == channel).to(error.dtype)
        if (count := here.sum()) >= _PIXEL_FLOOR:
            terms.append((error * here).sum() / ((strength * here).sum() + _PATTERN_FLOOR * count))
    return torch.stack(terms).mean() if terms else generated.sum() * 0.0


def steadiness(generated: Tensor, before: Tensor, motion: Tensor, visible: Tensor) -> Tensor:
    """Return the L1 distance between a frame and the warped one before, where the surface was visible (Lai et al., ECCV
    2018, equation 3)."""
    moved = warp(before.float(), motion, "bicubic")
    return ((generated.float() - moved).abs() * visible).sum() / (3 * visible.sum() + 1)


def flow_distance(
    flow: Tensor, motion: Tensor, visible: Tensor, before: Tensor | None = None, now: Tensor | None = None
) -> Tensor:
    """Return L_W of vid2vid (equation 8): the L1 error, in units of 8 px, of an estimated motion where the true one is
    valid; with images, also the L1 distance between ``now`` and ``before`` warped by the estimate.

    Args:
        flow: Estimated motion, f32 (N, H, W, 2), px.
        motion: True motion, f32 (N, H, W, 2), px.
        visible: f32 (N, 1, H, W): 1 where the surface was visible before.
        before: Image before, f32 (N, 3, H, W).
        now: Image now, f32 (N, 3, H, W).
    """
    seen = visible.permute(0, 2, 3, 1)
    loss = ((flow.float() - motion).abs() * seen).sum() / (16 * seen.sum() + 1)
    if before is not None and now is not None:
        loss = loss + ((warp(before, flow.float()) - now).abs() * visible).sum() / (3 * visible.sum() + 1)
    return loss


def mask_distance(mask: Tensor, visible: Tensor) -> Tensor:
    """Return the L1 error of the occlusion mask (the mask's loss of few-shot vid2vid; Wang et al., NeurIPS 2019)."""
    return (mask.float() - (1.0 - visible)).abs().mean()


def colour_distance(generated: Tensor, tint: Tensor) -> Tensor:
    """Return the L1 distance between the mean colours of 16x16 blocks of a simulator frame and of its tint: it has no
    real image to compare with."""
    return (F.avg_pool2d(generated.float(), 16) - F.avg_pool2d(tint.float() * 2, 16)).abs().mean()


def hue_distance(generated: Tensor, tint: Tensor, label: Tensor) -> Tensor:
    """Return how far each pixel's chroma strays from its tint, beyond what textures do: else windows turn into tail
    lamps."""
    stray = (_chroma(generated.float()) - _chroma(tint.float() * 2)).abs()
    return F.relu(stray - _HUE_FREEDOM - _HUE_OF_VEHICLES * _vehicles(label)).mean()


def tone_distance(generated: Tensor, tint: Tensor, label: Tensor, detail: Tensor) -> Tensor:
    """Return how far luminance strays from tint and sketch, beyond what textures do: else leaves get holes to the sky,
    and windows white frames inside."""
    target = torch.atanh(detail[:, 1:].float().clamp(-LIMIT, LIMIT)) * (2 / GAIN)
    stray = (F.avg_pool2d(_luma(generated.float() - tint.float() * 2), 2) - target).abs()
    return F.relu(stray - _TONE_FREEDOM - _TONE_OF_VEHICLES * F.avg_pool2d(_vehicles(label), 2)).mean()


def _vehicles(label: Tensor) -> Tensor:
    """Return f32 (N, 1, H, W): 1 where a vehicle is."""
    return (label == Channel.VEHICLE)[:, None].float()


def _luma(image: Tensor) -> Tensor:
    """Return the luminance (N, 1, H, W) of (N, 3, H, W)."""
    weights = torch.tensor(LUMA, device=image.device).reshape(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def _chroma(image: Tensor) -> Tensor:
    """Return (N, 3, H, W) without its luminance."""
    return image - _luma(image)
