"""Sensor mounts: rigidly attached to an actor, on a spring arm, or free-standing."""

from collections.abc import Mapping

import numpy as np

from neuralsim.town.core.types import Actor, Transform

_ABOVE = 1.0  # m above the roof from which on a camera sees its parent
LAG_SPEED = 8.0  # 1/s, how fast the arm follows its parent's turns (UE's CameraRotationLagSpeed, as CARLA sets it)


class SpringArm:
    """A spring arm: holds a camera level behind a vehicle, whose yaw it follows with a lag.

    ``mount``: f64 (4, 4), parent <- camera; ``pose``: f64 (4, 4), world <- camera.
    """

    def __init__(self, mount: np.ndarray, parent: Transform) -> None:
        self.mount = mount
        self.pose = mount
        self._yaw = parent.yaw
        self.follow(parent, 0.0)

    def follow(self, parent: Transform, delta: float) -> None:
        """Update ``pose`` after ``delta`` seconds."""
        behind = (parent.yaw - self._yaw + 180.0) % 360.0 - 180.0
        self._yaw += behind * min(1.0, LAG_SPEED * delta)
        self.pose = Transform(parent.x, parent.y, parent.z, 0.0, self._yaw, 0.0).matrix() @ self.mount

    def turn(self, parent: Transform) -> None:
        """Move behind the parent without a lag: it was teleported."""
        self._yaw = parent.yaw
        self.follow(parent, 0.0)


class Mounts:
    """The exact poses of mounted actors, whose ``transform`` is written from here."""

    def __init__(self, actors: Mapping[int, Actor]) -> None:
        self._actors = actors
        self._mounts: dict[int, np.ndarray] = {}  # f64 (4, 4), pose in the parent, or in the world without one
        self._arms: dict[int, SpringArm] = {}  # of actors on a spring arm

    def __contains__(self, actor_id: int) -> bool:
        return actor_id in self._mounts

    def add(self, actor: Actor, transform: Transform, arm: bool) -> None:
        """Mount an actor at a pose relative to its parent, if it has one. ``arm``: on a spring arm."""
        self._mounts[actor.id] = transform.matrix()
        if arm and actor.parent:
            self._arms[actor.id] = SpringArm(transform.matrix(), self._actors[actor.parent].transform)

    def remove(self, actor_id: int) -> None:
        """Forget an actor, if it is known."""
        self._mounts.pop(actor_id, None)
        self._arms.pop(actor_id, None)

    def detach(self, actor: Actor) -> None:
        """Leave an actor where it is, without a parent."""
        pose = self.pose(actor)
        self.remove(actor.id)
        self._mounts[actor.id], actor.parent = pose, 0

    def move(self, actor: Actor, transform: Transform) -> None:
        """Move a mounted actor to a pose in the world, where it stays relative to its parent."""
        mount = transform.matrix()
        if actor.parent:
            self._arms.pop(actor.id, None)
            mount = np.linalg.inv(self._actors[actor.parent].transform.matrix()) @ mount
        self._mounts[actor.id] = mount

    def turn(self, parent: Actor) -> None:
        """Move the spring arms of a teleported parent along without a lag."""
        for child, arm in self._arms.items():
            if self._actors[child].parent == parent.id:
                arm.turn(parent.transform)

    def swing(self, delta: float) -> None:
        """Let all arms follow their parents for ``delta`` seconds."""
        for actor_id, arm in self._arms.items():
            arm.follow(self._actors[self._actors[actor_id].parent].transform, delta)

    def place(self) -> None:
        """Write the ``transform`` of all actors mounted on others."""
        for actor_id in self._mounts:
            actor = self._actors[actor_id]
            if actor.parent:
                assign(actor.transform, _transform(self.pose(actor)))

    def pose(self, actor: Actor) -> np.ndarray:
        """Return the pose of any actor, f64 (4, 4), world <- actor, exact for mounted ones."""
        if actor.id not in self._mounts:
            return actor.transform.matrix()
        if actor.id in self._arms:
            return self._arms[actor.id].pose
        mount = self._mounts[actor.id]
        return self.pose(self._actors[actor.parent]) @ mount if actor.parent else mount

    def poses(self, actors: list[Actor], matrices: np.ndarray) -> None:
        """Replace the rows of mounted actors in ``matrices`` f64 (N, 4, 4) by their exact poses."""
        for k, actor in enumerate(actors):
            if actor.id in self._mounts:
                matrices[k] = self.pose(actor)

    def sees_parent(self, camera: Actor) -> bool:
        """Return whether a camera is outside its parent, instead of at its seat, bonnet or roof."""
        (along, across, up), half = self._mounts[camera.id][:3, 3], self._actors[camera.parent].extent
        return bool(abs(along) > 1.2 * half[0] or abs(across) > 1.05 * half[1] or up > 2.0 * half[2] + _ABOVE)


def assign(target: Transform, source: Transform) -> None:
    """Copy all six values of a transform."""
    target.x, target.y, target.z = source.x, source.y, source.z
    target.pitch, target.yaw, target.roll = source.pitch, source.yaw, source.roll


def _transform(pose: np.ndarray) -> Transform:
    """Return the transform of a pose f64 (4, 4): the inverse of ``Transform.matrix``."""
    pitch = float(np.degrees(np.arctan2(pose[2, 0], np.hypot(pose[0, 0], pose[1, 0]))))
    yaw = float(np.degrees(np.arctan2(pose[1, 0], pose[0, 0])))
    roll = float(np.degrees(np.arctan2(-pose[2, 1], pose[2, 2])))
    return Transform(float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3]), pitch, yaw, roll)
