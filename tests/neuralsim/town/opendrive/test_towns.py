"""Generated towns are complete CARLA maps; any OpenDRIVE file gets scenery or is refused with a one-line message."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import carla
import numpy as np
import pytest
from helpers.town_camera import STEP, with_camera
from scenariogeneration import xodr

from bridge.tags import Tag
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.world import World

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


def test_traffic_drives_on_the_right_and_oldtown_is_complete() -> None:
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
    kinds = {lane.kind for lane in network.other_lanes}
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
def test_map_with_an_endless_road_is_refused_before_it_exhausts_the_memory(tmp_path: Path, length: str) -> None:
    path = tmp_path / "endless.xodr"
    path.write_text(re.sub(r'length="[^"]*"', f'length="{length}"', towns.generate("hamlet", 0)))
    with pytest.raises(ValueError, match=r"endless\.xodr is damaged: a <road> has length"):
        World(str(path))


def test_map_that_crashes_the_native_reader_does_not_crash_the_town(tmp_path: Path) -> None:
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


def test_any_opendrive_file_gets_scenery(tmp_path: Path) -> None:
    """The file is a plain road on a hill, without parking lanes, pavements or signals."""
    path = tmp_path / "lane.xodr"
    path.write_text(HILL)
    world = World(str(path), vehicles=3, walkers=2)
    for place in world.spawn_points():  # there is road ahead
        assert world.map.get_waypoint(carla.Location(place.x, place.y, place.z)).next(25.0)
    ego, camera = with_camera(world)
    for _ in range(20):
        world.tick(STEP)
    tags = world.capture(camera.id).tag
    assert {Tag.ROAD, Tag.SIDEWALK, Tag.ROAD_LINE, Tag.SKY} <= {Tag(int(tag)) for tag in np.unique(tags)}
    assert abs(ego.transform.z - 0.05 * ego.transform.x) < 0.1, "the car stands on its road, uphill"
    assert ego.transform.pitch * np.cos(np.radians(ego.transform.yaw)) == pytest.approx(2.86, abs=0.3)


def test_solid_lines_end_where_others_cross_them(tmp_path: Path) -> None:
    """Connecting roads in files of other programs are marked like roads, whose lines do not cross in reality."""
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
    assert (tag == Tag.ROAD_LINE).mean() > 0.01, "the lines along the kerbs remain"
