"""Actor lookup for server functions."""

from neuralsim.town.carla_server.town_server import TownServer
from neuralsim.town.core.types import Actor


def find(town: TownServer, ident: int, type_prefix: str = "") -> Actor:
    """Return an actor. Raise ``ValueError`` if there is none or it is no ``type_prefix`` ("vehicle", "walker")."""
    actor: Actor | None = town.world.actors.get(ident)
    if actor is None:
        raise ValueError(f"there is no actor {ident}")
    if type_prefix and not actor.blueprint.id.startswith(type_prefix + "."):
        raise ValueError(f"actor {ident} ({actor.blueprint.id}) is no {type_prefix}")
    return actor
