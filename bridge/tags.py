"""CARLA's semantic tags: the single table of classes in the project.

Numbers and names follow CARLA 0.9.14 and later (``ObjectLabel.h``), colours are CityScapes' palette as CARLA paints it
(``CityScapesPalette.h``).
"""

from __future__ import annotations

import re
from enum import IntEnum

import numpy as np


class Tag(IntEnum):
    """Semantic tag of a pixel, as the red channel of CARLA's semantic and instance cameras carries it."""

    UNLABELED = 0
    ROAD = 1
    SIDEWALK = 2
    BUILDING = 3
    WALL = 4
    FENCE = 5
    POLE = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGN = 8
    VEGETATION = 9
    TERRAIN = 10
    SKY = 11
    PEDESTRIAN = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    TRAIN = 17
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    DYNAMIC = 21
    OTHER = 22
    WATER = 23
    ROAD_LINE = 24
    GROUND = 25
    BRIDGE = 26
    RAIL_TRACK = 27
    GUARD_RAIL = 28


COUNT = len(Tag)

#: u8 (COUNT, 3), RGB: index it with a tag plane to see the tag plane.
COLOURS = np.array(
    [
        (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32), (110, 190, 160),
        (170, 120, 50), (55, 90, 80), (45, 60, 150), (157, 234, 50), (81, 0, 81), (150, 100, 100), (230, 150, 140),
        (180, 165, 180),
    ],
    dtype=np.uint8,
)  # fmt: skip

#: Tags of objects that move by themselves; everything else is scenery.
MOVERS = (Tag.PEDESTRIAN, Tag.RIDER, Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.TRAIN, Tag.MOTORCYCLE, Tag.BICYCLE)


def named(text: str) -> Tag:
    """The tag with this name: as here or in ``carla.CityObjectLabel``, singular or plural, in any case.

    Examples: ``buildings``, ``TrafficLight``, ``road-lines``. Raises ``ValueError``, one line.
    """
    key = re.sub(r"[\s_-]", "", text).lower()
    if key not in _NAMED:
        raise ValueError(f"unknown tag {text!r}: choose {', '.join(tag.name.lower() for tag in Tag)}")
    return _NAMED[key]


_NAMED = {tag.name.replace("_", "").lower() + more: tag for tag in Tag for more in ("", "s", "es")}
