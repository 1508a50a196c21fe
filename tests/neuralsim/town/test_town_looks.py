"""A street of the town close up: turning wheels, trees, the objects of an OpenDRIVE file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import carla
import numpy as np
import pytest
from scenariogeneration import xodr

from bridge.reference_line import ReferenceLine
from bridge.tags import Tag
from neuralsim.town import frames
from neuralsim.town.assets import plant_meshes
from neuralsim.town.assets.meshes import FAR, NEAR
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.vehicles.two_wheelers import two_wheelers
from neuralsim.town.assets.vehicles.vehicle_meshes import vehicles
from neuralsim.town.assets.vehicles.wheels import WheelAngles
from neuralsim.town.core.types import Transform, VehicleControl
from neuralsim.town.scenery import fixtures
from neuralsim.town.static_town import StaticTown
from neuralsim.town.world import World

STEP = 1.0 / 30.0
W, H, FOV = 320, 160, 70.0


@pytest.fixture(scope="module")
def world() -> World:
    return World("hamlet", seed=2, vehicles=10, walkers=6)


# Wheels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "level", "is_open"),
    [
        ("vehicle.bh.crossbike", NEAR, True),
        ("vehicle.bh.crossbike", FAR, False),
        ("vehicle.yamaha.yzf", NEAR, False),
        ("vehicle.yamaha.yzf", FAR, False),
    ],
)
def test_one_sees_through_the_wheels_of_a_bicycle_near_by(name: str, level: int, is_open: bool) -> None:
    machine = two_wheelers()[name]
    shown = machine.wheel.triangles[machine.wheel.levels == level]
    corners = machine.wheel.vertices[shown][..., [0, 2]] / machine.radius
    point = np.array([0.42, 0.31])  # between hub and rim, of the radius
    edges, to_point = np.roll(corners, -1, 1) - corners, point - corners
    side = edges[..., 0] * to_point[..., 1] - edges[..., 1] * to_point[..., 0]
    covers = ((side >= 0.0).all(1) | (side <= 0.0).all(1)) & (abs(side).sum(1) > 1e-9)
    assert covers.any() != is_open


def turn(about: str, angle: float) -> np.ndarray:
    """Return a rotation f64 (3, 3): "z" from x towards y, "y" from z towards x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]] if about == "z" else [[c, 0, s], [0, 1, 0], [-s, 0, c]])


def test_motion_plane_includes_rolling_and_steering_of_wheels(world: World) -> None:
    """The previous position of each point of a front wheel is computed in float64 from distance and steering angle."""
    kind = "vehicle.seat.leon"
    car = world.spawn(kind, {}, world.spawn_points()[5])
    car.control = VehicleControl(throttle=0.7, steer=0.45)
    lens = {"image_size_x": str(W), "image_size_y": str(H), "fov": str(FOV)}
    camera = world.spawn("sensor.camera.optical_flow", lens, Transform())
    for _ in range(30):  # it lands before it drives
        world.tick(STEP)
    drive = world.drives[car.id]
    mount = Transform(2.6, 2.7, 0.55, -4.0, -112.0)
    eyes, bodies, steers = [], [], []
    for _ in range(2):
        world.tick(STEP)
        bodies.append(car.transform.matrix())
        steers.append(drive.steer)
        eyes.append(bodies[-1] @ mount.matrix())
        yaw, pitch = np.arctan2(eyes[-1][1, 0], eyes[-1][0, 0]), np.arcsin(eyes[-1][2, 0])
        x, y, z = eyes[-1][:3, 3].tolist()
        pose = Transform(x, y, z, float(np.degrees(pitch)), float(np.degrees(yaw)))
        eyes[-1] = pose.matrix()
        world.set_transform(camera.id, pose)
    assert drive.speed > 2.0
    assert abs(drive.steer) > 0.15
    planes = world.capture(camera.id)
    focal = W / (2.0 * np.tan(np.radians(FOV) / 2.0))
    i, j = np.mgrid[0:H, 0:W] + 0.5
    rays = np.stack([np.ones((H, W)), (j - W / 2) / focal, -(i - H / 2) / focal], -1)
    point = (rays * planes.depth[..., None].astype(float)) @ eyes[1][:3, :3].T + eyes[1][:3, 3]
    local = (point - bodies[1][:3, 3]) @ bodies[1][:3, :3]
    wheel = next(each for each in vehicles()[kind].wheels if each.steers and each.at[1] > 0)
    inside = (local - wheel.at) @ turn("z", steers[1])  # in the axes of the steered wheel
    high = vehicles()[kind].wheel.bounds[1]
    on = (planes.instance == car.id) & (np.hypot(inside[..., 0], inside[..., 2]) < 0.9 * wheel.radius)
    on &= np.abs(inside[..., 1] - high[1]) < 0.02
    assert on.sum() > 200, "the steered wheel's face is where its angle puts it"
    forward = bodies[0][:3, 0] + bodies[1][:3, 0]
    way = float((bodies[1][:3, 3] - bodies[0][:3, 3]) @ forward / np.linalg.norm(forward))
    before = inside @ turn("y", -way / wheel.radius).T @ turn("z", steers[0]).T + wheel.at
    seen = (before @ bodies[0][:3, :3].T + bodies[0][:3, 3] - eyes[0][:3, 3]) @ eyes[0][:3, :3]
    there = np.stack([W / 2 + focal * seen[..., 1] / seen[..., 0], H / 2 - focal * seen[..., 2] / seen[..., 0]], -1)
    expected = there - np.stack([j, i], -1)
    error = np.abs(planes.motion - expected)
    assert (error <= np.maximum(0.05, np.abs(expected) * 2.0**-11))[on].all()
    rigid = (local @ bodies[0][:3, :3].T + bodies[0][:3, 3] - eyes[0][:3, 3]) @ eyes[0][:3, :3]
    stiff = np.stack([W / 2 + focal * rigid[..., 1] / rigid[..., 0], H / 2 - focal * rigid[..., 2] / rigid[..., 0]], -1)
    assert np.abs(stiff - there)[on].max() > 1.0, "a wheel that does not turn would be seen"
    world.destroy(camera.id)
    world.destroy(car.id)


