"""Derived actor state for CARLA's snapshot: traffic light affecting a vehicle, speed limit, collisions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from neuralsim.town.carla_server import structs
from neuralsim.town.core.types import Actor

if TYPE_CHECKING:
    from neuralsim.town.world import World

DEFAULT_SPEED_LIMIT = 50.0  # km/h where the map gives none
CELL = 8.0  # m, resolution of the grid of speed limits
STOP_DISTANCE = 12.0  # m before a stop line within which a vehicle is "at" its traffic light


class ActorStates:
    """Derives the fields of CARLA's snapshot that a ``World`` does not store itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lights = world.light_of
        self._poles: dict[int, int] = {}  # index of each light within its group
        counts: dict[int, int] = {}
        for ident, light in self.lights.items():
            self._poles[ident] = counts.setdefault(light.group, 0)
            counts[light.group] += 1
        self._packers = {"vehicle": self._vehicle, "walker": self._walker, "traffic": self._light}
        names = {ident: sign.id for ident, sign in zip(world.signs, world.static_town.signs, strict=True)}
        packer = {"traffic": lambda actor, data, offset: structs.pack_sign(data, offset, names[actor.id])}
        self._sign_records = structs.pack_records(world.signs, packer)  # packed once: signs never change
        self._limits: dict[tuple[int, int], float] = {}  # km/h, by cell of CELL metres
        for lane in world.network.lanes:
            for point in _along(lane.centre, CELL / 2):
                self._limits[int(point[0] // CELL), int(point[1] // CELL)] = 3.6 * lane.speed
        # The light of each square metre before a stop line, and the direction of travel (x, y) that it controls.
        self._stops: dict[tuple[int, int], tuple[int, float, float]] = {}
        for ident, light in self.lights.items():
            for index in light.lanes:
                beyond = light.stop if light.cycle < 0 else 0.0  # away from junctions the lane continues past the light
                self._add_stop(ident, world.network.lanes[index].centre, beyond)

    def _add_stop(self, light: int, centre: np.ndarray, beyond: float) -> None:
        """Mark the square metres before the stop line of a lane, which ends ``beyond`` metres past the line."""
        points = _along(centre, 0.5)[::-1]
        points = points[min(int(beyond / 0.5), len(points) - 2) :]  # the line may lie before the lane begins
        points = points[: int(STOP_DISTANCE / 0.5)]
        heading = points[0] - points[-1]
        cos, sin = heading[:2] / max(float(np.hypot(*heading[:2])), 1e-6)
        for across in (-1.2, -0.4, 0.4, 1.2):
            for x, y in points[:, :2] + across * np.array([-sin, cos]):
                self._stops[int(x // 1.0), int(y // 1.0)] = (light, float(cos), float(sin))

    @staticmethod
    def ident(actor: Any) -> int:
        """Return the id of ``actor``, which is an actor or already an id."""
        return int(getattr(actor, "id", actor))

    def records(self) -> bytearray:
        """Return all actors as the packed records of a snapshot."""
        return structs.pack_records(self.world.actors, self._packers) + self._sign_records

    def pack_collision(self, event: Any) -> bytes:
        """Return a packed ``CollisionEvent``: actor, other actor or scenery, impulse."""
        pair = []
        for ident in (self.ident(event.actor), self.ident(event.other)):
            actor = self.world.actors.get(ident)
            kind = "scenery" if event.obstacle < 0 else self.world.static_town.tag_of(event.obstacle).name.lower()
            pair.append(structs.pack_scenery(kind) if actor is None else structs.pack_actor(actor, b""))
        return msgpack.packb([*pair, [float(x) for x in event.impulse]])

    def light_of(self, actor: Actor) -> int:
        """Return the id of the traffic light that this vehicle is at, 0 if none."""
        pose = actor.transform
        yaw = math.radians(pose.yaw)
        ahead = actor.extent[0]  # its nose is at the stop line
        stop = self._stops.get(
            (int((pose.x + ahead * math.cos(yaw)) // 1.0), int((pose.y + ahead * math.sin(yaw)) // 1.0))
        )
        if stop is None or math.cos(yaw) * stop[1] + math.sin(yaw) * stop[2] < 0.7:
            return 0
        return stop[0]

    def limit_of(self, actor: Actor) -> float:
        """Return the speed limit where this vehicle is, km/h."""
        return self._limits.get((int(actor.transform.x // CELL), int(actor.transform.y // CELL)), DEFAULT_SPEED_LIMIT)

    def _vehicle(self, actor: Actor, data: bytearray, offset: int) -> None:
        light = self.light_of(actor)
        state = structs.LIGHT_STATES[self.lights[light].state] if light else structs.LIGHT_STATES["green"]
        structs.pack_vehicle(data, offset, actor, self.limit_of(actor), light, state)

    def _walker(self, actor: Actor, data: bytearray, offset: int) -> None:
        speed = float(np.linalg.norm(actor.velocity))
        direction = (actor.velocity / speed).tolist() if speed > 1e-3 else (1.0, 0.0, 0.0)
        structs.pack_walker(data, offset, direction, speed)

    def _light(self, actor: Actor, data: bytearray, offset: int) -> None:
        light = self.lights.get(actor.id)
        if light is not None:
            times = (light.green_time, light.yellow_time, light.red_time, light.elapsed)
            state = structs.LIGHT_STATES[light.state]
            structs.pack_light(data, offset, light.signal, times, self._poles[actor.id], light.frozen, state)


def _along(centre: np.ndarray, step: float) -> np.ndarray:
    """Return points every ``step`` metres, f64 (N, 3), along the polyline ``centre`` (M, 3)."""
    distances = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    samples = np.linspace(0.0, distances[-1], max(2, int(distances[-1] / step) + 1))
    return np.stack([np.interp(samples, distances, centre[:, axis]) for axis in range(3)], axis=1)
