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
STRONGEST = 8.0  # m/s^2, of an Ackermann target that names no acceleration
RESPONSE = 2.5  # 1/s, how eagerly an Ackermann target's speed is approached


@dataclass
class Ackermann:
    """``carla.VehicleAckermannControl``: radians, rad/s, m/s, m/s^2; 0 for a limit means none."""

    steer: float
    steer_speed: float
    speed: float
    acceleration: float
    wheel: float = 0.0  # radians, where the steering has got to


class VehicleCommands:
    """The vehicle commands of all clients of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.constant: dict[int, tuple[float, float, float]] = {}  # velocities that hold: the actor's axes, m/s
        self.targets: dict[int, Ackermann] = {}
        self.gains: dict[int, list[float]] = {}
        self.physics: dict[int, list[Any]] = {}  # ``carla.VehiclePhysicsControl`` that clients have set

    def forget(self, ident: int) -> None:
        """Drop all state of a destroyed actor."""
        for kept in (self.constant, self.targets, self.gains, self.physics):
            kept.pop(ident, None)

    def before(self, delta: float) -> None:
        """Turn Ackermann targets into controls for the step that comes."""
        for ident, target in self.targets.items():
            actor = self.world.actors.get(ident)
            if actor is not None:
                actor.control = self._follow(ident, actor, target, delta)

    def after(self) -> None:
        """Hold the velocities that are to be constant."""
        for ident, speed in self.constant.items():
            actor = self.world.actors.get(ident)
            if actor is not None:
                self.world.set_velocity(ident, actor.transform.matrix()[:3, :3] @ speed)

    def spec(self, actor: Actor) -> VehicleSpec:
        """What this vehicle can do."""
        drive = self.world.drives.get(actor.id)
        kind = actor.attributes.get("base_type", "car")
        return drive.spec if drive is not None else SPECS.get(kind, SPECS["car"])

    def push(self, actor: Actor, impulse: np.ndarray, at: np.ndarray | None = None) -> None:
        """Change an actor's velocity by ``impulse`` (N s, world), its turning too when it acts ``at`` a place (m)."""
        vehicle = actor.blueprint.id.startswith("vehicle.")
        if not vehicle and not actor.blueprint.id.startswith("walker."):
            raise ValueError(f"actor {actor.id} ({actor.blueprint.id}) does not move by forces")
        drive = self.world.drive_of(actor.id) if vehicle else None
        mass = drive.spec.mass if drive is not None else 80.0
        turn = drive.turn if drive is not None else 0.0
        velocity = actor.velocity + impulse / mass
        self.world.set_velocity(actor.id, velocity)
        if drive is not None and at is not None:
            lever = at - (actor.transform.x, actor.transform.y, actor.transform.z)
            drive.turn = turn + float(np.cross(lever, impulse)[2]) / self._inertia(actor, mass)

    def twist(self, actor: Actor, impulse: np.ndarray) -> None:
        """Change a vehicle's turning by an angular impulse, N m s."""
        drive = self.world.drive_of(actor.id)
        drive.turn += float(impulse[2]) / self._inertia(actor, drive.spec.mass)

    @staticmethod
    def _inertia(actor: Actor, mass: float) -> float:
        """Of a box about its upright axis, kg m^2."""
        return mass * (actor.extent[0] ** 2 + actor.extent[1] ** 2) / 3.0

    def physics_of(self, actor: Actor) -> list[Any]:
        """``carla.VehiclePhysicsControl`` of a vehicle now: its tyres hold as they do where it is."""
        control = self.physics.get(actor.id) or structs.physics_control(actor, self.spec(actor))
        patch = self.world.friction_at(actor)
        if patch is not None:
            control = [*control]
            control[15] = [[patch, *wheel[1:]] for wheel in control[15]]
        return control

    def set_physics(self, actor: Actor, control: list[Any]) -> None:
        """Apply a ``carla.VehiclePhysicsControl``: mass, drag, the friction of the wheels and the front ones'
        steering angle have effect."""
        mass, drag, wheels = structs.finite(control[11]), structs.finite(control[12]), control[15]
        steer = max((structs.finite(wheel[2]) for wheel in wheels), default=0.0)
        if mass <= 0.0:
            raise ValueError(f"mass is {mass:g}: choose more than 0 kg")
        known = structs.physics_control(actor, self.spec(actor))
        drive = self.world.drive_of(actor.id)
        if wheels:
            drive.tyres = float(np.mean([max(structs.finite(wheel[0]), 0.0) for wheel in wheels]))
        spec = drive.spec
        if abs(steer - known[15][0][2]) > 1e-3:
            spec = replace(spec, steer=min(max(steer, 1.0), 80.0))
        if abs(mass - known[11]) > 1e-3:
            spec = replace(spec, mass=mass)
        if abs(drag - known[12]) > 1e-4:
            spec = replace(spec, drag=max(drag, 0.0) * structs.frontal_area(actor))
        drive.spec = spec
        self.physics[actor.id] = control

    def _follow(self, ident: int, actor: Actor, target: Ackermann, delta: float) -> VehicleControl:
        drive = self.world.drive_of(ident)
        spec = drive.spec
        step = target.steer_speed * delta if target.steer_speed > 0.0 else np.inf
        target.wheel += float(np.clip(target.steer - target.wheel, -step, step))
        lock = np.radians(spec.steer) / (1.0 + (abs(drive.speed) / 22.0) ** 2)  # as the vehicle model limits it
        most = abs(target.acceleration) if target.acceleration != 0.0 else STRONGEST
        wanted = float(np.clip(RESPONSE * (target.speed - drive.speed), -most, most))
        backwards = target.speed < 0.0
        forward = -wanted if backwards else wanted
        losses = 0.12 + 0.6 * spec.drag * drive.speed**2 / spec.mass
        engine = max(full_throttle(spec.power, spec.mass, drive.speed, backwards, drive.friction), 1e-3)
        stop = target.speed == 0.0 and abs(drive.speed) < 0.05
        return VehicleControl(
            throttle=float(np.clip((forward + losses) / engine, 0.0, 1.0)) if forward > -losses and not stop else 0.0,
            steer=float(np.clip(target.wheel / lock, -1.0, 1.0)),
            brake=1.0 if stop else float(np.clip(-forward / (0.95 * GRIP * GRAVITY), 0.0, 1.0)),
            reverse=backwards,
        )
