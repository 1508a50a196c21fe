"""The count of detected people: every box and every person counts once, and small people do not count."""

from __future__ import annotations

import numpy as np
import pytest

from research.detections import Tally, overlap
from research.pedestrians import people_of

PERSON = np.array([10.0, 10.0, 30.0, 70.0])
RIGHT = np.array([1.0, 0.0, 1.0, 0.0])


def test_overlap_is_shared_area_over_all():
    boxes = np.array([PERSON, PERSON + 20 * RIGHT, PERSON + 10 * RIGHT])
    assert overlap(PERSON, boxes) == pytest.approx([1.0, 0.0, 1.0 / 3.0])


def test_each_person_is_detected_once_and_small_ones_count_for_nothing():
    people, small = np.array([PERSON, PERSON + 100.0]), np.array([[200.0, 10.0, 210.0, 40.0]])
    boxes = np.array([PERSON, PERSON + 1.0, small[0], PERSON + 60 * RIGHT])
    tally = Tally()
    tally.add(boxes, np.array([0.9, 0.8, 0.7, 0.95]), people, small)
    assert tally.objects == 2
    assert list(zip(tally.scores, tally.is_right, strict=True)) == [(0.95, False), (0.9, True), (0.8, False)]
    assert tally.recall == 0.5
    assert tally.average_precision == pytest.approx(0.25), "half of the people, at a precision of one half"
    tally.add(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 4)))
    assert tally.objects == 2


def test_people_are_boxed_by_their_instances():
    instance = np.zeros((40, 60), np.uint16)
    instance[5:25, 10:18], instance[10:30, 40:44], instance[0:3, 0:3] = 7, 9, 4
    assert people_of(instance, instance > 4).tolist() == [[10, 5, 18, 25], [40, 10, 44, 30]]
    assert people_of(instance, instance > 9).shape == (0, 4)
