"""Substitutes for OpenSCENARIO's entities and environments: blueprints, colours, weather."""

import re
from math import degrees
from typing import Any

from scenarios.openscenario.elements import Element

#: Vehicle and pedestrian categories -> blueprint.
BLUEPRINTS = {
    "car": "vehicle.tesla.model3",
    "van": "vehicle.volkswagen.t2",
    "truck": "vehicle.carlamotors.european_hgv",
    "semitrailer": "vehicle.carlamotors.european_hgv",
    "bus": "vehicle.mitsubishi.fusorosa",
    "motorbike": "vehicle.yamaha.yzf",
    "bicycle": "vehicle.diamondback.century",
    "trailer": "vehicle.mercedes.sprinter",
    "pedestrian": "walker.pedestrian.0001",
    "walker": "walker.pedestrian.0001",
    "wheelchair": "walker.pedestrian.0001",
    "animal": "static.prop.doghouse",
}
#: The UN's vehicle categories (ECE/TRANS/WP.29/78, R.E.3), with which names of catalog entries begin.
CLASSES = {
    "m1": "car", "m2": "bus", "m3": "bus", "n1": "van", "n2": "truck", "n3": "truck", "l1": "motorbike",
    "l3": "motorbike", "o1": "trailer", "o2": "trailer",
}  # fmt: skip
#: Blueprint for an entry of a missing catalog whose own name is not informative, by a word in the catalog's name.
UNKNOWN = {
    "vehicle": "vehicle.tesla.model3",
    "pedestrian": "walker.pedestrian.0001",
    "misc": "static.prop.box03",
}
#: Miscellaneous objects -> prop: by a word in their name, else by their category.
PROPS = {
    "cone": "static.prop.constructioncone",
    "barrel": "static.prop.barrel",
    "bench": "static.prop.bench01",
    "sign": "static.prop.streetsign",
    "barrier": "static.prop.streetbarrier",
    "chainbarrier": "static.prop.chainbarrier",
    "pole": "static.prop.bollard",
    "tree": "static.prop.cypresstree",
    "streetLamp": "static.prop.gardenlamp",
    "obstacle": "static.prop.box03",
}
#: Words in the name of a catalog's entry -> R,G,B.
COLORS = {
    "white": "240,240,240", "black": "20,20,20", "red": "180,20,20", "blue": "30,60,160", "green": "30,110,50",
    "yellow": "220,180,30", "orange": "220,110,20", "grey": "120,120,120", "gray": "120,120,120",
}  # fmt: skip


def rgb_color(kind: Element, color: str | None) -> str | None:
    """Return a colour as R,G,B from 0 to 255; it may be given as such or as #RRGGBB."""
    if color is None or not color.startswith("#"):
        return color
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", color):
        raise kind.error(f"color {color} is neither R,G,B nor #RRGGBB")
    return ",".join(str(int(color[k : k + 2], 16)) for k in (1, 3, 5))


def blueprint_of(kind: Element) -> str:
    """Return the blueprint for a Vehicle, Pedestrian or MiscObject, or for a reference to a missing catalog."""
    if kind.name not in ("Vehicle", "Pedestrian", "MiscObject", "CatalogReference"):
        raise kind.refuse()
    if kind.name == "CatalogReference":
        entry, catalog = kind.text("entryName").lower(), kind.text("catalogName").lower()
        candidates = [BLUEPRINTS[word] for word in BLUEPRINTS if word in entry]
        candidates += [BLUEPRINTS[CLASSES[entry[:2]]]] if entry[:2] in CLASSES and entry[2:3] == "_" else []
        candidates += [UNKNOWN[word] for word in UNKNOWN if word in catalog]
        return candidates[0] if candidates else BLUEPRINTS["car"]
    if kind.name == "MiscObject":
        if re.fullmatch(r"static\.prop\.[\w -]+", kind.text("name", "")):
            return kind.text("name")
        name, category = kind.text("name", "").lower(), kind.text("miscObjectCategory", "none")
        return next((PROPS[word] for word in PROPS if word in name), PROPS.get(category, PROPS["obstacle"]))
    for name in (kind.text("name", ""), kind.text("model", "")):
        if re.fullmatch(r"(vehicle|walker)\.[\w.-]+", name):
            return name
    category = kind.text("vehicleCategory" if kind.name == "Vehicle" else "pedestrianCategory")
    if category not in BLUEPRINTS:
        raise kind.error(f"category {category} is not supported; expected one of {', '.join(BLUEPRINTS)}")
    return BLUEPRINTS[category]


def property_of(kind: Element, name: str) -> str | None:
    """Return the value of a property of an entity or a controller; None if it does not have it."""
    properties = kind.find("Properties")
    for each in properties.all("Property") if properties is not None else []:
        if each.text("name") == name:
            return each.text("value")
    return None


def weather_of(environment: Element) -> dict[str, Any]:
    """Return an Environment as a scenario's ``weather``."""
    environment.only("TimeOfDay", "Weather", "RoadCondition", "ParameterDeclarations")
    weather = environment.find("Weather")
    if weather is None:
        return {}
    weather.only("Sun", "Fog", "Precipitation", "Wind", "DomeImage")
    clouds = {"free": 0.0, "zeroOktas": 0.0, "cloudy": 60.0, "overcast": 90.0, "rainy": 90.0, "skyOff": 0.0}
    cover = weather.text("cloudState", weather.text("fractionalCloudCover", "free"))
    result: dict[str, Any] = {"cloudiness": clouds.get(cover, 40.0)}
    if (sun := weather.find("Sun")) is not None:
        result["sun_azimuth_angle"] = degrees(sun.number("azimuth")) % 360.0
        result["sun_altitude_angle"] = min(max(degrees(sun.number("elevation")), -90.0), 90.0)
    if (rain := weather.find("Precipitation")) is not None and rain.text("precipitationType") == "rain":
        amount = min(max(rain.number("intensity", rain.number("precipitationIntensity", 0.5)), 0.0), 1.0)
        result |= {"precipitation": 100.0 * amount, "precipitation_deposits": 100.0 * amount, "wetness": 100.0 * amount}
    if (fog := weather.find("Fog")) is not None:
        result["fog_density"] = min(max(100.0 * (1.0 - fog.number("visualRange") / 500.0), 0.0), 100.0)
    return result
