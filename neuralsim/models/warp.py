"""The warp of the past by the engine's backward motion, as functions of tensors, shared by training and the graph.

``visibility.py`` has the same for whole frames in numpy: which pixels of a frame were visible in the frame before.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def reproject(past_rgb: Tensor, past_label: Tensor, here: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the past as seen from this frame: images, labels, and where they show the same surface (1, else 0).

    past_rgb f32 (N, 3 L, H, W), past_label f32 (N, L, H, W) and ``here`` f32 (N, 1, H, W) as class + 1, motion f32 (N,
    H, W, 2) px, backward.
    """
    grid = sampling_grid(motion)
    frames = int(past_label.shape[1])  # a constant for the exporter, too
    # Classes count from one: the zeros outside the frame are none. Bilinear, so that a pixel whose footprint lies
    # on two classes equals neither: such a rim would smear one across the other.
    both = F.grid_sample(
        torch.cat([past_rgb, past_label], 1), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    past, past_here = both[:, : 3 * frames], both[:, 3 * frames :].detach()
    # Bicubic sampling costs three times as much: of green alone, which varies as luminance does.
    green = F.grid_sample(past_rgb[:, 1::3], grid, mode="bicubic", padding_mode="border", align_corners=False)
    fine = green - past[:, 1::3]
    past = past + (fine.repeat_interleave(3, 1) if frames > 1 else fine)
    return past, past_here, ((past_here - here).abs() < 1e-3).to(torch.float32)


def sampling_grid(motion: Tensor) -> Tensor:
    """Return the sampling grid f32 (N, H, W, 2) in [-1, 1] for backward ``motion`` (N, H, W, 2) in pixels."""
    _, height, width, _ = motion.shape
    y = (torch.arange(height, dtype=torch.float32, device=motion.device) + 0.5) * (2.0 / height) - 1.0
    x = (torch.arange(width, dtype=torch.float32, device=motion.device) + 0.5) * (2.0 / width) - 1.0
    # both are constants of the size, which runtimes fold: per frame, motion is scaled and added
    pixel = torch.stack([x[1] - x[0], y[1] - y[0]])
    still = torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)], -1)
    return still + motion * pixel
