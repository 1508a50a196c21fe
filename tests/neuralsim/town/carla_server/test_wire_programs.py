"""Behaviour that programs written for CARLA rely on: heights, falling, tyres, batches, names of maps and objects."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.wire_client import empty_town, run_client, run_traffic_manager

from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive import towns
from neuralsim.town.world import World


@pytest.fixture(scope="module")
def town() -> Iterator[TownServer]:
    with empty_town("plain") as server:
        yield server


#: Helpers for driving on open ground; the road lies along x at y = 0.
OPEN_GROUND = """
client.set_timeout(60.0)
world = client.get_world()
synchronous(world)
library = world.get_blueprint_library()
L, R, T, V = carla.Location, carla.Rotation, carla.Transform, carla.Vector3D
command = carla.command
def ticks(count):
    for _ in range(count):
        world.tick()
def near(value, expected, tolerance=1e-3):
    assert abs(value - expected) < tolerance, (value, expected)
def spawn(kind, x, y=0.0, z=0.2, yaw=0.0, **attributes):
    blueprint = library.find(kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    return world.spawn_actor(blueprint, T(L(x, y, z), R(yaw=yaw)))
car = "vehicle.tesla.model3"
"""


def test_actors_stay_where_they_are_placed_and_fall_without_support(town: TownServer) -> None:
    run_client(
        town.port,
        OPEN_GROUND
        + """
high, low = spawn(car, 0, z=10.0), spawn(car, 30, z=0.2)
held, light, hidden = spawn(car, 60, z=5.0), spawn(car, 90, z=5.0), spawn(car, 120)
prop, walker = spawn("static.prop.box01", 150, z=4.0), spawn("walker.pedestrian.0001", 160, 20, z=6.0)
led = spawn("walker.pedestrian.0002", 180, 20, z=1.0)  # as an AI controller leaves it behind
led.set_simulate_physics(False)
led.apply_control(carla.WalkerControl(V(1, 0, 0), 2.0))
held.set_simulate_physics(False)
light.set_enable_gravity(False)
hidden.set_simulate_physics(False)
hidden.set_location(L(120, 0, -200))
prop.set_simulate_physics(True)
world.tick()
ground = world.get_map().get_waypoint(L(0, 0, 0)).transform.location.z
before = high.get_location().z
assert 9.9 < before < 10.0, before
ticks(10)
near(before - high.get_location().z, 0.5 * 9.81 * (0.55**2 - 0.05**2), 0.3)  # free fall
near(high.get_velocity().z, -9.81 * 0.55, 0.1)
ticks(40)
for actor in (high, low, prop):
    near(actor.get_location().z, ground, 0.15)  # a prop may lie next to the road, a kerb higher
near(walker.get_location().z, ground, 0.2)
near(held.get_location().z, 5.0)
near(light.get_location().z, 5.0)
near(hidden.get_location().z, -200.0)
# Walkers go at the requested speed.
walker.apply_control(carla.WalkerControl(V(1, 0, 0), 10.0, False))
ticks(20)
near(walker.get_velocity().x, 10.0)
# Their skeletons are where their bodies are.
bones, at = {bone.name: bone for bone in walker.get_bones().bone_transforms}, walker.get_transform()
assert list(bones) == walker.get_bone_names()
near(at.transform(bones["crl_Head__C"].component.location).distance(bones["crl_Head__C"].world.location), 0.0)
foot, hips, head = (bones[f"crl_{name}"].world.location for name in ("foot__L", "hips__C", "Head__C"))
assert 0.0 < foot.z - at.location.z < 0.5 < hips.z - at.location.z < 1.2 < head.z - at.location.z < 1.8
assert bones["crl_hand__L"].component.location.y < -0.1 < 0.1 < bones["crl_hand__R"].component.location.y
assert not low.get_bone_names()
# ... also those without physics, at the height at which they are.
assert led.get_location().x > 186.0
near(led.get_location().z, 1.0)
# Lamps have places of their own.
lamp = low.get_component_world_transform("front-blinker-r-1")
there = low.get_transform().transform(low.get_component_relative_transform("front-blinker-r-1").location)
near(lamp.location.distance(there), 0.0)
near(there.x - low.get_location().x, low.bounding_box.extent.x, 0.1)
assert "back-light-l-1" in low.get_component_names()
# Actors far above or below do not block.
crossing = spawn(car, 120)
under = spawn(car, 60)
hidden.set_simulate_physics(True)
ticks(20)
assert hidden.get_location().z < -203.0, "it must keep falling below the ground"
for actor in world.get_actors().filter("vehicle.*"):
    actor.destroy()
walker.destroy(), led.destroy(), prop.destroy()
world.tick()
""",
        timeout=90.0,
    )


def test_tyres_controls_and_velocities_are_as_requested(town: TownServer) -> None:
    run_client(
        town.port,
        OPEN_GROUND
        + """
slippery, other = spawn(car, -300), spawn(car, -300, 40)
physics = slippery.get_physics_control()
physics.drag_coefficient = 0.0
wheels = physics.wheels
for wheel in wheels:
    wheel.tire_friction = 0.0
physics.wheels = wheels
slippery.apply_physics_control(physics)
patch = library.find("static.trigger.friction")
for name, value in dict(friction=5.0, extent_x=2000.0, extent_y=300.0, extent_z=300.0).items():
    patch.set_attribute(name, str(value))
patch = world.spawn_actor(patch, T(L(-200, 0, 1)))
ticks(10)
near(slippery.get_physics_control().wheels[0].tire_friction, 0.0)
slippery.set_target_velocity(V(20, 0, 0))
world.tick()
near(slippery.get_velocity().x, 20.0)
ticks(60)
near(slippery.get_velocity().x, 20.0)  # neither friction nor drag
ticks(30)  # 94 m on: within the patch
near(slippery.get_physics_control().wheels[0].tire_friction, 5.0)
inside = slippery.get_velocity().x
assert inside < 19.9, inside
patch.destroy()
near(slippery.get_physics_control().wheels[0].tire_friction, 0.0)
other.set_target_velocity(V(10, 1, 0))
world.tick()
drift = other.get_velocity().y / other.get_velocity().x  # its tyres turn it back into its own direction
assert 0.03 < drift < 0.1, drift
# Two-wheelers list four wheels, as in CARLA.
bike = spawn("vehicle.kawasaki.ninja", 0, 30)
assert len(bike.get_physics_control().wheels) == 4
# A control that is not sticky holds for one tick.
once, sticky = spawn(car, 0, 60, sticky_control=False), spawn(car, 0, 90)
ticks(10)
for each in (once, sticky):
    each.apply_control(carla.VehicleControl(throttle=1.0))
ticks(20)
assert once.get_control().throttle == 0.0 and sticky.get_control().throttle == 1.0
assert once.get_velocity().x < 0.5 < 3.0 < sticky.get_velocity().x
# An Ackermann target is reached with the requested acceleration.
once.set_target_velocity(V(0, 0, 0))
once.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0, acceleration=2.0))
ticks(20)
near(once.get_velocity().x, 1.9, 0.3)
ticks(60)
near(once.get_velocity().x, 5.0, 0.2)
for actor in world.get_actors().filter("vehicle.*"):
    actor.destroy()
