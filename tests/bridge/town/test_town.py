"""The embedded town: its OpenDRIVE maps, roads, scenery, traffic and physics."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import carla
import numpy as np
import pytest
from scenariogeneration import xodr

from bridge.tags import Tag
from bridge.town.core.types import Actor, Transform, VehicleControl
from bridge.town.dynamics.vehicles import SPECS, VehicleState, overlap
from bridge.town.ground.blocks import inside
from bridge.town.opendrive import towns
from bridge.town.opendrive.network import Network
from bridge.town.world import World

STEP = 1.0 / 30.0


@pytest.fixture(scope="module")
def world() -> World:
    return World("oldtown", seed=1, vehicles=30, walkers=15)


def with_camera(world: World, point: int = 0) -> tuple[Actor, Actor]:
    ego = world.spawn("vehicle.tesla.model3", {"role_name": "hero"}, world.spawn_points()[point])
    lens = {"image_size_x": "256", "image_size_y": "128", "fov": "70"}
    return ego, world.spawn("sensor.camera.rgb", lens, Transform(0.6, 0.0, 1.5), ego.id)


HILL = """<OpenDRIVE>
<header revMajor="1" revMinor="4" name="" version="1" date="" north="0" south="0" east="0" west="0"/>
<road name="" length="200" id="1" junction="-1">
  <planView><geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView>
  <elevationProfile><elevation s="0" a="0" b="0.05" c="0" d="0"/></elevationProfile>
  <lateralProfile/>
  <lanes><laneSection s="0">
    <left><lane id="1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></left>
    <center><lane id="0" type="none" level="false">
      <roadMark sOffset="0" type="broken" weight="standard" color="standard" width="0.13"/>
    </lane></center>
    <right><lane id="-1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right>
  </laneSection></lanes>
</road>
</OpenDRIVE>"""


# Maps -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(towns.TOWNS))
@pytest.mark.parametrize("seed", [0, 7])
def test_generated_town_is_a_complete_carla_map(name: str, seed: int) -> None:
    text = towns.generate(name, seed)
    town = carla.Map(name, text)
    waypoints = town.generate_waypoints(2.0)
    assert len(waypoints) > 1000
    assert all(waypoint.next(2.5) for waypoint in waypoints), "a lane ends nowhere"
    assert any(waypoint.is_junction for waypoint in waypoints)
    assert len(town.get_topology()) > 60
    network = Network(name, text)
    reached = {k for lane in network.lanes for k in lane.next}
    assert reached == set(range(len(network.lanes))), "a lane that nothing leads to"
    for lane in network.lanes:
        for k in lane.next:
            assert np.linalg.norm(network.lanes[k].centre[0] - lane.centre[-1]) < 0.02


def test_traffic_is_right_handed_and_oldtown_has_what_a_town_has() -> None:
    text = towns.generate("oldtown", 0)
    town = carla.Map("oldtown", text)
    network = Network("oldtown", text)
    for lane in network.lanes:
        assert lane.junction >= 0 or lane.id != 0
        assert (lane.id < 0) == (town.get_waypoint_xodr(lane.road, lane.id, 1.0).transform.location.distance(
            carla.Location(*map(float, lane.centre[0]))) < lane.length / 2)  # fmt: skip
    assert network.signals
    assert network.crosswalks
    assert {round(lane.speed * 3.6) for lane in network.lanes} == {30, 50}
    kinds = {lane.kind for lane in network.others}
    assert {"parking", "sidewalk"} <= kinds
    assert max(abs(lane.id) for lane in network.lanes) == 2
    turns = [
        np.ptp(np.unwrap(np.arctan2(*np.diff(lane.centre[:, :2], axis=0).T)))
        for lane in network.lanes
        if lane.junction < 0
    ]
    assert sum(turn > 0.2 for turn in turns) > 10, "streets that bend"


def test_generated_town_depends_on_seed_alone() -> None:
    towns.generate.cache_clear()
    first = towns.generate("hamlet", 3)
    towns.generate.cache_clear()
    assert towns.generate("hamlet", 3) == first
    assert towns.generate("hamlet", 4) != first


def test_unknown_town_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="hamlet, motorway, oldtown, suburb, village") as error:
        World("atlantis")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no map at all",
        towns.generate("hamlet", 0)[:4000],
        "<OpenDRIVE></OpenDRIVE>",
        "<svg></svg>",
        "<OpenDRIVE><header/><road id='1' length='10' junction='-1'/></OpenDRIVE>",
    ],
    ids=["empty", "text", "truncated", "no roads", "other xml", "no lanes"],
)
def test_damaged_map_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.xodr"
    path.write_text(content)
    with pytest.raises(ValueError, match="broken") as error:
        World(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", ["nan", "inf", "1e9"])
def test_map_with_a_road_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path, length: str) -> None:
    path = tmp_path / "endless.xodr"
    path.write_text(re.sub(r'length="[^"]*"', f'length="{length}"', towns.generate("hamlet", 0)))
    with pytest.raises(ValueError, match=r"endless\.xodr is damaged: a <road> has length"):
        World(str(path))


def test_map_that_kills_the_native_reader_does_not_kill_the_town(tmp_path: Path) -> None:
    path = tmp_path / "orphan.xodr"
    path.write_text(towns.generate("oldtown", 0).replace('connectingRoad="', 'connectingRoad="9'))
    with pytest.raises(ValueError, match="orphan"):
        World(str(path))


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        World(str(tmp_path / "none.xodr"))
    (tmp_path / "noise.xodr").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match="noise"):
        World(str(tmp_path / "noise.xodr"))


def test_any_opendrive_file_is_dressed(tmp_path: Path) -> None:
    """A plain road of somebody else's: no parking, no pavement lanes, no signals, a hill."""
    path = tmp_path / "lane.xodr"
    path.write_text(HILL)
    world = World(str(path), vehicles=3, walkers=2)
    for place in world.spawn_points():  # who begins there has road ahead
        assert world.map.get_waypoint(carla.Location(place.x, place.y, place.z)).next(25.0)
    ego, camera = with_camera(world)
    for _ in range(20):
        world.tick(STEP)
    tags = world.capture(camera.id).tag
    assert {Tag.ROAD, Tag.SIDEWALK, Tag.ROAD_LINE, Tag.SKY} <= {Tag(int(tag)) for tag in np.unique(tags)}
    assert abs(ego.transform.z - 0.05 * ego.transform.x) < 0.1, "the car stands on its road, uphill"
    assert ego.transform.pitch * np.cos(np.radians(ego.transform.yaw)) == pytest.approx(2.86, abs=0.3)


