"""Damage by collisions: where bodies are dented, and how a damaged vehicle drives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from neuralsim.town.core.types import VehicleControl

BUMPER_LIMIT = 1.5  # m/s of lost speed from which on a body is dented: bumpers take less
CRUSH = 0.03  # m of depth per m/s beyond that; cars crush by some 0.5 m at 56 km/h against a barrier
DEPTH_FLOOR = 0.04  # m
DEPTH_LIMIT = 0.5  # m
HEIGHT = 0.6  # m above the ground, of the middle of a dent
DENT_LIMIT = 12  # dents of a vehicle; further ones deepen the nearest of them
REACH = 0.12  # m around a box within which another one touches it
PULL = 0.5  # of full steering, per m of depth and m to the side, of a dent at the front
PULL_LIMIT = 0.12  # of full steering
WEAKNESS = 1.3  # of the engine's power, per m of depth at the front
WEAKNESS_LIMIT = 0.6


class Dent(NamedTuple):
    """A dent, in the axes of the vehicle: m, except for the unit vector ``inwards``."""

    place: tuple[float, float, float]
    inwards: tuple[float, float]
    depth: float
    wide: float  # half the length of the edge that was hit


@dataclass
class Damage:
    """The dents of a vehicle that is ``half`` m long in each direction, in their order."""

    half: float
    dents: list[Dent] = field(default_factory=list)

    def add(self, place: np.ndarray, inwards: np.ndarray, wide: float, lost: float) -> bool:
        """Dent the body at ``place`` (x, y), where it ``lost`` so many m/s; return whether it is dented there.

        ``place``, ``inwards``, ``wide``: as in ``Dent``.
        """
        if lost < BUMPER_LIMIT:
            return False
        depth = min(max(CRUSH * (lost - BUMPER_LIMIT), DEPTH_FLOOR), DEPTH_LIMIT)
        dent = Dent((float(place[0]), float(place[1]), HEIGHT), (float(inwards[0]), float(inwards[1])), depth, wide)
        away = [np.hypot(*np.subtract(each.place, dent.place)[:2]) for each in self.dents]
        nearest = int(np.argmin(away)) if away else -1
        if away and (away[nearest] < 2.0 * REACH or len(away) >= DENT_LIMIT):
            known = self.dents[nearest]
            self.dents[nearest] = known._replace(depth=min(known.depth + 0.5 * depth, DEPTH_LIMIT))
        else:
            self.dents.append(dent)
        return True

    def applied(self, control: VehicleControl) -> VehicleControl:
        """Return what becomes of a control: the steering pulls to the side that was hit, and the engine is weaker."""
        front = [dent for dent in self.dents if dent.place[0] > 0.5 * self.half]
        if not front:
            return control
        pull = PULL * sum(dent.depth * dent.place[1] for dent in front)
        weakness = WEAKNESS * sum(dent.depth for dent in front)
        return replace(
            control,
            steer=control.steer + float(np.clip(pull, -PULL_LIMIT, PULL_LIMIT)),
            throttle=control.throttle * (1.0 - min(weakness, WEAKNESS_LIMIT)),
        )


def contact(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the ends of where two boxes touch, f64 (N, 2), m: the corners of each within ``REACH`` of the other.

    ``one``, ``other``: f64 (5,), x, y, yaw and half sizes, as in ``vehicle_dynamics.deepest``.
    """
    touching = []
    for box, around in ((one, other), (other, one)):
        corners = box[:2] + np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * box[3:5] @ _turned(box[2]).T
        local = (corners - around[:2]) @ _turned(around[2])
        touching.append(corners[(np.abs(local) <= around[3:5] + REACH).all(axis=1)])
    points = np.concatenate(touching)
    if not len(points):  # crossed: neither has a corner in the other
        local = np.clip(_turned(one[2]).T @ (other[:2] - one[:2]), -one[3:5], one[3:5])
        points = (one[:2] + _turned(one[2]) @ local)[None]
    return np.asarray(points)


def dented(box: np.ndarray, points: np.ndarray, inwards: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return place, direction and half length of the dent that a ``contact`` makes in a box, in the box's axes.

    ``inwards``: unit vector of the world, f64 (2,). The place is on the side of the box that is hit.
    """
    to_box = _turned(box[2]).T
    towards = to_box @ inwards
    local = (points - box[:2]) @ to_box.T
    middle = np.clip((local.min(axis=0) + local.max(axis=0)) / 2.0, -box[3:5], box[3:5])
    axis = int(np.argmax(np.abs(towards)))
    middle[axis] = -np.sign(towards[axis]) * box[3 + axis]
    return middle, towards, float(np.ptp(local[:, 1 - axis])) / 2.0


def _turned(yaw: float) -> np.ndarray:
    return np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
