"""OpenSCENARIO: what ScenarioRunner's and esmini's examples use is translated, everything else is refused by name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.openscenario_text import (
    CONTROLLER,
    absolute,
    by_entity,
    by_value,
    cut_in,
    done,
    event,
    file,
    lead,
    placed,
    shows,
    signal,
    speed,
    story,
    trigger,
    vehicle,
)
from others.maps import UTM, ring

from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from scenarios.engine.loader import ScenarioError, load, parse
from scenarios.language.schema import Scenario

ROOT = Path(__file__).resolve().parents[2]


def test_scenario_runner_file_is_translated(tmp_path: Path):
    loaded = load(lead(tmp_path))
    scenario = loaded.scenario
    assert (scenario.title, scenario.town) == ("Lead", "hamlet")
    assert scenario.weather.sun_altitude_angle == pytest.approx(20.05, abs=0.01)
    assert (scenario.weather.cloudiness, scenario.weather.precipitation) == (60.0, 20.0)
    ego, other = scenario.ego, scenario.actors[0]
    assert (ego.spawn.road, ego.spawn.lane, ego.spawn.s, ego.spawn.across) == (1, -1, 20.0, 0.2)
    assert (ego.color, ego.do[0].follow_lane is not None) == ("0,0,255", True)
    assert (other.name, other.blueprint, other.spawn.ahead) == ("adversary", "vehicle.audi.tt", 25.0)
    goes, waits, leaves = other.events
    assert goes.set_speed is not None
    assert (goes.set_speed.speed, goes.set_speed.rate, goes.done_within) == (2.0, 4.0, 8.0)
    assert goes.when is not None
    assert goes.when.distance is not None
    assert (goes.when.distance.of, goes.when.distance.below) == ("ego", 40.0)
    assert goes.armed_by is not None
    assert goes.armed_by.travelled is not None
    assert waits.set_speed is not None
    assert waits.set_speed.speed == 0.0
    assert (waits.done_after, waits.when is not None and waits.when.step is not None) == (2.0, True)
    assert leaves.when is not None
    assert leaves.when.standing is not None
    assert (leaves.delay, leaves.when.step is not None) == (0.5, True)
    assert scenario.end[0].travelled is not None
    assert scenario.end[1].delay == 2.0
    assert [each.chosen()[0] for each in scenario.asserts] == ["no_collision", "travels"]
    assert "Not judged: RunningStopTest." in scenario.description
    assert parse(Path("again.yaml"), loaded.text).scenario == scenario  # what a recording keeps


def test_axes_are_carlas_only_if_the_description_says_so(tmp_path: Path):
    init = placed("hero", '<WorldPosition x="10" y="4" z="0" h="0.5"/>') + placed(
        "adversary", '<LanePosition roadId="1" laneId="-1" s="20" offset="0.5"/>'
    )

    def spawns(description: str) -> tuple[Any, Any]:
        scenario = load(lead(tmp_path, init=init, description=description)).scenario
        return scenario.ego.spawn, scenario.actors[0].spawn

    carla, other = spawns("CARLA:Lead")
    assert (carla.x, carla.y, carla.yaw) == (10.0, 4.0, pytest.approx(28.65, abs=0.01))
    assert other.across == 0.5
    standard, other = spawns("Lead")
    assert (standard.x, standard.y, standard.yaw) == (10.0, -4.0, pytest.approx(-28.65, abs=0.01))
    assert other.across == -0.5


def test_esmini_file_is_translated(tmp_path: Path):
    scenario = load(cut_in(tmp_path)).scenario
    assert scenario.duration == 15.0
    assert scenario.ego.spawn.speed == pytest.approx(10.0)
    assert scenario.ego.do[0].set_speed is not None  # nobody else drives it: exactly as the file says
    assert scenario.actors[0].color == "180,20,20"
    faster, over = scenario.actors[0].events
    assert faster.set_speed is not None
    assert (faster.set_speed.beside, faster.set_speed.times) == ("ego", 1.2)
    assert over.change_lane is not None
    assert (over.change_lane.beside, over.change_lane.lanes, over.change_lane.over) == ("ego", 0, 3.0)
    assert over.when is not None
    assert over.when.headway is not None
    assert (over.when.headway.of, over.when.headway.to, over.when.headway.above) == ("ego", "OverTaker", 0.4)
    assert scenario.asserts == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ('<RelativeTargetLane entityRef="OverTaker" value="1"/>', {"side": "left", "lanes": 1}),
        ('<RelativeTargetLane entityRef="OverTaker" value="-2"/>', {"side": "right", "lanes": 2}),
        ('<RelativeTargetLane entityRef="Ego" value="-1"/>', {"beside": "ego", "lanes": -1}),
        ('<AbsoluteTargetLane value="1"/>', {"lane": 1}),
    ],
)
def test_lane_changes_name_their_lane(tmp_path: Path, target: str, expected: dict[str, Any]):
    change = load(cut_in(tmp_path, target)).scenario.actors[0].events[1].change_lane
    assert change is not None
    assert change.model_dump(exclude_none=True) == {**expected, "over": 3.0, "length": 20.0, "oncoming": True}


ROUTE = """<Route name="straight" closed="false"><Waypoint routeStrategy="shortest"><Position>
  <LanePosition roadId="2" laneId="1" s="63"/></Position></Waypoint><Waypoint routeStrategy="shortest"><Position>
  <LanePosition roadId="3" laneId="1" s="5"/></Position></Waypoint></Route>"""
BRAKES = """<Maneuver name="brakes"><ParameterDeclarations>
  <ParameterDeclaration name="hard" parameterType="double" value="2"/></ParameterDeclarations>{event}</Maneuver>"""


def catalog(folder: Path, name: str, entries: str) -> None:
    (folder / "Catalogs").mkdir(exist_ok=True)
    (folder / "Catalogs" / f"{name}.xosc").write_text(
        f'<OpenSCENARIO><FileHeader revMajor="1" revMinor="0"/><Catalog name="{name}">{entries}</Catalog>'
        "</OpenSCENARIO>",
        encoding="utf-8",
    )


def test_catalogs_hold_vehicles_routes_and_maneuvers(tmp_path: Path):
    dynamics = speed(absolute("0"), "linear", "-$hard", "rate")
    brakes = event("brake", dynamics, by_value('<SimulationTimeCondition value="3" rule="greaterThan"/>'))
    catalog(tmp_path, "Cars", '<Vehicle name="mine" vehicleCategory="bus"/>')
    catalog(tmp_path, "Routes", ROUTE)
    catalog(tmp_path, "Maneuvers", BRAKES.format(event=brakes.replace("-$hard", "${-1 * $hard}")))
    reference = '<CatalogReference catalogName="Routes" entryName="straight"/>'
    start = f"""<RoutePosition><RouteRef>{reference}</RouteRef><InRoutePosition>
      <FromLaneCoordinates pathS="10" laneId="1"/></InRoutePosition></RoutePosition>"""
    path = file(
        tmp_path,
        '<ScenarioObject name="Ego"><CatalogReference catalogName="Cars" entryName="mine"/></ScenarioObject>',
        placed(
            "Ego",
            start,
            f"<PrivateAction><RoutingAction><AssignRouteAction>{reference}</AssignRouteAction></RoutingAction>"
            f"</PrivateAction><PrivateAction>{speed(absolute('6'))}</PrivateAction>",
        ),
        story("Ego").replace(
            '<Maneuver name="m"></Maneuver>',
            '<CatalogReference catalogName="Maneuvers" entryName="brakes"><ParameterAssignments>'
            '<ParameterAssignment parameterRef="$hard" value="5"/></ParameterAssignments></CatalogReference>',
        ),
        description="Routes",
    )
    text = path.read_text(encoding="utf-8")
    places = '<CatalogLocations><VehicleCatalog><Directory path="elsewhere/Catalogs"/></VehicleCatalog>'
    path.write_text(text.replace("<CatalogLocations/>", places + "</CatalogLocations>"), encoding="utf-8")
    loaded = load(path)
    ego = loaded.scenario.ego
    assert ego.blueprint == "vehicle.mitsubishi.fusorosa"
    assert (ego.spawn.road, ego.spawn.lane, ego.spawn.s, ego.spawn.speed) == (2, 1, 53.0, 6.0)
    route, brake = ego.events
    assert route.follow_route is not None
    assert [(place.road, place.s) for place in route.follow_route.via] == [(3, 5.0)]
    assert brake.set_speed is not None
    assert (brake.set_speed.speed, brake.set_speed.rate) == (0.0, 5.0)
    catalog(tmp_path, "Routes", ROUTE.replace('s="5"', 's="6"'))
    assert load(path).digest != loaded.digest
    catalog(tmp_path, "Routes", "")
    with pytest.raises(ScenarioError, match="catalog Routes has no entry 'straight'"):
        load(path)


def test_trajectories_offsets_distances_and_rendezvous(tmp_path: Path):
    vertices = "".join(
        f'<Vertex time="{t}"><Position><LanePosition roadId="16" laneId="-1" s="{s}" offset="0.5"/></Position></Vertex>'
        for t, s in ((0, 30), (2, 50))
    )
    path = cut_in(tmp_path)
    text = path.read_text(encoding="utf-8")
    a = text.index("<LateralAction>")
    b = text.index("</LateralAction>") + len("</LateralAction>")

    def step(action: str) -> dict[str, Any]:
        path.write_text(text[:a] + action + text[b:], encoding="utf-8")
        made = load(path).scenario.actors[0].events[1]
        kind = made.chosen()[0]
        return {kind: getattr(made, kind).model_dump(exclude_unset=True)}

    trajectory = f"""<RoutingAction><FollowTrajectoryAction><Trajectory name="t" closed="false"><Shape><Polyline>
      {vertices}
      </Polyline></Shape></Trajectory><TimeReference><Timing domainAbsoluteRelative="relative" scale="2" offset="1"/>
      </TimeReference><TrajectoryFollowingMode followingMode="position"/></FollowTrajectoryAction></RoutingAction>"""
    assert step(trajectory) == {
        "follow_path": {
            "points": [
                {"road": 16, "lane": -1, "s": 30.0, "across": -0.5, "at": 1.0},
                {"road": 16, "lane": -1, "s": 50.0, "across": -0.5, "at": 5.0},
            ]
        }
    }
    offset = """<LateralAction><LaneOffsetAction continuous="true"><LaneOffsetActionDynamics dynamicsShape="sinusoidal"
      maxLateralAcc="1"/><LaneOffsetTarget><AbsoluteTargetLaneOffset value="-2"/></LaneOffsetTarget></LaneOffsetAction>
      </LateralAction>"""
    assert step(offset) == {"shift": {"across": 2.0, "over": pytest.approx(3.14159, abs=1e-4)}}
    distance = """<LongitudinalAction><LongitudinalDistanceAction entityRef="Ego" timeGap="1.5" freespace="true"
      continuous="true"><DynamicConstraints maxAcceleration="2" maxDeceleration="5" maxSpeed="40"/>
      </LongitudinalDistanceAction></LongitudinalAction>"""
    limits = {"acceleration": 2.0, "deceleration": 5.0, "most": 40.0}
    assert step(distance) == {"keep_distance": {"to": "ego", "seconds": 1.5, "outlines": True, **limits}}
    unbounded = re.sub("<Dynamic.*?/>", "", distance.replace('continuous="true"', "{}"), flags=re.S)
    at_once = {"to": "ego", "seconds": 1.5, "outlines": True, "at_once": True}
    for attributes, expected in (
        ('displacement="leadingReferencedEntity" continuous="false"', {"side": "ahead", "once": True}),
        ('displacement="any" continuous="true"', {"side": "nearest"}),
        ('displacement="trailingReferencedEntity"', {}),
    ):
        assert step(unbounded.format(attributes)) == {"keep_distance": at_once | expected}
    position = '<LanePosition roadId="16" laneId="-1" s="{}"/>'
    meeting = f"""<SynchronizeAction masterEntityRef="Ego"><TargetPositionMaster>{position.format(60)}
      </TargetPositionMaster><TargetPosition>{position.format(70)}</TargetPosition><FinalSpeed>
      <RelativeSpeedToMaster value="2" speedTargetValueType="delta"/></FinalSpeed></SynchronizeAction>"""
    assert step(meeting) == {
        "meet": {
            "at": {"road": 16, "lane": -1, "s": 70.0},
            "other": "ego",
            "there": {"road": 16, "lane": -1, "s": 60.0},
            "plus": 2.0,
        }
    }
    curve = trajectory.replace("<Polyline>", '<Nurbs order="2">').replace("/Polyline", "/Nurbs")
    drawn = step(curve.replace("Vertex", "ControlPoint"))["follow_path"]
    assert drawn["points"] == step(trajectory)["follow_path"]["points"]
    count = len(drawn["points"])
    assert drawn["curve"] == {
        "order": 2, "weights": [1.0] * count, "knots": [0.0, 0.0, *map(float, range(1, count - 1)), *[count - 1.0] * 2]
    }  # fmt: skip
    with pytest.raises(ScenarioError, match="Spline: is not supported"):
        step(trajectory.replace("Polyline", "Spline"))


def test_reference_line_offsets_and_relative_places(tmp_path: Path):
    init = placed("hero", '<RoadPosition roadId="4" s="48.58" t="2.75"/>', CONTROLLER) + placed(
        "adversary", '<RelativeRoadPosition entityRef="hero" ds="50" dt="-1.0"/>'
    )
    scenario = load(lead(tmp_path, init=init)).scenario
    ego, other = scenario.ego.spawn, scenario.actors[0].spawn
    assert (ego.road, ego.s, ego.t) == (4, 48.58, -2.75)  # ScenarioRunner's t is to the right
    assert (other.ahead, other.across) == (50.0, -1.0)


def test_parameters_may_be_declared_with_their_dollar_sign(tmp_path: Path):
    """So they are in ASAM's own examples of 1.0."""
    path = lead(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('name="leading"', 'name="$leading"'), encoding="utf-8")
    goes = load(path).scenario.actors[0].events[0]
    assert goes.set_speed is not None
    assert goes.set_speed.speed == 2.0


