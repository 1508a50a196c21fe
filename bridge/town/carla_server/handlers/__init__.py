"""CARLA's server functions over a ``World``, by topic: whoever imports this package has them all registered."""

from bridge.town.carla_server.handlers import actors, batch, queries, recorder, vehicles, world
from bridge.town.carla_server.registry import FUNCTIONS

__all__ = ["FUNCTIONS", "actors", "batch", "queries", "recorder", "vehicles", "world"]