""",
        timeout=90.0,
    )


def test_an_error_in_a_command_after_a_spawn_is_not_reported_for_the_spawn(town: TownServer) -> None:
    run_client(
        town.port,
        OPEN_GROUND
        + """
future = command.FutureActor
wrong = command.SpawnActor(library.find("static.prop.barrel"), T(L(0, 50, 0))).then(
    command.ApplyVehicleControl(future, carla.VehicleControl()))
right = command.SpawnActor(library.find(car), T(L(0, 60, 0))).then(command.SetSimulatePhysics(future, False))
blocked = command.SpawnActor(library.find(car), T(L(1, 60, 0)))
before = len(world.get_actors())
answers = client.apply_batch_sync([wrong, right, blocked], True)
assert [bool(each.error) for each in answers] == [False, False, True], [each.error for each in answers]
assert "collision" in answers[2].error
assert len(world.get_actors()) == before + 2
client.apply_batch_sync([command.DestroyActor(each.actor_id) for each in answers[:2]], True)
# Everything that CARLA's library lists of these can be spawned.
ids = {each.id for each in library}
assert {"static.trigger.friction", "util.actor.empty", "static.prop.mesh", "static.prop.kiosk_01"} <= ids
props = [each for each in library.filter("static.prop.*")]
assert len(props) > 90
made = client.apply_batch_sync([command.SpawnActor(each, T(L(-400 + 8 * k, 200, 0))) for k, each in enumerate(props)])
assert not any(each.error for each in made), [each.error for each in made if each.error]
world.tick()
boxes = {world.get_actor(each.actor_id).bounding_box.extent.z > 0.0 for each in made}
assert boxes == {True}
empty = world.spawn_actor(library.find("util.actor.empty"), T(L(0, 0, 3)))
assert any(each.get_attribute("has_dynamic_doors") for each in library.filter("vehicle.*"))
sensor, images = camera(world, "cosmos_visualization", empty, image_size_x=64, image_size_y=32)
world.tick()
image = images.get(timeout=10)
assert (image.width, image.height) == (64, 32) and pixels(image)[..., :3].max() > 0
sensor.stop(), sensor.destroy()
""",
        timeout=90.0,
    )


SLOW_SENSORS = {
    "sensor.lidar.ray_cast": {"channels": 128, "points_per_second": 3000000, "range": 120, "rotation_frequency": 20},
    "sensor.camera.rgb": {"image_size_x": 1920, "image_size_y": 1080},
}


@pytest.mark.parametrize("kind", SLOW_SENSORS)
def test_slow_sensors_do_not_block_other_calls(town: TownServer, kind: str) -> None:
    run_client(
        town.port,
        OPEN_GROUND
        + f"""
