"""A step on frames in a row: the painter meets what it painted itself (vid2vid, Wang et al., NeurIPS 2018).

The gradient goes one frame deep, as in vid2vid's own training: each frame is painted from a past that is given, so that
memory does not grow with the rollout. Every frame is judged alone, as pictures are, and in its row: by the video
discriminator, by the motion, and by what was hidden before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.messages import UNKNOWN_MOTION
from neuralsim.models.classes import Channel
from neuralsim.models.discriminator import VideoDiscriminator
from neuralsim.models.generator import Generator
from neuralsim.models.temporal import sharpened
from neuralsim.models.video_generator import RecurrenceStep, VideoGenerator, no_past
from neuralsim.renderer.sharpening import SIGMA
from neuralsim.training import losses
from neuralsim.training.data.clips import Clip
from neuralsim.training.tensors import blurred, chained, one_hot
from neuralsim.training.trainer import DiscriminatorInput, Trainer

#: K pictures, the oldest first, and the K - 1 motions between them.
Row = tuple[list[Tensor], list[Tensor]]


def rollout_step(
    trainer: Trainer, clip: Clip, label: Tensor, image: Tensor, reference: Clip | None = None, estimate: bool = False
) -> dict[str, float]:
    """One step on ``clip``; what to report, means over its frames.

    Args:
        trainer: What learns.
        clip: The frames; those of the town and of maps alone have no pictures.
        label: i64 (N, H, W): maps of real pictures, which a clip without its own is compared with.
        image: f32 (N, 3, H, W): those pictures.
        reference: As many frames of real video, which its motion is compared with.
        estimate: The painter has to do without the clip's motion, if it has a flow head.
    """
    c, frames = trainer.config, clip.frames
    share = 1.0 / (frames - c.rollout_settle)
    estimate = estimate and trainer.painter.flow is not None
    video = VideoGenerator(trainer.painter)
    height, width = clip.label.shape[-2:]
    past = no_past(trainer.painter, len(clip.label), height, width, trainer.device)
    painted: list[Tensor] = []
    judged: list[tuple[DiscriminatorInput, DiscriminatorInput]] = []
    rows: list[tuple[int, Row]] = []
    said: dict[str, list[float]] = {}
    with torch.no_grad(), trainer.cast():
        other = trainer.seen(image, blurred(one_hot(label)), label) if clip.image is None else None
        if other is not None:
            trainer.meet(other)
    for t in range(frames):
        labels = one_hot(clip.label[:, t])
        motion = _painters_motion(clip, t, estimate)
        with trainer.cast(), torch.set_grad_enabled(t >= c.rollout_settle):
            embedded = trainer.painter.embed(clip.label[:, t], clip.tint[:, t])
            movers = trainer.painter.movers(clip.label[:, t])
            step = video(clip.label[:, t], embedded, movers, clip.detail[:, t], motion, *past)
            past = step.past_rgb.detach(), step.past_label
            if c.rollout_sharpening:
                step = step._replace(picture=as_shown(step, clip.label[:, t], c.rollout_sharpening))
            if t < c.rollout_settle:
                painted.append(step.picture)
                continue
            if clip.image is None:
                assert other is not None
                real, fake = other, trainer.seen(step.picture, blurred(labels), clip.label[:, t])
                terms = trainer.adversarial_terms(fake)
                planes = (clip.label[:, t], clip.tint[:, t], clip.detail[:, t])
                terms |= trainer.promised(step.picture, *planes, clip.still)
                terms |= trainer.statistical(fake, [clip.still] * len(clip.label))
            else:
                with torch.no_grad():
                    real = trainer.seen(clip.image[:, t], labels, clip.label[:, t])
                fake = trainer.seen(step.picture, labels, clip.label[:, t])
                terms = trainer.adversarial_terms(fake, real)
            if t:
                terms |= _in_time(trainer, clip, t, step, painted[-1])
            if c.video:
                newest = [(s, row(painted, step.picture, clip.motion, t, s)) for s in strides(t)]
                terms |= _by_video(trainer, newest, clip, t)
                rows += [(s, ([x.detach() for x in pictures], motions)) for s, (pictures, motions) in newest]
            loss = trainer.total(terms) if terms else None
        if loss is not None:  # the first frame of what has no picture may promise nothing
            trainer.gather("painter", loss, share)
        judged.append((real, fake.detach()))
        painted.append(step.picture.detach())
        for name, term in terms.items():
            said.setdefault(name, []).append(term.item())
    trainer.update("painter")
    for real, fake in judged:
        for name, value in trainer.gather_discriminators(real, fake, share, clip.image is not None).items():
            said.setdefault(name, []).append(value)
    truth = clip if clip.image is not None else reference
    if c.video and truth is not None and rows:
        said["discriminator_video"] = [_gather_video(trainer, rows, truth)]
    trainer.finish()
    return {f"roll_{name}": sum(values) / len(values) for name, values in said.items()}


def as_shown(step: RecurrenceStep, label: Tensor, sharpening: float) -> Tensor:
    """The picture of a ``step``, f32 (N, 3, H, W) in [-1, 1], as crisp as the graph and the renderer after it show it
    (``neuralsim/models/temporal.py``, ``neuralsim/renderer/sharpening.py``).

    Args:
        step: Of the recurrence.
        label: i64 (N, H, W), its map; the sky is not sharpened.
        sharpening: As in a model's card.
    """
    shown = sharpened(step.picture, label.to(torch.float32)[:, None] + 1.0, step.mean)
    tap = math.exp(-0.5 / SIGMA**2)
    taps = shown.new_tensor([tap, 1.0, tap]) / (1.0 + 2.0 * tap)
    blur = F.conv2d(F.pad(shown, (1, 1, 1, 1), mode="replicate"), (taps[:, None] * taps).repeat(3, 1, 1, 1), groups=3)
    there = (label != Channel.SKY)[:, None].to(torch.float32)
    return (shown + sharpening * there * (shown - blur)).clamp(-1.0, 1.0)


@torch.no_grad()
def rolled_out(painter: Generator, clip: Clip) -> Tensor:
    """f32 (N, T, 3, H, W): what ``painter`` makes of a clip's frames, one after another."""
    video, pictures = VideoGenerator(painter), []
    count, _, height, width = clip.label.shape
    past = no_past(painter, count, height, width, clip.label.device)
    for t in range(clip.frames):
        label = clip.label[:, t]
        embedded, movers = painter.embed(label, clip.tint[:, t]), painter.movers(label)
        step = video(label, embedded, movers, clip.detail[:, t], clip.motion[:, t], *past)
        past = step.past_rgb, step.past_label
        pictures.append(step.picture)
    return torch.stack(pictures, 1)


