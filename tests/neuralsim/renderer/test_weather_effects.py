"""Glow of lamps by night, rain, and what CARLA's weather parameters mean."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.carla_client.weather import preset_values
from bridge.process.presets import WEATHERS
from bridge.tags import Tag
from bridge.weather import FAIR_WEATHER, darkness, effective_weather, wetness
from neuralsim.renderer.weather.glow import add_glow
from neuralsim.renderer.weather.rain import draw_rain


def street(lamp: int = 255) -> np.ndarray:
    """A dark image with one lamp in its middle."""
    image = np.full((256, 512, 3), 10, np.uint8)
    image[120:136, 248:264] = lamp
    return image


def test_a_lamp_glows_by_night_alone_and_less_with_distance() -> None:
    night, day = street(), street()
    add_glow(night, np.zeros(night.shape[:2], np.uint8), 1.0)
    add_glow(day, np.zeros(day.shape[:2], np.uint8), 0.0)
    assert np.array_equal(day, street())
    row = night[128, 264:].mean(1)
    assert row[2] > 20.0
    assert (np.diff(row) <= 1.0).all()
    assert night[2, 2].max() <= 11, "what is far from all lamps stays dark"


def test_a_street_without_lamps_does_not_glow() -> None:
    image = street(lamp=60)
    add_glow(image, np.zeros(image.shape[:2], np.uint8), 1.0)
    assert np.array_equal(image, street(lamp=60))


def test_rain_falls_by_its_amount_and_only_then() -> None:
    changed = []
    for amount in (0.0, 30.0, 100.0):
        image = np.full((128, 128, 3), 90, np.uint8)
        draw_rain(image, {"precipitation": amount, "wind_intensity": 30.0}, 1.0)
        changed.append(float(np.abs(image.astype(int) - 90).mean()))
    assert changed[0] == 0.0
    assert 0.0 < changed[1] < changed[2]


def test_each_frame_has_drops_of_its_own_and_the_same_ones_every_time() -> None:
    def at(time: float) -> np.ndarray:
        image = np.full((128, 128, 3), 90, np.uint8)
        draw_rain(image, {"precipitation": 60.0}, time)
        return image

    assert np.array_equal(at(1.0), at(1.0))
    assert not np.array_equal(at(1.0), at(1.04))


def test_default_is_a_fair_day() -> None:
    assert effective_weather(preset_values("Default")) == FAIR_WEATHER
    assert darkness(preset_values("Default")) == 0.0
    noon = preset_values("ClearNoon")
    assert effective_weather(noon) is noon


@pytest.mark.parametrize("preset", WEATHERS)
def test_names_say_how_dark_and_wet_it_is(preset: str) -> None:
    weather = preset_values(preset)
    assert (darkness(weather) > 0.9) == preset.endswith("Night")
    if "Wet" in preset or "HardRain" in preset:
        assert wetness(weather) >= 0.5


def test_ground_before_ones_own_headlamps_does_not_glow() -> None:
    image = np.full((64, 128, 3), 20, np.uint8)
    image[40:50, 40:90] = 180
    tag = np.full((64, 128), Tag.BUILDING, np.uint8)
    of_wall, of_ground = image.copy(), image.copy()
    add_glow(of_wall, tag, 1.0)
    tag[30:] = Tag.ROAD
    add_glow(of_ground, tag, 1.0)
    assert of_wall[45, 64].mean() > 200.0
    assert (of_ground == image).all()
