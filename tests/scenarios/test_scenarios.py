"""The scenario language: valid files, mistakes with file, line and key, conditions and assertions."""

from __future__ import annotations

import re
from dataclasses import replace
from math import pi
from pathlib import Path
from types import SimpleNamespace

import carla
import numpy as np
import pytest
from helpers.openscenario_text import lead
from others.maps import ring
from pydantic import ValidationError

from bridge.carla_client.routing.autopilot import Autopilot
from bridge.carla_client.vehicle_geometry import VehicleGeometry
from neuralsim.town.assets.templates import templates
from neuralsim.town.core import blueprint_library
from neuralsim.town.opendrive import towns
from scenarios.engine.assertion_monitor import AssertionMonitor
from scenarios.engine.lights import Signals
from scenarios.engine.loader import ScenarioError, check_blueprints, load
from scenarios.engine.rigs import load_with_rig
from scenarios.engine.road import LaneInvasionDetector, PlaceFinder, RouteProgress
from scenarios.engine.routes import Approach, RouteResolver
from scenarios.engine.script import Script
from scenarios.engine.snapshot import ActorState, CollisionRecord, Invasion, Snapshot, gap, holds
from scenarios.engine.speed_profiles import (
    DistanceKeeper,
    Rendezvous,
    SpeedProfile,
    SpeedRamp,
    TimedPath,
    distance_excess,
)
from scenarios.language.actions import KeepDistance, Meet, SetSpeed
from scenarios.language.assertions import Assertion
from scenarios.language.conditions import Place
from scenarios.language.schema import Step, When, json_schema

FOLDER = Path(__file__).parents[2] / "scenarios" / "library"
FILES = sorted(FOLDER.glob("*.yaml"))
CAR = VehicleGeometry(2.4, 0.95, 2.87, 0.7)

