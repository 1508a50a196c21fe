"""Names of weather presets, planes and towns, importable without loading a simulator."""

from __future__ import annotations

from typing import Literal, get_args

from bridge.process.parser import unknown

#: CARLA's weather presets: the names in ``carla.WeatherParameters``.
Preset = Literal[
    "Default", "ClearNoon", "CloudyNoon", "WetNoon", "WetCloudyNoon", "SoftRainNoon", "MidRainyNoon", "HardRainNoon",
    "ClearSunset", "CloudySunset", "WetSunset", "WetCloudySunset", "SoftRainSunset", "MidRainSunset", "HardRainSunset",
    "ClearNight", "CloudyNight", "WetNight", "WetCloudyNight", "SoftRainNight", "MidRainyNight", "HardRainNight",
    "DustStorm",
]  # fmt: skip
WEATHERS: tuple[str, ...] = tuple(sorted(get_args(Preset)))

#: The planes of a frame, in wire order.
PLANES = ("tag", "instance", "depth", "motion", "rgb", "rgb_half")

#: The towns that ``neuralsim.town.opendrive.towns`` can generate.
TOWNS = ("hamlet", "motorway", "oldtown", "suburb", "village")

#: A town of open ground and one road, for scenarios without a map; it is not offered for driving.
PLAIN = "plain"


def weather(text: str) -> str:
    """Return the preset with this name, in any case. Raises ``ValueError`` with a one-line message."""
    known = {name.lower(): name for name in WEATHERS}
    if text.lower() not in known:
        raise ValueError(unknown("weather", text, WEATHERS))
    return known[text.lower()]


def town(text: str) -> str:
    """Return ``text`` if it names a town or ends with .xodr. Raises ``ValueError`` with a one-line message."""
    if text not in (*TOWNS, PLAIN) and not text.lower().endswith(".xodr"):
        raise ValueError(f"{unknown('town', text, TOWNS)} (or give the path of an .xodr file)")
    return text
