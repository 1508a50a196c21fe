"""Roads as other countries and programs have them: kept left, with medians and turning lanes, very short."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import carla
import numpy as np
import pytest
from others.maps import opendrive, ring, straight

from neuralsim.town.core.types import Actor
from neuralsim.town.dynamics.actor_registry import ActorRegistry
from neuralsim.town.dynamics.traffic_lights import spawn_traffic_lights
from neuralsim.town.ground.blocks import Ground
from neuralsim.town.opendrive.network import Network
from neuralsim.town.world import World


def world_of(folder: Path, text: str, vehicles: int = 8) -> World:
    path = folder / "map.xodr"
    path.write_text(text, encoding="utf-8")
    return World(str(path), 1, vehicles, 0)


def cars(world: World) -> list[Actor]:
    return [actor for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle.")]


def away_from_lane(world: World, x: float, y: float, yaw: float) -> float:
    """Return the degrees between a heading and the nearest driving lane's, as CARLA's own map has it; 360: no lane."""
    way = world.map.get_waypoint(carla.Location(x, y, 0.0), False, carla.LaneType.Driving)
    return 360.0 if way is None else abs((yaw - way.transform.rotation.yaw + 180.0) % 360.0 - 180.0)


@pytest.mark.parametrize("rule", ["LHT", "RHT"])
def test_traffic_and_spawn_points_keep_to_the_side_of_the_country(rule: str, tmp_path: Path) -> None:
    world = world_of(tmp_path, ring(rule=rule))
    side = 1.0 if rule == "LHT" else -1.0
    for lane in world.network.lanes:
        assert lane.is_along == (lane.id * side > 0)
        assert len(lane.next) == 1
        assert world.network.lanes[lane.next[0]].id == lane.id
        np.testing.assert_allclose(np.linalg.norm(lane.outwards, axis=1), lane.width)
    points = world.spawn_points()
    assert len(points) > 20
    for _ in range(100):
        world.tick(0.05)
    for place in [*points, *(car.transform for car in cars(world))]:
        assert away_from_lane(world, place.x, place.y, place.yaw) < 20.0
    assert max(float(np.hypot(*car.velocity[:2])) for car in cars(world)) > 5.0


def test_markings_of_left_hand_roads_are_on_their_edges(tmp_path: Path) -> None:
    lanes = [(2, "driving", 3.4), (1, "driving", 3.4), (-1, "driving", 3.4), (-2, "driving", 3.4)]
    for rule in ("LHT", "RHT"):
        for lane in world_of(tmp_path, opendrive(straight(lanes, rule=rule)), 0).network.lanes:
            kinds = [mark.kind if mark else "" for mark in (lane.inner_marking, lane.outer_marking)]
            assert kinds == ["broken", "solid" if abs(lane.id) == 2 else "broken"], (rule, lane.id)
            assert abs(lane.outer[0, 1]) > abs(lane.centre[0, 1])


@pytest.mark.parametrize(("rule", "beside"), [("RHT", 8.0), ("LHT", 8.0), ("RHT", -1.0)])
def test_the_arm_of_a_light_reaches_over_its_lanes(rule: str, beside: float) -> None:
    """``beside``: the light's metres from the middle of the road; a negative one is on an island beyond it."""
    side = 1.0 if rule == "LHT" else -1.0
    lanes = [(number, "driving", 3.4) for number in (2, 1, -1, -2) if number * side > 0]
    signal = f'''<signals><signal s="150" t="{side * beside}" id="7" name="" dynamic="yes" orientation="+" zOffset="0"
      type="1000001" country="OpenDRIVE" subtype="-1" value="-1" height="1" width="0.3"/></signals>'''
    text = opendrive(straight(lanes, rule=rule).replace("</road>", f"{signal}</road>"))
    network = Network("map", text)
    registry = SimpleNamespace(add=lambda *_, **given: SimpleNamespace(id=1, **given))
    ground = SimpleNamespace(is_asphalt=lambda x, y: False)
    (light,) = spawn_traffic_lights(network, cast(Ground, ground), cast(ActorRegistry, registry)).values()
    at_pole, over_road = light.bulbs["red"][:, 1]  # CARLA's y is to the right
    assert at_pole == pytest.approx(-side * beside, abs=0.1)
    assert 0.5 < -side * over_road < 6.3


@pytest.mark.parametrize("gap", [0.8, 1.4, 1.8, 3.0])
def test_nothing_solid_stands_in_lanes_beside_a_median(gap: float, tmp_path: Path) -> None:
    one, other = [(-1, "driving", 3.5), (-2, "sidewalk", 1.8)], [(1, "driving", 3.5), (2, "sidewalk", 1.8)]
    world = world_of(tmp_path, opendrive(straight(one), straight(other, y=gap, ident=1)), 0)
    ways = world.map.generate_waypoints(4.0)
    assert len(ways) == 150
    for way in ways:
        place = way.transform
        yaw = math.radians(place.rotation.yaw)
        hit = world.static_town.solid.hit(place.location.x, place.location.y, yaw, 2.2, 0.9, 0.0)
        assert hit[0] < 0, (way.s, world.static_town.tag_of(hit[0]))
    points = np.concatenate([ring.samples() for ring in world.ground.rings])
    beside_median = (np.abs(points[:, 1] + gap / 2.0) < gap / 2.0 + 0.01) & (np.abs(points[:, 0] - 150.0) < 140.0)
    assert beside_median.sum() > 100
    assert (points[beside_median, 3] == 0.0).all(), "there is no room for pavements on both sides"
    assert (points[~beside_median, 3] > 0.0).any()


def test_through_traffic_keeps_out_of_turning_lanes(tmp_path: Path) -> None:
    lanes = [(2, "driving", 3.4), (1, "bidirectional", 3.4), (-1, "driving", 3.4)]
    world = world_of(tmp_path, opendrive(straight(lanes)))
    assert {lane.id for lane in world.network.lanes} == {2, -1}
    assert [lane.kind for lane in world.network.other_lanes] == ["bidirectional"]
    middle = world.network.other_lanes[0].centre[len(world.network.other_lanes[0].centre) // 2]
    assert world.ground.is_asphalt(float(middle[0]), float(middle[1]))
    narrow = world_of(tmp_path, opendrive(straight([(-1, "bidirectional", 3.4)])))
    assert [lane.kind for lane in narrow.network.lanes] == ["bidirectional"], "the only lane of a narrow road"


def test_a_road_shorter_than_a_car_needs_has_a_start_and_no_heap_of_cars(tmp_path: Path) -> None:
    world = world_of(tmp_path, opendrive(straight([(1, "driving", 3.5), (-1, "driving", 3.5)], length=12.0)), 20)
    (start,) = world.spawn_points()
    assert start.x == pytest.approx(6.0, abs=0.1)
    assert 1 <= len(cars(world)) <= 4
    places = [(car.transform.x, car.transform.y, car.extent[0]) for car in cars(world)]
    for k, (x, y, half) in enumerate(places):
        assert all(math.hypot(x - u, y - v) >= half + other for u, v, other in places[:k])
    assert len(world.background_actors.vehicles) == len(world.traffic) == len(places)
