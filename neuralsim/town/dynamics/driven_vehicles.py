"""Vehicles driven by clients: they follow their controls, stand on the ground and collide with solid objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neuralsim.town.core.types import Actor, VehicleControl
from neuralsim.town.dynamics.vehicle_dynamics import GRAVITY, TYRE, Obstacles, VehicleState, overlap
from neuralsim.town.ground.blocks import Ground

BRAKE_LIGHT = 8  # carla.VehicleLightState.Brake


GAP = 0.05  # m above the ground where a vehicle is put that it falls rather than stands
LEAP = 0.5  # m that the ground may lie below a vehicle that drives before it has left it
CLEARANCE = 0.2  # m, vehicles drive over what is lower
SUNK = 1.5  # m below the ground at which nothing holds a vehicle any more
NOTICED = 0.05  # m/s towards something from which on touching it is a collision
HARD = 2.0  # m/s that an impact takes of a vehicle's speed, from which on it is one of its own in a lasting contact
LASTING = 0.5  # s without touching something until touching it again is another collision


@dataclass(frozen=True)
class CollisionEvent:
    """A driven vehicle has run into ``other``: an actor's id, 0 for scenery; ``impulse`` in N s, world axes.

    ``obstacle``: of scenery, its index among the obstacles; -1 for actors.
    """

    actor: int
    other: int
    impulse: tuple[float, float, float]
    obstacle: int = -1


class Contact(NamedTuple):
    """Where a vehicle is in something: an actor's id, or -1 - index of a box; m; the unit vector out of it."""

    key: int
    depth: float
    nx: float
    ny: float


@dataclass(frozen=True)
class Patch:
    """A stretch where tyres hold otherwise, CARLA's ``static.trigger.friction``: a box in the world, f64 (4, 4)
    patch <- world and half sizes (m), and the friction that wheels have in there, in CARLA's units."""

    inverse: np.ndarray
    half: np.ndarray
    friction: float

    @staticmethod
    def of(actor: Actor) -> Patch:
        """``extent_x``, ``extent_y`` and ``extent_z`` are half sizes in centimetres."""
        given = actor.attributes
        half = np.array([float(given[f"extent_{axis}"]) for axis in "xyz"]) / 100.0
        return Patch(np.linalg.inv(actor.transform.matrix()), half, float(given["friction"]))

    def holds(self, x: float, y: float, z: float) -> bool:
        """Whether a place is in there."""
        return bool((np.abs(self.inverse[:3] @ (x, y, z, 1.0)) <= self.half).all())


