"""Walkers moved by clients, and how they and props fall."""

from collections.abc import Collection, Mapping

import numpy as np

from neuralsim.town.assets.people_meshes import KINDS, phase_of
from neuralsim.town.assets.templates import templates
from neuralsim.town.core import blueprint_library
from neuralsim.town.core.types import Actor
from neuralsim.town.dynamics.driven_vehicles import SUNK
from neuralsim.town.dynamics.vehicle_dynamics import GRAVITY
from neuralsim.town.ground.blocks import Ground

STEP = 0.4  # m that pedestrians step up or down
FASTEST = 40.96  # m/s, top speed of a walker moved by a client: CARLA's own limit (CarlaWalkerController.h)


class ClientWalkers:
    """The walkers moved by clients, and falling walkers and props.

    Actors in ``no_physics`` stay where they are put, those in ``no_gravity`` do not fall.
    """

    def __init__(
        self, actors: Mapping[int, Actor], ground: Ground, no_physics: Collection[int], no_gravity: Collection[int]
    ) -> None:
        self._actors, self._ground = actors, ground
        self._no_physics, self._no_gravity = no_physics, no_gravity
        self._walked: dict[int, float] = {}  # m, of each walker
        self._carried: set[int] = set()  # walkers whose position the client sets itself
        self._rise: dict[int, float] = {}  # m/s upwards, of walkers and props in the air

    def add(self, actor_id: int) -> None:
        """Move a walker from now on."""
        self._walked[actor_id] = 0.0

    def remove(self, actor_id: int) -> None:
        """Forget an actor, if it is known."""
        self._walked.pop(actor_id, None)
        self._carried.discard(actor_id)
        self.stop_falling(actor_id)

    def start_falling(self, actor_id: int) -> None:
        """Let an actor fall, if it does not fall yet."""
        self._rise.setdefault(actor_id, 0.0)

    def stop_falling(self, actor_id: int) -> None:
        """Hold a falling actor where it is."""
        self._rise.pop(actor_id, None)

    def walk(self, actor: Actor, direction: tuple[float, float, float], speed: float, carried: bool) -> None:
        """Let a walker walk until the next call: see ``World.walk``. Raises ValueError for other actors."""
        if actor.id not in self._walked:
            raise ValueError(f"actor {actor.id} is not a walker")
        (self._carried.add if carried else self._carried.discard)(actor.id)
        size = max(float(np.linalg.norm(direction)), 1e-6)
        actor.velocity[:] = np.array(direction) / size * float(np.clip(speed, 0.0, FASTEST)) * (size > 1e-3)

    def step(self, delta: float) -> None:
        """Advance by ``delta`` seconds."""
        for actor_id, walked in self._walked.items():
            actor = self._actors[actor_id]
            speed = float(np.hypot(actor.velocity[0], actor.velocity[1]))
            self._walked[actor_id] = walked + speed * delta
            if actor_id in self._carried:
                continue
            actor.transform.x += float(actor.velocity[0]) * delta
            actor.transform.y += float(actor.velocity[1]) * delta
            if actor_id not in self._no_physics:
                self._settle(actor, delta, STEP)
            if speed > 0.1:
                actor.transform.yaw = float(np.degrees(np.arctan2(actor.velocity[1], actor.velocity[0])))
        for actor_id in [ident for ident in self._rise if ident not in self._walked]:
            if actor_id not in self._no_physics:
                self._settle(self._actors[actor_id], delta, 0.0)

    def _settle(self, actor: Actor, delta: float, step: float) -> None:
        """Update the height of an actor, which follows the ground by ``step`` m without falling."""
        place = actor.transform
        level = self._ground.surface_height(place.x, place.y, place.z)
        above, rise = place.z - level, self._rise.get(actor.id, 0.0)
        if actor.id in self._no_gravity:
            return
        if -SUNK < above <= step and rise <= 0.0:
            place.z = level
            self.stop_falling(actor.id)
        else:
            self._rise[actor.id] = rise = rise - GRAVITY * delta
            place.z += rise * delta
            if above > 0.0 and place.z <= level:
                place.z = level
                self.stop_falling(actor.id)
        actor.velocity[2] = self._rise.get(actor.id, 0.0)

    def animate(self) -> None:
        """Give each walker the mesh template of its phase of the gait."""
        for actor_id, walked in self._walked.items():
            actor = self._actors[actor_id]
            kind = blueprint_library.WALKERS[actor.blueprint.id]
            is_moving = float(np.hypot(actor.velocity[0], actor.velocity[1])) > 0.1
            phase = phase_of(walked, KINDS[kind].scale) if is_moving else 0
            actor.template = templates().walkers[kind] + phase

    @property
    def bodies(self) -> np.ndarray:
        """Bodies of the walkers, f64 (N, 7), as in ``lanes.look_ahead``."""
        rows = []
        for actor in (self._actors[actor_id] for actor_id in self._walked):
            place, speed = actor.transform, float(np.hypot(actor.velocity[0], actor.velocity[1]))
            yaw = float(np.radians(place.yaw))
            rows.append((place.x, place.y, yaw, actor.extent[0], actor.extent[1], speed, place.z))
        return np.array(rows, np.float64).reshape(-1, 7)
