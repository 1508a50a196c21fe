"""The generator's own classes: what the label maps of CARLA, CamVid and Cityscapes have in common.

Each source of labels maps its ids to these channels; ``card.yaml`` of a model repeats the CARLA map it was made with.
"""

from __future__ import annotations

from enum import IntEnum

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

_CAMVID = (
    Channel.SKY, Channel.BUILDING, Channel.POLE, Channel.ROAD, Channel.SIDEWALK, Channel.VEGETATION, Channel.SIGN,
    Channel.BARRIER, Channel.VEHICLE, Channel.PERSON, Channel.CYCLE, Channel.OTHER,
)  # fmt: skip

_CITYSCAPES = {
    6: Channel.SIDEWALK, 7: Channel.ROAD, 8: Channel.SIDEWALK, 9: Channel.SIDEWALK, 11: Channel.BUILDING,
    12: Channel.BARRIER, 13: Channel.BARRIER, 14: Channel.BARRIER, 15: Channel.BUILDING, 16: Channel.BUILDING,
    17: Channel.POLE, 18: Channel.POLE, 19: Channel.SIGN, 20: Channel.SIGN, 21: Channel.VEGETATION,
    22: Channel.TERRAIN, 23: Channel.SKY, 24: Channel.PERSON, 25: Channel.CYCLE, 26: Channel.VEHICLE,
    27: Channel.VEHICLE, 28: Channel.VEHICLE, 29: Channel.VEHICLE, 30: Channel.VEHICLE, 31: Channel.VEHICLE,
    32: Channel.CYCLE, 33: Channel.CYCLE,
}  # fmt: skip


def _table(mapping: dict[int, Channel], size: int = 256) -> np.ndarray:
    table = np.full(size, Channel.OTHER, np.uint8)
    for label, channel in mapping.items():
        table[label] = channel
    return table


#: u8 (256,): label id -> channel, for each source of labels.
CARLA_TO_CHANNEL = _table({int(tag): channel for tag, channel in _CARLA.items()})
CAMVID_TO_CHANNEL = _table(dict(enumerate(_CAMVID)))
CITYSCAPES_TO_CHANNEL = _table(_CITYSCAPES)

assert len(CARLA_TO_CHANNEL) >= COUNT
