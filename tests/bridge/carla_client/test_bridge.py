"""The bridge against a live town: the official client over TCP, the town in a process of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import carla
import cv2
import numpy as np
import pytest
from helpers.bridge_processes import advance, end

from bridge.carla_client.camera_rig import matrix
from bridge.carla_client.connection import connect
from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
from bridge.image_decoding import name_sky
from bridge.link.motion import reproject
from bridge.messages import MIRRORS, Control, Frame, Lights, mirror_frame
from bridge.tags import Tag
from neuralsim.town.core.blueprint_library import CAR_COLOURS

SIZE = (256, 128)
SCENERY = 10000  # instance values above are the town's scenery


@pytest.fixture(scope="module")
def digests(towns) -> list[str]:
    """Return digests of the tag planes of the first run in each town. The second town is needed for nothing else."""
    both = [tag_digest(address) for _, address in towns]
    end(towns[1][0])
    return both


@pytest.fixture(scope="module")
def town(towns, digests) -> str:
    return towns[0][1]


@pytest.fixture(scope="module")
def client(town: str) -> carla.Client:
    return connect(town)


@pytest.fixture
def bridge(client: carla.Client) -> Iterator[CarlaBridge]:
    with CarlaBridge(client, BridgeSettings(SIZE)) as bridge:
        yield bridge


class TestFrame:
    def test_frame_is_complete(self, bridge):
        frame = advance(bridge, 3)
        assert {name: (plane.dtype, plane.shape) for name, plane in frame.planes.items()} == {
            "tag": (np.uint8, (128, 256)),
            "instance": (np.uint16, (128, 256)),
            "depth": (np.float32, (128, 256)),
            "motion": (np.float16, (128, 256, 2)),
        }
        tag, depth = frame.planes["tag"], frame.planes["depth"]
        assert {Tag.ROAD, Tag.SKY, Tag.BUILDING} <= set(np.unique(tag))
        assert (depth[tag == Tag.SKY] > 999).all()
        assert (depth[tag == Tag.ROAD] < 999).all()
        assert (tag[-10:] == Tag.ROAD).mean() > 0.5  # no bonnet
        assert (frame.sequence, frame.seed) == (2, 0)
        assert frame.sim_time > 0
        assert frame.stamps["capture"] < frame.stamps["simulated"]
        assert frame.ego.road_id >= 0
        assert frame.ego.blueprint == "vehicle.tesla.model3"
        assert frame.ego.color in CAR_COLOURS
        assert {"cloudiness", "sun_altitude_angle"} <= set(frame.weather)

    def test_the_camera_is_at_the_ego(self, bridge):
        frame = advance(bridge, 2)
        place = np.linalg.inv(frame.ego.pose) @ frame.camera.pose
        np.testing.assert_allclose(place[:3, 3], (1.2, 0.0, 1.45), atol=1e-3)
        np.testing.assert_allclose(place[:3, :3], np.eye(3), atol=1e-4)

    def test_ticks_are_complete_and_in_order(self, bridge):
        first = advance(bridge)
        frames = [advance(bridge) for _ in range(10)]
        assert [f.sim_frame for f in frames] == [first.sim_frame + k for k in range(1, 11)]
        np.testing.assert_allclose(np.diff([f.sim_time for f in frames]), 1 / 30, atol=1e-6)

    def test_matrix_is_carlas(self):
        transform = carla.Transform(carla.Location(1, -2, 3), carla.Rotation(pitch=10, yaw=-130, roll=20))
        np.testing.assert_allclose(matrix(transform), np.array(transform.get_matrix()), atol=1e-6)


class TestDriving:
    def test_pedals_and_steering(self, bridge):
        start = advance(bridge).ego
        bridge.apply_control(Control(7, throttle=0.9, steer=0.06))
        frame = advance(bridge, 30)
        assert frame.control_seq == 7
        assert frame.ego.speed > 2.0
        assert frame.ego.gear >= 1
        turned = np.linalg.inv(start.pose) @ frame.ego.pose
        assert turned[0, 3] > 1.0
        assert turned[1, 0] > 0.005  # to the right
        bridge.apply_control(Control(8, brake=1.0))
        assert abs(advance(bridge, 60).ego.speed) < 0.2
        bridge.apply_control(Control(9, throttle=0.6, reverse=True))
        assert advance(bridge, 40).ego.speed < -0.5

    def test_lamps_follow_the_driver_the_pedals_and_the_night(self, bridge):
        def lit(**control) -> int:
            bridge.apply_control(Control(bridge.control.sequence + 1, **control))
            frame = advance(bridge, 2)
            assert frame.ego.lights == int(bridge._ego.actor.get_light_state())
            return frame.ego.lights

        low = Lights.POSITION | Lights.LOW_BEAM
        assert lit(preset="ClearNoon") == 0
        assert lit(preset="ClearNoon", lights=low) == low
        assert lit(preset="ClearNoon", lights=Lights.LEFT_BLINKER, brake=0.5) == Lights.LEFT_BLINKER | Lights.BRAKE
        assert lit(preset="ClearNoon", reverse=True) == Lights.REVERSE
        assert lit(preset="ClearNight") == low
        assert lit(preset="ClearNight", lights_auto=False) == 0
        assert lit(preset="ClearNight", lights=low | Lights.HIGH_BEAM, lights_auto=False) == low | Lights.HIGH_BEAM
        assert lit(preset="ClearNoon") == 0

    def test_street_lamps_come_with_the_night(self, bridge):
        for preset, lit in (("ClearNoon", False), ("ClearNight", True), ("ClearNoon", False)):
            bridge.apply_control(Control(bridge.control.sequence + 1, preset=preset))
            advance(bridge, 31)  # the list of lamps is refreshed once per second
            assert bool(len(bridge._surroundings._street_lamps)) == lit, preset

    def test_lamps_of_a_car_ahead_are_those_that_a_client_has_set(self, bridge, client):
        world, ego = client.get_world(), bridge._ego.actor
        place = ego.get_transform()
        place.location += 9.0 * place.get_forward_vector()
        place.location.z += 0.3
        car = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.a2"), place)
        try:
            for bits, brake, kinds in (
                (Lights.POSITION, 0.0, {"tail"}),
                (Lights.POSITION | Lights.REVERSE, 1.0, {"brake", "reverse"}),
            ):
                bridge._surroundings._ticks = 0  # it takes note of new actors once per second
                car.set_light_state(carla.VehicleLightState(int(bits)))
                car.apply_control(carla.VehicleControl(brake=brake))
                frame = advance(bridge, 4)
                assert {lamp.kind for lamp in frame.lamps if lamp.depth < 9.0} >= kinds
        finally:
            car.destroy()

    def test_respawn(self, bridge):
        before = advance(bridge).ego.pose[:2, 3]
        bridge.apply_control(Control(1, respawn=1))
        frame = advance(bridge, 3)
        ego = frame.ego
        assert np.hypot(*(ego.pose[:2, 3] - before)) > 5.0
        assert frame.notice == "Respawned"
        assert abs(ego.speed) < 0.5
        assert ego.collisions == 0

    def test_weather_presets_cycle(self, bridge):
        names = []
        for count in range(1, 4):
            bridge.apply_control(Control(count, weather=count))
            frame = advance(bridge)
            names.append(frame.weather_name)
            preset = getattr(carla.WeatherParameters, frame.weather_name)
            assert frame.weather["sun_altitude_angle"] == pytest.approx(preset.sun_altitude_angle, abs=1e-3)
        assert len(set(names)) == 3

    def test_weather_of_another_client_is_noticed_within_a_second(self, bridge, town):
        advance(bridge)
        world = connect(town).get_world()
        world.set_weather(carla.WeatherParameters.ClearNight)  # does not wait; the next call does
        assert world.get_weather().sun_altitude_angle < 0.0
        frame = advance(bridge, 31)
        assert frame.weather_name == "ClearNight"
        assert frame.weather["sun_altitude_angle"] < 0.0

    def test_weather_is_set_by_preset_and_sun_by_time_of_day(self, bridge):
        bridge.apply_control(Control(1, preset="WetCloudySunset"))
        assert advance(bridge).weather_name == "WetCloudySunset"
        heights = []
        for count, minutes in enumerate((300, 480, 720, 1080, 1380), 2):
            bridge.apply_control(Control(count, preset="WetCloudySunset", minutes=minutes))
            frame = advance(bridge)
            assert frame.weather["wetness"] == pytest.approx(carla.WeatherParameters.WetCloudySunset.wetness)
            heights.append(frame.weather["sun_altitude_angle"])
        assert heights[2] == pytest.approx(90.0 - 50.0 + 12.0, abs=0.5)  # noon: the pole's and the sun's own angles
        assert heights[0] < heights[1] < heights[2] > heights[3] > heights[4]
        assert heights[4] < -10.0
        bridge.apply_control(Control(9, preset="WetCloudySunset"))
        sunset = carla.WeatherParameters.WetCloudySunset.sun_altitude_angle
        assert sunset == pytest.approx(15.0)  # presets are shared by the process: no drive may change them
        assert advance(bridge).weather["sun_altitude_angle"] == pytest.approx(sunset, abs=1e-3)

    def test_every_camera_delivers_from_its_mount(self, bridge):
        half = bridge._ego.actor.bounding_box.extent
        ahead = {"bonnet": 1.0, "chase": 1.0, "left": 0.0, "right": 0.0, "back": -1.0, "reversing": -1.0, "": 1.0}
        for count, (name, along) in enumerate(ahead.items(), 1):
            bridge.apply_control(Control(count, camera=name))
            frame = advance(bridge, 2)
            assert (frame.mount, set(frame.planes)) == (name, {"tag", "instance", "depth", "motion"})
            place = np.linalg.inv(frame.ego.pose) @ frame.camera.pose
            assert place[0, 0] == pytest.approx(along, abs=0.2), name
            ego_seen = (frame.planes["instance"] == bridge._ego.actor.id).mean()
            assert (ego_seen > 0.02) == (name == "chase"), name  # it is seen from behind, and not from its seat
            assert abs(place[1, 3]) < half.y
        bridge.apply_control(Control(20, camera="moon"))
        assert advance(bridge).mount == ""

    def test_a_smaller_size_changes_nothing_but_the_images(self, bridge):
        bridge.apply_control(Control(1, throttle=1.0))
        before = advance(bridge, 30)
        world = bridge._ego.actor.get_world()
        cameras = len(world.get_actors().filter("sensor.camera.*"))
        chosen = [("", (192, 96)), ("chase", (192, 96)), ("", None), ("", (512, 256))]
        for count, (camera, size) in enumerate(chosen, 2):
            bridge.apply_control(Control(count, throttle=1.0, camera=camera, size=size))
            frame = advance(bridge, 2)
            width, height = size if size == (192, 96) else SIZE  # never more than the bridge's own
            assert (frame.camera.width, frame.camera.height, frame.mount) == (width, height, camera)
            assert {plane.shape[:2] for plane in frame.planes.values()} == {(height, width)}
            seconds = frame.sim_time - before.sim_time
            moved = np.linalg.norm((frame.ego.pose - before.ego.pose)[:2, 3])
            assert before.ego.speed * seconds < moved < frame.ego.speed * seconds + 0.1, "no place or speed is lost"
            assert seconds < 0.5
            before = frame
        assert len(world.get_actors().filter("sensor.camera.*")) == cameras

    def test_the_rear_mirror_has_a_frame_of_its_own_while_it_is_on(self, bridge):
        assert not any(advance(bridge).mirror for _ in range(2))
        bridge.apply_control(Control(1, mirror=True, preset="ClearNoon", throttle=1.0))
        own = []
        for _ in range(24):
            frame = mirror_frame(advance(bridge))
            if frame is not None:
                frame.planes = {name: plane.copy() for name, plane in frame.planes.items()}  # valid for one tick
                own.append(frame)
        assert 4 <= len(own) <= 8, "seven a second"
        before, last = own[-2:]
        assert (last.camera.width, last.camera.height) == MIRRORS["rear"]
        assert last.camera.pose[:3, 0] @ last.ego.pose[:3, 0] < -0.9, "back"
        assert (last.planes["tag"][:8] != Tag.ROAD).all()
        assert (last.planes["tag"][-4:] == Tag.ROAD).mean() > 0.5, "the right way up"
        assert last.planes["rgb"].std() > 10.0, "a street, not one colour"
        expected = reproject(last.planes["depth"], last.camera, before.camera.pose).astype(np.float32)
        stands = np.isin(last.planes["tag"], (Tag.ROAD, Tag.BUILDING))
        error = np.abs(last.planes["motion"].astype(np.float32) - expected)[stands]
        assert np.median(error) < 0.05
        bridge.apply_control(Control(2, preset="ClearNoon"))
        frames = [advance(bridge) for _ in range(8)]
        assert not any(frame.mirror or "mirror_tag" in frame.planes for frame in frames)

    def test_wing_mirrors_look_back_along_their_side_of_the_car(self, bridge):
        bridge.apply_control(Control(1, mirror=True, wing_mirrors=True, preset="ClearNoon", throttle=1.0))
        own: dict[str, list[Frame]] = {name: [] for name in MIRRORS}
        for _ in range(45):
            frame = advance(bridge)
            if frame.mirror is not None:
                seen = mirror_frame(frame)
                seen.planes = {name: plane.copy() for name, plane in seen.planes.items()}  # valid for one tick
                own[frame.mirror.name].append(seen)
        assert 10 <= sum(map(len, own.values())) <= 16, "nine a second"
        assert all(len(frames) >= 3 for frames in own.values()), own
        half = bridge._ego.actor.bounding_box.extent
        for name, side in (("left", -1.0), ("right", 1.0)):
            before, last = own[name][-2:]
            place = np.linalg.inv(last.ego.pose) @ last.camera.pose
            assert place[1, 3] * side > half.y, "outside of its door"
            assert place[:2, 0] @ (-1.0, 0.3 * side) > 0.95, "back and outwards"
            assert place[2, 2] > 0.9, "upright"
            tag = last.planes["tag"]
            assert tag.shape == MIRRORS[name][::-1]
            inner = np.s_[:, :16] if side < 0.0 else np.s_[:, -16:]  # of the camera's image, which is not flipped
            flank = (last.planes["instance"] == bridge._ego.actor.id)[inner].mean()
            assert 0.1 < flank < 1.0, "its own car's flank at the inner edge"
            expected = reproject(last.planes["depth"], last.camera, before.camera.pose).astype(np.float32)
            stands = np.isin(tag, (Tag.ROAD, Tag.BUILDING, Tag.SIDEWALK))
            error = np.abs(last.planes["motion"].astype(np.float32) - expected)[stands]
            assert np.median(error) < 0.05
        bridge.apply_control(Control(2, mirror=True, preset="ClearNoon"))
        frames = [advance(bridge) for _ in range(12)]
        assert {frame.mirror.name for frame in frames if frame.mirror} == {"rear"}
        bridge.apply_control(Control(3, preset="ClearNoon"))

    def test_route_to_a_destination_is_planned_sent_and_driven(self, bridge):
        advance(bridge)  # the first frame has it anyway
        assert advance(bridge).chart is None  # nobody wants it
        bridge.apply_control(Control(1, chart="?"))
        chart = advance(bridge).chart
        assert chart is not None
        every = np.concatenate(chart.lines)
        ego = bridge._ego.actor.get_transform().location
        assert np.hypot(*(every - (ego.x, ego.y)).T).min() < 3.0
        assert len(advance(bridge).traffic) > 3
        bridge.apply_control(Control(2, chart=chart.name))
        assert advance(bridge).chart is None  # it has come
        start = bridge.map.get_waypoint(ego)
        goal = start.next(70.0)[0].transform.location
        control = Control(3, autopilot=True, going=1, goal=True, goal_x=goal.x, goal_y=goal.y)
        bridge.apply_control(control)
        frame = advance(bridge)
        assert 50.0 < frame.route_left < 110.0
        assert np.hypot(*(frame.route[0] - (ego.x, ego.y))) < 8.0
        assert np.hypot(*(frame.route[-1] - (goal.x, goal.y))) < 5.0
        before = frame.route_left
        assert advance(bridge, 120).route_left < before - 5.0
        bridge.apply_control(Control(4, going=2))
        frame = advance(bridge)
        assert (frame.route_left, len(frame.route)) == (0.0, 0)

    def test_route_is_recalculated_off_route_and_arrival_is_announced(self, bridge):
        goal = bridge.map.get_waypoint(bridge._ego.actor.get_transform().location).next(70.0)[0].transform.location
        bridge.apply_control(Control(1, going=1, goal=True, goal_x=goal.x, goal_y=goal.y))
        advance(bridge)
        strayed = max(bridge._spawn_points.points, key=lambda point: point.location.distance(goal))
        bridge._ego.actor.set_transform(strayed)
        assert "Recalculating" in advance(bridge).notice
        there = bridge.map.get_waypoint(goal).transform
        there.location.z += 0.3
        bridge._ego.actor.set_transform(there)
        bridge._navigator.go(goal.x, goal.y, goal)
        frame = advance(bridge)
        assert "arrived" in frame.notice
        assert frame.route_left == 0.0

    def test_rgb_is_sent_only_on_request(self, bridge):
        assert "rgb" not in advance(bridge).planes
        for sequence in (1, 3):
            bridge.apply_control(Control(sequence, rgb=True))
            assert any("rgb" in advance(bridge).planes for _ in range(20))
            assert advance(bridge).planes["rgb"].std() > 10
            bridge.apply_control(Control(sequence + 1))
            assert "rgb" not in advance(bridge).planes

    def test_at_half_the_size_it_is_every_second_pixel(self, bridge, client):
        camera = client.get_world().get_blueprint_library().find("sensor.camera.rgb")
        is_exact = camera.has_attribute("half_size")  # else a camera of half the size must do
        same = 0.9 if is_exact else 0.2
        for sequence in (1, 3):
            bridge.apply_control(Control(sequence, rgb=True, rgb_half=True))
            assert any({"rgb", "rgb_half"} <= advance(bridge).planes.keys() for _ in range(20))
            planes = advance(bridge).planes
            whole = planes["rgb"][::2, ::2].astype(int)
            assert planes["rgb_half"].shape == whole.shape
            assert (np.abs(planes["rgb_half"] - whole).max(-1) <= 2).mean() > same
            if not is_exact:  # its pixels lie between four of the whole image
                whole = planes["rgb"].reshape(whole.shape[0], 2, whole.shape[1], 2, 3).mean((1, 3))
            assert np.corrcoef(planes["rgb_half"].reshape(-1), whole.reshape(-1))[0, 1] > 0.9
            bridge.apply_control(Control(sequence + 1))
            assert not {"rgb", "rgb_half"} & advance(bridge).planes.keys()

    def test_hitting_a_wall_is_a_collision(self, bridge):
        bridge.apply_control(Control(1, throttle=1.0, steer=0.5))
        for _ in range(400):
            frame = advance(bridge)
            if frame.ego.collisions:
                break
        assert 1 <= frame.ego.collisions <= 3

    def test_autopilot_drives_through_town_without_collisions(self, client):
        with CarlaBridge(client, BridgeSettings(SIZE, seed=2, autopilot=True, fps=20.0)) as bridge:
            way, moved = advance(bridge).ego.pose[:2, 3], 0.0
            for _ in range(240):
                frame = advance(bridge)
                moved += float(np.hypot(*(frame.ego.pose[:2, 3] - way)))
                way = frame.ego.pose[:2, 3]
            assert moved > 10.0
            assert frame.ego.collisions == 0

    def test_actors_and_settings_are_restored(self, client):
        world = client.get_world()
        world.wait_for_tick()
        before = {actor.id for actor in world.get_actors()}
        settings = world.get_settings()
        with CarlaBridge(client, BridgeSettings(SIZE)) as bridge:
            advance(bridge, 2)
            assert world.get_settings().synchronous_mode
        assert world.get_settings() == settings
        deadline = time.monotonic() + 5
        while {actor.id for actor in client.get_world().get_actors()} != before:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_mode_that_a_killed_master_has_left_behind_is_not_restored(town):
    """A CARLA server stays synchronous for ever when its master is killed; the town needs one that stays connected."""
    master = connect(town)
    settings = master.get_world().get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    master.get_world().apply_settings(settings)
    with CarlaBridge(connect(town), BridgeSettings(SIZE)) as bridge:
        assert advance(bridge).planes["tag"].any()
    assert not master.get_world().get_settings().synchronous_mode


def test_what_has_no_tag_at_the_far_plane_is_sky():
    tag = np.array([0, 0, 1, 11], np.uint8)
    name_sky(tag, np.array([1000.0, 40.0, 1000.0, 1000.0], np.float32))
    assert tag.tolist() == [Tag.SKY, 0, 1, Tag.SKY]


def reprojected(new: Frame, old: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return motion f64 (H, W, 2) from depth, camera and object poses; masks of scenery and of rigid movers.

    Wheels rotate: pixels low at the sides of a vehicle are not counted as rigid.
    """
    camera, depth, tag = new.camera, new.planes["depth"].astype(float), new.planes["tag"]
    j, i = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    right, up = (j - camera.width / 2) / camera.focal, (camera.height / 2 - i) / camera.focal
    points = np.stack([depth, depth * right, depth * up, np.ones_like(depth)], -1)
    points[depth > 999, 3] = 0.0  # the sky is at infinity
    points = points @ camera.pose.T
    moving = np.isin(tag, [Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE, Tag.BICYCLE, Tag.RIDER, Tag.PEDESTRIAN])
    moving &= new.planes["instance"] < SCENERY
    rigid = np.zeros_like(moving)
    before = {o.instance: o for o in old.objects}
    for o in new.objects:
        of = moving & (new.planes["instance"] == o.instance)
        if o.instance in before and o.tag in (Tag.CAR, Tag.TRUCK, Tag.BUS):
            own = points @ np.linalg.inv(o.pose).T
            points[of] = own[of] @ before[o.instance].pose.T
            rigid |= of & ((own[..., 2] + o.extent[2] > 1.2) | (np.abs(own[..., 1]) < o.extent[1] - 0.65))
    local = points @ np.linalg.inv(old.camera.pose).T
    u = camera.width / 2 + camera.focal * local[..., 1] / local[..., 0]
    v = camera.height / 2 - camera.focal * local[..., 2] / local[..., 0]
    return np.stack([u - j, v - i], -1), ~moving, rigid


