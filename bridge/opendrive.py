"""What several packages know of OpenDRIVE files: where the origin of the world is in which a map lies."""

from __future__ import annotations

from collections.abc import Iterable

FAR = 10_000.0  # m from the file's origin within which float32, as CARLA has it, resolves a millimetre
GRID = 100.0  # m, to which local origins are rounded


def local_origin(places: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the origin of the world in the coordinates of a map's file, m: (0, 0) unless the map is far from it.

    ``places``: x and y of all ``<geometry>``, m, in any order.
    """
    points = list(places)
    if not points or max(max(abs(x), abs(y)) for x, y in points) < FAR:
        return 0.0, 0.0
    x, y = (GRID * round((min(axis) + max(axis)) / 2.0 / GRID) for axis in zip(*points, strict=True))
    return x, y
