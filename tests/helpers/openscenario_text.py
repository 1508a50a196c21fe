"""OpenSCENARIO files composed from text."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def vehicle(name: str, blueprint: str, *properties: str) -> str:
    """Return an entity as in ScenarioRunner's files."""
    described = "".join(f'<Property name="{p.split("=")[0]}" value="{p.split("=")[1]}"/>' for p in properties)
    return f"""<ScenarioObject name="{name}"><Vehicle name="{blueprint}" vehicleCategory="car">
      <ParameterDeclarations/><Performance maxSpeed="69" maxAcceleration="200" maxDeceleration="10"/>
      <BoundingBox><Center x="1.5" y="0" z="0.9"/><Dimensions width="2.1" length="4.5" height="1.8"/></BoundingBox>
      <Properties>{described}</Properties></Vehicle></ScenarioObject>"""


def placed(entity: str, position: str, more: str = "") -> str:
    return f"""<Private entityRef="{entity}"><PrivateAction><TeleportAction><Position>{position}</Position>
      </TeleportAction></PrivateAction>{more}</Private>"""


def speed(value: str, shape: str = "step", amount: str = "0", dimension: str = "time") -> str:
    return f"""<LongitudinalAction><SpeedAction>
      <SpeedActionDynamics dynamicsShape="{shape}" value="{amount}" dynamicsDimension="{dimension}"/>
      <SpeedActionTarget>{value}</SpeedActionTarget></SpeedAction></LongitudinalAction>"""


def absolute(value: str) -> str:
    return f'<AbsoluteTargetSpeed value="{value}"/>'


def by_entity(who: str, condition: str, delay: str = "0") -> str:
    return f"""<Condition name="c" delay="{delay}" conditionEdge="rising"><ByEntityCondition>
      <TriggeringEntities triggeringEntitiesRule="any"><EntityRef entityRef="{who}"/></TriggeringEntities>
      <EntityCondition>{condition}</EntityCondition></ByEntityCondition></Condition>"""


def by_value(condition: str, name: str = "c", delay: str = "0") -> str:
    return f"""<Condition name="{name}" delay="{delay}" conditionEdge="rising"><ByValueCondition>{condition}
      </ByValueCondition></Condition>"""


def done(name: str, state: str = "completeState") -> str:
    return by_value(
        f'<StoryboardElementStateCondition storyboardElementType="action" storyboardElementRef="{name}" '
        f'state="{state}"/>'
    )


def event(name: str, action: str, *conditions: str) -> str:
    trigger = "".join(conditions)
    return f"""<Event name="{name}" priority="overwrite"><Action name="{name}"><PrivateAction>{action}</PrivateAction>
      </Action><StartTrigger><ConditionGroup>{trigger}</ConditionGroup></StartTrigger></Event>"""


def signal(name: str, state: str) -> str:
    return f"""<GlobalAction><InfrastructureAction><TrafficSignalAction><TrafficSignalStateAction name="{name}"
      state="{state}"/></TrafficSignalAction></InfrastructureAction></GlobalAction>"""


def shows(name: str, state: str) -> str:
    return by_value(f'<TrafficSignalCondition name="{name}" state="{state}"/>')


def story(actor: str, *events: str, start: str = "", stop: str = "") -> str:
    return f"""<Story name="s"><Act name="act"><ManeuverGroup maximumExecutionCount="1" name="g">
      <Actors selectTriggeringEntities="false"><EntityRef entityRef="{actor}"/></Actors>
      <Maneuver name="m">{"".join(events)}</Maneuver></ManeuverGroup>{start}{stop}</Act></Story>"""


def trigger(kind: str, *conditions: str) -> str:
    return f"<{kind}><ConditionGroup>{''.join(conditions)}</ConditionGroup></{kind}>"


def file(
    folder: Path,
    entities: str,
    init: str,
    story: str,
    *,
    stop: str = "",
    description: str = "CARLA:Lead",
    town: str = "hamlet",
    parameters: str = "",
) -> Path:
    path = folder / "drive.xosc"
    path.write_text(
        f"""<?xml version="1.0"?>
<OpenSCENARIO><FileHeader revMajor="1" revMinor="0" date="2024-01-01T00:00:00" description="{description}" author=""/>
<ParameterDeclarations>{parameters}</ParameterDeclarations><CatalogLocations/>
<RoadNetwork><LogicFile filepath="{town}"/><SceneGraphFile filepath=""/></RoadNetwork>
<Entities>{entities}</Entities>
<Storyboard><Init><Actions>{init}</Actions></Init>{story}{stop}</Storyboard></OpenSCENARIO>""",
        encoding="utf-8",
    )
    return path


CONTROLLER = """<PrivateAction><ControllerAction><AssignControllerAction><Controller name="a"><Properties>
  <Property name="module" value="external_control"/></Properties></Controller></AssignControllerAction>
  </ControllerAction></PrivateAction>"""
