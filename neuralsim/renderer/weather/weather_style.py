"""Light: the style that a weather is rendered in, and the styles derived from those learned from photographs.

A style is a table f32 (CHANNELS, 3) of the mean colour of each class, -0.5..0.5. Photographs give ``day``, ``overcast``
and ``dusk``. What they never show (a blue sky, rain on the road, the night) is derived from these; the generator
follows any table whose colours are consistent.
"""

from collections.abc import Mapping

import numpy as np

from bridge.weather import effective_weather
from neuralsim.models.classes import Channel

_LEARNED = ("day", "overcast", "dusk")

# Mean colours of skies, sRGB 0..1
_BLUE = (0.79, 0.87, 0.93)  # as pale as a camera shows it that exposes a street
_CLOUDS = (0.91, 0.925, 0.94)  # the whitest allowed: whiter clouds lose all structure
_EVENING = (0.88, 0.75, 0.66)  # the sun on the horizon
_BLUE_HOUR = (0.50, 0.56, 0.68)

_EVENING_EXPOSURE = 0.45  # share of the way to the exposure of an overcast day: without it an evening is black
_WARM = (1.06, 0.98, 0.90)  # low sun
_GOLDEN = (1.06, 0.99, 0.90)  # the light of a clear evening while the sun is up
_NIGHT = (0.74, 0.80, 0.95)  # of the evening's light
_NIGHT_EXPOSURE = 0.5  # longer than that of an evening, so that lamps light the street
_NIGHT_SKY = np.array((0.04, 0.045, 0.065)) - 0.5
_DUST = np.array((0.78, 0.66, 0.50)) - 0.5
_WET_BRIGHTNESS = {Channel.ROAD: 0.40, Channel.SIDEWALK: 0.50, Channel.TERRAIN: 0.75, Channel.ROAD_LINE: 0.85}  # of dry
_LAMPLIT = 0.8  # share of the dimming by rain and wet ground that is left out by night: the light is that of lamps
_REFLECTED = 0.07  # share of the sky in a wet road


def derive_styles(styles: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ``styles``, as learned from photographs, with ``clear``, ``rain`` and ``night`` added.

    They are unchanged where ``day``, ``overcast`` or ``dusk`` is missing. ``dusk`` is exposed as a driver's eye would,
    and no sky is whiter than clouds.
    """
    if not set(_LEARNED) <= styles.keys():
        return dict(styles)
    day, overcast, dusk = (styles[name].copy() for name in _LEARNED)
    for table in (day, overcast):
        table[Channel.SKY] = np.minimum(table[Channel.SKY], np.asarray(_CLOUDS) - 0.5)
    evening = _relight(_mix(dusk, overcast, _EVENING_EXPOSURE), _WARM, _EVENING)
    learned = {"day": day, "overcast": overcast, "dusk": evening}
    derived = {
        "clear": _relight(day, (1.0, 1.0, 1.0), _BLUE),
        **learned,
        "rain": wet_style(_relight(overcast, (0.84, 0.85, 0.87), None), 1.0),
        "night": _relight(_mix(dusk, evening, 0.3), _NIGHT, _BLUE_HOUR),
    }
    return {name: table.astype(np.float32) for name, table in {**derived, **styles, **learned}.items()}


def style_of_weather(weather: Mapping[str, float], styles: Mapping[str, np.ndarray], default: str) -> np.ndarray:
    """Return the style f32 (CHANNELS, 3) of ``weather`` (carla.WeatherParameters by name).

    The height of the sun leads from night over dusk to day, clouds from clear to overcast; rain darkens and wets, dust
    tints. CARLA's ``Default``, which leaves it to the map, is a fair day; no weather at all is ``default``. A style
    that is not among ``styles`` is replaced by the nearest one that is.
    """
    if not weather:
        return styles[default]
    weather = effective_weather(weather)
    get = weather.get
    rain = _fraction(get("precipitation", 0.0), 0.0, 100.0)
    clouds = _fraction(max(get("cloudiness", 0.0), 100.0 * rain, 2.0 * get("fog_density", 0.0)), 10.0, 60.0)
    overcast = _style(styles, default, "overcast")
    clear, bright = _style(styles, default, "clear", "day"), _style(styles, default, "day")
    high = _mix(clear, bright, min(2.0 * clouds, 1.0))
    high = _mix(high, overcast, max(2.0 * clouds - 1.0, 0.0))
    evening, night = _style(styles, default, "dusk"), _style(styles, default, "night", "dusk")
    low = _mix(evening, _relight(overcast, (0.7, 0.7, 0.72), None), 0.6 * clouds)
    altitude = get("sun_altitude_angle", 45.0)
    high = _mix(high, _relight(high, _GOLDEN, None), (1.0 - clouds) * _fraction(-altitude, -30.0, -12.0))
    light = _mix(low, high, _fraction(altitude, 3.0, 18.0))
    light = _mix(night, light, _fraction(altitude, -8.0, 4.0))
    night_share = _fraction(-altitude, 0.0, 9.0) if "night" in styles else 0.0
    if night_share > 0.0:
        light = np.clip((light + 0.5) * (1.0 + night_share * _NIGHT_EXPOSURE), 0.0, 1.0) - 0.5
        light[Channel.SKY] += night_share * (_NIGHT_SKY - light[Channel.SKY])
    dimmed = 1.0 - _LAMPLIT * night_share
    light = _mix(light, _relight(light, (0.80, 0.81, 0.83), None), dimmed * rain)
    water = max(get("wetness", 0.0), get("precipitation_deposits", 0.0))
    light = wet_style(light, dimmed * max(rain, _fraction(water, 0.0, 60.0)))
    return _mix(light, _DUST, 0.4 * _fraction(get("dust_storm", 0.0), 0.0, 100.0)).astype(np.float32)


def wet_style(style: np.ndarray, share: float) -> np.ndarray:
    """Return ``style`` with a wet ground, ``share`` 0..1: it absorbs light and reflects a little of the sky's."""
    out = style.copy()
    for channel, kept in _WET_BRIGHTNESS.items():
        dry = style[channel] + 0.5
        out[channel] = dry * (1.0 - share * (1.0 - kept)) + share * _REFLECTED * (style[Channel.SKY] + 0.5) - 0.5
    return out


def _relight(
    style: np.ndarray, light: tuple[float, float, float], sky: tuple[float, float, float] | None
) -> np.ndarray:
    """Return ``style`` in coloured light, under another sky; None: under its own, which loses only half as much."""
    factor = np.asarray(light)
    out = np.clip((style + 0.5) * factor, 0.0, 1.0) - 0.5
    own = (style[Channel.SKY] + 0.5) * (0.5 + 0.5 * factor)
    out[Channel.SKY] = (own if sky is None else np.asarray(sky)) - 0.5
    return out


def _mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return a if share <= 0.0 else b if share >= 1.0 else np.asarray(a + share * (b - a))


def _fraction(value: float, low: float, high: float) -> float:
    """Return where ``value`` lies between ``low``, 0, and ``high``, 1, clipped."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _style(styles: Mapping[str, np.ndarray], default: str, *names: str) -> np.ndarray:
    return styles[next((name for name in names if name in styles), default)]
