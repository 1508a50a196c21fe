"""The rear mirror: the planes of a small camera that looks back from the ego, while a driver looks into it."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np

from bridge.carla_client.camera_rig import CAR_HALF_HEIGHT, CameraRig, RigSpec
from bridge.messages import MIRROR, MIRROR_PLANES, Camera

VIEW = ":mirror"  # its name among the rigs, which no camera of a scenario can have

_FOV = 48.0  # degrees, horizontal


class RearMirror:
    """A camera rig at the rear of ``ego``; its sensors exist while it is on. ``uses_flow`` as in ``CameraRig``."""

    def __init__(self, world: carla.World, ego: carla.Vehicle, jitter: bool, uses_flow: bool) -> None:
        half = ego.bounding_box.extent
        location = carla.Location(-1.02 * half.x, 0.0, 1.2 * half.z / CAR_HALF_HEIGHT)
        spec = RigSpec(MIRROR, _FOV, carla.Transform(location, carla.Rotation(pitch=-3.0, yaw=180.0)))
        self.rig = CameraRig(world, ego, spec, jitter, uses_flow=uses_flow)
        self.is_on = False

    def show(self, is_on: bool) -> None:
        """Turn the mirror on or off."""
        if is_on == self.is_on:
            return
        self.is_on = is_on
        if is_on:
            self.rig.select_planes(MIRROR_PLANES.values())
        else:
            self.rig.remove()

    def decode(self, images: dict[str, Any]) -> tuple[Camera, dict[str, np.ndarray]] | None:
        """Return camera and planes, valid until the next call; None while sensors have not delivered yet."""
        if not self.is_on or not self.rig.is_delivering():
            return None
        camera, planes = self.rig.decode(images)
        return (camera, planes) if len(planes) == len(MIRROR_PLANES) else None
