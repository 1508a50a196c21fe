"""Damage: a collision leaves its mark on both bodies, the car drives accordingly, and a repair undoes it."""

from __future__ import annotations

import numpy as np
import pytest

from neuralsim.town.assets.templates import templates
from neuralsim.town.core.types import Actor, Transform, VehicleControl
from neuralsim.town.dynamics.damage import DEPTH_LIMIT, Damage, contact, dented
from neuralsim.town.world import World

LENS = {"image_size_x": "256", "image_size_y": "128", "fov": "70"}


@pytest.mark.parametrize(
    ("other", "place", "wide"),
    [
        ((4.3, 0.0, 0.0, 2.3, 0.9), (2.0, 0.0), 0.9),  # straight into a tail
        ((4.3, 1.2, 0.0, 2.3, 0.9), (2.0, 0.6), 0.3),  # half of it
        ((2.5, 0.0, 0.0, 0.5, 30.0), (2.0, 0.0), 0.9),  # a wall
        ((2.2, 0.5, 0.0, 0.2, 0.2), (2.0, 0.5), 0.2),  # a post
    ],
)
def test_a_dent_is_where_the_bodies_touch(other: tuple[float, ...], place: tuple[float, float], wide: float) -> None:
    mine = np.array([0.0, 0.0, 0.0, 2.0, 0.9])
    for yaw in (0.0, 0.7, -2.0):  # the world's axes do not matter
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        boxes = [np.array([*turn @ box[:2] + (3.0, 5.0), box[2] + yaw, *box[3:]]) for box in (mine, np.array(other))]
        where, inwards, half = dented(boxes[0], contact(*boxes), turn @ (-1.0, 0.0))
        assert where == pytest.approx(place, abs=1e-9)
        assert inwards == pytest.approx((-1.0, 0.0), abs=1e-9)
        assert half == pytest.approx(wide, abs=1e-9)


def test_a_touch_leaves_nothing_and_no_dent_is_deeper_than_the_deepest() -> None:
    damage = Damage(2.3)
    assert not damage.add(np.array([2.3, 0.0]), np.array([-1.0, 0.0]), 0.5, 1.0)
    control = VehicleControl(throttle=1.0)
    assert damage.applied(control) == control
    for _ in range(20):
        assert damage.add(np.array([2.3, 0.5]), np.array([-1.0, 0.0]), 0.5, 40.0)
    (dent,) = damage.dents
    assert dent.depth == DEPTH_LIMIT


def crash(lost: float, aside: float) -> tuple[World, Actor, list[Actor]]:
    """Drive into the tail of a parked car; return the world, the car and cameras that look at it from outside."""
    world = World("hamlet", 0, 0, 0, damage=True)
    props = world.static_town.placements
    for prop in np.flatnonzero(props.template < len(templates().vehicles)).tolist():
        pose = props.pose[prop]
        yaw = float(np.degrees(np.arctan2(pose[1, 0], pose[0, 0])))
        x, y = pose[:2, 3] - 5.8 * pose[:2, 0] + aside * pose[:2, 1]
        try:
            car = world.spawn("vehicle.tesla.model3", {}, Transform(float(x), float(y), float(pose[2, 3]), 0, yaw, 0))
        except ValueError:  # another one is parked there
            continue
        break
    cameras = [
        world.spawn("sensor.camera.rgb", LENS, Transform(5.5, -3.4, 1.9, -16.0, 135.0, 0.0), car.id),
        world.spawn("sensor.camera.rgb", LENS, Transform(5.5, 3.4, 1.9, -16.0, -135.0, 0.0), car.id),
    ]
    world.set_velocity(car.id, tuple(lost * pose[:3, 0]))
    for _ in range(45):
        world.tick(1.0 / 30.0)
    return world, car, cameras


def test_a_crash_dents_both_cars_until_the_repair_and_the_picture_shows_it() -> None:
    world, car, cameras = crash(14.0, 0.0)
    damages = world._driven.damages
    assert damages is not None
    mine, theirs = damages[car.id].dents, damages[next(key for key in damages if key < 0)].dents
    assert mine[0].place[0] > 2.0 > -2.0 > theirs[0].place[0]
    assert 0.2 < mine[0].depth < DEPTH_LIMIT
    dents = [world.capture(camera.id, "rgb") for camera in cameras]
    seen = [(planes.depth.copy(), planes.rgb.copy(), planes.instance.copy()) for planes in dents]
    world.repair(car.id)
    for camera, (depth, rgb, instance) in zip(cameras, seen, strict=True):
        whole = world.capture(camera.id, "rgb")
        mine_now = (whole.instance == car.id) & (instance == car.id)
        assert (np.abs(whole.depth - depth)[mine_now] > 0.02).sum() > 100
        assert (np.abs(whole.rgb.astype(int) - rgb).max(axis=2)[mine_now] > 20).sum() > 100
    world.tick(1.0 / 30.0)
    assert len(world._dented.template) == 1, "the parked car stays dented"


def test_a_dented_car_pulls_to_the_side_that_was_hit_and_is_weaker() -> None:
    turned, reached = [], []
    for is_repaired in (True, False):
        world, car, _ = crash(14.0, 0.7)
        if is_repaired:
            world.repair(car.id)
        point = world.spawn_points()[0]
        world.set_transform(car.id, point)
        world.set_velocity(car.id, (0.0, 0.0, 0.0))
        car.control = VehicleControl(throttle=1.0)
        for _ in range(60):
            world.tick(1.0 / 30.0)
        turned.append((car.transform.yaw - point.yaw + 180.0) % 360.0 - 180.0)
        reached.append(world.drives[car.id].speed)
    assert abs(turned[0]) < 0.5
    assert turned[1] < -2.0, "to the left, where the parked car was hit"
    assert reached[1] < 0.9 * reached[0]


def test_without_damage_nothing_is_dented() -> None:
    world = World("hamlet", 0, 0, 0)
    assert world._driven.damages is None
    assert world._views.scene is world.static_town.scene
