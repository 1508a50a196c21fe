"""Where CARLA's server functions are registered, by the name that the client calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bridge.town.actors import Actor

if TYPE_CHECKING:
    from bridge.town.server import TownServer

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def function(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """Register a server function under its own name. It runs under the town's lock (except those in
    ``calls_world.WITHOUT_LOCK``) and gets the server, the call and the client's arguments; ``None`` is CARLA's void."""
    FUNCTIONS[implementation.__name__] = implementation
    return implementation


def accept(*names: str) -> None:
    """Register functions that are taken and change nothing, whatever their arguments."""
    for name in names:
        FUNCTIONS[name] = _nothing


def _nothing(*_: Any) -> None:
    return None


def find(town: TownServer, ident: int, house: str = "") -> Actor:
    """An actor, of that ``house`` ("vehicle", "walker"). Raises ``ValueError`` when there is none."""
    actor: Actor | None = town.world.actors.get(ident)
    if actor is None:
        raise ValueError(f"there is no actor {ident}")
    if house and not actor.blueprint.id.startswith(house + "."):
        raise ValueError(f"actor {ident} ({actor.blueprint.id}) is no {house}")
    return actor
