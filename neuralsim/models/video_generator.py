"""vid2vid's recurrence with a painter that sees the past: warp it, paint, and compose by a learned mask.

    x_t = (1 - m_t) * w(x_{t-1}) + m_t * h_t(s_t, w(x_{t-1}), ..., w(x_{t-L}))    (Wang et al., NeurIPS 2018, eq. 4)

The mask is the painter's own, within the bounds of ``neuralsim/models/temporal.py``: at least ``blend_factor`` of every
pixel is painted anew, what was hidden or belonged to another class is all new, and the past is clipped to what is
painted here. ``blend_factor`` 0 and ``clip_gamma`` 0 in the painter's config take the bounds away. The warp is the
engine's motion; where a frame has none (``bridge.messages.UNKNOWN_MOTION``), the flow head's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neuralsim.models.classes import CHANNELS, MOVERS
from neuralsim.models.flow_head import fill
from neuralsim.models.generator import Painter
from neuralsim.models.surface import Surface
from neuralsim.models.temporal import TemporalGenerator, clip_history, reproject


class RecurrenceStep(NamedTuple):
    """One frame of a recurrence, f32."""

    picture: Tensor  # x_t (N, 3, H, W) in [-1, 1]
    painted: Tensor  # h_t (N, 3, H, W)
    fresh: Tensor  # m_t within its bounds (N, 1, H, W): share of h_t in x_t
    mask: Tensor | None  # m_t as the painter says it (N, 1, H, W)
    flow: Tensor | None  # estimated motion (N, H, W, 2) px, of a painter with a flow head
    past_rgb: Tensor  # state for the next frame (N, 3 L, H, W): this picture, and those before as seen from here
    past_label: Tensor  # (N, L, H, W): class + 1, likewise
    mean: Tensor  # 5x5 means of h_t


def no_past(
    painter: Painter, count: int, height: int, width: int, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """``past_rgb`` and ``past_label`` of ``count`` recurrences before their first frame.

    Args:
        painter: It says how many frames its past has.
        count: Of the recurrences.
        height: Pixels.
        width: Pixels.
        device: Of the tensors.
    """
    frames = painter.config.past_frames
    rgb = torch.zeros(count, 3 * frames, height, width, device=device)
    return rgb, torch.full((count, frames, height, width), -1.0, device=device)


class VideoPainter(nn.Module):
    """One step of the recurrence for a batch of maps; ``painter`` has to have ``past_frames``."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        if not painter.config.past_frames:
            raise ValueError("a painter without `past_frames` sees no past: TemporalGenerator composes its frames")
        self.painter = painter

    def forward(
        self,
        label: Tensor,
        embedded: Tensor,
        movers: Tensor,
        detail: Tensor,
        motion: Tensor,
        past_rgb: Tensor,
        past_label: Tensor,
    ) -> RecurrenceStep:
        """The next frame.

        label i64 (N, H, W); embedded f32 (N, embed, H, W), movers (N, 1, H, W), detail (N, 2, H/2, W/2) as ``Painter``
        has them; motion f32 (N, H, W, 2) px, backward; past_rgb, past_label: those of the last step or ``no_past``.
        """
        here = label.to(torch.float32)[:, None] + 1.0
        flow = None
        if self.painter.flow is not None:
            before = torch.cat([self._code(past_label[:, 0]), past_rgb[:, :3]], 1)
            flow = self.painter.flow(embedded, before)
            motion = fill(motion, flow)
        past, past_here, known = reproject(past_rgb, past_label, here, motion)
        painted, mask = self.painter.paint_after(embedded, detail, movers, past, known)
        painted = painted.float()
        kept, mean = clip_history(past[:, :3], painted, self.painter.config.clip_gamma)
        share = (1.0 - self.painter.config.blend_factor) * known[:, :1]
        if mask is not None:
            mask = mask.float()
            share = share * (1.0 - mask)
        picture = (painted + (kept - painted) * share).clamp(-1.0, 1.0)
        earlier = self.painter.config.past_frames - 1
        return RecurrenceStep(
            picture,
            painted,
            1.0 - share,
            mask,
            flow,
            torch.cat([picture, past[:, : 3 * earlier]], 1) if earlier else picture,
            torch.cat([here, past_here[:, :earlier]], 1) if earlier else here,
            mean,
        )

    def _code(self, label: Tensor) -> Tensor:
        """f32 (N, embed - 3, H, W): the labels' codes; of ``label`` f32 (N, H, W), class + 1, -1: none."""
        there = (label > 0.0)[:, None].to(torch.float32)
        code = self.painter.label(label.clamp(1.0, CHANNELS).to(torch.int64) - 1)
        return code.permute(0, 3, 1, 2) * there


class VideoGenerator(TemporalGenerator):
    """The whole model as one graph, as ``TemporalGenerator``, of a painter that sees the past.

    Its state is that of L frames: past_rgb f32 (1, 3 L, H, W), past_label f32 (1, L, H, W).
    """

    moving: Tensor

    def __init__(self, surface: Surface, painter: Painter, **shown: float) -> None:
        super().__init__(surface, painter, **shown)
        self.video = VideoPainter(painter)
        self.past_frames = painter.config.past_frames
        moving = torch.zeros(CHANNELS)
        moving[list(MOVERS)] = 1.0
        self.register_buffer("moving", moving, persistent=False)

    def forward(
        self,
        tag: Tensor,
        instance: Tensor,
        motion: Tensor,
        depth: Tensor,
        camera: Tensor,
        style: Tensor,
        guide: Tensor,
        past_rgb: Tensor,
        past_label: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One frame, as ``TemporalGenerator.forward`` from tag, instance, motion, depth, camera, style and guide, with
        the state past_rgb and past_label of L frames.
        """
        label, embedded, detail = self._seen(tag, instance, depth, camera, style, guide)
        movers = self.moving[label][:, None]
        step = self.video(label, embedded, movers, detail, motion[None].to(torch.float32), past_rgb, past_label)
        rgb = self._shown(step.picture, step.past_label[:, :1], step.mean)
        return rgb, step.past_rgb, step.past_label, detail


def generator(surface: Surface, painter: Painter) -> TemporalGenerator:
    """The whole model around ``painter``, with or without a past."""
    kind = VideoGenerator if painter.config.past_frames else TemporalGenerator
    return kind(surface, painter)
