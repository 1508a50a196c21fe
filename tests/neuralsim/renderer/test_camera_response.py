"""Exposure, white balance and lens blur of the rendered camera."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bridge.weather import FAIR_WEATHER
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.weather.camera_response import blur_by_lens, expose, gains_at, metered_gain, mute_colours
from neuralsim.town.town_drive import TownDrive


def test_places_differ_as_much_as_photographs_and_change_slowly() -> None:
    places = np.random.default_rng(0).uniform(-2000.0, 2000.0, (3000, 2))
    gains = np.log([gains_at(*place, 7) for place in places])
    brightness, red, blue = gains[:, 1], gains[:, 0] - gains[:, 1], gains[:, 2] - gains[:, 1]
    assert 0.09 < brightness.std() < 0.43
    assert 0.04 < red.std() < 0.08
    assert 0.04 < blue.std() < 0.08
    assert (red + blue).max() < 0.01, "no magenta"
    bright = brightness > 0.05
    assert 0.03 < (red - blue)[bright].std() < (red - blue)[~bright].std(), "what is bright is not sandy as well"
    beside = np.log([gains_at(x + 2.0, y, 7) for x, y in places])
    assert np.abs(beside - gains).max() < 0.02, "cameras of a rig, 2 m apart"


def test_gains_are_those_of_place_and_seed() -> None:
    assert np.array_equal(gains_at(10.0, -20.0, 3), gains_at(10.0, -20.0, 3))
    assert not np.allclose(gains_at(10.0, -20.0, 3), gains_at(10.0, -20.0, 4))


def test_exposing_keeps_black_white_and_order_and_is_the_same_everywhere_by_night() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    for brightness in (0.7, 1.0, 1.4):
        image, gains = ramp.copy(), brightness * np.array((1.2, 1.0, 0.8))
        expose(image, gains, 1.0)
        assert (image[0, 0] == 0).all()
        assert (image[0, -1] == 255).all()
        assert (np.diff(image[0].astype(int), axis=0) >= 0).all()
        assert image[0, 100, 0] > image[0, 100, 1] > image[0, 100, 2]
        assert image[0, 100, 1] < 100.0 * brightness, "darker than linearly"
        image = ramp.copy()
        expose(image, gains, 0.0)
        assert (image[0, :, 0] == image[0, :, 2]).all()
        assert 140 < image[0, 100, 0] < 158, "a long exposure"
        assert (image[0, 0] == 0).all()
        assert (image[0, -1] == 255).all()


def test_rain_is_exposed_for_longer() -> None:
    gains = [metered_gain(FAIR_WEATHER | {"precipitation": amount}) for amount in (0.0, 30.0, 100.0)]
    assert gains[0] == 1.0
    assert 1.1 < gains[1] < gains[2] < 1.6


def test_a_sky_that_is_nearly_white_has_little_of_the_cast() -> None:
    image, gains = np.full((1, 2, 3), 128, np.uint8), np.array((1.1, 1.0, 0.9))
    image[0, 1] = 245
    expose(image, gains, 1.0)
    (red, _, blue), (sky_red, _, sky_blue) = image[0].astype(float)
    assert np.log(sky_red / sky_blue) < 0.4 * np.log(red / blue)


def test_overexposed_light_spreads_further_by_day_only() -> None:
    by_day, by_night = (np.full((9, 9, 3), 60, np.uint8) for _ in range(2))
    by_day[:, :4] = by_night[:, :4] = 255
    blur_by_lens(by_day, 1.0)
    blur_by_lens(by_night, 0.0)
    assert by_day[4, 5, 0] > 70
    assert by_night[4, 5, 0] == 60
    assert 60 < by_night[4, 4, 0] < 80, "a lens is never as sharp as its pixels"
    assert (by_day[:, 8] == 60).all()


@pytest.mark.parametrize(("chosen_by", "least", "most"), [("weather", 0.6, 0.9), ("name", 0.97, 1.03)])
def test_a_style_that_was_chosen_stays_as_it_is(chosen_by: str, least: float, most: float) -> None:
    drive = TownDrive(64, 32, town="hamlet")
    drive.ride()
    frame = drive.next_frame("rgb")
    gains = {x: gains_at(x, 0.0, frame.seed)[1] for x in np.arange(0.0, 4000.0, 20.0)}
    neutral, dark = min(gains, key=lambda x: abs(gains[x] - 1.0)), min(gains, key=lambda x: gains[x])
    means = []
    for x in (neutral, dark):
        pose = frame.camera.pose.copy()
        pose[:2, 3] = x, 0.0
        renderer = NeuralRenderer("street-rt", size=(64, 32))
        if chosen_by == "weather":
            renderer.follow(frame.weather)
        else:
            renderer.set_style("day")
        camera = dataclasses.replace(frame.camera, pose=pose)
        means.append(renderer.render(dataclasses.replace(frame, camera=camera)).mean())
    assert least < means[1] / means[0] < most


def test_colours_are_muted_by_day_and_greys_stay() -> None:
    for colour in ((200, 60, 40), (90, 90, 90)):
        image = np.full((4, 4, 3), colour, np.uint8)
        mute_colours(image, 1.0)
        muted = image[0, 0].astype(int)
        assert abs(muted.mean() - np.mean(colour)) < 1.0, "the brightness stays"
        assert np.ptp(muted) == pytest.approx(0.85 * np.ptp(colour), abs=1.5)
        mute_colours(image, 0.0)
        assert np.array_equal(image[0, 0], muted), "nothing by night"
