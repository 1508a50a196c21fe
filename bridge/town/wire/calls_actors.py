"""CARLA's server functions that concern single actors, and batches of commands.

Registered and called as those in ``calls_world``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.town.actors import Actor, Transform
from bridge.town.wire import structs
from bridge.town.wire.rpc import Call, Raw, RpcError

if TYPE_CHECKING:
    from bridge.town.server import TownServer

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def function(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """Register a server function under its own name."""
    FUNCTIONS[implementation.__name__] = implementation
    return implementation


def _actor(town: TownServer, ident: int, house: str = "") -> Actor:
    actor: Actor | None = town.world.actors.get(ident)
    if actor is None:
        raise ValueError(f"there is no actor {ident}")
    if house and not actor.blueprint.id.startswith(house + "."):
        raise ValueError(f"actor {ident} ({actor.blueprint.id}) is no {house}")
    return actor


def _spawn(town: TownServer, description: list[Any], transform: list[Any], parent: int) -> Actor:
    _, kind, given = description
    if parent:
        _actor(town, parent)
    if kind.startswith("sensor.camera."):
        _check_camera(structs.attributes(given))
    actor: Actor = town.world.spawn(kind, structs.attributes(given), structs.transform(transform), parent)
    town.watch(actor)
    return actor


def _check_camera(given: dict[str, str]) -> None:
    width, height = int(given.get("image_size_x", "800")), int(given.get("image_size_y", "600"))
    if not (1 <= width <= 4096 and 1 <= height <= 4096):
        raise ValueError(f"image_size is {width}x{height}: choose 1 to 4096 pixels each way")
    if not 1.0 <= structs.finite(given.get("fov", "90")) <= 170.0:
        raise ValueError(f"fov is {given['fov']}: choose 1 to 170 degrees")
    structs.finite(given.get("sensor_tick", "0") or 0)


@function
def get_actors_by_id(town: TownServer, call: Call, idents: list[int]) -> list[Any]:
    known = (town.world.actors.get(ident) for ident in idents)
    return [structs.pack_actor(actor, town.token(actor.id)) for actor in known if actor is not None]


@function
def get_spectator(town: TownServer, call: Call) -> list[Any]:
    for actor in town.world.actors.values():
        if actor.blueprint.id == "spectator":
            return structs.pack_actor(actor, b"")
    raise ValueError("this town has no spectator")


@function
def spawn_actor(town: TownServer, call: Call, description: list[Any], transform: list[Any]) -> list[Any]:
    actor = _spawn(town, description, transform, 0)
    return structs.pack_actor(actor, town.token(actor.id))


@function
def spawn_actor_with_parent(
    town: TownServer, call: Call, description: list[Any], transform: list[Any], parent: int, *attachment: Any
) -> list[Any]:
    actor = _spawn(town, description, transform, parent)  # a spring arm holds as rigidly as any other
    return structs.pack_actor(actor, town.token(actor.id))


@function
def destroy_actor(town: TownServer, call: Call, ident: int) -> bool:
    done = bool(town.world.destroy(ident))
    town.constant.pop(ident, None)
    town.forget_lost()
    return done


@function
def get_actor_bounding_box(town: TownServer, call: Call, ident: int) -> list[Any]:
    return structs.pack_box(_actor(town, ident))


@function
def set_actor_transform(town: TownServer, call: Call, ident: int, transform: list[Any]) -> None:
    _actor(town, ident)
    town.world.set_transform(ident, structs.transform(transform))


@function
def set_actor_location(town: TownServer, call: Call, ident: int, location: list[Any]) -> None:
    pose = _actor(town, ident).transform
    town.world.set_transform(ident, Transform(*structs.vector(location), pose.pitch, pose.yaw, pose.roll))


@function
def set_actor_target_velocity(town: TownServer, call: Call, ident: int, velocity: list[Any]) -> None:
    _actor(town, ident)
    town.world.set_velocity(ident, np.array(structs.vector(velocity)))


@function
def enable_actor_constant_velocity(town: TownServer, call: Call, ident: int, velocity: list[Any]) -> None:
    _actor(town, ident)
    town.constant[ident] = structs.vector(velocity)


@function
def disable_actor_constant_velocity(town: TownServer, call: Call, ident: int) -> None:
    town.constant.pop(ident, None)


@function
def set_actor_simulate_physics(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    _actor(town, ident)  # accepted: the town's vehicles have one model of motion


@function
def set_actor_collisions(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    _actor(town, ident)  # accepted likewise


@function
def set_actor_enable_gravity(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    _actor(town, ident)  # accepted likewise


@function
def apply_control_to_vehicle(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    _actor(town, ident, "vehicle").control = structs.vehicle_control(control)


@function
def apply_control_to_walker(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    direction, speed, _ = control
    town.world.walk(_actor(town, ident, "walker").id, structs.vector(direction), structs.finite(speed))


@function
def get_physics_control(town: TownServer, call: Call, ident: int) -> list[Any]:
    return structs.physics_control(_actor(town, ident, "vehicle"))


@function
def apply_physics_control(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    _actor(town, ident, "vehicle")  # accepted: the town's vehicles have one model of motion


@function
def get_vehicle_light_state(town: TownServer, call: Call, ident: int) -> list[int]:
    return [int(_actor(town, ident, "vehicle").light_state)]


@function
def set_vehicle_light_state(town: TownServer, call: Call, ident: int, state: list[int]) -> None:
    _actor(town, ident, "vehicle").light_state = int(state[0]) & 0xFFFFFFFF


@function
def get_vehicle_light_states(town: TownServer, call: Call) -> list[list[int]]:
    vehicles = (actor for actor in town.world.actors.values() if actor.blueprint.id.startswith("vehicle."))
    return [[actor.id, int(actor.light_state)] for actor in vehicles]


def _batch_spawn(town: TownServer, call: Call, arguments: list[Any]) -> int:
    description, transform, parent, *_, then = arguments
    actor = _spawn(town, description, transform, int(parent[1]) if parent[0] else 0)
    for command in then:
        index, rest = command[0]
        # A future actor is 0: what follows the spawn means the one just made.
        _command(town, call, [index, [rest[0] or actor.id, *rest[1:]]])
    return actor.id


def _refuse(name: str) -> Callable[..., int]:
    def refuse(town: TownServer, call: Call, arguments: list[Any]) -> int:
        raise RpcError(f"not supported by the town: command.{name}")

    return refuse


def _plain(implementation: Callable[..., Any]) -> Callable[..., int]:
    def run(town: TownServer, call: Call, arguments: list[Any]) -> int:
        implementation(town, call, *arguments)
        return int(arguments[0])

    return run


def _batch_lights(town: TownServer, call: Call, arguments: list[Any]) -> int:
    set_vehicle_light_state(town, call, arguments[0], [arguments[1]])
    return int(arguments[0])


def _batch_destroy(town: TownServer, call: Call, arguments: list[Any]) -> int:
    if not destroy_actor(town, call, arguments[0]):
        raise RpcError(f"unable to destroy actor {arguments[0]}: there is none that could be")
    return int(arguments[0])


def _batch_walker_state(town: TownServer, call: Call, arguments: list[Any]) -> int:
    ident, transform, speed = arguments  # from CARLA's own walker navigation: where it is, and how fast it goes there
    actor = _actor(town, ident, "walker")
    set_actor_transform(town, call, ident, transform)
    yaw = np.radians(actor.transform.yaw)
    town.world.walk(ident, (float(np.cos(yaw)), float(np.sin(yaw)), 0.0), structs.finite(speed))
    return actor.id


def _batch_traffic_light(town: TownServer, call: Call, arguments: list[Any]) -> int:
    town.world.set_light(arguments[0], structs.LIGHT_NAMES.get(arguments[1], str(arguments[1])))
    return int(arguments[0])


#: By index in ``rpc::Command``'s variant.
COMMANDS: tuple[Callable[..., int], ...] = (
    _batch_spawn,
    _batch_destroy,
    _plain(apply_control_to_vehicle),
    _refuse("ApplyVehicleAckermannControl"),
    _plain(apply_control_to_walker),
    _plain(apply_physics_control),
    _plain(set_actor_transform),
    _batch_walker_state,
    _plain(set_actor_target_velocity),
    _refuse("ApplyTargetAngularVelocity"),
    _refuse("ApplyImpulse"),
    _refuse("ApplyForce"),
    _refuse("ApplyAngularImpulse"),
    _refuse("ApplyTorque"),
    _plain(set_actor_simulate_physics),
    _plain(set_actor_enable_gravity),
    _refuse("SetAutopilot"),
    _refuse("ShowDebugTelemetry"),
    _batch_lights,
    _plain(set_actor_location),
    _refuse("ConsoleCommand"),
    _batch_traffic_light,
)


def _command(town: TownServer, call: Call, command: list[Any]) -> int:
    index, arguments = command
    if not 0 <= index < len(COMMANDS):
        raise RpcError(f"not supported by the town: command {index}")
    return COMMANDS[index](town, call, arguments)


@function
def apply_batch(town: TownServer, call: Call, commands: list[Any], tick: bool) -> Raw:
    """Every command gets its own answer: the actor's id, or an error. ``tick``: and then a tick."""
    answers: list[Any] = []
    for command in commands:
        try:
            answers.append([[1, _command(town, call, command[0])]])
        except Exception as error:  # one bad command leaves the others alone
            answers.append([[0, [str(error)]]])
    if tick and town.settings.synchronous_mode:
        town.streams.settle(call.connection)
        town.tick(lambda _: call.answer(answers))
    return Raw(answers)
