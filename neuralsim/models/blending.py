"""Blending with the past, and the bounds that keep it from drifting: functions of tensors for training and the graph.

vid2vid (Wang et al., NeurIPS 2018) composes x_t = (1 - m_t) * w(x_{t-1}) + m_t * h_t: warp the past, generate the
new. The engine gives the warp exactly; the mask follows from it (what was outside the frame or belonged to another
class is new). Two bounds make drift impossible, both from temporal anti-aliasing: the blend weight of the new frame is
at least ``blend_factor`` (Karis, SIGGRAPH 2014), and the past is clipped to the mean and ``clip_gamma`` deviations of a
5x5 neighbourhood of the new frame (variance clipping; Salvi, GDC 2016). ``warp.py`` warps the past, and
``video_generator.py`` puts them together.
"""

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


def weight_of_past(blend: Tensor, label: Tensor, known: Tensor, mask: Tensor | None) -> Tensor:
    """Return the share of the warped past in each pixel of the new image, f32 (N, 1, H, W) in [0, 1].

    blend f32 (CHANNELS,): minimum weight of the generated image by class; label i64 (N, H, W); known f32 (N, L, H, W):
    1 where the past shows the same surface, else 0; mask f32 (N, 1, H, W): the generator's own weight of the new image.
    """
    share = (1.0 - blend[label][:, None]) * known[:, :1]
    return share if mask is None else share * (1.0 - mask)


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
