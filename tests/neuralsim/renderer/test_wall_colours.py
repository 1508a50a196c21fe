"""Walls have no patches of colour that the simulator image does not have; what it has, and their brightness, stay."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.renderer.postprocessing.wall_colours import even_walls

H, W = 96, 192
PATCH = np.s_[40:60, 80:120]
INSIDE = np.s_[44:56, 84:116]
PLASTER, RUST = (150, 146, 138), (176, 138, 112)


def _scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plain wall with a patch of rust, as generated; tags, above it sky; and a plain wall as simulated."""
    image, simulated = np.full((H, W, 3), PLASTER, np.uint8), np.full((H, W, 3), (120, 118, 112), np.uint8)
    image[PATCH] = RUST
    tag = np.full((H, W), Tag.BUILDING, np.uint8)
    tag[:12] = Tag.SKY
    image[:12] = 250, 180, 90
    return image, tag, simulated


def _chroma(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(int)


@pytest.mark.parametrize("half", [False, True])
def test_a_patch_of_rust_on_a_plain_wall_fades_and_keeps_its_brightness(half: bool) -> None:
    before, tag, simulated = _scene()
    image = before.copy()
    even_walls(image, tag, np.ascontiguousarray(simulated[::2, ::2]) if half else simulated)
    was, now = (np.abs(_chroma(each)[INSIDE].mean((0, 1)) - _chroma(each)[80, 20]).sum() for each in (before, image))
    assert now < 0.65 * was
    luminance = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(int) for each in (before, image)]
    assert np.abs(luminance[0] - luminance[1]).max() <= 2
    assert (image[:12] == before[:12]).all(), "only walls"


def test_a_coloured_door_of_the_simulator_image_keeps_more_of_its_colour() -> None:
    before, tag, simulated = _scene()
    simulated[PATCH] = 146, 110, 86  # as different from its wall as in the image
    image, plain = before.copy(), before.copy()
    even_walls(image, tag, simulated)
    even_walls(plain, tag, _scene()[2])
    kept, faded = (np.abs(_chroma(each)[INSIDE] - _chroma(before)[INSIDE]).mean() for each in (image, plain))
    assert kept < 0.6 * faded


@pytest.mark.parametrize("beside", [(200, 30, 30), (90, 140, 240)])
def test_what_is_beside_a_wall_leaves_no_colour_on_it(beside: tuple[int, int, int]) -> None:
    image, tag, simulated = _scene()
    image[:12] = PLASTER
    image[PATCH] = PLASTER
    tag[33:61, 81:122] = Tag.CAR
    image[tag == Tag.CAR] = beside
    before = image.copy()
    even_walls(image, tag, simulated)
    assert np.abs(image.astype(int) - before).max() <= 1


def test_small_differences_stay_and_so_does_the_night() -> None:
    before, tag, simulated = _scene()
    before[PATCH] = PLASTER
    before[PATCH][..., 0] += 3
    image = before.copy()
    even_walls(image, tag, simulated)
    assert (image == before).all()
    image = _scene()[0]
    even_walls(image, tag, simulated, daylight=0.0)
    assert (image == _scene()[0]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 33), (64, 1)])
def test_images_of_any_size(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    even_walls(image, np.full(size, Tag.BUILDING, np.uint8), image.copy())
    assert (image == 90).all()