@pytest.mark.parametrize(
    ("mount", "is_seen"),
    [
        (Transform(x=6.0, z=1.5, yaw=180.0), True),  # ahead of it, looking back
        (Transform(x=-6.0, z=2.0), True),
        (Transform(z=14.0, pitch=-89.0), True),  # a bird's eye
        (Transform(x=0.3, y=-0.3, z=1.3, yaw=180.0), False),  # the driver's
        (Transform(z=1.9, pitch=-30.0), False),  # on the roof
    ],
)
def test_camera_outside_its_vehicle_sees_it(world: World, mount: Transform, is_seen: bool) -> None:
    car = world.spawn("vehicle.seat.leon", {}, world.spawn_points()[7])
    lens = {"image_size_x": str(W), "image_size_y": str(H), "fov": str(FOV)}
    camera = world.spawn("sensor.camera.semantic_segmentation", lens, mount, car.id)
    world.tick(STEP)
    assert (world.capture(camera.id).instance == car.id).any() == is_seen
    world.destroy(camera.id)
    world.destroy(car.id)


def test_unknown_steering_is_estimated_from_the_motion() -> None:
    """On a circle of 12 m wheels have the angle of a single-track model, and keep it when the vehicle stops."""
    base, radius, step = 2.6, 12.0, 0.05
    rolled = WheelAngles.at_rest(np.array([np.nan, 0.3]))
    poses = [
        np.stack([Transform(radius * np.sin(a), radius * (1 - np.cos(a)), 0, 0, np.degrees(a)).matrix(), np.eye(4)])
        for a in step * np.arange(40)
    ]
    for was, now in pairwise(poses):
        rolled = rolled.advanced(was, np.arange(2), now, np.full(2, base), np.array([np.nan, 0.3]))
    assert rolled.steer == pytest.approx([np.arctan(base / radius), 0.3], abs=2e-3)
    assert rolled.rolled == pytest.approx([39 * step * radius, 0.0], rel=1e-3)
    still = rolled.advanced(poses[-1], np.arange(2), poses[-1], np.full(2, base), np.array([np.nan, 0.3]))
    assert np.array_equal(still.steer, rolled.steer)
    assert np.array_equal(still.rolled, rolled.rolled)
    away = poses[-1].copy()
    away[0, 0, 3] += 50.0  # teleported: no wheel turns
    assert (
        rolled.advanced(poses[-1], np.arange(2), away, np.full(2, base), np.full(2, 0.3)).rolled[0] == rolled.rolled[0]
    )


