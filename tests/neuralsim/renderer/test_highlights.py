"""Overexposed walls get colour and texture back from the simulator image."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.renderer.postprocessing.highlights import recover_highlights

H, W = 24, 32


def scene(wall: int = 250) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A generated image that is ``wall`` everywhere, tags (wall, then sky) and a simulator image with texture."""
    tag = np.full((H, W), Tag.BUILDING, np.uint8)
    tag[:, W // 2 :] = Tag.SKY
    simulated = np.random.default_rng(0).integers(140, 180, (H, W, 1)).astype(np.uint8)
    return np.full((H, W, 3), wall, np.uint8), tag, np.concatenate([simulated, simulated, simulated - 30], 2)


@pytest.mark.parametrize("kind", [Tag.BUILDING, Tag.CAR])
def test_an_overexposed_wall_gets_texture_and_colour_and_nothing_else_does(kind: Tag) -> None:
    image, tag, simulated = scene()
    tag[tag == Tag.BUILDING] = kind
    recover_highlights(image, tag, simulated)
    wall, sky = image[:, : W // 2].astype(float), image[:, W // 2 :]
    assert (sky == 250).all()
    assert np.corrcoef(wall[..., 0].ravel(), simulated[:, : W // 2, 0].ravel().astype(float))[0, 1] > 0.8
    assert wall[..., 0].mean() > wall[..., 2].mean() + 5, "as warm as the simulator's"
    assert 204 <= wall.min() < wall.max() <= 250


@pytest.mark.parametrize(("wall", "daylight", "step"), [(200, 1.0, 1), (250, 0.0, 1), (250, 1.0, 2)])
def test_other_walls_night_and_images_of_half_the_size_stay(wall: int, daylight: float, step: int) -> None:
    image, tag, simulated = scene(wall)
    recover_highlights(image, tag, np.ascontiguousarray(simulated[::step, ::step]), daylight)
    assert (image == wall).all()


def test_brighter_walls_stay_brighter() -> None:
    tag, simulated = np.full((1, 51), Tag.BUILDING, np.uint8), np.full((1, 51, 3), 120, np.uint8)
    image = np.repeat(np.arange(205, 256, dtype=np.uint8)[None, :, None], 3, 2)
    recover_highlights(image, tag, simulated)
    assert np.diff(image[0, :, 0].astype(int)).min() >= 0
