"""CARLA's wire protocol: the official client and the town's server over TCP.

Every client is a process of its own, since a wrong layout would crash it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.wire_client import RawClient, finish, run_client, serving, start_client
from helpers.wire_world import OneRoad, road

from neuralsim.town.assets.templates import templates
from neuralsim.town.carla_server import camera_images
from neuralsim.town.carla_server.handlers import FUNCTIONS
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.core.types import Transform
from neuralsim.town.world import World

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def town() -> Iterator[TownServer]:
    templates()  # a real town has built them by the time it is ready
    with serving(TownServer(OneRoad, "oneroad", ["oneroad", "longroad"], port=0)) as server:
        yield server


def test_connect_world_map_and_library(town: TownServer) -> None:
    run_client(
        town.port,
        """
        assert client.get_server_version() == client.get_client_version() == "0.9.16"
        assert client.get_available_maps() == ["Carla/Maps/oneroad", "Carla/Maps/longroad"]
        client.set_timeout(2.0)  # as CARLA's own examples do
        world = client.get_world()
        client.set_timeout(40.0)
        town_map = world.get_map()
        assert town_map.name == "Carla/Maps/oneroad" and len(town_map.get_spawn_points()) == 7
        assert town_map.get_spawn_points()[0].location.x == 20.0
        waypoint = town_map.get_waypoint(carla.Location(100, 1.75, 0))
        assert waypoint.lane_type == carla.LaneType.Driving and "<OpenDRIVE" in town_map.to_opendrive()
        library = world.get_blueprint_library()
        assert len(library.filter("sensor.camera.*")) == 5
        car = library.find("vehicle.tesla.model3")
        assert car.get_attribute("number_of_wheels").as_int() == 4 and car.has_tag("model3")
        assert car.get_attribute("color").recommended_values == ["10,20,30", "200,0,0"]
        fov = library.find("sensor.camera.rgb").get_attribute("fov")
        assert fov.as_float() == 90.0 and len(fov.recommended_values) == 1  # examples take the first of them
        before = world.wait_for_tick()
        assert world.wait_for_tick().frame > before.frame
        kinds = sorted(actor.type_id for actor in world.get_actors())
        assert kinds == ["spectator", "traffic.traffic_light"]
        spectator = world.get_spectator()
        spectator.set_transform(carla.Transform(carla.Location(1, 2, 3), carla.Rotation(-10, 20, 0)))
        world.wait_for_tick(); world.wait_for_tick()
        assert spectator.get_transform().rotation.yaw == 20.0
        assert world.get_environment_objects() == [] and world.get_level_bbs() == []
        """,
    )


def test_synchronous_drive_and_snapshot(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        frame = world.get_snapshot().frame
        time.sleep(0.3)
        assert world.get_snapshot().frame == frame, "the town still ticks by itself"
        car = world.get_blueprint_library().find("vehicle.tesla.model3")
        car.set_attribute("role_name", "hero")
        place = world.get_map().get_spawn_points()[0]
        hero = world.spawn_actor(car, place)
        assert world.try_spawn_actor(car, place) is None
        raises(lambda: world.spawn_actor(car, place), "Spawn failed because of collision at spawn position")
        assert hero.attributes["role_name"] == "hero" and list(hero.semantic_tags) == [14]
        assert abs(hero.bounding_box.extent.x - 2.4) < 1e-6 and abs(hero.bounding_box.location.z - 0.75) < 1e-6
        hero.apply_control(carla.VehicleControl(throttle=0.5, steer=-0.25, gear=2, manual_gear_shift=True))
        first = world.tick()
        for k in range(20):
            assert world.tick() == first + k + 1
        snapshot = world.get_snapshot()
        assert snapshot.frame == first + 20 and abs(snapshot.timestamp.delta_seconds - 0.05) < 1e-6
        assert snapshot.find(hero.id).get_velocity() == hero.get_velocity() and hero.get_velocity().x > 1.0
        control = hero.get_control()
        assert (control.throttle, control.steer, control.gear, control.manual_gear_shift) == (0.5, -0.25, 2, True)
        hero.set_transform(carla.Transform(carla.Location(30, 1.75, 0.2), carla.Rotation(yaw=90)))
        hero.set_target_velocity(carla.Vector3D(0, 0, 0))
        hero.apply_control(carla.VehicleControl())
        world.tick()
        assert hero.get_transform().rotation.yaw == 90 and not hero.is_at_traffic_light()
        assert hero.get_speed_limit() == 36.0 and world.get_actor(hero.id).type_id == hero.type_id
        hero.set_transform(carla.Transform(carla.Location(44, 1.75, 0.2)))
        hero.enable_constant_velocity(carla.Vector3D(1, 0, 0))
        world.tick()
        assert hero.is_at_traffic_light() and hero.get_traffic_light_state() == carla.TrafficLightState.Red
        assert hero.get_traffic_light().get_opendrive_id() == "17" and hero.get_velocity().x == 1.0
        hero.disable_constant_velocity()
        hero.set_light_state(carla.VehicleLightState(carla.VehicleLightState.Brake | carla.VehicleLightState.LowBeam))
        assert hero.get_light_state() == 10 and world.get_vehicles_light_states() == {hero.id: 10}
        physics = hero.get_physics_control()
        assert len(physics.wheels) == 4 and physics.mass > 500
        hero.apply_physics_control(physics)
        hero.set_simulate_physics(False); hero.set_collisions(True); hero.set_enable_gravity(True)
        assert hero.destroy() and not hero.is_alive
        world.tick()
        assert len(world.get_actors().filter("vehicle.*")) == 0
        """,
    )
    # The Traffic Manager asks for actors that were just destroyed; an error would end its process.
    assert RawClient(town.port).call("get_actor_bounding_box", 999) == [[1, [[0.0] * 3] * 3 + [0]]]