def test_parts_of_a_vehicle_add_up_to_the_whole() -> None:
    book = templates()
    for name, vehicle in vehicles().items():
        whole, body, wheel = (book.meshes[book.index[each]] for each in (name, f"{name} body", f"{name} wheel"))
        assert len(whole.triangles) == len(body.triangles) + len(vehicle.wheels) * len(wheel.triangles)
        assert len(vehicle.wheels) in (2, 4, 6)
        assert abs(wheel.bounds[0][2] + vehicle.wheels[0].radius) < 0.02
        lowest = min(each.at[2] - each.radius for each in vehicle.wheels)
        assert abs(lowest) < 0.02, "wheels stand on the ground"


# Plants ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(plant_meshes.TREES))
def test_trees_have_trunks_of_wood_and_crowns_in_one_piece(kind: str) -> None:
    mesh = plant_meshes.tree(kind, 1)
    corners = mesh.vertices[mesh.triangles]
    wood, leaf = mesh.tags == plant_meshes.TRUNK, mesh.tags == Tag.VEGETATION
    assert (wood | leaf).all()
    assert corners[wood][..., 2].min() < 0.0, "the trunk reaches into the ground"
    assert corners[leaf][..., 2].min() > 0.8, "no leaf lies on the ground"
    joints = corners[leaf].reshape(-1, 3)
    middle, reach = joints.mean(0), np.ptp(joints, axis=0).max() / 2
    assert np.linalg.norm(joints - middle, axis=1).max() < 1.5 * reach, "no leaf floats far from the crown"


# Foreign files --------------------------------------------------------------------------------------------------------

ROAD = """<OpenDRIVE>
<header revMajor="1" revMinor="4" name="" version="1" date="" north="0" south="0" east="0" west="0"/>
<road name="" length="200" id="1" junction="-1"><type s="0" type="rural"/>
  <planView><geometry s="0" x="10" y="20" hdg="0.5" length="200"><line/></geometry></planView>
  <elevationProfile/><lateralProfile/>
  <lanes><laneSection s="0">
    <left><lane id="1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></left>
    <center><lane id="0" type="none" level="false"/></center>
    <right><lane id="-1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right>
  </laneSection></lanes>
  <objects>%s</objects><signals>%s</signals>
</road></OpenDRIVE>"""


def world_with(tmp_path: Path, objects: str = "", signals: str = "") -> World:
    path = tmp_path / "theirs.xodr"
    path.write_text(ROAD % (objects, signals))
    return World(str(path), vehicles=0, walkers=0)


def at(s: float, t: float) -> np.ndarray:
    """Return a point of that road, f64 (2,), in Unreal Engine's axes."""
    c, k = np.cos(0.5), np.sin(0.5)
    return np.array([10 + c * s - k * t, -(20 + k * s + c * t)])


def look(world: World, s: float, t: float, towards: float) -> tuple[np.ndarray, np.ndarray]:
    """Return tags and depth of a narrow view from 1.2 m above (s, t), ``towards`` degrees to the left of the road."""
    x, y = at(s, t)
    lens = {"image_size_x": "64", "image_size_y": "64", "fov": "20"}
    pose = Transform(float(x), float(y), 1.2, 0.0, -float(np.degrees(0.5)) - towards)
    camera = world.spawn("sensor.camera.depth", lens, pose)
    planes = world.capture(camera.id)
    world.destroy(camera.id)
    return planes.tag[28:36, 28:36].copy(), planes.depth[28:36, 28:36].copy()


