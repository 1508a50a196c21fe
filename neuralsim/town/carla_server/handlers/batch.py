"""CARLA's batches: many commands in one message, each with its own answer."""

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from bridge.carla_wire import RpcError
from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.handlers import actors, traffic_manager, vehicles
from neuralsim.town.carla_server.handlers.lookup import find
from neuralsim.town.carla_server.registry import FUNCTIONS, function
from neuralsim.town.carla_server.rpc import Call, Raw
from neuralsim.town.carla_server.town_server import TownServer

MAX_HOLD = 0.5  # s that a batch holds the world's lock at a time


def _batch_spawn(town: TownServer, call: Call, arguments: list[Any]) -> int:
    description, transform, parent, *attachment, then = arguments
    kind = structs.RIGID
    if attachment and isinstance(attachment[0], int) and town.strict is None:
        kind = int(attachment[0])
    actor = actors.spawn(town, description, transform, int(parent[1]) if parent[0] else 0, kind)
    for command in then:
        index, rest = command[0]
        # Id 0 is the future actor, the one just spawned. The answer reports the spawn only, whatever follows it.
        with suppress(Exception):
            _command(town, call, [index, [rest[0] or actor.id, *rest[1:]]])
    return actor.id


def _console(town: TownServer, call: Call, arguments: list[Any]) -> int:
    raise RpcError("not supported by the town: command.ConsoleCommand")


def _plain(implementation: Callable[..., Any]) -> Callable[..., int]:
    def run(town: TownServer, call: Call, arguments: list[Any]) -> int:
        implementation(town, call, *arguments)
        return int(arguments[0])

    return run


def _batch_lights(town: TownServer, call: Call, arguments: list[Any]) -> int:
    vehicles.set_vehicle_light_state(town, call, arguments[0], [arguments[1]])
    return int(arguments[0])


def _batch_autopilot(town: TownServer, call: Call, arguments: list[Any]) -> int:
    traffic_manager.set_actor_autopilot(town, call, arguments[0], arguments[1])  # the port concerns the client only
    return int(arguments[0])


def _batch_destroy(town: TownServer, call: Call, arguments: list[Any]) -> int:
    if not actors.destroy_actor(town, call, arguments[0]):
        raise RpcError(f"unable to destroy actor {arguments[0]}: there is no such actor, or it is a fixed one")
    return int(arguments[0])


def _batch_walker_state(town: TownServer, call: Call, arguments: list[Any]) -> int:
    ident, transform, speed = arguments  # from CARLA's walker navigation: where the walker is and its speed
    actor = find(town, ident, "walker")
    pose = structs.transform(transform)
    pose.z = town.world.ground.surface_height(pose.x, pose.y, pose.z)
    town.world.set_transform(ident, pose)
    yaw = np.radians(pose.yaw)
    town.world.walk(ident, (float(np.cos(yaw)), float(np.sin(yaw)), 0.0), structs.finite(speed), carried=True)
    return actor.id


def _batch_traffic_light(town: TownServer, call: Call, arguments: list[Any]) -> int:
    town.world.set_light(arguments[0], structs.LIGHT_NAMES.get(arguments[1], str(arguments[1])))
    return int(arguments[0])


#: Implementations by index in the variant of ``rpc::Command``.
COMMANDS: tuple[Callable[..., int], ...] = (
    _batch_spawn,
    _batch_destroy,
    _plain(actors.apply_control_to_vehicle),
    _plain(vehicles.apply_ackermann_control_to_vehicle),
    _plain(actors.apply_control_to_walker),
    _plain(vehicles.apply_physics_control),
    _plain(actors.set_actor_transform),
    _batch_walker_state,
    _plain(vehicles.set_actor_target_velocity),
    _plain(vehicles.set_actor_target_angular_velocity),
    _plain(vehicles.add_actor_impulse),
    _plain(vehicles.add_actor_force),
    _plain(vehicles.add_actor_angular_impulse),
    _plain(vehicles.add_actor_torque),
    _plain(actors.set_actor_simulate_physics),
    _plain(actors.set_actor_enable_gravity),
    _batch_autopilot,
    _plain(FUNCTIONS["show_vehicle_debug_telemetry"]),
    _batch_lights,
    _plain(actors.set_actor_location),
    _console,
    _batch_traffic_light,
)


def _command(town: TownServer, call: Call, command: list[Any]) -> int:
    index, arguments = command
    if not 0 <= index < len(COMMANDS):
        raise RpcError(f"not supported by the town: command {index}")
    return COMMANDS[index](town, call, arguments)


@function
def apply_batch(town: TownServer, call: Call, commands: list[Any], tick: bool) -> Raw:
    """Execute commands; each gets its own answer, the actor's id or an error. ``tick``: whether to tick afterwards.

    In an asynchronous town, a batch that spawns is answered when a snapshot has shown what it spawned.

    A long batch releases the world's lock every ``MAX_HOLD`` seconds. In a synchronous kind town, sensor messages wait
    until the tick that may follow: see ``message_hold``.
    """
    holds = town.strict is None and town.settings.synchronous_mode
    with town.streams.hold.batch(call.connection) if holds else nullcontext():
        answers, has_spawned = _execute(town, call, commands)
    if tick and town.settings.synchronous_mode:
        if town.strict is None:
            town.streams.await_subscriptions(call.connection)
        town.tick(lambda _: call.answer(answers))
    elif has_spawned:
        town.await_snapshot()
    return Raw(answers)


def _execute(town: TownServer, call: Call, commands: list[Any]) -> tuple[list[Any], bool]:
    """Return the answers to commands, and whether any of them has spawned an actor."""
    answers: list[Any] = []
    has_spawned = False
    remaining = iter(commands)
    while len(answers) < len(commands):
        with town.lock, town.world.together():
            deadline = time.monotonic() + MAX_HOLD
            for command in remaining:
                try:
                    answers.append([[1, _command(town, call, command[0])]])
                    has_spawned |= COMMANDS[command[0][0]] is _batch_spawn
                except Exception as error:  # one bad command does not affect the others
                    answers.append([[0, [str(error)]]])
                if time.monotonic() > deadline:
                    break
        time.sleep(0.0)  # lets a thread that waits for the lock take it first
    return answers, has_spawned
