"""Which instance a box shows."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.instance_values import boxes_on_screen, values_inside
from bridge.messages import Camera
from bridge.tags import Tag


@pytest.mark.parametrize("neighbour", [Tag.STATIC, Tag.CAR])
def test_what_stands_beside_a_pedestrian_is_not_taken_for_that_one(neighbour: Tag) -> None:
    camera = Camera(64, 32, 90.0, np.eye(4))
    pose = np.eye(4)
    pose[0, 3] = 5.0
    halves = np.array([[0.6, 0.6, 0.9]])
    planes = {
        "depth": np.full((32, 64), 5.0, np.float32),
        "tag": np.full((32, 64), int(neighbour), np.uint8),
        "instance": np.full((32, 64), 700, np.uint16),
    }
    planes["tag"][:, 32:34], planes["instance"][:, 32:34] = int(Tag.PEDESTRIAN), 9
    boxes, _ = boxes_on_screen(pose[None], halves, camera)
    walking = np.array([True])
    (values,) = values_inside(boxes, pose[None], halves, camera, planes, walking)
    assert set(values.tolist()) == {9}
    (values,) = values_inside(boxes, pose[None], halves, camera, planes, ~walking)
    assert set(values.tolist()) == ({700} if neighbour == Tag.CAR else set())
    del planes["tag"]
    (values,) = values_inside(boxes, pose[None], halves, camera, planes, walking)
    assert np.median(values) == 700, "without tags, whatever is inside counts"
