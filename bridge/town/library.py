"""The blueprints that can be spawned, with the attributes CARLA's clients expect of them."""

from __future__ import annotations

from bridge.town.actors import Attribute, Blueprint
from bridge.town.people_meshes import KINDS

#: Base type of vehicles that are not plain cars.
BASE_TYPES = {
    "vehicle.volkswagen.t2": "van",
    "vehicle.mercedes.sprinter": "van",
    "vehicle.mitsubishi.fusorosa": "bus",
    "vehicle.carlamotors.european_hgv": "truck",
    "vehicle.tesla.cybertruck": "car",
    "vehicle.bh.crossbike": "bicycle",
    "vehicle.diamondback.century": "bicycle",
    "vehicle.gazelle.omafiets": "bicycle",
    "vehicle.kawasaki.ninja": "motorcycle",
    "vehicle.yamaha.yzf": "motorcycle",
    "vehicle.harley-davidson.low_rider": "motorcycle",
}

#: Paints of European streets, most common first (R,G,B).
PAINTS = (
    "60,62,66", "24,25,28", "206,208,210", "150,153,158", "42,62,104", "128,24,28", "236,236,232", "88,96,92",
    "30,74,60", "172,150,112", "96,130,168", "186,60,36",
)  # fmt: skip

CAMERAS = (
    "sensor.camera.rgb",
    "sensor.camera.depth",
    "sensor.camera.semantic_segmentation",
    "sensor.camera.instance_segmentation",
    "sensor.camera.optical_flow",
)
WALKERS = {f"walker.pedestrian.{k + 1:04d}": kind for k, kind in enumerate(KINDS)}
SPECTATOR = Blueprint("spectator", "spectator")
TRAFFIC_LIGHT = Blueprint("traffic.traffic_light", "traffic,traffic_light")


def blueprints(vehicles: list[str]) -> dict[str, Blueprint]:
    """Every blueprint by id; `vehicles` are the ids that there are meshes for."""
    found = [_vehicle(name) for name in vehicles]
    found += [_walker(name, kind) for name, kind in WALKERS.items()]
    found += [_camera(name) for name in CAMERAS]
    found.append(Blueprint("sensor.other.collision", "sensor,other,collision", (_role(),)))
    return {blueprint.id: blueprint for blueprint in found}


def _role(value: str = "front") -> Attribute:
    return Attribute("role_name", "string", value, ("autopilot", "scenario", "ego_vehicle"))


def _vehicle(name: str) -> Blueprint:
    base = BASE_TYPES.get(name, "car")
    two = base in ("bicycle", "motorcycle")
    return Blueprint(
        name,
        ",".join(name.split(".")),
        (
            _role("autopilot"),
            Attribute("color", "color", PAINTS[0], PAINTS),
            Attribute("number_of_wheels", "int", "2" if two else "4", (), False),
            Attribute("object_type", "string", "", (), False),
            Attribute("base_type", "string", base, (), False),
            Attribute("special_type", "string", "", (), False),
            Attribute("generation", "int", "1", (), False),
            Attribute("has_lights", "bool", str(base != "bicycle").lower(), (), False),
            Attribute("sticky_control", "bool", "true"),
        ),
    )


def _walker(name: str, kind: str) -> Blueprint:
    return Blueprint(
        name,
        ",".join(name.split(".")),
        (
            _role("pedestrian"),
            Attribute("gender", "string", "female" if kind == "woman" else "male", (), False),
            Attribute("age", "string", "child" if kind == "child" else "adult", (), False),
            Attribute("generation", "int", "1", (), False),
            Attribute("is_invincible", "bool", "true"),
            Attribute("speed", "float", "1.4", ("0.0", "1.4", "2.8")),
        ),
    )


def _camera(name: str) -> Blueprint:
    return Blueprint(
        name,
        ",".join(name.split(".")),
        (
            _role(),
            Attribute("image_size_x", "int", "800"),
            Attribute("image_size_y", "int", "600"),
            Attribute("fov", "float", "90.0"),
            Attribute("sensor_tick", "float", "0.0"),
        ),
    )
