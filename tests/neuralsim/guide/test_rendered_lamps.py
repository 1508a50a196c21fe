"""Lamps come out in the generated image by the guide: every state can be read off it at 40 m."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bridge.lamp_visibility import Bulb, traffic_bulb, vehicle_bulbs, visible_lamps
from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim.evaluation.content import signal
from neuralsim.renderer import NeuralRenderer
from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.lit_bodies import BRAKE, LEFT, LOW_BEAM, RIGHT
from neuralsim.town.assets.meshes import flat, merge, quad
from neuralsim.town.assets.prop_meshes import traffic_light_bulbs
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.vehicles.lamps import lamps_of
from neuralsim.town.render.raster import Rasteriser
from neuralsim.town.render.scene import Placements, Scene

WIDTH, HEIGHT, FOV = 512, 256, 70.0
AHEAD = 40.0  # m
CAR = "vehicle.seat.leon body"


@cache
def stage() -> tuple[Scene, NeuralRenderer]:
    """A street that ends at a house, and the renderer."""
    road = flat([(-60, -60), (120, -60), (120, 60), (-60, 60)], 0.0, Tag.ROAD, (84, 84, 86))
    house = quad([(90, -60, 0), (90, 60, 0), (90, 60, 9), (90, -60, 9)], Tag.BUILDING, (190, 186, 178))
    scene = Scene(merge([road, house.with_instance(30_000)]), templates().meshes, templates().bodies)
    return scene, NeuralRenderer("street-rt", "onnxruntime", threads=1, guide="picture")


def bulbs(kind: str, pose: np.ndarray, lights: int) -> list[Bulb]:
    """The lit lamps of an object: the truth that comes with a frame."""
    if kind.endswith(" body"):
        half, middle = templates().extent(kind)
        box = pose.copy()
        box[:3, 3] = (pose @ (*middle, 1.0))[:3]
        name = kind.removesuffix(" body")
        lamps = lamps_of(name, middle, half)
        places = {lamp: np.subtract(place, middle) for lamp, place in lamps.items()}
        return vehicle_bulbs(box, half, CARS[name].tag, lights, 0.0, places)
    state = kind.rpartition(" ")[2]
    return [traffic_bulb(state, (pose @ (*place, 1.0))[:3]) for place in traffic_light_bulbs()[state]]


def rendered(*kinds: str, lights: int = 0, towards: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Render a sequence of ``kinds`` of object ``AHEAD`` m away: the last image u8 (H, W, 3), and the object's mask."""
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
        camera = Camera(WIDTH, HEIGHT, FOV, pose)
        lamps = visible_lamps(bulbs(kind, turned, lights), camera, planes)
        image = renderer.render(Frame(number, number, number / 30.0, camera, planes, lamps=lamps))
    return image.copy(), planes["instance"] == 7


@pytest.mark.parametrize("state", ["red", "yellow", "green"])
def test_a_traffic_light_can_be_read(state: str) -> None:
    image, here = rendered(*[f"light 0 {state}"] * 2, towards=True)
    assert signal(image[here]) == state


@pytest.mark.parametrize(("before", "after"), [("red", "green"), ("green", "yellow"), ("yellow", "red")])
def test_a_traffic_light_that_changes_can_be_read_at_once_without_a_trace_of_the_old_state(
    before: str, after: str
) -> None:
    image, here = rendered(*[f"light 0 {before}"] * 3, f"light 0 {after}", towards=True)
    always, _ = rendered(*[f"light 0 {after}"] * 4, towards=True)
    assert signal(image[here]) == after
    np.testing.assert_allclose(image[here].astype(int), always[here], atol=20)


@pytest.mark.parametrize(
    ("lights", "left", "right"), [(0, "", ""), (BRAKE, "red", "red"), (LEFT, "yellow", ""), (RIGHT, "", "yellow")]
)
def test_brake_lights_and_indicators_can_be_read(lights: int, left: str, right: str) -> None:
    image, here = rendered(CAR, CAR, lights=lights)
    half = np.arange(WIDTH) < WIDTH // 2
    assert (signal(image[here & half]), signal(image[here & ~half])) == (left, right)


@pytest.mark.parametrize(("lights", "towards"), [(BRAKE, False), (LOW_BEAM, True), (LEFT, False), (RIGHT, True)])
def test_lamps_are_where_the_simulators_image_shows_them_lit(lights: int, towards: bool) -> None:
    scene, _ = stage()
    one = Placements.empty(1)
    pose = np.diag([-1.0, -1.0, 1.0, 1.0]) if towards else np.eye(4)
    pose[0, 3] = 10.0
    one.pose[0] = one.previous_pose[0] = pose
    one.instance[:], one.colour[:] = 7, (120, 130, 140)
    eye = np.eye(4)
    eye[2, 3] = 1.1
    raster = Rasteriser(WIDTH, HEIGHT, FOV)
    for name in CARS:
        one.template[:] = one.previous_template[:] = templates().index[f"{name} body"]
        images = []
        for state in (0, lights):
            one.lights[:] = state
            planes = raster.render(scene, one, eye, eye, sun=(-20.0, 180.0))._asdict()
            images.append(planes["rgb"].astype(int).max(2))
        brighter = images[1] - images[0]
        lamps = [
            lamp
            for lamp in visible_lamps(bulbs(f"{name} body", pose, lights), Camera(WIDTH, HEIGHT, FOV, eye), planes)
            if lamp.kind in ("brake", "head", "indicator")
        ]
        assert lamps, name
        for lamp in lamps:
            left, top, right, bottom = (round(edge) for edge in lamp.box)
            assert brighter[top : bottom + 1, left : right + 1].max() > 60, (name, lamp)