def test_solid_lines_end_where_others_cross_them(tmp_path: Path) -> None:
    """Connecting roads of other people's junctions are lined like roads, which nobody paints across each other."""
    roads = [xodr.create_road([xodr.Line(40.0)], id=k, left_lanes=1, right_lanes=1, lane_width=3.5) for k in range(3)]
    maker = xodr.CommonJunctionCreator(id=100, name="three", startnum=200)
    for k, road in enumerate(roads):
        maker.add_incoming_road_circular_geometry(road, 14.0, 2.0 * np.pi * k / 3.0, "successor")
    for first, second in ((0, 1), (1, 2), (2, 0)):
        maker.add_connection(first, second)
    drive = xodr.OpenDrive("three")
    for road in roads:
        drive.add_road(road)
    drive.add_junction_creator(maker)
    drive.adjust_roads_and_lanes()
    path = tmp_path / "three.xodr"
    path.write_text('<?xml version="1.0"?>' + ET.tostring(drive.get_element(), encoding="unicode"))
    world = World(str(path), vehicles=0, walkers=0)
    inside = [lane for lane in world.network.lanes if lane.junction >= 0]
    assert all(lane.left_marking and lane.left_marking.kind == "solid" for lane in inside)
    middle = np.concatenate([lane.centre for lane in inside]).mean(0)
    lens = {"image_size_x": "200", "image_size_y": "200", "fov": "90"}
    above = world.spawn("sensor.camera.semantic_segmentation", lens, Transform(middle[0], middle[1], 12.0, -90.0))
    tag = world.capture(above.id).tag
    assert (tag[67:133, 67:133] == Tag.ROAD).all(), "8 m across the middle of the junction"
    assert (tag == Tag.ROAD_LINE).mean() > 0.01, "the kerbs' lines are there"


# Scenery --------------------------------------------------------------------------------------------------------------


