"""Vehicles that clients drive: they obey their controls, stand on the ground and collide with what is solid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.town.core.types import Actor
from bridge.town.dynamics.vehicles import Drive, Obstacles, overlap
from bridge.town.ground.blocks import Ground

BRAKE_LIGHT = 8  # carla.VehicleLightState.Brake


_MIRRORS = 0.15  # metres on each side of a vehicle's box that are mirrors, and give way


@dataclass(frozen=True)
class Collision:
    """Something driven has touched something: `other` is an actor's id, 0 for scenery; `impulse` in N s, world axes."""

    actor: int
    other: int
    impulse: tuple[float, float, float]


class Driven:
    """All driven vehicles. ``drives``: their moving state by actor id; ``events``: collisions of the last step."""

    def __init__(self, actors: dict[int, Actor], ground: Ground, solid: Obstacles) -> None:
        self.drives: dict[int, Drive] = {}
        self.events: list[Collision] = []
        self.held: set[int] = set()  # vehicles without physics: they stay where they are put
        self.ghosts: set[int] = set()  # actors that collide with nothing
        self._actors, self._ground, self._solid = actors, ground, solid
        self._touching: dict[int, set[int]] = {}  # what each one is in contact with: actor ids, or -1 - index of a box

    def add(self, actor_id: int, drive: Drive) -> None:
        """Drive an actor from now on; it touches nothing yet."""
        self.drives[actor_id] = drive
        self._touching[actor_id] = set()

    def remove(self, actor_id: int) -> None:
        self.drives.pop(actor_id, None)
        self.held.discard(actor_id)
        self.ghosts.discard(actor_id)
        self._touching.pop(actor_id, None)

    def step(self, delta: float) -> None:
        """Move everything driven by `delta` seconds, and let it meet what is solid."""
        self.events = []
        for actor_id, drive in self.drives.items():
            if actor_id in self.held:
                continue
            actor = self._actors[actor_id]
            before = actor.velocity.copy()
            drive.step(actor.control, delta, float(np.radians(actor.transform.pitch)))
            if actor_id not in self.ghosts:
                self._meet(actor, drive)
            base = drive.spec.wheelbase * drive.length / 2
            dx, dy = np.cos(drive.yaw) * base, np.sin(drive.yaw) * base
            front = self._ground.level(drive.x + dx, drive.y + dy, actor.transform.z)
            rear = self._ground.level(drive.x - dx, drive.y - dy, actor.transform.z)
            soft = min(1.0, 12.0 * delta)
            pitch = float(np.degrees(np.arctan2(front - rear, 2 * base)))
            actor.transform.x, actor.transform.y = float(drive.x), float(drive.y)
            actor.transform.z += ((front + rear) / 2 - actor.transform.z) * soft
            actor.transform.pitch += (pitch - actor.transform.pitch) * soft
            actor.transform.yaw = float(np.degrees((drive.yaw + np.pi) % (2 * np.pi) - np.pi))
            actor.velocity[:] = drive.velocity
            actor.acceleration[:] = (actor.velocity - before) / max(delta, 1e-6)
            actor.angular_velocity[2] = np.degrees(drive.turn)
            actor.control.gear = drive.gear
            braking = actor.control.brake > 0.02 or actor.control.hand_brake
            actor.light_state = actor.light_state & ~BRAKE_LIGHT | (BRAKE_LIGHT if braking else 0)

    def _meet(self, actor: Actor, drive: Drive) -> None:
        half, touched = _body(actor), set()
        for _ in range(3):
            k, depth, nx, ny = self._solid.hit(drive.x, drive.y, drive.yaw, half[0], half[1], actor.transform.z)
            if k < 0:
                break
            touched.add(-1 - k)
            self._bounce(actor, drive, -1 - k, depth, nx, ny)
        for other in self._actors.values():
            if (
                other.template < 0
                or other is actor
                or other.id in self.ghosts
                or other.blueprint.id.startswith("traffic.")
            ):
                continue
            place = other.transform
            if abs(place.x - drive.x) > 12.0 or abs(place.y - drive.y) > 12.0 or abs(place.z - actor.transform.z) > 3.0:
                continue
            body = _body(other)
            depth, nx, ny = overlap(
                drive.x, drive.y, drive.yaw, half[0], half[1],
                place.x, place.y, np.radians(place.yaw), body[0], body[1],
            )  # fmt: skip
            if depth > 0.0:
                touched.add(other.id)
                self._bounce(actor, drive, other.id, depth, nx, ny)
        self._touching[actor.id] = touched

    def _bounce(self, actor: Actor, drive: Drive, key: int, depth: float, nx: float, ny: float) -> None:
        """Push a vehicle out of what it has run into and take the speed it had towards it; a walker only slows it."""
        velocity = drive.velocity
        into = -float(velocity[0] * nx + velocity[1] * ny)
        soft = key > 0 and self._actors[key].blueprint.id.startswith("walker.")
        if not soft:
            drive.x += nx * (depth + 0.002)
            drive.y += ny * (depth + 0.002)
        if into > 0.0:
            if soft:
                drive.speed *= 0.85
            else:
                rest = velocity[:2] + into * np.array([nx, ny])
                along = float(rest[0] * np.cos(drive.yaw) + rest[1] * np.sin(drive.yaw))
                drive.speed = along * 0.7 if abs(along) > 0.6 else 0.0
                drive.turn = drive.slip = 0.0
        if key not in self._touching[actor.id] and into > 0.05:
            force = drive.spec.mass * into
            self.events.append(Collision(actor.id, max(key, 0), (force * nx, force * ny, 0.0)))


def _body(actor: Actor) -> tuple[float, float]:
    """Half length and half width, metres, of what does not give way."""
    half_length, half_width, _ = actor.extent
    return half_length, half_width - (_MIRRORS if half_width > 0.8 else 0.0)
