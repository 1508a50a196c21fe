"""A step on consecutive frames, in which the generator sees its own output (vid2vid, Wang et al., NeurIPS 2018).

The gradient goes one frame deep, as in vid2vid's own training: each frame is generated from a past without gradient, so
that memory does not grow with the rollout. Every frame gets the losses of single images, and losses in time: from the
video discriminator, the motion, and what was hidden before.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.messages import UNKNOWN_MOTION
from neuralsim.models.blending import sharpened
from neuralsim.models.classes import Channel
from neuralsim.models.discriminator import VideoDiscriminator
from neuralsim.models.generator import Generator
from neuralsim.models.video_generator import RecurrenceStep, VideoGenerator, no_past
from neuralsim.renderer.postprocessing.sharpening import SIGMA
from neuralsim.training import losses
from neuralsim.training.data.clips import Clip
from neuralsim.training.discriminator_input import DiscriminatorInput
from neuralsim.training.tensors import blurred, chained, one_hot
from neuralsim.training.trainer import Trainer

#: K consecutive images, the oldest first, and the K - 1 motions between them.
Row = tuple[list[Tensor], list[Tensor]]


def rollout_step(
    trainer: Trainer, clip: Clip, label: Tensor, image: Tensor, reference: Clip | None = None, estimate: bool = False
) -> dict[str, float]:
    """Run one step on ``clip``; return its losses, means over its frames.

    Args:
        trainer: The trainer of the run.
        clip: The frames; those of the town and of maps alone have no images.
        label: i64 (N, H, W): maps of real images, which a clip without its own is compared with.
        image: f32 (N, 3, H, W): those images.
        reference: The same number of frames of real video, which its motion is compared with.
        estimate: Whether a flow head, if there is one, has to estimate the clip's motion.
    """
    c, frames = trainer.config, clip.frames
    share = 1.0 / (frames - c.rollouts.settle)
    estimate = estimate and trainer.generator.flow is not None
    video = VideoGenerator(trainer.generator)
    height, width = clip.label.shape[-2:]
    past = no_past(trainer.generator, len(clip.label), height, width, trainer.device)
    shown: list[Tensor] = []
    inputs: list[tuple[DiscriminatorInput, DiscriminatorInput]] = []
    rows: list[tuple[int, Row]] = []
    values: dict[str, list[float]] = {}
    with torch.no_grad(), trainer.cast():
        other = trainer.discriminator_input(image, blurred(one_hot(label)), label) if clip.image is None else None
        if other is not None:
            trainer.update_real_statistics(other)
    for t in range(frames):
        frame_label = clip.label[:, t]
        motion = _motion_input(clip, t, estimate)
        with trainer.cast(), torch.set_grad_enabled(t >= c.rollouts.settle):
            embedded = trainer.generator.embed(frame_label, clip.tint[:, t])
            movers = trainer.generator.movers(frame_label)
            step = video(frame_label, embedded, movers, clip.detail[:, t], motion, *past)
            past = step.past_rgb.detach(), step.past_label
            if c.rollouts.sharpening:
                step = step._replace(image=as_shown(step, frame_label, c.rollouts.sharpening))
            if t < c.rollouts.settle:
                shown.append(step.image)
                continue
            real, fake, terms = _frame_losses(trainer, clip, t, step, other)
            if t:
                terms |= _temporal_losses(trainer, clip, t, step, shown[-1])
            if c.losses.video:
                newest = [(s, row(shown, step.image, clip.motion, t, s)) for s in strides(t)]
                terms |= _video_losses(trainer, newest, clip, t)
                rows += [(s, ([x.detach() for x in images], motions)) for s, (images, motions) in newest]
            loss = trainer.total(terms) if terms else None
        if loss is not None:  # the first frame of a clip without images may have no loss
            trainer.accumulate("generator", loss, share)
        inputs.append((real, fake.detach()))
        shown.append(step.image.detach())
        for name, term in terms.items():
            values.setdefault(name, []).append(term.item())
    trainer.update("generator")
    for real, fake in inputs:
        for name, value in trainer.accumulate_discriminators(real, fake, share, clip.image is not None).items():
            values.setdefault(name, []).append(value)
    truth = clip if clip.image is not None else reference
    if c.losses.video and truth is not None and rows:
        values["discriminator_video"] = [_accumulate_video(trainer, rows, truth)]
    trainer.finish()
    return {f"roll_{name}": sum(each) / len(each) for name, each in values.items()}


def _frame_losses(
    trainer: Trainer, clip: Clip, t: int, step: RecurrenceStep, other: DiscriminatorInput | None
) -> tuple[DiscriminatorInput, DiscriminatorInput, dict[str, Tensor]]:
    """Return frame ``t`` as the discriminators see it, real (or ``other`` real images) and generated, and the losses of
    the frame alone."""
    label = clip.label[:, t]
    labels = one_hot(label)
    if clip.image is None:
        assert other is not None
        fake = trainer.discriminator_input(step.image, blurred(labels), label)
        terms = trainer.adversarial_terms(fake)
        terms |= trainer.conditioning_losses(step.image, label, clip.tint[:, t], clip.detail[:, t], clip.still)
        return other, fake, terms | trainer.frechet_losses(fake, [clip.still] * len(clip.label))
    with torch.no_grad():
        real = trainer.discriminator_input(clip.image[:, t], labels, label)
    fake = trainer.discriminator_input(step.image, labels, label)
    return real, fake, trainer.adversarial_terms(fake, real)


def as_shown(step: RecurrenceStep, label: Tensor, sharpening: float) -> Tensor:
    """Return the image of a ``step``, f32 (N, 3, H, W) in [-1, 1], sharpened as by the graph and the renderer after it
    (``neuralsim/models/blending.py``, ``neuralsim/renderer/postprocessing/sharpening.py``).

    ``label`` i64 (N, H, W): its map; the sky is not sharpened. ``sharpening``: as in a model's card.
    """
    shown = sharpened(step.image, label.to(torch.float32)[:, None] + 1.0, step.mean)
    tap = math.exp(-0.5 / SIGMA**2)
    taps = shown.new_tensor([tap, 1.0, tap]) / (1.0 + 2.0 * tap)
    blur = F.conv2d(F.pad(shown, (1, 1, 1, 1), mode="replicate"), (taps[:, None] * taps).repeat(3, 1, 1, 1), groups=3)
    mask = (label != Channel.SKY)[:, None].to(torch.float32)
    return (shown + sharpening * mask * (shown - blur)).clamp(-1.0, 1.0)


@torch.no_grad()
def rolled_out(generator: Generator, clip: Clip) -> Tensor:
    """Return f32 (N, T, 3, H, W): the output of ``generator`` for a clip's frames, one after another."""
    video, images = VideoGenerator(generator), []
    count, _, height, width = clip.label.shape
    past = no_past(generator, count, height, width, clip.label.device)
    for t in range(clip.frames):
        label = clip.label[:, t]
        embedded, movers = generator.embed(label, clip.tint[:, t]), generator.movers(label)
        step = video(label, embedded, movers, clip.detail[:, t], clip.motion[:, t], *past)
        past = step.past_rgb, step.past_label
        images.append(step.image)
    return torch.stack(images, 1)


