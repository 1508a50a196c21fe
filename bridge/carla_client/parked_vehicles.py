"""Parked vehicles: objects of the level rather than actors, with their boxes and their values in the instance plane."""

import numpy as np

from bridge.carla_client.camera_rig import matrices
from bridge.carla_library import carla
from bridge.instance_values import mark_values
from bridge.messages import Camera, MovingObject
from bridge.tags import Tag

_LABELS = {
    carla.CityObjectLabel.Car: Tag.CAR,
    carla.CityObjectLabel.Truck: Tag.TRUCK,
    carla.CityObjectLabel.Bus: Tag.BUS,
    carla.CityObjectLabel.Motorcycle: Tag.MOTORCYCLE,
    carla.CityObjectLabel.Bicycle: Tag.BICYCLE,
}
_VEHICLE = np.zeros(256, bool)  # by tag
_VEHICLE[list(_LABELS.values())] = True
_SAMPLES = 32  # pixels of a vehicle seen for the first time whose surface points are compared with the boxes
_MARGIN = 0.1  # m around a box


class ParkedVehicles:
    """The vehicles that a level consists of: none where the server lists no such objects."""

    def __init__(self, world: carla.World) -> None:
        found = [(tag, each) for label, tag in _LABELS.items() for each in _listed(world, label)]
        boxes = [each.bounding_box for _, each in found]  # in the world
        self._tags = [int(tag) for tag, _ in found]
        self._poses = matrices([carla.Transform(box.location, box.rotation) for box in boxes])
        self._halves = np.array([(box.extent.x, box.extent.y, box.extent.z) for box in boxes]).reshape(-1, 3)
        self._to_boxes = np.linalg.inv(self._poses)
        self._rows: dict[int, int] = {}  # by instance value

    def visible(self, camera: Camera, planes: dict[str, np.ndarray], movers: set[int]) -> list[MovingObject]:
        """Return the parked vehicles of which a pixel is visible, nearest first.

        A server's instance values need not be its objects' ids, so they are learnt: a value belongs to the box in which
        most of its surface points lie.

        Args:
            camera: Of the planes.
            planes: ``tag``, ``instance`` and ``depth``; where one of them is missing, nothing is visible.
            movers: The instance values of actors.
        """
        if not self._tags or not {"tag", "instance", "depth"} <= planes.keys():
            return []
        tag, instance = planes["tag"].reshape(-1), planes["instance"].reshape(-1)
        tag.flags.writeable = instance.flags.writeable = False  # as in shared memory: else it would be compiled twice
        found = np.zeros(1 << 16, bool)
        mark_values(tag, instance, _VEHICLE, found)
        present = set(np.flatnonzero(found).tolist()) - movers - {0}
        for value in present - self._rows.keys():
            pixels = np.flatnonzero((instance == value) & _VEHICLE[tag])
            row = self._at(pixels, camera, planes["depth"])
            if row >= 0:
                self._rows[value] = row
        seen = [(value, self._rows[value]) for value in present & self._rows.keys()]
        forward = camera.pose[:3, 0]
        seen.sort(key=lambda each: (float(forward @ self._poses[each[1], :3, 3]), each))
        return [
            MovingObject(value, self._tags[row], self._poses[row], (x, y, z), parked=True)
            for value, row in seen
            for x, y, z in [self._halves[row].tolist()]
        ]

    def _at(self, pixels: np.ndarray, camera: Camera, depth: np.ndarray) -> int:
        """Return the row of the vehicle that flat indices of pixels show, -1 for none."""
        pixels = pixels[:: max(len(pixels) // _SAMPLES, 1)]
        i, j = np.divmod(pixels, camera.width)
        away = depth.reshape(-1)[pixels].astype(float)
        right, up = (j + 0.5 - camera.width / 2) / camera.focal, (camera.height / 2 - i - 0.5) / camera.focal
        points = camera.pose @ np.stack([away, away * right, away * up, np.ones_like(away)])
        near = np.linalg.norm(self._poses[:, :3, 3] - np.median(points[:3], 1), axis=1)
        rows = np.flatnonzero(near < np.linalg.norm(self._halves, axis=1) + _MARGIN)
        if not len(rows):
            return -1
        inside = np.abs((self._to_boxes[rows] @ points)[:, :3]) <= self._halves[rows, :, None] + _MARGIN
        shares = inside.all(1).mean(1)
        return int(rows[shares.argmax()]) if shares.max() > 0.5 else -1


def _listed(world: carla.World, label: carla.CityObjectLabel) -> list[carla.EnvironmentObject]:
    try:
        return list(world.get_environment_objects(label))
    except RuntimeError:  # a server without such a list
        return []
