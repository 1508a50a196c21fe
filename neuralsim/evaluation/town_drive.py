"""Frames of the embedded town without processes or sockets: a camera rides along on one of its cars."""

from __future__ import annotations

import numpy as np

from bridge.messages import Camera, Frame
from bridge.town.actors import Transform
from bridge.town.world import World

_DELTA = 1.0 / 30.0  # s


class TownDrive:
    """The town with traffic, seen from a car at a time. The same arguments and calls give the same frames."""

    def __init__(
        self, width: int = 512, height: int = 256, seed: int = 0, vehicles: int = 40, walkers: int = 30
    ) -> None:
        self.width, self.height = width, height
        self._world = World(seed=seed, vehicles=vehicles, walkers=walkers)
        self._rng = np.random.default_rng(seed)
        self._camera = 0
        self._fov = 70.0
        self.skip(60)  # let the traffic roll

    def ride(self, fov: float = 70.0, x: float = 0.6, z: float = 1.45, yaw: float = 0.0) -> None:
        """Get onto a car drawn at random; ``fov``, ``yaw`` in degrees, ``x``, ``z`` in metres from its footprint."""
        if self._camera:
            self._world.destroy(self._camera)
        cars = [actor.id for actor in self._world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
        attributes = {"image_size_x": str(self.width), "image_size_y": str(self.height), "fov": str(fov)}
        chosen = cars[self._rng.integers(len(cars))]
        place = Transform(x=x, z=z, yaw=yaw)
        self._camera = self._world.spawn("sensor.camera.instance_segmentation", attributes, place, chosen).id
        self._fov = fov

    def skip(self, ticks: int) -> None:
        """Let time pass unseen."""
        for _ in range(ticks):
            self._world.tick(_DELTA)

    def next(self) -> Frame:
        """The frame after one more tick; its planes are the caller's to keep."""
        world = self._world
        world.tick(_DELTA)
        planes = world.capture(self._camera)
        pose = world.actors[self._camera].transform.matrix()
        return Frame(
            sequence=world.frame,
            sim_frame=world.frame,
            sim_time=world.time,
            camera=Camera(self.width, self.height, self._fov, pose),
            planes={
                "tag": planes.tag.copy(),
                "instance": planes.instance.copy(),
                "depth": planes.depth.copy(),
                "motion": planes.motion.astype(np.float16),
            },
        )


def warp_source(motion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest pixel of the frame before for backward ``motion`` (H, W, 2) px: rows, columns, was it inside."""
    height, width = motion.shape[:2]
    columns = np.rint(np.arange(width)[None, :] + motion[..., 0].astype(np.float32)).astype(np.int64)
    rows = np.rint(np.arange(height)[:, None] + motion[..., 1].astype(np.float32)).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return rows.clip(0, height - 1), columns.clip(0, width - 1), inside


def still_visible(before: Frame, after: Frame) -> np.ndarray:
    """bool (H, W): the surface of this pixel of ``after`` was in ``before`` too, as part of the same object."""
    rows, columns, inside = warp_source(after.planes["motion"])
    same = inside
    for name in ("tag", "instance"):
        same = same & (before.planes[name][rows, columns] == after.planes[name])
    return same
