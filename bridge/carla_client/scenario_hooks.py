"""What a bridge that plays a scenario calls of its director."""

from __future__ import annotations

from typing import Any, Protocol

import carla

from bridge.carla_client.surroundings import Surroundings


class ScenarioHooks(Protocol):
    """What the bridge calls before and after each tick of a scenario (implemented in ``scenarios.engine.director``)."""

    @property
    def over(self) -> bool:
        """Whether the scenario has ended."""

    @property
    def drives_ego(self) -> bool:
        """Whether it spawns the ego and drives it, until it is handed over; else the bridge and its driver do."""

    @property
    def actors(self) -> list[Any]:
        """All spawned actors except the ego."""

    def settings(self) -> dict[str, Any]:
        """``CarlaBridge``'s arguments that the scenario sets."""

    def spawn(self, world: carla.World, town: carla.Map) -> Any:
        """Set up the scenario; returns the ego, None if the bridge is to spawn it."""

    def begin(self, snapshot: carla.WorldSnapshot) -> None:
        """Begin scenario time, once the cameras deliver."""

    def drive(self, surroundings: Surroundings, delta: float) -> carla.VehicleControl | None:
        """Before a tick: control all actors; returns the ego's control, None for its driver's."""

    def observe(self, snapshot: carla.WorldSnapshot) -> None:
        """After a tick: update assertions and end conditions."""

    def report(self) -> str:
        """JSON of this tick for the frame."""

    def hand_over(self) -> None:
        """Leave the ego to the driver."""

    def result(self) -> dict[str, Any]:
        """The result, ready for JSON."""

    def stop(self) -> None:
        """Stop listening to sensors."""
