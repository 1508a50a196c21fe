"""The Fréchet distance of painted from real features, as a loss.

A painted map or town frame that has no picture of its own can still have the statistics of pictures: means and
covariances of frozen features over patches, as the Fréchet distance compares them (Heusel et al., NeurIPS 2017). A
batch is far too small for a covariance, so both samples are running means over some thousand patches; the gradient is
that of the distance with respect to the painted sample's moments, handed to the patches of the batch at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 64  # px, side of the patches
TAPS = {2: 8, 3: 16}  # of neuralsim.models.discriminator.Features: place of a feature -> its stride, px
_REAL, _PAINTED = 0.995, 0.98  # memory of the running means, by batch
_SETTLED = 20  # batches until the moments mean something
CROPS = 5  # of objects: that many times longer for both, for a batch has few of them
_FLOOR = 1e-3  # of the mean variance, added to every one: a feature that never fires has no inverse


def patches(feature: Tensor, stride: int) -> Tensor:
    """f32 (n, C): means of (N, C, h, w) over squares of about ``PATCH`` pixels, each overlapping the next by half."""
    side = max(1, min(PATCH // stride, *feature.shape[2:]))
    return F.avg_pool2d(feature.float(), side, max(1, side // 2)).permute(0, 2, 3, 1).flatten(0, 2)


class Moments(nn.Module):
    """Running mean and second moment of patches with ``channels`` features."""

    mean: Tensor
    second: Tensor
    count: Tensor

    def __init__(self, channels: int, memory: float) -> None:
        super().__init__()
        self.memory = memory
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("second", torch.zeros(channels, channels))
        self.register_buffer("count", torch.zeros(()))  # batches seen

    @torch.no_grad()
    def add(self, sample: Tensor) -> None:
        """Take in a batch of patches f32 (n, C)."""
        share = 1.0 - min(self.memory, float(self.count / (self.count + 1.0)))
        self.mean.lerp_(sample.mean(0), share)
        self.second.lerp_(sample.T @ sample / len(sample), share)
        self.count += 1.0

    @property
    def covariance(self) -> Tensor:
        return self.second - torch.outer(self.mean, self.mean)


class FrechetDistance(nn.Module):
    """Distance of painted from real features at ``TAPS`` of each frozen network with features of ``channels``.

    ``slower``: how many times more batches than of whole pictures its moments are made of.
    """

    def __init__(self, channels: tuple[int, ...], networks: int, slower: int = 1) -> None:
        super().__init__()
        self.each, self.settled = len(channels), _SETTLED * slower
        of_real, of_painted = (1.0 - (1.0 - memory) / slower for memory in (_REAL, _PAINTED))
        self.places = [network * self.each + tap for network in range(networks) for tap in TAPS]
        self.real = nn.ModuleList(Moments(channels[place % self.each], of_real) for place in self.places)
        self.painted = nn.ModuleList(Moments(channels[place % self.each], of_painted) for place in self.places)

    def meet(self, features: list[Tensor]) -> None:
        """Take in real pictures."""
        with torch.autocast(features[0].device.type, enabled=False):
            for place, moments in zip(self.places, self.real, strict=True):
                moments.add(patches(features[place], TAPS[place % self.each]))  # type: ignore[operator]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Mean over the taps of the distance over the variance of real patches; takes in what was painted."""
        losses = []
        with torch.autocast(features[0].device.type, enabled=False):  # products of moments need fp32
            for place, real, painted in zip(self.places, self.real, self.painted, strict=True):
                sample = patches(features[place], TAPS[place % self.each])
                painted.add(sample.detach())  # type: ignore[operator]
                losses.append(fitted(sample, painted, real, self.settled))  # type: ignore[arg-type]
        return torch.stack(losses).mean()


def fitted(sample: Tensor, painted: Moments, real: Moments, settled: int = _SETTLED) -> Tensor:
    """The distance between the Gaussians of two moments over the real variance, with its gradient on ``sample`` f32 (n,
    C), a part of what was painted; 0 while the moments have seen less than ``settled`` batches."""
    if min(float(painted.count), float(real.count)) < settled:
        return sample.sum() * 0.0
    with torch.no_grad():
        wanted, found = real.covariance.double(), painted.covariance.double()
        scale = wanted.trace()
        floor = torch.eye(len(wanted), dtype=torch.float64, device=wanted.device) * (_FLOOR * scale / len(wanted))
        root = _power(wanted + floor, 0.5)
        inner = root @ (found + floor) @ root
        off = (painted.mean - real.mean).double()
        distance = off @ off + (wanted + found + 2.0 * floor).trace() - 2.0 * _power(inner, 0.5).trace()
        # d tr(S - 2 (R S R)^1/2) / dS, R = wanted^1/2
        slope = (torch.eye(len(wanted), device=wanted.device) - root @ _power(inner, -0.5) @ root).float()
    centred = sample - painted.mean
    linear = 2.0 * (sample @ off.float()).mean() + ((centred @ slope) * centred).sum(1).mean()
    return (linear + (distance.float() - linear).detach()) / scale.float()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric matrix of positive eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=float(values[-1]) * 1e-7)
    return (vectors * values.pow(exponent)) @ vectors.T
