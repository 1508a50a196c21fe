"""CARLA's semantic tags: the single table of classes in the project.

Numbers and names follow CARLA 0.9.14 and later (``ObjectLabel.h``), colours are CARLA's version of the Cityscapes
palette (``CityScapesPalette.h``).
"""

from __future__ import annotations

import difflib
import re
from enum import IntEnum

import numpy as np


class Tag(IntEnum):
    """A pixel's semantic tag, the value in the red channel of CARLA's semantic and instance cameras.

    Each member has its number, ``colour`` (R, G, B; 0 .. 255), and ``moves``: whether such objects move by themselves.
    """

    colour: tuple[int, int, int]
    moves: bool

    def __new__(cls, value: int, colour: tuple[int, int, int] = (0, 0, 0), moves: bool = False) -> Tag:
        """Create a member that equals the int ``value``."""
        tag = int.__new__(cls, value)
        tag._value_, tag.colour, tag.moves = value, colour, moves
        return tag

    UNLABELED = 0, (0, 0, 0)
    ROAD = 1, (128, 64, 128)
    SIDEWALK = 2, (244, 35, 232)
    BUILDING = 3, (70, 70, 70)
    WALL = 4, (102, 102, 156)
    FENCE = 5, (190, 153, 153)
    POLE = 6, (153, 153, 153)
    TRAFFIC_LIGHT = 7, (250, 170, 30)
    TRAFFIC_SIGN = 8, (220, 220, 0)
    VEGETATION = 9, (107, 142, 35)
    TERRAIN = 10, (152, 251, 152)
    SKY = 11, (70, 130, 180)
    PEDESTRIAN = 12, (220, 20, 60), True
    RIDER = 13, (255, 0, 0), True
    CAR = 14, (0, 0, 142), True
    TRUCK = 15, (0, 0, 70), True
    BUS = 16, (0, 60, 100), True
    TRAIN = 17, (0, 80, 100), True
    MOTORCYCLE = 18, (0, 0, 230), True
    BICYCLE = 19, (119, 11, 32), True
    STATIC = 20, (110, 190, 160)
    DYNAMIC = 21, (170, 120, 50)
    OTHER = 22, (55, 90, 80)
    WATER = 23, (45, 60, 150)
    ROAD_LINE = 24, (157, 234, 50)
    GROUND = 25, (81, 0, 81)
    BRIDGE = 26, (150, 100, 100)
    RAIL_TRACK = 27, (230, 150, 140)
    GUARD_RAIL = 28, (180, 165, 180)


COUNT = len(Tag)

#: u8 (COUNT, 3), RGB: index it with a tag plane to visualise that plane.
COLOURS = np.array([tag.colour for tag in Tag], np.uint8)

#: Tags of objects that move by themselves; everything else is scenery.
MOVERS = tuple(tag for tag in Tag if tag.moves)


def tag_by_name(text: str) -> Tag:
    """Return the tag with this name, as here or in ``carla.CityObjectLabel``, singular or plural, in any case.

    Examples: ``buildings``, ``TrafficLight``, ``road-lines``. Raises ``ValueError`` with a one-line message.
    """
    key = re.sub(r"[\s_-]", "", text).lower()
    if key not in _TAGS_BY_NAME:
        close = difflib.get_close_matches(key, _TAGS_BY_NAME, 1, cutoff=0.75)
        meant = f"did you mean {_TAGS_BY_NAME[close[0]].name.lower()}?" if close else ""
        advice = meant or f"choose {', '.join(tag.name.lower() for tag in Tag)}"
        raise ValueError(f"unknown tag {text!r}: {advice}")
    return _TAGS_BY_NAME[key]


_TAGS_BY_NAME = {tag.name.replace("_", "").lower() + ending: tag for tag in Tag for ending in ("", "s", "es")}
