"""The sky is a function of weather, direction and time: smooth, in the style's colour, dark by night."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.carla_client.weather import preset_values
from bridge.messages import Camera
from bridge.tags import Tag
from bridge.weather import FAIR_WEATHER
from neuralsim import zoo
from neuralsim.models.classes import Channel
from neuralsim.renderer.weather.camera_response import expose
from neuralsim.renderer.weather.fog import apply_fog, fog_of_weather
from neuralsim.renderer.weather.glow import add_glare, add_veil
from neuralsim.renderer.weather.sky import SkyState, draw_sky, noise, sky_of
from neuralsim.renderer.weather.weather_style import style_of_weather

CARD = zoo.load(zoo.DEFAULT)


def sky(preset: str, time: float = 0.0, yaw: float = 1.0, below: int = 0, **changed: float) -> np.ndarray:
    """The upper half of a level camera's image under a preset with ``changed`` values, f32 (128, 512, 3)."""
    weather = preset_values(preset) | changed
    image, tag = np.zeros((256, 512, 3), np.uint8), np.full((256, 512), Tag.SKY, np.uint8)
    tag[256 - below :] = Tag.ROAD
    pose = np.eye(4)
    pose[:2, :2] = (np.cos(yaw), -np.sin(yaw)), (np.sin(yaw), np.cos(yaw))
    style = style_of_weather(weather, CARD.styles, CARD.default_style)
    draw_sky(image, tag, Camera(512, 256, 70.0, pose), sky_of(weather, style, time))
    return image[:128].astype(np.float32)


@pytest.mark.parametrize("preset", ["ClearNight", "CloudyNight", "WetNight", "HardRainNight"])
def test_night_is_dark(preset: str) -> None:
    """With fog that is lit by lamps, after a long exposure."""
    weather, image = preset_values(preset), sky(preset).astype(np.uint8)
    style = style_of_weather(weather, CARD.styles, CARD.default_style)
    apply_fog(image, np.full(image.shape[:2], 1000.0, np.float32), fog_of_weather(weather), style)
    expose(image, np.ones(3), 0.0)
    assert image.mean() < 25.0


@pytest.mark.parametrize("preset", ["ClearNoon", "CloudyNoon", "HardRainNoon", "ClearSunset"])
def test_it_has_the_style_s_colour_overexposed(preset: str) -> None:
    style = style_of_weather(preset_values(preset), CARD.styles, CARD.default_style)[Channel.SKY] + 0.5
    mean = sky(preset).mean((0, 1)) / 255.0
    assert (mean >= style - 0.06).all()
    assert (mean <= np.minimum(1.0 - 0.3 * (1.0 - style) + 0.024, 0.99)).all()


def test_the_brightest_parts_of_a_day_s_sky_clip() -> None:
    assert (sky("CloudyNoon", cloudiness=60.0) == 255.0).any()
    assert (sky("ClearSunset", sun_altitude_angle=-3.0) < 255.0).all()


def test_a_clear_sky_is_smooth_and_bluer_above() -> None:
    image = sky("ClearNoon")
    steps = np.abs(np.diff(image, axis=1))
    assert np.percentile(steps, 99) <= 6.0
    top, low = image[:16].mean((0, 1)), image[112:].mean((0, 1))
    assert top[2] - top[0] > low[2] - low[0] + 6.0


def test_a_sensor_of_wide_range_keeps_the_blue_of_a_clear_sky_alone() -> None:
    style = style_of_weather(preset_values("ClearNoon"), CARD.styles, CARD.default_style)

    def zenith(cloudiness: float, wide_range: bool) -> np.ndarray:
        return sky_of(preset_values("ClearNoon") | {"cloudiness": cloudiness}, style, 0.0, wide_range).zenith

    wide, usual = zenith(5.0, True), zenith(5.0, False)
    assert wide[2] - wide[0] > usual[2] - usual[0] + 0.1
    assert wide[0] < usual[0] - 0.05
    assert zenith(100.0, True) == pytest.approx(zenith(100.0, False))


def test_a_fair_day_has_single_clouds_before_a_blue_sky() -> None:
    shares = []
    for cover in (0.0, 20.0):
        red = sky("ClearNoon", yaw=2.5, cloudiness=cover)[:80, :, 0]
        shares.append((red - np.median(red, axis=1, keepdims=True) > 6.0).mean())
    assert shares[0] < 0.01
    assert 0.03 < shares[1] < 0.35


def test_clouds_cover_more_of_a_cloudy_sky_and_drift_with_the_wind() -> None:
    still = sky("CloudyNoon")
    assert still[:64].std() > 1.5 * sky("HardRainNoon")[100:].std()
    assert np.abs(sky("CloudyNoon", time=20.0) - still).mean() > 1.0
    assert np.array_equal(sky("CloudyNoon", time=20.0), sky("CloudyNoon", time=20.0))


