"""A car in a town with a camera."""

from __future__ import annotations

from neuralsim.town.core.types import Actor, Transform
from neuralsim.town.world import World

STEP = 1.0 / 30.0  # s


def with_camera(world: World, point: int = 0) -> tuple[Actor, Actor]:
    ego = world.spawn("vehicle.tesla.model3", {"role_name": "hero"}, world.spawn_points()[point])
    lens = {"image_size_x": "256", "image_size_y": "128", "fov": "70"}
    return ego, world.spawn("sensor.camera.rgb", lens, Transform(0.6, 0.0, 1.5), ego.id)