def test_a_slow_machine_takes_longer_steps_instead_of_slow_motion(town: TownServer) -> None:
    tick = town.world.tick

    def slow(delta: float) -> None:
        time.sleep(0.08)
        tick(delta)

    town.world.tick = slow
    run_client(
        town.port,
        """
        world = client.get_world()
        steps = [world.wait_for_tick().timestamp.delta_seconds for _ in range(20)]
        assert 0.07 < np.median(steps[-5:]) <= 0.1 + 1e-6, steps
        settings = world.get_settings()
        settings.fixed_delta_seconds = 0.02
        world.apply_settings(settings)
        world.wait_for_tick(); world.wait_for_tick()
        assert abs(world.wait_for_tick().timestamp.delta_seconds - 0.02) < 1e-6
        """,
    )


@pytest.mark.alone
def test_five_cameras_of_one_frame(town: TownServer) -> None:
    out = run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        hero = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), carla.Transform())
        W, H = 512, 256
        kinds = "rgb depth semantic_segmentation instance_segmentation optical_flow".split()
        rig = {kind: camera(world, kind, hero, image_size_x=W, image_size_y=H, fov=70) for kind in kinds}
        def tick():
            frame = world.tick()
            images = {kind: images.get(timeout=5) for kind, (_, images) in rig.items()}
            assert {image.frame for image in images.values()} == {frame}
            return images
        images = tick()  # the very first frame: nothing is lost between listen() and tick()
        row, column = np.indices((H, W))
        depth = images["depth"]
        assert (depth.width, depth.height, depth.fov) == (W, H, 70.0) and depth.transform.location.z == 1.5
        bgra = {kind: pixels(image).astype(np.int64) for kind, image in images.items() if kind != "optical_flow"}
        for plane in bgra.values():
            assert (plane[..., 3] == 255).all()
        metres = 1000 * (bgra["depth"] * (65536, 256, 1, 0)).sum(-1) / (2**24 - 1)
        assert np.abs(metres - column).max() < 4e-5
        tags = bgra["semantic_segmentation"]
        assert (tags[..., 2] == column % 29).all() and not tags[..., :2].any()
        both = bgra["instance_segmentation"]
        assert (both[..., 2] == column % 29).all() and (both[..., 1] + 256 * both[..., 0] == 1000 + row).all()
        assert (bgra["rgb"][..., 2::-1] == np.stack([row % 256, column % 256, (row + column) % 256], -1)).all()
        flow = images["optical_flow"]
        assert type(flow).__name__ == "OpticalFlowImage"
        # CARLA's scales (issue 4795): how far the surface has moved since the previous frame.
        moved = pixels(flow, np.float32) * (W / 2, -H / 2)
        assert np.abs(moved - np.stack([-row, 2.0 * column], -1)).max() < 1e-3
        start = time.perf_counter()
        for _ in range(100):
            tick()
        print(100 / (time.perf_counter() - start))
        slow, slow_images = camera(world, "depth", hero, image_size_x=64, image_size_y=32, sensor_tick=0.2)
        frames = [tick()["rgb"].frame for _ in range(8)]  # nothing is in flight when the sensors stop
        received = [slow_images.get(timeout=5).frame, slow_images.get(timeout=5).frame]
        assert received == [frames[0], frames[4]], (received, frames)
        assert type(slow).__name__ == "ServerSideSensor" and slow.parent.id == hero.id
        for sensor, _ in rig.values():
            sensor.stop()
            assert sensor.destroy()
        raises(lambda: camera(world, "rgb", hero, image_size_x=100000), "image_size")
        """,
    )
    assert float(out.split()[-1]) > 60.0  # ticks/s without rendering


def test_traffic_light_and_weather(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        world.tick()
        light = world.get_actors().filter("traffic.traffic_light")[0]
        assert (light.state, light.get_pole_index()) == (carla.TrafficLightState.Red, 0)
        light.set_state(carla.TrafficLightState.Green)
        light.set_green_time(7.0)
        light.freeze(True)
        world.tick()
        assert light.state == carla.TrafficLightState.Green and light.get_green_time() == 7.0 and light.is_frozen()
        assert [other.id for other in light.get_group_traffic_lights()] == [light.id]
        (box,) = light.get_light_boxes()
        assert abs(box.location.x - 50) < 1e-4 and abs(box.extent.z - 0.45) < 1e-4
        assert world.get_traffic_light_from_opendrive_id("17").id == light.id
        world.freeze_all_traffic_lights(False); world.reset_all_traffic_lights(); light.reset_group()
        world.tick()
        assert not light.is_frozen()
        assert world.get_weather().sun_altitude_angle == 45.0
        world.set_weather(carla.WeatherParameters.HardRainNoon)
        assert world.get_weather() == carla.WeatherParameters.HardRainNoon
        """,
    )


