"""Entities that come later or never, that stand for others' traffic, and objects that move."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import carla
import pytest
from helpers.openscenario_text import absolute, by_value, event, file, placed, speed, story, vehicle
from others.maps import LANE, ring

from bridge.carla_client.routing.autopilot import Autopilot
from bridge.carla_client.vehicle_geometry import VehicleGeometry
from scenarios.engine.director import Director
from scenarios.engine.lights import Signals
from scenarios.engine.loader import load, parse
from scenarios.engine.road import PlaceFinder
from scenarios.engine.routes import RouteResolver
from scenarios.engine.script import Script
from scenarios.engine.snapshot import ActorState, Snapshot
from scenarios.engine.walker_driver import PropDriver

EGO = placed("hero", '<LanePosition roadId="1" laneId="-1" s="20"/>')
LATER = '<Position><RelativeRoadPosition entityRef="hero" ds="30" dt="0"/></Position>'
SUMO = """<ScenarioObject name="Theirs"><CatalogReference catalogName="v" entryName="car"/><ObjectController>
  <Controller name="c"><Properties><Property name="esminiController" value="SumoController"/></Properties></Controller>
  </ObjectController></ScenarioObject>"""
SWARM = '<GlobalAction><TrafficAction><TrafficSwarmAction numberOfVehicles="75"/></TrafficAction></GlobalAction>'


def existence(entity: str, action: str) -> str:
    return f'<GlobalAction><EntityAction entityRef="{entity}">{action}</EntityAction></GlobalAction>'


def added(entity: str) -> str:
    return existence(entity, f"<AddEntityAction>{LATER}</AddEntityAction>")


def test_entities_exist_as_long_as_the_file_says(tmp_path: Path) -> None:
    names = ("hero", "First", "Later", "Never")
    entities = "".join(vehicle(name, "vehicle.tesla.model3") for name in names)
    init = added("First") + existence("Never", "<DeleteEntityAction/>") + EGO
    comes = event("comes", "", by_value('<SimulationTimeCondition value="4" rule="greaterThan"/>'))
    text = story("hero", comes.replace("<PrivateAction></PrivateAction>", added("Later")))
    first, later = load(file(tmp_path, entities, init, text)).scenario.actors
    assert (first.name, first.spawn.ahead, first.events) == ("First", 30.0, [])
    assert (later.name, later.spawn.ahead) == ("Later", 30.0)
    gone, comes_ = later.events
    assert (gone.vanish, gone.when is not None and gone.when.time) == (True, 0.0)
    assert (comes_.teleport is not None, comes_.when is not None and comes_.when.time) == (True, 4.0)


def test_an_action_without_content_waits_even_longer_than_a_scenario_can_last(tmp_path: Path) -> None:
    never = event("x", "", by_value('<SimulationTimeCondition value="10000000" rule="greaterThan"/>'))
    text = story("hero", never.replace("<PrivateAction></PrivateAction>", ""))
    text = text.replace('<EntityRef entityRef="hero"/>', "", 1)
    (step,) = load(file(tmp_path, vehicle("hero", "vehicle.tesla.model3"), EGO, text)).scenario.ego.events
    assert (step.mark, step.when is not None and step.when.time) == (True, 3600.0)


@pytest.mark.parametrize(
    ("entity", "action", "count"),
    [
        (SUMO, "", 20),
        ("", SWARM, 75),
    ],
)
def test_the_towns_traffic_takes_the_place_of_others(tmp_path: Path, entity: str, action: str, count: int) -> None:
    drives = EGO.replace("</Private>", f"<PrivateAction>{speed(absolute('5'))}</PrivateAction></Private>")
    scenario = load(file(tmp_path, vehicle("hero", "vehicle.tesla.model3") + entity, action + drives, "")).scenario
    assert (scenario.traffic.vehicles, scenario.actors) == (count, [])


def test_a_closed_trajectory_with_times_ends_at_its_last_time(tmp_path: Path) -> None:
    points = "".join(
        f'<Vertex time="{t}"><Position><RoadPosition roadId="1" s="{20 + 5 * t}" t="-2"/></Position></Vertex>'
        for t in (0, 2, 4)
    )
    timing = '<Timing domainAbsoluteRelative="relative" scale="1" offset="0"/>'
    follows = f"""<RoutingAction><FollowTrajectoryAction><Trajectory name="t" closed="true"><Shape><Polyline>{points}
      </Polyline></Shape></Trajectory><TimeReference>{timing}</TimeReference></FollowTrajectoryAction></RoutingAction>"""
    text = story("Other", event("goes", follows, by_value('<SimulationTimeCondition value="1" rule="greaterThan"/>')))
    entities = vehicle("hero", "vehicle.tesla.model3") + vehicle("Other", "vehicle.audi.tt")
    (other,) = load(file(tmp_path, entities, EGO, text)).scenario.actors
    path = other.events[0].follow_path
    assert path is not None
    assert [point.at for point in path.points] == [0.0, 2.0, 4.0]
    assert (other.spawn.road, other.spawn.s) == (1, 20.0), "it has no other place, so it waits at its path"


def test_steps_that_begin_at_once_know_the_speeds_at_which_actors_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "title: Start\ntown: hamlet\nduration: 9\nego: {spawn: {point: 0, speed: 15}, do: [stop: {}]}\nassert: []\n"
    (tmp_path / "start.yaml").write_text(text, encoding="utf-8")
    director = Director(tmp_path / "start.yaml", None)
    before = Snapshot(0.0, {"ego": ActorState(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 1.0)}, (), lambda name: 0)
    monkeypatch.setattr(director, "_update", lambda snapshot: setattr(director, "_now", before))
    given: list[carla.Vector3D] = []
    director._drivers["ego"] = cast(Any, SimpleNamespace(actor=SimpleNamespace(id=1, set_target_velocity=given.append)))
    looks_down_y = carla.Transform(carla.Location(), carla.Rotation(yaw=90.0))
    snapshot = SimpleNamespace(
        timestamp=SimpleNamespace(elapsed_seconds=3.0),
        find=lambda ident: SimpleNamespace(get_transform=lambda: looks_down_y),
    )
    director.begin(cast(carla.WorldSnapshot, snapshot))
    assert director._now is not None
    assert director._now.states["ego"].speed == pytest.approx(15.0)
    assert director._now.states["ego"].vy == given[0].y == pytest.approx(15.0)


def test_a_path_can_begin_beside_the_middle_of_its_lane() -> None:
    pilot = Autopilot(carla.Map("ring", ring()), VehicleGeometry(2.0, 1.0, 2.8, 0.7))
    place = 100.0, 0.5 * LANE + 0.6, 0.0  # CARLA's y is to the right
    assert not pilot.shift(0.6, 10.0)
    assert pilot.shift(0.6, 0.0)
    pilot.drive(*place, yaw=0.0, speed=10.0, bodies=(), halts=(), delta=0.05)
    ahead = pilot.ahead(*place[:2], 2.0)
    assert ahead is not None
    assert ahead == pytest.approx((102.0, place[1], 0.0), abs=0.02)


def test_an_object_moves_along_its_path(tmp_path: Path) -> None:
    text = """title: Ball
