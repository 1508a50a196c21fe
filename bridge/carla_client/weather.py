"""CARLA's weather as numbers by name, as frames and the embedded town have it."""

from __future__ import annotations

import carla


def weather_values(weather: carla.WeatherParameters) -> dict[str, float]:
    """All of its parameters."""
    return {name: float(getattr(weather, name)) for name in dir(weather) if name[0].islower()}


def preset_values(name: str) -> dict[str, float]:
    """Those of a preset, one of ``bridge.process.presets.WEATHERS``."""
    return weather_values(getattr(carla.WeatherParameters, name))