def test_motion_agrees_with_depth_and_poses(client):
    """Checks all pixels, edges included, of scenery and moving vehicles; walkers deform and are excluded."""
    still_pixels = moving_pixels = 0
    for seed in range(6):
        with CarlaBridge(client, BridgeSettings(seed=seed, autopilot=True)) as bridge:
            old = advance(bridge, 40)
            for _ in range(12):
                new = advance(bridge)
                true, still, rigid = reprojected(new, old)
                error = np.abs(new.planes["motion"].astype(float) - true).max(-1)
                unit = np.spacing(np.abs(true).max(-1).astype(np.float16)).astype(float)
                right = error <= np.maximum(0.05, 0.5 * unit)
                assert right[still].mean() >= 0.99
                assert np.abs(true[still]).max() > 1.0
                own = np.abs(new.planes["motion"].astype(float) - reprojected_still(new, old)).max(-1)
                if (rigid & (own > 0.3)).sum() > 50:  # a vehicle that moves
                    assert right[rigid].mean() >= 0.99
                    moving_pixels += int(rigid.sum())
                still_pixels += int(still.sum())
                old = new
        if moving_pixels > 2000:
            break
    assert still_pixels > 1e6
    assert moving_pixels > 2000, "nobody drove by"


def reprojected_still(new: Frame, old: Frame) -> np.ndarray:
    """Return the same motion as ``reprojected``, but as if the objects had not moved."""
    return reprojected(Frame(0, 0, 0.0, new.camera, new.planes), old)[0]


