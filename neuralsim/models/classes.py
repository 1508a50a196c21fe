"""The generator's classes: those that the label maps of CARLA, CamVid and Cityscapes have in common.

CARLA's tags map to these channels; ``card.yaml`` of a model repeats the map it was made with.
"""

from enum import IntEnum
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from bridge.tags import COUNT, Tag


class Channel(IntEnum):
    """One channel of the one-hot label map."""

    OTHER = 0
    ROAD = 1
    SIDEWALK = 2
    BUILDING = 3
    BARRIER = 4  # walls, fences, guard rails
    POLE = 5
    SIGN = 6  # traffic signs and lights
    VEGETATION = 7
    TERRAIN = 8
    SKY = 9
    PERSON = 10
    CYCLE = 11  # bicycles, motorcycles and their riders
    VEHICLE = 12
    ROAD_LINE = 13


CHANNELS = len(Channel)

_CARLA = {
    Tag.ROAD: Channel.ROAD,
    Tag.SIDEWALK: Channel.SIDEWALK,
    Tag.BUILDING: Channel.BUILDING,
    Tag.WALL: Channel.BARRIER,
    Tag.FENCE: Channel.BARRIER,
    Tag.POLE: Channel.POLE,
    Tag.TRAFFIC_LIGHT: Channel.SIGN,
    Tag.TRAFFIC_SIGN: Channel.SIGN,
    Tag.VEGETATION: Channel.VEGETATION,
    Tag.TERRAIN: Channel.TERRAIN,
    Tag.SKY: Channel.SKY,
    Tag.PEDESTRIAN: Channel.PERSON,
    Tag.RIDER: Channel.CYCLE,
    Tag.CAR: Channel.VEHICLE,
    Tag.TRUCK: Channel.VEHICLE,
    Tag.BUS: Channel.VEHICLE,
    Tag.TRAIN: Channel.VEHICLE,
    Tag.MOTORCYCLE: Channel.CYCLE,
    Tag.BICYCLE: Channel.CYCLE,
    Tag.ROAD_LINE: Channel.ROAD_LINE,
    Tag.GROUND: Channel.SIDEWALK,
    Tag.BRIDGE: Channel.BUILDING,
    Tag.GUARD_RAIL: Channel.BARRIER,
}


#: Classes of objects that move (``bridge.tags.MOVERS``), in the order of the palette's rows.
MOVERS = (Channel.VEHICLE, Channel.PERSON, Channel.CYCLE)


def is_mover(label: Any) -> Any:
    """Return where movers are: bool, an array or tensor like the channels ``label``."""
    return reduce(or_, (label == channel for channel in MOVERS))


def _table(mapping: dict[int, Channel], size: int = 256) -> np.ndarray:
    table = np.full(size, Channel.OTHER, np.uint8)
    for label, channel in mapping.items():
        table[label] = channel
    return table


#: u8 (256,): tag -> channel. Labels of data sets are mapped to tags first (``neuralsim/classmaps``).
CARLA_TO_CHANNEL = _table({int(tag): channel for tag, channel in _CARLA.items()})

assert len(CARLA_TO_CHANNEL) >= COUNT
