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

LIMIT = 50.0  # km/h where the map names none
CELL = 8.0  # m, resolution of the map of speed limits
REACH = 12.0  # m before a stop within which a vehicle is "at" its traffic light


class ActorStates:
    """Looks at one ``World`` and describes it in the terms of CARLA's snapshot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lights = world.light_of
        self._poles: dict[int, int] = {}  # number of each light among those of its group
        counts: dict[int, int] = {}
        for ident, light in self.lights.items():
            self._poles[ident] = counts.setdefault(light.group, 0)
            counts[light.group] += 1
        self._fill = {"vehicle": self._vehicle, "walker": self._walker, "traffic": self._light}
        names = {ident: sign.id for ident, sign in zip(world.signs, world.land.signs, strict=True)}
        sign = {"traffic": lambda actor, data, at: structs.pack_sign(data, at, names[actor.id])}
        self._signs = structs.pack_records(world.signs, sign)  # once: they never change
        self._limits: dict[tuple[int, int], float] = {}  # by cell of CELL metres: km/h
        for lane in world.network.lanes:
            for point in _along(lane.centre, CELL / 2):
                self._limits[int(point[0] // CELL), int(point[1] // CELL)] = 3.6 * lane.speed
        # By square metre before a stop line: the light, and the direction of travel that it concerns.
        self._stops: dict[tuple[int, int], tuple[int, float, float]] = {}
        for ident, light in self.lights.items():
            for index in light.lanes:
                past = light.stop if light.cycle < 0 else 0.0  # away from junctions the lane goes on behind it
                self._guard(ident, world.network.lanes[index].centre, past)

    def _guard(self, light: int, centre: np.ndarray, past: float) -> None:
        points = _along(centre, 0.5)[::-1]
        points = points[min(int(past / 0.5), len(points) - 2) :][: int(REACH / 0.5)]  # it may stand before the lane
        heading = points[0] - points[-1]
        cos, sin = heading[:2] / max(float(np.hypot(*heading[:2])), 1e-6)
        for across in (-1.2, -0.4, 0.4, 1.2):
            for x, y in points[:, :2] + across * np.array([-sin, cos]):
                self._stops[int(x // 1.0), int(y // 1.0)] = (light, float(cos), float(sin))

    @staticmethod
    def ident(actor: Any) -> int:
        """The id of something that is an actor or its id."""
        return int(getattr(actor, "id", actor))

    def records(self) -> bytearray:
        """All actors as the packed records of a snapshot."""
        return structs.pack_records(self.world.actors, self._fill) + self._signs

    def pack_collision(self, event: Any) -> bytes:
        """``CollisionEvent``: who, with whom or what, impulse."""
        pair = []
        for ident in (self.ident(event.actor), self.ident(event.other)):
            actor = self.world.actors.get(ident)
            kind = "scenery" if event.obstacle < 0 else self.world.land.tag_of(event.obstacle).name.lower()
            pair.append(structs.scenery(kind) if actor is None else structs.pack_actor(actor, b""))
        return msgpack.packb([*pair, [float(x) for x in event.impulse]])

    def light_of(self, actor: Actor) -> int:
        """The id of the traffic light that this vehicle stands at, 0 = none."""
        pose = actor.transform
        yaw = math.radians(pose.yaw)
        ahead = actor.extent[0]  # its nose is at the stop line
        found = self._stops.get(
            (int((pose.x + ahead * math.cos(yaw)) // 1.0), int((pose.y + ahead * math.sin(yaw)) // 1.0))
        )
        if found is None or math.cos(yaw) * found[1] + math.sin(yaw) * found[2] < 0.7:
            return 0
        return found[0]

    def limit_of(self, actor: Actor) -> float:
        """Speed limit where this vehicle is, km/h."""
        return self._limits.get((int(actor.transform.x // CELL), int(actor.transform.y // CELL)), LIMIT)

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
    """Points every ``step`` metres, f64 (N, 3), on the line through ``centre`` (M, 3)."""
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    where = np.linspace(0.0, at[-1], max(2, int(at[-1] / step) + 1))
    return np.stack([np.interp(where, at, centre[:, axis]) for axis in range(3)], axis=1)
