"""Programs that rely on the pace of CARLA's own server: calls that take a tick, images that come after a batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.link_frames import wait_until
from helpers.wire_client import run_client, serving

from neuralsim.town.carla_server.message_hold import MessageHold
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
        world.wait_for_tick(), world.wait_for_tick()  # the first may have been under way before
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


def test_a_batch_that_ticks_ends_while_the_images_of_several_cameras_arrive(town: TownServer) -> None:
    run_client(
        town.port,
        """
        client = carla.Client("127.0.0.1", int(sys.argv[1]), 2)  # as many threads as a machine with two cores has
        client.set_timeout(5.0)
        world = client.get_world()
        synchronous(world)
        library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
        cameras = [camera(world, kind, car) for kind in ("rgb", "depth", "instance_segmentation", "optical_flow")]
        for turn in range(20):
            world.tick()  # whose images are rendered while the batch holds Python's lock
            command = carla.command.SpawnActor(library.find("vehicle.tesla.model3"), points[1])
            [answer] = client.apply_batch_sync([command], True)
            client.apply_batch([carla.command.DestroyActor(answer.actor_id)])
            for _, images in cameras:  # of both ticks: none is lost
                [images.get(timeout=20) for _ in range(2)]
        for sensor, _ in cameras:
            sensor.stop(), sensor.destroy()
        car.destroy()
        """,
        timeout=90.0,
    )


def test_messages_wait_for_the_tick_after_a_batch_but_not_for_long() -> None:
    hold = MessageHold()
    sent: list[str] = []
    hold.pass_on(lambda: sent.append("before"))
    with hold.batch("client"):
        hold.pass_on(lambda: sent.append("in"))
    hold.pass_on(lambda: sent.append("after"))
    hold.end("another client")
    assert sent == ["before"]
    assert hold.has_ticked_in_batch(hold) is False
    hold.end()
    assert sent == ["before", "in", "after"]
    with hold.batch("client"):
        hold.pass_on(lambda: sent.append("last"))
    wait_until(lambda: sent[-1] == "last", 5.0)