@pytest.mark.parametrize(("description", "sign"), [("Lead", -1.0), ("CARLA:Lead", 1.0)])
def test_world_positions_are_those_of_the_surveyed_map(tmp_path: Path, description: str, sign: float):
    """The world of a map far from its file's origin has one near by; ``CARLA:`` mirrors y."""
    (tmp_path / "ring.xodr").write_text(ring(at=UTM).replace("UTF-8", "UTF-16"), encoding="utf-16")
    place = f'<WorldPosition x="{UTM[0] + 30}" y="{-sign * (UTM[1] - 1.7)}" h="0"/>'
    init = placed("hero", place, CONTROLLER) + placed("adversary", '<LanePosition roadId="0" laneId="-1" s="60"/>')
    spawn = load(lead(tmp_path, init=init, description=description, town="ring.xodr")).scenario.ego.spawn
    at = Network(*towns.load(str(tmp_path / "ring.xodr"))).map.get_waypoint_xodr(0, -1, 30.0).transform.location
    assert (spawn.x, spawn.y) == pytest.approx((at.x, at.y), abs=1e-3)


def test_roads_may_have_names(tmp_path: Path):
    (tmp_path / "ring.xodr").write_text(ring(ids=("Ra", "0", "Rb", "7")), encoding="utf-8")
    init = placed("hero", '<LanePosition roadId="Rb" laneId="-1" s="30"/>', CONTROLLER) + placed(
        "adversary", '<RoadPosition roadId="7" s="60" t="1"/>'
    )
    scenario = load(lead(tmp_path, init=init, town="ring.xodr")).scenario
    network = Network(*towns.load(str(tmp_path / "ring.xodr")))
    (lane,) = (lane for lane in network.lanes if lane.road == scenario.ego.spawn.road and lane.id == -1)
    assert lane.centre[0, 1] < -100.0, "the third road, opposite the first one"
    assert scenario.actors[0].spawn.road == 7


