"""Stray colours are clamped; requested colours, and pixels without a request, stay."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.base.colour import LUMA
from neuralsim.models.classes import CHANNELS
from neuralsim.renderer.postprocessing.colour_clamp import clamp_colour

GREY = np.full((CHANNELS, 3), -0.1, np.float32)


def street() -> tuple[np.ndarray, np.ndarray]:
    """Asphalt with a red patch of 20 levels at the left; a brick wall and a red car at the right."""
    image = np.full((32, 64, 3), 100, np.uint8)
    image[8:24, 4:20] += np.array([20, 0, 4], np.uint8)
    image[:, 32:] = 160, 70, 60
    tag = np.full((32, 64), Tag.ROAD, np.uint8)
    tag[:, 32:48], tag[:, 48:] = Tag.BUILDING, Tag.CAR
    return image, tag


@pytest.mark.parametrize("guided", [True, False])
def test_a_coloured_patch_is_clamped_and_its_luminance_stays(guided: bool) -> None:
    image, tag = street()
    before = image.copy()
    clamp_colour(image, tag, np.zeros((32, 64, 4), np.uint8) if guided else None, GREY)
    chroma = [np.ptp(each[8:24, 4:20].astype(int), -1).max() for each in (before, image)]
    assert chroma[0] == 20
    assert chroma[1] <= 12
    assert np.abs(image @ LUMA - before @ LUMA).max() <= 1.0
    assert np.array_equal(image[:, 32:], before[:, 32:])
    assert np.array_equal(image[:8], before[:8]), "asphalt without a patch"


def test_trees_have_no_red_stains() -> None:
    """The generator makes fog before woods of them."""
    image, guide = np.full((32, 64, 3), (84, 74, 72), np.uint8), np.zeros((32, 64, 4), np.uint8)
    guide[..., :3] = 80, 104, 80
    wall = image.copy()
    clamp_colour(image, np.full((32, 64), Tag.VEGETATION, np.uint8), guide, GREY)
    clamp_colour(wall, np.full((32, 64), Tag.BUILDING, np.uint8), guide, GREY)
    assert (image[..., 0] < image[..., 1]).all()
    assert (wall[..., 0] >= wall[..., 1]).all()


def test_ground_that_is_requested_red_stays_red() -> None:
    """A cycle lane: by the guide, and by the style."""
    image, tag = street()
    guide = np.zeros((40, 64, 4), np.uint8)  # planes may be padded
    guide[:, :, :3] = 125, 100, 105
    before = image.copy()
    clamp_colour(image, np.pad(tag, ((0, 8), (0, 0)), "edge"), guide, GREY)
    assert np.array_equal(image[8:24, 4:20], before[8:24, 4:20])
    style = GREY.copy()
    style[:] += np.array([25.0, 0.0, 5.0], np.float32) / 255.0
    image = before.copy()
    clamp_colour(image, tag, None, style)
    assert np.array_equal(image[8:24, 4:20], before[8:24, 4:20])


def test_a_white_disc_in_a_dark_window_is_clamped_and_a_bright_window_stays() -> None:
    image, tag = street()
    wall, dark, bright = np.s_[:, 32:48], np.s_[4:10, 34:40], np.s_[20:26, 34:40]
    image[wall] = 120
    image[dark], image[bright] = 250, 200
    guide = np.zeros((32, 64, 4), np.uint8)
    guide[wall][..., :3] = 120
    guide[::2, 32:48:2, 3] = 128
    guide[4:10:2, 34:40:2, 3], guide[20:26:2, 34:40:2, 3] = 20, 230
    before = image.copy()
    clamp_colour(image, tag, guide, GREY)
    assert image[dark].max() < 130, "the sketch is dark"
    image[dark] = before[dark]
    assert np.array_equal(image[wall], before[wall])


def test_the_dark_side_of_a_silver_car_does_not_turn_red() -> None:
    image = np.full((8, 8, 3), 60, np.uint8)
    image[..., 0] += 40
    guide = np.full((8, 8, 4), 120, np.uint8)
    guide[..., 3] = 60
    clamp_colour(image, np.full((8, 8), Tag.CAR, np.uint8), guide, GREY)
    assert np.ptp(image.astype(int), axis=-1).max() <= 16


def test_a_black_car_has_no_red_streaks_and_a_grey_one_may_mirror_a_brick_wall() -> None:
    tag, guide = np.full((8, 16), Tag.CAR, np.uint8), np.zeros((8, 16, 4), np.uint8)
    for brightness, most in ((20, 6), (70, 11)):
        image = np.full((8, 16, 3), brightness, np.uint8)
        image[:, 6:9, 0] += 11
        guide[..., :3] = brightness
        clamp_colour(image, tag, guide, GREY)
        assert np.ptp(image[:, 6:9].astype(int), -1).max() <= most
    assert (image[:, 6:9, 0] == 81).all()


def test_a_red_glow_is_clamped_on_a_grey_wall_and_not_on_a_brick_one() -> None:
    image, tag = street()
    image[8:24, 36:44] = 200, 60, 50
    guide = np.zeros((32, 64, 4), np.uint8)
    guide[..., :3] = 100
    before, brick = image.copy(), guide.copy()
    brick[:, 32:, :3] = 185, 65, 55
    clamp_colour(image, tag, guide, GREY)
    assert np.ptp(image[8:24, 36:44].astype(int), -1).max() < 45
    assert np.abs(image @ LUMA - before @ LUMA).max() <= 1.0
    image = before.copy()
    clamp_colour(image, tag, brick, GREY)
    assert np.array_equal(image[8:24, 36:44], before[8:24, 36:44])


def test_a_far_car_that_the_generator_loses_is_as_bright_as_requested_and_a_near_one_its_own() -> None:
    tag, guide = np.full((8, 8), Tag.CAR, np.uint8), np.full((8, 8, 4), 128, np.uint8)
    guide[..., :3] = 60
    seen = []
    for distance in (10.0, 60.0):
        image = np.full((8, 8, 3), 100, np.uint8)
        clamp_colour(image, tag, guide, GREY, np.full((8, 8), distance, np.float32), focal=366.0)
        seen.append(int(image[4, 4, 0]))
    assert seen[0] == 100
    assert seen[1] < 78


def test_faces_and_coats_keep_their_colours_up_to_a_few_metres() -> None:
    """The generator makes an orange smear of a head before a brick wall."""
    tag, guide = np.full((8, 8), Tag.PEDESTRIAN, np.uint8), np.full((8, 8, 4), 128, np.uint8)
    guide[..., :3] = 120, 95, 85
    image = np.full((8, 8, 3), (160, 80, 60), np.uint8)
    clamp_colour(image, tag, guide, GREY, np.full((8, 8), 3.0, np.float32), focal=256.0)
    red, green, blue = image[4, 4].astype(int)
    assert abs((red - green) - 25) < 15
    assert abs((blue - green) + 10) < 15


def test_planes_may_be_read_only() -> None:
    image, tag = street()
    tag.flags.writeable = False
    clamp_colour(image, tag, None, GREY)
    assert np.ptp(image[10, 10].astype(int)) <= 12