GOOD = """\
title: Test
duration: 5
ego:
  spawn: {point: 0}
  do:
    - follow_lane: {speed: 8}
actors:
  - name: other
    blueprint: vehicle.audi.tt
    spawn: {ahead: 20}
assert:
  - no_collision: ego
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "drive.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_scenario_file_is_valid(path: Path):
    loaded = load(path)
    assert loaded.id == path.stem
    assert 10.0 <= loaded.scenario.duration <= 25.0
    assert loaded.scenario.asserts


def test_everyday_scenarios_are_shipped():
    expected = {
        "following", "cut_in", "overtaking", "junction_with_lights", "pedestrian_crossing", "emergency_brake",
        "large_junction", "motorway_merge", "village_at_dusk", "dense_traffic", "door_zone", "long_loop",
    }  # fmt: skip
    assert expected <= {path.stem for path in FILES}


def test_unknown_blueprint_is_reported_before_anything_starts(tmp_path: Path):
    path = tmp_path / "typo.yaml"
    text = (FOLDER / "following.yaml").read_text(encoding="utf-8")
    line = next(n for n, content in enumerate(text.splitlines(), 1) if "blueprint:" in content)
    path.write_text(re.sub(r"blueprint: \S+", "blueprint: vehicle.audi.ttt", text, count=1), encoding="utf-8")
    with pytest.raises(ScenarioError, match=rf"typo.yaml:{line}: .*unknown blueprint 'vehicle.audi.ttt'; did you mean"):
        check_blueprints(load(path), blueprint_library.blueprint_names())
    for file in FILES:
        check_blueprints(load(file), blueprint_library.blueprint_names())
    of_the_town = blueprint_library.blueprints(list(templates().vehicles))
    spawned = {name for name in of_the_town if name.startswith(("vehicle.", "walker.", "static.prop"))}
    assert set(blueprint_library.blueprint_names()) == spawned


def test_time_accepts_the_notation_of_other_conditions():
    assert When.model_validate({"time": {"above": 4}}) == When.model_validate({"time": 4})
    with pytest.raises(ValidationError):
        When.model_validate({"time": {"below": 4}})


def test_committed_json_schema_is_current():
    committed = (FOLDER.parent / "language" / "schema.json").read_text(encoding="utf-8")
    assert json_schema() == committed, "write scenarios.language.schema.json_schema() to scenarios/language/schema.json"


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("speed: 8", "sped: 8", 6, "ego.do[0].follow_lane.sped: unknown key; did you mean speed?"),
        ("speed: 8", "speed: fast", 6, "ego.do[0].follow_lane.speed: "),
        ("speed: 8", "speed: .nan", 6, "ego.do[0].follow_lane.speed: "),
        ("speed: 8", "speed: true", 6, "ego.do[0].follow_lane.speed: "),
        ("{speed: 8}", "{}", 6, "ego.do[0].follow_lane.speed: is missing"),
        ("duration: 5", "duration: -1", 2, "duration: "),
        ("duration: 5\n", "", 1, "duration: is missing"),
        ("{point: 0}", "{point: 0, ahead: 3}", 4, "ego.spawn: needs exactly one of"),
        ("{point: 0}", "{road: 3, lane: 1}", 4, "ego.spawn: needs road, lane and s together"),
        ("{point: 0}", "{ahead: 5}", 4, "ego.spawn.ahead: is relative to the ego itself"),
        ("no_collision: ego", "no_collision: nobody", 12, "assert[0].no_collision: there is no actor 'nobody'"),
        ("no_collision: ego", "no_colision: ego", 12, "assert[0].no_colision: unknown key; did you mean no_collision?"),
        ("vehicle.audi.tt", "audi", 9, "actors[0].blueprint: 'audi' is not of the form"),
        ("{ahead: 20}", "{ahead: 20}\n    do: [{cross: {}}]", 11, "actors[0].do[0].cross: is not for vehicles"),
        ("speed: 8}", "speed: 8}\n    - stop: {}", 7, "ego.do[1]: never begins"),
        ("duration: 5", "duration: 5\nduration: 6", 3, "duration: given twice, first in line 2"),
        ("duration: 5", "duration: [5", 3, "not YAML"),
        ("duration: 5", "duration: 5\ntown: nowhere.xodr", 3, "town: "),
        ("duration: 5", "duration: 5\nweather: {preset: Sunny}", 3, "weather.preset: "),
        ("title: Test", "title: &a [*a]", 1, "nested too deeply"),
        ("duration: 5", "duration: 5\nlights: [{at: {x: 1}, state: red}]", 3, "lights[0].at: needs x and y together"),
        ("{point: 0}", "{point: 0, yaw: 3}", 4, "ego.spawn: z and yaw go with x and y"),
        ("duration: 5", "duration: 5\ncameras: [{name: tag}]", 3, "cameras[0].name: 'tag' is taken"),
        ("{ahead: 20}", "{ahead: 20}\n    events: [{stop: {}}]", 11, "an event needs a `when`"),
        ("speed: 8}", "speed: 8}\n    - {when: {step: {step: go}}, stop: {}}", 7, "there is no step 'go'"),
        ("no_collision: ego", "completes_route: {}", 12, "the ego has no follow_route"),
        ("speed: 8}", "speed: 8}\n  events: [{when: {any_of: [{time: -1}]}, stop: {}}]", 7, "any_of[0].time"),
    ],
)
def test_mistake_is_reported_with_file_line_and_key(tmp_path: Path, old: str, new: str, line: int, expected: str):
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"- 1\n- 2\n", b"hello", b"%YAML 9\n---", b"!!python/none {}"]
)
def test_invalid_file_gives_one_line_error(tmp_path: Path, content: bytes):
    path = tmp_path / "drive.yaml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_digest_changes_with_the_file(tmp_path: Path):
    first = load(write(tmp_path, GOOD)).digest
    assert load(write(tmp_path, GOOD)).digest == first
    assert load(write(tmp_path, GOOD + "# more\n")).digest != first


# Conditions and assertions


def car(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, speed: float = 0.0, travelled: float = 0.0) -> ActorState:
    return ActorState(x, y, 0.0, yaw, speed, 0.0, 2.0, 1.0, travelled)


def moment(time: float, collisions: tuple[CollisionRecord, ...] = (), **states: ActorState) -> Snapshot:
    return Snapshot(time, states, collisions, lambda name: 7)


def test_gaps_are_between_outlines():
    assert gap(car(), car(10.0)) == pytest.approx(6.0)
    assert gap(car(), car(3.0)) == 0.0
    assert gap(car(), car(10.0, 0.0, pi / 2)) == pytest.approx(7.0)
    assert gap(car(), car(7.0, 6.0)) == pytest.approx(5.0)  # corner to corner, 3-4-5


def test_all_conditions_must_hold():
    now = moment(5.0, (CollisionRecord(4.0, "ego", "other"),), ego=car(speed=8.0, travelled=30.0), other=car(20.0))

    def check(**when: object) -> bool:
        return holds(When.model_validate(when), now, "other", begun=3.0)

    assert check(time=5)
    assert not check(time=5.1)
    assert check(after=2)
    assert not check(after=2.1)
    assert check(distance={"below": 21})
    assert not check(distance={"above": 21})
    assert check(speed={"of": "ego", "above": 7, "below": 9})
    assert not check(speed={"above": 1})  # of the other: it stands
    assert check(travelled={"of": "ego", "above": 30})
    assert check(position={"x": 18, "y": 0, "within": 3})
    assert not check(position={"of": "ego", "x": 18, "y": 0, "within": 3})
    assert check(position={"road": 7})
    assert check(collision={"of": "ego"})
    assert check(collision={"of": "ego", "with": "other"})
    assert not check(collision={"with": "ego"})
    assert not check(time=5, distance={"below": 3})


@pytest.mark.parametrize(
    ("assertion", "passed", "value"),
    [
        ({"no_collision": "ego"}, True, 0.0),
        ({"max_speed": {"value": 10}}, True, 10.0),
        ({"max_speed": {"value": 9}}, False, 10.0),
        ({"max_speed": {"value": 9, "until": 1}}, True, 8.0),
        ({"min_speed": {"value": 1}}, False, 0.0),
        ({"reaches_speed": {"value": 9}}, True, 10.0),
        ({"travels": {"least": 20}}, True, 24.0),
        ({"travels": {"most": 20}}, False, 24.0),
        ({"keeps_distance": {"to": "other", "least": 2}}, True, 2.0),
        ({"keeps_distance": {"to": "other", "least": 3}}, False, 2.0),
        ({"stops_before": {"to": "other", "least": 1}}, True, 2.0),
        ({"stops_before": {"of": "other", "to": "ego", "least": 1}}, False, 2.0),  # the ego is behind it
        ({"stands": {"least": 1}}, True, 1.0),
        ({"stands": {"least": 2}}, False, 1.0),
        ({"passes": {"other": "other"}}, False, -6.0),
    ],
)
def test_assertions_can_pass_and_fail(assertion: dict, passed: bool, value: float):
    monitor = AssertionMonitor(Assertion.model_validate(assertion))
    for time, x, speed in ((0.0, 0.0, 8.0), (1.0, 8.0, 8.0), (2.0, 16.0, 10.0), (3.0, 24.0, 0.0), (4.0, 24.0, 0.0)):
        monitor.watch(moment(time, ego=car(x, speed=speed, travelled=x), other=car(30.0)))
    result = monitor.result()
    assert result["passed"] is passed
    assert result["value"] == pytest.approx(value)


def test_collision_counts_for_both_actors():
    for name in ("ego", "other"):
        monitor = AssertionMonitor(Assertion.model_validate({"no_collision": name}))
        monitor.watch(moment(1.0, (CollisionRecord(1.0, "ego", "other"),), ego=car(), other=car(3.0)))
        assert not monitor.result()["passed"]


# Autopilot functions for scenarios


@pytest.fixture(scope="module")
def road() -> carla.Map:
    return carla.Map(*towns.load("oldtown", 3))


def drive(pilot: Autopilot, x: float, y: float, yaw: float, metres: float) -> tuple[float, float]:
    """Return the end position of a point that follows the autopilot's path."""
    for _ in range(int(metres)):
        pilot.drive(x, y, 0.0, yaw, 8.0, (), (), 0.1)
        target = pilot._xy[2]
        yaw = float(np.arctan2(target[1] - y, target[0] - x))
        x, y = x + float(np.cos(yaw)), y + float(np.sin(yaw))
    return x, y


