"""Fog: the share of the air's colour follows from density and distance, and the graph's state has none of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.frames import street

from bridge.carla_client.weather import preset_values
from neuralsim import zoo
from neuralsim.models.classes import CHANNELS
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.weather import camera_response, glow
from neuralsim.renderer.weather.fog import NO_FOG, apply_fog, fog_of_weather
from neuralsim.renderer.weather.weather_style import style_of_weather
from neuralsim.town.render.shading.daylight import FOG_RANGE

FOG = {"cloudiness": 60.0, "sun_altitude_angle": 40.0, "fog_density": 30.0}
THICKER = (("precipitation", 100.0), ("fog_density", 50.0), ("dust_storm", 75.0), ("fog_density", 100.0))
GREY = np.zeros((CHANNELS, 3), np.float32)


def test_half_of_the_light_is_the_airs_at_the_towns_distance() -> None:
    k = {pair: fog_of_weather(dict([pair]))[0] for pair in [("fog_density", 0.0), *THICKER]}
    assert list(k.values()) == sorted(k.values())
    assert k["fog_density", 0.0] == fog_of_weather({})[0] == 0.0
    assert np.exp(-k["fog_density", 100.0] * FOG_RANGE) == pytest.approx(0.5, abs=0.02)


def test_distant_pixels_take_the_colour_of_the_air() -> None:
    depth = np.array([[0.0, 10.0, 40.0, 1000.0]], np.float32)
    image = np.zeros((1, 4, 3), np.uint8)
    apply_fog(image, depth, np.array([0.05, 5.0]), GREY)
    air = 0.85 * 127.5
    assert image[0, :, 0] == pytest.approx(air * (1 - np.exp(-0.05 * np.maximum(depth[0] - 5.0, 0.0))), abs=1.5)
    unchanged = np.full((1, 4, 3), 9, np.uint8)
    for invisible in (NO_FOG, np.array([1e-6, 0.0])):
        apply_fog(unchanged, depth, invisible, GREY)
    assert (unchanged == 9).all()


def test_the_image_has_fog_and_the_state_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glow, "add_veil", lambda *_: None)  # it changes what is near as much, as does the exposure
    monkeypatch.setattr(camera_response, "expose", lambda *_: None)
    frame = replace(street(), weather=FOG)
    foggy, plain = (NeuralRenderer(runtime="onnxruntime", threads=1, postprocess=p) for p in (True, False))
    for renderer in (foggy, plain):
        renderer.follow(frame.weather)
    images = [renderer.render(frame).astype(int) for renderer in (foggy, plain)]
    far = frame.planes["depth"] > 60.0
    near = frame.planes["depth"] < 20.0
    change = np.abs(images[0] - images[1]).mean(-1)
    assert change[far].mean() > 3.0 * change[near].mean()
    ours, theirs = foggy.state(), plain.state()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    foggy.set_style("day")
    foggy.reset()
    assert np.abs(foggy.render(frame).astype(int) - images[0])[far].mean() > 1.0


@pytest.mark.parametrize("preset", ["ClearNight", "CloudyNight", "HardRainNight"])
def test_the_sky_of_a_night_stays_dark_behind_fog(preset: str) -> None:
    weather = preset_values(preset)
    image, depth = np.full((8, 8, 3), 14, np.uint8), np.full((8, 8), 1000.0, np.float32)
    card = zoo.load(zoo.DEFAULT)
    style = style_of_weather(weather, card.styles, card.default_style)
    apply_fog(image, depth, fog_of_weather(weather), style)
    assert image.mean() < 25.0
