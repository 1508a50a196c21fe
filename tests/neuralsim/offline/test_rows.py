"""Rows of parked cars and groups of people in label maps without instances."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.imaging.object_tracker import ObjectTracker, split_row


def row(*widths: int, height: int = 30, tag: int = Tag.CAR) -> np.ndarray:
    """Tags u8 (64, 400) of objects that touch, each with a roof narrower than its body."""
    tags = np.full((64, 400), Tag.ROAD, np.uint8)
    x = 20
    for width in widths:
        tags[60 - height // 2 : 60, x : x + width] = tag
        tags[60 - height : 60 - height // 2, x + 5 : x + width - 5] = tag
        x += width
    return tags


def test_parked_cars_are_split_where_they_meet() -> None:
    tags = row(60, 54, 64, 58)
    instance = ObjectTracker().track(tags, None)
    assert set(np.unique(instance[tags == Tag.CAR])) == {1, 2, 3, 4}
    changes = 20 + np.flatnonzero(np.diff(instance[58, 20:256].astype(int)))
    assert np.abs(changes - np.array([79, 133, 197])).max() <= 5, "at the dips between the roofs"


def test_one_car_stays_one_from_any_side() -> None:
    for width in (34, 45, 60, 85):
        assert len(split_row(row(width) == Tag.CAR, Tag.CAR)) == 1, f"{width / 30:.1f} times as wide as high"


def test_a_receding_row_has_more_cars_where_it_is_lower() -> None:
    inside = np.zeros((100, 300), bool)
    for x in range(300):
        inside[80 - round(60 - 0.17 * x) : 80, x] = True
    parts = split_row(inside, Tag.CAR)
    widths = [int(part.any(0).sum()) for part in parts]
    assert len(widths) >= 3
    assert widths == sorted(widths, reverse=True)
    assert (sum(part.astype(int) for part in parts) == inside).all(), "each pixel is of one object"


@pytest.mark.parametrize("tag", [Tag.BUS, Tag.TRUCK, Tag.TRAIN, Tag.BICYCLE])
def test_long_vehicles_are_not_split(tag: Tag) -> None:
    assert len(split_row(row(200, tag=tag) == tag, tag)) == 1


def test_people_side_by_side() -> None:
    tags = row(16, 16, 16, height=40, tag=Tag.PEDESTRIAN)
    tags[20:45, 20:68] = Tag.PEDESTRIAN
    assert len(np.unique(ObjectTracker().track(tags, None))) in (3, 4)
    assert len(split_row(row(16, height=40, tag=Tag.PEDESTRIAN) == Tag.PEDESTRIAN, Tag.PEDESTRIAN)) == 1


def test_split_cars_keep_their_numbers_while_they_move() -> None:
    objects, before = ObjectTracker(), row(60, 54, 64, 58)
    first = objects.track(before, None)
    motion = np.zeros((*before.shape, 2), np.float32)
    motion[..., 0] = -3.0
    second = objects.track(np.roll(before, 3, 1), motion)
    same = np.roll(first, 3, 1) == second
    assert same[second > 0].mean() > 0.95
