"""Lamps come out in the painting by the guide: every state is read off the painted picture at 40 m."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim.evaluation.content import signal
from neuralsim.renderer import NeuralRenderer
from neuralsim.town.assets.lit_bodies import BRAKE, LEFT, RIGHT
from neuralsim.town.assets.meshes import flat, merge, quad
from neuralsim.town.assets.templates import templates
from neuralsim.town.render.raster import Rasteriser
from neuralsim.town.render.scene import Placements, Scene

WIDTH, HEIGHT, FOV = 512, 256, 70.0
AHEAD = 40.0  # m
CAR = "vehicle.seat.leon body"


@cache
def stage() -> tuple[Scene, NeuralRenderer]:
    """A street that ends at a house, and the painter."""
    road = flat([(-60, -60), (120, -60), (120, 60), (-60, 60)], 0.0, Tag.ROAD, (84, 84, 86))
    house = quad([(90, -60, 0), (90, 60, 0), (90, 60, 9), (90, -60, 9)], Tag.BUILDING, (190, 186, 178))
    scene = Scene(merge([road, house.with_instance(30_000)]), templates().meshes, templates().bodies)
    return scene, NeuralRenderer("street-rt", "onnxruntime", threads=1, guide="picture")


def painted(*kinds: str, lights: int = 0, towards: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A picture u8 (H, W, 3) of the last of ``kinds`` of object, ``AHEAD`` m away, painted in a row; where it is."""
    scene, renderer = stage()
    one = Placements.empty(1)
    turned = np.diag([-1.0, -1.0, 1.0, 1.0]) if towards else np.eye(4)
    turned[0, 3] = AHEAD
    one.pose[0] = one.previous_pose[0] = turned
    one.instance[:], one.lights[:], one.colour[:] = 7, lights, (120, 130, 140)
    pose = np.eye(4)
    pose[2, 3] = 1.45
    renderer.reset()
    for number, kind in enumerate(kinds):
        one.template[:] = one.previous_template[:] = templates().index[kind]
        seen = Rasteriser(WIDTH, HEIGHT, FOV).render(scene, one, pose, pose)._asdict()
        planes = seen | {"motion": seen["motion"].astype(np.float16)}
        picture = renderer.render(Frame(number, number, number / 30.0, Camera(WIDTH, HEIGHT, FOV, pose), planes))
    return picture.copy(), planes["instance"] == 7


@pytest.mark.parametrize("state", ["red", "yellow", "green"])
def test_a_traffic_light_is_read_off_the_painting(state: str) -> None:
    picture, here = painted(*[f"light 0 {state}"] * 2, towards=True)
    assert signal(picture[here]) == state


@pytest.mark.parametrize(("before", "after"), [("red", "green"), ("green", "yellow"), ("yellow", "red")])
def test_a_traffic_light_that_changes_is_read_at_once_and_as_if_it_had_always_been_so(before: str, after: str) -> None:
    picture, here = painted(*[f"light 0 {before}"] * 3, f"light 0 {after}", towards=True)
    always, _ = painted(*[f"light 0 {after}"] * 4, towards=True)
    assert signal(picture[here]) == after
    np.testing.assert_allclose(picture[here].astype(int), always[here], atol=20)


@pytest.mark.parametrize(
    ("lights", "left", "right"), [(0, "", ""), (BRAKE, "red", "red"), (LEFT, "yellow", ""), (RIGHT, "", "yellow")]
)
def test_brake_lights_and_indicators_are_read_off_the_painting(lights: int, left: str, right: str) -> None:
    picture, here = painted(CAR, CAR, lights=lights)
    half = np.arange(WIDTH) < WIDTH // 2
    assert (signal(picture[here & half]), signal(picture[here & ~half])) == (left, right)
