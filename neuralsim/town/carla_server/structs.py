"""CARLA 0.9.16's wire layouts: msgpack arrays to and from the town's dataclasses, and packed records of streams.

Order and sizes are those of the official client (``LibCarla``'s ``rpc/*.h``, ``sensor/s11n/*.h``) and tested with it.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bridge.carla_wire import ACTOR, LIGHT, RECORD, SENSOR_HEADER, VEHICLE
from bridge.tags import Tag
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.blueprint_library import vehicle_tag
from neuralsim.town.core.types import Actor, Blueprint, Transform, VehicleControl
from neuralsim.town.dynamics.vehicle_dynamics import GRAVITY, GRIP, TYRE, VehicleSpec, VehicleState
from neuralsim.town.render.wide_angle import SUFFIX

VERSION = "0.9.16"


class Dialect(NamedTuple):
    """What differs on the wire from one version of CARLA to the next (docs/reference/carla_calls.md)."""

    version: str
    world_observer: int  # the snapshots' index in ``SensorRegistry``; sensors from there on are newer
    gbuffer: int


NEWEST = Dialect(VERSION, 17, 18)
#: 0.9.15's is from CARLA's sources and was never run against its client, for which no package was at hand.
DIALECTS = {VERSION: NEWEST, "0.9.15": Dialect("0.9.15", 16, 17)}

#: Fields of ``carla.WeatherParameters`` in wire order.
WEATHER = (
    "cloudiness", "precipitation", "precipitation_deposits", "wind_intensity", "sun_azimuth_angle",
    "sun_altitude_angle", "fog_density", "fog_distance", "fog_falloff", "wetness", "scattering_intensity",
    "mie_scattering_scale", "rayleigh_scattering_scale", "dust_storm",
)  # fmt: skip

ATTRIBUTE_TYPES = {"bool": 1, "int": 2, "float": 3, "string": 4, "color": 5}
RIGID = 0  # carla.AttachmentType; the others are spring arms
LIGHT_STATES = {"red": 0, "yellow": 1, "green": 2, "off": 3}
LIGHT_NAMES = {number: name for name, number in LIGHT_STATES.items()}

#: Index of each sensor in ``SensorRegistry``, which tells the client how to read the sensor's messages.
SENSOR_TYPES = {
    "sensor.other.collision": 0,
    "sensor.camera.depth": 1,
    "sensor.camera.normals": 2,
    "sensor.camera.dvs": 3,
    "sensor.other.gnss": 4,
    "sensor.other.imu": 5,
    "sensor.other.lane_invasion": 6,
    "sensor.other.obstacle": 7,
    "sensor.camera.optical_flow": 8,
    "sensor.other.radar": 9,
    "sensor.lidar.ray_cast_semantic": 10,
    "sensor.lidar.ray_cast": 11,
    "sensor.camera.rgb": 13,
    "sensor.camera.semantic_segmentation": 14,
    "sensor.camera.instance_segmentation": 15,
    "sensor.camera.cosmos_visualization": 16,
    "sensor.other.v2x": 20,
    "sensor.other.v2x_custom": 21,
}
# The registry of the 0.9.16 client has no wide-angle cameras: it reads their images as those of ordinary cameras.
SENSOR_TYPES |= {
    f"sensor.camera.{kind}{SUFFIX}": SENSOR_TYPES[f"sensor.camera.{kind}"]
    for kind in ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals")
}
MAP_CHANGED = 1  # bit of the snapshot's state that makes a client reload the map
LAMPS_CHANGED = 2  # bit of it that makes a client query the street lamps

_WALKER = struct.Struct("<4f?")  # direction, speed (m/s), jump
_SIGN = struct.Struct("<32s")  # signal
ALIVE = 1

GEARS = (3.5, 2.1, 1.4, 1.0, 0.8)
FINAL_DRIVE = 4.0
IDLE_RPM, MAX_RPM = 800.0, 6000.0
WHEEL_RADIUS = 0.33  # m


def finite(value: Any) -> float:
    """Return ``value`` as a float. Raise ``ValueError`` if it is not a number, not finite or beyond 1e9."""
    number = float(value)
    if not math.isfinite(number) or abs(number) > 1e9:
        raise ValueError(f"{number} is not a usable number")
    return number


def vector(data: Sequence[Any]) -> tuple[float, float, float]:
    """Read a ``carla.Vector3D`` or ``carla.Location``."""
    x, y, z = data
    return finite(x), finite(y), finite(z)


def transform(data: Sequence[Any]) -> Transform:
    """Read a ``carla.Transform``: location, rotation (pitch, yaw, roll)."""
    location, rotation = data
    return Transform(*vector(location), *vector(rotation))


def pack_transform(pose: Transform) -> list[list[float]]:
    """Return the wire form of a transform; the inverse of ``transform``."""
    return [[float(pose.x), float(pose.y), float(pose.z)], [float(pose.pitch), float(pose.yaw), float(pose.roll)]]


def vehicle_control(data: Sequence[Any]) -> VehicleControl:
    """Read a ``carla.VehicleControl``, clamped to its ranges."""
    throttle, steer, brake, hand_brake, reverse, manual, gear = data
    return VehicleControl(
        min(max(finite(throttle), 0.0), 1.0),
        min(max(finite(steer), -1.0), 1.0),
        min(max(finite(brake), 0.0), 1.0),
        bool(hand_brake),
        bool(reverse),
        bool(manual),
        min(max(int(gear), -1), 8),
    )


def attributes(data: Iterable[Sequence[Any]]) -> dict[str, str]:
    """Read the attributes of an ``ActorDescription``, each [id, type, value]."""
    return {str(ident): str(value) for ident, _, value in data}


def pack_attribute(ident: str, value: str, blueprint: Blueprint) -> list[Any]:
    """Return the ``ActorAttributeValue`` of one attribute of an actor."""
    kinds = {attribute.id: attribute.kind for attribute in blueprint.attributes}
    return [ident, ATTRIBUTE_TYPES[kinds.get(ident, "string")], value]


def pack_blueprint(number: int, blueprint: Blueprint) -> list[Any]:
    """Return the ``ActorDefinition`` of a blueprint."""
    attributes = [
        [
            each.id,
            ATTRIBUTE_TYPES[each.kind],
            each.value,
            list(each.recommended) or [each.value],
            each.modifiable,
            False,
        ]
        for each in blueprint.attributes
    ]
    return [number, blueprint.id, blueprint.tags, attributes]


def pack_box(actor: Actor | None) -> list[Any]:
    """Return the ``carla.BoundingBox`` of an actor in its own axes: centre, half sizes, rotation, id; 0 for none.

    For a traffic light it is the trigger volume: the client reads ``trigger_volume`` from the same field.
    """
    if actor is None:
        return [[0.0] * 3, [0.0] * 3, [0.0] * 3, 0]
    if actor.trigger is not None:
        return [list(actor.trigger.centre), list(actor.trigger.half), [0.0, 0.0, 0.0], actor.id]
    return [[float(x) for x in actor.box_offset], [float(x) for x in actor.body], [0.0, 0.0, 0.0], actor.id]


def pack_actor(actor: Actor, token: bytes) -> list[Any]:
    """Return the ``rpc::Actor`` of an actor. ``token``: that of its stream for sensors, else empty."""
    values = [pack_attribute(ident, value, actor.blueprint) for ident, value in actor.attributes.items()]
    return [
        actor.id,
        actor.parent,
        [actor.id, actor.blueprint.id, values],
        pack_box(actor),
        semantic_tags(actor),
        token,
    ]


def pack_scenery(kind: str) -> list[Any]:
    """Return the ``rpc::Actor`` of an object that is not an actor, such as a house or a tree. ``kind``: its kind."""
    return [0, 0, [0, f"static.{kind}", []], pack_box(None), b"", b""]


def semantic_tags(actor: Actor) -> bytes:
    """Return the tags that a camera sees on this actor, one byte each."""
    kind = actor.blueprint.id
    if kind.startswith("vehicle."):
        base = vehicle_tag(actor.attributes)
        return bytes([base, Tag.RIDER] if base in (Tag.MOTORCYCLE, Tag.BICYCLE) else [base])
    if kind.startswith("walker."):
        return bytes([Tag.PEDESTRIAN])
    if kind.startswith("traffic.traffic_light"):
        return bytes([Tag.TRAFFIC_LIGHT])
    return b""


def sensor_header(kind: int, frame: int, timestamp: float, pose: Transform) -> bytes:
    """Return the header that begins every message of a stream."""
    return SENSOR_HEADER.pack(kind, frame, timestamp, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)


def pack_records(
    actors: Mapping[int, Actor], packers: Mapping[str, Callable[[Actor, bytearray, int], None]]
) -> bytearray:
    """Return all actors as the packed records of a snapshot.

    ``packers`` maps the first part of a blueprint's id ("vehicle", "walker", "traffic") to a function of actor, data
    and offset that writes the part of the record specific to these actors.
    """
    data = bytearray(RECORD * len(actors))
    offset = 0
    for actor in actors.values():
        pose = actor.transform
        ACTOR.pack_into(
            data, offset, actor.id, ALIVE, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll,
            *actor.velocity, *actor.angular_velocity, *actor.acceleration,
        )  # fmt: skip
        pack = packers.get(actor.blueprint.id.partition(".")[0])
        if pack is not None:
            pack(actor, data, offset + ACTOR.size)
        offset += RECORD
    return data


def pack_vehicle(data: bytearray, offset: int, actor: Actor, speed_limit: float, light: int, state: int) -> None:
    """Write the part of a record that is specific to vehicles into ``data`` at ``offset``.

    ``speed_limit`` in km/h; ``light``: id of the traffic light that the vehicle is at, 0 if none; ``state``: that of
    the light, as in ``LIGHT_STATES``.
    """
    control = actor.control
    VEHICLE.pack_into(
        data, offset, control.throttle, control.steer, control.brake, control.hand_brake, control.reverse,
        control.manual_gear_shift, control.gear, speed_limit, state, light != 0, light, 0,
    )  # fmt: skip


def pack_walker(data: bytearray, offset: int, direction: Sequence[float], speed: float) -> None:
    """Write the part of a record that is specific to walkers: ``carla.WalkerControl``, ``speed`` in m/s."""
    _WALKER.pack_into(data, offset, *direction, speed, False)


def pack_light(
    data: bytearray, offset: int, signal: str, times: Sequence[float], pole: int, frozen: bool, state: int
) -> None:
    """Write the part of a record that is specific to traffic lights into ``data`` at ``offset``.

    ``signal``: OpenDRIVE id; ``times``: green, yellow, red, elapsed, in seconds; ``pole``: index within its group;
    ``state``: as in ``LIGHT_STATES``.
    """
    LIGHT.pack_into(data, offset, signal.encode()[:31], *times, pole, frozen, state)


def pack_sign(data: bytearray, offset: int, signal: str) -> None:
    """Write the part of a record that is specific to traffic signs: ``signal``, their OpenDRIVE id."""
    _SIGN.pack_into(data, offset, signal.encode()[:31])


def frontal_area(actor: Actor) -> float:
    """Return the frontal area of a vehicle, m^2."""
    return 4.0 * (actor.extent[1] or 0.9) * (actor.extent[2] or 0.75) * 0.85


def _wheels(actor: Actor) -> list[tuple[list[float], float]]:
    """Return place in the vehicle and radius, m, of its four wheels: front left and right, rear left and right.

    CARLA lists four for two-wheelers, too; of a lorry's these are the outermost.
    """
    table = templates().wheels
    first, count = (table.first[actor.template], table.count[actor.template]) if actor.template >= 0 else (0, 0)
    at = table.at[first : first + count]
    if not count:
        length, width = 0.62 * (actor.extent[0] or 2.3), 0.85 * (actor.extent[1] or 0.9)
        return [([x, y, WHEEL_RADIUS], WHEEL_RADIUS) for x in (length, -length) for y in (-width, width)]
    ends = [np.flatnonzero(np.abs(at[:, 0] - x) < 0.01) for x in (at[:, 0].max(), at[:, 0].min())]
    chosen = [end[pick(at[end, 1])] for end in ends for pick in (np.argmin, np.argmax)]
    return [(at[k].tolist(), float(table.radius[first + k])) for k in chosen]


def physics_control(actor: Actor, spec: VehicleSpec) -> list[Any]:
    """Return a vehicle's ``carla.VehiclePhysicsControl``."""
    pose = actor.transform.matrix()
    wheels = []
    for number, (local, radius) in enumerate(_wheels(actor)):
        steer, hand_brake = (spec.steer, 0.0) if number < 2 else (0.0, 3000.0)
        position = [float(100.0 * value) for value in (pose @ (*local, 1.0))[:3]]  # CARLA gives these in centimetres
        wheels.append([TYRE, 0.25, steer, 100.0 * radius, 1500.0, hand_brake, 2.0, 17.0, 1000.0, position])
    gears = [[ratio, 0.5, 0.65] for ratio in GEARS]
    return [
        [[0.0, 200.0], [2000.0, 350.0], [5500.0, 250.0]], MAX_RPM, 1.0, 0.15, 2.0, 0.35, True, 0.3, 10.0,
        FINAL_DRIVE, gears,
        float(spec.mass), float(spec.drag / frontal_area(actor)), [0.0, 0.0, 0.0],
        [[0.0, 1.0], [20.0, 0.9], [120.0, 0.7]], wheels, False,
    ]  # fmt: skip