def test_lane_change_leads_to_the_adjacent_lane(road: carla.Map):
    start = road.get_waypoint_xodr(16, -2, 10.0)
    at, yaw = start.transform.location, float(np.radians(start.transform.rotation.yaw))
    pilot = Autopilot(road, CAR)
    assert not pilot.change_lane(-1, 20.0)  # it has no path yet
    pilot.drive(at.x, at.y, at.z, yaw, 8.0, (), (), 0.1)
    assert not pilot.change_lane(1, 20.0)  # there is the kerb
    assert pilot.change_lane(-1, 20.0)
    x, y = drive(pilot, at.x, at.y, yaw, 30)
    lane = road.get_waypoint(carla.Location(x, y, 0.0))
    assert (lane.road_id, lane.lane_id) == (16, -1)
    assert np.hypot(lane.transform.location.x - x, lane.transform.location.y - y) < 0.4


def test_path_can_use_an_oncoming_lane_and_return(road: carla.Map):
    start = road.get_waypoint_xodr(9, -1, 40.0)
    at, yaw = start.transform.location, float(np.radians(start.transform.rotation.yaw))
    pilot = Autopilot(road, CAR)
    pilot.drive(at.x, at.y, at.z, yaw, 8.0, (), (), 0.1)
    assert not pilot.change_lane(-1, 20.0)
    assert pilot.lanes_to(1) == -1
    assert pilot.change_lane(pilot.lanes_to(1), 20.0, oncoming=True)
    x, y = drive(pilot, at.x, at.y, yaw, 30)
    there = road.get_waypoint(carla.Location(x, y, 0.0))
    assert (there.road_id, there.lane_id) == (9, 1)
    assert np.hypot(there.transform.location.x - x, there.transform.location.y - y) < 0.4
    assert pilot.lanes_to(-1) == 1
    assert pilot.change_lane(1, 20.0, oncoming=True)
    assert pilot.shift(0.8, 10.0)
    x, y = drive(pilot, x, y, yaw, 30)
    back = road.get_waypoint(carla.Location(x, y, 0.0))
    assert back.lane_id == -1
    right = back.transform.get_right_vector()
    place = back.transform.location
    assert (x - place.x) * right.x + (y - place.y) * right.y == pytest.approx(0.8, abs=0.3)


