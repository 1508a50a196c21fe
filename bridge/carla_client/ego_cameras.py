"""The ego's cameras that a driver can choose from: their mounts, and the rig of the active one."""

from collections.abc import Iterable
from typing import Any

from bridge.carla_client.camera_rig import CAR_HALF_HEIGHT, CameraRig, RigSpec
from bridge.carla_library import carla

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

    The others have its field of view, jitter and source of motion, at mounts of their own. All have one size, that of
    ``spec`` unless the driver wants a smaller one.
    """

    def __init__(
        self, world: carla.World, vehicle: carla.Vehicle, spec: RigSpec, jitter: bool, uses_flow: bool
    ) -> None:
        self._world, self._vehicle, self._spec = world, vehicle, spec
        self._jitter, self._uses_flow = jitter, uses_flow
        self.name, self._size = "", spec.size
        self.rig = CameraRig(world, vehicle, spec, jitter, uses_flow=uses_flow)
        self._rigs = {"": self.rig}

    def choose(self, name: str, size: tuple[int, int] | None, planes: Iterable[str]) -> bool:
        """Make the camera ``name`` active from the next tick on, with images of ``size`` (width, height) px.

        None, or more than that: the size of ``spec``. Returns False if ``name`` is unknown or all is so already.
        """
        width, height = self._spec.size
        size = (width, height) if size is None else (min(size[0], width), min(size[1], height))
        if name not in CAMERAS or (name, size) == (self.name, self._size):
            return False
        self.rig.remove()
        if size != self._size:
            self._rigs.clear()
        if name not in self._rigs:
            mount = self._mount(name) if name else self._spec.mount
            spec = self._spec._replace(mount=mount, size=size)
            arm = name == _ON_SPRING_ARM
            self._rigs[name] = CameraRig(self._world, self._vehicle, spec, self._jitter, arm, self._uses_flow)
        self.name, self.rig, self._size = name, self._rigs[name], size
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
