"""The dimensions of a vehicle that its steering depends on."""

from __future__ import annotations

import contextlib
from math import radians
from typing import Any, NamedTuple

import numpy as np

WHEELBASE_SHARE = 1.2  # of half the vehicle's length; CARLA does not tell the wheelbase
DEFAULT_STEERING_LOCK = radians(40.0)  # of a vehicle without physics data


class VehicleGeometry(NamedTuple):
    """Half length, half width and wheelbase in metres; ``steering_lock``: the front wheels' largest angle, radians."""

    half_length: float
    half_width: float
    wheelbase: float
    steering_lock: float

    @classmethod
    def of(cls, vehicle: Any, physics: Any) -> VehicleGeometry:
        """Return the geometry of a ``carla.Vehicle`` with this ``carla.VehiclePhysicsControl`` (None: unknown)."""
        extent = vehicle.bounding_box.extent
        lock = (
            0.0 if physics is None else radians(max((wheel.max_steer_angle for wheel in physics.wheels), default=0.0))
        )
        return cls(extent.x, extent.y, WHEELBASE_SHARE * extent.x, lock or DEFAULT_STEERING_LOCK)


def read_physics(vehicle: Any) -> Any:
    """Return the ``carla.VehiclePhysicsControl`` of a vehicle, None if the server does not provide it."""
    with contextlib.suppress(RuntimeError):
        return vehicle.get_physics_control()
    return None


def wheels_of(physics: Any, box: np.ndarray, half: tuple[float, float, float]) -> np.ndarray:
    """Return the wheels of a vehicle, f64 (4, 4): centre in its box and radius, m; radius 0 where there is none.

    Args:
        physics: Its ``carla.VehiclePhysicsControl``, None if unknown. CARLA gives the wheels' places in the world and
            their radii in centimetres.
        box: Pose of its bounding box, f64 (4, 4), world <- box.
        half: Half sizes of the box, m. A wheel that is not in it is not believed.
    """
    wheels = np.zeros((4, 4))
    known = [] if physics is None else list(physics.wheels)[:4]
    for row, wheel in zip(wheels, known, strict=False):
        place = 0.01 * np.array([wheel.position.x, wheel.position.y, wheel.position.z])
        local, radius = box[:3, :3].T @ (place - box[:3, 3]), 0.01 * wheel.radius
        if (np.abs(local) <= np.array(half) + 0.1).all() and 0.1 < radius < 1.0:
            row[:] = *local, radius
    return wheels