def test_batches_collision_and_walker(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        library, points, C = world.get_blueprint_library(), world.get_map().get_spawn_points(), carla.command
        car = library.find("vehicle.tesla.model3")
        full = carla.VehicleControl(throttle=1.0)
        answers = client.apply_batch_sync([
            C.SpawnActor(car, points[0]).then(C.ApplyVehicleControl(C.FutureActor, full)),
            C.SpawnActor(car, points[0]),
            C.SpawnActor(library.find("walker.pedestrian.0001"), points[3]),
            C.ApplyTorque(1, carla.Vector3D()),
            C.DestroyActor(9999),
        ], True)
        assert [answer.has_error() for answer in answers] == [False, True, False, True, True]
        assert "no vehicle" in answers[3].error
        hero, walker = (world.get_actor(answers[k].actor_id) for k in (0, 2))
        assert hero.get_velocity().x > 0.1
        walker.apply_control(carla.WalkerControl(carla.Vector3D(0, 1, 0), 1.5))
        world.tick()
        assert abs(walker.get_control().speed - 1.5) < 1e-6 and walker.get_control().direction.y == 1.0
        hits = queue.Queue()
        sensor = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=hero,
                                   attachment_type=carla.AttachmentType.SpringArmGhost)
        sensor.listen(hits.put)
        answers = client.apply_batch_sync([
            C.ApplyTransform(hero.id, carla.Transform(carla.Location(289.9, 0, 0))),
            C.SetVehicleLightState(hero.id, carla.VehicleLightState(3)),
            C.ApplyTargetVelocity(hero.id, carla.Vector3D(9, 0, 0)),
        ])
        assert not any(answer.has_error() for answer in answers) and hero.get_light_state() == 3
        frame = world.tick()
        hit = hits.get(timeout=5)
        assert (hit.frame, hit.actor.id, hit.normal_impulse.x) == (frame, hero.id, -9.0)
        client.apply_batch([C.DestroyActor(hero.id), C.DestroyActor(walker.id)])
        world.tick()
        assert len(world.get_actors().filter("vehicle.*")) == 0
        """,
    )


def test_a_town_without_traffic_of_its_own_ticks_at_once() -> None:
    with serving(TownServer(OneRoad, "oneroad", ["oneroad"], port=0, patience=0.0)) as server:
        run_client(
            server.port,
            """
            world = client.get_world()
            for _ in range(20):  # continuous calls, which would keep a patient town waiting
                client.get_server_version(), world.get_weather()
                time.sleep(0.05)
            assert world.get_snapshot().frame >= 5, world.get_snapshot().frame
            """,
        )


def test_a_client_that_is_slow_to_become_synchronous_finds_the_town_in_the_same_state() -> None:
    for seconds in (0.0, 1.4):  # within which the town ticks idly several times
        with serving(TownServer(OneRoad, "oneroad", ["oneroad"], port=0)) as server:
            run_client(
                server.port,
                f"""
                world = client.get_world()
                before = world.get_snapshot()
                time.sleep({seconds})
                assert world.get_snapshot().frame - before.frame >= 2 * {seconds}, "a client may wait for a tick"
                synchronous(world)
                while world.tick() % 12:
                    pass
                now = world.get_snapshot()
                assert now.frame == 72, now.frame
                assert abs(now.timestamp.elapsed_seconds - 12 * 0.05) < 1e-6, now.timestamp.elapsed_seconds
                """,
            )


def test_a_world_does_not_move_while_a_slow_client_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(TownServer(OneRoad, "oneroad", ["oneroad"], port=0)) as server:
        publish = server._publish_snapshot

        def late(delta: float, state: int = 0) -> None:
            """The snapshot of a new world, as a client sees it that gets no time on a busy machine."""
            threading.Timer(0.0 if server.world.frame else 0.5, publish, (delta, state)).start()

        run_client(server.port, "synchronous(client.get_world())")
        monkeypatch.setattr(server, "_publish_snapshot", late)
        run_client(
            server.port,
            """
            world = client.get_world()
            synchronous(world)
            world = client.reload_world(False)
            assert world.get_snapshot().frame == 0, world.get_snapshot().frame
            assert world.tick() == 1
            world.get_settings()
            assert world.tick() == 2
            """,
        )


def test_the_first_step_of_a_new_world_leaves_out_the_time_it_took_to_load(town: TownServer) -> None:
    run_client(
        town.port,
        """
        settings = client.get_world().get_settings()
        settings.synchronous_mode = True  # without a fixed step: each takes the real time since the last one
        client.get_world().apply_settings(settings)
        world = client.reload_world(False)
        world.tick()
        delta = world.get_snapshot().timestamp.delta_seconds
        assert abs(delta - 1 / 30) < 1e-6, delta
        """,
    )


def test_load_reload_and_uploaded_map(town: TownServer, tmp_path: Path) -> None:
    (tmp_path / "own.xodr").write_text(road(120.0))
    run_client(
        town.port,
        f"""
        world = client.get_world()
        old, images = camera(world, "rgb", image_size_x=64, image_size_y=32)
        images.get(timeout=5)
        first = world.id
        raises(lambda: client.load_world("Atlantis"), "Atlantis", "oneroad, longroad")
        world = client.load_world("longroad")
        assert world.id != first and world.get_map().name == "Carla/Maps/longroad"
        assert world.get_map().get_waypoint(carla.Location(450, 1.75, 0)).transform.location.x > 449
        again = client.reload_world()
        assert again.id != world.id and again.get_map().name == "Carla/Maps/longroad"
        world = client.generate_opendrive_world(open({str(tmp_path / "own.xodr")!r}).read())
        assert world.get_map().name == "Carla/Maps/OpenDriveMap" and len(world.get_actors()) == 2
        raises(lambda: client.generate_opendrive_world("noise"), "OpenDRIVE")
        assert client.get_world().id == world.id
        world = client.reload_world()  # of the map that is there, not of the refused one
        assert world.get_map().name == "Carla/Maps/OpenDriveMap"
        synchronous(world)
        world.tick()
        world = client.load_world("oneroad", False)
        assert world.get_settings().synchronous_mode and world.get_map().name == "Carla/Maps/oneroad"
        world.tick()
        world = client.load_world("oneroad")
        assert not world.get_settings().synchronous_mode
        world.wait_for_tick()
        """,
    )


def test_a_world_that_takes_long_is_loaded_within_the_default_timeout() -> None:
    """CARLA's client waits 5 s for an answer, and then asks a hundred times, every 50 ms, for the settings."""

    def make(name: str) -> OneRoad:
        if name == "longroad":
            time.sleep(12.0)
        return OneRoad(name)

    with serving(TownServer(make, "oneroad", ["oneroad", "longroad"], port=0)) as server:
        run_client(
            server.port,
            """
            patient = carla.Client("127.0.0.1", int(sys.argv[1]))  # with its default time-out
            started = time.monotonic()
            world = patient.load_world("longroad")
            assert time.monotonic() - started > 11.0
            assert world.get_map().name == "Carla/Maps/longroad"
            synchronous(world)
            world = patient.load_world("oneroad", False)
            assert world.get_map().name == "Carla/Maps/oneroad"
            world.tick()
            """,
        )


