"""Names of weathers, planes and towns, importable without loading a simulator."""

from __future__ import annotations

from typing import Literal, get_args

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

#: One of open ground and a road, for scenarios without a map; it is not among those that one drives in.
PLAIN = "plain"


def weather(text: str) -> str:
    """The preset with this name, in any case. Raises ``ValueError``, one line."""
    known = {name.lower(): name for name in WEATHERS}
    if text.lower() not in known:
        raise ValueError(f"unknown weather {text!r}: choose {', '.join(WEATHERS)}")
    return known[text.lower()]


def town(text: str) -> str:
    """``text`` if it is a town's name or ends as an OpenDRIVE file does. Raises ``ValueError``, one line."""
    if text not in (*TOWNS, PLAIN) and not text.lower().endswith(".xodr"):
        raise ValueError(f"unknown town {text!r}: choose {', '.join(TOWNS)} or the path of an .xodr file")
    return text
