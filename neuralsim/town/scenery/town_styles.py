"""Visual styles of towns: frontages, gardens and surroundings."""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.process.presets import PLAIN

Range = tuple[float, float]


class StreetStyle(NamedTuple):
    """The development along a piece of street; ranges of lengths in metres, and of the number of storeys."""

    setback: Range
    storeys: tuple[int, int]
    house_width: Range
    gap: Range  # between houses
    open_share: float  # of the plots


STREET_STYLES = {
    "terrace": StreetStyle((0.0, 0.4), (2, 3), (5.0, 8.0), (0.0, 0.0), 0.05),
    "gardens": StreetStyle((2.2, 4.5), (2, 3), (7.5, 12.0), (1.5, 5.0), 0.12),
    "urban": StreetStyle((0.0, 0.8), (3, 5), (9.0, 17.0), (0.0, 0.0), 0.06),
    "mixed": StreetStyle((0.0, 2.5), (1, 4), (6.0, 13.0), (0.0, 3.5), 0.2),
    "green": StreetStyle((1.5, 4.0), (1, 3), (8.0, 14.0), (3.0, 9.0), 0.5),
    "detached": StreetStyle((4.0, 8.0), (1, 2), (9.0, 13.0), (4.0, 8.0), 0.05),
    "pairs": StreetStyle((3.0, 5.5), (2, 2), (12.0, 15.0), (3.5, 6.0), 0.04),
    "farms": StreetStyle((0.5, 6.0), (1, 2), (9.0, 16.0), (4.0, 14.0), 0.3),
}


@dataclass(frozen=True)
class TownStyle:
    """The scenery of one town: ``street_styles`` are the shares of the ``STREET_STYLES`` along town streets."""

    street_styles: dict[str, float]
    has_church: bool = True
    has_belt: bool = (
        False  # woods close the horizon right behind the last houses, instead of woods and hills all around
    )
    hills: float = 16.0  # m, height of the hills on a map that is not flat
    driveway_share: float = 0.0  # share of the gaps between houses that are driveways
    is_bare: bool = False  # only objects that the file names
    has_parked_cars: bool = True  # in parking lanes


_OLD_TOWN = {"terrace": 0.24, "gardens": 0.24, "urban": 0.22, "mixed": 0.12, "green": 0.18}

DEFAULT_STYLE = TownStyle(_OLD_TOWN, driveway_share=0.2)  # of any other map
CARLA_STYLE = replace(DEFAULT_STYLE, has_parked_cars=False)  # programs for these maps place their own cars there
TOWN_STYLES = {
    "oldtown": TownStyle(_OLD_TOWN, has_belt=True),
    "hamlet": TownStyle(_OLD_TOWN, has_belt=True),
    "suburb": TownStyle(
        {"detached": 0.62, "pairs": 0.2, "gardens": 0.1, "green": 0.08},
        has_church=False,
        hills=14.0,
        driveway_share=0.85,
    ),
    "village": TownStyle(
        {"terrace": 0.18, "gardens": 0.3, "mixed": 0.2, "farms": 0.32}, hills=46.0, driveway_share=0.35
    ),
    "motorway": TownStyle({"farms": 1.0}, has_church=False, hills=26.0),
    PLAIN: TownStyle({"farms": 1.0}, has_church=False, is_bare=True),
    "borough": CARLA_STYLE,
    "crossways": CARLA_STYLE,
    "squares": CARLA_STYLE,
}


def style_of(town: str) -> TownStyle:
    """Return the style of a town by its name."""
    return TOWN_STYLES.get(town, CARLA_STYLE if is_carlas(town) else DEFAULT_STYLE)


def is_carlas(name: str) -> bool:
    """Return whether one of CARLA's own maps has this name."""
    return re.match(r"Town\d\d", name) is not None