def test_name_may_look_like_an_invalid_expression(tmp_path: Path):
    path = lead(tmp_path)
    text = path.read_text(encoding="utf-8").replace('<Condition name="c"', '<Condition name="${C + _ + $leading}"')
    path.write_text(text, encoding="utf-8")
    assert len(load(path).scenario.actors[0].events) == 3


def test_walkers_walk_where_they_look(tmp_path: Path):
    walker = """<ScenarioObject name="adversary"><Pedestrian model="walker.pedestrian.0002" mass="90" name="w"
      pedestrianCategory="pedestrian"/></ScenarioObject>"""
    scenario = load(
        file(
            tmp_path,
            vehicle("hero", "vehicle.tesla.model3", "type=ego_vehicle") + walker,
            placed("hero", '<WorldPosition x="1" y="2" z="0" h="0"/>')
            + placed("adversary", '<WorldPosition x="20" y="5" z="0.3" h="1.5708"/>'),
            story(
                "adversary",
                event(
                    "walks",
                    speed(absolute("1.5"), amount="6", dimension="distance"),
                    by_entity(
                        "hero",
                        '<ReachPositionCondition tolerance="2"><Position><WorldPosition x="10" y="2"/></Position>'
                        "</ReachPositionCondition>",
                    ),
                ),
                event("stops", speed(absolute("0")), done("walks")),
            ),
        )
    ).scenario
    walks, stops = scenario.actors[0].events
    assert walks.cross is not None
    assert (walks.cross.speed, walks.cross.yaw, walks.done_within) == (1.5, pytest.approx(90.0, abs=0.01), 6.0)
    assert walks.when is not None
    assert walks.when.position is not None
    assert (walks.when.position.x, walks.when.position.within) == (10.0, 2.0)
    assert stops.stop is not None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('filepath="hamlet"', 'filepath="Town01_Opt"', "4: LogicFile: there is no map Town01_Opt; put Town01.xodr"),
        ('filepath="hamlet"', 'filepath="../maps/e6mini.xodr"', "there is no map ../maps/e6mini.xodr"),
        ('revMajor="1"', 'revMajor="0"', "2: FileHeader: version 0.0; only 1.x is read"),
        ("StandStillCondition", "UserCondition", "UserCondition: is not supported"),
        ("<LongitudinalAction><SpeedAction>", "<LongitudinalAction><Warp>", "drive.xosc:"),
        ('entityRef="adversary" relative', 'entityRef="nobody" relative', "there is no entity 'nobody'; there are"),
        ("$leading", "$lagging", "AbsoluteTargetSpeed: there is no parameter $lagging"),
        ('rule="lessThan"/></EntityCondition>', 'rule="like"/></EntityCondition>', "rule like is not supported"),
        ("<EnvironmentAction>", "<TrafficAction/><EnvironmentAction>", "GlobalAction: has 2 children, not one"),
        ("<ParameterDeclarations>", "<Surprise/><ParameterDeclarations>", "Surprise: is not supported"),
        ('storyboardElementRef="goes"', 'storyboardElementRef="gone"', "there is no 'gone' in the storyboard"),
        ('ds="25"', 'ds="far"', "RelativeLanePosition: ds is 'far', not a number"),
        ("<RelativeLanePosition", "<GeoPosition", "GeoPosition: is not supported"),
        ('conditionEdge="rising"', 'conditionEdge="falling"', "conditionEdge falling is not supported"),
        (
            "<GlobalAction>",
            signal("1", "flashing;off;off") + "<GlobalAction>",
            "state flashing;off;off is not supported",
        ),
        ("</OpenSCENARIO>", "", "not XML"),
        ('value="2.0"', 'value="900"', "900 m/s is not -60 to 60"),
    ],
)
def test_unsupported_elements_are_refused_by_name_and_line(tmp_path: Path, old: str, new: str, expected: str):
    path = lead(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:"), message
    assert expected in message
    assert "\n" not in message


def test_map_in_the_scenario_folder_is_used(tmp_path: Path):
    (tmp_path / "Town01.xodr").write_text(towns.load("hamlet", 0)[1], encoding="utf-8")
    loaded = load(lead(tmp_path, town="Town01_Opt"))
    assert loaded.town == str(tmp_path / "Town01.xodr")
    assert set(loaded.files) == {"Town01.xodr"}
    assert isinstance(loaded.scenario, Scenario)


@pytest.mark.slow
def test_an_openscenario_file_is_recorded_and_judged(tmp_path: Path):
    """Its end is a signal that an event turns green, which was red from the beginning."""
    at = '<LanePosition roadId="1" laneId="-1" s="20" offset="0.2"/>'
    ahead = '<RelativeLanePosition entityRef="hero" dLane="0" ds="25"/>'
    init = signal("1", "red") + placed("hero", at, CONTROLLER) + placed("adversary", ahead)
    later = by_value('<SimulationTimeCondition value="9" rule="greaterThan"/>')
    text = story("adversary", event("goes", speed(absolute("2")), shows("1", "on;off;off")), event("x", "", later))
    text = text.replace("<PrivateAction></PrivateAction>", signal("1", "off;off;on"))
    lead(tmp_path, init=init, story=text, stop=trigger("StopTrigger", shows("1", "green")))
    done_ = subprocess.run(
        [
            sys.executable, "-m", "neuralsim", "record", str(tmp_path / "drive.xosc"), "--out", str(tmp_path / "out"),
            "--planes", "tag", "--size", "64x32", "--format", "mcap",
        ],
        cwd=ROOT, text=True, capture_output=True, timeout=170, check=False,
    )  # fmt: skip
    assert done_.returncode == 0, done_.stderr
    result = json.loads((tmp_path / "out/drive/result.json").read_text(encoding="utf-8"))
    assert (result["passed"], result["ended"]) == (True, "end[0]")
    assert 180 <= result["frames"] <= 183, "the light turns at 9 s, and is seen to be green one tick later"
    assert result["distance"] > 5.0


def test_further_elements_of_esminis_files(tmp_path: Path):
    """Colours by #RRGGBB, things, elements that come later, repetition, teleports, conditions of motion and lanes."""
    things = """<ScenarioObject name="Cone"><MiscObject name="traffic cone" miscObjectCategory="none" mass="1">
      <BoundingBox><Center x="0" y="0" z="0"/><Dimensions width="1" length="1" height="1"/></BoundingBox><Properties/>
      </MiscObject></ScenarioObject>"""
    entities = vehicle("Ego", "vehicle.a", "color=#F2F2F2") + vehicle("Other", "vehicle.b", "color=#AA0508") + things
    init = placed("Ego", '<LanePosition roadId="1" laneId="-1" s="20"/>')
    init += placed("Other", '<RelativeLanePosition entityRef="Ego" dLane="0" ds="30"/>')
    init += placed("Cone", '<LanePosition roadId="1" laneId="-1" s="80" offset="-2"/>')
    place = '<Position><RelativeLanePosition entityRef="Ego" dLane="0" ds="12"/></Position>'
    aside = """<LateralAction><LateralDistanceAction entityRef="Other" distance="0.5" freespace="true" continuous="true"
      displacement="leftToReferencedEntity"/></LateralAction>"""
    profile = """<LongitudinalAction><SpeedProfileAction followingMode="follow"><SpeedProfileEntry time="2" speed="5"/>
      <SpeedProfileEntry time="4" speed="9"/></SpeedProfileAction></LongitudinalAction>"""
    brakes = by_entity("Other", '<AccelerationCondition value="-2" rule="lessThan"/>')
    faster = by_entity("Ego", '<RelativeSpeedCondition entityRef="Other" value="3" rule="greaterThan"/>')
    lost = by_entity("Ego", '<OffroadCondition duration="1"/>') + by_entity("Ego", '<EndOfRoadCondition duration="2"/>')
    text = story(
        "Ego",
        event("waits", speed(absolute("4")), done("jumps")),
        event("jumps", f"<TeleportAction>{place}</TeleportAction>", brakes),
        event("keeps", aside, faster),
        event("profile", profile, lost),
        event("twice", speed(absolute("-2")), done("m", "startTransition").replace('"action"', '"maneuver"')),
    ).replace('name="twice" priority', 'name="twice" maximumExecutionCount="3" priority')
    scenario = load(file(tmp_path, entities, init, text, description="esmini", town="hamlet")).scenario
    assert scenario.ego.color == "242,242,242"
    other, cone = scenario.actors
    assert (other.color, cone.blueprint, cone.stands) == ("170,5,8", "static.prop.constructioncone", True)
    waits, jumps, keeps, profile_, twice = (step.model_dump(exclude_defaults=True) for step in scenario.ego.events)
    assert waits["when"] == {"step": {"step": jumps["name"]}}, "it comes later in the file"
    assert jumps["teleport"] == {"ahead": 12.0, "of": "ego"}
    assert jumps["when"] == {"acceleration": {"of": "Other", "below": -2.0}}
    assert keeps["keep_aside"] == {"to": "Other", "metres": 0.5, "side": "left"}
    assert keeps["when"] == {"faster": {"of": "ego", "to": "Other", "above": 3.0}}
    assert profile_["speeds"] == [{"speed": 5.0, "over": 2.0}, {"speed": 9.0, "over": 4.0}]
    assert profile_["when"] == {"offroad": {"of": "ego", "least": 1.0}, "end_of_road": {"of": "ego", "least": 2.0}}
    assert (twice["repeats"], twice["set_speed"], twice["when"]) == (3, {"speed": -2.0}, {"time": 0.0})


def test_standard_files_use_rails_and_rising_edges(tmp_path: Path):
    entities = vehicle("Ego", "vehicle.a") + vehicle("Other", "vehicle.b").replace(
        'maxAcceleration="200"', 'maxAcceleration="5"'
    )
    init = placed("Ego", '<LanePosition roadId="1" laneId="-1" s="20"/>')
    init += placed("Other", '<RelativeLanePosition entityRef="Ego" dLane="0" ds="30"/>')
    near = """<RelativeDistanceCondition entityRef="Ego" relativeDistanceType="lateral" value="9" freespace="true"
      rule="lessThan"/>"""
    head = '<TimeHeadwayCondition entityRef="Other" value="0.5" freespace="false" rule="greaterThan"/>'
    text = story(
        "Other",
        event("a", speed(absolute("50"), "linear", "10", "rate"), by_entity("Other", near)),
        event("b", speed(absolute("3")), by_entity("Ego", head)),
        event("c", speed(absolute("4")), by_entity("Ego", head).replace("rising", "none")),
    )
    falls = by_value('<SimulationTimeCondition value="7" rule="lessThan"/>', delay="1").replace("rising", "falling")
    stop = trigger("StopTrigger", falls)
    scenario = load(file(tmp_path, entities, init, text, stop=stop, description="esmini")).scenario
    (other,) = scenario.actors
    assert scenario.ego.rails
    assert other.rails
    assert scenario.duration == 8.0, "from 7 s on it is no longer less, and a second later it ends"
    a, b, c = (step.model_dump(exclude_defaults=True) for step in other.events)
    assert a["when"] == {"distance": {"of": "Other", "way": "aside", "outlines": True, "below": 9.0}}
    assert a["set_speed"] == {"speed": 50.0, "rate": 10.0, "most": 5.0}
    assert b["when"] == {"headway": {"of": "ego", "to": "Other", "outlines": False, "above": 0.5}}
    assert (a["rising"], b["rising"], "rising" in c) == (True, True, False)
    carla = load(file(tmp_path, entities, init, text)).scenario
    assert not carla.ego.rails, "ScenarioRunner's vehicles have tyres, and edges are ignored"
    assert not carla.actors[0].events[0].rising


def test_entity_without_a_place_starts_at_its_path(tmp_path: Path):
    path = """<PrivateAction><RoutingAction><FollowTrajectoryAction><TrajectoryRef><Trajectory name="t" closed="false">
      <Shape><Polyline><Vertex time="0"><Position><WorldPosition x="10" y="5"/></Position></Vertex><Vertex time="2">
      <Position><WorldPosition x="10" y="15"/></Position></Vertex></Polyline></Shape></Trajectory></TrajectoryRef>
      <TimeReference><Timing domainAbsoluteRelative="absolute" scale="1" offset="0"/></TimeReference>
      <TrajectoryFollowingMode followingMode="position"/></FollowTrajectoryAction></RoutingAction></PrivateAction>"""
    entities = vehicle("Ego", "vehicle.a") + vehicle("Other", "vehicle.b")
    init = placed("Ego", '<LanePosition roadId="1" laneId="-1" s="20"/>')
    init += f'<Private entityRef="Other">{path}</Private>'
    scenario = load(file(tmp_path, entities, init, "", description="esmini")).scenario
    (other,) = scenario.actors
    assert (other.spawn.x, other.spawn.y, other.spawn.yaw) == (10.0, -5.0, pytest.approx(-90.0))
    assert other.events[0].follow_path is not None
    assert other.events[0].follow_path.absolute


def test_signals_and_variables(tmp_path: Path):
    """Signals by id or place, with states by lamps or words; variables are declared, set and used in conditions."""
    entities = vehicle("Ego", "vehicle.a")
    init = signal("1", "on;off;off") + placed("Ego", '<LanePosition roadId="1" laneId="-1" s="20"/>')
    sets = (
        """<GlobalAction><VariableAction variableRef="phase"><SetAction value="go"/></VariableAction></GlobalAction>"""
    )
    text = story(
        "Ego",
        event("a", "", shows("1", "off;on;off")).replace("<PrivateAction></PrivateAction>", signal("2", "off;on")),
        event("b", "", shows("2", "green")).replace("<PrivateAction></PrivateAction>", sets),
        event(
            "c", speed(absolute("4")), by_value('<VariableCondition variableRef="phase" rule="equalTo" value="go"/>')
        ),
    )
    path = file(tmp_path, entities, init, text, description="esmini")
    declared = '<VariableDeclarations><VariableDeclaration name="phase" variableType="string" value="wait"/>'
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("<CatalogL", f"{declared}</VariableDeclarations><CatalogL", 1), encoding="utf-8")
    scenario = load(path).scenario
    assert [light.model_dump(exclude_defaults=True) for light in scenario.lights] == [{"signal": "1", "state": "red"}]
    a, b, c = (step.model_dump(exclude_defaults=True) for step in scenario.ego.events)
    assert a["set_light"] == {"signal": "2", "state": "green"}
    assert (a["when"], a["rising"]) == ({"light": {"signal": "1", "state": "yellow"}}, True)
    assert b["when"] == {"light": {"signal": "2", "state": "green"}}
    assert c["when"]["any_of"] == [{"step": {"step": b["name"]}}]
