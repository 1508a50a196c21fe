"""Wheels as separate parts: rolling angles, steering angles and the resulting poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.town.assets.vehicles.vehicle_meshes import Vehicle

TELEPORT_DISTANCE = 8.0  # m per tick, beyond which an actor was teleported
MAX_STEER = float(np.radians(40.0))  # maximum steering angle of a wheel
MIN_DISTANCE = 0.02  # m per tick, below which steering cannot be estimated from the motion
SMOOTHING = 0.35  # smoothing factor of steering angles estimated from the motion


class WheelTable:
    """The wheels of all templates.

    ``body[t]`` is the template that replaces template t when its wheels are drawn separately (t if it has none),
    ``count[t]`` the number of its wheels, ``first[t]`` the index of its first one, ``base[t]`` its wheelbase, m. Arrays
    by wheel: ``at`` f64 (K, 3), m; ``radius`` f64 (K,), m; ``steers`` bool (K,); ``template`` i32 (K,).
    """

    def __init__(self, templates: int, vehicles: Sequence[tuple[int, int, int, Vehicle]]) -> None:
        """Build the table; ``vehicles``: templates of the whole, of its body and of its wheel, and the vehicle."""
        self.body = np.arange(templates, dtype=np.int32)
        self.count, self.first = np.zeros(templates, np.int64), np.zeros(templates, np.int64)
        self.base = np.ones(templates)
        wheels = [(wheel, mesh) for _, _, mesh, vehicle in vehicles for wheel in vehicle.wheels]
        self.at = np.array([wheel.at for wheel, _ in wheels], np.float64).reshape(-1, 3)
        self.radius = np.array([wheel.radius for wheel, _ in wheels], np.float64)
        self.steers = np.array([wheel.steers for wheel, _ in wheels], bool)
        self.template = np.array([mesh for _, mesh in wheels], np.int32)
        number = 0
        for whole, body, _, vehicle in vehicles:
            self.body[whole], self.count[whole], self.first[whole] = body, len(vehicle.wheels), number
            along = [wheel.at[0] for wheel in vehicle.wheels]
            self.base[whole] = max(along) - min(along)
            number += len(vehicle.wheels)

    def of(self, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for all wheels of vehicles, given by their templates i32 (N,), the vehicle's and the wheel's index."""
        count = self.count[template]
        owner = np.repeat(np.arange(len(template)), count)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return owner, self.first[template][owner] + within

    def poses(self, pose: np.ndarray, wheel: np.ndarray, rolled: np.ndarray, steer: np.ndarray) -> np.ndarray:
        """Return the poses f64 (K, 4, 4), world <- wheel, of wheels.

        Args:
            pose: f64 (K, 4, 4), poses of their vehicles.
            wheel: i64 (K,), wheel indices.
            rolled: f64 (K,), distance driven, metres.
            steer: f64 (K,), steering angles, radians, positive to the right.
        """
        return np.asarray(_wheel_poses(pose, wheel, rolled, steer, self.at, self.radius, self.steers))


@njit(**kernels.EXACT)
def _wheel_poses(pose, wheel, rolled, steer, at, radius, steers):  # type: ignore[no-untyped-def]
    result, local = np.zeros((len(wheel), 4, 4)), np.zeros((3, 4))
    for k in range(len(wheel)):
        w = wheel[k]
        turned, aside = rolled[k] / radius[w], steer[k] if steers[w] else 0.0
        c, s, cs, ss = np.cos(turned), np.sin(turned), np.cos(aside), np.sin(aside)
        local[0, 0], local[0, 1], local[0, 2] = cs * c, -ss, cs * s
        local[1, 0], local[1, 1], local[1, 2] = ss * c, cs, ss * s
        local[2, 0], local[2, 2] = -s, c
        local[:, 3] = at[w]
        for i in range(3):
            for j in range(4):
                for m in range(3):
                    result[k, i, j] += pose[k, i, m] * local[m, j]
            result[k, i, 3] += pose[k, i, 3]
        result[k, 3, 3] = 1.0
    return result


@dataclass
class WheelAngles:
    """Distance ``rolled`` (metres) and ``steer`` angle of the front wheels (radians) of all actors, f64 (N,) each."""

    rolled: np.ndarray
    steer: np.ndarray

    @staticmethod
    def at_rest(steer: np.ndarray) -> WheelAngles:
        """Return the angles of standing vehicles; ``steer`` is nan where it is unknown."""
        return WheelAngles(np.zeros(len(steer)), np.nan_to_num(steer))

    def advanced(
        self, before: np.ndarray, row: np.ndarray, pose: np.ndarray, base: np.ndarray, steer: np.ndarray
    ) -> WheelAngles:
        """Return the angles after a movement.

        Args:
            before: f64 (M, 4, 4), poses before.
            row: i64 (N,), index of each actor in ``before``, -1: new.
            pose: f64 (N, 4, 4), poses now.
            base: f64 (N,), wheelbases, metres.
            steer: f64 (N,), radians; nan: estimated from the movement.
        """
        return WheelAngles(*_advanced(self.rolled, self.steer, before, row, pose, base, steer))


@njit(**kernels.EXACT)
def _advanced(rolled, steer, before, row, pose, base, known):  # type: ignore[no-untyped-def]
    far, angle = np.zeros(len(pose)), np.zeros(len(pose))
    for n in range(len(pose)):
        was = row[n]
        if was >= 0:
            ahead, turned, size, straight = 0.0, 0.0, 0.0, 0.0
            for k in range(3):
                moved, axis = pose[n, k, 3] - before[was, k, 3], pose[n, k, 0] + before[was, k, 0]
                straight += moved * moved
                ahead += moved * axis
                size += axis * axis
                turned += before[was, k, 1] * pose[n, k, 0]  # sine of the change of heading
            distance = ahead / np.sqrt(max(size, 1e-12)) if straight < TELEPORT_DISTANCE * TELEPORT_DISTANCE else 0.0
            far[n], angle[n] = rolled[was] + distance, steer[was]
            if abs(distance) > MIN_DISTANCE:
                seen = min(max(np.arctan(base[n] * turned / distance), -MAX_STEER), MAX_STEER)
                angle[n] += SMOOTHING * (seen - angle[n])
        if not np.isnan(known[n]):
            angle[n] = known[n]
    return far, angle
