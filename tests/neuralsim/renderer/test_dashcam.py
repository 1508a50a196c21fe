"""What a dashboard camera films: glass, drops and wiper, the own bonnet, its exposure and caption."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

from bridge.messages import Camera, Ego, Frame
from bridge.weather import FAIR_WEATHER
from neuralsim.renderer.dashcam import dash_camera, own_bonnet, windscreen
from neuralsim.renderer.dashcam.caption import draw_caption
from neuralsim.renderer.dashcam.dash_camera import DashCamera
from neuralsim.renderer.dashcam.exposure import AutoExposure
from neuralsim.renderer.dashcam.glass import glass_light
from neuralsim.renderer.dashcam.windscreen import draw_windscreen, wiper_angle
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

_WIDTH, _HEIGHT = 512, 256
_HEAVY = {"precipitation": 100.0}  # swept every 1.1 s, for 1 s
_RAIN = FAIR_WEATHER | _HEAVY
_AT_REST = 11.0 + 1.05  # s: the wiper has just come down


@pytest.fixture
def plain_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose exposure stays, behind clean glass: what is drawn besides is seen."""
    monkeypatch.setattr(AutoExposure, "expose", lambda *_: None)
    monkeypatch.setattr(dash_camera, "glass_light", lambda width, height: np.zeros((height, width, 3), np.uint8))