blueprint = library.find({kind!r})
for name, value in {SLOW_SENSORS[kind]}.items():
    blueprint.set_attribute(name, str(value))
sensors = [world.spawn_actor(blueprint, T(L(0, 0, 2), R(yaw=yaw))) for yaw in (0, 120, 240)]
"""
        + """
measurements = queue.Queue()
for sensor in sensors:
    sensor.listen(measurements.put)
frames = lambda: {measurements.get(timeout=60).frame for _ in sensors}
world.tick()
frames()
start = time.perf_counter()
frame = world.tick()
ticked = time.perf_counter()
world.get_spectator(), world.get_weather()  # while three clouds of 150,000 points are measured or three images rendered
answered = time.perf_counter()
assert frames() == {frame}
finished = time.perf_counter()
assert answered - ticked < 0.5 * (finished - start), (answered - ticked, finished - start)
walker = world.spawn_actor(library.find("walker.pedestrian.0001"), T(L(20, 20, 2)))
for _ in range(3):
    frame = world.tick()
    walker.set_location(L(20, 20 + frame % 7, 2))  # changes meanwhile do not affect the measurement
    assert frames() == {frame}
for sensor in sensors:
    sensor.stop(), sensor.destroy()
walker.destroy()
""",
        timeout=120.0,
    )


def test_a_traffic_manager_outlives_its_world() -> None:
    with empty_town("plain") as server:
        run_traffic_manager(
            server.port,
            OPEN_GROUND
            + """
manager = client.get_trafficmanager(unused_port())
manager.set_synchronous_mode(True)
ticks(3)
for _ in range(2):
    world = client.load_world("plain", reset_settings=False)
    ticks(5)
    driven = world.spawn_actor(library.find(car), world.get_map().get_spawn_points()[0])
    driven.set_autopilot(True, manager.get_port())
    ticks(40)
    assert driven.get_velocity().length() > 1.0
""",
            timeout=60.0,
        )


def test_sensor_tick_counts_from_the_sensors_own_first_tick() -> None:
    with empty_town("plain") as server:
        run_client(
            server.port,
            OPEN_GROUND
            + """
