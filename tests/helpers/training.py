"""Small generators and synthetic images for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from neuralsim.models.classes import Channel
from neuralsim.models.generator import GeneratorConfig
from neuralsim.training.config import TrainConfig, nested
from neuralsim.training.data import conditioning

SMALL = GeneratorConfig(encoder=(16,) * 5, decoder=(16,) * 5, blocks=((2,),) * 5)


def picture(seed: int = 0) -> conditioning.Picture:
    """A street of flat colours with two cars side by side and a window in the wall."""
    rng = np.random.default_rng(seed)
    label = np.full((96, 160), Channel.ROAD, np.uint8)
    label[:60] = Channel.BUILDING
    label[:20] = Channel.SKY
    label[50:75, 30:90] = Channel.VEHICLE
    image = np.zeros((96, 160, 3), np.uint8)
    for channel, colour in ((Channel.ROAD, 90), (Channel.BUILDING, 140), (Channel.SKY, 240)):
        image[label == channel] = colour
    image[28:40, 120:135] = 30
    image[50:75, 30:60] = (200, 20, 20)
    image[50:75, 60:90] = (20, 20, 200)
    instance = np.zeros(label.shape, np.uint16)
    instance[50:75, 30:60], instance[50:75, 60:90] = 5, 6
    noisy = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    return conditioning.Picture(f"p{seed}", noisy, label, instance)


def run_config(settings: dict[str, object]) -> TrainConfig:
    """Return a stage from settings without sections, whose keys are unique and short."""
    return TrainConfig.model_validate(nested(settings))


def tiny(out: Path, **settings: object) -> TrainConfig:
    """Return a stage of 64x32 px, in fp32: a processor without bf16 takes five times as long for that."""
    return run_config({"out": str(out), "width": 64, "height": 32, "warmup": 3, "precision": "fp32", **settings})


class SyntheticSource:
    """A source of synthetic images; the frames of a video are all the same."""

    def draw(self, rng: np.random.Generator) -> conditioning.Picture:
        return picture(int(rng.integers(3)))

    def stretch(self, rng: np.random.Generator, frames: int) -> list[conditioning.Picture]:
        return [picture(int(rng.integers(3)))] * frames


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Return whether all weights and buffers are equal."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
