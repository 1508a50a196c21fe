"""The Fréchet distance of generated from real features, as a loss.

A generated map or town frame has no real image to compare with, but it should have the statistics of real images: means
and covariances of frozen features over patches, as the Fréchet distance compares them (Heusel et al., NeurIPS 2017). A
batch is far too small for a covariance, so both samples are running means over some thousand patches; the gradient is
that of the distance with respect to the generated sample's moments, applied to the patches of the current batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS, Channel

PATCH = 64  # side of the patches, px
#: Index of a feature in neuralsim.models.discriminator.Features -> its stride, px.
TAPS = {2: 8, 3: 16}
_REAL, _GENERATED = 0.995, 0.98  # decay of the running means per batch
_SETTLED = 20  # batches until the moments are usable
CROPS = 5  # how many times longer both are for crops of objects, of which a batch has few
_FLOOR = 1e-3  # share of the mean variance added to every variance: a feature that never fires has no inverse


def patches(feature: Tensor, stride: int) -> Tensor:
    """Return f32 (n, C): means of (N, C, h, w) over squares of about ``PATCH`` px that overlap by half."""
    side = max(1, min(PATCH // stride, *feature.shape[2:]))
    return F.avg_pool2d(feature.float(), side, max(1, side // 2)).permute(0, 2, 3, 1).flatten(0, 2)


class Moments(nn.Module):
    """A running mean and second moment of patches with ``channels`` features."""

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
        """Add a batch of patches f32 (n, C)."""
        share = 1.0 - min(self.memory, float(self.count / (self.count + 1.0)))
        self.mean.lerp_(sample.mean(0), share)
        self.second.lerp_(sample.T @ sample / len(sample), share)
        self.count += 1.0

    @property
    def covariance(self) -> Tensor:
        """The covariance f32 (C, C)."""
        return self.second - torch.outer(self.mean, self.mean)


class FrechetDistance(nn.Module):
    """A distance of generated from real features at ``TAPS`` of each frozen network with features of ``channels``.

    ``slower``: how many times more batches its moments average over than those of whole images.
    """

    def __init__(self, channels: tuple[int, ...], networks: int, slower: int = 1) -> None:
        super().__init__()
        self.per_network, self.settled = len(channels), _SETTLED * slower
        of_real, of_generated = (1.0 - (1.0 - memory) / slower for memory in (_REAL, _GENERATED))
        self.places = [network * self.per_network + tap for network in range(networks) for tap in TAPS]
        self.real = nn.ModuleList(Moments(channels[place % self.per_network], of_real) for place in self.places)
        self.generated = nn.ModuleList(
            Moments(channels[place % self.per_network], of_generated) for place in self.places
        )

    def update_real(self, features: list[Tensor]) -> None:
        """Add features of real images to the statistics."""
        with torch.autocast(features[0].device.type, enabled=False):
            for place, moments in zip(self.places, self.real, strict=True):
                moments.add(patches(features[place], TAPS[place % self.per_network]))  # type: ignore[operator]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the mean over the taps of the distance over the variance of real patches; ``features`` of generated
        images are added to the statistics."""
        losses = []
        with torch.autocast(features[0].device.type, enabled=False):  # products of moments need fp32
            for place, real, generated in zip(self.places, self.real, self.generated, strict=True):
                sample = patches(features[place], TAPS[place % self.per_network])
                generated.add(sample.detach())  # type: ignore[operator]
                losses.append(gaussian_distance(sample, generated, real, self.settled))  # type: ignore[arg-type]
        return torch.stack(losses).mean()


