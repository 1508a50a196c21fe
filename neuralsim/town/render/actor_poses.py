"""Where all actors are at one moment, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from neuralsim.town.core.types import Actor


@dataclass
class Poses:
    """All actors at one moment: ``row`` by actor id; ``matrix`` f64 (N, 4, 4); ``template`` i32 (N,), -1 = unseen;
    ``steer`` f64 (N,), radians to the right at the front wheels, nan where only the way tells;
    ``lights`` i32 (N,), bits of ``carla.VehicleLightState``."""

    row: dict[int, int]
    ids: np.ndarray
    matrix: np.ndarray
    template: np.ndarray
    colour: np.ndarray
    steer: np.ndarray
    lights: np.ndarray

    @staticmethod
    def of(actors: Sequence[Actor], matrix: np.ndarray, steer: Mapping[int, float] | None = None) -> Poses:
        """``steer``: of those vehicles whose steering is known, by actor id."""
        return Poses(
            row={actor.id: k for k, actor in enumerate(actors)},
            ids=np.array([actor.id for actor in actors], np.int64),
            matrix=matrix,
            template=np.array([actor.template for actor in actors], np.int32),
            colour=np.array([_colour(actor.attributes.get("color", "")) for actor in actors], np.uint8).reshape(-1, 3),
            steer=np.array([(steer or {}).get(actor.id, np.nan) for actor in actors], np.float64),
            # all 32 bits may be set
            lights=np.array([actor.light_state for actor in actors], np.uint32).view(np.int32),
        )


@lru_cache(maxsize=256)
def _colour(text: str) -> tuple[int, ...]:
    """Paint from an attribute "r,g,b"; grey when it cannot be read."""
    parts = text.split(",")
    if len(parts) == 3 and all(part.strip().isdigit() for part in parts):
        return tuple(min(int(part), 255) for part in parts)
    return (128, 128, 128)
