"""Vehicle commands beyond plain controls: forces, constant velocities, Ackermann targets, physics parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralsim.town.carla_server import structs
from neuralsim.town.core.types import Actor, VehicleControl
from neuralsim.town.dynamics.vehicle_dynamics import GRAVITY, GRIP, SPECS, VehicleSpec, full_throttle

if TYPE_CHECKING:
    from neuralsim.town.world import World

ACKERMANN = [0.15, 0.0, 0.25, 0.01, 0.0, 0.01]  # CARLA's defaults: gains of speed, then of acceleration
DEFAULT_ACCELERATION = 8.0  # m/s^2, limit of an Ackermann target that gives none
SPEED_GAIN = 2.5  # 1/s, acceleration per difference from an Ackermann target's speed


@dataclass
class Ackermann:
    """A ``carla.VehicleAckermannControl`` (radians, rad/s, m/s, m/s^2); a limit of 0 means none."""

    steer: float
    steer_speed: float
    speed: float
    acceleration: float
    wheel: float = 0.0  # radians, current steering angle


class VehicleCommands:
    """The vehicle commands of all clients of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.constant: dict[int, tuple[float, float, float]] = {}  # constant velocities in the actor's axes, m/s
        self.targets: dict[int, Ackermann] = {}
        self.gains: dict[int, list[float]] = {}
        self.physics: dict[int, list[Any]] = {}  # each ``carla.VehiclePhysicsControl`` set by clients

    def forget(self, ident: int) -> None:
        """Drop all state of a destroyed actor."""
        for table in (self.constant, self.targets, self.gains, self.physics):
            table.pop(ident, None)

    def before(self, delta: float) -> None:
        """Turn Ackermann targets into controls for the next step."""
        for ident, target in self.targets.items():
            actor = self.world.actors.get(ident)
            if actor is not None:
                actor.control = self._follow(ident, actor, target, delta)

    def after(self) -> None:
        """Apply the constant velocities."""
        for ident, speed in self.constant.items():
            actor = self.world.actors.get(ident)
            if actor is not None:
                self.world.set_velocity(ident, actor.transform.matrix()[:3, :3] @ speed)

    def spec(self, actor: Actor) -> VehicleSpec:
        """Return the specification of this vehicle."""
        drive = self.world.drives.get(actor.id)
        kind = actor.attributes.get("base_type", "car")
        return drive.spec if drive is not None else SPECS.get(kind, SPECS["car"])

    def push(self, actor: Actor, impulse: np.ndarray, at: np.ndarray | None = None) -> None:
        """Apply an ``impulse`` (N s, world) to an actor.

        ``at``: the place where it acts (m, world), by which it also changes a vehicle's yaw rate.
        """
        is_vehicle = actor.blueprint.id.startswith("vehicle.")
        if not is_vehicle and not actor.blueprint.id.startswith("walker."):
            raise ValueError(f"actor {actor.id} ({actor.blueprint.id}) cannot be moved by forces")
        drive = self.world.drive_of(actor.id) if is_vehicle else None
        mass = drive.spec.mass if drive is not None else 80.0
        yaw_rate = drive.turn if drive is not None else 0.0
        velocity = actor.velocity + impulse / mass
        self.world.set_velocity(actor.id, velocity)
        if drive is not None and at is not None:
            lever = at - (actor.transform.x, actor.transform.y, actor.transform.z)
            drive.turn = yaw_rate + float(np.cross(lever, impulse)[2]) / self._inertia(actor, mass)

    def twist(self, actor: Actor, impulse: np.ndarray) -> None:
        """Apply an angular ``impulse`` (N m s) to a vehicle."""
        drive = self.world.drive_of(actor.id)
        drive.turn += float(impulse[2]) / self._inertia(actor, drive.spec.mass)

    @staticmethod
    def _inertia(actor: Actor, mass: float) -> float:
        """Return the moment of inertia of the actor's box about its upright axis, kg m^2."""
        return mass * (actor.extent[0] ** 2 + actor.extent[1] ** 2) / 3.0

    def physics_of(self, actor: Actor) -> list[Any]:
        """Return a vehicle's current ``carla.VehiclePhysicsControl``, with the tyre friction where it is."""
        control = self.physics.get(actor.id) or structs.physics_control(actor, self.spec(actor))
        friction = self.world.friction_at(actor)
        if friction is not None:
            control = [*control]
            control[15] = [[friction, *wheel[1:]] for wheel in control[15]]
        return control

    def set_physics(self, actor: Actor, control: list[Any]) -> None:
        """Apply a ``carla.VehiclePhysicsControl``.

        Only mass, drag, wheel friction and the steering angle of the front wheels have an effect. Raise ``ValueError``
        for a mass that is not positive.
        """
        mass, drag, wheels = structs.finite(control[11]), structs.finite(control[12]), control[15]
        steer = max((structs.finite(wheel[2]) for wheel in wheels), default=0.0)
        if mass <= 0.0:
            raise ValueError(f"mass is {mass:g}: it must be more than 0 kg")
        default = structs.physics_control(actor, self.spec(actor))
        drive = self.world.drive_of(actor.id)
        if wheels:
            drive.tyres = float(np.mean([max(structs.finite(wheel[0]), 0.0) for wheel in wheels]))
        spec = drive.spec
        if abs(steer - default[15][0][2]) > 1e-3:
            spec = replace(spec, steer=min(max(steer, 1.0), 80.0))
        if abs(mass - default[11]) > 1e-3:
            spec = replace(spec, mass=mass)
        if abs(drag - default[12]) > 1e-4:
            spec = replace(spec, drag=max(drag, 0.0) * structs.frontal_area(actor))
        drive.spec = spec
        self.physics[actor.id] = control

    def _follow(self, ident: int, actor: Actor, target: Ackermann, delta: float) -> VehicleControl:
        """Return the control that leads a vehicle towards an Ackermann target in a step of ``delta`` s."""
        drive = self.world.drive_of(ident)
        spec = drive.spec
        step = target.steer_speed * delta if target.steer_speed > 0.0 else np.inf
        target.wheel += float(np.clip(target.steer - target.wheel, -step, step))
        lock = np.radians(spec.steer) / (1.0 + (abs(drive.speed) / 22.0) ** 2)  # as the vehicle model limits it
        limit = abs(target.acceleration) if target.acceleration != 0.0 else DEFAULT_ACCELERATION
        acceleration = float(np.clip(SPEED_GAIN * (target.speed - drive.speed), -limit, limit))
        is_reverse = target.speed < 0.0
        forward = -acceleration if is_reverse else acceleration
        losses = 0.12 + 0.6 * spec.drag * drive.speed**2 / spec.mass
        engine = max(full_throttle(spec.power, spec.mass, drive.speed, is_reverse, drive.friction), 1e-3)
        is_stop = target.speed == 0.0 and abs(drive.speed) < 0.05
        return VehicleControl(
            throttle=float(np.clip((forward + losses) / engine, 0.0, 1.0))
            if forward > -losses and not is_stop
            else 0.0,
            steer=float(np.clip(target.wheel / lock, -1.0, 1.0)),
            brake=1.0 if is_stop else float(np.clip(-forward / (0.95 * GRIP * GRAVITY), 0.0, 1.0)),
            reverse=is_reverse,
        )
