"""Where the ego's default camera is; importable without numpy, because command lines show it."""

from typing import NamedTuple


class CameraMount(NamedTuple):
    """Where a camera is mounted on a vehicle: metres forward, right and up from the vehicle's origin, on the road."""

    x: float
    y: float
    z: float


#: At the windscreen, at a driver's eye height.
EGO_CAMERA = CameraMount(1.2, 0.0, 1.45)
