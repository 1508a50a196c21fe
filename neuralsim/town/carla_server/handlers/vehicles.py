"""CARLA's server functions for vehicles, and for forces on any actor."""

from typing import Any

import numpy as np

from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.handlers.lookup import find
from neuralsim.town.carla_server.registry import accept, function
from neuralsim.town.carla_server.rpc import Call
from neuralsim.town.carla_server.town_server import TownServer
from neuralsim.town.carla_server.vehicle_commands import ACKERMANN, Ackermann
from neuralsim.town.dynamics.driven_vehicles import BRAKE_LIGHT

# Vehicles in the town have no opening doors, no telemetry overlay and no separately steered wheels.
accept("open_vehicle_door", "close_vehicle_door", "show_vehicle_debug_telemetry", "set_wheel_steer_direction")


@function
def get_physics_control(town: TownServer, call: Call, ident: int) -> list[Any]:
    return town.vehicle_commands.physics_of(find(town, ident, "vehicle"))


@function
def apply_physics_control(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    town.vehicle_commands.set_physics(find(town, ident, "vehicle"), control)
    town.world.repair(ident)


@function
def get_vehicle_light_state(town: TownServer, call: Call, ident: int) -> list[int]:
    return [int(find(town, ident, "vehicle").light_state)]


@function
def set_vehicle_light_state(town: TownServer, call: Call, ident: int, state: list[int]) -> None:
    vehicle, lamps = find(town, ident, "vehicle"), int(state[0]) & 0xFFFFFFFF
    # A bit that the client has read while the pedal lit the lamp is no wish of its own.
    is_wish = vehicle.brake_lamp or not vehicle.light_state & BRAKE_LIGHT
    vehicle.brake_lamp = is_wish and bool(lamps & BRAKE_LIGHT)
    vehicle.light_state = lamps


@function
def get_vehicle_light_states(town: TownServer, call: Call) -> list[list[int]]:
    vehicles = (actor for actor in town.world.actors.values() if actor.blueprint.id.startswith("vehicle."))
    return [[actor.id, int(actor.light_state)] for actor in vehicles]


@function
def apply_ackermann_control_to_vehicle(town: TownServer, call: Call, ident: int, control: list[Any]) -> None:
    find(town, ident, "vehicle")
    steer, steer_speed, speed, acceleration, *_ = (structs.finite(value) for value in control)
    previous = town.vehicle_commands.targets.get(ident)
    wheel = previous.wheel if previous is not None else 0.0
    town.vehicle_commands.targets[ident] = Ackermann(steer, steer_speed, speed, acceleration, wheel)


@function
def get_ackermann_controller_settings(town: TownServer, call: Call, ident: int) -> list[float]:
    find(town, ident, "vehicle")
    return town.vehicle_commands.gains.get(ident, ACKERMANN)


@function
def apply_ackermann_controller_settings(town: TownServer, call: Call, ident: int, settings: list[float]) -> None:
    find(town, ident, "vehicle")  # stored for the getter only: the town's controller needs no gains
    gains = [structs.finite(value) for value in settings]
    if len(gains) != len(ACKERMANN):
        raise ValueError(f"expected {len(ACKERMANN)} gains, got {len(gains)}")
    town.vehicle_commands.gains[ident] = gains


@function
def get_telemetry_data(town: TownServer, call: Call, ident: int) -> list[Any]:
    actor = find(town, ident, "vehicle")
    return structs.telemetry(actor, town.vehicle_commands.spec(actor), town.world.drives.get(ident))


@function
def get_wheel_steer_angle(town: TownServer, call: Call, ident: int, wheel: int) -> float:
    find(town, ident, "vehicle")
    drive = town.world.drives.get(ident)
    return float(np.degrees(drive.steer)) if drive is not None and wheel in (0, 1) else 0.0


@function
def set_actor_target_velocity(town: TownServer, call: Call, ident: int, velocity: list[Any]) -> None:
    if find(town, ident).blueprint.id.startswith("vehicle."):
        town.world.drive_of(ident)
    town.world.set_velocity(ident, np.array(structs.vector(velocity)))


@function
def set_actor_target_angular_velocity(town: TownServer, call: Call, ident: int, velocity: list[Any]) -> None:
    if find(town, ident).blueprint.id.startswith("vehicle."):
        town.world.drive_of(ident).turn = float(np.radians(structs.vector(velocity)[2]))


@function
def enable_actor_constant_velocity(town: TownServer, call: Call, ident: int, velocity: list[Any]) -> None:
    if find(town, ident).blueprint.id.startswith("vehicle."):
        town.world.drive_of(ident)
    town.vehicle_commands.constant[ident] = structs.vector(velocity)


@function
def disable_actor_constant_velocity(town: TownServer, call: Call, ident: int) -> None:
    town.vehicle_commands.constant.pop(ident, None)


@function
def add_actor_impulse(town: TownServer, call: Call, ident: int, impulse: list[Any]) -> None:
    town.vehicle_commands.push(find(town, ident), np.array(structs.vector(impulse)))


@function
def add_actor_impulse_at_location(
    town: TownServer, call: Call, ident: int, impulse: list[Any], location: list[Any]
) -> None:
    at = np.array(structs.vector(location))
    town.vehicle_commands.push(find(town, ident), np.array(structs.vector(impulse)), at)


@function
def add_actor_force(town: TownServer, call: Call, ident: int, force: list[Any]) -> None:
    """Apply a force (N) for one tick, as Unreal does."""
    town.vehicle_commands.push(find(town, ident), np.array(structs.vector(force)) * town.delta)


@function
def add_actor_force_at_location(
    town: TownServer, call: Call, ident: int, force: list[Any], location: list[Any]
) -> None:
    at = np.array(structs.vector(location))
    town.vehicle_commands.push(find(town, ident), np.array(structs.vector(force)) * town.delta, at)


@function
def add_actor_angular_impulse(town: TownServer, call: Call, ident: int, impulse: list[Any]) -> None:
    town.vehicle_commands.twist(find(town, ident, "vehicle"), np.array(structs.vector(impulse)))


@function
def add_actor_torque(town: TownServer, call: Call, ident: int, torque: list[Any]) -> None:
    town.vehicle_commands.twist(find(town, ident, "vehicle"), np.array(structs.vector(torque)) * town.delta)
