"""Window panes are no brighter, beside their wall, than in the simulator image."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.renderer.postprocessing.panes import dim_panes

H, W = 64, 128
PANE = np.s_[24:40, 50:62]


def scene(generated_pane: int, simulated_pane: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wall of 200 with a pane, as generated; tags (building, above it sky); and a wall of 120 as simulated."""
    image, simulated = np.full((H, W, 3), 200, np.uint8), np.full((H, W, 3), 120, np.uint8)
    image[PANE], simulated[PANE] = generated_pane, simulated_pane
    tag = np.full((H, W), Tag.BUILDING, np.uint8)
    tag[:8] = Tag.SKY
    return image, tag, simulated


def test_a_faded_pane_is_as_dark_as_in_the_simulator_image_and_its_wall_stays() -> None:
    image, tag, simulated = scene(150)
    dim_panes(image, tag, simulated)
    assert abs(int(image[32, 56, 0]) - 200 * 30 / 120) < 20
    assert (image[:20] == 200).all()
    assert (image[44:] == 200).all()


@pytest.mark.parametrize(("generated", "simulated"), [(20, 30), (150, 110), (150, 240)])
def test_dark_panes_and_what_is_no_pane_in_the_simulator_image_stay(generated: int, simulated: int) -> None:
    image, tag, other = scene(generated, simulated)
    before = image.copy()
    dim_panes(image, tag, other)
    assert (image == before).all()


def test_only_buildings_by_day_and_images_of_one_size() -> None:
    image, tag, simulated = scene(150)
    before = image.copy()
    dim_panes(image, tag, np.ascontiguousarray(simulated[::2, ::2]))
    dim_panes(image, np.full_like(tag, Tag.CAR), simulated)
    dim_panes(image, tag, simulated, daylight=0.0)
    assert (image == before).all()


def test_a_small_house_far_away_is_compared_with_itself_alone() -> None:
    image, tag, simulated = scene(150)
    tag[:], tag[20:44, 46:66] = Tag.SKY, Tag.BUILDING
    image[tag == Tag.SKY], simulated[tag == Tag.SKY] = 255, 0
    dim_panes(image, tag, simulated)
    assert abs(int(image[32, 56, 0]) - 200 * 30 / 120) < 40
    assert (image[tag == Tag.SKY] == 255).all()
    assert (image[20:23, 46:66] == 200).all()


def test_a_white_article_in_a_dark_pane_keeps_the_share_that_it_has_in_the_simulator_image() -> None:
    image, tag, simulated = scene(40)
    image[28:34, 54:58], simulated[28:34, 54:58] = 230, 60
    dim_panes(image, tag, simulated)
    assert 70 < image[31, 56, 0] < 140
    assert (image[25, 51] == 40).all()
