"""The dimensions of a vehicle that its steering depends on."""

from __future__ import annotations

import contextlib
from math import radians
from typing import Any, NamedTuple

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
        lock = 0.0 if physics is None else radians(max(wheel.max_steer_angle for wheel in physics.wheels))
        return cls(extent.x, extent.y, WHEELBASE_SHARE * extent.x, lock or DEFAULT_STEERING_LOCK)


def read_physics(vehicle: Any) -> Any:
    """Return the ``carla.VehiclePhysicsControl`` of a vehicle, None if the server does not provide it."""
    with contextlib.suppress(RuntimeError):
        return vehicle.get_physics_control()
    return None