class ClassFrechetDistance(nn.Module):
    """A Fréchet distance class by class: of the cells of one feature map that show a single class.

    Walls are compared with walls and crowns with crowns, whatever share of an image each has.

    Args:
        channels: Channels of the features of each frozen network.
        networks: Number of frozen networks.
    """

    CLASSES = (
        Channel.ROAD, Channel.SIDEWALK, Channel.BUILDING, Channel.VEGETATION, Channel.SKY, Channel.VEHICLE,
    )  # fmt: skip
    TAP = 3  # index of the features at stride 16
    PURITY = 0.8  # least share of a cell's pixels that have its class
    FEWEST = 4  # cells of a class, below which a batch says nothing about it

    def __init__(self, channels: tuple[int, ...], networks: int) -> None:
        super().__init__()
        self.places = [network * len(channels) + self.TAP for network in range(networks)]
        width, count = channels[self.TAP], networks * len(self.CLASSES)
        self.real = nn.ModuleList(Moments(width, _REAL) for _ in range(count))
        self.generated = nn.ModuleList(Moments(width, _GENERATED) for _ in range(count))

    def cells(self, feature: Tensor, label: Tensor) -> list[Tensor]:
        """Return f32 (n, C) for each class: the cells of ``feature`` (N, C, h, w) that show it.

        ``label`` i64 (N, H, W): channels of the same images.
        """
        shares = F.one_hot(label, CHANNELS).permute(0, 3, 1, 2).to(torch.float32)
        shares = F.adaptive_avg_pool2d(shares, (feature.shape[2], feature.shape[3]))
        flat = feature.float().permute(0, 2, 3, 1)
        return [flat[shares[:, channel] >= self.PURITY] for channel in self.CLASSES]

    def _samples(self, features: list[Tensor], label: Tensor) -> list[Tensor]:
        return [cells for place in self.places for cells in self.cells(features[place], label)]

    def update_real(self, features: list[Tensor], label: Tensor) -> None:
        """Add features of real images to the statistics."""
        with torch.autocast(features[0].device.type, enabled=False):
            for moments, sample in zip(self.real, self._samples(features, label), strict=True):
                if len(sample) >= self.FEWEST:
                    moments.add(sample)  # type: ignore[operator]

    def forward(self, features: list[Tensor], label: Tensor) -> Tensor:
        """Return the mean of the classes' distances over the variance of their real cells; ``features`` of generated
        images are added to the statistics. A class of fewer than ``FEWEST`` cells counts as 0."""
        losses = []
        with torch.autocast(features[0].device.type, enabled=False):
            for real, generated, sample in zip(self.real, self.generated, self._samples(features, label), strict=True):
                if len(sample) >= self.FEWEST:
                    generated.add(sample.detach())  # type: ignore[operator]
                    losses.append(gaussian_distance(sample, generated, real))  # type: ignore[arg-type]
        return torch.stack(losses).sum() / len(self.real) if losses else features[0].sum() * 0.0


def gaussian_distance(sample: Tensor, generated: Moments, real: Moments, settled: int = _SETTLED) -> Tensor:
    """Return the Fréchet distance between the Gaussians of two moments over the real variance.

    Its gradient is on ``sample`` f32 (n, C), a part of what was generated. It is 0 while either of the moments has seen
    fewer than ``settled`` batches.
    """
    if min(float(generated.count), float(real.count)) < settled:
        return sample.sum() * 0.0
    with torch.no_grad():
        target, current = real.covariance.double(), generated.covariance.double()
        scale = target.trace()
        floor = torch.eye(len(target), dtype=torch.float64, device=target.device) * (_FLOOR * scale / len(target))
        root = _power(target + floor, 0.5)
        inner = root @ (current + floor) @ root
        off = (generated.mean - real.mean).double()
        distance = off @ off + (target + current + 2.0 * floor).trace() - 2.0 * _power(inner, 0.5).trace()
        # d tr(S - 2 (R S R)^1/2) / dS, R = target^1/2
        slope = (torch.eye(len(target), device=target.device) - root @ _power(inner, -0.5) @ root).float()
    centred = sample - generated.mean
    linear = 2.0 * (sample @ off.float()).mean() + ((centred @ slope) * centred).sum(1).mean()
    return (linear + (distance.float() - linear).detach()) / scale.float()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of a symmetric matrix of positive eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=float(values[-1]) * 1e-7)
    return (vectors * values.pow(exponent)) @ vectors.T