def test_reference_lines_agree_with_carla() -> None:
    """Lines, arcs, spirals and parametric cubics are compared with `carla.Map`, which reads the same text."""
    shapes = [xodr.Line(30), xodr.Spiral(0.0, 0.03, 40), xodr.Arc(0.03, length=25), xodr.Spiral(0.03, -0.02, 35)]
    shapes.append(xodr.ParamPoly3(0, 20, 0, 0, 0, 0, 0.6, -0.2, prange="normalized", length=20.01))
    road = xodr.create_road(shapes, 0, left_lanes=1, right_lanes=1, lane_width=3.0)
    road.add_elevation(0, 1.0, 0.02, 0.0001, 0.0)
    drive = xodr.OpenDrive("bends")
    drive.add_road(road)
    drive.adjust_roads_and_lanes()
    text = ET.tostring(drive.get_element(), encoding="unicode")
    element = ET.fromstring(text).find("road")
    assert element is not None
    line, town = ReferenceLine(element), carla.Map("bends", text)
    assert line.length > 150.0
    for s in np.linspace(0.5, line.length - 0.5, 40).tolist():
        theirs = town.get_waypoint_xodr(0, -1, s).transform
        ours = line.at(s, -1.5)
        place = theirs.location
        assert (ours.x, ours.y, ours.z) == pytest.approx((place.x, place.y, place.z), abs=0.02), s
        assert abs((ours.yaw - theirs.rotation.yaw + 180.0) % 360.0 - 180.0) < 0.5


def test_objects_of_a_file_are_at_their_places(tmp_path: Path) -> None:
    objects = [
        ("building", Tag.BUILDING, 8.0, 'length="12" width="8" height="6"'),
        ("soundBarrier", Tag.WALL, 0.25, 'length="9" width="0.3" height="3"'),
        ("obstacle", Tag.STATIC, 6.0, 'length="6" width="6" height="3"'),
        ("gantry", Tag.POLE, 6.0, 'length="2" width="6"'),
        ("pole", Tag.POLE, 2.0, 'radius="1" height="5"'),
        ("railing", Tag.FENCE, 0.25, 'length="9" width="0.2" height="2"'),
    ]
    text = "".join(
        f'<object id="{k}" type="{kind}" name="x" s="{25 * k + 30}" t="20" zOffset="0" hdg="0" {size}/>'
        for k, (kind, _, _, size) in enumerate(objects)
    )
    world = world_with(tmp_path, text)
    for k, (kind, tag, wide, _) in enumerate(objects):
        tags, depth = look(world, 25.0 * k + 30.0, 8.0, 90.0)
        assert (tags == tag).all(), kind
        assert np.median(depth) == pytest.approx(12.0 - wide / 2, abs=0.15), kind


def test_rows_outlines_and_signs_of_a_file(tmp_path: Path) -> None:
    corners = "".join(f'<cornerRoad s="{s}" t="{t}" dz="0" height="5"/>' for s, t in ((70, 14), (80, 14), (75, 24)))
    world = world_with(
        tmp_path,
        '<object id="1" type="barrier" name="guardRail" s="0" t="-6" zOffset="0" hdg="0">'
        '<repeat s="20" length="60" distance="0" tStart="-6" tEnd="-6" heightStart="1.5" heightEnd="1.5"/></object>'
        '<object id="2" type="tree" name="oak" s="0" t="0" zOffset="0" hdg="0">'
        '<repeat s="120" length="40" distance="10" tStart="9" tEnd="9" heightStart="9" heightEnd="9"/></object>'
        f'<object id="3" type="building" name="wedge" s="75" t="18" hdg="0"><outline>{corners}</outline></object>',
        '<signal id="4" s="110" t="-5" zOffset="2" orientation="+" dynamic="no" type="206" subtype="-1" name="Stop"/>'
        '<signal id="5" s="111" t="5" zOffset="2" orientation="-" dynamic="no" type="274" subtype="50" name=""/>',
    )
    tags, depth = look(world, 50.0, 0.0, -90.0)
    assert (tags == Tag.GUARD_RAIL).mean() > 0.9
    assert np.median(depth) == pytest.approx(6.0, abs=0.15)
    assert (look(world, 75.0, 12.0, 90.0)[0] == Tag.BUILDING).all()
    trees = np.array([(p.x, p.y) for p in world.props if p.kind.split(" ")[0] in plant_meshes.TREES])
    for s in (120.0, 130.0, 140.0, 150.0, 160.0):
        assert np.hypot(*(trees - at(s, 9.0)).T).min() < 0.1
    for kind, s, t, yaw in (("stop", 110.0, -5.0, 180.0), ("limit 50", 111.0, 5.0, 0.0)):
        sign = next(p for p in world.props if p.kind == f"sign {kind}" and np.hypot(*(at(s, t) - (p.x, p.y))) < 0.1)
        assert abs((sign.yaw - (yaw - np.degrees(0.5)) + 180.0) % 360.0 - 180.0) < 1e-6, (
            "it faces the traffic it is for"
        )


