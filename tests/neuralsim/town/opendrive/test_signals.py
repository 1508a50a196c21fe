"""Traffic lights in files of other programs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from helpers.wire_world import road as straight

from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.world import World


def test_lights_of_roadrunner_control_the_lanes_that_reference_them() -> None:
    """RoadRunner's signals may be on another road and are valid for no lane there; the connecting roads that they
    control reference them, with reversed orientation."""
    text = towns.generate("hamlet")
    ours = Network("hamlet", text)
    expected = {signal.id: signal.lanes for signal in ours.signals}
    assert len(expected) == 4
    root = ET.fromstring(text)
    roads = {road.get("id"): road for road in root.findall("road")}
    for element in root.iter("signal"):
        ET.SubElement(element, "validity", fromLane="0", toLane="0")
    for signal in ours.signals:
        for lane in (ours.lanes[k] for k in signal.lanes):
            for link in root.findall(f"junction[@id='{signal.cycle}']/connection[@incomingRoad='{lane.road}']"):
                if link.find(f"laneLink[@from='{lane.id}']") is not None:
                    road = roads[link.get("connectingRoad")]
                    holder = road.find("signals")
                    holder = ET.SubElement(road, "signals") if holder is None else holder
                    ET.SubElement(holder, "signalReference", id=signal.id, s="0.5", t="0", orientation="-")
    theirs = Network("roadrunner", ET.tostring(root, encoding="unicode"))
    assert {signal.id: signal.lanes for signal in theirs.signals} == expected
    for before, after in zip(ours.signals, theirs.signals, strict=True):
        assert abs(before.yaw - after.yaw) < 1e-6
        assert before.cycle == after.cycle


def test_a_light_away_from_junctions_stops_traffic_where_it_stands(tmp_path: Path) -> None:
    """A pedestrian crossing in the middle of a road has one light per direction, in phase with each other."""
    root = ET.fromstring(straight(300.0))
    road = root.find("road")
    assert road is not None
    holder = ET.SubElement(road, "signals")
    for ident, way, t in (("7", "+", "-4.5"), ("8", "-", "4.5")):
        ET.SubElement(
            holder, "signal", id=ident, name="light", s="150", t=t, zOffset="0", orientation=way, dynamic="yes",
            type="1000001", subtype="-1", country="OpenDRIVE", value="-1", height="3", width="0.4", hOffset="0",
        )  # fmt: skip
    path = tmp_path / "crossing.xodr"
    ET.ElementTree(root).write(path, encoding="utf-8")
    world = World(str(path), vehicles=3, walkers=0)
    lights = world.lights.all
    assert [len(light.lanes) for light in lights] == [1, 1]
    assert lights[0].lanes != lights[1].lanes
    assert lights[0].cycle == lights[1].cycle
    assert lights[0].state == lights[1].state
    at = world.actors[lights[0].actor].transform
    assert abs(at.x - 150.0) < 0.5
    assert abs(at.yaw - 180.0) < 1e-6
    assert not passed(world, "red")
    assert passed(world, "green")
    actor_states = ActorStates(world)
    car = world.spawn("vehicle.tesla.model3", {}, Transform(at.x - 6.0, 1.75, 0.1))
    assert actor_states.light_of(car) == lights[0].actor
    world.set_transform(car.id, Transform(at.x + 6.0, 1.75, 0.1))
    assert actor_states.light_of(car) == 0, "it is past its light"


def passed(world: World, state: str) -> bool:
    """Return whether any vehicle of the background traffic passes the lights within 30 s in this state."""
    for light in world.lights.all:
        world.set_light(light.actor, state)
        light.frozen = True
    cars = [actor for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
    before = [car.transform.x - 150.0 for car in cars]
    for _ in range(300):
        world.tick(0.1)
        now = [car.transform.x - 150.0 for car in cars]
        if any(a * b < 0.0 and abs(a - b) < 5.0 for a, b in zip(before, now, strict=True)):
            return True
        before = now
    return False