def test_other_clients_see_the_map_that_one_loads(town: TownServer) -> None:
    run_client(
        town.port,
        f"""
        other = carla.Client("127.0.0.1", {town.port})
        other.set_timeout(30.0)
        before = other.get_world().get_map().name
        name = "oneroad" if before.endswith("longroad") else "longroad"
        client.load_world(name)
        deadline = time.monotonic() + 20.0
        while other.get_world().get_map().name == before and time.monotonic() < deadline:
            time.sleep(0.1)
        assert other.get_world().get_map().name == "Carla/Maps/" + name
        """,
    )


@pytest.mark.slow
def test_a_town_from_a_file_is_available_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "village.xodr").write_text(road(90.0))
    with serving(TownServer(OneRoad, str(tmp_path / "village.xodr"), ["oneroad"], port=0)) as server:
        run_client(
            server.port,
            """
            assert client.get_world().get_map().name == "Carla/Maps/village"
            assert sorted(client.get_available_maps()) == ["Carla/Maps/oneroad", "Carla/Maps/village"]
            client.load_world("oneroad")
            assert client.load_world("Carla/Maps/village").get_map().name == "Carla/Maps/village"
            assert client.reload_world().get_map().name == "Carla/Maps/village"
            """,
        )


def test_errors_name_the_missing_function(town: TownServer) -> None:
    run_client(
        town.port,
        """
        world = client.get_world()
        hero = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), carla.Transform())
        missing = "not supported by the town: "
        raises(lambda: hero.get_socket_names(), missing + "get_actor_socket_names")
        world.enable_environment_objects({1}, False)  # the client does not wait for an answer
        world.wait_for_tick()
        """,
    )


