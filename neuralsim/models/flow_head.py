"""A flow head: where each pixel came from, for footage without motion from an engine.

vid2vid estimates the warp from the maps and the images before (Wang et al., NeurIPS 2018, section 3.1). Here a small
encoder-decoder at a quarter of the frame's size does, in pixels of the frame; where the engine gives motion, that is
used instead.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.messages import UNKNOWN_MOTION

_KNOWN = 0.9 * UNKNOWN_MOTION  # px, above which motion is known
_SCALE = 8.0  # px per unit of the last layer
_LEVELS = 4  # 1/4 to 1/32 of the frame: a 3x3 convolution at the coarsest spans 96 pixels


class FlowHead(nn.Module):
    """A network ``forward(now, before)`` -> f32 (N, H, W, 2) px, backward: from each pixel to where it was.

    ``now`` f32 (N, A, H, W): the map's code; ``before`` f32 (N, B, H, W): that of the frame before, and its image;
    A + B = ``ins``.
    """

    def __init__(self, ins: int, width: int) -> None:
        super().__init__()
        wide = (width, *(2 * width for _ in range(_LEVELS - 1)))
        self.down = nn.ModuleList(nn.Conv2d(wide[i - 1] if i else ins, wide[i], 3, padding=1) for i in range(_LEVELS))
        self.up = nn.ModuleList(nn.Conv2d(wide[i + 1], wide[i], 3, padding=1) for i in range(_LEVELS - 1))
        self.last = nn.Conv2d(width, 2, 3, padding=1)

    def initialise(self) -> None:
        """Initialise the last layer to almost no motion."""
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.last.bias))

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        x = F.avg_pool2d(torch.cat([now, before], 1), 4)
        levels: list[Tensor] = []
        for i, conv in enumerate(self.down):
            x = F.leaky_relu(conv(F.avg_pool2d(x, 2) if i else x), 0.2)
            levels.append(x)
        for i in reversed(range(_LEVELS - 1)):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = F.leaky_relu(self.up[i](x), 0.2) + levels[i]
        flow = F.interpolate(self.last(x).float() * _SCALE, scale_factor=4.0, mode="bilinear", align_corners=False)
        return flow.permute(0, 2, 3, 1)


def fill(motion: Tensor, estimated: Tensor) -> Tensor:
    """Return ``motion`` (N, H, W, 2) px where it is known, ``estimated`` elsewhere."""
    return torch.where(motion[..., :1] > _KNOWN, estimated, motion)
