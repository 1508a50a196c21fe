"""Sensor mounts: rigidly attached to an actor, on a spring arm, or free-standing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuralsim.town.core.types import Actor, Transform

EAGER = 8.0  # 1/s, how fast the arm turns after its parent (UE's CameraRotationLagSpeed, as CARLA sets it)


class SpringArm:
    """How a camera hangs on a car that it follows, level and a little behind in its turns.

    Holds something at ``mount`` (f64 (4, 4), parent <- camera) of a parent whose yaw alone it takes over, late.
    """

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


class Mounts:
    """Where mounted actors are, exactly: their own ``transform`` is written from here."""

    def __init__(self, actors: Mapping[int, Actor]) -> None:
        self._actors = actors
        self._mounts: dict[int, np.ndarray] = {}  # pose of a mounted actor in its parent, or in the world without one
        self._arms: dict[int, SpringArm] = {}  # of those that hang on one

    def __contains__(self, actor_id: int) -> bool:
        return actor_id in self._mounts

    def add(self, actor: Actor, transform: Transform, arm: bool) -> None:
        """Mount an actor, in its parent's axes if it has one; ``arm``: on a spring arm."""
        self._mounts[actor.id] = transform.matrix()
        if arm and actor.parent:
            self._arms[actor.id] = SpringArm(transform.matrix(), self._actors[actor.parent].transform)

    def remove(self, actor_id: int) -> None:
        """Forget an actor; nothing for unknown ids."""
        self._mounts.pop(actor_id, None)
        self._arms.pop(actor_id, None)

    def move(self, actor: Actor, transform: Transform) -> None:
        """Put a mounted actor somewhere in the world by hand; there it stays, in its parent's axes."""
        mount = transform.matrix()
        if actor.parent:
            self._arms.pop(actor.id, None)
            mount = np.linalg.inv(self._actors[actor.parent].transform.matrix()) @ mount
        self._mounts[actor.id] = mount

    def turn(self, parent: Actor) -> None:
        """The parent has been put elsewhere at once: its arms do not swing after it."""
        for child, arm in self._arms.items():
            if self._actors[child].parent == parent.id:
                arm.turn(parent.transform)

    def swing(self, delta: float) -> None:
        """Let all arms follow their parents for ``delta`` seconds."""
        for actor_id, arm in self._arms.items():
            arm.follow(self._actors[self._actors[actor_id].parent].transform, delta)

    def place(self) -> None:
        """Write the ``transform`` of all that hang on something."""
        for actor_id in self._mounts:
            actor = self._actors[actor_id]
            if actor.parent:
                assign(actor.transform, _transform(self.pose(actor)))

    def pose(self, actor: Actor) -> np.ndarray:
        """f64 (4, 4), world <- actor; of any actor, exact for mounted ones."""
        if actor.id not in self._mounts:
            return actor.transform.matrix()
        if actor.id in self._arms:
            return self._arms[actor.id].pose
        mount = self._mounts[actor.id]
        return self.pose(self._actors[actor.parent]) @ mount if actor.parent else mount

    def poses(self, actors: list[Actor], matrices: np.ndarray) -> None:
        """Replace the rows of the mounted ones in ``matrices``, f64 (N, 4, 4), by their exact poses."""
        for k, actor in enumerate(actors):
            if actor.id in self._mounts:
                matrices[k] = self.pose(actor)

    def follows(self, camera: Actor) -> bool:
        """Whether a camera with a parent looks on from behind it, instead of from its seat or bonnet."""
        return bool(self._mounts[camera.id][0, 3] < -1.2 * self._actors[camera.parent].extent[0])


def assign(target: Transform, source: Transform) -> None:
    """Copy all six values."""
    target.x, target.y, target.z = source.x, source.y, source.z
    target.pitch, target.yaw, target.roll = source.pitch, source.yaw, source.roll


def _transform(pose: np.ndarray) -> Transform:
    """The inverse of ``Transform.matrix``."""
    pitch = float(np.degrees(np.arctan2(pose[2, 0], np.hypot(pose[0, 0], pose[1, 0]))))
    yaw = float(np.degrees(np.arctan2(pose[1, 0], pose[0, 0])))
    roll = float(np.degrees(np.arctan2(-pose[2, 1], pose[2, 2])))
    return Transform(float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3]), pitch, yaw, roll)
