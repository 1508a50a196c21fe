"""Panes are no brighter beside their wall than in the simulator image, and plain wall is even."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.renderer.postprocessing.contrasts import follow_contrasts

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
    follow_contrasts(image, tag, simulated)
    assert abs(int(image[32, 56, 0]) - 200 * 30 / 120) < 20
    assert (image[:20] == 200).all()
    assert (image[44:] == 200).all()


@pytest.mark.parametrize(("generated", "simulated"), [(20, 30), (185, 115), (205, 130)])
def test_dark_panes_and_walls_that_are_nearly_even_stay(generated: int, simulated: int) -> None:
    image, tag, other = scene(generated, simulated)
    before = image.copy()
    follow_contrasts(image, tag, other)
    differs = (image != before).any(-1)
    differs[22:42, 48:64] = False  # at its edges, which are soft in the simulator image
    assert not differs.any()
    assert (image[26:38, 52:60] == generated).all()


def test_only_buildings_and_vehicles_by_day_and_images_of_one_size() -> None:
    image, tag, simulated = scene(150)
    before = image.copy()
    follow_contrasts(image, tag, np.ascontiguousarray(simulated[::2, ::2]))
    follow_contrasts(image, np.full_like(tag, Tag.ROAD), simulated)
    follow_contrasts(image, tag, simulated, daylight=0.0)
    assert (image == before).all()


def test_a_small_house_far_away_is_compared_with_itself_alone() -> None:
    image, tag, simulated = scene(150)
    tag[:], tag[20:44, 46:66] = Tag.SKY, Tag.BUILDING
    image[tag == Tag.SKY], simulated[tag == Tag.SKY] = 255, 0
    follow_contrasts(image, tag, simulated)
    assert abs(int(image[32, 56, 0]) - 200 * 30 / 120) < 40
    assert (image[tag == Tag.SKY] == 255).all()
    assert (image[20:23, 46:66] == 200).all()


def test_a_white_article_in_a_dark_pane_keeps_the_share_that_it_has_in_the_simulator_image() -> None:
    image, tag, simulated = scene(40)
    image[28:34, 54:58], simulated[28:34, 54:58] = 230, 60
    follow_contrasts(image, tag, simulated)
    assert 70 < image[31, 56, 0] < 140
    assert (image[25, 51] == 40).all()


@pytest.mark.parametrize(("streak", "least", "most"), [(90, 150, 200), (254, 200, 252)])
def test_streaks_and_patches_that_the_simulator_image_does_not_have_are_evened_out(
    streak: int, least: int, most: int
) -> None:
    image, tag, simulated = scene(streak, 120)
    follow_contrasts(image, tag, simulated)
    assert least < image[32, 56, 0] < most
    assert np.abs(image[:20].astype(int) - 200).max() <= 5  # whose surroundings include the streak


def test_a_shadow_on_a_wall_stays() -> None:
    image, tag, simulated = scene(100, 60)
    image[8:, :64], simulated[8:, :64] = 100, 60
    before = image.copy()
    follow_contrasts(image, tag, simulated)
    assert np.abs(image.astype(int) - before)[:, np.r_[:62, 66:128]].max() <= 10


def test_the_haze_over_a_tyre_goes_and_a_reflection_in_the_paint_stays() -> None:
    image, tag, simulated = scene(120)
    tag[tag == Tag.BUILDING] = Tag.CAR
    image[50:58, 90:100] = 240
    follow_contrasts(image, tag, simulated)
    assert abs(int(image[32, 56, 0]) - 200 * 30 / 120) < 20
    assert image[50:58, 90:100].min() > 225
