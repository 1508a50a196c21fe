"""What moves while the shutter is open is smeared along its motion, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.frames import street

from bridge.messages import HIDDEN_MOTION
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.postprocessing.motion_blur import blur_by_motion

HEIGHT, WIDTH = 128, 256  # tiles of 4 px: at most 8 px are smeared
TICK = 1.0 / 30.0  # s, for which the shutter is open by night
DAY, NIGHT = 0.0, 1.0


def blurred(
    image: np.ndarray, motion: np.ndarray | tuple[float, float], depth: np.ndarray | float = 10.0,
    elapsed: float = TICK, dark: float = NIGHT,
) -> np.ndarray:  # fmt: skip
    """Return a smeared copy; motion and depth may be the same everywhere."""
    out = image.copy()
    plane = np.broadcast_to(np.asarray(motion, np.float16), (HEIGHT, WIDTH, 2))
    blur_by_motion(out, plane.copy(), np.broadcast_to(np.float32(depth), (HEIGHT, WIDTH)).copy(), elapsed, dark)
    return out


def post(left: int, right: int) -> np.ndarray:
    """Return a white post, of these columns, before something black."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, left:right] = 240
    return image


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def test_a_line_becomes_as_wide_as_it_moves() -> None:
    row = blurred(post(100, 102), (6.0, 0.0))[64, :, 0].astype(int)
    assert not row[:95].any()
    assert not row[107:].any()
    assert (row > 0).sum() == pytest.approx(8, abs=2)
    assert row.sum() == pytest.approx(2 * 240, rel=0.1), "its light is spread, not lost"
    assert np.array_equal(blurred(post(100, 102), (0.0, 6.0))[8:-8], post(100, 102)[8:-8]), "along it, nothing changes"


@pytest.mark.parametrize(("dx", "dy", "along"), [(4.0, 4.0, 1), (-4.0, -4.0, 1), (4.0, -4.0, -1), (-4.0, 4.0, -1)])
def test_it_is_smeared_in_the_direction_of_its_motion(dx: float, dy: float, along: int) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[64, 128] = 255
    rows, columns = np.nonzero(blurred(image, (dx, dy))[..., 0])
    assert len(rows) >= 2
    assert np.array_equal(rows - 64, along * (columns - 128))


def test_by_day_the_shutter_is_open_for_less() -> None:
    left = [blurred(noise(), (20.0, 0.0), elapsed=2.0 * TICK, dark=dark).std() for dark in (DAY, 0.5, NIGHT)]
    assert left[0] > left[1] > left[2], "of the contrast"
    assert np.array_equal(blurred(noise(), (7.0, 0.0), dark=DAY), noise()), "too little to be seen"


def test_frames_in_quick_succession_are_smeared_as_far() -> None:
    """The same speed: half the way in half the time."""
    whole, half = blurred(noise(), (4.0, 0.0), elapsed=2.0 * TICK), blurred(noise(), (2.0, 0.0), elapsed=TICK)
    assert np.array_equal(whole, half)


@pytest.mark.parametrize("elapsed", [0.0, -1.0, 5.0, np.nan, np.inf])
def test_without_a_frame_just_before_nothing_is_smeared(elapsed: float) -> None:
    assert np.array_equal(blurred(noise(), (7.0, 0.0), elapsed=elapsed), noise())


def test_what_stands_still_in_front_of_what_moves_stays_sharp() -> None:
    motion, depth = np.zeros((HEIGHT, WIDTH, 2)), np.full((HEIGHT, WIDTH), 20.0)
    motion[..., 0] = 6.0
    motion[:, 100:120] = 0.0
    depth[:, 100:120] = 5.0
    image = post(100, 120)
    assert np.array_equal(blurred(image, motion, depth), image)


def test_what_moves_in_front_covers_what_stands_still_and_shows_it() -> None:
    motion, depth = np.zeros((HEIGHT, WIDTH, 2)), np.full((HEIGHT, WIDTH), 20.0)
    motion[:, 100:120, 0] = 6.0
    depth[:, 100:120] = 5.0
    row = blurred(post(100, 120), motion, depth)[64, :, 0].astype(int)
    assert 0 < row[98] < row[99] < 240, "over what is behind"
    assert 0 < row[100] < 240, "and through its own edge"
    assert row[110] == 240
    assert not row[:96].any()


@pytest.mark.parametrize("unknown", [HIDDEN_MOTION, np.nan, np.inf])
def test_a_motion_that_is_not_known_is_none(unknown: float) -> None:
    assert np.array_equal(blurred(noise(), (unknown, 0.0)), noise())


@pytest.mark.parametrize("depth", [np.nan, np.inf, -1.0, 0.0])
def test_any_depth_is_harmless(depth: float) -> None:
    assert blurred(noise(), (7.0, 3.0), depth).shape == (HEIGHT, WIDTH, 3)


def test_the_renderer_knows_how_long_ago_the_last_frame_was() -> None:
    renderer = NeuralRenderer(threads=1)
    first, second = street(1), street(2)
    assert second.sim_time > first.sim_time
    renderer.render(first)
    assert renderer.encode(first).elapsed == np.inf
    for _ in range(2):  # however often it is encoded
        assert renderer.encode(second).elapsed == pytest.approx(second.sim_time - first.sim_time)
    renderer.reset()
    assert renderer.encode(second).elapsed == np.inf
