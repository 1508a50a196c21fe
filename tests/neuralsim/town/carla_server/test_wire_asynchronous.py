"""Programs that rely on the pace of CARLA's own server: calls that take a tick, images that come after a batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.wire_client import run_client, serving

from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World


@pytest.fixture(scope="module")
def town() -> Iterator[TownServer]:
    """An empty town that moves with the first call, as ``neuralsim town --vehicles 0 --walkers 0``."""
    make = lambda name: World(name, vehicles=0, walkers=0)  # noqa: E731
    with serving(TownServer(make, "hamlet", ("hamlet",), port=0, patience=0.0)) as server:
        yield server


def test_actors_of_an_asynchronous_town_are_alive_at_once(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        kind, points = world.get_blueprint_library().find("vehicle.tesla.model3"), world.get_map().get_spawn_points()
        for turn in range(20):
            world.wait_for_tick()
            if turn % 2:
                car = world.spawn_actor(kind, points[turn])
            else:
                [answer] = client.apply_batch_sync([carla.command.SpawnActor(kind, points[turn])])
                car = world.get_actor(answer.actor_id)
            assert car is not None
            world.get_weather(), world.get_settings()
            assert car.get_location().distance(points[turn].location) < 1.0
            assert car.destroy()
        world.wait_for_tick()
        assert not len(world.get_actors().filter("vehicle.*"))
        """,
    )


def test_a_sensor_has_measured_before_the_world_becomes_synchronous(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
        for turn in range(20):  # gym-carla's order of calls
            settings = world.get_settings()
            settings.synchronous_mode = False
            world.apply_settings(settings)
            car = world.spawn_actor(library.find("vehicle.lincoln.mkz_2017"), points[turn])
            scans = []
            lidar = world.spawn_actor(library.find("sensor.lidar.ray_cast"), carla.Transform(), car)
            lidar.listen(scans.append)
            images = queue.Queue()
            camera = world.spawn_actor(library.find("sensor.camera.depth"), carla.Transform(), car)
            camera.listen(images.put)
            synchronous(world)
            assert scans, f"none in turn {turn}"
            frame = world.tick()
            while images.get(timeout=20).frame != frame:
                pass
            for actor in (lidar, camera, car):
                actor.destroy()
        """,
    )
