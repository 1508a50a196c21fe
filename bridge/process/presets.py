"""Names of weather presets, planes and towns, importable without loading a simulator."""

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

#: The towns that ``neuralsim.town.opendrive.towns`` can generate, with a sentence each.
TOWNS = {
    "hamlet": "A few streets of terraces and shops, quick to start.",
    "motorway": "Two carriageways in a ring, two interchanges, a country road that crosses over.",
    "oldtown": "Terraces and shops on a bent grid, two avenues with lights.",
    "suburb": "Detached houses with hedges on curving streets, a four-lane road, gentle hills.",
    "village": "A high street with a church, lanes, country roads over hills.",
}

#: A town of open ground and one road, for scenarios without a map; it is not offered for driving.
PLAIN = "plain"


#: Cars to drive, by CARLA's blueprint, with their names.
VEHICLES = {
    "vehicle.tesla.model3": "saloon (Tesla Model 3)",
    "vehicle.mini.cooper_s": "small car (Mini Cooper)",
    "vehicle.nissan.micra": "small car (Nissan Micra)",
    "vehicle.audi.tt": "coupe (Audi TT)",
    "vehicle.dodge.charger_2020": "muscle car (Dodge Charger)",
    "vehicle.nissan.patrol": "off-road car (Nissan Patrol)",
    "vehicle.volkswagen.t2": "camper (Volkswagen T2)",
    "vehicle.mercedes.sprinter": "van (Mercedes Sprinter)",
}


def vehicle(text: str) -> str:
    """Return the blueprint that ``text`` names, in full or without its "vehicle.".

    Raises ``ValueError``, one line.
    """
    name = text if text.startswith("vehicle.") else f"vehicle.{text}"
    if name not in VEHICLES:
        raise ValueError(unknown("vehicle", text, [each.removeprefix("vehicle.") for each in VEHICLES]))
    return name


def weather(text: str) -> str:
    """Return the preset with this name, in any case. Raises ``ValueError`` with a one-line message."""
    known = {name.lower(): name for name in WEATHERS}
    if text.lower() not in known:
        raise ValueError(unknown("weather", text, WEATHERS))
    return known[text.lower()]


def town(text: str) -> str:
    """Return ``text`` if it names a town or ends with .xodr. Raises ``ValueError`` with a one-line message."""
    if text not in (*TOWNS, PLAIN) and not text.lower().endswith(".xodr"):
        raise ValueError(f"{unknown('town', text, [*TOWNS])} (or give the path of an .xodr file)")
    return text
