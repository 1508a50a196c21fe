"""The blueprints that can be spawned, with the attributes CARLA's clients expect of them."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.tags import Tag
from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.people_meshes import KINDS
from neuralsim.town.assets.prop_meshes import BOXES
from neuralsim.town.core.sensor_blueprints import blueprints as sensors
from neuralsim.town.core.types import Attribute, Blueprint

#: Further names of CARLA's library, and the body that stands for each.
ALIASES = {
    "vehicle.lincoln.mkz_2020": "vehicle.lincoln.mkz_2017",
    "vehicle.mercedes.coupe_2020": "vehicle.mercedes.coupe",
    "vehicle.mini.cooper_s_2021": "vehicle.mini.cooper_s",
    "vehicle.nissan.patrol_2021": "vehicle.nissan.patrol",
    "vehicle.dodge.charger_police": "vehicle.dodge.charger_2020",
    "vehicle.dodge.charger_police_2020": "vehicle.dodge.charger_2020",
    "vehicle.chevrolet.impala": "vehicle.ford.crown",
    "vehicle.micro.microlino": "vehicle.nissan.micra",
    "vehicle.volkswagen.t2_2021": "vehicle.volkswagen.t2",
    "vehicle.ford.ambulance": "vehicle.mercedes.sprinter",
    "vehicle.carlamotors.carlacola": "vehicle.carlamotors.european_hgv",
    "vehicle.carlamotors.firetruck": "vehicle.carlamotors.european_hgv",
    "vehicle.vespa.zx125": "vehicle.kawasaki.ninja",
}

#: Base type of vehicles that are not plain cars.
BASE_TYPES = {
    "vehicle.volkswagen.t2": "van",
    "vehicle.mercedes.sprinter": "van",
    "vehicle.mitsubishi.fusorosa": "bus",
    "vehicle.carlamotors.european_hgv": "truck",
    "vehicle.bh.crossbike": "bicycle",
    "vehicle.diamondback.century": "bicycle",
    "vehicle.gazelle.omafiets": "bicycle",
    "vehicle.kawasaki.ninja": "motorcycle",
    "vehicle.yamaha.yzf": "motorcycle",
    "vehicle.harley-davidson.low_rider": "motorcycle",
}
_TAGS = {"truck": Tag.TRUCK, "bus": Tag.BUS, "motorcycle": Tag.MOTORCYCLE, "bicycle": Tag.BICYCLE}
BASE_TYPES |= {name: BASE_TYPES[body] for name, body in ALIASES.items() if body in BASE_TYPES}

_SPECIAL = {
    "vehicle.ford.ambulance": "emergency",
    "vehicle.carlamotors.firetruck": "emergency",
    "vehicle.dodge.charger_police": "emergency",
    "vehicle.dodge.charger_police_2020": "emergency",
    "vehicle.tesla.model3": "electric",
    "vehicle.tesla.cybertruck": "electric",
    "vehicle.audi.etron": "electric",
    "vehicle.micro.microlino": "electric",
}
_SECOND = (
    "_2020", "_2021", "ford.crown", "ford.ambulance", "sprinter", "fusorosa", "european_hgv", "firetruck",
)  # fmt: skip  # parts of the names that CARLA counts to its second generation

_DOORS = (*_SECOND, "carlacola")  # of those whose doors open: the second generation and this one

#: Paints of European streets, most common first (R,G,B).
PAINTS = (
    "60,62,66", "24,25,28", "206,208,210", "150,153,158", "42,62,104", "128,24,28", "236,236,232", "88,96,92",
    "30,74,60", "172,150,112", "96,130,168", "186,60,36",
)  # fmt: skip

#: CARLA's walkers and the body of each: those of the town itself are the first of every kind.
WALKERS = {f"walker.pedestrian.{k + 1:04d}": list(KINDS)[k % len(KINDS)] for k in range(51)}
TOWNSPEOPLE = list(WALKERS)[: len(KINDS)]

#: CARLA's props. Of some there are meshes, the others are boxes of about their size.
PROPS = {
    "static.prop.bench01": "bench",
    "static.prop.bench02": "bench",
    "static.prop.bench03": "bench",
    "static.prop.bin": "bin",
    "static.prop.trashcan01": "litter",
    "static.prop.trashcan02": "bin brown",
    "static.prop.trashcan03": "litter",
    "static.prop.trashcan04": "bin",
    "static.prop.trashcan05": "bin brown",
    "static.prop.mailbox": "post",
    "static.prop.busstop": "stop",
    "static.prop.busstoplb": "stop",
    "static.prop.streetsign": "sign warning",
    "static.prop.streetsign01": "sign limit",
    "static.prop.streetsign04": "sign priority",
    "static.prop.trafficwarning": "sign warning",
    "static.prop.fencecrossing": "fence",
    "static.prop.bollard": "bollard",
    "static.prop.gardenlamp": "bollard",
    "static.prop.aporosatree": "lime 0",
    "static.prop.coconutpalm": "birch 0",
    "static.prop.cypresstree": "birch 1",
} | {f"static.prop.{name}": f"box {name}" for name in BOXES}
FRICTION = "static.trigger.friction"
SPECTATOR = Blueprint("spectator", "spectator")
TRAFFIC_LIGHT = Blueprint("traffic.traffic_light", "traffic,traffic_light")
EMPTY = Blueprint("util.actor.empty", "util,actor,empty", (Attribute("role_name", "string", "front"),))
WALKER_CONTROLLER = Blueprint("controller.ai.walker", "controller,ai,walker", (Attribute("role_name", "string", ""),))


def traffic_sign(kind: str) -> Blueprint:
    """What CARLA calls a sign: ``kind`` is "stop", "yield" or "speed_limit.50"."""
    return Blueprint(f"traffic.{kind}", f"traffic,{kind.partition('.')[0]}")


def names() -> tuple[str, ...]:
    """Of all vehicles, walkers and props that the town has, without building any of them."""
    return tuple(sorted({*CARS, *BASE_TYPES, *ALIASES, *WALKERS, *PROPS}))


def vehicle_tag(attributes: Mapping[str, str]) -> Tag:
    """The tag that a camera sees on a vehicle with these attributes; on two wheels there is a rider's beside it."""
    return _TAGS.get(attributes.get("base_type", "").lower(), Tag.CAR)


