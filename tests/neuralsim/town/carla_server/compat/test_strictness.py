"""A strict town against the official client: as unkind as CARLA's own server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from helpers.link_frames import wait_until
from helpers.wire_client import RawClient, finish, run_client, serving, start_client

from neuralsim.town.carla_server.compat.strictness import Strictness, any_order
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World

LOADING = 0.6  # s


@pytest.fixture(scope="module")
def town() -> Iterator[TownServer]:
    make = lambda name: World(name, vehicles=2, walkers=0)  # noqa: E731
    with serving(TownServer(make, "hamlet", ("hamlet",), port=0, strict=Strictness(LOADING))) as server:
        yield server


@pytest.fixture(autouse=True)
def asynchronous(town: TownServer) -> Iterator[None]:
    yield
    town.settings.synchronous_mode, town.settings.fixed_delta_seconds = False, None
    town._clock.resume()


def test_world_moves_before_there_is_a_client(town: TownServer) -> None:
    before = town.world.frame
    time.sleep(0.5)
    assert town.world.frame > before


def test_mode_and_step_outlive_the_client_that_set_them(town: TownServer) -> None:
    run_client(town.port, "synchronous(client.get_world(), 0.04)")  # ends without another word
    assert (town.settings.synchronous_mode, town.settings.fixed_delta_seconds) == (True, 0.04)
    frame = town.world.frame
    time.sleep(0.3)
    assert town.world.frame == frame
    wait_until(lambda: not town.streams.subscriber_count(town.snapshots))
    client = start_client(
        town.port,
        """
        world = client.get_world()
        assert world.get_settings().synchronous_mode
        assert not len(world.get_actors()) and not world.get_snapshot().frame  # it has seen no tick yet
        sys.stdin.readline()
        world.tick()
        assert len(world.get_actors()) > 2
        """,
        subprocess.PIPE,
    )
    # The client subscribes to snapshots in the background. A strict town does not wait for that: on a busy machine the
    # client would miss the snapshot of its own tick.
    wait_until(lambda: town.streams.subscriber_count(town.snapshots) == 1, 40.0)
    assert client.stdin is not None
    client.stdin.write("\n")
    client.stdin.flush()
    finish(client)
    assert town.world.frame == frame + 1


def test_asynchronous_town_answers_once_per_tick(town: TownServer) -> None:
    client = RawClient(town.port)
    before = town.world.frame
    for _ in range(6):
        client.call("get_weather_parameters")
    assert town.world.frame >= before + 6
    before = town.world.frame
    for _ in range(6):
        client.call("version")
    assert town.world.frame <= before + 3


def test_loading_a_world_stalls_everybody_and_resets_everything_if_asked(town: TownServer) -> None:
    run_client(
        town.port,
        f"""
        import threading
        world = client.get_world()
        settings = world.get_settings()
        settings.fixed_delta_seconds = 0.04
        world.apply_settings(settings)
        other = carla.Client("127.0.0.1", int(sys.argv[1]))
        other.set_timeout(40.0)
        there, slowest = other.get_world(), 0.0
        loader = threading.Thread(target=client.reload_world, args=(False,))
        loader.start()
        while loader.is_alive():
            begun = time.monotonic()
            there.get_settings()
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest > {0.9 * LOADING}, slowest
        assert client.get_world().get_settings().fixed_delta_seconds == 0.04
        begun = time.monotonic()
        world = client.load_world("hamlet")
        assert time.monotonic() - begun > {0.9 * LOADING}
        assert not world.get_settings().fixed_delta_seconds
        """,
    )


def test_images_are_as_coarse_as_carlas(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        library = world.get_blueprint_library()
        for own in ("jitter", "half_size", "exact", "memory", "planes"):
            assert not any(kind.has_attribute(own) for kind in library)
        synchronous(world)
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
        size = dict(image_size_x=256, image_size_y=128)
        cameras = [camera(world, kind, car, **size) for kind in ("optical_flow", "instance_segmentation", "depth")]
        for _ in range(4):
            car.apply_control(carla.VehicleControl(throttle=1.0))
            world.tick()
            time.sleep(0.3)  # nobody waits for cameras that have just been listened to
        flow, instance, depth = (images.get(timeout=10) for _, images in cameras)
        for _ in range(30):
            car.apply_control(carla.VehicleControl(throttle=1.0))
            frame = world.tick()
        def newest(images):
            while True:
                image = images.get(timeout=10)
                if image.frame == frame:
                    return image
        flow, instance, depth = (newest(images) for _, images in cameras)
        flow, instance = pixels(flow, np.float32), pixels(instance).astype(int)
        sky = (pixels(depth)[..., :3] == 255).all(-1)
        assert 0.1 < sky.mean() < 0.9
        assert not instance[sky, :3].any() and not flow[sky].any()
        assert np.abs(flow).max() > 0.01
        steps = np.where(flow < 0.0, 1024.0, 512.0) * flow
        assert (steps == np.round(steps)).all()  # of half floats around a half
        ids = instance[..., 1] + 256 * instance[..., 0]
        road = instance[..., 2] == 1
        assert len(np.unique(ids[road])) > 2  # each piece has its own
        """,
    )