@pytest.mark.parametrize(("turn", "least", "most"), [("left", -120, -50), ("right", 50, 120), ("straight", -40, 40)])
def test_turn_at_a_junction_can_be_chosen(road: carla.Map, turn: str, least: float, most: float):
    start = road.get_waypoint_xodr(9, -1, 140.0)
    at, yaw = start.transform.location, start.transform.rotation.yaw
    pilot = Autopilot(road, CAR)
    pilot.turn = turn
    x, y = drive(pilot, at.x, at.y, float(np.radians(yaw)), 75)
    end = road.get_waypoint(carla.Location(x, y, 0.0)).transform.rotation.yaw
    assert least < (end - yaw + 180.0) % 360.0 - 180.0 < most


# Exact speeds


def ride(
    pace: SpeedProfile, seconds: float, me: ActorState, other: ActorState | None = None
) -> tuple[list[float], ActorState]:
    """Return the speeds of "me" along x at 20 ticks/s, and its final state; the other actor keeps its speed."""
    speeds = []
    for k in range(round(seconds * 20)):
        states = {"me": me} | ({"other": other} if other else {})
        v = pace.at(Snapshot(k / 20, states, (), lambda name: 0), 0.05)
        speeds.append(v)
        me = replace(me, x=me.x + 0.05 * v, vx=v, travelled=me.travelled + 0.05 * v)
        if other:
            other = replace(other, x=other.x + 0.05 * other.vx)
    return speeds, me


def ramp(spec: SetSpeed, speed: float, **others: ActorState) -> SpeedProfile:
    return SpeedRamp(spec, moment(0.0, me=car(speed=speed), **others), speed)


def test_speed_ramps():
    speeds, _ = ride(ramp(SetSpeed(speed=8.0, over=4.0), 16.0), 5.0, car(speed=16.0))
    assert speeds[39] == pytest.approx(12.0)
    assert speeds[79] == speeds[-1] == pytest.approx(8.0)
    speeds, _ = ride(ramp(SetSpeed(speed=0.0, rate=4.0, smooth=True), 16.0), 5.0, car(speed=16.0))
    assert speeds[39] == pytest.approx(8.0)
    assert max(np.abs(np.diff(speeds))) * 20 == pytest.approx(4.0 * np.pi / 2, rel=0.01)
    _, end = ride(ramp(SetSpeed(speed=10.0, within=30.0), 0.0), 6.0, car())
    assert end.x == pytest.approx(30.0, abs=0.5)
    other = car(20.0, speed=5.0)
    speeds, _ = ride(ramp(SetSpeed(beside="other", times=2.0), 0.0, other=other), 0.1, car(), other)
    assert speeds[0] == 10.0