def test_the_sun_is_where_it_is_and_overexposed() -> None:
    azimuth = np.radians(preset_values("ClearSunset")["sun_azimuth_angle"])
    towards, away = sky("ClearSunset", yaw=azimuth), sky("ClearSunset", yaw=azimuth + np.pi)
    assert (towards.min(2) == 255.0).sum() > 100
    assert not (away.min(2) == 255.0).any()


def test_nothing_but_the_sky_is_touched() -> None:
    image, tag = np.full((64, 96, 3), 7, np.uint8), np.full((64, 96), Tag.BUILDING, np.uint8)
    tag[:20, 30:] = Tag.SKY
    style = CARD.styles[CARD.default_style]
    draw_sky(image, tag, Camera(96, 64, 70.0, np.eye(4)), sky_of(FAIR_WEATHER, style, 0.0))
    assert (image[tag != Tag.SKY] == 7).all()
    assert (image[:12, 42:] > 100).all()


@pytest.mark.parametrize("preset", ["ClearNoon", "CloudyNoon", "ClearSunset"])
def test_it_meets_what_stands_before_it_softly_and_without_a_rim(preset: str) -> None:
    """The generated sky is brown, and darker towards a house within 4 px, as an anti-aliased edge is."""
    image, tag = np.full((64, 96, 3), (140, 120, 90), np.uint8), np.full((64, 96), Tag.SKY, np.uint8)
    tag[:, 60:] = Tag.BUILDING
    image[:, 60:] = 7
    for column, share in zip(range(56, 60), (0.8, 0.6, 0.4, 0.2), strict=True):
        image[:, column] = 7 + share * (np.array((140, 120, 90)) - 7)
    weather, camera = preset_values(preset), Camera(96, 64, 70.0, np.eye(4))
    now = sky_of(weather, style_of_weather(weather, CARD.styles, CARD.default_style), 0.0)
    open_ = np.zeros_like(image)
    draw_sky(open_, np.full_like(tag, Tag.SKY), camera, now)
    draw_sky(image, tag, camera, now)
    rows, expected = image[8:20].mean(0), open_[8:20].mean(0)
    assert np.abs(rows[40:52] - expected[40:52]).max() < 12.0  # nothing brown is left
    brightness = rows[50:62].mean(1)
    assert (np.diff(brightness) <= 4.0).all()
    assert np.abs(np.diff(brightness)).max() < 100.0


def test_the_noise_repeats_and_covers_the_share_that_is_asked_for() -> None:
    texture = noise()
    assert abs(float((texture < 0.3).mean()) - 0.3) < 0.01
    inside, across = np.abs(np.diff(texture, axis=1)).mean(), np.abs(texture[:, 0] - texture[:, -1]).mean()
    assert across < 1.5 * inside


def test_a_low_sun_dazzles_who_looks_at_it() -> None:
    image, tag, camera, now = low_sun(0.0)
    add_glare(image, tag, camera, now)
    light = image.mean(2) - 60.0
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert abs(column - 256) < 8
    assert 70 < row < 86  # where the sun is: 8 degrees above the middle
    assert light.max() > 150.0 > light[128, 256] > 2.0 * light[250, 20] > 4.0


def test_a_sun_behind_the_camera_does_not_dazzle() -> None:
    image, tag, camera, now = low_sun(np.pi)
    add_glare(image, tag, camera, now)
    assert (image == 60).all()


def test_a_sun_behind_a_house_does_not_dazzle() -> None:
    image, tag, camera, now = low_sun(0.0)
    tag[:] = Tag.BUILDING
    add_glare(image, tag, camera, now)
    assert (image == 60).all()


def test_blacks_are_lifted_by_day_alone() -> None:
    style = CARD.styles[CARD.default_style]
    for preset, black in (("ClearNoon", 23), ("ClearNight", 0)):
        image = np.array([[[0, 128, 255]]], np.uint8)
        add_veil(image, sky_of(preset_values(preset), style, 0.0))
        assert abs(int(image[0, 0, 0]) - black) <= 1
        assert image[0, 0, 2] == 255


def low_sun(yaw: float) -> tuple[np.ndarray, np.ndarray, Camera, SkyState]:
    """A dark image below a clear sky, its tags, a camera turned by ``yaw`` from a sun 8 degrees high, and the sky."""
    weather = preset_values("ClearNoon") | {"sun_altitude_angle": 8.0, "sun_azimuth_angle": 0.0, "cloudiness": 0.0}
    tag = np.full((256, 512), Tag.SKY, np.uint8)
    tag[128:] = Tag.ROAD
    pose = np.eye(4)
    pose[:2, :2] = (np.cos(yaw), -np.sin(yaw)), (np.sin(yaw), np.cos(yaw))
    style = style_of_weather(weather, CARD.styles, CARD.default_style)
    return np.full((256, 512, 3), 60, np.uint8), tag, Camera(512, 256, 70.0, pose), sky_of(weather, style, 0.0)