def strides(t: int) -> list[int]:
    """Return the indices of the temporal strides whose rows of K frames can end at frame ``t``."""
    reach = VideoDiscriminator.FRAMES - 1
    return [index for index, stride in enumerate(VideoDiscriminator.STRIDES) if reach * stride <= t]


def row(earlier: list[Tensor], newest: Tensor, motion: Tensor, t: int, index: int) -> Row:
    """Return K frames at one stride that end with ``newest``, and the motions between them.

    Args:
        earlier: Frames before, f32 (N, 3, H, W) each.
        newest: Frame ``t``, f32 (N, 3, H, W).
        motion: f32 (N, T, H, W, 2), px, of all frames.
        t: Number of the newest frame.
        index: Index of the stride in ``VideoDiscriminator.STRIDES``.
    """
    stride = VideoDiscriminator.STRIDES[index]
    places = [t - stride * k for k in reversed(range(1, VideoDiscriminator.FRAMES))]
    ends = [*places[1:], t]
    motions = [chained([motion[:, end - k] for k in range(stride)]) for end in ends]
    return [*(earlier[place] for place in places), newest], motions


def _motion_input(clip: Clip, t: int, estimate: bool) -> Tensor:
    """Return the motion that the generator gets; unknown motion is marked as in ``neuralsim render``."""
    motion = clip.motion[:, t]
    if clip.exact and not estimate:
        return motion
    known = torch.zeros_like(clip.visible[:, t]) if estimate else clip.visible[:, t]
    return torch.where(known.permute(0, 2, 3, 1) > 0, motion, UNKNOWN_MOTION)


def _temporal_losses(trainer: Trainer, clip: Clip, t: int, step: RecurrenceStep, before: Tensor) -> dict[str, Tensor]:
    """Return the losses of frame ``t`` > 0 against the one ``before``."""
    c, terms = trainer.config.losses, {}
    motion, visible = clip.motion[:, t], clip.visible[:, t]
    if c.flow and step.flow is not None:
        images = (None, None) if clip.image is None else (clip.image[:, t - 1], clip.image[:, t])
        terms["flow"] = losses.flow_distance(step.flow, motion, visible, *images)
    if c.occlusion and step.mask is not None and clip.exact:
        terms["mask"] = losses.mask_distance(step.mask, visible)
    if c.steady:
        terms["steady"] = losses.steadiness(step.image, before, motion, visible)
    return terms


def _video_losses(trainer: Trainer, rows: list[tuple[int, Row]], clip: Clip, t: int) -> dict[str, Tensor]:
    """Return the generator's losses from D_V on rows whose newest frame is ``t``."""
    if not rows:
        return {}
    c = trainer.config.losses
    network = trainer.learners["video"].network.requires_grad_(False)
    layers = [network(index, *each) for index, each in rows]
    terms = {"video": losses.generator_loss([each[-1] for each in layers], c.gan)}
    if c.matching and clip.image is not None:
        with torch.no_grad():
            real = [network(index, *_real_row(clip, t, index)) for index, _ in rows]
        terms["match_video"] = losses.feature_matching(layers, real)
    return terms


def _real_row(clip: Clip, t: int, index: int) -> Row:
    assert clip.image is not None
    return row([clip.image[:, k] for k in range(t)], clip.image[:, t], clip.motion, t, index)


def _accumulate_video(trainer: Trainer, rows: list[tuple[int, Row]], truth: Clip) -> float:
    """Add D_V's gradient on generated rows against rows of real frames at the same strides; return its loss."""
    network: nn.Module = trainer.learners["video"].network.requires_grad_(True)
    total = 0.0
    ends = iter([t for t in range(trainer.config.rollouts.settle, truth.frames) for _ in strides(t)])
    for index, fake in rows:
        with trainer.cast():
            real = _real_row(truth, next(ends), index)
            true, generated = ([network(index, *each)[-1]] for each in (real, fake))
            loss = losses.discriminator_loss(true, generated, trainer.config.losses.gan)
        trainer.accumulate("video", loss, 1.0 / len(rows))
        total += loss.item() / len(rows)
    return total
