"""Views that several threads render at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from neuralsim.town.core.types import Transform
from neuralsim.town.render.raster import Planes
from neuralsim.town.world import World

SIZE = {"image_size_x": "96", "image_size_y": "64"}
KINDS = ("rgb", "semantic_segmentation", "depth", "rgb")


def exposures(world: World) -> list[Callable[[], Planes]]:
    """Return those of two groups of cameras at the same place, in two directions."""
    mounts = [Transform(x=3.0 * side, z=2.0, yaw=90.0 * side) for side in (0, 1)]
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[2])
    idents = [world.spawn(f"sensor.camera.{kind}", SIZE, mount, car.id).id for mount in mounts for kind in KINDS]
    world.tick(0.1)
    return [world.exposure(ident) for ident in idents]


def test_threads_render_the_same_views_as_one_and_each_view_once() -> None:
    of_one, of_many = (exposures(World("hamlet", seed=2, vehicles=5, walkers=3)) for _ in range(2))
    expected = [exposure() for exposure in of_one]
    with ThreadPoolExecutor(len(of_many)) as pool:
        actual = list(pool.map(lambda exposure: exposure(), of_many))
    for one, many in zip(expected, actual, strict=True):
        for name in ("tag", "instance", "depth", "motion"):
            assert (getattr(one, name) == getattr(many, name)).all(), name
        assert (one.rgb is None) == (many.rgb is None)
        assert one.rgb is None or many.rgb is None or (one.rgb == many.rgb).all()
    first, second = actual[: len(KINDS)], actual[len(KINDS) :]
    for group in (first, second):
        assert all(np.shares_memory(group[0].tag, each.tag) for each in group)
    assert not np.shares_memory(first[0].tag, second[0].tag)