def test_rendezvous_at_given_place_and_speed():
    spec = Meet(at=Place(x=100.0, y=0.0), other="other", there=Place(x=50.0, y=0.0), speed=7.0)
    pace = Rendezvous("me", spec, Approach(100.0, 0.0, None), Approach(50.0, 0.0, None), 12.0)
    speeds, end = ride(pace, 9.9, car(speed=12.0), car(0.0, speed=5.0))
    assert end.x == pytest.approx(100.0, abs=2.0)  # the other one is at 50 m after 10 s
    assert speeds[-1] == pytest.approx(7.0, abs=0.3)
    assert pace.reached


def test_distance_is_reached_and_kept():
    pace = DistanceKeeper("me", KeepDistance(to="other", metres=15.0), 20.0)
    _, end = ride(pace, 20.0, car(speed=20.0), car(60.0, speed=10.0))
    assert 260.0 - end.x - 4.0 == pytest.approx(15.0, abs=0.1)
    assert pace.speed == pytest.approx(10.0, abs=0.05)


@pytest.mark.parametrize(("side", "start", "end_gap"), [("ahead", 20.0, -19.0), ("nearest", -30.0, 19.0)])
def test_distance_is_kept_ahead_of_the_other_or_on_the_present_side(side: str, start: float, end_gap: float):
    spec = KeepDistance(to="other", metres=15.0, side=side)
    _, end = ride(DistanceKeeper("me", spec, 10.0), 20.0, car(start, speed=10.0), car(0.0, speed=10.0))
    assert 200.0 - end.x == pytest.approx(end_gap, abs=0.1)  # both are 4 m long


def test_distance_that_is_kept_once_is_let_go():
    spec = KeepDistance(to="other", metres=15.0, once=True)
    pace = DistanceKeeper("me", spec, 20.0)
    speeds, _ = ride(pace, 20.0, car(speed=20.0), car(60.0, speed=10.0))
    assert pace.reached
    assert speeds[-1] == speeds[-50] != pytest.approx(10.0, abs=0.05)


def test_time_gap_counts_at_the_speed_of_the_one_behind():
    me, other = car(0.0, speed=20.0), car(10.0, speed=5.0)
    behind, ahead = (KeepDistance(to="other", seconds=2.0, side=side) for side in ("behind", "ahead"))
    assert distance_excess(behind, me, other, 20.0) == 10.0 - (40.0 + 4.0)
    assert distance_excess(ahead, me, other, 20.0) == 10.0 + (10.0 + 4.0)


def test_a_jump_to_a_distance_follows_the_lane_and_keeps_the_place_in_it(tmp_path: Path):
    town, loaded = carla.Map("ring", ring()), load(lead(tmp_path))
    world = SimpleNamespace(get_actors=lambda: SimpleNamespace(filter=lambda _: []))
    resolver = RouteResolver(town, PlaceFinder(town, loaded), Signals(world, town), loaded)
    me = car(230.0, 1.2)  # 10 m before the bend, half a metre to the left of the middle of lane -1
    excess = distance_excess(KeepDistance(to="other", metres=56.0, side="ahead"), me, car(200.0), 0.0)
    assert excess == 30.0
    there = resolver.moved(me, excess)
    assert there is not None
    way = town.get_waypoint(there.location)
    assert (way.road_id, way.s) == (1, pytest.approx(20.0, abs=1.0))
    assert there.location.distance(way.transform.location) == pytest.approx(0.5, abs=0.01)
    assert there.rotation.yaw == pytest.approx(way.transform.rotation.yaw, abs=0.1)


def test_path_is_followed_on_schedule():
    corners = [(0.0, 0.0), (20.0, 0.0), (30.0, 0.0)]
    pace = TimedPath("me", corners, [0.0, 2.0, 4.0], moment(0.0, me=car()), 0.0)
    speeds, end = ride(pace, 4.0, car())
    assert speeds[20] == pytest.approx(10.0, abs=0.6)
    assert end.x == pytest.approx(30.0, abs=0.8)


# Events, routes, lanes


def play(script: Script, until: float, **states: ActorState) -> list[tuple[float, str]]:
    """Return when which steps begin, for actors with constant states."""
    log: dict[str, str] = script._log
    begun = []
    for k in range(int(until * 10) + 1):
        if script.advance(Snapshot(k / 10, states, (), lambda name: 0, steps=log)):
            assert script.step is not None
            begun.append((k / 10, script.step.chosen()[0]))
    return begun


