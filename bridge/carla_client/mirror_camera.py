"""The rear mirror: the planes of a small camera that looks back from the ego, while a driver looks into it.

To the simulator each view costs as much as its geometry, however small it is. So the mirror's sensors send seven images
a second, which nobody waits for: they come with the next frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import carla
import numpy as np

from bridge.carla_client.camera_rig import CAR_HALF_HEIGHT, CameraRig, RigSpec
from bridge.link.motion import Movers
from bridge.messages import MIRROR, MIRROR_PLANES, Camera

_FOV = 48.0  # degrees, horizontal
_INTERVAL = 0.15  # s, simulated
_TICKS = 2  # at least between two images, on machines where a tick is longer than that
_KEPT = 8  # ticks within which an image arrives


class RearMirror:
    """A camera rig at the rear of ``ego``; its sensors exist while it is on."""

    def __init__(self, world: carla.World, ego: carla.Vehicle, jitter: bool) -> None:
        half = ego.bounding_box.extent
        location = carla.Location(-1.02 * half.x, 0.0, 1.2 * half.z / CAR_HALF_HEIGHT)
        spec = RigSpec(MIRROR, _FOV, carla.Transform(location, carla.Rotation(pitch=-3.0, yaw=180.0)))
        self.rig = CameraRig(world, ego, spec, jitter, interval=_INTERVAL)
        self._is_on = False
        self._ticks: deque[tuple[int, Movers]] = deque(maxlen=_KEPT)
        self._before: Movers | None = None  # at the last image
        self._last = 0  # tick with that image

    def show(self, is_on: bool) -> None:
        """Turn the mirror on or off."""
        if is_on == self._is_on:
            return
        self._is_on = is_on
        if is_on:
            self.rig.select_planes(MIRROR_PLANES.values())
        else:
            self.rig.remove()
            self._before = None

    def update(self, tick: int, movers: Callable[[], Movers]) -> tuple[Camera, dict[str, np.ndarray]] | None:
        """Take the ``movers`` of a tick; return camera and planes if a new image has arrived, that of a recent tick.

        The planes are valid until the next call. Their motion refers to the image returned before.
        """
        if not self._is_on:
            return None
        self._ticks.append((tick, movers()))
        images = self.rig.newest() if tick >= self._last + _TICKS else None
        now = next((each for number, each in self._ticks if images and number == images["depth"].frame), None)
        if images is None or now is None:
            return None
        camera, planes = self.rig.decode(images)
        since = _since(now, self._before or now)
        self.rig.add_motion(camera, planes, lambda: since)
        self._before, self._last = now, tick
        return camera, planes


def _since(now: Movers, before: Movers) -> Movers:
    """Return the movers of ``now`` whose previous poses are those of ``before``."""
    old = dict(zip(before.instance.tolist(), before.pose, strict=True))
    previous = [old.get(instance, pose) for instance, pose in zip(now.instance.tolist(), now.pose, strict=True)]
    return now._replace(previous=np.array(previous).reshape(-1, 4, 4))