def test_the_documented_calls_are_those_served() -> None:
    table = (ROOT / "docs" / "reference" / "carla_calls.md").read_text(encoding="utf-8")
    served, _, missing = table.partition("## Not supported")
    names = {name for name in re.findall(r"`([a-zA-Z_]+)`", served) if "_" in name or name in ("version", "send")}
    assert set(FUNCTIONS) <= names
    assert not set(FUNCTIONS) & set(re.findall(r"`([a-zA-Z_]+)`", missing))


def test_several_clients(town: TownServer) -> None:
    """One drives in synchronous mode and another watches the same frames; when the driver leaves, the town ticks on."""
    watcher = start_client(
        town.port,
        """
        world = client.get_world()
        print("ready", flush=True)
        while not world.get_actors().filter("vehicle.*"):
            world.wait_for_tick()
        sensor, images = camera(world, "depth", image_size_x=64, image_size_y=32)
        frames = [images.get(timeout=10).frame for _ in range(20)]
        assert frames == sorted(set(frames))
        hero = world.get_actors().filter("vehicle.*")[0]
        assert hero.get_velocity().x > 0.0
        """,
    )
    assert watcher.stdout is not None
    assert watcher.stdout.readline().strip() == "ready"
    run_client(
        town.port,
        """
        world = client.get_world()
        synchronous(world)
        hero = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), carla.Transform())
        hero.apply_control(carla.VehicleControl(throttle=1.0))
        for _ in range(60):
            world.tick()
            time.sleep(0.02)
        """,
    )
    finish(watcher)
    deadline = time.monotonic() + 5.0
    while town.settings.synchronous_mode and time.monotonic() < deadline:
        time.sleep(0.02)
    frame = town.world.frame
    time.sleep(0.5)
    assert 8 <= town.world.frame - frame <= 17  # 30 Hz


