"""Vehicles driven by clients: they obey their controls, follow the ground and collide with solid objects."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neuralsim.town.core.types import Actor, Transform, VehicleControl
from neuralsim.town.dynamics.damage import Damage, contact, dented
from neuralsim.town.dynamics.vehicle_dynamics import GRAVITY, TYRE, Obstacles, VehicleState, overlap
from neuralsim.town.ground.blocks import Ground

BRAKE_LIGHT = 8  # carla.VehicleLightState.Brake
NEAR = 20.0  # m, boxes of actors further apart in x or y do not touch
GAP = 0.05  # m above the ground from which on a vehicle that is put there falls
LEAP = 0.5  # m above the ground from which on a moving vehicle has left it
CLEARANCE = 0.2  # m, vehicles drive over lower things
SUNK = 1.5  # m below the ground from which on a vehicle falls
NOTICED = 0.05  # m/s of approach from which on a contact is a collision
HARD = 2.0  # m/s of lost speed from which on an impact during a contact is another collision
LASTING = 0.5  # s after which touching the same thing again is another collision


@dataclass(frozen=True)
class CollisionEvent:
    """A collision of a driven vehicle with ``other``: an actor's id, 0 for scenery.

    ``impulse`` is in N s, world axes; ``obstacle`` is the index of scenery among the obstacles, -1 for actors.
    """

    actor: int
    other: int
    impulse: tuple[float, float, float]
    obstacle: int = -1


class Contact(NamedTuple):
    """A vehicle's contact: an actor's id or -1 - index of a box, the depth (m), and the unit vector out of it."""

    key: int
    depth: float
    nx: float
    ny: float


@dataclass(frozen=True)
class Patch:
    """A box with a friction of its own, CARLA's ``static.trigger.friction``.

    ``inverse`` f64 (4, 4), patch <- world; ``half`` f64 (3,), half sizes, m; ``friction`` of tyres, in CARLA's units.
    """

    inverse: np.ndarray
    half: np.ndarray
    friction: float

    @staticmethod
    def of(actor: Actor) -> Patch:
        """Return the patch of an actor, whose ``extent_x``, ``extent_y`` and ``extent_z`` are half sizes in cm."""
        values = actor.attributes
        half = np.array([float(values[f"extent_{axis}"]) for axis in "xyz"]) / 100.0
        return Patch(np.linalg.inv(actor.transform.matrix()), half, float(values["friction"]))

    def contains(self, x: float, y: float, z: float) -> bool:
        """Return whether a point is inside."""
        return bool((np.abs(self.inverse[:3] @ (x, y, z, 1.0)) <= self.half).all())


class DrivenVehicles:
    """All driven vehicles.

    ``drives``: their states by actor id; ``events``: collisions of the last step; ``solid``: what stands in the town.
    ``damages``: by ``Contact.key``, of what was hit as well; None: nothing is ever damaged. ``dented``: those of them
    that the last step has changed.
    """

    def __init__(self, actors: dict[int, Actor], ground: Ground, solid: Obstacles) -> None:
        self.drives: dict[int, VehicleState] = {}
        self.events: list[CollisionEvent] = []
        self.no_physics: set[int] = set()  # actors that stay where they are put
        self.no_collisions: set[int] = set()  # actors that collide with nothing
        self.no_gravity: set[int] = set()  # actors without gravity
        self.one_tick_controls: set[int] = set()  # vehicles whose control is reset after each tick
        self.patches: dict[int, Patch] = {}  # by the id of their actor
        self._actors, self._ground, self.solid = actors, ground, solid
        self.damages: dict[int, Damage] | None = None
        self.dented: set[int] = set()
        # Recent contacts of each vehicle (see `Contact.key`), and for how many seconds each of them still counts.
        self._touching: dict[int, dict[int, float]] = {}

    def add(self, actor_id: int, drive: VehicleState) -> None:
        """Drive an actor from now on. It touches nothing yet, and falls if it is not on the ground."""
        self.drives[actor_id] = drive
        self._touching[actor_id] = {}
        level, _ = self._footing(drive, self._actors[actor_id].transform.z)
        drive.airborne = not level - SUNK < self._actors[actor_id].transform.z < level + GAP
        drive.rise = 0.0

    def remove(self, actor_id: int) -> None:
        """Forget an actor, if it is known."""
        self.drives.pop(actor_id, None)
        self.no_physics.discard(actor_id)
        self.no_collisions.discard(actor_id)
        self.no_gravity.discard(actor_id)
        self.one_tick_controls.discard(actor_id)
        self.patches.pop(actor_id, None)
        self._touching.pop(actor_id, None)

    def repair(self, key: int) -> None:
        """Forget the damage of a vehicle."""
        if self.damages is not None:
            self.damages.pop(key, None)

    def step(self, delta: float) -> None:
        """Move all driven vehicles by ``delta`` seconds and resolve their collisions."""
        self.events = []
        self.dented.clear()
        for actor_id, drive in self.drives.items():
            if actor_id in self.no_physics:
                continue
            actor = self._actors[actor_id]
            before = actor.velocity.copy()
            patch = self.patch_at(actor)
            drive.friction = (drive.tyres if patch is None else patch) / TYRE
            damage = self.damages.get(actor_id) if self.damages else None
            drive.step(
                damage.applied(actor.control) if damage else actor.control,
                delta,
                float(np.radians(actor.transform.pitch)),
            )
            if actor_id not in self.no_collisions:
                self._collide(actor, drive, delta)
            self._follow_ground(actor, drive, delta)
            actor.transform.x, actor.transform.y = float(drive.x), float(drive.y)
            actor.transform.yaw = 180.0 - float(180.0 - np.degrees(drive.yaw)) % 360.0
            actor.velocity[:] = drive.velocity
            actor.velocity[2] = drive.rise
            actor.acceleration[:] = (actor.velocity - before) / max(delta, 1e-6)
            actor.angular_velocity[2] = np.degrees(drive.turn)
            actor.control.gear = drive.gear
            braking = actor.control.brake > 0.02 or actor.control.hand_brake or actor.brake_lamp
            actor.light_state = actor.light_state & ~BRAKE_LIGHT | (BRAKE_LIGHT if braking else 0)

    def patch_at(self, actor: Actor) -> float | None:
        """Return the friction of the patch that an actor is in, in CARLA's units, None outside of all patches."""
        place = actor.transform
        return next((p.friction for p in self.patches.values() if p.contains(place.x, place.y, place.z)), None)

    @property
    def bodies(self) -> np.ndarray:
        """Bodies of the vehicles, f64 (N, 7), as in ``lanes.look_ahead``."""
        rows = []
        for actor_id, drive in self.drives.items():
            actor = self._actors[actor_id]
            place = actor.transform
            rows.append((place.x, place.y, drive.yaw, actor.extent[0], actor.extent[1], drive.speed, place.z))
        return np.array(rows, np.float64).reshape(-1, 7)

    def is_blocked(
        self,
        pose: Transform,
        half: tuple[float, float, float],
        middle: tuple[float, float, float],
        ignored: Collection[int],
    ) -> bool:
        """Return whether a new vehicle would touch an obstacle or an actor that is not ``ignored``.

        ``half``, ``middle``: half sizes and centre of its box, m.
        """
        x, y, yaw = pose.x, pose.y, float(np.radians(pose.yaw))
        if self.solid.hit(x, y, yaw, half[0], half[1], pose.z)[0] >= 0:
            return True
        for other in self._actors.values():
            place = other.transform
            if abs(place.x - x) > NEAR or abs(place.y - y) > NEAR or other.template < 0 or other.id in ignored:
                continue
            apart = abs((place.z + other.box_offset[2]) - (pose.z + middle[2]))
            if apart >= half[2] + other.extent[2]:
                continue
            depth, _, _ = overlap(
                x, y, yaw, half[0], half[1],
                place.x, place.y, np.radians(place.yaw), other.extent[0], other.extent[1],
            )  # fmt: skip
            if depth > 0.0:
                return True
        return False

    def forget_controls(self) -> None:
        """Reset controls that hold for one tick only."""
        for actor_id in self.one_tick_controls:
            self._actors[actor_id].control = VehicleControl(gear=self.drives[actor_id].gear)

    def _footing(self, drive: VehicleState, z: float) -> tuple[float, float]:
        """Return the height (m) of the ground near height ``z`` under a vehicle, and its pitch on it (degrees)."""
        base = drive.spec.wheelbase * drive.length / 2
        dx, dy = np.cos(drive.yaw) * base, np.sin(drive.yaw) * base
        front = self._ground.surface_height(drive.x + dx, drive.y + dy, z)
        rear = self._ground.surface_height(drive.x - dx, drive.y - dy, z)
        return (front + rear) / 2, float(np.degrees(np.arctan2(front - rear, 2 * base)))

    def _follow_ground(self, actor: Actor, drive: VehicleState, delta: float) -> None:
        """Update height and pitch: they follow the ground smoothly; a vehicle above it, or far below it, falls."""
        place = actor.transform
        level, pitch = self._footing(drive, place.z)
        soft = min(1.0, 12.0 * delta)
        if not drive.airborne and level - SUNK < place.z < level + LEAP:
            place.z += (level - place.z) * soft
            place.pitch += _turn(place.pitch, pitch) * soft  # clients send 360 degrees as well as 0
            place.roll += _turn(place.roll, 0.0) * soft
            return
        drive.airborne = True
        above = place.z >= level
        drive.rise -= 0.0 if actor.id in self.no_gravity else GRAVITY * delta
        place.z += drive.rise * delta
        if above and place.z <= level:
            place.z, drive.rise, drive.airborne = level, 0.0, False

    def _collide(self, actor: Actor, drive: VehicleState, delta: float) -> None:
        """Resolve a vehicle's contacts with obstacles and other actors."""
        half, touching = actor.body[:2], self._touching[actor.id]
        for key, left in list(touching.items()):
            touching[key] = left - delta
            if touching[key] <= 0.0:
                del touching[key]
        for _ in range(3):
            k, depth, nx, ny = self.solid.hit(drive.x, drive.y, drive.yaw, half[0], half[1], actor.transform.z)
            if k < 0:
                break
            self._bounce(actor, drive, Contact(-1 - k, depth, nx, ny))
        for other in self._actors.values():
            if (
                other.template < 0
                or other is actor
                or other.id in self.no_collisions
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
        """Push a vehicle out of an obstacle and apply the impact. A walker only slows it.

        A contact is reported when it begins, and again when it becomes a hard impact: a vehicle may graze a wall first
        and then run into it.
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
            if self.damages is not None and not soft:
                self._dent(actor, drive, contact, impulse / mass)
        elif contact.key in touching:
            touching[contact.key] = LASTING

    def _dent(self, actor: Actor, drive: VehicleState, hit: Contact, lost: float) -> None:
        """Dent a vehicle that lost so many m/s, and what it has hit."""
        assert self.damages is not None
        mine, other = np.array([drive.x, drive.y, drive.yaw, *actor.body[:2]]), self._actors.get(hit.key)
        if other is None:
            theirs = self.solid.boxes[-1 - hit.key]
        else:
            place = other.transform
            theirs = np.array([place.x, place.y, np.radians(place.yaw), *other.body[:2]])
        points, inwards = contact(mine, theirs), np.array([hit.nx, hit.ny])
        for key, box, towards in ((actor.id, mine, inwards), (hit.key, theirs, -inwards)):
            damage = self.damages.setdefault(key, Damage(float(box[3])))
            if damage.add(*dented(box, points, towards), lost):
                self.dented.add(key)


def _turn(before: float, after: float) -> float:
    """Return the shorter way from one angle to another, degrees."""
    return (after - before + 180.0) % 360.0 - 180.0


def level_with(actor: Actor, other: Actor) -> bool:
    """Return whether another actor's box overlaps the height range of a vehicle, from its clearance up."""
    middle = other.transform.z + other.box_offset[2]
    top = actor.transform.z + actor.box_offset[2] + actor.extent[2]
    return middle + other.extent[2] > actor.transform.z + CLEARANCE and middle - other.extent[2] < top
