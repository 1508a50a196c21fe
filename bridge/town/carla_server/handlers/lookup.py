"""Finding what a call is about."""

from __future__ import annotations

from bridge.town.carla_server.town_server import TownServer
from bridge.town.core.types import Actor


def find(town: TownServer, ident: int, house: str = "") -> Actor:
    """An actor, of that ``house`` ("vehicle", "walker"). Raises ``ValueError`` when there is none."""
    actor: Actor | None = town.world.actors.get(ident)
    if actor is None:
        raise ValueError(f"there is no actor {ident}")
    if house and not actor.blueprint.id.startswith(house + "."):
        raise ValueError(f"actor {ident} ({actor.blueprint.id}) is no {house}")
    return actor