def test_objects_are_where_their_pixels_are(client):
    count = 0
    for seed in range(4):
        with CarlaBridge(client, BridgeSettings(SIZE, seed=seed, autopilot=True)) as bridge:
            frame = advance(bridge, 40)
        camera = frame.camera
        for o in frame.objects:
            mask = frame.planes["instance"] == o.instance
            assert mask.any()
            centre = np.linalg.inv(camera.pose) @ o.pose[:, 3]
            assert np.abs(np.median(frame.planes["depth"][mask]) - centre[0]) < max(o.extent) + 1.0
            count += 1
        for parked in (False, True):  # first those that can move
            of = [o for o in frame.objects if o.parked == parked]
            depths = [(np.linalg.inv(camera.pose) @ o.pose[:, 3])[0] for o in of]
            assert depths == sorted(depths)
        assert frame.objects == sorted(frame.objects, key=lambda o: o.parked)
    assert count >= 3


def test_every_parked_car_in_view_has_a_box_around_its_surface(client):
    """Each has one, however little of it is visible; where nothing hides it, its surface reaches the box's sides."""
    vehicles = [Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE, Tag.BICYCLE]
    count = whole = 0
    for seed in range(6):
        with CarlaBridge(client, BridgeSettings((512, 256), seed=seed)) as bridge:
            frame = advance(bridge, 3)
            actors = [each.id for each in client.get_world().get_actors()]
        tag, instance, depth = (frame.planes[name] for name in ("tag", "instance", "depth"))
        scenery = np.isin(tag, vehicles) & ~np.isin(instance, actors)
        boxes = {o.instance: o for o in frame.objects if o.parked}
        assert boxes.keys() == set(np.unique(instance[scenery]).tolist())
        assert len(boxes) == sum(o.parked for o in frame.objects)
        points = surface(frame)
        for value, o in boxes.items():
            count += 1
            mask = instance == value
            assert (tag[mask] == o.tag).mean() > 0.5
            local = (points[mask] @ np.linalg.inv(o.pose).T)[:, :3]
            assert (np.abs(local) < np.add(o.extent, 0.05)).all()
            if mask.sum() > 60 and not is_cut_or_hidden(mask, tag, depth):
                whole += 1
                eye = (np.linalg.inv(o.pose) @ frame.camera.pose[:, 3])[:3]
                for axis in (0, 1, 2):
                    if abs(eye[axis]) > o.extent[axis]:  # this side faces the camera
                        reached = (local[:, axis] * np.sign(eye[axis])).max()
                        assert reached > o.extent[axis] - 0.25 - 2.0 * np.median(depth[mask]) / frame.camera.focal
    assert count >= 10
    assert whole