def test_nothing_stands_on_a_lane(world: World) -> None:
    boxes = world._solid.boxes
    cos, sin = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    for lane in world.network.lanes:
        for x, y, _ in lane.centre:
            dx, dy = x - boxes[:, 0], y - boxes[:, 1]
            away = np.hypot(
                np.maximum(np.abs(dx * cos + dy * sin) - boxes[:, 3], 0),
                np.maximum(np.abs(dy * cos - dx * sin) - boxes[:, 4], 0),
            )
            assert away.min() > 1.25, (
                f"an obstacle {away.min():.2f} m from the middle of road {lane.road} lane {lane.id}"
            )


def test_street_looks_like_a_street(world: World) -> None:
    """Every class a street has is there, nothing hovers: no sky below the horizon, mostly ordinary shares."""
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
    wanted = {
        Tag.ROAD: (0.18, 0.45),
        Tag.SIDEWALK: (0.02, 0.15),
        Tag.BUILDING: (0.15, 0.5),
        Tag.VEGETATION: (0.04, 0.35),
    }
    wanted |= {Tag.SKY: (0.03, 0.3), Tag.CAR: (0.01, 0.2), Tag.ROAD_LINE: (0.002, 0.05), Tag.POLE: (0.001, 0.05)}
    for tag, (low, high) in wanted.items():
        assert low < shares[tag] < high, f"{tag.name} {shares[tag]:.3f}"
    for tag in (Tag.WALL, Tag.FENCE, Tag.TRAFFIC_SIGN, Tag.TERRAIN, Tag.STATIC):
        assert shares[tag] > 0, tag.name


@pytest.mark.alone
def test_builds_fast_and_small(world: World) -> None:
    """Within what 120 million additions take: virtual processors are not the same every day."""
    start = time.process_time()
    sum(number for number in range(10_000_000))
    added = time.process_time()
    again = World("oldtown", seed=1)
    assert time.process_time() - added < 12.0 * (added - start)
    scene = again._stage.scene
    assert sum(int(part[7] - part[4]) for part in scene.parts[: scene.chunks]) < 150_000


def test_parked_cars_stand_beside_the_road(world: World) -> None:
    parked = [prop for prop in world.props if prop.kind.startswith("vehicle.")]
    assert len(parked) > 150
    assert all(world.ground.asphalt(prop.x, prop.y) for prop in parked)
    for ring in world.ground.rings:
        spots = np.array([(prop.x, prop.y) for prop in parked])
        assert not ring.outer or inside(spots, ring.points[:, :2]).all()


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


def test_reverse_is_no_rocket() -> None:
    backed = drive(VehicleControl(throttle=1.0, reverse=True), 2)
    assert -17.0 / 3.6 < backed.speed < -8.0 / 3.6  # m/s after 2 s
    assert drive(VehicleControl(throttle=1.0, reverse=True), 20).speed > -27.0 / 3.6


@pytest.mark.parametrize("rate", [20, 30, 60])
def test_grazing_a_wall_costs_little_and_says_so_before_it_costs_much(rate: int) -> None:
    """Along a wall at 3 degrees: the speed that is lost is in proportion to how hard the wall was hit."""
    world = World("plain", vehicles=0, walkers=0)
    ego = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    start = ego.transform.x, ego.transform.y
    world._solid.__init__(np.array([[start[0] + 60.0, start[1] + 3.0, 0.0, 50.0, 1.0]]))  # type: ignore[misc]
    world.set_transform(ego.id, Transform(*start, ego.transform.z, 0.0, 3.0))
    world.set_velocity(ego.id, (12.0 * np.cos(np.radians(3.0)), 12.0 * np.sin(np.radians(3.0)), 0.0))
    ego.control = VehicleControl(throttle=0.3)
    lost, told, count = 0.0, 0.0, 0
    for _ in range(3 * rate):
        before = world.drives[ego.id].speed
        world.tick(1.0 / rate)
        change = before - world.drives[ego.id].speed
        for event in world.events():
            count += 1
            told += float(np.hypot(*event.impulse[:2])) / world.drives[ego.id].spec.mass
        lost += max(change, 0.0)
        assert change < 0.5 or told > 0.0, "speed was lost to something that nobody was told of"
    assert count == 1  # a lasting contact is one collision
    assert 0.0 < told < 1.0
    assert world.drives[ego.id].speed > 8.0


