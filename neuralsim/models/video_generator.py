"""vid2vid's recurrence, for training and as one graph: warp the past, generate, and blend.

    x_t = (1 - m_t) * w(x_{t-1}) + m_t * h_t(s_t, w(x_{t-1}), ..., w(x_{t-L}))    (Wang et al., NeurIPS 2018, eq. 4)

The mask is the generator's own if it has one, within the bounds of ``neuralsim/models/blending.py``: the blend weight
is at least ``blend_factor``, surfaces that were hidden or belonged to another class are entirely new, and the past is
clipped to the neighbourhood of the new frame. ``blend_factor`` 0 and ``clip_gamma`` 0 in the generator's config remove
the bounds. A generator without ``past_frames`` sees the map alone (h_t(s_t)). The warp is the engine's motion; where a
frame has none (``bridge.messages.UNKNOWN_MOTION``), the flow head's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neuralsim.models.blending import SHARPEN, clip_history, sharpened, weight_of_past
from neuralsim.models.classes import CHANNELS, MOVERS
from neuralsim.models.flow_head import fill
from neuralsim.models.generator import Generator
from neuralsim.models.guide_image import split_image, with_relief
from neuralsim.models.input_planes import Surface
from neuralsim.models.warp import reproject


class RecurrenceStep(NamedTuple):
    """One frame of a recurrence, f32."""

    image: Tensor  # x_t (N, 3, H, W) in [-1, 1]
    generated: Tensor  # h_t (N, 3, H, W)
    blend: Tensor  # m_t within its bounds (N, 1, H, W): share of h_t in x_t
    mask: Tensor | None  # m_t as the generator estimates it (N, 1, H, W)
    flow: Tensor | None  # estimated motion (N, H, W, 2) px, of a generator with a flow head
    past_rgb: Tensor  # state for the next frame (N, 3 L, H, W): this image, and those before as seen from here
    past_label: Tensor  # (N, L, H, W): class + 1, likewise
    mean: Tensor  # 5x5 means of h_t


def no_past(
    generator: Generator, count: int, height: int, width: int, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return ``past_rgb`` and ``past_label`` of ``count`` recurrences before their first frame.

    Args:
        generator: The generator, whose config has the number of past frames.
        count: Number of recurrences.
        height: Height, px.
        width: Width, px.
        device: Device of the tensors.
    """
    frames = max(1, generator.config.past_frames)
    rgb = torch.zeros(count, 3 * frames, height, width, device=device)
    return rgb, torch.full((count, frames, height, width), -1.0, device=device)


class VideoGenerator(nn.Module):
    """One step of the recurrence for a batch of maps; the last image of a generator without ``past_frames`` is only
    blended in."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

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
        """Return the next frame.

        label i64 (N, H, W); embedded f32 (N, embed, H, W), movers (N, 1, H, W), detail (N, 2, H/2, W/2);
        motion f32 (N, H, W, 2) px, backward; past_rgb, past_label: those of the last step or ``no_past``;
        blend f32 (CHANNELS,): ``GeneratorConfig.blend`` for this frame, None: its own.
        """
        here = label.to(torch.float32)[:, None] + 1.0
        flow = None
        if self.generator.flow is not None:
            before = torch.cat([self._code(past_label[:, 0]), past_rgb[:, :3]], 1)
            flow = self.generator.flow(embedded, before)
            motion = fill(motion, flow)
        past, past_here, known = reproject(past_rgb, past_label, here, motion)
        mask = None
        if self.generator.config.past_frames:
            generated, mask = self.generator.generate_after(embedded, detail, movers, past, known)
        else:
            generated = self.generator.generate(embedded, detail, movers)
        generated = generated.float()
        kept, mean = clip_history(past[:, :3], generated, self.generator.config.clip_gamma)
        if blend is None:
            blend = movers.new_tensor(self.generator.config.blend)
        mask = None if mask is None else mask.float()
        share = weight_of_past(blend, label, known, mask)
        image = (generated + (kept - generated) * share).clamp(-1.0, 1.0)
        earlier = past_label.shape[1] - 1
        return RecurrenceStep(
            image,
            generated,
            1.0 - share,
            mask,
            flow,
            torch.cat([image, past[:, : 3 * earlier]], 1) if earlier else image,
            torch.cat([here, past_here[:, :earlier]], 1) if earlier else here,
            mean,
        )

    def _code(self, label: Tensor) -> Tensor:
        """Return the labels' codes f32 (N, embed - 3, H, W) of ``label`` f32 (N, H, W), class + 1; -1: none."""
        valid = (label > 0.0)[:, None].to(torch.float32)
        code = self.generator.label(label.clamp(1.0, CHANNELS).to(torch.int64) - 1)
        return code.permute(0, 3, 1, 2) * valid


class GeneratorGraph(nn.Module):
    """The whole model as one graph: ``step(tag, instance, ..., guide, state...) -> (rgb, state..., detail)``.

    It takes the planes of a frame and the state of L frames (one for a generator that sees the map alone), and returns
    an image in bytes.
    """

    INPUTS = ("tag", "instance", "motion", "depth", "camera", "style", "guide", "blend", "past_rgb", "past_label")
    OUTPUTS = ("rgb", "next_rgb", "next_label", "detail")

    moving: Tensor

    def __init__(self, surface: Surface, generator: Generator, sharpen: float = SHARPEN) -> None:
        """``sharpen``: share of the detail finer than 5x5 pixels that is added to the output, not to the state."""
        super().__init__()
        self.surface, self.generator, self.sharpen = surface, generator, sharpen
        self.video = VideoGenerator(generator)
        self.past_frames = max(1, generator.config.past_frames)
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
        """Return one frame and the next state.

        tag u8 (H, W), instance u16 (H, W), motion f16 (H, W, 2) px, depth f32 (H, W) m, camera f32 (20,), style f32
        (CHANNELS, 3), guide u8 (H, W, 4) (``neuralsim/guide``; zeros: none; of a guided generator the simulator's
        image, and 128), blend f32 (CHANNELS,) (``GeneratorConfig.blend``), past_rgb f32 (1, 3 L, H, W) in [-1, 1],
        past_label f32 (1, L, H, W) (class + 1; -1: no past) -> rgb u8 (H, W, 3), next_rgb, next_label; and detail f32
        (1, 2, H/2, W/2), for inspection, and because OpenVINO keeps in fp32 what leads to an output, as surface
        coordinates must be.
        """
        guide = guide.permute(2, 0, 1)[None]
        is_guided = self.generator.config.guided
        planes = tag[None], instance[None], depth[None], camera, style, guide
        label, tints, row, detail = self.surface(*planes, is_image=is_guided)
        # looked up plane by plane: a look-up of whole rows would have to be transposed
        tint, code = tints.t()[:, row[0]][None], self.generator.label.weight.t()[:, label[0]][None]
        tint = self.surface.tinted(tint, guide)
        if is_guided:
            tint, sketch = split_image(with_relief(tint, detail), label)
            detail = torch.cat([detail[:, :1], sketch], 1)
        embedded = torch.cat([tint, code], 1)
        movers = self.moving[label][:, None]
        step = self.video(label, embedded, movers, detail, motion[None].to(torch.float32), past_rgb, past_label, blend)
        shown = sharpened(step.image, step.past_label[:, :1], step.mean, self.sharpen)[0]
        rgb = (shown.permute(1, 2, 0) * 127.5 + 128.0).clamp(0.0, 255.0).to(torch.uint8)
        return rgb, step.past_rgb, step.past_label, detail
