"""CARLA's server functions for single actors."""

from dataclasses import replace
from typing import Any

import numpy as np

from bridge.lamp_visibility import COMPONENTS
from bridge.size import MOST
from neuralsim.town.assets.people_meshes import PHASES
from neuralsim.town.assets.skeleton import bones
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.vehicles.lamps import lamps_of
from neuralsim.town.carla_server import generated_cameras, structs
from neuralsim.town.carla_server.compat import strictness
from neuralsim.town.carla_server.compat.v2x import CustomMessages
from neuralsim.town.carla_server.handlers.lookup import find
from neuralsim.town.carla_server.registry import function
from neuralsim.town.carla_server.rpc import Call
from neuralsim.town.carla_server.town_server import TownServer
from neuralsim.town.core.types import Actor, Blueprint, Transform
from neuralsim.town.render.wide_angle import SUFFIX, WideAngle

MAX_IDS = 10_000  # in one call
_DISTORTION = "lens_circle_", "lens_k", "lens_x_size", "lens_y_size"  # beginnings of attributes


def spawn(
    town: TownServer, description: list[Any], transform: list[Any], parent: int = 0, attachment: int = structs.RIGID
) -> Actor:
    """Spawn an actor and, if it is a sensor, open its stream. Raise ``ValueError`` if that is impossible."""
    number, kind, values = description
    if town.strict is not None:
        sent, library = values, town.world.blueprints()
        values = strictness.described(number, kind, sent, library, structs.ATTRIBUTE_TYPES)
        if ignored := ", ".join(each[0] for each in sent if each not in values):
            town.warn(f"{kind}: of another type than defined, so the defaults hold: {ignored}")
    if parent:
        find(town, parent)
    attributes = generated_cameras.chosen(kind, structs.attributes(values), town.generator)
    if kind.startswith("sensor.camera."):
        _check_camera(kind, attributes)
        if ignored := _undistorted(town.world.blueprints(), kind, attributes):
            town.warn(f"{kind}: no lens distorts here, without effect: {ignored}")
    arm = {"arm": True} if attachment != structs.RIGID else {}
    actor: Actor = town.world.spawn(kind, attributes, structs.transform(transform), parent, **arm)
    try:
        town.sensing.add(actor)
    except ValueError:
        town.world.destroy(actor.id)
        raise
    return actor


def _check_camera(kind: str, attributes: dict[str, str]) -> None:
    width, height = int(attributes.get("image_size_x", "800")), int(attributes.get("image_size_y", "600"))
    if not (1 <= width <= MOST and 1 <= height <= MOST):
        raise ValueError(f"image_size is {width}x{height}: choose 1 to {MOST} pixels each way")
    if kind.endswith(SUFFIX):
        WideAngle.of(attributes)
    elif not 1.0 <= structs.finite(attributes.get("fov", "90")) <= 170.0:
        raise ValueError(f"fov is {attributes['fov']}: choose 1 to 170 degrees")
    structs.finite(attributes.get("sensor_tick", "0") or 0)


def _undistorted(library: list[Blueprint], kind: str, attributes: dict[str, str]) -> str:
    """Return the attributes for lens distortion that differ from their defaults: CARLA's material is a binary asset."""
    defined = next((each.attributes for each in library if each.id == kind), ())
    return ", ".join(
        f"{each.id}={attributes[each.id]}"
        for each in defined
        if each.id.startswith(_DISTORTION) and structs.finite(attributes.get(each.id, each.value)) != float(each.value)
    )


@function
def get_actors_by_id(town: TownServer, call: Call, idents: list[int]) -> list[Any]:
    if len(idents) > MAX_IDS:
        raise ValueError(f"{len(idents)} actors were requested: at most {MAX_IDS} can be at once")
    actors = (town.world.actors.get(ident) or town.world.signs.get(ident) for ident in idents)
    return [structs.pack_actor(actor, town.sensing.token(actor.id)) for actor in actors if actor is not None]


@function
def get_spectator(town: TownServer, call: Call) -> list[Any]:
    for actor in town.world.actors.values():
        if actor.blueprint.id == "spectator":
            return structs.pack_actor(actor, b"")
    raise ValueError("this town has no spectator")


@function
def spawn_actor(town: TownServer, call: Call, description: list[Any], transform: list[Any]) -> list[Any]:
    actor = spawn(town, description, transform)
    return structs.pack_actor(actor, town.sensing.token(actor.id))


@function
def spawn_actor_with_parent(
    town: TownServer, call: Call, description: list[Any], transform: list[Any], parent: int,
    attachment: int = structs.RIGID, *socket: Any,
) -> list[Any]:  # fmt: skip
    actor = spawn(town, description, transform, parent, attachment)
    return structs.pack_actor(actor, town.sensing.token(actor.id))


@function
def destroy_actor(town: TownServer, call: Call, ident: int) -> bool:
    was_destroyed = bool(town.world.destroy(ident, with_attached=town.strict is None))
    town.vehicle_commands.forget(ident)
    town.sensing.close_removed()
    return was_destroyed


@function
def get_actor_bounding_box(town: TownServer, call: Call, ident: int) -> list[Any]:
    """Return the box of an actor, empty if it was destroyed, as CARLA's server does.

    The Traffic Manager asks for every vehicle in every step, and an error for a vehicle that was just destroyed would
    end the client.
    """
    return structs.pack_box(town.world.actors.get(ident) or town.world.signs.get(ident))