WEATHER = """<GlobalAction><EnvironmentAction><Environment name="e">
  <TimeOfDay animation="false" dateTime="2020-03-20T12:00:00"/>
  <Weather cloudState="cloudy"><Sun intensity="0.85" azimuth="0" elevation="0.35"/><Fog visualRange="100000"/>
  <Precipitation precipitationType="rain" intensity="0.2"/></Weather><RoadCondition frictionScaleFactor="1.0"/>
  </Environment></EnvironmentAction></GlobalAction>"""
STARTED = trigger("StartTrigger", by_entity("hero", '<TraveledDistanceCondition value="1.0"/>'))
STOPPED = trigger(
    "StopTrigger",
    by_entity("hero", '<SpeedCondition value="20" rule="greaterThan"/>', delay="2"),
    by_value('<ParameterCondition parameterRef="" value="" rule="lessThan"/>', "criteria_RunningStopTest"),
    by_value('<ParameterCondition parameterRef="" value="" rule="lessThan"/>', "criteria_CollisionTest"),
    by_value('<ParameterCondition parameterRef="d" value="20" rule="lessThan"/>', "criteria_DrivenDistanceTest"),
)


def lead(folder: Path, **changes: Any) -> Path:
    """Write a scenario like ScenarioRunner's: a vehicle ahead starts when the hero comes near, waits, continues."""
    return file(
        folder,
        vehicle("hero", "vehicle.tesla.model3", "type=ego_vehicle", "color=0,0,255")
        + vehicle("adversary", "vehicle.audi.tt", "type=simulation"),
        changes.pop("init", "")
        or WEATHER
        + placed("hero", '<LanePosition roadId="1" laneId="-1" s="20" offset="0.2"/>', CONTROLLER)
        + placed("adversary", '<RelativeLanePosition entityRef="hero" dLane="0" ds="25"/>'),
        changes.pop("story", "")
        or story(
            "adversary",
            event(
                "goes",
                speed(absolute("$leading"), amount="8", dimension="distance"),
                by_entity(
                    "hero",
                    '<RelativeDistanceCondition entityRef="adversary" relativeDistanceType="longitudinal" value="40" '
                    'freespace="true" rule="lessThan"/>',
                ),
            ),
            event("waits", speed(absolute("0"), amount="2"), done("goes")),
            event(
                "leaves",
                speed(absolute("5")),
                done("waits", "endTransition"),
                by_entity("hero", '<StandStillCondition duration="0.1"/>', delay="0.5"),
            ),
            start=STARTED,
            stop=trigger("StopTrigger", by_entity("hero", '<TraveledDistanceCondition value="200"/>')),
        ),
        stop=changes.pop("stop", STOPPED),
        parameters='<ParameterDeclaration name="leading" parameterType="double" value="2.0"/>',
        **changes,
    )


def cut_in(folder: Path, change: str = '<RelativeTargetLane entityRef="Ego" value="0"/>') -> Path:
    """Write a scenario like esmini's: parameters, an expression, a headway, a change to the other vehicle's lane."""
    return file(
        folder,
        "".join(
            f'<ScenarioObject name="{name}"><CatalogReference catalogName="VehicleCatalog" entryName="{entry}"/>'
            "</ScenarioObject>"
            for name, entry in (("Ego", "$Host"), ("OverTaker", "car_red"))
        ),
        placed(
            "Ego",
            '<LanePosition roadId="16" laneId="-1" offset="0" s="20"/>',
            f"<PrivateAction>{speed(absolute('${$Speed / 3.6}'))}</PrivateAction>",
        )
        + placed("OverTaker", '<LanePosition roadId="16" laneId="-2" offset="0" s="12"/>'),
        story(
            "OverTaker",
            event(
                "faster",
                speed('<RelativeTargetSpeed entityRef="Ego" value="1.2" speedTargetValueType="factor"/>'),
                by_value('<SimulationTimeCondition value="0" rule="greaterThan"/>'),
            ),
            event(
                "over",
                f"""<LateralAction><LaneChangeAction><LaneChangeActionDynamics dynamicsShape="sinusoidal" value="3"
                dynamicsDimension="time"/><LaneChangeTarget>{change}</LaneChangeTarget></LaneChangeAction>
                </LateralAction>""",
                by_entity(
                    "Ego",
                    '<TimeHeadwayCondition entityRef="OverTaker" value="0.4" freespace="false" rule="greaterThan"/>',
                ),
            ),
        ),
        stop=trigger("StopTrigger", by_value('<SimulationTimeCondition value="12" rule="greaterThan"/>', delay="3")),
        description="Basic cut-in",
        town="oldtown",
        parameters='<ParameterDeclaration name="Host" parameterType="string" value="car_white"/>'
        '<ParameterDeclaration name="Speed" parameterType="double" value="36"/>',
    )
