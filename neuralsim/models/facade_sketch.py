"""Fronts of houses (``neuralsim.facades``) as a sketch of the walls."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.facades import HEIGHT, LEVELS, TEXEL, WIDTH, house_parameters

_SLANT = 0.25  # share of a pixel's width along a slanted wall that counts as its size


def interleaved(x: Tensor, y: Tensor) -> Tensor:
    """Return coordinates for ``grid_sample``, (N, H, W, 2), from two (N, H, W); on a CPU, cheaper than stacking
    last."""
    return torch.stack([x, y], 1).permute(0, 2, 3, 1)


class Fronts(nn.Module):
    """A lookup ``forward(code, along, height, footprint)`` -> sketch f32 (1, H, W) in [-1, 1].

    ``strips`` u8 (2, N, HEIGHT, WIDTH): storeys, then ground floors, top row first; 0..255 is -1..1.
    """

    atlas: Tensor
    houses: Tensor

    def __init__(self, strips: np.ndarray) -> None:
        super().__init__()
        if strips.dtype != np.uint8 or strips.ndim != 4 or strips.shape[::2] != (2, HEIGHT) or strips.shape[3] != WIDTH:
            raise ValueError(f"strips: expected u8 (2, N, {HEIGHT}, {WIDTH}), not {strips.dtype} {strips.shape}")
        self.count = strips.shape[1]
        self.register_buffer("atlas", self._atlas(strips.reshape(-1, HEIGHT, WIDTH)))
        self.register_buffer("houses", torch.from_numpy(house_parameters()))

    @staticmethod
    def _atlas(strips: np.ndarray) -> Tensor:
        """Return f32 (1, 1, rows, columns): strips one below the other, the smaller copies to the right of the full
        ones."""
        x = torch.from_numpy(strips.astype(np.float32) / 127.5 - 1.0)
        levels = [x]
        for _ in range(LEVELS - 1):
            levels.append(F.avg_pool2d(levels[-1][:, None], 2)[:, 0])
        return torch.cat(
            [F.pad(level.flatten(0, 1), (0, 0, 0, len(x) * (HEIGHT - level.shape[1]))) for level in levels], 1
        )[None, None]

    def forward(self, code: Tensor, along: Tensor, height: Tensor, footprint: Tensor) -> Tensor:
        """Code i64 (1, H, W), 0..255, of the house; along the wall and height over the ground, m; footprint f32 (1, H,
        W), m that a pixel covers at this distance."""
        houses = self.houses[code]
        storey, ground, stretch, begin, number = (houses[..., i] for i in range(5))
        below = height < ground
        row = torch.where(below, height / ground, (height - ground) / storey)
        down = 1.0 - (row - torch.floor(row))
        place = along / (stretch * (TEXEL * WIDTH)) + begin
        across = 1.0 - (place - 2.0 * torch.floor(place * 0.5) - 1.0).abs()
        front = torch.floor(number * self.count) + torch.where(below, self.count, 0)
        slant = F.pad((along[:, :, 1:] - along[:, :, :-1]).abs(), (0, 1), mode="replicate")
        size = torch.maximum(footprint, _SLANT * slant.clamp(max=4.0))
        level = torch.log2((size / TEXEL).clamp(min=1.0)).clamp(max=LEVELS - 1.001)
        low = torch.floor(level)
        share = level - low
        return (1.0 - share) * self._read(front, across, down, low) + share * self._read(front, across, down, low + 1.0)

    def _read(self, front: Tensor, across: Tensor, down: Tensor, level: Tensor) -> Tensor:
        """Return strip ``front`` at ``across`` and ``down`` (0..1) from the copies of ``level``, without its
        neighbours."""
        scale = torch.pow(2.0, -level)
        columns, rows = WIDTH * scale, HEIGHT * scale
        x = 2.0 * (WIDTH - columns) + torch.minimum((across * columns).clamp(min=0.5), columns - 0.5)
        y = front * rows + torch.minimum((down * rows).clamp(min=0.5), rows - 0.5)
        high, wide = self.atlas.shape[2:]
        grid = interleaved(x * (2.0 / wide) - 1.0, y * (2.0 / high) - 1.0)
        return F.grid_sample(self.atlas, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
