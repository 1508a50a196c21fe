"""Stains go; what was asked for, and what nobody asked for anything, stays."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.models.classes import CHANNELS
from neuralsim.renderer.stains import clean

LUMA = np.array([0.299, 0.587, 0.114])
GREY = np.full((CHANNELS, 3), -0.1, np.float32)


def street() -> tuple[np.ndarray, np.ndarray]:
    """Asphalt with a red stain of 20 levels at the left; a brick wall and a red car at the right."""
    picture = np.full((32, 64, 3), 100, np.uint8)
    picture[8:24, 4:20] += np.array([20, 0, 4], np.uint8)
    picture[:, 32:] = 160, 70, 60
    tag = np.full((32, 64), Tag.ROAD, np.uint8)
    tag[:, 32:48], tag[:, 48:] = Tag.BUILDING, Tag.CAR
    return picture, tag


@pytest.mark.parametrize("guided", [True, False])
def test_a_stain_goes_and_its_luminance_stays(guided: bool) -> None:
    picture, tag = street()
    before = picture.copy()
    clean(picture, tag, np.zeros((32, 64, 4), np.uint8) if guided else None, GREY)
    chroma = [np.ptp(each[8:24, 4:20].astype(int), -1).max() for each in (before, picture)]
    assert chroma[0] == 20
    assert chroma[1] <= 12
    assert np.abs(picture @ LUMA - before @ LUMA).max() <= 1.0
    assert np.array_equal(picture[:, 32:], before[:, 32:])
    assert np.array_equal(picture[:8], before[:8]), "asphalt without a stain"


def test_ground_that_was_asked_to_be_red_stays_red() -> None:
    """A cycle lane: by the guide, and by the style."""
    picture, tag = street()
    guide = np.zeros((40, 64, 4), np.uint8)  # planes may be padded
    guide[:, :, :3] = 125, 100, 105
    before = picture.copy()
    clean(picture, np.pad(tag, ((0, 8), (0, 0)), "edge"), guide, GREY)
    assert np.array_equal(picture[8:24, 4:20], before[8:24, 4:20])
    style = GREY.copy()
    style[:] += np.array([25.0, 0.0, 5.0], np.float32) / 255.0
    picture = before.copy()
    clean(picture, tag, None, style)
    assert np.array_equal(picture[8:24, 4:20], before[8:24, 4:20])


def test_a_white_disc_goes_from_a_dark_window_and_a_bright_one_stays() -> None:
    picture, tag = street()
    wall, dark, bright = np.s_[:, 32:48], np.s_[4:10, 34:40], np.s_[20:26, 34:40]
    picture[wall] = 120
    picture[dark], picture[bright] = 250, 200
    guide = np.zeros((32, 64, 4), np.uint8)
    guide[wall][..., :3] = 120
    guide[::2, 32:48:2, 3] = 128
    guide[4:10:2, 34:40:2, 3], guide[20:26:2, 34:40:2, 3] = 20, 230
    before = picture.copy()
    clean(picture, tag, guide, GREY)
    assert picture[dark].max() < 130, "the sketch says dark"
    picture[dark] = before[dark]
    assert np.array_equal(picture[wall], before[wall])


def test_a_red_glow_goes_from_a_grey_wall_and_not_from_a_brick_one() -> None:
    picture, tag = street()
    picture[8:24, 36:44] = 200, 60, 50
    guide = np.zeros((32, 64, 4), np.uint8)
    guide[..., :3] = 100
    before, brick = picture.copy(), guide.copy()
    brick[:, 32:, :3] = 185, 65, 55
    clean(picture, tag, guide, GREY)
    assert np.ptp(picture[8:24, 36:44].astype(int), -1).max() < 45
    assert np.abs(picture @ LUMA - before @ LUMA).max() <= 1.0
    picture = before.copy()
    clean(picture, tag, brick, GREY)
    assert np.array_equal(picture[8:24, 36:44], before[8:24, 36:44])


def test_planes_in_shared_memory_can_only_be_read() -> None:
    picture, tag = street()
    tag.flags.writeable = False
    clean(picture, tag, None, GREY)
    assert np.ptp(picture[10, 10].astype(int)) <= 12