def test_depth_uses_all_24_bits() -> None:
    class Planes:
        tag = np.zeros((1, 5), np.uint8)
        depth = np.array([[0.0, 0.05, 123.456, 999.9999, 5000.0]], np.float32)

    out = np.empty(20, np.uint8)
    camera_images.encode("sensor.camera.depth", Planes, out, 90.0, np.eye(4))
    bgra = out.reshape(5, 4).astype(np.int64)
    metres = 1000.0 * (bgra[:, 2] + 256 * bgra[:, 1] + 65536 * bgra[:, 0]) / (2**24 - 1)
    assert np.abs(metres - np.minimum(Planes.depth[0], 1000.0)).max() <= 3.1e-5


def test_the_trees_for_rays_are_built_with_the_first_sensor_that_casts_some() -> None:
    server = TownServer(lambda town: World(town, vehicles=0, walkers=0), "plain", port=0, prepare_rays=False)
    with serving(server):
        built = threading.Event()
        server.world.rays = built.set  # type: ignore[method-assign, assignment]
        for kind in ("sensor.camera.depth", "sensor.other.collision"):
            server.sensing.add(server.world.spawn(kind, {}, Transform(z=2.0)))
        assert not built.wait(0.3)
        server.sensing.add(server.world.spawn("sensor.lidar.ray_cast", {}, Transform(z=2.0)))
        assert built.wait(20.0)


def test_first_client_in_synchronous_mode_gets_the_snapshot_of_its_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """CARLA's client waits for it in ``apply_settings``, a second at most (``Simulator.cpp``, ``SynchronizeFrame``)."""
    with serving(TownServer(OneRoad, "oneroad", ["oneroad"], port=0)) as town:
        published: list[int] = []
        publish = town.streams.publish
        monkeypatch.setattr(
            town.streams, "publish", lambda stream, *a, **k: (published.append(stream), publish(stream, *a, **k))
        )
        client = RawClient(town.port)
        client.call("set_episode_settings", [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3e3, 2e3, True])
        assert town.snapshots in published
