"""Light: which style a weather is painted in, and the styles that follow from those that pictures gave.

A style is a table f32 (CHANNELS, 3) of the mean colour of each class, -0.5..0.5. Pictures give ``day``, ``overcast``
and ``dusk``. What they never show, a blue sky, rain on the road, the night, is made of these; the painter follows any
table whose colours hang together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuralsim.models.classes import Channel

_LEARNED = ("day", "overcast", "dusk")

# Mean colours of skies, sRGB 0..1
_BLUE = (0.79, 0.87, 0.93)  # as pale as a camera shows it that exposes a street
_CLOUDS = (0.91, 0.925, 0.94)  # at most: whiter, and nothing can be seen in them
_EVENING = (0.88, 0.75, 0.66)  # the sun on the horizon
_BLUE_HOUR = (0.50, 0.56, 0.68)

_LONGER = 0.45  # how far the exposure of an evening is on the way to that of an overcast day: else it is black
_WARM = (1.06, 0.98, 0.90)  # low sun
_NIGHT = (0.74, 0.80, 0.95)  # of the evening's light
_DUST = np.array((0.78, 0.66, 0.50)) - 0.5
_DRENCHED = {Channel.ROAD: 0.40, Channel.SIDEWALK: 0.50, Channel.TERRAIN: 0.75, Channel.ROAD_LINE: 0.85}  # of its light
_MIRRORED = 0.07  # share of the sky in a wet road


def derived(styles: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``styles`` as pictures gave them, and ``clear``, ``rain`` and ``night`` beside them; unchanged where ``day``,
    ``overcast`` or ``dusk`` is not among them.

    ``dusk`` is exposed as a driver's eye would, and no sky is whiter than clouds.
    """
    if not set(_LEARNED) <= styles.keys():
        return dict(styles)
    day, overcast, dusk = (styles[name].copy() for name in _LEARNED)
    for table in (day, overcast):
        table[Channel.SKY] = np.minimum(table[Channel.SKY], np.asarray(_CLOUDS) - 0.5)
    evening = _lit(_mixed(dusk, overcast, _LONGER), _WARM, _EVENING)
    pictured = {"day": day, "overcast": overcast, "dusk": evening}
    made = {
        "clear": _lit(day, (1.0, 1.0, 1.0), _BLUE),
        **pictured,
        "rain": wet(_lit(overcast, (0.84, 0.85, 0.87), None), 1.0),
        "night": _lit(_mixed(dusk, evening, 0.3), _NIGHT, _BLUE_HOUR),
    }
    return {name: table.astype(np.float32) for name, table in {**made, **styles, **pictured}.items()}


def of_weather(weather: Mapping[str, float], styles: Mapping[str, np.ndarray], default: str) -> np.ndarray:
    """The style f32 (CHANNELS, 3) that fits ``weather`` (carla.WeatherParameters by name).

    The height of the sun leads from night over dusk to day, clouds from clear to overcast; rain darkens and wets, dust
    tints.

    Without a weather, or in CARLA's ``Default``, which leaves it to the map, ``default``. What is not among ``styles``
    is replaced by the nearest that is.
    """
    if weather.get("cloudiness", -1.0) < 0.0 and weather.get("sun_altitude_angle", -1.0) < 0.0:
        return styles[default]
    get = weather.get
    rain = _share(get("precipitation", 0.0), 0.0, 100.0)
    clouds = _share(max(get("cloudiness", 0.0), 100.0 * rain, 2.0 * get("fog_density", 0.0)), 10.0, 60.0)
    overcast = _style(styles, default, "overcast")
    clear, bright = _style(styles, default, "clear", "day"), _style(styles, default, "day")
    high = _mixed(clear, bright, min(2.0 * clouds, 1.0))
    high = _mixed(high, overcast, max(2.0 * clouds - 1.0, 0.0))
    evening, night = _style(styles, default, "dusk"), _style(styles, default, "night", "dusk")
    low = _mixed(evening, _lit(overcast, (0.7, 0.7, 0.72), None), 0.6 * clouds)
    altitude = get("sun_altitude_angle", 45.0)
    light = _mixed(low, high, _share(altitude, 13.0, 35.0))
    light = _mixed(night, light, _share(altitude, -8.0, 4.0))
    light = _mixed(light, _lit(light, (0.80, 0.81, 0.83), None), rain)
    water = max(get("wetness", 0.0), get("precipitation_deposits", 0.0))
    light = wet(light, max(rain, _share(water, 0.0, 60.0)))
    return _mixed(light, _DUST, 0.4 * _share(get("dust_storm", 0.0), 0.0, 100.0)).astype(np.float32)


def wet(style: np.ndarray, share: float) -> np.ndarray:
    """``style`` with the ground so wet, 0..1: it swallows light and gives back a little of the sky's."""
    out = style.copy()
    for channel, kept in _DRENCHED.items():
        dry = style[channel] + 0.5
        out[channel] = dry * (1.0 - share * (1.0 - kept)) + share * _MIRRORED * (style[Channel.SKY] + 0.5) - 0.5
    return out


def _lit(style: np.ndarray, light: tuple[float, float, float], sky: tuple[float, float, float] | None) -> np.ndarray:
    """``style`` in coloured light, under another sky; its own loses but half as much."""
    factor = np.asarray(light)
    out = np.clip((style + 0.5) * factor, 0.0, 1.0) - 0.5
    own = (style[Channel.SKY] + 0.5) * (0.5 + 0.5 * factor)
    out[Channel.SKY] = (own if sky is None else np.asarray(sky)) - 0.5
    return out


def _mixed(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return a if share <= 0.0 else b if share >= 1.0 else np.asarray(a + share * (b - a))


def _share(value: float, low: float, high: float) -> float:
    """Where ``value`` is between ``low``, 0, and ``high``, 1."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _style(styles: Mapping[str, np.ndarray], default: str, *names: str) -> np.ndarray:
    return styles[next((name for name in names if name in styles), default)]
