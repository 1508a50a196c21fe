"""The ego's collisions, by CARLA's collision sensor: how many, and what the newest was with and how hard."""

from __future__ import annotations

from typing import Any

import carla

from bridge.carla_client.camera_rig import mark
from bridge.carla_client.surroundings import collided_with
from bridge.messages import Impact

LASTING_CONTACT = 0.5  # s without a blow after which the next one with the same actor is another collision
DEFAULT_MASS = 1500.0  # kg, of an ego that does not tell its own


class CollisionCounter:
    """Counts from the last :meth:`reset` on; a lasting contact with the same actor is one collision.

    ``sensor``: to be destroyed with the ego; ``mass``: the ego's, kg.
    """

    def __init__(self, world: carla.World, ego: carla.Vehicle) -> None:
        self.count, self.newest = 0, Impact()
        self.mass = DEFAULT_MASS
        self._last: dict[int, float] = {}  # s, when each actor was touched last
        blueprint = world.get_blueprint_library().find("sensor.other.collision")
        mark(blueprint)
        self.sensor: Any = world.spawn_actor(blueprint, carla.Transform(), attach_to=ego)
        self.sensor.listen(self._take)

    def reset(self) -> None:
        """The ego is somewhere else, whole."""
        self.count, self.newest = 0, Impact()

    def _take(self, event: Any) -> None:
        other = event.other_actor.id if event.other_actor else 0
        blow = event.normal_impulse.length() / self.mass
        new = event.timestamp - self._last.get(other, -9.0) > LASTING_CONTACT
        if new or blow > self.newest.speed:  # a lasting contact is as hard as its hardest blow
            self.newest = Impact(collided_with(event.other_actor), blow)
        self.count += new
        self._last[other] = event.timestamp
