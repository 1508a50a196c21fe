"""The rear mirror: a small image of what is behind the ego, while a driver looks into it.

It is the simulator image of every third tick, not a generated one: generating it would take time from the main view.
"""

from __future__ import annotations

from typing import Any

import carla
import numpy as np

from bridge.carla_client.camera_rig import CAR_HALF_HEIGHT, set_sensor_role
from bridge.messages import MIRROR

_FOV = 48.0  # degrees, horizontal
_INTERVAL = 3  # ticks


class RearMirror:
    """A camera at the rear of ``ego`` in a world of ``delta`` seconds per tick; it exists while it is on."""

    def __init__(self, world: carla.World, ego: carla.Vehicle, delta: float) -> None:
        self._world, self._ego, self._delta = world, ego, delta
        self._camera: Any = None
        self._is_on = False
        self._newest = b""

    @property
    def actors(self) -> list[Any]:
        """The actors to be destroyed with the ego."""
        return [] if self._camera is None else [self._camera]

    def show(self, is_on: bool) -> None:
        """Turn the mirror on or off."""
        if is_on == self._is_on:
            return
        self._is_on = is_on
        if is_on:
            self._camera = self._spawn()
            self._camera.listen(self._on_image)
        else:
            self.stop()
            self._camera.destroy()
            self._camera = None

    def newest(self) -> bytes:
        """Return the image that has arrived since the last call, RGB, flipped horizontally; b"" for none."""
        newest, self._newest = self._newest, b""
        return newest

    def stop(self) -> None:
        """Stop listening."""
        if self._camera is not None:
            self._camera.stop()
        self._newest = b""

    def _on_image(self, image: Any) -> None:
        pixels = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
        if self._is_on:
            self._newest = pixels[:, ::-1, 2::-1].tobytes()

    def _spawn(self) -> Any:
        blueprint = self._world.get_blueprint_library().find("sensor.camera.rgb")
        width, height = MIRROR
        # Half a tick less, so that rounding in the sum of steps cannot miss the tick.
        interval = (_INTERVAL - 0.5) * self._delta
        settings: dict[str, Any] = {"image_size_x": width, "image_size_y": height, "fov": _FOV, "sensor_tick": interval}
        settings |= {"bloom_intensity": 0.0, "lens_flare_intensity": 0.0, "neuralsim_style": "off"}
        for name, value in settings.items():
            if blueprint.has_attribute(name):
                blueprint.set_attribute(name, str(value))
        set_sensor_role(blueprint)
        half = self._ego.bounding_box.extent
        location = carla.Location(-1.02 * half.x, 0.0, 1.2 * half.z / CAR_HALF_HEIGHT)
        mount = carla.Transform(location, carla.Rotation(pitch=-3.0, yaw=180.0))
        return self._world.spawn_actor(blueprint, mount, attach_to=self._ego)