def test_cameras_render_until_they_are_destroyed(town: TownServer, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    exposure = type(town.world).exposure
    monkeypatch.setattr(
        World, "exposure", lambda self, ident, *rest: (rendered.append(ident), exposure(self, ident, *rest))[1]
    )
    out = run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        sensor, images = camera(world, "depth", image_size_x=32, image_size_y=16)
        for _ in range(3):
            world.tick()
        sensor.stop()
        for _ in range(5):
            world.tick()
        print(sensor.id)
        sensor.destroy()
        world.tick()
        """,
    )
    assert rendered.count(int(out)) == 8


def test_sensors_outlive_their_vehicle(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        library = world.get_blueprint_library()
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
        sensor, images = camera(world, "depth", car, image_size_x=32, image_size_y=16)
        world.tick()
        place = sensor.get_transform().location
        car.destroy()
        for _ in range(2):
            world.tick()
        time.sleep(0.3)
        frame = world.tick()
        while images.get(timeout=10).frame < frame:
            pass
        assert sensor.get_transform().location.distance(place) < 0.01
        ident = sensor.id
        assert sensor.destroy()
        world.tick()
        assert ident not in [actor.id for actor in world.get_actors()]
        """,
    )


def test_a_batch_attaches_rigidly(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        library = world.get_blueprint_library()
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
        place, kinds = carla.Transform(carla.Location(-6, 0, 3)), carla.AttachmentType
        done = client.apply_batch_sync([
            carla.command.SpawnActor(library.find("sensor.other.gnss"), place, car, kind, "")
            for kind in (kinds.Rigid, kinds.SpringArm)
        ])
        arm = world.spawn_actor(library.find("sensor.other.gnss"), place, car, kinds.SpringArm)
        for _ in range(40):
            car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.5))
            world.tick()
        one, other = (world.get_actor(each.actor_id).get_transform() for each in done)
        assert one.location.distance(other.location) < 1e-3
        assert one.location.distance(arm.get_transform().location) > 0.05
        for each in (*done,): world.get_actor(each.actor_id).destroy()
        arm.destroy(), car.destroy()
        """,
    )


def test_what_is_spawned_is_chosen_by_its_number(town: TownServer) -> None:
    client = RawClient(town.port)
    numbers = {kind: number for number, kind, *_ in client.call("get_actor_definitions")[0][1]}
    depth, pose = "sensor.camera.depth", [[0, 0, 5], [0, 0, 0]]
    for number in (0, numbers["sensor.camera.rgb"], len(numbers) + 1):
        (answer,) = client.call("spawn_actor", [number, depth, []], pose)
        assert answer[0] == 0
        assert "invalid actor description" in answer[1][0]
        (answer,), *_ = client.call("apply_batch", [[[0, [[number, depth, []], pose, [False, 0], 0, "", []]]]], False)
        assert answer[0] == 0
    (answer,) = client.call("spawn_actor", [numbers[depth], depth, []], pose)
    assert answer[0] == 1


def test_attributes_of_the_wrong_type_count_as_their_defaults(
    town: TownServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = RawClient(town.port)
    numbers = {kind: number for number, kind, *_ in client.call("get_actor_definitions")[0][1]}
    values = [["image_size_x", 4, "64"], ["image_size_y", 2, "32"], ["fov", 2, "70"], ["role_name", 4, "hero"]]
    depth = "sensor.camera.depth"
    (answer,) = client.call("spawn_actor", [numbers[depth], depth, values], [[0, 0, 5], [0, 0, 0]])
    given = {name: value for name, _, value in answer[1][2][2]}
    chosen = [given[name] for name in ("image_size_x", "image_size_y", "fov", "role_name")]
    assert chosen == ["800", "32", "90.0", "hero"]
    assert f"{depth}: of another type than defined, so the defaults hold: image_size_x, fov" in capsys.readouterr().err


def test_images_of_a_tick_come_in_any_order() -> None:
    orders = {tuple(any_order("abcd", frame)) for frame in range(40)}
    assert len(orders) > 10
    assert all(sorted(order) == list("abcd") for order in orders)
    assert any_order("abcd", 7) == any_order("abcd", 7)
