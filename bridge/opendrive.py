"""What several packages know of OpenDRIVE files: the origin of a map's world, and the numbers of its roads."""

import re
from collections.abc import Iterable, Sequence
from itertools import count

FAR = 10_000.0  # m from the file's origin within which float32, as CARLA has it, resolves a millimetre
_NUMBER = re.compile(r"0|[1-9]\d{0,8}")  # ids that CARLA can read
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


def numbers_for(ids: Sequence[str]) -> dict[str, str]:
    """Return numbers for those ids of roads or junctions that CARLA cannot read: the standard allows any text."""
    taken = {ident for ident in ids if _NUMBER.fullmatch(ident)}
    free = (str(k) for k in count() if str(k) not in taken)
    return {ident: next(free) for ident in dict.fromkeys(ids) if ident not in taken}
