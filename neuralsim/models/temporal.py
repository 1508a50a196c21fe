"""The whole model as one graph: bytes of the frame in, bytes of the picture out, state inside.

vid2vid (Wang et al., NeurIPS 2018) composes x_t = (1 - m_t) * w(x_{t-1}) + m_t * h_t: warp what is known, paint what
is new. The engine gives the warp exactly; the mask follows from it (what was outside the frame or belonged to another
class is new). Two bounds make drift impossible: at least ``refresh`` of every pixel is painted anew, and the past is
clipped to what the map alone would paint here (mean and deviation of a 5x5 neighbourhood, as in temporal anti-aliasing;
Karis, SIGGRAPH 2014).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.generator import Painter
from neuralsim.models.surface import Surface


class TemporalGenerator(nn.Module):
    """``step(tag, instance, motion, depth, camera, style, state...) -> (rgb, state...)``."""

    INPUTS = ("tag", "instance", "motion", "depth", "camera", "style", "past_rgb", "past_label")
    OUTPUTS = ("rgb", "next_rgb", "next_label", "detail")

    def __init__(
        self,
        surface: Surface,
        painter: Painter,
        refresh: float = 0.25,
        spread: float = 1.9,
        crisp: float = 0.3,
    ) -> None:
        super().__init__()
        self.surface, self.painter = surface, painter
        self.refresh, self.spread, self.crisp = refresh, spread, crisp
        self.past_frames = 1  # in its state

    def forward(
        self,
        tag: Tensor,
        instance: Tensor,
        motion: Tensor,
        depth: Tensor,
        camera: Tensor,
        style: Tensor,
        past_rgb: Tensor,
        past_label: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One frame.

        tag u8 (H, W), instance u16 (H, W), motion f16 (H, W, 2) px, depth f32 (H, W) m, camera f32 (20,), style f32
        (CHANNELS, 3), past_rgb f32 (1, 3, H, W) in [-1, 1], past_label f32 (1, 1, H, W) (class + 1; -1: no past) ->
        rgb u8 (H, W, 3), next_rgb, next_label; and detail f32 (1, 2, H/2, W/2), to look at, and because OpenVINO keeps
        in fp32 what leads to an output, as surface coordinates must be.
        """
        label, embedded, detail = self._seen(tag, instance, depth, camera, style)
        painted = self.painter.paint(embedded, detail)
        # Classes count from one: the zeros outside the frame are none. Bilinear, so that a pixel whose footprint lies
        # on two classes compares equal to neither: such a rim would smear one across the other.
        here = label.to(torch.float32)[:, None] + 1.0
        grid = sampling_grid(motion[None].to(torch.float32))
        past = F.grid_sample(past_rgb, grid, mode="bicubic", padding_mode="border", align_corners=False)
        past_here = F.grid_sample(past_label, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        known = ((past_here - here).abs() < 1e-3).to(torch.float32)
        mean = local_mean(painted)
        # of green alone, which varies as luminance does; about the mean of each pixel, for bf16 has few digits to lose
        variance = local_mean((painted[:, 1:2] - mean[:, 1:2]).square())
        spread = self.spread * torch.sqrt(variance + 1e-5) + 0.01
        bound = torch.minimum(torch.maximum(past, mean - spread), mean + spread)
        out = (painted + (bound - painted) * ((1.0 - self.refresh) * known)).clamp(-1.0, 1.0)
        return self._shown(out, here, mean), out, here, detail

    def _seen(
        self, tag: Tensor, instance: Tensor, depth: Tensor, camera: Tensor, style: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the painter is told of one frame: label i64 (1, H, W), embedded f32 (1, embed, H, W), detail."""
        label, tints, row, detail = self.surface(tag[None], instance[None], depth[None], camera, style)
        rows = torch.cat([tints, self.painter.label.weight[self.surface.class_of_row]], 1)
        # looked up plane by plane: a look-up of whole rows would have to be transposed
        return label, rows.t()[:, row[0]][None], detail

    def _shown(self, out: Tensor, here: Tensor, mean: Tensor) -> Tensor:
        """u8 (H, W, 3): what is shown of the state ``out``; ``mean``: 5x5 means of what was painted."""
        # What resampling took from fine structure is given back to what is shown, as temporal anti-aliasing does; the
        # state stays as it is, or it would sharpen itself without end. But not on outlines: those are stairs of whole
        # pixels in the map, and no lens draws any.
        inside = ((local_mean(here, 3) - here).abs() <= 0.05).to(torch.float32)
        shown = out + (self.crisp * inside) * (out - mean)
        return (shown[0].permute(1, 2, 0) * 127.5 + 128.0).clamp(0.0, 255.0).to(torch.uint8)


def local_mean(x: Tensor, side: int = 5) -> Tensor:
    """Mean of neighbourhoods of ``side`` x ``side``, rows first: ten taps instead of 25."""
    rows = F.avg_pool2d(x, (1, side), 1, (0, side // 2), count_include_pad=False)
    return F.avg_pool2d(rows, (side, 1), 1, (side // 2, 0), count_include_pad=False)


def sampling_grid(motion: Tensor) -> Tensor:
    """Sampling grid f32 (N, H, W, 2) in [-1, 1] for backward ``motion`` (N, H, W, 2) in pixels."""
    _, height, width, _ = motion.shape
    y = (torch.arange(height, dtype=torch.float32, device=motion.device) + 0.5) * (2.0 / height) - 1.0
    x = (torch.arange(width, dtype=torch.float32, device=motion.device) + 0.5) * (2.0 / width) - 1.0
    # both are constants of the size, which runtimes fold: per frame, motion is scaled and added
    pixel = torch.stack([x[1] - x[0], y[1] - y[0]])
    still = torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)], -1)
    return still + motion * pixel
