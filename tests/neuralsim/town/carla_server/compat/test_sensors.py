"""Sensors other than cameras: ray casting in the town, and the instruments based on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import carla
import msgpack
import numpy as np
import pytest
from helpers.wire_client import empty_town, run_client

from bridge.tags import Tag
from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.compat.event_camera import EVENT, EventCamera
from neuralsim.town.carla_server.compat.instruments import INSTRUMENTS
from neuralsim.town.carla_server.compat.lidar_radar import SemanticLidar
from neuralsim.town.carla_server.compat.sensor_interface import Cast, Instrument
from neuralsim.town.carla_server.compat.v2x import Airwaves
from neuralsim.town.core.types import Actor, Transform, VehicleControl
from neuralsim.town.raycasting.rays import Hits, Rays
from neuralsim.town.render.raster import Planes
from neuralsim.town.world import World

STEP = 0.05


class Bench:
    """A town with the ``SensorContext`` of its instruments."""

    gravity = 9.81
    airwaves = Airwaves()

    def __init__(self) -> None:
        self.world = World("hamlet", seed=2, vehicles=0, walkers=0)
        self.rays = Rays(*self.world.shapes()[:2])

    def caster(self) -> Cast:
        poses = self.world.shapes()[2]

        def cast(origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True) -> Hits:
            return self.rays.cast(origin, direction, reach, poses, ignore, still)

        return cast

    def describe(self, actor: int, tag: int) -> list[Any]:
        return [actor, tag]

    def make(self, kind: str, mount: Transform, parent: Actor, **given: str) -> Instrument:
        actor = self.world.spawn(kind, given, mount, parent.id)
        return INSTRUMENTS[kind](self, actor)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture
def pair(bench: Bench) -> Iterator[tuple[Actor, Actor]]:
    """A car, and another one 20 m ahead in the same direction."""
    start = straight(bench.world)
    yaw = np.radians(start.yaw)
    ahead = Transform(start.x + 20.0 * np.cos(yaw), start.y + 20.0 * np.sin(yaw), start.z, 0.0, start.yaw)
    cars = tuple(bench.world.spawn("vehicle.tesla.model3", {}, place) for place in (start, ahead))
    yield cars[0], cars[1]
    for car in cars:
        bench.world.destroy(car.id)


def straight(world: World) -> Transform:
    """Return a spawn point with 60 m of straight road ahead."""
    for point in world.spawn_points():
        waypoint = world.map.get_waypoint(carla.Location(point.x, point.y, point.z))
        far = waypoint.next(40.0)
        if far and not far[0].is_junction and abs(far[0].transform.rotation.yaw - waypoint.transform.rotation.yaw) < 2:
            return point
    raise AssertionError("no straight road")


@pytest.mark.usefixtures("whole_leaves")
def test_rays_hit_what_the_camera_sees(bench: Bench, pair: tuple[Actor, Actor]) -> None:
    # So narrow that everything within 60 m is drawn in its finest level of detail, as rays see it.
    lens = {"image_size_x": "960", "image_size_y": "480", "fov": "90"}
    camera = bench.world.spawn("sensor.camera.depth", lens, Transform(2.0, 0.0, 1.4), pair[0].id)
    planes = bench.world.capture(camera.id)
    planes = Planes(*(plane[2::4, 2::4] for plane in (planes.tag, planes.instance, planes.depth, planes.motion)), None)
    column, row = np.meshgrid(np.arange(960)[2::4] + 0.5, np.arange(480)[2::4] + 0.5)
    rays = np.stack([np.ones_like(column), (column - 480) / 480, -(row - 240) / 480], axis=-1).reshape(-1, 3)
    pose = camera.transform.matrix()
    hits = bench.caster()(pose[:3, 3], rays @ pose[:3, :3].T, 200.0, ignore=pair[0].id)
    seen = (planes.depth < 60.0).ravel()
    assert seen.sum() > 10_000
    depth = np.abs(hits.distance / planes.depth.ravel() - 1.0) < 1e-3
    assert depth[seen].mean() > 0.999
    assert (hits.tag == planes.tag.ravel())[seen].mean() > 0.999
    car = (planes.instance == pair[1].id).ravel()
    assert car.sum() > 60
    assert (hits.actor[car] == pair[1].id).mean() > 0.98
    assert np.allclose(np.linalg.norm(hits.normal[seen], axis=1), 1.0)
    assert (np.einsum("ni,ni->n", hits.normal, rays @ pose[:3, :3].T)[seen] <= 1e-9).all(), "towards the ray's origin"
    road = seen & (hits.tag == Tag.ROAD)
    assert np.median(hits.normal[road, 2]) > 0.999, "the road looks upwards"
    bench.world.destroy(camera.id)


def test_lidar_rotates_and_sends_the_right_number_of_points(bench: Bench, pair: tuple[Actor, Actor]) -> None:
    given = {"channels": "16", "range": "40", "points_per_second": "64000", "rotation_frequency": "10"}
    lidar = bench.make("sensor.lidar.ray_cast_semantic", Transform(0.0, 0.0, 2.4), pair[0], **given)
    around, ids = np.zeros(0), set()
    for _ in range(2):  # two ticks of half a turn each
        body = lidar.read(STEP)
        assert body is not None
        head = np.frombuffer(body, np.uint32, 18)
        points = np.frombuffer(body, SemanticLidar.POINT, offset=18 * 4)
        assert head[1] == 16
        assert head[2:].sum() == len(points)
        assert head[2:].max() <= 200
        away = np.linalg.norm(points["xyz"], axis=1)
        assert away.max() <= 40.001
        assert (points["cosine"] >= -1e-6).all()
        assert points["cosine"].max() > 0.9
        rows = np.degrees(np.arcsin(points["xyz"][:, 2] / away))
        assert np.allclose(rows[: head[2]], 10.0, atol=0.01)
        assert np.allclose(rows[-int(head[17]) :], -30.0, atol=0.01)
        around = np.concatenate([around, np.degrees(np.arctan2(points["xyz"][:, 1], points["xyz"][:, 0]))])
        ids |= set(points["actor"][points["tag"] == Tag.CAR].tolist())
        for car in pair:  # as CARLA's check_lidar_bb.py looks at it, mirrors and all
            centre, half, *_ = structs.pack_box(car)
            at = points["xyz"][points["actor"] == car.id].astype(float)
            to_car = np.linalg.inv(car.transform.matrix()) @ lidar.actor.transform.matrix()
            assert (np.abs(at @ to_car[:3, :3].T + to_car[:3, 3] - centre) < np.array(half) + 0.1).all()
    assert np.histogram(around, 36, (-180, 180))[0].min() > 5, "all around"
    assert pair[1].id in ids
    bench.world.destroy(lidar.actor.id)


def test_lidar_drops_points_as_configured_and_reproducibly(bench: Bench, pair: tuple[Actor, Actor]) -> None:
    def points(**given: str) -> bytes:
        lidar = bench.make("sensor.lidar.ray_cast", Transform(0.0, 0.0, 2.4), pair[0], range="40", **given)
        body = lidar.read(STEP)
        bench.world.destroy(lidar.actor.id)
        assert body is not None
        return body[4 * 34 :]

    whole = points(dropoff_general_rate="0.0", dropoff_zero_intensity="1.0")
    half = points(dropoff_general_rate="0.5", dropoff_zero_intensity="1.0")
    assert 0.4 < len(half) / len(whole) < 0.6
    clean = np.frombuffer(whole, "<f4").reshape(-1, 4)
    away = np.linalg.norm(clean[:, :3], axis=1)
    assert np.allclose(clean[:, 3], np.exp(-0.004 * away), atol=1e-5)
    noisy = points(dropoff_general_rate="0.0", dropoff_zero_intensity="1.0", noise_stddev="0.2", noise_seed="5")
    difference = np.linalg.norm(np.frombuffer(noisy, "<f4").reshape(-1, 4)[:, :3], axis=1) - away
    assert 0.15 < difference.std() < 0.25
    again = points(dropoff_general_rate="0.0", dropoff_zero_intensity="1.0", noise_stddev="0.2", noise_seed="5")
    assert again == noisy


def test_radar_measures_approach_speed(bench: Bench, pair: tuple[Actor, Actor]) -> None:
    ego, other = pair
    bench.world.set_velocity(ego.id, np.array([10.0, 0.0, 0.0]) @ ego.transform.matrix()[:3, :3].T)
    bench.world.set_velocity(other.id, np.array([4.0, 0.0, 0.0]) @ ego.transform.matrix()[:3, :3].T)
    radar = bench.make("sensor.other.radar", Transform(2.5, 0.0, 0.8), ego, points_per_second="40000")
    body = radar.read(STEP)
    assert body is not None
    velocity, across, up, away = np.frombuffer(body, "<f4").reshape(-1, 4).T
    assert len(velocity) > 500
    assert away.max() <= 100.0
    assert max(np.abs(across).max(), np.abs(up).max()) <= np.radians(15.0) + 1e-6
    still = velocity + 10.0 * np.cos(across) * np.cos(up)
    car = np.abs(still) > 0.5
    assert 20 < car.sum() < 0.8 * len(car)
    assert np.allclose(still[~car], 0.0, atol=0.01), "scenery comes nearer by our own speed"
    assert np.allclose(velocity[car], -6.0, atol=0.2), "the car ahead by the difference"
    assert np.allclose(away[car].min(), 20.0 - 2.5 - other.extent[0], atol=0.4)
    bench.world.destroy(radar.actor.id)


def test_obstacle_detector_reports_the_nearest_object(bench: Bench, pair: tuple[Actor, Actor]) -> None:
    ego, other = pair
    detector = bench.make("sensor.other.obstacle", Transform(2.5, 0.0, 0.8), ego, distance="30", only_dynamics="true")
    body = detector.read(STEP)
    assert body is not None
    own, obstacle, distance = msgpack.unpackb(body)
    assert (own[0], obstacle[0]) == (ego.id, other.id)
    assert distance == pytest.approx(20.0 - 2.5 - other.extent[0], abs=0.3)
    short = bench.make("sensor.other.obstacle", Transform(2.5, 0.0, 0.8), ego, distance="5", only_dynamics="true")
    assert short.read(STEP) is None
    for sensor in (detector, short):
        bench.world.destroy(sensor.actor.id)


def test_gnss_and_imu_agree_with_the_map_and_with_physics(bench: Bench, pair: tuple[Actor, Actor]) -> None:
    ego = pair[0]
    gnss = bench.make("sensor.other.gnss", Transform(1.0, 0.0, 2.8), ego)
    place = gnss.actor.transform
    geo = bench.world.map.transform_to_geolocation(carla.Location(place.x, place.y, place.z))
    body = gnss.read(STEP)
    assert body is not None
    assert msgpack.unpackb(body) == pytest.approx([geo.latitude, geo.longitude, geo.altitude], abs=1e-9)

    imu = bench.make("sensor.other.imu", Transform(), ego)

    def read() -> tuple[list[float], list[float], float]:
        body = imu.read(STEP)
        assert body is not None
        felt, rate, compass = msgpack.unpackb(body)
        return felt, rate, compass

    read()
    felt, rate, compass = read()
    assert felt == pytest.approx([0.0, 0.0, 9.81], abs=0.02)
    assert rate == pytest.approx([0.0] * 3, abs=1e-3)
    assert np.degrees(compass) == pytest.approx((ego.transform.yaw + 90.0) % 360.0, abs=1e-3)
    ego.control = VehicleControl(throttle=1.0)
    speeds, felts = [], []
    for _ in range(20):
        bench.world.tick(STEP)
        speeds.append(float(np.linalg.norm(ego.velocity)))
        felts.append(read()[0][0])
    assert np.mean(felts) * STEP * 20 == pytest.approx(speeds[-1], rel=0.05), "acceleration adds up to speed"
    for sensor in (gnss, imu):
        bench.world.destroy(sensor.actor.id)


def test_event_camera_reports_changes_of_brightness() -> None:
    eye = EventCamera({"positive_threshold": "0.3", "negative_threshold": "0.3"})
    dark, bright = np.full((4, 6, 3), 40, np.uint8), np.full((4, 6, 3), 40, np.uint8)
    bright[1, 2], bright[3, 5] = 90, 10
    assert eye.read(dark, 1.0) == b""
    assert eye.read(dark, 1.1) == b""
    events = np.frombuffer(eye.read(bright, 1.2), EVENT)
    steps = np.log(90 / 40) / 0.3
    rising = events[events["pol"]]
    assert len(rising) == int(steps)
    assert set(zip(rising["x"], rising["y"], strict=True)) == {(2, 1)}
    falling = events[~events["pol"]]
    assert len(falling) == 4
    assert set(zip(falling["x"], falling["y"], strict=True)) == {(5, 3)}
    assert events["t"].min() > 1.1e9
    assert events["t"].max() <= 1.2e9
    assert (np.diff(events["t"]) >= 0).all()


@pytest.mark.parametrize(("kind", "given"), [("sensor.lidar.ray_cast", {"channels": "0"})])
def test_invalid_attributes_are_refused(
    bench: Bench, pair: tuple[Actor, Actor], kind: str, given: dict[str, str]
) -> None:
    actor = bench.world.spawn(kind, given, Transform(), pair[0].id)
    with pytest.raises(ValueError, match="choose"):
        INSTRUMENTS[kind](bench, actor)
    bench.world.destroy(actor.id)


def test_the_official_client_reads_all_instruments() -> None:
    with empty_town("hamlet") as server:
        run_client(
            server.port,
            """
            client.set_timeout(60.0)
            world = client.get_world()
            synchronous(world)
            library = world.get_blueprint_library()
            ego = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
            kinds = ["sensor.other.gnss", "sensor.other.imu", "sensor.other.radar", "sensor.other.obstacle",
                     "sensor.lidar.ray_cast", "sensor.lidar.ray_cast_semantic", "sensor.camera.normals",
                     "sensor.camera.dvs", "sensor.other.lane_invasion", "sensor.other.collision"]
            queues, sensors = {}, []
            for kind in kinds:
                blueprint = library.find(kind)
                for name, value in dict(image_size_x="64", image_size_y="48", distance="100", hit_radius="2").items():
                    if blueprint.has_attribute(name):
                        blueprint.set_attribute(name, value)
                place = carla.Transform(carla.Location(2.6, 0, 1.2))
                sensors.append(world.spawn_actor(blueprint, place, attach_to=ego))
                queues[kind] = queue.Queue()
                sensors[-1].listen(queues[kind].put)
            ego.apply_control(carla.VehicleControl(throttle=0.8, steer=0.3))
            for _ in range(50):
                frame = world.tick()
            def last(kind):
                data = queues[kind].get(timeout=20)
                while data.frame != frame:
                    data = queues[kind].get(timeout=20)
                return data
            assert last("sensor.other.gnss").altitude > 1.0
            upwards = [queues["sensor.other.imu"].get(timeout=20).accelerometer.z for _ in range(50)]
            # Dropped from 0.2 m it falls, lands and drives on the level, before it climbs the kerb and meets a wall.
            assert min(upwards[:4]) < 0.01 < 9.82 < max(upwards[:5]), upwards
            assert np.abs(np.array(upwards[5:40]) - 9.81).max() < 0.01, upwards
            assert all(0.0 < one.depth <= 100.0 for one in last("sensor.other.radar"))
            lidar, marked = last("sensor.lidar.ray_cast"), last("sensor.lidar.ray_cast_semantic")
            assert lidar.channels == 32 and 0 < len(lidar) == sum(lidar.get_point_count(k) for k in range(32))
            assert len(marked) > len(lidar) and all(0 < one.object_tag < 29 for one in marked)
            assert len(pixels(last("sensor.camera.normals"))) == 48
            assert queues["sensor.camera.dvs"].qsize() > 3
            assert queues["sensor.other.lane_invasion"].qsize() + queues["sensor.other.collision"].qsize() > 0
            if queues["sensor.other.obstacle"].qsize():
                assert queues["sensor.other.obstacle"].get().other_actor.type_id.startswith("static.")
            """,
            timeout=90.0,
        )


def test_every_streaming_blueprint_has_its_type(bench: Bench) -> None:
    sensors = [blueprint.id for blueprint in bench.world.blueprints() if blueprint.id.startswith("sensor.")]
    assert set(sensors) == set(structs.SENSOR_TYPES)
