"""The blueprints that can be spawned, with the attributes that CARLA's clients expect."""

from collections.abc import Mapping

from bridge.tags import Tag
from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.looks import COLOURS
from neuralsim.town.assets.people_meshes import KINDS
from neuralsim.town.assets.prop_boxes import BOXES
from neuralsim.town.core.sensor_blueprints import blueprints as sensors
from neuralsim.town.core.types import Attribute, Blueprint

#: Further names of CARLA's library, and the vehicle whose mesh stands for each.
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
BASE_TYPES: dict[str, str] = {
    **{name: car.base_type for name, car in CARS.items() if car.base_type != "car"},
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

_SPECIAL: dict[str, str] = {
    **{name: car.special_type for name, car in CARS.items()},
    "vehicle.ford.ambulance": "emergency",
    "vehicle.carlamotors.firetruck": "emergency",
    "vehicle.dodge.charger_police": "emergency",
    "vehicle.dodge.charger_police_2020": "emergency",
    "vehicle.micro.microlino": "electric",
}
#: Parts of the names of CARLA's second generation of vehicles.
_SECOND_GENERATION = ("_2020", "_2021", "crown", "ford.ambulance", "sprinter", "fusorosa", "european_hgv", "firetruck")
_WITH_DOORS = (*_SECOND_GENERATION, "carlacola")  # parts of the names of vehicles with doors that open

CAR_COLOURS = tuple(COLOURS.cars)
#: The same as often as on the streets.
STREET_COLOURS = tuple(colour for colour, count in COLOURS.cars.items() for _ in range(count))
#: How many of each type of car there are on the streets, over the usual ones: others are 1.
TYPE_SHARES = {name: car.street_share for name, car in CARS.items()}

#: CARLA's walkers and the kind of each; the town's own pedestrians are the first ones of each kind.
WALKERS = {f"walker.pedestrian.{k + 1:04d}": list(KINDS)[k % len(KINDS)] for k in range(51)}
TOWNSPEOPLE = list(WALKERS)[: len(KINDS)]

#: CARLA's props and their meshes; those without a mesh of their own are boxes of about the right size.
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
    "static.prop.streetsign01": "sign limit 50",
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
#: Whether the parked cars and the furniture at its place go when it is spawned. CARLA's blueprints do not have it.
CLEARS_PLACE = Attribute("clears_place", "bool", "false")
#: Whether traffic leaves the lane ahead of it when it is spawned or teleported. CARLA's blueprints do not have it.
CLEARS_LANE = Attribute("clears_lane", "bool", "false")
TRAFFIC_LIGHT = Blueprint("traffic.traffic_light", "traffic,traffic_light")
EMPTY = Blueprint("util.actor.empty", "util,actor,empty", (Attribute("role_name", "string", "front"),))
WALKER_CONTROLLER = Blueprint("controller.ai.walker", "controller,ai,walker", (Attribute("role_name", "string", ""),))


def traffic_sign(kind: str) -> Blueprint:
    """Return CARLA's blueprint of a sign: ``kind`` is "stop", "yield" or "speed_limit.50"."""
    return Blueprint(f"traffic.{kind}", f"traffic,{kind.partition('.')[0]}")


def blueprint_names() -> tuple[str, ...]:
    """Return the ids of all vehicles, walkers and props of the town, without building any of them."""
    return tuple(sorted({*CARS, *BASE_TYPES, *ALIASES, *WALKERS, *PROPS}))


def vehicle_tag(attributes: Mapping[str, str]) -> Tag:
    """Return the tag of a vehicle with these attributes; the rider of a two-wheeler has a tag of its own."""
    return _TAGS.get(attributes.get("base_type", "").lower(), Tag.CAR)


def blueprints(vehicles: list[str]) -> dict[str, Blueprint]:
    """Return every blueprint by id; ``vehicles`` are the ids of vehicles that have meshes."""
    library = [_vehicle(name) for name in vehicles]
    library += [_vehicle(name) for name, mesh in ALIASES.items() if mesh in vehicles]
    library += [_walker(name, kind) for name, kind in WALKERS.items()]
    library += [_prop(name) for name in PROPS]
    library += sensors()
    library += [WALKER_CONTROLLER, EMPTY, _friction()]
    return {blueprint.id: blueprint for blueprint in library}


def mesh_name(name: str) -> str:
    """Return the name of the mesh of a vehicle or a prop, by the id of its blueprint."""
    return ALIASES.get(name) or PROPS.get(name, name)


def _role(value: str = "front") -> Attribute:
    return Attribute("role_name", "string", value, ("autopilot", "scenario", "ego_vehicle"))


def _vehicle(name: str) -> Blueprint:
    base = BASE_TYPES.get(name, "car")
    is_two_wheeler = base in ("bicycle", "motorcycle")
    is_second_generation = any(part in name for part in _SECOND_GENERATION)
    has_doors = any(part in name for part in _WITH_DOORS)
    return Blueprint(
        name,
        ",".join(name.split(".")),
        (
            _role("autopilot"),
            Attribute("color", "color", CAR_COLOURS[0], CAR_COLOURS),
            Attribute("number_of_wheels", "int", "2" if is_two_wheeler else "4", (), False),
            Attribute("object_type", "string", "", (), False),
            Attribute("base_type", "string", base, (), False),
            Attribute("special_type", "string", _SPECIAL.get(name, ""), (), False),
            Attribute("generation", "int", "2" if is_second_generation else "1", (), False),
            Attribute("has_lights", "bool", str(base != "bicycle").lower(), (), False),
            Attribute("has_dynamic_doors", "bool", str(has_doors).lower(), (), False),
            Attribute("sticky_control", "bool", "true"),
            Attribute("terramechanics", "bool", "false"),
            CLEARS_PLACE,
            CLEARS_LANE,
        ),
    )


def _walker(name: str, kind: str) -> Blueprint:
    return Blueprint(
        name,
        ",".join(name.split(".")),
        (
            _role("pedestrian"),
            Attribute("gender", "string", "female" if kind.startswith("woman") else "male", (), False),
            Attribute("age", "string", "child" if kind == "child" else "adult", (), False),
            Attribute("generation", "int", "2" if int(name[-4:]) > 14 else "1", (), False),
            Attribute("is_invincible", "bool", "true"),
            Attribute("speed", "float", "1.4", ("0.0", "1.4", "2.8")),
            Attribute("can_use_wheelchair", "bool", "false", (), False),
            Attribute("use_wheelchair", "bool", "false"),
            CLEARS_PLACE,
        ),
    )


def _friction() -> Blueprint:
    """Return the blueprint of a box in which tyres have another friction; its half sizes are in centimetres."""
    sizes = (Attribute(f"extent_{axis}", "float", "1.0") for axis in "xyz")
    return Blueprint(
        FRICTION, ",".join(FRICTION.split(".")), (_role("front"), Attribute("friction", "float", "3.5"), *sizes)
    )


def _prop(name: str) -> Blueprint:
    size = Attribute("size", "string", "medium", ("tiny", "small", "medium", "big"), False)
    attributes: tuple[Attribute, ...] = (_role("prop"), size)
    if name == "static.prop.mesh":  # a box, whatever mesh is named
        attributes += (
            Attribute("mesh_path", "string", ""),
            Attribute("scale", "float", "1.0"),
            Attribute("mass", "float", "0.0"),
        )
    return Blueprint(name, ",".join(name.split(".")), attributes)