def strides(t: int) -> list[int]:
    """Places of the temporal strides whose rows of K frames end at frame ``t``."""
    reach = VideoDiscriminator.FRAMES - 1
    return [index for index, stride in enumerate(VideoDiscriminator.STRIDES) if reach * stride <= t]


def row(painted: list[Tensor], newest: Tensor, motion: Tensor, t: int, index: int) -> Row:
    """K frames that end with ``newest``, frame ``t``, at one stride; ``motion`` f32 (N, T, H, W, 2) of all frames.

    Args:
        painted: Frames before, f32 (N, 3, H, W) each.
        newest: Frame ``t``, f32 (N, 3, H, W).
        motion: f32 (N, T, H, W, 2), px, of all frames.
        t: Number of the newest frame.
        index: Of the stride among ``VideoDiscriminator.STRIDES``.
    """
    stride = VideoDiscriminator.STRIDES[index]
    places = [t - stride * k for k in reversed(range(1, VideoDiscriminator.FRAMES))]
    ends = [*places[1:], t]
    motions = [chained([motion[:, end - k] for k in range(stride)]) for end in ends]
    return [*(painted[place] for place in places), newest], motions


def _painters_motion(clip: Clip, t: int, estimate: bool) -> Tensor:
    """The motion that the painter gets: what is not known is so in ``neuralsim render`` too."""
    motion = clip.motion[:, t]
    if clip.exact and not estimate:
        return motion
    known = torch.zeros_like(clip.visible[:, t]) if estimate else clip.visible[:, t]
    return torch.where(known.permute(0, 2, 3, 1) > 0, motion, UNKNOWN_MOTION)


def _in_time(trainer: Trainer, clip: Clip, t: int, step: RecurrenceStep, before: Tensor) -> dict[str, Tensor]:
    """Losses of frame ``t`` > 0 against the one ``before``."""
    c, terms = trainer.config, {}
    motion, visible = clip.motion[:, t], clip.visible[:, t]
    if c.flow and step.flow is not None:
        pictures = (None, None) if clip.image is None else (clip.image[:, t - 1], clip.image[:, t])
        terms["flow"] = losses.flow_distance(step.flow, motion, visible, *pictures)
    if c.occlusion and step.mask is not None and clip.exact:
        terms["mask"] = losses.mask_distance(step.mask, visible)
    if c.steady:
        terms["steady"] = losses.steadiness(step.picture, before, motion, visible)
    return terms


def _by_video(trainer: Trainer, rows: list[tuple[int, Row]], clip: Clip, t: int) -> dict[str, Tensor]:
    """The painter's losses by D_V on rows whose newest frame is ``t``."""
    if not rows:
        return {}
    c = trainer.config
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


def _gather_video(trainer: Trainer, rows: list[tuple[int, Row]], truth: Clip) -> float:
    """D_V's own step on the rows painted, against those of real frames at the same strides."""
    network: nn.Module = trainer.learners["video"].network.requires_grad_(True)
    total = 0.0
    ends = iter([t for t in range(trainer.config.rollout_settle, truth.frames) for _ in strides(t)])
    for index, fake in rows:
        with trainer.cast():
            real = _real_row(truth, next(ends), index)
            true, painted = ([network(index, *each)[-1]] for each in (real, fake))
            loss = losses.discriminator_loss(true, painted, trainer.config.gan)
        trainer.gather("video", loss, 1.0 / len(rows))
        total += loss.item() / len(rows)
    return total
