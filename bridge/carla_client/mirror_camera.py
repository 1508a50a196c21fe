"""The rear mirror: a small picture of what is behind the ego, while a driver wants it.

It is the simulator's own picture, not a painted one, and of every third tick: what a painter of its own would take, the
windscreen would lose.
"""

from __future__ import annotations

from typing import Any

import carla
import numpy as np

from bridge.carla_client.camera_rig import mark
from bridge.messages import MIRROR

_FOV = 48.0  # degrees, horizontal
_EVERY = 3  # ticks


class RearMirror:
    """Hangs at the rear of ``ego`` in a world of ``delta`` seconds per tick; its camera is there once it is wanted."""

    def __init__(self, world: carla.World, ego: carla.Vehicle, delta: float) -> None:
        self._world, self._ego, self._delta = world, ego, delta
        self._camera: Any = None
        self._wanted = False
        self._newest = b""

    @property
    def actors(self) -> list[Any]:
        """To be destroyed with the ego."""
        return [] if self._camera is None else [self._camera]

    def show(self, wanted: bool) -> None:
        """Have a picture from now on, or none any more."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if wanted:
            self._camera = self._camera or self._spawn()
            self._camera.listen(self._take)
        else:
            self.stop()

    def newest(self) -> bytes:
        """The picture that has come since the last call, RGB as in a mirror; b"" for none."""
        newest, self._newest = self._newest, b""
        return newest

    def stop(self) -> None:
        """Stop listening."""
        if self._camera is not None:
            self._camera.stop()
        self._newest = b""

    def _take(self, image: Any) -> None:
        pixels = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
        if self._wanted:
            self._newest = pixels[:, ::-1, 2::-1].tobytes()

    def _spawn(self) -> Any:
        blueprint = self._world.get_blueprint_library().find("sensor.camera.rgb")
        width, height = MIRROR
        # Half a tick less, so that sums of steps cannot miss the tick.
        every = (_EVERY - 0.5) * self._delta
        settings = {"image_size_x": width, "image_size_y": height, "fov": _FOV, "sensor_tick": every}
        for name, value in settings.items():
            blueprint.set_attribute(name, str(value))
        mark(blueprint)
        half = self._ego.bounding_box.extent
        place = carla.Location(-1.02 * half.x, 0.0, 1.2 * half.z / 0.75)
        mount = carla.Transform(place, carla.Rotation(pitch=-3.0, yaw=180.0))
        return self._world.spawn_actor(blueprint, mount, attach_to=self._ego)
