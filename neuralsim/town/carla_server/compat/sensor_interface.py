"""The common base of all sensors other than cameras, and the interface to the world that they measure."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from bridge.carla_library import carla
from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits

GRAVITY = 9.81  # m/s^2


class WorldView(Protocol):
    """The part of ``World`` that instruments read; they may not import ``World`` itself, which is in a higher layer."""

    time: float  # s, simulated

    @property
    def actors(self) -> Mapping[int, Actor]:
        """All actors by id."""

    @property
    def map(self) -> carla.Map:
        """The OpenDRIVE map."""


class Cast(Protocol):
    """``Rays.cast`` bound to the state of the world at one moment."""

    def __call__(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True
    ) -> Hits: ...


class SensorContext(Protocol):
    """What instruments need to know about their surroundings."""

    gravity: float  # m/s^2

    @property
    def airwaves(self) -> Any:
        """The ``v2x.Airwaves``: all radio messages sent during this tick."""

    @property
    def world(self) -> WorldView:
        """The world that the sensors are in."""

    def caster(self) -> Cast:
        """Return a function that casts rays at the present world, to be called at any time."""

    def describe(self, actor: int, tag: int) -> list[Any]:
        """Return the ``rpc::Actor`` of what was hit: an actor, or scenery with a tag."""


Measurement = Callable[[], bytes | None]


class Instrument(ABC):
    """A sensor with its state between measurements. ``casts``: whether it casts rays, which may take long."""

    casts = False

    def __init__(self, scene: SensorContext, actor: Actor) -> None:
        self.scene, self.world, self.actor = scene, scene.world, actor
        self.rng = np.random.default_rng(int(self._number("noise_seed", 0.0)))

    @abstractmethod
    def measure(self, delta: float) -> Measurement:
        """Capture what is to be measured now, ``delta`` seconds after the last measurement.

        The function returned does the measuring later, without access to the town and in the order of these calls. It
        returns the body of a message, or ``None`` for no message.
        """

    def read(self, delta: float) -> bytes | None:
        """Measure at once; return the body of a message or ``None``."""
        return self.measure(delta)()

    def _number(self, name: str, default: float) -> float:
        value = float(self.actor.attributes.get(name) or default)
        if not math.isfinite(value):
            raise ValueError(f"{name} of {self.actor.blueprint.id} is {value}: choose a finite number")
        return value

    def _noise(self, prefix: str, axis: str = "") -> float:
        deviation = self._number(f"{prefix}_stddev{axis}", 0.0)
        bias = self._number(f"{prefix}_bias{axis}", 0.0)
        return bias + (float(self.rng.normal(0.0, deviation)) if deviation > 0.0 else 0.0)

    def _pose(self) -> np.ndarray:
        """Return the pose of the sensor, f64 (4, 4), world <- sensor."""
        return self.actor.transform.matrix()

    def _parent(self) -> Actor | None:
        return self.world.actors.get(self.actor.parent) if self.actor.parent else None