def steps(*each: dict) -> list[Step]:
    return [Step.model_validate(one) for one in each]


def test_events_begin_once_in_whatever_order_their_conditions_hold():
    events = steps(
        {"when": {"time": 2}, "stop": {}},
        {"when": {"time": 1}, "change_lane": {"side": "left"}},
        {"when": {"time": 0.5}, "armed_by": {"time": 3}, "follow_lane": {"speed": 5}},
    )
    script = Script("ego", steps({"follow_lane": {"speed": 8}}), events, {})
    assert play(script, 5.0, ego=car(speed=4.0)) == [
        (0.0, "follow_lane"),
        (1.0, "change_lane"),
        (2.0, "stop"),
        (3.0, "follow_lane"),
    ]


def test_rising_step_does_not_begin_if_its_condition_holds_at_first():
    fast = {"when": {"speed": {"above": 3}}, "rising": True, "stop": {}}
    assert play(Script("ego", [], steps(fast), {}), 2.0, ego=car(speed=4.0)) == []
    script = Script("ego", [], steps(fast), {})
    assert play(script, 0.5, ego=car(speed=2.0)) == []
    assert play(script, 0.5, ego=car(speed=4.0)) == [(0.0, "stop")]


@pytest.mark.parametrize("radius", [12.0, 60.0])
def test_actor_on_rails_follows_bends_beyond_tyre_grip(radius: float):
    """An actor at 20 m/s that starts half a metre off a circle returns to it and follows it."""
    pilot = Autopilot(None, VehicleGeometry(2.0, 1.0, 2.8, 0.7))
    angles = np.arange(0.0, 2.0, 1.0 / radius)
    pilot._xy = radius * np.stack([np.sin(angles), 1.0 - np.cos(angles)], axis=1)
    x, y, yaw, off = 0.0, -0.5, 0.0, []
    for _ in range(int(0.8 * radius)):
        target = pilot.ahead(x, y, 2.0)
        assert target is not None
        way = np.arctan2(target[1] - y, target[0] - x)
        x, y, yaw = x + np.cos(way), y + np.sin(way), target[2]
        off.append(np.hypot(x, y - radius) - radius)
        pilot._xy = pilot._xy[max(int(np.hypot(*(pilot._xy - (x, y)).T).argmin()) - 1, 0) :]
    assert abs(np.array(off[5:])).max() < 0.15
    heading = np.arctan2(x, radius - y)
    assert abs(yaw - heading) < 1.5 / radius
    assert pilot.ahead(x, y, 1e3) is None


def test_step_can_wait_for_another_step_and_a_delay():
    do = steps(
        {"name": "go", "follow_lane": {"speed": 8}},
        {"when": {"step": {"step": "go"}}, "delay": 1.5, "stop": {}},
    )
    assert play(Script("ego", do, [], {}), 5.0, ego=car(speed=7.8)) == [(0.0, "follow_lane"), (1.6, "stop")]
    assert play(Script("ego", do, [], {}), 5.0, ego=car(speed=5.0)) == [(0.0, "follow_lane")]  # never that fast


def test_headway_and_time_to_collision():
    now = moment(1.0, ego=car(speed=8.0), other=car(20.0), aside=car(20.0, 9.0))

    def check(**when: object) -> bool:
        return holds(When.model_validate(when), now)

    assert check(headway={"to": "other", "above": 1.9, "below": 2.1})  # 16 m at 8 m/s
    assert not check(headway={"of": "other", "to": "ego", "below": 60})  # it stands
    assert check(headway={"to": "other", "outlines": False, "above": 2.4, "below": 2.6})  # 20 m between their middles
    for way, middles, outlines in (("straight", 21.93, 17.46), ("ahead", 20.0, 16.0), ("aside", 9.0, 7.0)):
        for metres, between in ((middles, False), (outlines, True)):
            near = {"to": "aside", "way": way, "outlines": between}
            assert check(distance={**near, "above": metres - 0.01, "below": metres + 0.01}), (way, between)
    assert check(time_to_collision={"to": "other", "below": 2.1})
    assert not check(time_to_collision={"to": "other", "below": 1.9})
    assert not check(time_to_collision={"to": "aside", "below": 60})
    assert check(any_of=[{"time": 3}, {"standing": {"of": "other"}}])
    assert not check(any_of=[{"time": 3}, {"standing": {"of": "ego"}}])