def telemetry(actor: Actor, spec: VehicleSpec, drive: VehicleState | None) -> list[Any]:
    """Return ``carla.VehicleTelemetryData``; without ``drive`` (the town's own traffic), as known from its motion."""
    control = actor.control
    yaw = math.radians(actor.transform.yaw)
    speed = drive.speed if drive else float(actor.velocity[0] * math.cos(yaw) + actor.velocity[1] * math.sin(yaw))
    gear = drive.gear if drive else 1
    spin = speed / WHEEL_RADIUS  # rad/s
    ratio = GEARS[min(max(abs(gear), 1), len(GEARS)) - 1] * FINAL_DRIVE
    rpm = min(max(abs(spin) * ratio * 60.0 / (2.0 * math.pi), IDLE_RPM), MAX_RPM)
    load = spec.mass * GRAVITY / spec.wheels
    along = (
        float(actor.acceleration[0] * math.cos(yaw) + actor.acceleration[1] * math.sin(yaw)) * spec.mass / spec.wheels
    )
    across = math.radians(float(actor.angular_velocity[2])) * speed * spec.mass / spec.wheels
    slip = drive.slip if drive else 0.0
    wheel = [
        GRIP, math.degrees(slip), 0.0, math.degrees(spin), load, 1.0, along * WHEEL_RADIUS, along, across, along / load,
        across / load,
    ]  # fmt: skip
    drag = 0.6 * spec.drag * speed * speed
    pedals = (control.steer, control.throttle, control.brake)
    return [speed, *pedals, rpm, gear, drag, [[float(value) for value in wheel] for _ in range(spec.wheels)]]
