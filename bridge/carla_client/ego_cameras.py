"""The ego's cameras that a driver chooses from: where each is, and the rig of the one that is looked through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import carla

from bridge.carla_client.camera_rig import CameraRig
from bridge.carla_client.mirror_camera import RearMirror

#: By the word of ``bridge.messages.Control.camera``; "" is the rig's own mount. Metres and degrees in the vehicle's
#: axes; x and y in half lengths and half widths of the vehicle, so that they fit a bus, too.
_MOUNTS: dict[str, tuple[float, float, float, float, float]] = {  # x, y, z, pitch, yaw
    "bonnet": (0.62, 0.0, 1.15, -2.0, 0.0),
    "chase": (-2.9, 0.0, 2.5, -9.0, 0.0),
    "left": (0.45, -0.3, 1.4, 0.0, -82.0),
    "right": (0.45, 0.3, 1.4, 0.0, 82.0),
    "back": (-0.6, 0.0, 1.5, -3.0, 180.0),
    "reversing": (-1.02, 0.0, 1.05, -23.0, 180.0),
}
CAMERAS = ("", *_MOUNTS)
_FOLLOWS = "chase"  # on a spring arm: it swings after the car in its turns


class EgoCameras:
    """Rigs of one ``size`` (px) and ``fov`` (degrees) at ``vehicle``, one of which delivers.

    ``mount``: of the camera "", which is looked through at first; ``delta``: s per tick; ``mirror``: the rear one.
    """

    def __init__(
        self,
        world: carla.World,
        vehicle: carla.Vehicle,
        size: tuple[int, int],
        fov: float,
        mount: carla.Transform,
        jitter: bool,
        delta: float,
    ) -> None:
        self._world, self._vehicle, self._size, self._fov, self._jitter = world, vehicle, size, fov, jitter
        self.mirror = RearMirror(world, vehicle, delta)
        self.name = ""
        self.rig = CameraRig(world, vehicle, size, fov, mount, jitter)
        self._rigs = {"": self.rig}

    def choose(self, name: str, planes: Iterable[str]) -> bool:
        """Look through the camera ``name`` from the next tick on; False where there is none, or it is chosen."""
        if name == self.name or name not in CAMERAS:
            return False
        if name not in self._rigs:
            self._rigs[name] = CameraRig(
                self._world, self._vehicle, self._size, self._fov, self._mount(name), self._jitter, name == _FOLLOWS
            )
        self.rig.stop()
        self.name, self.rig = name, self._rigs[name]
        self.rig.want(planes)
        return True

    def stop(self) -> None:
        """Stop listening."""
        self.rig.stop()
        self.mirror.stop()

    @property
    def actors(self) -> list[Any]:
        """All camera actors, to be destroyed with the vehicle."""
        return [*self.mirror.actors, *(actor for rig in self._rigs.values() for actor in rig.actors)]

    def _mount(self, name: str) -> carla.Transform:
        x, y, z, pitch, yaw = _MOUNTS[name]
        half = self._vehicle.bounding_box.extent
        tall = half.z / 0.75  # a car's
        return carla.Transform(carla.Location(x * half.x, y * half.y, z * tall), carla.Rotation(pitch=pitch, yaw=yaw))