start = world.get_snapshot().timestamp.elapsed_seconds
ticks(max(1, round((0.3 - start) / 0.05)))  # the world is younger than the period
blueprint = library.find("sensor.other.gnss")
blueprint.set_attribute("sensor_tick", "1.0")
gnss, measurements = world.spawn_actor(blueprint, T()), queue.Queue()
born = world.get_snapshot().frame
ticks(3)
gnss.listen(measurements.put)  # too late for the first
ticks(40)
assert [measurements.get(timeout=5).frame - born for _ in range(2)] == [21, 41]
""",
        )


def test_recordings_are_described_in_the_format_of_carlas_server(
    town: TownServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ScenarioRunner's metrics parse these parts."""
    with tempfile.TemporaryDirectory() as cache:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
        run_client(
            town.port,
            OPEN_GROUND
            + """
import re
client.start_recorder("any/where/drive.log", True)
world.tick()
hero = spawn(car, 10, -20, role_name="hero", yaw=30)
hero.set_target_velocity(V(5, 0, 0))
ticks(3)
client.stop_recorder()
there = hero.get_transform()
report = client.show_recorder_file_info("any/where/drive.log", True)
head, *frames, foot = report.split("Frame")
assert head.splitlines() == ["Version: 1", "Map: " + world.get_map().name.split("/")[-1], head.splitlines()[2], ""]
count, duration = foot.splitlines()
assert int(count[3:]) == len(frames) == 5 and abs(float(duration[10:-8]) - 0.2) < 1e-6, foot
numbers = r"\\(([-\\d.e]+), ([-\\d.e]+), ([-\\d.e]+)\\)"
[made] = re.findall(rf"^ Create {hero.id}: vehicle.tesla.model3 \\(1\\) at {numbers}$", report, re.M)
assert abs(float(made[0]) - 1000.0) < 100.0 and "\\n  role_name = hero\\n" in report
row = re.findall(rf"^  Id: {hero.id} Location: {numbers} Rotation: {numbers}$", frames[-1], re.M)[0]
near(float(row[0]) / 100.0, there.location.x, 0.01)
near(float(row[5]), there.rotation.yaw, 0.01)
row = re.findall(rf"^  Id: {hero.id} linear_velocity: {numbers} angular_velocity: {numbers}$", frames[-1], re.M)[0]
assert 1.0 < float(row[0]) < 6.0
hero.destroy()
""",
            timeout=90.0,
        )


def test_a_camera_sends_its_g_buffer(town: TownServer) -> None:
    run_client(
        town.port,
        OPEN_GROUND
        + """
lens = dict(image_size_x="64", image_size_y="32")
camera, depth, tags, normals = (
    spawn(f"sensor.camera.{kind}", 0, z=3.0, **lens) for kind in ("rgb", "depth", "semantic_segmentation", "normals")
)
T = carla.GBufferTextureID
textures = (T.SceneColor, T.SceneDepth, T.CustomStencil, T.GBufferA, T.Velocity, T.GBufferB)
queues = [queue.Queue() for _ in range(4 + len(textures))]
for sensor, into in zip((camera, depth, tags, normals), queues):
    sensor.listen(into.put)
camera.enable_gbuffers(True)
for texture, into in zip(textures, queues[4:]):
    camera.listen_to_gbuffer(texture, into.put)
world.tick()
[into.get(timeout=60) for into in queues[:4]]
world.tick()  # by now all of them are subscribed
own = [pixels(into.get(timeout=60)).astype(int)[..., :3] for into in queues[:4]]
for into in queues[4:]:
    while (image := into.get(timeout=60)).frame != world.get_snapshot().frame:
        pass
    into.put(image)
color, far, stencil, facing, moved, rough = (pixels(into.get(timeout=60)).astype(int)[..., :3] for into in queues[4:])
assert (color == own[0]).all() and color.max() > 0
metres = (own[1] @ (65536, 256, 1)) / (2**24 - 1) * 1000.0
assert np.abs(far[..., 0] - 255 * np.minimum(metres / 160.0, 1.0)).max() <= 1.0
assert (stencil[..., 0] == own[2][..., 2]).all() and len(np.unique(stencil)) > 1
assert (facing == own[3]).all()
assert (moved[..., 1:] == 128).all() and rough.max() == 0, "nothing moves; no materials"
for sensor in (camera, depth, tags, normals):
    sensor.stop(), sensor.destroy()
""",
        timeout=90.0,
    )


@pytest.mark.slow
def test_maps_are_loaded_by_their_own_and_carlas_names(tmp_path: Path) -> None:
    for name in ("Town01", "Other"):
        (tmp_path / f"{name}.xodr").write_text(towns.generate("plain"), encoding="utf-8")
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(tmp_path / "Other.xodr", more / "Third.xodr")
    available = towns.maps([str(more), str(tmp_path / "Town01.xodr")], as_carla=True)
    assert list(available)[:2] == ["Third", "Town01"]
    assert available["Town01_Opt"] == available["Town01"] == str(tmp_path / "Town01.xodr")
    assert set(towns.AS_CARLA) <= set(available)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match=r"no \.xodr files in this folder"):
        towns.maps([str(tmp_path / "nothing")])
    first = next(iter(towns.maps([], as_carla=True)))
    assert first == "Town10HD_Opt", "the first map of CARLA's own server"
    with empty_town("Third", available) as server:
        run_client(
            server.port,
            """
            client.set_timeout(60.0)
            assert client.get_world().get_map().name == "Carla/Maps/Third"
            assert {"Carla/Maps/Town01", "Carla/Maps/Town03_Opt"} <= set(client.get_available_maps())
            for name in ("Town01", "/Game/Carla/Maps/Town01_Opt", "Third_Opt"):
                world = client.load_world(name)
                assert world.get_map().name.split("/")[-1] == name.split("/")[-1]
            raises(lambda: client.load_world("Town99"), "no town", "Town01")
            """,
            timeout=90.0,
        )


