"""What all sensors that are no cameras have in common, and what they ask of the world that they are in."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import carla
import numpy as np

from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits

GRAVITY = 9.81  # m/s^2


class WorldView(Protocol):
    """The part of ``World`` that instruments read; it stands above them."""

    time: float  # s, simulated

    @property
    def actors(self) -> Mapping[int, Actor]:
        """All actors by id."""

    @property
    def map(self) -> carla.Map:
        """The OpenDRIVE map."""


class Cast(Protocol):
    """``Rays.cast`` at a moment."""

    def __call__(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True
    ) -> Hits: ...


class SensorContext(Protocol):
    """The queries that instruments make."""

    gravity: float  # m/s^2

    @property
    def airwaves(self) -> Any:
        """``v2x.Airwaves``: what is sent by radio during this tick."""

    @property
    def world(self) -> WorldView:
        """The world that the sensors are in."""

    def caster(self) -> Cast:
        """A function that casts rays at everything as it is now, whenever it is called."""

    def describe(self, actor: int, tag: int) -> list[Any]:
        """``rpc::Actor`` of what was hit: an actor, or scenery of some tag."""


Measurement = Callable[[], bytes | None]


class Instrument(ABC):
    """A sensor's state between two measurements. ``casts``: whether it needs rays, which may take long."""

    casts = False

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        self.scene, self.world, self.actor = scene, scene.world, actor
        self.rng = np.random.default_rng(int(self._number("noise_seed", 0.0)))

    @abstractmethod
    def measure(self, delta: float) -> Measurement:
        """Note what is to be measured now, ``delta`` seconds after the last time. What comes back measures it later,
        without a look at the town, in the order of these calls: the body of a message, ``None``: nothing to tell."""

    def read(self, delta: float) -> bytes | None:
        """The body of a message about now."""
        return self.measure(delta)()

    def _number(self, name: str, default: float) -> float:
        value = float(self.actor.attributes.get(name) or default)
        if not math.isfinite(value):
            raise ValueError(f"{name} of {self.actor.blueprint.id} is {value}: choose a number")
        return value

    def _noise(self, prefix: str, axis: str = "") -> float:
        deviation = self._number(f"{prefix}_stddev{axis}", 0.0)
        bias = self._number(f"{prefix}_bias{axis}", 0.0)
        return bias + (float(self.rng.normal(0.0, deviation)) if deviation > 0.0 else 0.0)

    def _pose(self) -> np.ndarray:
        """f64 (4, 4), world <- sensor."""
        return self.actor.transform.matrix()

    def _parent(self) -> Actor | None:
        return self.world.actors.get(self.actor.parent) if self.actor.parent else None
