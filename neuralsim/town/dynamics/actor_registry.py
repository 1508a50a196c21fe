"""The actors of a world by id."""

from collections.abc import Callable
from dataclasses import replace

from neuralsim.town.assets.templates import templates
from neuralsim.town.core.types import Actor, Blueprint, Transform


class ActorRegistry:
    """The actors by id, which are given out from 1 on. ``on_change`` is called when there is a new one."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.actors: dict[int, Actor] = {}
        self._on_change = on_change
        self._next_id = 1

    def get(self, actor_id: int) -> Actor:
        """Return an actor. Raises ValueError for unknown ids."""
        if actor_id not in self.actors:
            raise ValueError(f"unknown actor {actor_id}: it was destroyed or never spawned")
        return self.actors[actor_id]

    def add(
        self, blueprint: Blueprint, attributes: dict[str, str], transform: Transform, parent: int = 0, mesh: str = ""
    ) -> Actor:
        """Create an actor, with the mesh template named ``mesh`` and its bounding box unless it is empty."""
        actor = Actor(self._next_id, blueprint, attributes, replace(transform), parent=parent)
        self._next_id += 1
        if mesh:
            actor.template = templates().index[mesh]
            actor.extent, actor.box_offset = templates().extent(mesh)
        self.actors[actor.id] = actor
        self._on_change()
        return actor