def test_signs_are_actors_and_landmarks_and_the_ground_is_part_of_the_level() -> None:
    with empty_town("hamlet") as server:
        run_client(
            server.port,
            """
            client.set_timeout(60.0)
            world = client.get_world()
            town = world.get_map()
            signs = [actor for actor in world.get_actors() if actor.type_id.startswith("traffic.") and
                     not actor.type_id.startswith("traffic.traffic_light")]
            kinds = {actor.type_id.split(".")[1] for actor in signs}
            assert kinds == {"stop", "yield", "speed_limit"}, kinds
            marks = {"205": "traffic.yield", "206": "traffic.stop"}
            landmarks = [mark for mark in town.get_all_landmarks() if mark.type in ("205", "206", "274")]
            assert len(landmarks) == len(signs)
            for mark in landmarks:
                sign = world.get_traffic_sign(mark)
                assert sign.type_id == marks.get(mark.type, f"traffic.speed_limit.{mark.value:.0f}")
                assert sign.get_location().distance(mark.transform.location) < 1.5
                # Where it applies there is a lane, whose traffic can read it.
                place = sign.get_transform().transform(sign.trigger_volume.location)
                way = town.get_waypoint(place)
                assert way.transform.location.distance(place) < 2.0
                away = abs((way.transform.rotation.yaw - sign.get_transform().rotation.yaw) % 360.0 - 180.0)
                assert away < 20.0, away
                assert not sign.destroy()
            labels = carla.CityObjectLabel
            def holds(box, place):  # the client's own `contains` ignores a box's rotation
                whole = carla.BoundingBox(carla.Location(), box.extent)
                return whole.contains(place, carla.Transform(box.location, box.rotation))
            roads = world.get_level_bbs(labels.Roads)
            for point in town.get_spawn_points():
                assert any(holds(box, point.location - carla.Location(0, 0, 0.2)) for box in roads)
            for label in (labels.Sidewalks, labels.RoadLines, labels.Ground, labels.Terrain):
                assert world.get_level_bbs(label), label
            pieces = world.get_environment_objects(labels.Roads)
            assert len({piece.id for piece in pieces}) == len(pieces) == len(roads)
            """,
            timeout=90.0,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crossways", "squares"])
def test_stand_in_towns_have_room_where_carlas_tests_spawn_vehicles(name: str) -> None:
    """Positions from ``PythonAPI/test/smoke`` (room for a lorry) and ``PythonAPI/util`` (room for a car)."""
    world = World(name, vehicles=0, walkers=0)
    places = {
        "crossways": [(30.0, -6.0, -90.0), (140.0, -256.0, 180.0), (40.0, -255.0, 0.0), (85.0, -230.0, -90.0)],
        "squares": [(33.0, -200.0, 90.0), (29.0, -200.0, 90.0), (36.0, -200.0, 91.0), (28.0, -200.0, 90.0)],
    }[name]
    for x, y, yaw in places:
        lorry = world.spawn("vehicle.carlamotors.european_hgv", {}, Transform(x, y, 0.5, 0.0, yaw))
        assert world.destroy(lorry.id)
    for x, y, yaw in {"crossways": [(110.0, -253.0, 181.5), (239.0, 125.0, -88.5), (140.0, -205.0, 181.5)]}.get(
        name, []
    ):
        assert world.destroy(world.spawn("vehicle.lincoln.mkz_2020", {}, Transform(x, y, 0.05, 0.0, yaw)).id)
    points = world.spawn_points()
    assert len(points) > 60
    for point in points:
        world.spawn("vehicle.mitsubishi.fusorosa", {}, point)
