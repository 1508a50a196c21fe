"""vid2vid's recurrence, in training and as one graph: warp the past, paint, and compose.

    x_t = (1 - m_t) * w(x_{t-1}) + m_t * h_t(s_t, w(x_{t-1}), ..., w(x_{t-L}))    (Wang et al., NeurIPS 2018, eq. 4)

The mask is the painter's own if it has one, within the bounds of ``neuralsim/models/temporal.py``: at least
``blend_factor`` of every pixel is painted anew, what was hidden or belonged to another class is all new, and the past
is clipped to what is painted here. ``blend_factor`` 0 and ``clip_gamma`` 0 in the painter's config take the bounds
away. A painter without ``past_frames`` sees the map alone (h_t(s_t)). The warp is the engine's motion; where a frame
has none (``bridge.messages.UNKNOWN_MOTION``), the flow head's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neuralsim.models.classes import CHANNELS, MOVERS
from neuralsim.models.flow_head import fill
from neuralsim.models.generator import Generator
from neuralsim.models.surface import Surface
from neuralsim.models.temporal import SHARPEN, clip_history, reproject, sharpened


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
    painter: Generator, count: int, height: int, width: int, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """``past_rgb`` and ``past_label`` of ``count`` recurrences before their first frame.

    Args:
        painter: It says how many frames its past has.
        count: Of the recurrences.
        height: Pixels.
        width: Pixels.
        device: Of the tensors.
    """
    frames = max(1, painter.config.past_frames)
    rgb = torch.zeros(count, 3 * frames, height, width, device=device)
    return rgb, torch.full((count, frames, height, width), -1.0, device=device)


class VideoGenerator(nn.Module):
    """One step of the recurrence for a batch of maps; a painter without ``past_frames`` sees the map alone, and its
    last picture is blended in."""

    def __init__(self, painter: Generator) -> None:
        super().__init__()
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
        blend: Tensor | None = None,
    ) -> RecurrenceStep:
        """The next frame.

        label i64 (N, H, W); embedded f32 (N, embed, H, W), movers (N, 1, H, W), detail (N, 2, H/2, W/2);
        motion f32 (N, H, W, 2) px, backward; past_rgb, past_label: those of the last step or ``no_past``;
        blend f32 (CHANNELS,): ``GeneratorConfig.blend`` for this frame, None: its own.
        """
        here = label.to(torch.float32)[:, None] + 1.0
        flow = None
        if self.painter.flow is not None:
            before = torch.cat([self._code(past_label[:, 0]), past_rgb[:, :3]], 1)
            flow = self.painter.flow(embedded, before)
            motion = fill(motion, flow)
        past, past_here, known = reproject(past_rgb, past_label, here, motion)
        mask = None
        if self.painter.config.past_frames:
            painted, mask = self.painter.paint_after(embedded, detail, movers, past, known)
        else:
            painted = self.painter.paint(embedded, detail, movers)
        painted = painted.float()
        kept, mean = clip_history(past[:, :3], painted, self.painter.config.clip_gamma)
        if blend is None:
            blend = movers.new_tensor(self.painter.config.blend)
        share = (1.0 - blend[label][:, None]) * known[:, :1]
        if mask is not None:
            mask = mask.float()
            share = share * (1.0 - mask)
        picture = (painted + (kept - painted) * share).clamp(-1.0, 1.0)
        earlier = past_label.shape[1] - 1
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


class GeneratorGraph(nn.Module):
    """The whole model as one graph: ``step(tag, instance, ..., guide, state...) -> (rgb, state..., detail)``.

    Bytes of the frame in, bytes of the picture out, state inside: that of L frames, of one for a painter that sees the
    map alone.
    """

    INPUTS = ("tag", "instance", "motion", "depth", "camera", "style", "guide", "blend", "past_rgb", "past_label")
    OUTPUTS = ("rgb", "next_rgb", "next_label", "detail")

    moving: Tensor

    def __init__(self, surface: Surface, painter: Generator, sharpen: float = SHARPEN) -> None:
        """``sharpen``: share of what is finer than 5x5 pixels that is added to what is shown, not to the state."""
        super().__init__()
        self.surface, self.painter, self.sharpen = surface, painter, sharpen
        self.video = VideoGenerator(painter)
        self.past_frames = max(1, painter.config.past_frames)  # in its state
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
        blend: Tensor,
        past_rgb: Tensor,
        past_label: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One frame.

        tag u8 (H, W), instance u16 (H, W), motion f16 (H, W, 2) px, depth f32 (H, W) m, camera f32 (20,), style f32
        (CHANNELS, 3), guide u8 (H, W, 4) (``neuralsim/guide``; zeros: none), blend f32 (CHANNELS,)
        (``GeneratorConfig.blend``), past_rgb f32 (1, 3 L, H, W) in [-1, 1], past_label f32 (1, L, H, W) (class + 1; -1:
        no past) -> rgb u8 (H, W, 3), next_rgb, next_label; and detail f32 (1, 2, H/2, W/2), to look at, and because
        OpenVINO keeps in fp32 what leads to an output, as surface coordinates must be.
        """
        guide = guide.permute(2, 0, 1)[None]
        label, tints, row, detail = self.surface(tag[None], instance[None], depth[None], camera, style, guide)
        # looked up plane by plane: a look-up of whole rows would have to be transposed
        tint, code = tints.t()[:, row[0]][None], self.painter.label.weight.t()[:, label[0]][None]
        embedded = torch.cat([self.surface.tinted(tint, guide), code], 1)
        movers = self.moving[label][:, None]
        step = self.video(label, embedded, movers, detail, motion[None].to(torch.float32), past_rgb, past_label, blend)
        shown = sharpened(step.picture, step.past_label[:, :1], step.mean, self.sharpen)[0]
        rgb = (shown.permute(1, 2, 0) * 127.5 + 128.0).clamp(0.0, 255.0).to(torch.uint8)
        return rgb, step.past_rgb, step.past_label, detail