def blueprints(vehicles: list[str]) -> dict[str, Blueprint]:
    """Every blueprint by id; ``vehicles`` are the ids that there are meshes for."""
    found = [_vehicle(name) for name in vehicles]
    found += [_vehicle(name) for name, body in ALIASES.items() if body in vehicles]
    found += [_walker(name, kind) for name, kind in WALKERS.items()]
    found += [_prop(name) for name in PROPS]
    found += sensors()
    found += [WALKER_CONTROLLER, EMPTY, _friction()]
    return {blueprint.id: blueprint for blueprint in found}


def body(name: str) -> str:
    """The mesh of a vehicle or a prop, by the name of its blueprint."""
    return ALIASES.get(name) or PROPS.get(name, name)


def _role(value: str = "front") -> Attribute:
    return Attribute("role_name", "string", value, ("autopilot", "scenario", "ego_vehicle"))


def _vehicle(name: str) -> Blueprint:
    base = BASE_TYPES.get(name, "car")
    two = base in ("bicycle", "motorcycle")
    second = any(part in name for part in _SECOND)
    return Blueprint(
        name,
        ",".join(name.split(".")),
        (
            _role("autopilot"),
            Attribute("color", "color", PAINTS[0], PAINTS),
            Attribute("number_of_wheels", "int", "2" if two else "4", (), False),
            Attribute("object_type", "string", "", (), False),
            Attribute("base_type", "string", base, (), False),
            Attribute("special_type", "string", _SPECIAL.get(name, ""), (), False),
            Attribute("generation", "int", "2" if second else "1", (), False),
            Attribute("has_lights", "bool", str(base != "bicycle").lower(), (), False),
            Attribute("has_dynamic_doors", "bool", str(any(part in name for part in _DOORS)).lower(), (), False),
            Attribute("sticky_control", "bool", "true"),
            Attribute("terramechanics", "bool", "false"),
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
            Attribute("generation", "int", "2" if int(name[-4:]) > 14 else "1", (), False),
            Attribute("is_invincible", "bool", "true"),
            Attribute("speed", "float", "1.4", ("0.0", "1.4", "2.8")),
            Attribute("can_use_wheelchair", "bool", "false", (), False),
            Attribute("use_wheelchair", "bool", "false"),
        ),
    )


def _friction() -> Blueprint:
    """A box in which tyres hold otherwise; its half sizes are in centimetres."""
    sizes = (Attribute(f"extent_{axis}", "float", "1.0") for axis in "xyz")
    return Blueprint(
        FRICTION, ",".join(FRICTION.split(".")), (_role("front"), Attribute("friction", "float", "3.5"), *sizes)
    )


def _prop(name: str) -> Blueprint:
    size = Attribute("size", "string", "medium", ("tiny", "small", "medium", "big"), False)
    own: tuple[Attribute, ...] = (_role("prop"), size)
    if name == "static.prop.mesh":  # whatever mesh is named: there is but a box for all of them
        own += (
            Attribute("mesh_path", "string", ""),
            Attribute("scale", "float", "1.0"),
            Attribute("mass", "float", "0.0"),
        )
    return Blueprint(name, ",".join(name.split(".")), own)
