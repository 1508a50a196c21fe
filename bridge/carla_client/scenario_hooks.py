"""The interface between the bridge and the director of a scenario."""

from typing import Any, Protocol

from bridge.carla_client.surroundings import Surroundings
from bridge.carla_library import carla


class ScenarioHooks(Protocol):
    """The calls that the bridge makes before and after each tick (implemented in ``scenarios.engine.director``)."""

    @property
    def over(self) -> bool:
        """Whether the scenario has ended."""

    @property
    def drives_ego(self) -> bool:
        """Whether the director spawns and drives the ego, until hand-over; otherwise the bridge and its driver do."""

    @property
    def actors(self) -> list[Any]:
        """All spawned actors except the ego."""

    def settings(self) -> dict[str, Any]:
        """Return the fields of ``bridge.carla_client.ego_bridge.BridgeSettings`` that the scenario sets."""

    def spawn(self, world: carla.World, town: carla.Map) -> Any:
        """Set up the scenario; return the ego, or None if the bridge should spawn it."""

    def begin(self, snapshot: carla.WorldSnapshot) -> None:
        """Start scenario time, once the cameras deliver."""

    def drive(self, surroundings: Surroundings, delta: float) -> carla.VehicleControl | None:
        """Control all actors before a tick; return the ego's control, or None to use its driver's."""

    def observe(self, snapshot: carla.WorldSnapshot) -> None:
        """Update assertions and end conditions after a tick."""

    def report(self) -> str:
        """Return the report on this tick for the frame, as JSON."""

    def hand_over(self) -> None:
        """Hand the ego over to the driver."""

    def result(self) -> dict[str, Any]:
        """Return the result, ready for JSON."""

    def stop(self) -> None:
        """Stop listening to sensors."""
