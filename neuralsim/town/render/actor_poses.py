"""The poses of all actors at one moment, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from neuralsim.town.assets.looks import carries_umbrella, coat
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.types import Actor


@dataclass
class Poses:
    """N actors at one moment."""

    row: dict[int, int]  # by actor id
    ids: np.ndarray  # i64 (N,)
    matrix: np.ndarray  # f64 (N, 4, 4), world <- local
    template: np.ndarray  # i32 (N,), -1 = invisible
    colour: np.ndarray  # u8 (N, 3), RGB
    steer: np.ndarray  # f64 (N,), radians to the right at the front wheels, nan = unknown: derived from the motion
    lights: np.ndarray  # i32 (N,), bits of ``carla.VehicleLightState``

    @staticmethod
    def of(
        actors: Sequence[Actor], matrix: np.ndarray, steer: Mapping[int, float] | None = None, is_raining: bool = False
    ) -> Poses:
        """Return the poses of actors at ``matrix`` f64 (N, 4, 4).

        ``steer``: known steering angles, by actor id; ``is_raining``: whether people use their umbrellas.
        """
        ids = np.array([actor.id for actor in actors], np.int64)
        template = np.array([actor.template for actor in actors], np.int32)
        if is_raining:
            template = np.where(carries_umbrella(ids) & (template >= 0), templates().sheltered[template], template)
        return Poses(
            row={actor.id: k for k, actor in enumerate(actors)},
            ids=ids,
            matrix=matrix,
            template=template,
            colour=np.array([_colour_of(actor) for actor in actors], np.uint8).reshape(-1, 3),
            steer=np.array([(steer or {}).get(actor.id, np.nan) for actor in actors], np.float64),
            # all 32 bits may be set
            lights=np.array([actor.light_state for actor in actors], np.uint32).view(np.int32),
        )


def _colour_of(actor: Actor) -> tuple[int, ...]:
    """Return the RGB of an actor's paint or coat. CARLA's walkers have no such attribute: their id chooses it."""
    colour = actor.attributes.get("color", "")
    return coat(actor.id) if not colour and actor.blueprint.id.startswith("walker.") else _colour(colour)


@lru_cache(maxsize=256)
def _colour(text: str) -> tuple[int, ...]:
    """Return the RGB of an attribute "r,g,b", grey if it is invalid."""
    parts = text.split(",")
    if len(parts) == 3 and all(part.strip().isdigit() for part in parts):
        return tuple(min(int(part), 255) for part in parts)
    return (128, 128, 128)