def test_objects_without_height_are_markings(tmp_path: Path) -> None:
    hatched = "".join(f'<cornerLocal u="{u}" v="{v}" z="0"/>' for u, v in ((-3, -1), (3, -1), (3, 1)))
    world = world_with(
        tmp_path,
        '<object id="1" type="-1" name="StopLine" s="100" t="-1.5" hdg="1.57" length="3" width="0.4"/>'
        '<object id="2" type="-1" name="Region" s="60" t="-1.5" length="6" width="2">'
        f"<outline>{hatched}</outline></object>"
        '<object id="3" type="-1" name="Crate" s="140" t="-1.5" length="2" width="2" height="1.2"/>',
    )
    x, y = at(40.0, -1.5)
    along = at(160.0, -1.5) - (x, y)
    hits = world.rays().cast(np.array([x, y, 0.5]), np.array([[*along, 0.0]]), 1.0, world.shapes()[2])
    assert hits.distance[0] * 120.0 == pytest.approx(99.0, abs=0.2), "there is nothing in front of the crate"


def test_invalid_objects_are_tolerated(tmp_path: Path) -> None:
    invalid = (
        '<object id="1" type="tree" s="nan" t="x"/><object/><object id="2" type="building" length="1e300" s="-5"/>'
        '<object id="3" type="barrier" height="inf"><repeat s="0" length="1e12" distance="1e-9" tStart="3"/></object>'
        '<object id="4" type="building" s="3" t="30"><outline><cornerLocal u="1"/></outline></object>'
    )
    parsed, signs = fixtures.read(ET.fromstring(ROAD % (invalid, '<signal s="7" t="nan" type="" zOffset="-"/>')))
    assert len(parsed) == 5
    assert len(signs) == 1
    for fixture in parsed:
        assert np.isfinite(fixture.at).all()
        assert max(fixture.length, fixture.width, fixture.height) <= fixtures.MAX_SIZE
        outline = fixture.outline
        assert outline is None or (np.isfinite(outline).all() and len(outline) <= fixtures.MAX_COUNT + 2)
    flat = '<object id="1" type="building" s="50" t="30"/><object id="2" type="pole" s="50" t="9"><repeat/></object>'
    world_with(tmp_path, flat)


@pytest.mark.parametrize(("name", "parked"), [("Town03", False), ("mine", True)])
def test_carlas_own_maps_have_free_parking_lanes(tmp_path: Path, name: str, parked: bool) -> None:
    """Programs for these maps place cars there; the same map by another name has parked cars."""
    lanes = xodr.create_road([xodr.Line(120.0)], 0, left_lanes=1, right_lanes=2, lane_width=3.0)
    lanes.lanes.lanesections[0].rightlanes[1].lane_type = xodr.LaneType.parking
    lanes.add_type(xodr.RoadType.town)
    drive = xodr.OpenDrive(name)
    drive.add_road(lanes)
    drive.adjust_roads_and_lanes()
    drive.write_xml(str(tmp_path / f"{name}.xodr"))
    boxes = StaticTown(str(tmp_path / f"{name}.xodr"), 0).solid.boxes
    in_lane = boxes[(boxes[:, 0] > 0.0) & (boxes[:, 0] < 120.0) & (np.abs(boxes[:, 1] - 4.5) < 1.0)]
    assert bool(len(in_lane)) == parked


@pytest.mark.parametrize("by_opencv", [True, False])
def test_motion_of_a_frame_is_that_of_the_view_in_half_precision(
    by_opencv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_opencv and not frames._CONVERTS_TO_HALF:
        pytest.skip("this OpenCV has no half precision")
    monkeypatch.setattr(frames, "_CONVERTS_TO_HALF", by_opencv)
    world = World("plain", vehicles=0, walkers=0)
    car = world.spawn("vehicle.tesla.model3", {}, world.spawn_points()[0])
    size = {"image_size_x": "96", "image_size_y": "64"}
    camera = world.spawn("sensor.camera.rgb", size, Transform(z=2.0), car.id)
    world.drive_of(car.id)
    car.control = VehicleControl(throttle=1.0)
    for _ in range(20):
        world.tick(0.1)
    motion = world.capture(camera.id).motion.astype(np.float16)
    assert np.abs(motion).max() > 1.0
    assert (frames.frame_of(world, camera.id).planes["motion"] == motion).all()
