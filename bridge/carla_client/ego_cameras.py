"""The ego's cameras that a driver can choose from: their mounts, and the rig of the active one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import carla

from bridge.carla_client.camera_rig import CAR_HALF_HEIGHT, CameraRig, RigSpec

#: Mounts by the value of ``bridge.messages.Control.camera``; "" is the configured mount. x and y are in half lengths
#: and half widths of the vehicle, so that they fit a bus, too; z is in metres for a car, angles in degrees.
_MOUNTS: dict[str, tuple[float, float, float, float, float]] = {  # x, y, z, pitch, yaw
    "bonnet": (0.62, 0.0, 1.15, -2.0, 0.0),
    "chase": (-2.9, 0.0, 2.5, -9.0, 0.0),
    "left": (0.45, -0.3, 1.4, 0.0, -82.0),
    "right": (0.45, 0.3, 1.4, 0.0, 82.0),
    "back": (-0.6, 0.0, 1.5, -3.0, 180.0),
    "reversing": (-1.02, 0.0, 1.05, -23.0, 180.0),
}
CAMERAS = ("", *_MOUNTS)
_ON_SPRING_ARM = "chase"  # follows the car's turns with a delay


class EgoCameras:
    """Camera rigs on ``vehicle``, one of which is active; at first ``spec``'s, whose name is "".

    The others have its size, field of view, jitter and source of motion, at mounts of their own.
    """

    def __init__(
        self, world: carla.World, vehicle: carla.Vehicle, spec: RigSpec, jitter: bool, uses_flow: bool
    ) -> None:
        self._world, self._vehicle, self._spec = world, vehicle, spec
        self._jitter, self._uses_flow = jitter, uses_flow
        self.name = ""
        self.rig = CameraRig(world, vehicle, spec, jitter, uses_flow=uses_flow)
        self._rigs = {"": self.rig}

    def choose(self, name: str, planes: Iterable[str]) -> bool:
        """Make the camera ``name`` active from the next tick on; False if it is unknown or active already."""
        if name == self.name or name not in CAMERAS:
            return False
        if name not in self._rigs:
            spec = self._spec._replace(mount=self._mount(name))
            arm = name == _ON_SPRING_ARM
            self._rigs[name] = CameraRig(self._world, self._vehicle, spec, self._jitter, arm, self._uses_flow)
        self.rig.remove()
        self.name, self.rig = name, self._rigs[name]
        self.rig.select_planes(planes)
        return True

    def stop(self) -> None:
        """Stop listening."""
        self.rig.stop()

    @property
    def actors(self) -> list[Any]:
        """All camera actors, to be destroyed with the vehicle."""
        return [actor for rig in self._rigs.values() for actor in rig.actors]

    def _mount(self, name: str) -> carla.Transform:
        x, y, z, pitch, yaw = _MOUNTS[name]
        half = self._vehicle.bounding_box.extent
        height = z * (half.z / CAR_HALF_HEIGHT)
        return carla.Transform(carla.Location(x * half.x, y * half.y, height), carla.Rotation(pitch=pitch, yaw=yaw))
