"""OpenSCENARIO's actions as steps of a scenario."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any, Protocol

from scenarios.openscenario.elements import Element
from scenarios.openscenario.places import Positions

CRUISE = 8.0  # m/s of somebody whom the file leaves to somebody else's controller
GENTLE = 3.0  # m/s^2 of a stop that does not say how hard
WALK = 100.0  # m that somebody walks who is not told how far
NPC = 4.0  # m/s^2 with which ScenarioRunner's vehicles come to a speed that is a step
LANE = 3.5  # m of a lane change whose dynamics are a rate
LATERAL = 1.0  # m/s^2 of a lane offset that does not say how fast


class Entity(Protocol):
    """Somebody who acts."""

    name: str
    spawn: dict[str, Any] | None
    speed: float
    controlled: bool  # by something outside of the file, instead of which our own driver is there
    paths: bool  # has a trajectory somewhere

    @property
    def walks(self) -> bool: ...


class Actions:
    """Translates private actions. ``entity`` finds who is named, ``mirror`` is 1 for CARLA's axes, -1 for the
    standard's."""

    def __init__(self, entity: Callable[[Element], Entity], positions: Positions, mirror: float) -> None:
        self._entity, self._positions, self._mirror = entity, positions, mirror

    def step(self, actor: Entity, kind: Element) -> dict[str, Any]:
        """The step that stands for the child of a PrivateAction. Raises ``ScenarioError``."""
        if kind.name == "RoutingAction":
            what = kind.one()
            return self._path(what) if what.name == "FollowTrajectoryAction" else self._route(actor, what)
        if kind.name == "SynchronizeAction":
            return self._meet(kind)
        if kind.name not in ("LongitudinalAction", "LateralAction"):
            raise kind.refuse()
        what = kind.one()
        if what.name == "SpeedAction":
            return self._speed(actor, what)
        if what.name == "LaneChangeAction":
            return self._lane_change(actor, what)
        if what.name == "LaneOffsetAction":
            return self._lane_offset(actor, what)
        if what.name == "LongitudinalDistanceAction":
            return self._distance(actor, what)
        raise what.refuse()

    # How fast

    def target(self, target: Element) -> float:
        """The speed that a SpeedActionTarget's child says, by what everybody does at the beginning, m/s."""
        if target.name == "AbsoluteTargetSpeed":
            speed = target.number("value")
        elif target.name == "RelativeTargetSpeed":
            other, value = self._entity(target).speed, target.number("value")
            speed = other * value if target.text("speedTargetValueType", "delta") == "factor" else other + value
        else:
            raise target.refuse()
        if not 0.0 <= speed <= 60.0:
            raise target.error(f"{speed:g} m/s is not 0 to 60")
        return speed

    def told(self, target: Element) -> dict[str, Any]:
        """The same as the beginning of a ``set_speed``."""
        if target.name != "RelativeTargetSpeed":
            return {"speed": self.target(target)}
        factor = target.text("speedTargetValueType", "delta") == "factor"
        keep = {"keep": True} if target.text("continuous", "false") == "true" else {}
        return {
            "beside": self._entity(target).name, "times" if factor else "plus": target.number("value"), **keep
        }  # fmt: skip

    def _speed(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("SpeedActionDynamics", "SpeedActionTarget")
        dynamics, target = what.get("SpeedActionDynamics"), what.get("SpeedActionTarget").one()
        value, dimension = abs(dynamics.number("value", 0.0)), dynamics.text("dynamicsDimension", "time")
        shape = dynamics.text("dynamicsShape")
        # ScenarioRunner keeps to a speed for so many seconds or metres; the standard's step is over at once.
        lasts = self._mirror > 0.0 and shape == "step" and value > 0.0
        counted = {"time": "done_after", "distance": "done_within"}.get(dimension) if lasts else None
        done = {counted: value} if counted else {}
        if actor.walks and not actor.paths:
            speed = self.target(target)
            if speed == 0.0:
                return {**done, "stop": {}}
            assert actor.spawn is not None
            walk: dict[str, Any] = {"speed": min(speed, 6.0), "distance": WALK}
            if "yaw" in actor.spawn:
                walk["yaw"] = actor.spawn["yaw"]
            return {**done, "cross": walk}
        if actor.controlled:
            speed = self.target(target)
            if speed > 0.0:
                return {**done, "follow_lane": {"speed": speed}}
            hard = value if dimension == "rate" and 0.0 < value <= 10.0 else GENTLE
            return {**done, "stop": {"deceleration": hard}}
        told = self.told(target)
        if shape == "step":
            told |= {"rate": NPC} if self._mirror > 0.0 else {}
        elif shape not in ("linear", "sinusoidal", "cubic"):
            raise dynamics.error(f"dynamicsShape {shape} is not supported")
        elif value > 0.0:
            if dimension not in ("time", "rate", "distance"):
                raise dynamics.error(f"dynamicsDimension {dimension} is not supported")
            told[{"time": "over", "rate": "rate", "distance": "within"}[dimension]] = value
            told |= {"smooth": True} if shape != "linear" else {}
        return {**done, "set_speed": told}

    def _distance(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("DynamicConstraints")
        way = what.text("displacement", "trailingReferencedEntity")
        if way not in ("trailingReferencedEntity", "any") or actor.walks or actor.controlled:
            raise what.error(f"displacement {way} is not supported" if "leading" in way else "is not supported here")
        gap: dict[str, Any] = {"to": self._entity(what).name}
        if what.text("timeGap", ""):
            gap["seconds"] = what.number("timeGap")
        else:
            gap["metres"] = abs(what.number("distance"))
        gap["outlines"] = what.text("freespace", "false").lower() == "true"
        if (limits := what.find("DynamicConstraints")) is not None:
            for key, name, most in (
                ("acceleration", "maxAcceleration", 1000.0),
                ("deceleration", "maxDeceleration", 1000.0),
                ("most", "maxSpeed", 60.0),
            ):
                if limits.text(name, ""):
                    gap[key] = min(limits.number(name), most)
        return {"keep_distance": gap}

    def _meet(self, what: Element) -> dict[str, Any]:
        what.only("TargetPositionMaster", "TargetPosition", "FinalSpeed")
        meet: dict[str, Any] = {
            "at": self._positions.on_map(what.get("TargetPosition").one()),
            "other": self._entity_named(what, "masterEntityRef"),
            "there": self._positions.on_map(what.get("TargetPositionMaster").one()),
        }
        if (final := what.find("FinalSpeed")) is not None:
            speed = final.one()
            if speed.name == "AbsoluteSpeed":
                speed.only()
                meet["speed"] = speed.number("value")
            elif speed.name == "RelativeSpeedToMaster" and speed.text("speedTargetValueType") == "delta":
                speed.only()
                meet["plus"] = speed.number("value")
            else:
                raise speed.refuse()
        return {"meet": meet}

    def _entity_named(self, what: Element, attribute: str) -> str:
        return self._entity(what.with_text("entityRef", what.text(attribute))).name

    # Where to

    def _lane_change(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("LaneChangeActionDynamics", "LaneChangeTarget")
        if what.number("targetLaneOffset", 0.0) != 0.0:
            raise what.error("targetLaneOffset is not supported")
        if actor.walks:
            raise what.error("is not supported for somebody on foot")
        target = what.get("LaneChangeTarget").one()
        value = int(target.number("value"))
        change: dict[str, Any] = {}
        if target.name == "AbsoluteTargetLane":
            change["lane"] = value
        elif target.name != "RelativeTargetLane":
            raise target.refuse()
        elif self._entity(target) is not actor:
            change |= {"beside": self._entity(target).name, "lanes": value}
        elif value:
            # The standard's lanes are counted to the left of whoever drives, ScenarioRunner's to the right.
            change |= {"side": "right" if value * self._mirror > 0.0 else "left", "lanes": abs(value)}
        else:
            return {"shift": {"across": 0.0, **self._takes(what.get("LaneChangeActionDynamics"), LANE)}}
        if not actor.controlled:
            change["oncoming"] = True
        return {"change_lane": change | self._takes(what.get("LaneChangeActionDynamics"), LANE)}

    def _takes(self, dynamics: Element, metres: float) -> dict[str, Any]:
        """How long a way over takes that is so many metres wide."""
        value, dimension = abs(dynamics.number("value", 0.0)), dynamics.text("dynamicsDimension", "time")
        if dynamics.text("dynamicsShape") == "step" and value == 0.0:
            raise dynamics.error("a lane change in no time is not supported")
        if dimension == "distance":
            return {"length": min(max(value, 6.0), 500.0)}
        if dimension == "rate" and value > 0.0:
            value = metres / value
        elif dimension != "time":
            raise dynamics.error(f"dynamicsDimension {dimension} is not supported")
        return {"over": value}

    def _lane_offset(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("LaneOffsetActionDynamics", "LaneOffsetTarget")
        if actor.walks:
            raise what.error("is not supported for somebody on foot")
        dynamics, target = what.get("LaneOffsetActionDynamics"), what.get("LaneOffsetTarget").one()
        across = self._mirror * target.number("value")
        if self._mirror < 0.0 and (actor.spawn or {}).get("lane", -1) > 0:
            across = -across  # the standard's offset is the reference line's, whichever way the lane goes
        if target.name == "RelativeTargetLaneOffset":
            across += (self._entity(target).spawn or {}).get("across", 0.0)
        elif target.name != "AbsoluteTargetLaneOffset":
            raise target.refuse()
        # A cosine over t seconds and d metres has at most d pi^2 / (2 t^2).
        hardest = dynamics.number("maxLateralAcc", LATERAL)
        wide = abs(across - (actor.spawn or {}).get("across", 0.0)) or LANE
        over = pi * sqrt(wide / (2.0 * max(hardest, 0.1)))
        return {"shift": {"across": across, "over": over}}

    def _route(self, actor: Entity, what: Element) -> dict[str, Any]:
        if what.name == "AcquirePositionAction":
            via = [self._positions.on_map(what.get("Position").one())]
        elif what.name == "AssignRouteAction":
            via = [self._positions.on_map(each) for each in self._positions.waypoints(what.one())]
            if self._mirror < 0.0:
                via = via[1:] or via  # the first is where the standard's route begins, and who drives it is beyond
        else:
            raise what.refuse()
        # Who drives exactly keeps the speed that is told elsewhere.
        speed = {"speed": actor.speed or CRUISE} if actor.controlled else {}
        return {"follow_route": {"via": [_plain(place) for place in via], **speed}}

    def _path(self, what: Element) -> dict[str, Any]:
        what.only("Trajectory", "TrajectoryRef", "TimeReference", "TrajectoryFollowingMode")
        if what.number("initialDistanceOffset", 0.0) != 0.0:
            raise what.error("initialDistanceOffset is not supported")
        holder = what.find("TrajectoryRef") or what
        holder = holder.get("Trajectory") if holder.find("Trajectory") is not None else holder.one()
        if holder.name != "Trajectory":
            raise holder.refuse()
        if holder.text("closed", "false").lower() == "true":
            raise holder.error("closed ones are not supported")
        shape = holder.get("Shape").one()
        if shape.name != "Polyline":
            raise shape.refuse()
        timing = (what.find("TimeReference") or shape).find("Timing")
        points = []
        for vertex in shape.all("Vertex"):
            vertex.only("Position")
            point = self._positions.on_map(vertex.get("Position").one(), across=True)
            if timing is not None:
                if timing.text("domainAbsoluteRelative") != "relative":
                    raise timing.error("only relative times are supported")
                point["at"] = vertex.number("time") * timing.number("scale", 1.0) + timing.number("offset", 0.0)
            points.append(point)
        return {"follow_path": {"points": points}}


def _plain(place: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in place.items() if key in ("road", "lane", "s", "t", "x", "y")}