def test_what_one_runs_into_has_a_name() -> None:
    world = World("hamlet", vehicles=0, walkers=0)
    tags = [world.land.tag_of(k) for k in range(0, len(world._solid.boxes), 25)]
    assert {Tag.BUILDING, Tag.VEGETATION} <= set(tags)
    assert not {Tag.ROAD, Tag.SIDEWALK, Tag.TERRAIN, Tag.SKY} & set(tags)
    largest = int(np.argmax(world._solid.boxes[:, 3] * world._solid.boxes[:, 4]))
    assert world.land.tag_of(largest) == Tag.BUILDING


def test_car_meets_a_house_stops_and_tells() -> None:
    world = World("hamlet", vehicles=0, walkers=0)
    box = max(world._solid.boxes, key=lambda box: box[3] * box[4])
    ego = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    world.set_transform(ego.id, Transform(box[0] + 40.0, box[1], 0.0, 0.0, 180.0))
    kept, world._solid.boxes[:] = box.copy(), world._solid.boxes
    others = np.any(world._solid.boxes != kept, axis=1)
    world._solid.boxes[others, :2] += 1e6  # nothing else is in the way
    ego.control = VehicleControl(throttle=0.8)
    crashes = []
    for _ in range(150):
        world.tick(STEP)
        crashes += world.events()
    assert [(crash.actor, crash.other) for crash in crashes] == [(ego.id, 0)]
    assert np.linalg.norm(crashes[0].impulse) > 3000.0
    assert abs(float(np.linalg.norm(ego.velocity))) < 0.5
    apart = overlap(ego.transform.x, ego.transform.y, np.radians(ego.transform.yaw), *ego.extent[:2], *kept)
    assert apart[0] < 0.05


# Traffic --------------------------------------------------------------------------------------------------------------


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
    assert ran_red <= 1  # one who was past the line when it changed


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
    assert nearest < 60.0, "traffic is kept near who drives"


def test_lights_cycle_by_group_and_can_be_seen() -> None:
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
        world = World("oldtown", seed=9)
        ego, camera = with_camera(world, 2)
        pictures, states = [], []
        for tick in range(60):
            ego.control = VehicleControl(throttle=0.6, steer=0.2 * np.sin(tick / 10))
            world.tick(STEP)
            if tick % 15 == 14:
                planes = world.capture(camera.id)
                assert planes.rgb is not None
                pictures.append(
                    b"".join(
                        p.tobytes() for p in (planes.tag, planes.instance, planes.depth, planes.motion, planes.rgb)
                    )
                )
            states.append(
                tuple(v for a in world.actors.values() for v in (a.transform.x, a.transform.y, a.transform.yaw))
            )
        return pictures, states

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
        assert gap > 8.0, "and does so when one is put elsewhere"
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


def test_camera_rides_along_and_shares_its_picture(world: World) -> None:
    ego, camera = with_camera(world, 30)
    lens = {"image_size_x": "256", "image_size_y": "128", "fov": "70"}
    depth = world.spawn("sensor.camera.depth", lens, Transform(0.6, 0.0, 1.5), ego.id)
    chase = world.spawn("sensor.camera.semantic_segmentation", lens, Transform(-6.0, 0.0, 2.5), ego.id)
    ego.control = VehicleControl(throttle=1.0)
    for _ in range(30):
        world.tick(STEP)
    assert np.allclose(camera.transform.matrix(), ego.transform.matrix() @ Transform(0.6, 0.0, 1.5).matrix(), atol=1e-6)
    assert world.capture(camera.id) is world.capture(depth.id)
    assert not (world.capture(camera.id).instance == ego.id).any(), "hood view: the ego is not in its own way"
    follow = world.capture(chase.id)
    assert (follow.instance == ego.id).sum() > 200
    assert world.capture(camera.id) is not follow
    motion = world.capture(camera.id).motion[100:, 96:160]
    assert np.abs(motion).max() > 1.0, "the road flows by"
    world.destroy(ego.id)
    assert not {camera.id, depth.id} & set(world.actors)


def test_a_car_put_there_at_a_pitch_of_nearly_360_degrees_stands_level_at_once(world: World) -> None:
    """Clients' waypoints have it so; it must not turn a whole somersault back to 0."""
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
    assert not any(world.ground.asphalt(actor.transform.x, actor.transform.y) for actor in people)


def test_tick_is_cheap(world: World) -> None:
    world.tick(STEP)
    start = time.process_time()
    for _ in range(200):
        world.tick(STEP)
    assert (time.process_time() - start) / 200 < 2e-3
