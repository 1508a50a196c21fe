"""Lighting of the shaded view: sun, clouds, fog, wet roads and lamps at night."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bridge.weather import FAIR_WEATHER, darkness, effective_weather
from neuralsim.town.render.shading.shading_kernels import Light

#: Colours of surfaces that emit light: always, in the dark, and as tail lamps and headlamps that are switched on.
SIGNALS = ((255, 60, 40), (255, 200, 50), (70, 255, 140))
LAMPS = ((200, 204, 206), (190, 184, 150))
TAIL_LAMPS = ((150, 18, 18),)
HEADLAMPS = ((225, 230, 235),)
CLEAR_RANGE = 700.0  # m at which fog makes up half of the light: in clear air
FOG_RANGE = 28.0  # m, in the densest fog


class Atmosphere(NamedTuple):
    """What the weather parameters mean for an image, in CARLA's units: degrees and per cent."""

    altitude: float = 45.0  # of the sun
    azimuth: float = 30.0
    clouds: float = 0.0
    fog: float = 0.0
    wet: float = 0.0

    @staticmethod
    def of(weather: Mapping[str, float]) -> Atmosphere:
        """Return the atmosphere of ``carla.WeatherParameters`` by name. The sun's angles are required."""
        weather = effective_weather(weather)
        rain = weather.get("precipitation", 0.0)
        wet = max(weather.get("wetness", 0.0), weather.get("precipitation_deposits", 0.0), 0.8 * rain)
        haze = max(weather.get("fog_density", 0.0), 0.35 * rain, weather.get("dust_storm", 0.0))
        return Atmosphere(
            weather["sun_altitude_angle"], weather["sun_azimuth_angle"], weather.get("cloudiness", 0.0), haze, wet
        )


#: Altitude and azimuth of the sun in a new town, degrees.
FIRST_SUN = FAIR_WEATHER["sun_altitude_angle"], FAIR_WEATHER["sun_azimuth_angle"]


@lru_cache(maxsize=4)
def daylight(air: Atmosphere) -> Light:
    """Return the light of an atmosphere. Do not change its arrays: images of the same weather share them."""
    altitude, azimuth = np.radians(air[:2])
    clouds, fog, wet = (float(np.clip(value / 100.0, 0.0, 1.0)) for value in air[2:])
    day = float(np.clip((air.altitude + 6.0) / 16.0, 0.08, 1.0))
    warmth = float(np.clip(1.0 - air.altitude / 25.0, 0.0, 1.0)) * (1.0 - 0.8 * clouds)  # a low sun is redder
    direction = np.array([np.cos(altitude) * np.cos(azimuth), np.cos(altitude) * np.sin(azimuth), np.sin(altitude)])
    covered = clouds**2
    clear = 1.0 - 0.9 * max(covered, fog)
    risen = float(np.clip((air.altitude + 1.0) / 9.0, 0.0, 1.0))
    direct = clear * risen * day  # the sun gives twice as much light as a clear sky, none below clouds
    sun = 0.82 * direct * np.array([1.0, 0.96 - 0.26 * warmth, 0.9 - 0.52 * warmth])
    skylight = 0.66 * (1.0 - 0.28 * clear * risen) * day * (1.0 + 0.12 * covered)
    ambient = skylight * np.array([0.94, 1.0, 1.08 - 0.08 * covered])
    horizon = day * np.array([205.0 + 30.0 * warmth, 214.0 - 20.0 * warmth, 224.0 - 50.0 * warmth])
    zenith = day * np.array([104.0, 150.0, 210.0])
    grey = day * np.array([186.0, 190.0, 196.0])
    horizon += (grey - horizon) * max(covered, fog)
    zenith += (grey * (0.92 - 0.12 * covered) - zenith) * max(covered, fog**0.5)
    dark = darkness({"cloudiness": 0.0, "sun_altitude_angle": air.altitude})
    return Light(direction, sun, ambient, horizon, zenith, CLEAR_RANGE * (FOG_RANGE / CLEAR_RANGE) ** fog, wet, dark)
