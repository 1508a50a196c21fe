"""CARLA's server functions over a ``World``, by topic; importing this package registers all of them."""

from neuralsim.town.carla_server.handlers import actors, batch, recorder, scene, traffic_manager, vehicles, world
from neuralsim.town.carla_server.registry import FUNCTIONS

__all__ = ["FUNCTIONS", "actors", "batch", "recorder", "scene", "traffic_manager", "vehicles", "world"]
