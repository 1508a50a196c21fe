"""What discriminators and Fréchet distances see of a batch of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuralsim.models.classes import Channel
from neuralsim.training.config import TrainConfig
from neuralsim.training.data.object_crops import CropWindow


@dataclass
class DiscriminatorInput:
    """A batch of images for the discriminators."""

    image: Tensor  # f32 (N, 3, H, W) in [-1, 1]
    labels: Tensor  # f32 (N, CHANNELS, H, W): what the discriminators see of the map
    classes: Tensor  # i64 (N, H/2, W/2): the map at half the size
    features: list[Tensor]  # of the frozen networks, one network after another
    objects: DiscriminatorInput | None = None  # crops of objects
    windows: Sequence[CropWindow] = ()  # of crops: where each is from

    def detach(self) -> DiscriminatorInput:
        """Return the same without gradients."""
        features = [feature.detach() for feature in self.features]
        objects = None if self.objects is None else self.objects.detach()
        return replace(self, image=self.image.detach(), features=features, objects=objects)


#: Samples of crops whose statistics are compared -> the classes of their objects.
OBJECTS = {"vehicles": (Channel.VEHICLE,), "people": (Channel.PERSON, Channel.CYCLE)}
#: Samples that are compared class by class -> whether they are maps of real streets.
OF_CLASSES = {"frechet_classes": True, "frechet_town_classes": False}


def frechet_weights(config: TrainConfig) -> dict[str, float]:
    """Return the weight of the Fréchet distance of each sample: maps of real streets and town frames, each as a whole,
    class by class, and of crops."""
    c = config.losses
    weights = {"frechet": c.frechet, "frechet_town": c.frechet_town}
    of_objects = {f"{whole}_{kind}": c.frechet_objects for whole in weights for kind in OBJECTS}
    return weights | dict.fromkeys(OF_CLASSES, c.frechet_classes) | of_objects


def frechet_samples(batch: DiscriminatorInput, still: list[bool]) -> dict[str, list[Tensor]]:
    """Return features by sample; ``still``: which images are of maps of real streets; the others are the town's."""
    samples: dict[str, list[Tensor]] = {}
    for name, of_kind in (("frechet", True), ("frechet_town", False)):
        if of_kind not in still:
            continue
        samples[name] = select(batch.features, [each == of_kind for each in still])
        if (crops := batch.objects) is None:
            continue
        for kind, channels in OBJECTS.items():
            chosen = [still[each.number] == of_kind and each.channel in channels for each in crops.windows]
            if any(chosen):
                samples[f"{name}_{kind}"] = select(crops.features, chosen)
    return samples


def select(features: list[Tensor], chosen: list[bool]) -> list[Tensor]:
    """Return the features of the chosen images."""
    return [feature[torch.tensor(chosen, device=feature.device)] for feature in features]
