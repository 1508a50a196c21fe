"""The spring arm: how a camera hangs on a car that it follows, level and a little behind in its turns."""

from __future__ import annotations

import numpy as np

from bridge.town.actors import Transform

EAGER = 8.0  # 1/s, how fast the arm turns after its parent (UE's CameraRotationLagSpeed, as CARLA sets it)


class SpringArm:
    """Holds something at ``mount`` (f64 (4, 4), parent <- camera) of a parent whose yaw alone it takes over, late."""

    def __init__(self, mount: np.ndarray, parent: Transform) -> None:
        self.mount = mount
        self.pose = mount
        self._yaw = parent.yaw
        self.follow(parent, 0.0)

    def follow(self, parent: Transform, delta: float) -> None:
        """Bring ``pose``, f64 (4, 4), world <- camera, up to date after ``delta`` seconds."""
        behind = (parent.yaw - self._yaw + 180.0) % 360.0 - 180.0
        self._yaw += behind * min(1.0, EAGER * delta)
        self.pose = Transform(parent.x, parent.y, parent.z, 0.0, self._yaw, 0.0).matrix() @ self.mount

    def turn(self, parent: Transform) -> None:
        """Stand behind the parent at once: it has been put somewhere else."""
        self._yaw = parent.yaw
        self.follow(parent, 0.0)
