"""CARLA's server functions for the Traffic Manager, which runs in a client: its port and its vehicles."""

from typing import Any

from neuralsim.town.carla_server.handlers.lookup import find
from neuralsim.town.carla_server.registry import function
from neuralsim.town.carla_server.rpc import Call
from neuralsim.town.carla_server.town_server import TownServer


@function
def is_traffic_manager_running(town: TownServer, call: Call, port: int) -> bool:
    return port in town.traffic_managers


@function
def get_traffic_manager_running(town: TownServer, call: Call, port: int) -> list[Any]:
    host, _ = town.traffic_managers.get(port, ("", None))
    return [host, port if host else 0]


@function
def add_traffic_manager_running(town: TownServer, call: Call, address: list[Any]) -> bool:
    """Register a client's Traffic Manager for other clients until that client disconnects."""
    host, port = str(address[0]), int(address[1])
    if port in town.traffic_managers or len(town.traffic_managers) >= 64:
        return False
    town.traffic_managers[port] = (host, call.connection)
    return True


@function
def destroy_traffic_manager(town: TownServer, call: Call, port: int) -> bool:
    return town.traffic_managers.pop(port, None) is not None


@function
def set_actor_autopilot(town: TownServer, call: Call, ident: int, enabled: bool) -> None:
    """Stop a vehicle that is released; otherwise the client's Traffic Manager drives it with ordinary controls."""
    actor = find(town, ident, "vehicle")
    if not enabled and ident in town.world.drives:
        actor.control = type(actor.control)()
