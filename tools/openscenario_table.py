"""What of ASAM OpenSCENARIO 1.0 to 1.3 is read: the table docs/reference/openscenario.md, found by trying each element.

python -m tools.openscenario_table > docs/reference/openscenario.md

An element is supported if a file with it is translated; what is refused is given with the line that refuses it. How an
element is approximated cannot be found out, so it stands here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scenarios.language.problems import ScenarioError
from scenarios.openscenario.reader import translate

_BOX = '<BoundingBox><Center x="1.4" y="0" z="0.8"/><Dimensions width="1.9" length="4.4" height="1.6"/></BoundingBox>'
_LANE = '<LanePosition roadId="1" laneId="-1" s="{}"/>'
_AT = f"<Position>{_LANE.format(60)}</Position>"
_CONTROLLER = '<Controller name="c"><Properties/></Controller>'
_TIMED = '<TimeReference><Timing domainAbsoluteRelative="relative" scale="1" offset="0"/></TimeReference>'
_FOLLOW = f'{_TIMED}<TrajectoryFollowingMode followingMode="position"/>'
_SET = '<SetAction value="3"/>'
_RULE = 'rule="greaterThan"'


class Row(NamedTuple):
    """An element: its name, an example of it, and how it is approximated, "" for not at all."""

    name: str
    example: str
    note: str = ""


def _shape(shape: str) -> str:
    return f'<FollowTrajectoryAction><Trajectory name="t" closed="false"><Shape>{shape}</Shape></Trajectory>{_FOLLOW}'


def _points(tag: str, **attributes: str) -> str:
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return "".join(
        f'<{tag} time="{t}"{given}><Position>{_LANE.format(20 + 10 * t)}</Position></{tag}>' for t in range(4)
    )


def _in(*parents: str) -> tuple[str, str]:
    return "".join(f"<{each}>" for each in parents), "".join(f"</{each.split()[0]}>" for each in reversed(parents))


def _actions() -> Iterator[Row]:
    dynamics = '<{}Dynamics dynamicsShape="linear" value="2" dynamicsDimension="time"/>'
    begin, end = _in("LongitudinalAction", "SpeedAction")
    speed = f"{begin}{dynamics.format('SpeedAction')}<SpeedActionTarget>{{}}</SpeedActionTarget>{end}"
    yield Row("SpeedAction, absolute", speed.format('<AbsoluteTargetSpeed value="9"/>'))
    relative = '<RelativeTargetSpeed entityRef="Other" value="1" speedTargetValueType="{}" continuous="{}"/>'
    yield Row("SpeedAction, relative", speed.format(relative.format("delta", "false")))
    yield Row("SpeedAction, relative, continuous", speed.format(relative.format("factor", "true")))
    entry = (
        '<SpeedProfileAction {}followingMode="position"><SpeedProfileEntry speed="5" time="2"/></SpeedProfileAction>'
    )
    begin, end = _in("LongitudinalAction")
    yield Row("SpeedProfileAction", begin + entry.format("") + end, "jerk and mass are ignored")
    yield Row("SpeedProfileAction, relative", begin + entry.format('entityRef="Other" ') + end)
    for way in ("any", "leadingReferencedEntity", "trailingReferencedEntity"):
        for least in ('distance="20"', 'timeGap="2"'):
            example = (
                f'{begin}<LongitudinalDistanceAction entityRef="Other" {least} freespace="true" continuous="false" '
                f'displacement="{way}" coordinateSystem="entity">{{}}</LongitudinalDistanceAction>{end}'
            )
            yield Row(f"LongitudinalDistanceAction, {way}, {least.split('=')[0]}", example.format(""))
    limits = '<DynamicConstraints maxAcceleration="2" maxDeceleration="3" maxSpeed="40"/>'
    note = "jerk is ignored; every coordinate system is the actor's own"
    yield Row("LongitudinalDistanceAction with DynamicConstraints", example.format(limits), note)
    begin, end = _in("LateralAction")
    change = f"{begin}<LaneChangeAction>{dynamics.format('LaneChangeAction')}<LaneChangeTarget>{{}}</LaneChangeTarget>"
    for target in ('<AbsoluteTargetLane value="-1"/>', '<RelativeTargetLane entityRef="Other" value="0"/>'):
        note = "every shape is a smooth S"
        yield Row(f"LaneChangeAction, {target[1:9].lower()}", change.format(target) + f"</LaneChangeAction>{end}", note)
    offset = (
        f'{begin}<LaneOffsetAction continuous="false"><LaneOffsetActionDynamics dynamicsShape="linear" '
        f'maxLateralAcc="1"/><LaneOffsetTarget>{{}}</LaneOffsetTarget></LaneOffsetAction>{end}'
    )
    yield Row("LaneOffsetAction, absolute", offset.format('<AbsoluteTargetLaneOffset value="0.5"/>'), note)
    target = '<RelativeTargetLaneOffset entityRef="Other" value="0.5"/>'
    yield Row("LaneOffsetAction, relative", offset.format(target), note)
    lateral = '<LateralDistanceAction entityRef="Other" distance="2" freespace="true" continuous="true"/>'
    yield Row("LateralDistanceAction", begin + lateral + end, "without constraints on its dynamics")
    yield Row("VisibilityAction", '<VisibilityAction graphics="false" sensors="true" traffic="true"/>')
    meet = f'<SynchronizeAction masterEntityRef="Other"><TargetPositionMaster>{_LANE.format(90)}</TargetPositionMaster>'
    yield Row("SynchronizeAction", f"{meet}<TargetPosition>{_LANE.format(80)}</TargetPosition></SynchronizeAction>")
    note = "this project's driver is every controller"
    yield Row("ActivateControllerAction", '<ActivateControllerAction longitudinal="true" lateral="true"/>', note)
    begin, end = _in("ControllerAction")
    assign = f"<AssignControllerAction>{_CONTROLLER}</AssignControllerAction>"
    yield Row("AssignControllerAction", begin + assign + end, note)
    override = '<OverrideControllerValueAction><Brake active="true" value="1"/></OverrideControllerValueAction>'
    yield Row("OverrideControllerValueAction", begin + override + end, "has no effect")
    yield Row("TeleportAction", f"<TeleportAction>{_AT}</TeleportAction>")
    begin, end = _in("RoutingAction")
    way = "".join(
        f'<Waypoint routeStrategy="shortest"><Position>{_LANE.format(s)}</Position></Waypoint>' for s in (5, 90)
    )
    route = f'<AssignRouteAction><Route name="r" closed="false">{way}</Route></AssignRouteAction>'
    yield Row("AssignRouteAction", begin + route + end, "every strategy is the shortest way")
    yield Row("AcquirePositionAction", f"{begin}<AcquirePositionAction>{_AT}</AcquirePositionAction>{end}")
    yield Row("RandomRouteAction", f"{begin}<RandomRouteAction/>{end}")
    clothoid = '<Clothoid curvature="0" curvaturePrime="0.001" length="30"><Position>{}</Position></Clothoid>'
    spline = (
        '<ClothoidSpline><ClothoidSplineSegment curvatureStart="0" curvatureEnd="0.01" length="30"/></ClothoidSpline>'
    )
    for name, shape in (
        ("Polyline", f"<Polyline>{_points('Vertex')}</Polyline>"),
        ("Clothoid", clothoid.format('<WorldPosition x="0" y="0"/>')),
        ("ClothoidSpline", spline),
        ("Nurbs", f'<Nurbs order="2">{_points("ControlPoint", weight="1")}</Nurbs>'),
    ):
        note = "as straight pieces of a metre" if name.startswith("Clothoid") else ""
        yield Row(f"FollowTrajectoryAction, {name}", f"{begin}{_shape(shape)}</FollowTrajectoryAction>{end}", note)
    begin, end = _in("AppearanceAction")
    light = '<LightStateAction><LightType><VehicleLight vehicleLightType="lowBeam"/></LightType><LightState mode="on"/>'
    yield Row("LightStateAction", f"{begin}{light}</LightStateAction>{end}", "flashing lamps are on")
    animation = '<AnimationAction loop="true"><AnimationType><UserDefinedAnimation userDefinedAnimationType="a"/>'
    yield Row("AnimationAction", f"{begin}{animation}</AnimationType></AnimationAction>{end}")
    yield Row("TrailerAction", '<TrailerAction><ConnectTrailerAction trailerRef="Other"/></TrailerAction>')


def _global_actions() -> Iterator[Row]:
    weather = '<Weather cloudState="rainy"><Fog visualRange="200"/></Weather>'
    environment = f'<EnvironmentAction><Environment name="e">{weather}</Environment></EnvironmentAction>'
    yield Row("EnvironmentAction", environment, "by CARLA's weather; friction, wind, dome and time of day are ignored")
    yield Row(
        "AddEntityAction", f'<EntityAction entityRef="Other"><AddEntityAction>{_AT}</AddEntityAction></EntityAction>'
    )
    yield Row("DeleteEntityAction", '<EntityAction entityRef="Other"><DeleteEntityAction/></EntityAction>')
    rule = '<ModifyAction><Rule><AddValue value="1"/></Rule></ModifyAction>'
    for name, reference in (("ParameterAction", "parameterRef"), ("VariableAction", "variableRef")):
        yield Row(f"{name}, set", f'<{name} {reference}="pace">{_SET}</{name}>')
        yield Row(f"{name}, modify", f'<{name} {reference}="pace">{rule}</{name}>')
    begin, end = _in("InfrastructureAction", "TrafficSignalAction")
    yield Row("TrafficSignalStateAction", f'{begin}<TrafficSignalStateAction name="1" state="green"/>{end}')
    controller = '<TrafficSignalControllerAction trafficSignalControllerRef="a" phase="go"/>'
    yield Row("TrafficSignalControllerAction", begin + controller + end)
    for kind in ("Source", "Sink", "Swarm", "Area", "Stop"):
        swarm = 'numberOfVehicles="9"' if kind == "Swarm" else ""
        note = "the town's own traffic around the ego, from the beginning" if swarm else ""
        yield Row(f"Traffic{kind}Action", f"<TrafficAction><Traffic{kind}Action {swarm}/></TrafficAction>", note)
    yield Row("SetMonitorAction", '<SetMonitorAction monitorRef="m" value="true"/>')
    yield Row("UserDefinedAction", "<UserDefinedAction><CustomCommandAction type='a'/></UserDefinedAction>")


def _conditions() -> Iterator[Row]:
    def by(name: str, attributes: str = "", inner: str = "", note: str = "") -> Row:
        return Row(name, f"<{name} {attributes}>{inner}</{name}>", note)

    value = f'value="3" {_RULE}'
    other, near = f'entityRef="Other" freespace="true" {value}', 'relativeDistanceType="longitudinal"'
    yield by("EndOfRoadCondition", 'duration="1"')
    yield by("CollisionCondition", "", '<EntityRef entityRef="Other"/>')
    yield by("CollisionCondition", "", '<ByType type="vehicle"/>')._replace(name="CollisionCondition, by type")
    yield by("OffroadCondition", 'duration="1"')
    yield by("TimeHeadwayCondition", other, "", "along the actor's own axis")
    entity = '<TimeToCollisionConditionTarget><EntityRef entityRef="Other"/></TimeToCollisionConditionTarget>'
    yield by("TimeToCollisionCondition", f'freespace="true" {value}', entity)
    for name in ("AccelerationCondition", "SpeedCondition"):
        yield by(name, value)
        sideways = by(name, f'{value} direction="lateral"')
        yield sideways._replace(name=f"{name}, direction", note="the direction is ignored")
    yield by("StandStillCondition", 'duration="1"')
    yield by("RelativeSpeedCondition", f'entityRef="Other" {value}')
    yield by("TraveledDistanceCondition", 'value="3"')
    yield by("ReachPositionCondition", 'tolerance="3"', _AT)
    yield by("DistanceCondition", f'freespace="false" {value}', _AT, "straight, whatever the coordinate system")
    yield by("RelativeDistanceCondition", f"{other} {near}", "", "every coordinate system is the actor's own")
    yield by(
        "RelativeClearanceCondition", 'oppositeLanes="false" distanceForward="9" distanceBackward="9" freeSpace="true"'
    )
    yield by("AngleCondition", 'angle="1" angleTolerance="0.1" angleType="heading"')
    yield by("RelativeAngleCondition", 'entityRef="Other" angle="1" angleTolerance="0.1" angleType="heading"')


def _value_conditions() -> Iterator[Row]:
    yield Row("SimulationTimeCondition", f'<SimulationTimeCondition value="3" {_RULE}/>')
    for name, reference in (("ParameterCondition", "parameterRef"), ("VariableCondition", "variableRef")):
        yield Row(name, f'<{name} {reference}="pace" value="9" rule="equalTo"/>')
    state = '<StoryboardElementStateCondition storyboardElementType="event" storyboardElementRef="e" state="{}"/>'
    yield Row("StoryboardElementStateCondition", state.format("completeState"))
    yield Row("TrafficSignalCondition", '<TrafficSignalCondition name="1" state="green"/>')
    controller = '<TrafficSignalControllerCondition trafficSignalControllerRef="a" phase="go"/>'
    yield Row("TrafficSignalControllerCondition", controller)
    yield Row("TimeOfDayCondition", f'<TimeOfDayCondition dateTime="2026-01-01T12:00:00" {_RULE}/>')
    yield Row("UserDefinedValueCondition", f'<UserDefinedValueCondition name="a" value="1" {_RULE}/>')


def _positions() -> Iterator[Row]:
    yield Row("WorldPosition", '<WorldPosition x="30" y="-1.7" h="0"/>', "z, pitch and roll are those of the road")
    yield Row("RelativeWorldPosition", '<RelativeWorldPosition entityRef="Ego" dx="20" dy="0"/>')
    yield Row(
        "RelativeObjectPosition", '<RelativeObjectPosition entityRef="Ego" dx="20" dy="0"/>', "dx is along the road"
    )
    yield Row("RoadPosition", '<RoadPosition roadId="1" s="30" t="-1.7"/>')
    yield Row("RelativeRoadPosition", '<RelativeRoadPosition entityRef="Ego" ds="20" dt="0"/>')
    yield Row("LanePosition", _LANE.format(30))
    yield Row("RelativeLanePosition", '<RelativeLanePosition entityRef="Ego" dLane="0" ds="20"/>')
    way = "".join(
        f'<Waypoint routeStrategy="shortest"><Position>{_LANE.format(s)}</Position></Waypoint>' for s in (5, 90)
    )
    within = '<InRoutePosition><FromLaneCoordinates pathS="20" laneId="-1"/></InRoutePosition>'
    route = f'<RouteRef><Route name="r" closed="false">{way}</Route></RouteRef>{within}'
    yield Row("RoutePosition", f"<RoutePosition>{route}</RoutePosition>", "on the road on which the route begins")
    yield Row("GeoPosition", '<GeoPosition latitudeDeg="48" longitudeDeg="11"/>')
    yield Row("TrajectoryPosition", '<TrajectoryPosition s="3"/>')


def _file(place: str, action: str, condition: str) -> bytes:
    """Return a scenario of two cars: where the second one starts, what it does, and when."""
    cars = "".join(
        f'<ScenarioObject name="{name}"><Vehicle name="car" vehicleCategory="car">{_BOX}<Performance maxSpeed="60" '
        'maxAcceleration="8" maxDeceleration="9"/><Axles/><Properties/></Vehicle></ScenarioObject>'
        for name in ("Ego", "Other", "Third")
    )
    starts = "".join(
        f'<Private entityRef="{name}"><PrivateAction><TeleportAction><Position>{at}</Position></TeleportAction>'
        "</PrivateAction></Private>"
        for name, at in (("Ego", _LANE.format(20)), ("Other", place), ("Third", _LANE.format(80)))
    )
    declared = '<{0}Declarations><{0}Declaration name="pace" {0}Type="double" value="9"/></{0}Declarations>'
    kinds = "".join(
        declared.format(kind).replace(f"{kind}Type", f"{kind.lower()}Type") for kind in ("Parameter", "Variable")
    )
    begin = f"<StartTrigger><ConditionGroup>{condition}</ConditionGroup></StartTrigger>"
    return (
        '<OpenSCENARIO><FileHeader revMajor="1" revMinor="3" date="2026-01-01T00:00:00" description="" author=""/>'
        f"{kinds}<CatalogLocations/><RoadNetwork/><Entities>{cars}</Entities><Storyboard><Init><Actions>{starts}"
        '</Actions></Init><Story name="s"><Act name="a"><ManeuverGroup name="g" maximumExecutionCount="1">'
        '<Actors selectTriggeringEntities="false"><EntityRef entityRef="Third"/></Actors><Maneuver name="m">'
        f'<Event name="e" priority="override">{action}{begin}</Event></Maneuver></ManeuverGroup></Act></Story>'
        "</Storyboard></OpenSCENARIO>"
    ).encode()


_PRIVATE = '<Action name="x"><PrivateAction>{}</PrivateAction></Action>'
_CONDITION = '<Condition name="c" delay="0" conditionEdge="none">{}</Condition>'
_ENTITIES = '<TriggeringEntities triggeringEntitiesRule="any"><EntityRef entityRef="Ego"/></TriggeringEntities>'
_BY_ENTITY = f"<ByEntityCondition>{_ENTITIES}<EntityCondition>{{}}</EntityCondition></ByEntityCondition>"
_LATER = _CONDITION.format(f'<ByValueCondition><SimulationTimeCondition value="1" {_RULE}/></ByValueCondition>')
_STOPS = _PRIVATE.format(f"<TeleportAction>{_AT}</TeleportAction>")


def outcome(place: str, action: str, condition: str) -> str:
    """Return why a scenario with these elements is refused, "" if it is not."""
    try:
        translate(Path("a.xosc"), _file(place, action, condition))
    except ScenarioError as error:
        return re.sub(r"^a\.xosc:\d+: ", "", str(error))
    return ""


def rows() -> Iterator[tuple[str, Row, str]]:
    """Yield title of the table, element, and why it is refused."""
    start = _LANE.format(40)
    for row in _actions():
        yield "Private actions", row, outcome(start, _PRIVATE.format(row.example), _LATER)
    for row in _global_actions():
        example = row.example if row.name == "UserDefinedAction" else f"<GlobalAction>{row.example}</GlobalAction>"
        yield "Global actions", row, outcome(start, f'<Action name="x">{example}</Action>', _LATER)
    for row in _conditions():
        condition = _CONDITION.format(_BY_ENTITY.format(row.example))
        yield "Conditions of entities", row, outcome(start, _STOPS, condition)
    for row in _value_conditions():
        condition = _CONDITION.format(f"<ByValueCondition>{row.example}</ByValueCondition>")
        yield "Conditions of values", row, outcome(start, _STOPS, condition)
    for row in _positions():
        yield "Positions", row, outcome(row.example, _STOPS, _LATER)


def page() -> str:
    """Return the page."""
    lines = [
        "# What of OpenSCENARIO is read",
        "ASAM OpenSCENARIO 1.0 to 1.3, element by element. `python -m tools.openscenario_table` writes this page: it",
        "gives the translation a file with each. [Scenarios](../guide/scenarios.md) says how files are played.",
    ]
    title = ""
    for group, row, reason in rows():
        if group != title:
            title = group
            lines += ["", f"## {title}", "| element | | how or why |", "| --- | --- | --- |"]
        status = "refused" if reason else "approximated" if row.note else "supported"
        lines.append(f"| {row.name} | {status} | {reason or row.note} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