class DrivenVehicles:
    """All driven vehicles. ``drives``: their moving state by actor id; ``events``: collisions of the last step."""

    def __init__(self, actors: dict[int, Actor], ground: Ground, solid: Obstacles) -> None:
        self.drives: dict[int, VehicleState] = {}
        self.events: list[CollisionEvent] = []
        self.held: set[int] = set()  # vehicles without physics: they stay where they are put
        self.ghosts: set[int] = set()  # actors that collide with nothing
        self.weightless: set[int] = set()  # actors without gravity
        self.fleeting: set[int] = set()  # vehicles whose control holds for one tick
        self.patches: dict[int, Patch] = {}  # by the id of their actor
        self._actors, self._ground, self._solid = actors, ground, solid
        # What each one was in contact with lately, and for how long that counts, s: actor ids, or -1 - index of a box.
        self._touching: dict[int, dict[int, float]] = {}

    def add(self, actor_id: int, drive: VehicleState) -> None:
        """Drive an actor from now on; it touches nothing yet, and falls when it is not on the ground."""
        self.drives[actor_id] = drive
        self._touching[actor_id] = {}
        level, _ = self._footing(drive, self._actors[actor_id].transform.z)
        drive.airborne = not level - SUNK < self._actors[actor_id].transform.z < level + GAP
        drive.rise = 0.0

    def remove(self, actor_id: int) -> None:
        """Forget an actor; nothing for unknown ids."""
        self.drives.pop(actor_id, None)
        self.held.discard(actor_id)
        self.ghosts.discard(actor_id)
        self.weightless.discard(actor_id)
        self.fleeting.discard(actor_id)
        self.patches.pop(actor_id, None)
        self._touching.pop(actor_id, None)

    def step(self, delta: float) -> None:
        """Move all driven vehicles by ``delta`` seconds and resolve their collisions."""
        self.events = []
        for actor_id, drive in self.drives.items():
            if actor_id in self.held:
                continue
            actor = self._actors[actor_id]
            before = actor.velocity.copy()
            patch = self.patch_at(actor)
            drive.friction = (drive.tyres if patch is None else patch) / TYRE
            drive.step(actor.control, delta, float(np.radians(actor.transform.pitch)))
            if actor_id not in self.ghosts:
                self._meet(actor, drive, delta)
            self._stand(actor, drive, delta)
            actor.transform.x, actor.transform.y = float(drive.x), float(drive.y)
            actor.transform.yaw = 180.0 - float(180.0 - np.degrees(drive.yaw)) % 360.0
            actor.velocity[:] = drive.velocity
            actor.velocity[2] = drive.rise
            actor.acceleration[:] = (actor.velocity - before) / max(delta, 1e-6)
            actor.angular_velocity[2] = np.degrees(drive.turn)
            actor.control.gear = drive.gear
            braking = actor.control.brake > 0.02 or actor.control.hand_brake
            actor.light_state = actor.light_state & ~BRAKE_LIGHT | (BRAKE_LIGHT if braking else 0)

    def patch_at(self, actor: Actor) -> float | None:
        """What wheels hold where an actor is, in CARLA's units, if that is not what they hold elsewhere."""
        place = actor.transform
        found = (patch.friction for patch in self.patches.values() if patch.holds(place.x, place.y, place.z))
        return next(found, None)

    def forget_controls(self) -> None:
        """A tick has ended: so do the controls that do not stick."""
        for actor_id in self.fleeting:
            self._actors[actor_id].control = VehicleControl(gear=self.drives[actor_id].gear)

    def _footing(self, drive: VehicleState, z: float) -> tuple[float, float]:
        """Height of the ground under a vehicle near the height ``z``, metres, and its pitch on it, degrees."""
        base = drive.spec.wheelbase * drive.length / 2
        dx, dy = np.cos(drive.yaw) * base, np.sin(drive.yaw) * base
        front = self._ground.level(drive.x + dx, drive.y + dy, z)
        rear = self._ground.level(drive.x - dx, drive.y - dy, z)
        return (front + rear) / 2, float(np.degrees(np.arctan2(front - rear, 2 * base)))

    def _stand(self, actor: Actor, drive: VehicleState, delta: float) -> None:
        """Height and pitch: on the ground they follow it softly; what is above it falls, and so does what is so far
        below that nothing holds it."""
        place = actor.transform
        level, pitch = self._footing(drive, place.z)
        soft = min(1.0, 12.0 * delta)
        if not drive.airborne and level - SUNK < place.z < level + LEAP:
            place.z += (level - place.z) * soft
            place.pitch += _turn(place.pitch, pitch) * soft  # clients give 360 degrees as well as 0
            place.roll += _turn(place.roll, 0.0) * soft
            return
        drive.airborne = True
        above = place.z >= level
        drive.rise -= 0.0 if actor.id in self.weightless else GRAVITY * delta
        place.z += drive.rise * delta
        if above and place.z <= level:
            place.z, drive.rise, drive.airborne = level, 0.0, False

    def _meet(self, actor: Actor, drive: VehicleState, delta: float) -> None:
        half, touching = actor.body[:2], self._touching[actor.id]
        for key, left in list(touching.items()):
            touching[key] = left - delta
            if touching[key] <= 0.0:
                del touching[key]
        for _ in range(3):
            k, depth, nx, ny = self._solid.hit(drive.x, drive.y, drive.yaw, half[0], half[1], actor.transform.z)
            if k < 0:
                break
            self._bounce(actor, drive, Contact(-1 - k, depth, nx, ny))
        for other in self._actors.values():
            if (
                other.template < 0
                or other is actor
                or other.id in self.ghosts
                or other.blueprint.id.startswith("traffic.")
            ):
                continue
            place = other.transform
            if abs(place.x - drive.x) > 12.0 or abs(place.y - drive.y) > 12.0 or not level_with(actor, other):
                continue
            body = other.body[:2]
            depth, nx, ny = overlap(
                drive.x, drive.y, drive.yaw, half[0], half[1],
                place.x, place.y, np.radians(place.yaw), body[0], body[1],
            )  # fmt: skip
            if depth > 0.0:
                self._bounce(actor, drive, Contact(other.id, depth, nx, ny))

    def _bounce(self, actor: Actor, drive: VehicleState, contact: Contact) -> None:
        """Push a vehicle out of an obstacle and let the impact act on it; a walker only slows it.

        A contact is reported when it begins, and again when it becomes a hard blow: a wall that was grazed first is
        still run into.
        """
        other = self._actors.get(contact.key)
        soft = other is not None and other.blueprint.id.startswith("walker.")
        rest = np.zeros(3) if other is None else other.velocity
        into = -float((drive.velocity[0] - rest[0]) * contact.nx + (drive.velocity[1] - rest[1]) * contact.ny)
        if not soft:
            drive.x += contact.nx * (contact.depth + 0.002)
            drive.y += contact.ny * (contact.depth + 0.002)
        mass, impulse = drive.spec.mass, drive.spec.mass * into
        if into > 0.0:
            if soft:
                drive.speed *= 0.85
            else:
                impulse = drive.strike(contact.nx, contact.ny, rest, actor.body[:2])
        touching = self._touching[actor.id]
        if into > NOTICED and (contact.key not in touching or impulse > HARD * mass):
            force = (impulse * contact.nx, impulse * contact.ny, 0.0)
            self.events.append(CollisionEvent(actor.id, max(contact.key, 0), force, max(-1 - contact.key, -1)))
            touching[contact.key] = LASTING
        elif contact.key in touching:
            touching[contact.key] = LASTING


def _turn(before: float, after: float) -> float:
    """Degrees from one angle to another, the shorter way."""
    return (after - before + 180.0) % 360.0 - 180.0


def level_with(actor: Actor, other: Actor) -> bool:
    """Whether another actor's box reaches into the height of a vehicle, from its clearance up."""
    middle = other.transform.z + other.box_offset[2]
    top = actor.transform.z + actor.box_offset[2] + actor.extent[2]
    return middle + other.extent[2] > actor.transform.z + CLEARANCE and middle - other.extent[2] < top