@function
def set_actor_transform(town: TownServer, call: Call, ident: int, transform: list[Any]) -> None:
    find(town, ident)
    town.world.set_transform(ident, structs.transform(transform))


@function
def set_actor_location(town: TownServer, call: Call, ident: int, location: list[Any]) -> None:
    pose = find(town, ident).transform
    town.world.set_transform(ident, Transform(*structs.vector(location), pose.pitch, pose.yaw, pose.roll))


@function
def set_actor_simulate_physics(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    if find(town, ident).blueprint.id.startswith("vehicle."):
        town.world.drive_of(ident)
    town.world.set_physics(ident, bool(enabled))


@function
def set_actor_enable_gravity(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    town.world.set_gravity(find(town, ident).id, bool(enabled))


@function
def set_actor_collisions(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    find(town, ident)
    town.world.set_collisions(ident, bool(enabled))


@function
def apply_control_to_vehicle(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    actor = find(town, ident, "vehicle")
    vehicle_control = structs.vehicle_control(control)
    town.world.drive_of(ident)  # from now on it obeys its control
    town.vehicle_commands.targets.pop(ident, None)
    actor.control = vehicle_control


@function
def send(town: TownServer, call: Call, ident: int, message: str) -> None:
    """Send a message to the other ``sensor.other.v2x_custom`` in the next tick."""
    sensor = town.sensing.sensors.get(find(town, ident, "sensor").id)
    if sensor is None or not isinstance(sensor.instrument, CustomMessages):
        raise ValueError(f"actor {ident} cannot send messages: use a sensor.other.v2x_custom")
    sensor.instrument.queue(str(message))


@function
def apply_control_to_walker(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    direction, speed, _ = control
    town.world.walk(find(town, ident, "walker").id, structs.vector(direction), structs.finite(speed))


def _component(town: TownServer, ident: int, name: str) -> np.ndarray:
    """Return the pose of a vehicle's lamp in the vehicle's axes, f64 (4, 4)."""
    actor = find(town, ident, "vehicle")
    places = lamps_of(actor.blueprint.id, actor.box_offset, actor.body)
    if name not in places:
        raise ValueError(f"actor {ident} has no component {name!r}: choose one of {', '.join(places)}")
    pose = np.eye(4)
    pose[:3, 3] = places[name]
    if places[name][0] < 0.0:
        pose[0, 0] = pose[1, 1] = -1.0  # lamps face away from the vehicle
    return pose


def _pose(matrix: np.ndarray) -> list[list[float]]:
    """Return the ``carla.Transform`` of a pose, f64 (4, 4)."""
    pitch = float(np.degrees(np.arcsin(np.clip(matrix[2, 0], -1.0, 1.0))))
    roll = float(np.degrees(np.arctan2(-matrix[2, 1], matrix[2, 2])))
    yaw = float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return [matrix[:3, 3].tolist(), [pitch, yaw, roll]]


def _bones(town: TownServer, ident: int) -> list[tuple[str, Transform, Transform, Transform]]:
    """Return each bone of a walker: name and transforms in the world, in the walker and relative to its parent bone.

    Actors other than walkers have no bones.
    """
    actor = find(town, ident)
    if not actor.blueprint.id.startswith("walker."):
        return []
    kind, phase = next(
        (kind, actor.template - first)
        for kind, first in templates().walkers.items()
        if first <= actor.template < first + PHASES
    )
    skeleton, pose = bones(kind, phase), actor.transform
    places = {"": np.zeros(3)} | {bone.name: bone.at for bone in skeleton}
    world = np.array([bone.at for bone in skeleton]) @ pose.matrix()[:3, :3].T + pose.matrix()[:3, 3]
    return [
        (
            bone.name,
            replace(pose, x=float(x), y=float(y), z=float(z)),
            Transform(*map(float, bone.at)),
            Transform(*map(float, bone.at - places[bone.parent])),
        )
        for bone, (x, y, z) in zip(skeleton, world, strict=True)
    ]


@function
def get_bones_transform(town: TownServer, call: Call, ident: int) -> list[Any]:
    find(town, ident, "walker")
    return [[[name, *map(structs.pack_transform, poses)] for name, *poses in _bones(town, ident)]]


@function
def blend_pose(town: TownServer, call: Call, ident: int, part: float) -> None:
    """Do nothing but check the arguments: the animation's pose is the only one."""
    find(town, ident, "walker")
    structs.finite(part)


@function
def get_actor_bone_names(town: TownServer, call: Call, ident: int) -> list[str]:
    return [name for name, *_ in _bones(town, ident)]


@function
def get_actor_bone_world_transforms(town: TownServer, call: Call, ident: int) -> list[Any]:
    return [structs.pack_transform(world) for _, world, _, _ in _bones(town, ident)]


@function
def get_actor_bone_relative_transforms(town: TownServer, call: Call, ident: int) -> list[Any]:
    return [structs.pack_transform(relative) for *_, relative in _bones(town, ident)]


@function
def get_actor_component_names(town: TownServer, call: Call, ident: int) -> list[str]:
    return list(COMPONENTS) if find(town, ident).blueprint.id.startswith("vehicle.") else []


@function
def get_actor_component_world_transform(town: TownServer, call: Call, ident: int, name: str) -> list[Any]:
    local = _component(town, ident, name)
    return _pose(find(town, ident).transform.matrix() @ local)


@function
def get_actor_component_relative_transform(town: TownServer, call: Call, ident: int, name: str) -> list[Any]:
    return _pose(_component(town, ident, name))
