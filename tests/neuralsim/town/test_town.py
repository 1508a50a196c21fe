"""The embedded town: its OpenDRIVE maps, roads, scenery, traffic and physics."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers.town_camera import STEP, with_camera

from bridge.tags import Tag
from neuralsim.town.core.types import Transform, VehicleControl
from neuralsim.town.dynamics.vehicle_dynamics import SPECS, VehicleState, overlap
from neuralsim.town.ground.blocks import points_in_polygon
from neuralsim.town.scenery.site import Prop
from neuralsim.town.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World("oldtown", seed=1, vehicles=30, walkers=15)


# Scenery --------------------------------------------------------------------------------------------------------------


def test_no_obstacle_is_on_a_lane(world: World) -> None:
    boxes = world.static_town.solid.boxes
    cos, sin = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    for lane in world.network.lanes:
        x, y, _ = lane.centre.T[..., None]  # each (N, 1)
        dx, dy = x - boxes[:, 0], y - boxes[:, 1]
        away = np.hypot(
            np.maximum(np.abs(dx * cos + dy * sin) - boxes[:, 3], 0),
            np.maximum(np.abs(dy * cos - dx * sin) - boxes[:, 4], 0),
        ).min()
        assert away > 1.25, f"an obstacle {away:.2f} m from the middle of road {lane.road} lane {lane.id}"


def test_street_looks_like_a_street(world: World) -> None:
    """Every class of a street has a plausible share, and there is no sky below the horizon."""
    shares = np.zeros(29)
    camera = world.spawn(
        "sensor.camera.semantic_segmentation", {"image_size_x": "256", "image_size_y": "128", "fov": "70"}, Transform()
    )
    for place in world.spawn_points()[:40]:
        world.set_transform(camera.id, Transform(place.x, place.y, 1.5, 0.0, place.yaw))
        tag = world.capture(camera.id).tag
        assert not (tag[66:] == Tag.SKY).any()
        shares += np.bincount(tag.ravel(), minlength=29) / tag.size / 40
    world.destroy(camera.id)
    expected = {
        Tag.ROAD: (0.18, 0.45),
        Tag.SIDEWALK: (0.02, 0.15),
        Tag.BUILDING: (0.15, 0.5),
        Tag.VEGETATION: (0.04, 0.35),
    }
    expected |= {Tag.SKY: (0.03, 0.3), Tag.CAR: (0.01, 0.2), Tag.ROAD_LINE: (0.002, 0.05), Tag.POLE: (0.001, 0.05)}
    for tag, (low, high) in expected.items():
        assert low < shares[tag] < high, f"{tag.name} {shares[tag]:.3f}"
    for tag in (Tag.WALL, Tag.FENCE, Tag.TRAFFIC_SIGN, Tag.TERRAIN, Tag.STATIC):
        assert shares[tag] > 0, tag.name


@pytest.mark.alone
def test_builds_fast_and_small(world: World) -> None:
    """The limit is the time of 120 million additions, as the speed of virtual processors varies."""
    start = time.process_time()
    sum(number for number in range(10_000_000))
    added = time.process_time()
    again = World("oldtown", seed=1)
    assert time.process_time() - added < 12.0 * (added - start)
    scene = again._views.scene
    assert scene.static_triangles < 130_000


def test_parked_cars_are_on_the_asphalt_within_the_town(world: World) -> None:
    parked = [prop for prop in world.props if prop.kind.startswith("vehicle.")]
    assert len(parked) > 150
    assert all(world.ground.is_asphalt(prop.x, prop.y) for prop in parked)
    for ring in world.ground.rings:
        spots = np.array([(prop.x, prop.y) for prop in parked])
        assert not ring.outer or points_in_polygon(spots, ring.points[:, :2]).all()


@pytest.mark.slow
def test_an_actor_that_claims_its_place_gets_it_and_nothing_else_changes() -> None:
    world, other = World("oldtown", seed=1, vehicles=0, walkers=0), World("oldtown", seed=1, vehicles=0, walkers=0)

    def below(prop: Prop) -> tuple[float, int]:
        """The height of what is straight below 30 m, and which actor that is."""
        start, down = np.array([prop.x, prop.y, 30.0]), np.array([[0.0, 0.0, -1.0]])
        hits = world.rays().cast(start, down, 40.0, world.shapes()[2])
        return 30.0 - float(hits.distance[0]), int(hits.actor[0])

    cars = [prop for prop in world.props if prop.kind.startswith("vehicle.")]
    car = next(prop for prop in cars if below(prop)[0] < 2.0)  # under no tree
    place, before = Transform(car.x, car.y, car.z + 0.05, 0.0, car.yaw), list(world.props)
    with pytest.raises(ValueError, match="collision"):
        world.spawn("vehicle.audi.tt", {}, place)
    spawned = world.spawn("vehicle.audi.tt", {"clears_place": "true"}, place)
    left = {id(prop) for prop in world.props}
    gone = [prop for prop in before if id(prop) not in left]
    assert car in gone
    assert all(np.hypot(prop.x - car.x, prop.y - car.y) < 6.0 for prop in gone)
    assert len(left) == len(before) - len(gone)
    assert world.spawn_points() == other.spawn_points()
    assert len(other.props) == len(before), "worlds of the same town share it"
    assert below(car)[1] == spawned.id
    world.destroy(spawned.id)
    assert below(car)[0] < 0.3, "the road"
    lens = {"image_size_x": "64", "image_size_y": "32", "fov": "90"}
    camera = world.spawn("sensor.camera.rgb", lens, Transform(car.x, car.y, 12.0, -90.0))
    assert world.capture(camera.id).rgb is not None, "with the shadows of what is left"
    world.spawn("vehicle.audi.tt", {}, place)


# Vehicle --------------------------------------------------------------------------------------------------------------


def drive(control: VehicleControl, seconds: float, speed: float = 0.0, kind: str = "car") -> VehicleState:
    state = VehicleState(SPECS[kind], 4.5, 0.0, 0.0, 0.0, speed)
    for _ in range(int(seconds / STEP)):
        state.step(control, STEP)
    return state


def test_car_accelerates_brakes_and_coasts_like_a_car() -> None:
    assert 7.0 < next(t for t in range(1, 40) if drive(VehicleControl(throttle=1.0), t).speed > 27.78) < 16.0
    assert drive(VehicleControl(throttle=1.0), 90).speed < 62.0
    braked = VehicleState(SPECS["car"], 4.5, 0.0, 0.0, 0.0, 100 / 3.6)
    while braked.speed > 0.0:
        braked.step(VehicleControl(brake=1.0), STEP)
    assert 34.0 < braked.x < 52.0, "from 100 km/h to a stop, metres"
    assert 5.0 < drive(VehicleControl(), 10, speed=14.0).speed < 13.0
    assert drive(VehicleControl(), 5).speed == 0.0
    assert -8.0 < drive(VehicleControl(throttle=0.6, reverse=True), 10).speed < -2.0
    assert drive(VehicleControl(throttle=1.0, hand_brake=True), 3).speed < 1.0


def test_steering_turns_right_tightly_when_slow_and_within_grip_when_fast() -> None:
    slow = drive(VehicleControl(steer=1.0, throttle=0.2), 3, speed=2.5)
    assert slow.yaw > 0.5
    radius = abs(slow.speed / slow.turn)
    assert 3.0 < radius < 8.0
    fast = drive(VehicleControl(steer=1.0, throttle=0.5), 1.5, speed=33.3)
    assert abs(fast.turn * fast.speed) < 9.81
    assert abs(drive(VehicleControl(steer=0.05, throttle=0.4), 2, speed=33.3).yaw) < 0.6
    left = drive(VehicleControl(steer=-1.0, throttle=0.2), 3, speed=2.5)
    assert left.yaw == pytest.approx(-slow.yaw, abs=1e-9)


def test_reverse_is_slow() -> None:
    backed = drive(VehicleControl(throttle=1.0, reverse=True), 2)
    assert -17.0 / 3.6 < backed.speed < -8.0 / 3.6  # m/s after 2 s
    assert drive(VehicleControl(throttle=1.0, reverse=True), 20).speed > -27.0 / 3.6


@pytest.mark.parametrize("rate", [20, 30, 60])
def test_grazing_a_wall_costs_little_speed_and_is_reported(rate: int) -> None:
    """At 3 degrees along a wall, the speed lost is proportional to the impulse of the collision."""
    world = World("plain", vehicles=0, walkers=0)
    ego = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    start = ego.transform.x, ego.transform.y
    world.static_town.solid.__init__(np.array([[start[0] + 60.0, start[1] + 3.0, 0.0, 50.0, 1.0]]))  # type: ignore[misc]
    world.set_transform(ego.id, Transform(*start, ego.transform.z, 0.0, 3.0))
    world.set_velocity(ego.id, (12.0 * np.cos(np.radians(3.0)), 12.0 * np.sin(np.radians(3.0)), 0.0))
    ego.control = VehicleControl(throttle=0.3)
    lost, reported, count = 0.0, 0.0, 0
    for _ in range(3 * rate):
        before = world.drives[ego.id].speed
        world.tick(1.0 / rate)
        change = before - world.drives[ego.id].speed
        for event in world.events():
            count += 1
            reported += float(np.hypot(*event.impulse[:2])) / world.drives[ego.id].spec.mass
        lost += max(change, 0.0)
        assert change < 0.5 or reported > 0.0, "speed was lost without a collision event"
    assert count == 1  # a lasting contact is one collision
    assert 0.0 < reported < 1.0
    assert world.drives[ego.id].speed > 8.0


def test_obstacles_have_tags() -> None:
    world = World("hamlet", vehicles=0, walkers=0)
    tags = [world.static_town.tag_of(k) for k in range(0, len(world.static_town.solid.boxes), 25)]
    assert {Tag.BUILDING, Tag.VEGETATION} <= set(tags)
    assert not {Tag.ROAD, Tag.SIDEWALK, Tag.TERRAIN, Tag.SKY} & set(tags)
    largest = int(np.argmax(world.static_town.solid.boxes[:, 3] * world.static_town.solid.boxes[:, 4]))
    assert world.static_town.tag_of(largest) == Tag.BUILDING


def test_car_that_hits_a_house_stops_and_reports_it() -> None:
    world = World("hamlet", vehicles=0, walkers=0)
    box = max(world.static_town.solid.boxes, key=lambda box: box[3] * box[4])
    ego = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    world.set_transform(ego.id, Transform(box[0] + 40.0, box[1], 0.0, 0.0, 180.0))
    kept, world.static_town.solid.boxes[:] = box.copy(), world.static_town.solid.boxes
    others = np.any(world.static_town.solid.boxes != kept, axis=1)
    world.static_town.solid.boxes[others, :2] += 1e6  # nothing else is in the way
    ego.control = VehicleControl(throttle=0.8)
    crashes = []
    for _ in range(150):
        world.tick(STEP)
        crashes += world.events()
    assert [(crash.actor, crash.other) for crash in crashes] == [(ego.id, 0)]
    assert np.linalg.norm(crashes[0].impulse) > 3000.0
    assert abs(float(np.linalg.norm(ego.velocity))) < 0.5
    contact = overlap(ego.transform.x, ego.transform.y, np.radians(ego.transform.yaw), *ego.extent[:2], *kept)
    assert contact[0] < 0.05


# Traffic --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_traffic_keeps_moving_apart_and_stops_at_red() -> None:
    world = World("oldtown", seed=5, vehicles=30, walkers=0)
    traffic = world.traffic
    still, longest, ran_red, speeds = np.zeros(30), 0.0, 0, []
    for tick in range(40 * 30):
        before = traffic.routes[:, 1].copy()
        world.tick(STEP)
        still = np.where(traffic.speed > 0.1, 0.0, still + STEP)
        longest = max(longest, float(still.max()))
        speeds.append(float(traffic.speed.mean()))
        entered = np.flatnonzero((traffic.routes[:, 1] != before) & (traffic.table.junction[traffic.routes[:, 1]] >= 0))
        ran_red += sum(int(world.lights.state[before[i]] == 1 and world.lights.all[0].elapsed >= 0) for i in entered)
        if tick % 15 == 0:
            assert _least_gap(world) > 0.0
    assert longest < 30.0, "a jam that does not resolve"
    assert np.mean(speeds) > 3.0
    assert ran_red <= 1  # one that had passed the line when the light changed


def _least_gap(world: World) -> float:
    traffic = world.traffic
    for i, (x, y, _, yaw, _) in enumerate(traffic.poses):
        near = np.flatnonzero(np.hypot(traffic.poses[:, 0] - x, traffic.poses[:, 1] - y) < 12.0)
        for j in near[near > i]:
            other = traffic.poses[j]
            depth = overlap(
                x, y, yaw, traffic.half[i] - 0.1, traffic.wide[i] - 0.1,
                other[0], other[1], other[3], traffic.half[j] - 0.1, traffic.wide[j] - 0.1,
            )  # fmt: skip
            if depth[0] > 0.0:
                return -depth[0]
    return 1.0


@pytest.mark.slow
def test_traffic_stops_behind_the_driver() -> None:
    world = World("oldtown", seed=2, vehicles=30, walkers=0)
    ego = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[4])
    ego.control = VehicleControl(brake=1.0)
    here = (ego.transform.x, ego.transform.y)
    nearest = 99.0
    for _ in range(25 * 30):
        world.tick(STEP)
        assert not world.events(), "an NPC has driven into the parked ego"
        nearest = min(
            nearest, float(np.hypot(world.traffic.poses[:, 0] - here[0], world.traffic.poses[:, 1] - here[1]).min())
        )
    assert (ego.transform.x, ego.transform.y) == here
    assert nearest < 60.0, "traffic is kept near the driven vehicle"


@pytest.mark.slow
def test_lights_cycle_by_group_and_are_visible() -> None:
    world = World("oldtown", seed=0, vehicles=0, walkers=0)
    seen: dict[int, set[str]] = {light.actor: set() for light in world.lights.all}
    for _ in range(45 * 10):
        world.tick(0.1)
        for light in world.lights.all:
            seen[light.actor].add(light.state)
            assert world.actors[light.actor].traffic_light_state == light.state
        for cycle in {light.cycle for light in world.lights.all}:
            going = {light.group for light in world.lights.all if light.cycle == cycle and light.state != "red"}
            assert len(going) <= 1, "two axes of a junction have green"
    assert all(states == {"red", "yellow", "green"} for states in seen.values())
    light = world.lights.all[0]
    signal = next(signal for signal in world.network.signals if signal.id == light.signal)
    heading = np.array([np.cos(np.radians(signal.yaw)), np.sin(np.radians(signal.yaw))])
    eye = signal.position[:2] - heading * 14.0 + np.array([heading[1], -heading[0]]) * 2.5
    camera = world.spawn(
        "sensor.camera.rgb", {"image_size_x": "512", "image_size_y": "256", "fov": "70"},
        Transform(float(eye[0]), float(eye[1]), 1.5, 0.0, signal.yaw),
    )  # fmt: skip
    planes = world.capture(camera.id)
    assert ((planes.tag == Tag.TRAFFIC_LIGHT) & (planes.instance == light.actor)).sum() > 20
    for state, bulbs in light.bulbs.items():
        local = np.linalg.inv(camera.transform.matrix()) @ np.append(bulbs[0], 1.0)
        column = int(256 + 256 / np.tan(np.radians(35)) * local[1] / local[0])
        row = int(128 - 256 / np.tan(np.radians(35)) * local[2] / local[0])
        assert planes.instance[row, column] == light.actor, state


# The world ------------------------------------------------------------------------------------------------------------


def test_same_seed_and_controls_give_the_same_bytes() -> None:
    def run() -> tuple[list[bytes], list[tuple[float, ...]]]:
        world = World("oldtown", seed=1)
        ego, camera = with_camera(world, 2)
        images, states = [], []
        for tick in range(60):
            ego.control = VehicleControl(throttle=0.6, steer=0.2 * np.sin(tick / 10))
            world.tick(STEP)
            if tick % 15 == 14:
                planes = world.capture(camera.id)
                assert planes.rgb is not None
                images.append(
                    b"".join(
                        p.tobytes() for p in (planes.tag, planes.instance, planes.depth, planes.motion, planes.rgb)
                    )
                )
            states.append(
                tuple(v for a in world.actors.values() for v in (a.transform.x, a.transform.y, a.transform.yaw))
            )
        return images, states

    assert run() == run()


def test_spawn_points_are_apart_and_free(world: World) -> None:
    points = world.spawn_points()
    assert len(points) > 50
    places = np.array([(p.x, p.y) for p in points])
    gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e3 * np.eye(len(points))
    assert gaps.min() > 8.0
    for point in points[:25]:
        ego = world.spawn("vehicle.tesla.model3", {}, point)
        gap = np.hypot(world.traffic.poses[:, 0] - point.x, world.traffic.poses[:, 1] - point.y).min()
        assert gap > 8.0, "traffic made way"
        world.set_transform(ego.id, points[-1])
        gap = np.hypot(world.traffic.poses[:, 0] - points[-1].x, world.traffic.poses[:, 1] - points[-1].y).min()
        assert gap > 8.0, "traffic also makes way for a teleported vehicle"
        world.set_transform(ego.id, point)
        with pytest.raises(ValueError, match="collision at spawn position"):
            world.spawn("vehicle.tesla.model3", {}, point)
        assert world.destroy(ego.id)
        assert not world.destroy(ego.id)


def test_spawning_says_what_is_wrong(world: World) -> None:
    with pytest.raises(ValueError, match="unknown blueprint"):
        world.spawn("vehicle.no.such", {}, Transform())
    with pytest.raises(ValueError, match="99999"):
        world.spawn("sensor.camera.rgb", {}, Transform(), 99_999)
    with pytest.raises(ValueError, match="not a camera"):
        world.capture(world.spectator.id)


def test_camera_moves_with_its_vehicle_and_shares_its_planes(world: World) -> None:
    ego, camera = with_camera(world, 30)
    lens = {"image_size_x": "256", "image_size_y": "128", "fov": "70"}
    depth = world.spawn("sensor.camera.depth", lens, Transform(0.6, 0.0, 1.5), ego.id)
    chase = world.spawn("sensor.camera.semantic_segmentation", lens, Transform(-6.0, 0.0, 2.5), ego.id)
    ego.control = VehicleControl(throttle=1.0)
    for _ in range(30):
        world.tick(STEP)
    assert np.allclose(camera.transform.matrix(), ego.transform.matrix() @ Transform(0.6, 0.0, 1.5).matrix(), atol=1e-6)
    assert world.capture(camera.id) is world.capture(depth.id)
    assert not (world.capture(camera.id).instance == ego.id).any(), "the ego is not in the hood view"
    follow = world.capture(chase.id)
    assert (follow.instance == ego.id).sum() > 200
    assert world.capture(camera.id) is not follow
    motion = world.capture(camera.id).motion[100:, 96:160]
    assert np.abs(motion).max() > 1.0, "the road moves"
    world.destroy(ego.id)
    assert not {camera.id, depth.id} & set(world.actors)


def test_a_car_placed_at_a_pitch_of_nearly_360_degrees_is_level_at_once(world: World) -> None:
    """Clients' waypoints have such pitches; the car must not roll over a full turn back to 0."""
    ego, _ = with_camera(world, 31)
    ego.transform.pitch, ego.transform.roll = 359.9, 359.8
    ego.control = VehicleControl(hand_brake=True)
    world.tick(STEP)
    assert abs((ego.transform.pitch + 180.0) % 360.0 - 180.0) < 2.0
    assert abs((ego.transform.roll + 180.0) % 360.0 - 180.0) < 1.0
    world.destroy(ego.id)


def test_brake_lights_follow_the_pedal(world: World) -> None:
    ego, _ = with_camera(world, 31)
    ego.control = VehicleControl(brake=0.5)
    world.tick(STEP)
    assert ego.light_state & 8
    ego.control = VehicleControl(throttle=0.5)
    world.tick(STEP)
    assert not ego.light_state & 8
    world.destroy(ego.id)


def test_walkers_walk_on_pavements_with_moving_legs(world: World) -> None:
    people = [actor for actor in world.actors.values() if actor.blueprint.id.startswith("walker.")]
    assert len(people) == 15
    phases: set[int] = set()
    for _ in range(40):
        world.tick(STEP)
        phases.add(people[0].template)
    assert len(phases) >= 4
    assert not any(world.ground.is_asphalt(actor.transform.x, actor.transform.y) for actor in people)


@pytest.mark.alone
def test_tick_is_cheap(world: World) -> None:
    world.tick(STEP)
    start = time.process_time()
    for _ in range(200):
        world.tick(STEP)
    assert (time.process_time() - start) / 200 < 2e-3
