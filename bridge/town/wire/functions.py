"""All of CARLA's server functions that there are: whoever imports this has them registered."""

from bridge.town.wire import calls_actors, calls_batch, calls_queries, calls_recorder, calls_vehicles, calls_world
from bridge.town.wire.registry import FUNCTIONS

__all__ = [
    "FUNCTIONS",
    "calls_actors",
    "calls_batch",
    "calls_queries",
    "calls_recorder",
    "calls_vehicles",
    "calls_world",
]
