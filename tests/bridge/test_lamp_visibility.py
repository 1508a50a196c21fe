"""Lit lamps of vehicles, traffic lights and streets are in the image where the simulator says that they are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bridge.lamp_visibility import (
    LAMP_RANGE,
    MAX_LAMPS,
    Bulb,
    street_bulbs,
    traffic_bulb,
    vehicle_bulbs,
    visible_lamps,
)
from bridge.messages import Camera, Lamp, Lights
from bridge.tags import Tag

W, H, EXTENT = 512, 256, (2.3, 0.9, 0.75)
CAMERA = Camera(W, H, 70.0, np.eye(4))


def seen(lights: int, time: float = 0.0, turned: bool = False, depth: float = 20.0, tag: Tag = Tag.CAR) -> list[Lamp]:
    """The lamps in view of a car whose nearer end is 20 m ahead, before which everything is at ``depth``."""
    pose = np.diag([-1.0, -1.0, 1.0, 1.0]) if turned else np.eye(4)
    pose[0, 3] = 20.0 + EXTENT[0]
    planes = {"tag": np.full((H, W), tag, np.uint8), "depth": np.full((H, W), depth, np.float32)}
    return visible_lamps(vehicle_bulbs(pose, EXTENT, Tag.CAR, lights, time), CAMERA, planes)


@pytest.mark.parametrize(
    ("lights", "behind", "before"),
    [
        (0, {}, {}),
        (Lights.BRAKE, {"brake": 2}, {}),
        (Lights.POSITION, {"tail": 2}, {}),
        (Lights.POSITION | Lights.LOW_BEAM, {"tail": 2}, {"head": 2}),
        (Lights.POSITION | Lights.LOW_BEAM | Lights.BRAKE, {"brake": 2}, {"head": 2}),
        (Lights.REVERSE, {"reverse": 2}, {}),
        (Lights.LEFT_BLINKER, {"indicator": 1}, {"indicator": 1}),
        (Lights.LEFT_BLINKER | Lights.RIGHT_BLINKER, {"indicator": 2}, {"indicator": 2}),
    ],
)
def test_a_vehicle_shows_the_lamps_of_its_light_state_on_the_side_where_it_has_them(
    lights: int, behind: dict[str, int], before: dict[str, int]
) -> None:
    assert Counter(lamp.kind for lamp in seen(lights)) == behind
    assert Counter(lamp.kind for lamp in seen(lights, turned=True)) == before


def test_left_is_left_and_indicators_flash() -> None:
    (left,), (right,) = seen(Lights.LEFT_BLINKER), seen(Lights.RIGHT_BLINKER)
    assert left.box[2] < W / 2 < right.box[0]
    (front,) = seen(Lights.LEFT_BLINKER, turned=True)
    assert front.box[0] > W / 2, "an oncoming car's left is on the right"
    on = [bool(seen(Lights.LEFT_BLINKER, time)) for time in np.arange(0.0, 10.0, 1 / 30)]
    assert 0.4 < np.mean(on) < 0.7
    assert 2 * 10 <= np.count_nonzero(np.diff(on)) <= 4 * 10, "UN R48: 60 to 120 times a minute"


def test_high_beams_are_told_from_low_beams() -> None:
    assert {lamp.state for lamp in seen(Lights.LOW_BEAM, turned=True)} == {"on"}
    assert {lamp.state for lamp in seen(Lights.LOW_BEAM | Lights.HIGH_BEAM, turned=True)} == {"high"}


def test_what_stands_in_front_of_a_lamp_hides_it() -> None:
    assert not seen(Lights.BRAKE, depth=12.0)
    assert not seen(Lights.BRAKE, tag=Tag.POLE)


def test_the_box_is_as_large_as_the_lamp_and_narrower_from_the_side() -> None:
    planes = {"tag": np.full((H, W), Tag.CAR, np.uint8), "depth": np.full((H, W), 10.0, np.float32)}

    def box(facing: tuple[float, float, float]) -> tuple[float, float]:
        bulb = Bulb("brake", "on", (10.0, 0.0, 0.0), (0.2, 0.1), facing)
        ((left, top, right, bottom),) = (lamp.box for lamp in visible_lamps([bulb], CAMERA, planes))
        return right - left, bottom - top

    assert box((-1.0, 0.0, 0.0)) == pytest.approx((0.04 * CAMERA.focal, 0.02 * CAMERA.focal))
    assert box((-0.5, 0.5 * 3**0.5, 0.0))[0] == pytest.approx(0.02 * CAMERA.focal)


def test_traffic_and_street_lamps_are_seen_in_range_the_nearest_first() -> None:
    planes = {"tag": np.full((H, W), Tag.TRAFFIC_LIGHT, np.uint8), "depth": np.full((H, W), 30.0, np.float32)}
    light = traffic_bulb("green", np.array((30.0, 2.0, 3.0)), (-1.0, 0.0, 0.0))
    (lamp,) = visible_lamps([light], CAMERA, planes)
    assert (lamp.kind, lamp.state, lamp.depth) == ("traffic_light", "green", pytest.approx(30.0))
    assert not visible_lamps([light._replace(facing=(1.0, 0.0, 0.0))], CAMERA, planes)
    assert visible_lamps([light._replace(facing=(0.1, -1.0, 0.0))], CAMERA, planes), "a dome is seen from the side"
    edge = np.array((30.0, 30.0 * W / 2 / CAMERA.focal + 0.05, 3.0))
    assert visible_lamps([traffic_bulb("red", edge)], CAMERA, planes), "half of it is in the image"
    every = [(30.0 + k * 1e-3, 0.0, 0.0) for k in range(2 * MAX_LAMPS)]
    far = [(LAMP_RANGE + 1.0, 0.0, 0.0), (2 * LAMP_RANGE, 0.0, 0.0)]
    lamps = visible_lamps(street_bulbs(np.array(far + every[::-1]), CAMERA.pose), CAMERA, planes)
    assert len(lamps) == MAX_LAMPS
    assert [lamp.depth for lamp in lamps] == pytest.approx([place[0] for place in every[:MAX_LAMPS]])
    assert not visible_lamps([light], CAMERA, {}), "without planes nothing is known to be visible"
