"""Which values the instance plane has where it shows a box: a server's need not be its actors' ids."""

import numpy as np
from numba import njit

from bridge.messages import Camera
from bridge.tags import MOVERS, Tag

_GRID = np.linspace(0.1, 0.9, 6)  # sample positions in an object's bounding box in the image
_VEHICLES = tuple(tag for tag in MOVERS if tag != Tag.PEDESTRIAN)  # and their riders
_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]).T


def boxes_on_screen(poses: np.ndarray, halves: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return the image bounds of oriented boxes, f64 (N, 4), and the depths of their centres, f64 (N), m.

    Bounds are left, top, right, bottom in pixels. They are empty for a box that is out of view, and the whole image for
    one that extends behind the camera.
    """
    local = np.linalg.inv(camera.pose) @ poses
    corners = local[:, :3, :3] @ (_CORNERS * halves[:, :, None]) + local[:, :3, 3:]
    x = corners[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = camera.width / 2 + camera.focal * corners[:, 1] / x
        v = camera.height / 2 - camera.focal * corners[:, 2] / x
    boxes = np.stack([u.min(1), v.min(1), u.max(1), v.max(1)], 1)
    boxes[x.min(1) < 0.2] = 0.0, 0.0, camera.width, camera.height
    boxes[x.max(1) < 0.2] = 0.0
    return np.clip(boxes, 0.0, (camera.width, camera.height, camera.width, camera.height)), local[:, 0, 3]


@njit(cache=True, nogil=True)
def mark_values(tag: np.ndarray, instance: np.ndarray, counts: np.ndarray, present: np.ndarray) -> None:
    """Set ``present`` bool (65536,) where a pixel of ``instance`` u16 (N,) has that value and a ``tag`` u8 (N,) that
    ``counts`` bool (256,)."""
    last = np.uint32(1 << 16)  # no value
    for k in range(tag.size):
        value = np.uint32(instance[k])
        if value != last and counts[tag[k]]:
            present[value] = True
            last = value


def values_inside(
    boxes: np.ndarray,
    poses: np.ndarray,
    halves: np.ndarray,
    camera: Camera,
    planes: dict[str, np.ndarray],
    walking: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return, for each of N boxes, the instance values at those grid points whose surface is inside the object.

    With ``walking`` bool (N,), whether it is a pedestrian, and with tags, what is neither a pedestrian nor a vehicle
    like the object itself is left out: a bench or a parked car beside a pedestrian can be inside that one's box.
    """
    size = boxes[:, 2:] - boxes[:, :2]
    j = np.repeat(boxes[:, :1] + _GRID * size[:, :1], len(_GRID), 0).reshape(-1, len(_GRID) ** 2).astype(int)
    i = np.repeat(boxes[:, 1:2] + _GRID * size[:, 1:], len(_GRID), 1).astype(int)
    depth = planes["depth"][i, j].astype(float)
    right, up = (j + 0.5 - camera.width / 2) / camera.focal, (camera.height / 2 - i - 0.5) / camera.focal
    points = np.stack([depth, depth * right, depth * up, np.ones_like(depth)], 1)
    local = (np.linalg.inv(poses) @ camera.pose @ points)[:, :3]
    inside = (np.abs(local) <= 1.1 * halves[:, :, None] + 0.1).all(1)
    inside &= local[:, 2] > 0.05 - halves[:, 2:]  # not the road beneath
    values = planes["instance"][i, j]
    if walking is not None and "tag" in planes:
        tags = planes["tag"][i, j]
        values = np.where(np.where(walking[:, None], tags == Tag.PEDESTRIAN, np.isin(tags, _VEHICLES)), values, 0)
    return [row[mask & (row > 0)] for row, mask in zip(values, inside, strict=True)]
