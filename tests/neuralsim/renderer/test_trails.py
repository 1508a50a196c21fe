"""In a view that stands still, nothing is left of the outlines of what moved through it."""

from __future__ import annotations

import numpy as np

from bridge.messages import HIDDEN_MOTION
from bridge.tags import Tag
from neuralsim.renderer.trails import Trails

HEIGHT, WIDTH = 128, 256


def walker(left: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Return motion and tags of a street in which somebody, 20 px wide, walks to the right."""
    motion, tag = np.zeros((HEIGHT, WIDTH, 2), np.float16), np.full((HEIGHT, WIDTH), Tag.ROAD, np.uint8)
    tag[40:100, left : left + 20] = Tag.PEDESTRIAN
    motion[40:100, left : left + 20, 0] = -speed
    return motion, tag


def hidden(motion: np.ndarray) -> np.ndarray:
    return np.unique(np.nonzero(motion[..., 0] == HIDDEN_MOTION)[1])


def test_what_an_outline_has_left_is_generated_anew() -> None:
    trails = Trails()
    assert not len(hidden(trails.hide(*walker(100, 4.0)))), "nothing is known of the frame before"
    columns = hidden(trails.hide(*walker(104, 4.0)))
    assert len(columns) == 4, "as many as the outline has moved on by"
    assert columns.max() < 104
    assert columns.min() > 90


def test_nothing_changes_beside_what_stands() -> None:
    trails = Trails()
    for _ in range(3):
        motion, tag = walker(100, 0.0)
        assert trails.hide(motion, tag) is motion


def test_what_stops_keeps_its_past_and_what_is_beside_it() -> None:
    trails = Trails()
    trails.hide(*walker(100, 4.0))
    for speed in (0.0, 0.0, 0.28, 0.32, 0.28):
        assert not len(hidden(trails.hide(*walker(100, speed))))
    assert len(hidden(trails.hide(*walker(104, 4.0)))) == 4


def test_something_large_that_passes_leaves_nothing_either() -> None:
    trails = Trails()
    for left, count in ((60, 0), (64, 4)):
        motion, tag = walker(left, 4.0)
        motion[20:120, left : left + 100, 0], tag[20:120, left : left + 100] = -4.0, Tag.BUS
        assert len(hidden(trails.hide(motion, tag))) == count


def test_nothing_is_hidden_while_the_view_moves() -> None:
    trails = Trails()
    for left in (100, 104):
        motion, tag = walker(left, 4.0)
        motion[tag == Tag.ROAD] = 0.5
        assert trails.hide(motion, tag) is motion


def test_it_forgets_and_does_not_write_to_the_frame() -> None:
    trails = Trails()
    motion, tag = walker(104, 4.0)
    motion.flags.writeable = False
    trails.hide(*walker(100, 4.0))
    before = motion.copy()
    assert len(hidden(trails.hide(motion, tag)))
    assert np.array_equal(motion, before)
    trails.reset()
    assert not len(hidden(trails.hide(*walker(108, 4.0))))
    assert not len(hidden(trails.hide(motion[:64, :64], tag[:64, :64]))), "another size"