def _street() -> np.ndarray:
    """Return a bright sky over a dark road."""
    image = np.full((_HEIGHT, _WIDTH, 3), 30, np.uint8)
    image[: _HEIGHT // 2] = 220
    return image


def _frame(
    weather: dict[str, float],
    color: str = "200,10,10",
    yaw: float = 0.0,
    behind: float = 0.0,
    size: tuple[int, int] = (_WIDTH, _HEIGHT),
) -> Frame:
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    car = np.eye(4)
    car[0, 3] = -1.2 + behind
    pose[2, 3] = 1.45
    ego = Ego(blueprint="vehicle.tesla.model3", color=color, pose=car)
    return Frame(0, 0, _AT_REST, Camera(*size, 70.0, pose), {}, ego, weather=weather)


def _changed(time: float, precipitation: float = 100.0) -> np.ndarray:
    image = _street()
    draw_windscreen(image, {"precipitation": precipitation}, time)
    return np.abs(image.astype(int) - _street()).max(axis=2) > 20


def test_without_rain_the_glass_is_clear() -> None:
    assert not _changed(_AT_REST, precipitation=0.0).any()


def test_a_drop_shows_the_sky_below_and_the_road_above() -> None:
    image = _street()
    draw_windscreen(image, _HEAVY, _AT_REST)
    assert image[_HEIGHT // 2 + 20 :].max() > 100  # the sky, in drops before the road
    assert image[: _HEIGHT // 2 - 20].min() < 150  # the road, in drops before the sky


def test_drops_gather_until_the_wiper_takes_them() -> None:
    """At the right of the image the wiper comes down 0.8 to 0.9 s after its start."""
    before, after = (
        np.mean([_changed(1.1 * cycle + time)[64:192, -100:].mean() for cycle in range(5, 15)]) for time in (0.78, 0.93)
    )
    assert 0.005 < before < 0.2
    assert after < 0.5 * before
    image = _street()
    draw_windscreen(image, _HEAVY, 1.1 * 11 + 0.25)
    assert image[60:120, 170:220].min(axis=1).max() < 190, "upright, it is in view itself"


def test_the_wiper_sweeps_there_and_back() -> None:
    angles = [wiper_angle(time) for time in (0.0, 0.25, 0.5, 0.75, 1.0, 3.0)]
    assert angles[0] == pytest.approx(angles[4]) == pytest.approx(angles[5])
    assert angles[1] == pytest.approx(angles[3])
    assert math.degrees(angles[2]) > 170.0


def test_the_same_time_has_the_same_drops() -> None:
    first, second, later = _street(), _street(), _street()
    for image, time in ((first, 7.3), (second, 7.3), (later, 9.3)):
        windscreen._landed.cache_clear()
        draw_windscreen(image, _HEAVY, time)
    assert (first == second).all()
    assert (first != later).any()


@pytest.mark.usefixtures("plain_camera")
@pytest.mark.parametrize(("color", "channel"), [("200,10,10", 0), ("10,10,200", 2)])
def test_the_bonnet_has_the_paint_of_the_car(color: str, channel: int) -> None:
    image = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
    DashCamera().film(image, _frame(dict(FAIR_WEATHER), color))
    middle = image[-4:, _WIDTH // 2 - 40 : _WIDTH // 2 + 40].reshape(-1, 3).mean(axis=0)
    assert middle.argmax() == channel
    assert middle[channel] > 1.2 * middle[2 - channel]
    assert abs(float(image[_HEIGHT // 2, _WIDTH // 2].mean()) - 90.0) < 3.0


def test_only_a_camera_that_looks_ahead_from_the_seat_films_through_the_windscreen() -> None:
    for frame in (
        _frame(_RAIN, behind=6.5),
        _frame(_RAIN, yaw=math.radians(120.0)),
        replace(_frame(_RAIN), view="left"),
    ):
        image = _street()
        DashCamera().film(image, frame)
        assert (image == _street()).all()


@pytest.mark.parametrize("size", [(512, 256), (1024, 512), (1024, 256), (1242, 375), (640, 480), (333, 117)])
def test_the_bonnet_has_a_tenth_of_the_height_of_an_image_of_any_shape(size: tuple[int, int]) -> None:
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    before = image.copy()
    DashCamera().film(image, _frame(dict(FAIR_WEATHER), size=size))
    middle = np.flatnonzero(np.abs(image[:, width // 2].astype(int) - before[:, width // 2]).max(axis=1) > 25)
    assert 0.86 * height < middle.min() < 0.93 * height
    assert middle.max() == height - 1


@pytest.mark.parametrize("size", [(16, 8), (4, 2), (31, 17)])
def test_images_of_any_size_are_filmed(size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DashCamera().film(image, _frame(_RAIN, size=size))
    assert image.max() > 30


def test_wide_images_have_the_same_drops() -> None:
    """They are drawn at half the size there."""
    wide = np.repeat(np.repeat(_street(), 2, axis=0), 2, axis=1)
    narrow = _street()
    for image in (wide, narrow):
        draw_windscreen(image, _HEAVY, _AT_REST)
    assert np.abs(wide[::2, ::2].astype(int) - narrow).mean() < 2.0
    assert (
        np.abs(wide[::2, ::2].astype(int) - _street()).mean() > 3.0 * np.abs(wide[::2, ::2].astype(int) - narrow).mean()
    )


def test_the_wiper_keeps_its_pace_while_the_rain_grows_little_by_little() -> None:
    images = []
    for amount in (70.0, 70.3):
        image = _street()
        draw_windscreen(image, {"precipitation": amount}, 100.3)
        images.append(image)
    assert (images[0] == images[1]).all()


@pytest.mark.usefixtures("plain_camera")
def test_the_caption_has_the_time_and_the_speed() -> None:
    frames = [_frame(dict(FAIR_WEATHER)) for _ in range(4)]
    frames[1].sim_time += 1.0
    frames[2].ego = replace(frames[2].ego, speed=8.0)
    frames[3].ego = replace(frames[3].ego, pose=np.eye(4), speed=8.0)
    images = [_street() for _ in frames]
    for image, frame in zip(images, frames, strict=True):
        DashCamera().film(image, frame)
    first, later, faster, unknown = (image.astype(int) for image in images)
    columns = [np.flatnonzero((image != first).any(axis=(0, 2))) for image in (later, faster, unknown)]
    assert columns[0].max() < columns[1].min(), "the time is to the left of the speed"
    assert 0 < len(columns[0]) < 16
    assert 0 < len(columns[1]) < 24
    written = [(image[-13:, :200] > 130).all(axis=2).any(axis=0).sum() for image in (first, unknown)]
    assert 20 < written[1] < 0.85 * written[0], "a speed that is not known is not 0 km/h"
    assert not (first != later)[: _HEIGHT - 20].any()


@pytest.mark.parametrize(("time", "speed"), [(1e200, 1e300), (-5.0, -1e300), (0.0, 0.0), (7.0, math.nan)])
@pytest.mark.parametrize("width", [384, 512, 2048])
def test_any_time_and_any_speed_have_room(time: float, speed: float, width: int) -> None:
    image = np.full((width // 2, width, 3), 225, np.uint8)
    draw_caption(image, time, speed, 45.0)
    assert image.min() < 130, "letters have a dark rim at any size"
    written = np.flatnonzero((image != 225).any(axis=(0, 2)))
    assert width // 256 <= written.min() < written.max() < 0.5 * width
    assert (image[0] == 225).all()


def test_its_clock_follows_the_sun() -> None:
    images = [np.full((_HEIGHT, _WIDTH, 3), 60, np.uint8) for _ in range(4)]
    for image, altitude in zip(images, (45.0, 75.0, 15.0, -90.0), strict=True):
        draw_caption(image, 0.0, 0.0, altitude)
    later = [np.full((_HEIGHT, _WIDTH, 3), 60, np.uint8) for _ in range(3)]
    for image, time in zip(later, (90_000.0, 90_001.0, 90_001.0 + 86_400.0), strict=True):
        draw_caption(image, time, 0.0, 45.0)
    assert not np.array_equal(later[0], later[1]), "a server that has been up for days"
    assert np.array_equal(later[1], later[2]), "there is one date"
    noon, summer, evening, night = images
    assert np.array_equal(noon, summer)
    assert not np.array_equal(noon, evening)
    assert not np.array_equal(evening, night)


def test_it_exposes_for_the_street_within_a_second_by_day() -> None:
    shade, sun = np.full((32, 64, 3), 60, np.uint8), np.full((32, 64, 3), 112, np.uint8)
    shade[:4], sun[:4] = 255, 255
    camera = AutoExposure()
    seen = []
    for time, scene in ((0.0, sun), (0.1, shade), (2.0, shade), (2.1, sun)):
        image = scene.copy()
        camera.expose(image, time, 1.0)
        seen.append(int(image[16, 0, 0]))
        assert (image[:4] == 255).all(), "white stays white"
    assert seen[0] == 112
    assert 60 < seen[1] < seen[2] - 10 < 110, "little by little, at once where time jumps"
    assert seen[3] > 120, "out of the shade, what is in the sun is overexposed at first"
    image = shade.copy()
    camera.expose(image, 0.5, 1.0)
    assert abs(int(image[16, 0, 0]) - seen[2]) <= 2, "time jumps back: right at once"
    night = shade.copy()
    AutoExposure().expose(night, 0.0, 0.0)
    assert np.array_equal(night, shade)


def test_the_glass_mirrors_the_dashboard_in_the_sun_and_is_clear_by_night() -> None:
    light = glass_light(_WIDTH, _HEIGHT).astype(float)
    assert light[-40:].mean() > 2.0 * light[60:100].mean()
    assert 0.0 < light.mean() < 12.0
    black = [np.zeros((_HEIGHT, _WIDTH, 3), np.uint8) for _ in range(3)]
    weathers = (FAIR_WEATHER | {"cloudiness": 0.0}, FAIR_WEATHER | {"cloudiness": 100.0},
                FAIR_WEATHER | {"sun_altitude_angle": -90.0})  # fmt: skip
    for image, weather in zip(black, weathers, strict=True):
        DashCamera().film(image, _frame(weather))
    sunny, cloudy, dark = (image[100:180].mean() for image in black)
    assert sunny > 1.5 * cloudy > 0.0
    assert dark == 0.0


@pytest.mark.usefixtures("plain_camera")
def test_the_varnish_mirrors_an_overexposed_sky_more_brightly(monkeypatch: pytest.MonkeyPatch) -> None:
    mirrored = []
    for beyond in (1.0, 1.9):
        monkeypatch.setattr(own_bonnet, "_BEYOND", beyond)
        per_sky = []
        for sky in (180, 250):
            image = _street()
            image[: _HEIGHT // 2] = sky
            DashCamera().film(image, _frame(dict(FAIR_WEATHER), color="20,20,20"))
            per_sky.append(image[-6:, 110:150].astype(float))
        mirrored.append(per_sky)
    assert np.array_equal(mirrored[0][0], mirrored[1][0]), "a sky that is not clipped"
    assert mirrored[1][1].mean() > 1.3 * mirrored[0][1].mean()


@pytest.mark.usefixtures("plain_camera")
def test_a_van_has_no_bonnet_in_view() -> None:
    image = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
    frame = _frame(dict(FAIR_WEATHER))
    frame.ego = replace(frame.ego, blueprint="vehicle.volkswagen.t2")
    DashCamera().film(image, frame)
    assert abs(float(image[-2, _WIDTH // 2].mean()) - 90.0) < 8.0


def test_a_renderer_films_like_a_dashboard_camera_and_its_forks_do_not() -> None:
    drive = TownDrive(128, 64, vehicles=4, walkers=0)
    drive.ride()
    frame = drive.next_frame(colour="rgb")
    frame.weather = _RAIN
    plain, dashcam = (NeuralRenderer(size=(128, 64), dashcam=dashcam) for dashcam in (False, True))
    expected = plain.render(frame)
    filmed, forked = dashcam.render(frame), dashcam.fork().render(frame)
    assert np.abs(filmed[-3:].astype(int) - expected[-3:]).mean() > 5.0
    assert np.abs(forked.astype(int) - expected).mean() < 1.0
