"""Visual styles of towns: frontages, gardens and surroundings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bridge.process.presets import PLAIN

Range = tuple[float, float]

#: Characters of a piece of street: set-back, storeys, width of a house, gap between houses (m), share of open plots.
STYLES: dict[str, tuple[Range, tuple[int, int], Range, Range, float]] = {
    "terrace": ((0.0, 0.4), (2, 3), (5.0, 8.0), (0.0, 0.0), 0.05),
    "gardens": ((2.2, 4.5), (2, 3), (7.5, 12.0), (1.5, 5.0), 0.12),
    "urban": ((0.0, 0.8), (3, 5), (9.0, 17.0), (0.0, 0.0), 0.06),
    "mixed": ((0.0, 2.5), (1, 4), (6.0, 13.0), (0.0, 3.5), 0.2),
    "green": ((1.5, 4.0), (1, 3), (8.0, 14.0), (3.0, 9.0), 0.5),
    "detached": ((4.0, 8.0), (1, 2), (9.0, 13.0), (4.0, 8.0), 0.05),
    "pairs": ((3.0, 5.5), (2, 2), (12.0, 15.0), (3.5, 6.0), 0.04),
    "farms": ((0.5, 6.0), (1, 2), (9.0, 16.0), (4.0, 14.0), 0.3),
}


@dataclass(frozen=True)
class Look:
    """The look of one town.

    ``styles``: shares of the ``STYLES`` along town streets; ``church``: whether there is one; ``belt``: woods close the
    horizon right behind the last houses, otherwise woods and hills lie all around; ``hills``: their height where the
    map is not flat, metres; ``driveways``: share of the gaps between houses that are driveways; ``bare``: nothing
    stands there but what a file names; ``parked``: cars stand in parking lanes.
    """

    styles: dict[str, float]
    church: bool = True
    belt: bool = False
    hills: float = 16.0
    driveways: float = 0.0
    bare: bool = False
    parked: bool = True


_OLD = {"terrace": 0.24, "gardens": 0.24, "urban": 0.22, "mixed": 0.12, "green": 0.18}

OTHERS = Look(_OLD, driveways=0.2)  # of a map that is not ours
CARLAS = replace(OTHERS, parked=False)  # programs written for these maps put their own cars there
LOOKS = {
    "oldtown": Look(_OLD, belt=True),
    "hamlet": Look(_OLD, belt=True),
    "suburb": Look(
        {"detached": 0.62, "pairs": 0.2, "gardens": 0.1, "green": 0.08}, church=False, hills=14.0, driveways=0.85
    ),
    "village": Look({"terrace": 0.18, "gardens": 0.3, "mixed": 0.2, "farms": 0.32}, hills=46.0, driveways=0.35),
    "motorway": Look({"farms": 1.0}, church=False, hills=26.0),
    PLAIN: Look({"farms": 1.0}, church=False, bare=True),
    "crossways": CARLAS,
    "squares": CARLAS,
}


def look_of(town: str) -> Look:
    """The look of a town by its name."""
    return LOOKS.get(town, CARLAS if re.match(r"Town\d\d", town) else OTHERS)