town: hamlet
duration: 9
ego: {spawn: {point: 0}, do: [stop: {}]}
actors:
  - name: ball
    blueprint: static.prop.box03
    spawn: {x: 10, y: -2}
    do: [set_speed: {speed: 4}]
    events:
      - {when: {time: 1}, follow_path: {points: [{x: 10, y: -2}, {x: 20, y: -2}, {x: 20, y: 8}]}}
assert: []
"""
    loaded = parse(tmp_path / "ball.yaml", text)
    town, world = carla.Map("ring", ring()), SimpleNamespace(get_actors=lambda: SimpleNamespace(filter=lambda _: []))
    resolver = RouteResolver(town, PlaceFinder(town, loaded), Signals(world, town), loaded)
    places = [carla.Transform(carla.Location(10.0, -2.0, 0.5))]
    ball = SimpleNamespace(get_location=lambda: places[-1].location, set_transform=places.append)
    spec = loaded.scenario.actors[0]
    driver = PropDriver(ball, Script("ball", spec.do, spec.events, {}), 0.0, resolver)
    for k in range(200):
        at = places[-1].location
        state = ActorState(at.x, at.y, at.z, 0.0, 0.0, 0.0, 0.3, 0.3)
        driver.move(Snapshot(k / 20, {"ball": state}, (), lambda name: 0), 0.05)
    seen = [(round(each.location.x, 1), round(each.location.y, 1)) for each in places]
    assert (20.0, -2.0) in seen
    assert seen[-1] == (20.0, 8.0)
    assert places[-1].location.z == 0.5
    assert places[-1].rotation.yaw == pytest.approx(90.0, abs=1.0)