@pytest.fixture(scope="module")
def places(road: carla.Map) -> PlaceFinder:
    return PlaceFinder(road, load(FOLDER / "following.yaml"))


def test_routes_lead_from_everywhere_to_everywhere_without_gaps(road: carla.Map, places: PlaceFinder):
    points = [way for way in road.generate_waypoints(25.0) if not way.is_junction]
    for k in range(0, len(points), 61):
        end = points[(7 * k + 3) % len(points)]
        route = places.route(points[k], [Place(road=end.road_id, lane=end.lane_id, s=end.s)])
        steps_ = np.hypot(np.diff([p.x for p in route]), np.diff([p.y for p in route]))
        assert steps_.max() < 1.6
        assert (route[-1].way.road_id, route[-1].way.lane_id) == (end.road_id, end.lane_id)
        progress = RouteProgress(route)
        for point in route[::3]:
            progress.update(point.x, point.y)
        assert progress.done
        assert progress.metres == pytest.approx(len(route), abs=4.0)


def test_autopilot_follows_its_route(road: carla.Map, places: PlaceFinder):
    start = road.get_waypoint_xodr(16, -2, 10.0)
    route = places.route(start, [Place(road=13, lane=-1, s=60.0)])
    pilot = Autopilot(road, CAR)
    pilot.follow((point.way, point.x, point.y) for point in route)
    at, yaw = start.transform.location, float(np.radians(start.transform.rotation.yaw))
    x, y = drive(pilot, at.x, at.y, yaw, len(route))
    assert np.hypot(route[-1].x - x, route[-1].y - y) < 25.0  # the point cuts corners, so it is a little ahead


def test_crossing_a_marking_is_one_invasion_until_all_wheels_are_on_one_side(road: carla.Map):
    way = road.get_waypoint_xodr(16, -2, 20.0)
    right, at = way.transform.get_right_vector(), way.transform.location
    watch = LaneInvasionDetector(road)
    invasions: list[Invasion] = []
    for k, across in enumerate([0.0, -0.4, -0.9, -1.6, -2.4, -3.1, -3.1, -2.4, -1.0, 0.0]):
        state = car(at.x + across * right.x, at.y + across * right.y, float(np.radians(way.transform.rotation.yaw)))
        invasions += [invasion for invasion in [watch.look(k / 10, state)] if invasion is not None]
    assert [invasion.side for invasion in invasions] == ["left", "right"]  # over and back
    assert all(invasion.marking in ("Broken", "Solid") for invasion in invasions)


def test_a_rig_takes_the_place_of_the_scenarios_cameras(tmp_path: Path) -> None:
    scenario = write(tmp_path, GOOD + "cameras: [{name: old}]\n")
    rig = tmp_path / "rig.yaml"
    rig.write_text("cameras:\n  - {name: left, size: 96x64, fov: 60, mount: {yaw: -50}}\n  - name: rear\n")
    loaded, plain = load_with_rig(scenario, rig), load_with_rig(scenario, None)
    assert [each.name for each in loaded.scenario.cameras] == ["left", "rear"]
    assert (loaded.scenario.cameras[0].size, loaded.scenario.cameras[0].mount.yaw) == ((96, 64), -50.0)
    assert [each.name for each in plain.scenario.cameras] == ["old"]
    assert loaded.digest != plain.digest
    assert "left" in loaded.text
    assert "old" not in loaded.text
    assert loaded.scenario.ego == plain.scenario.ego
    for text, line, mistake in (
        ("cameras:\n  - {name: left}\n  - {name: left}", 3, "cameras[1].name: 'left' is taken"),
        ("cameras:\n  - {name: tag}", 2, "cameras[0].name: 'tag' is taken"),
        ("cameras: []", 1, "cameras"),
        ("cameras:\n  - {name: a, fov: 500}", 2, "cameras[0].fov"),
        ("views: 3", 1, "views"),
    ):
        rig.write_text(text)
        with pytest.raises(ScenarioError, match=re.escape(f"{rig}:{line}: {mistake}")):
            load_with_rig(scenario, rig)
    with pytest.raises(ScenarioError, match="no such file"):
        load_with_rig(scenario, tmp_path / "none.yaml")
