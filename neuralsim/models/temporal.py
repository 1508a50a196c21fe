"""Bounds that keep a recurrence from drifting, as plain functions of tensors, shared by training and the graph.

vid2vid (Wang et al., NeurIPS 2018) composes x_t = (1 - m_t) * w(x_{t-1}) + m_t * h_t: warp the past, generate the
new. The engine gives the warp exactly; the mask follows from it (what was outside the frame or belonged to another
class is new). Two bounds make drift impossible, both from temporal anti-aliasing: the blend weight of the new frame is
at least ``blend_factor`` (Karis, SIGGRAPH 2014), and the past is clipped to the mean and ``clip_gamma`` deviations of a
5x5 neighbourhood of the new frame (variance clipping; Salvi, GDC 2016). ``video_generator.py`` puts them together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SHARPEN = 0.3  # share of the detail finer than 5x5 pixels that is added to the output


def sharpened(out: Tensor, here: Tensor, mean: Tensor, sharpen: float = SHARPEN) -> Tensor:
    """Return the output for the state ``out`` f32 (N, 3, H, W): ``sharpen`` of its difference to ``mean``, the 5x5
    means of the new frame, is added. ``here`` f32 (N, 1, H, W): class + 1.

    This restores the detail that resampling takes away, as in temporal anti-aliasing; the state stays unchanged, since
    it would be sharpened again in every frame. Outlines are left out: in the map they are stairs of whole pixels.
    """
    inside = ((local_mean(here, 3) - here).abs() <= 0.05).to(torch.float32)
    return out + (sharpen * inside) * (out - mean)


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


def clip_history(past: Tensor, generated: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Return ``past`` within ``gamma`` deviations of ``generated`` around each pixel (0: unchanged), and the means of
    ``generated`` over 5x5; all f32 (N, 3, H, W)."""
    mean = local_mean(generated)
    if not gamma:
        return past, mean
    # of green alone, which varies as luminance does; around the mean of each pixel, because bf16 has few digits
    variance = local_mean((generated - mean)[:, 1:2].square())
    spread = gamma * torch.sqrt(variance + 1e-5) + 0.01
    return torch.minimum(torch.maximum(past, mean - spread), mean + spread), mean


def local_mean(x: Tensor, side: int = 5) -> Tensor:
    """Return means of neighbourhoods of ``side`` x ``side``, rows first: ten taps instead of 25."""
    rows = F.avg_pool2d(x, (1, side), 1, (0, side // 2), count_include_pad=False)
    return F.avg_pool2d(rows, (side, 1), 1, (side // 2, 0), count_include_pad=False)


def sampling_grid(motion: Tensor) -> Tensor:
    """Return the sampling grid f32 (N, H, W, 2) in [-1, 1] for backward ``motion`` (N, H, W, 2) in pixels."""
    _, height, width, _ = motion.shape
    y = (torch.arange(height, dtype=torch.float32, device=motion.device) + 0.5) * (2.0 / height) - 1.0
    x = (torch.arange(width, dtype=torch.float32, device=motion.device) + 0.5) * (2.0 / width) - 1.0
    # both are constants of the size, which runtimes fold: per frame, motion is scaled and added
    pixel = torch.stack([x[1] - x[0], y[1] - y[0]])
    still = torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)], -1)
    return still + motion * pixel