def surface(frame: Frame) -> np.ndarray:
    """f64 (H, W, 4): the surface point of each pixel in the world."""
    camera, depth = frame.camera, frame.planes["depth"].astype(float)
    j, i = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    right, up = (j - camera.width / 2) / camera.focal, (camera.height / 2 - i) / camera.focal
    return np.stack([depth, depth * right, depth * up, np.ones_like(depth)], -1) @ camera.pose.T


def is_cut_or_hidden(mask: np.ndarray, tag: np.ndarray, depth: np.ndarray) -> bool:
    """Whether an object reaches the image's edge, or something other than the ground is in front of it."""
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        return True
    around = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))).astype(bool) & ~mask
    around &= ~np.isin(tag, [Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK, Tag.TERRAIN])
    return bool((depth[around] < np.median(depth[mask])).any())


def test_lamps_report_the_states_of_traffic_lights(client):
    """For each traffic light in view there is a lamp of its state."""
    world = client.get_world()
    lights = world.get_actors().filter("traffic.traffic_light*")
    if not lights:
        pytest.skip("this town has no traffic lights")
    seen = set()
    with CarlaBridge(client) as bridge:
        for light in list(lights)[:6]:
            ways = light.get_stop_waypoints()
            if not ways:
                continue
            behind = (ways[0].previous(12.0) or [ways[0]])[0].transform
            behind.location.z += 0.05
            bridge._ego.actor.set_transform(behind)
            for state in (carla.TrafficLightState.Red, carla.TrafficLightState.Green):
                light.set_state(state)
                frame = advance(bridge, 2)
                for lamp in frame.lamps:
                    left, top, right, bottom = lamp.box
                    assert right > left
                    assert bottom > top
                    assert 0.5 < lamp.depth < 100
                    if lamp.kind == "traffic_light":
                        seen.add(lamp.state)
    assert {"red", "green"} <= seen


def tag_digest(address: str) -> str:
    """Return a digest of the tag planes of a run from the world's first tick, first by controls, then by autopilot."""
    digest = hashlib.sha256()
    client = connect(address)
    client.set_timeout(120.0)  # a town is built while it waits
    world = client.get_world()
    free, held = world.get_settings(), world.get_settings()
    held.synchronous_mode = True
    world.apply_settings(held)
    world = client.reload_world(False)
    with CarlaBridge(client, BridgeSettings(SIZE, seed=3)) as bridge:
        for k in range(70):
            bridge.apply_control(
                Control(k, throttle=0.7, steer=0.2 * np.sin(k / 8), autopilot=k >= 30, respawn=k // 50)
            )
            bridge.drive()
            digest.update(bridge.tick().planes["tag"].tobytes())
    world.apply_settings(free)
    return digest.hexdigest()


def test_same_seed_and_controls_give_identical_planes(digests):
    assert digests[0] == digests[1]
