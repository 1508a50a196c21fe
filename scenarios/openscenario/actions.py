"""Translation of OpenSCENARIO's actions to steps of a scenario."""

from collections.abc import Callable
from math import cos, pi, sin, sqrt
from typing import Any, Protocol

from scenarios.openscenario.elements import Element
from scenarios.openscenario.places import Positions

CRUISE = 8.0  # m/s of an entity that the file leaves to an external controller
GENTLE = 3.0  # m/s^2 of a stop without given deceleration
WALK = 100.0  # m of a walk without given distance
STEP_ACCELERATION = 4.0  # m/s^2 with which ScenarioRunner's vehicles change their speed in a step
LANE_WIDTH = 3.5  # m of a lane change whose dynamics are a rate
OFFSETS = ("dx", "dy", "dz", "ds", "dt", "dLane", "offset")  # attributes of relative positions
CHORD = 1.0  # m between two points of a clothoid
#: The standard's lamps -> the scenario language's.
LAMPS = {
    "daytimeRunningLights": ("position",), "lowBeam": ("low_beam",), "highBeam": ("high_beam",),
    "fogLights": ("fog",), "fogLightsFront": ("fog",), "fogLightsRear": ("fog",), "brakeLights": ("brake",),
    "indicatorLeft": ("left_blinker",), "indicatorRight": ("right_blinker",), "reversingLights": ("reverse",),
    "warningLights": ("left_blinker", "right_blinker"), "licensePlateIllumination": ("position",),
    "specialPurposeLights": ("interior",),
}  # fmt: skip
#: The standard's displacements -> sides of ``keep_distance``.
SIDES: dict[str, dict[str, str]] = {
    "trailingReferencedEntity": {},
    "leadingReferencedEntity": {"side": "ahead"},
    "any": {"side": "nearest"},
}
LATERAL = 1.0  # m/s^2 of a lane offset without given acceleration


class Entity(Protocol):
    """An entity that acts."""

    name: str
    spawn: dict[str, Any] | None
    speed: float
    controlled: bool  # by something external to the file, which is replaced by this project's autopilot
    paths: bool  # follows a trajectory at some time
    acceleration: float | None  # m/s^2, the vehicle's maximum

    @property
    def walks(self) -> bool:
        """Whether it is a walker."""


class Actions:
    """Translates private actions. ``entity`` resolves references; ``mirror``: 1 for CARLA's axes, else -1."""

    def __init__(self, entity: Callable[[Element], Entity], positions: Positions, mirror: float) -> None:
        self._entity, self._positions, self._mirror = entity, positions, mirror

    def step(self, actor: Entity, kind: Element) -> dict[str, Any]:
        """Translate the child of a PrivateAction. Raises ``ScenarioError``."""
        if kind.name == "RoutingAction":
            what = kind.one()
            return self._path(actor, what) if what.name == "FollowTrajectoryAction" else self._route(actor, what)
        if kind.name == "SynchronizeAction":
            return self._meet(kind)
        if kind.name == "TeleportAction":
            return {"teleport": self._positions.later(kind.get("Position").one())}
        if kind.name == "AppearanceAction":
            return self._lamps(actor, kind.one())
        if kind.name in ("ControllerAction", "ActivateControllerAction"):
            return self._controller(actor, kind)
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
        if what.name == "SpeedProfileAction":
            return self._profile(actor, what)
        if what.name == "LateralDistanceAction":
            return self._lateral_distance(actor, what)
        raise what.refuse()

    def _controller(self, actor: Entity, kind: Element) -> dict[str, Any]:
        """Translate an action on controllers: this project's autopilot drives once a controller is activated.

        Other assignments and overrides become a ``mark``.
        """
        active = [kind] if kind.name == "ActivateControllerAction" else kind.all("ActivateControllerAction")
        if actor.walks or not any(each.text("longitudinal", "true").lower() == "true" for each in active):
            return {"mark": True}
        return {"follow_lane": {"speed": actor.speed or CRUISE}}

    def _lamps(self, actor: Entity, what: Element) -> dict[str, Any]:
        if what.name != "LightStateAction" or actor.walks:
            raise what.refuse()
        light, mode = what.get("LightType").one(), what.get("LightState").text("mode")
        names = LAMPS.get(light.text("vehicleLightType", ""))
        if names is None:
            raise light.refuse()
        return {"lamps": dict.fromkeys(names, mode != "off")}

    # Speed

    def target(self, target: Element) -> float:
        """Return the speed of a SpeedActionTarget's child, m/s; relative ones refer to the initial speeds."""
        if target.name == "AbsoluteTargetSpeed":
            speed = target.number("value")
        elif target.name == "RelativeTargetSpeed":
            other, value = self._entity(target).speed, target.number("value")
            speed = other * value if target.text("speedTargetValueType", "delta") == "factor" else other + value
        else:
            raise target.refuse()
        if not -60.0 <= speed <= 60.0:
            raise target.error(f"{speed:g} m/s is not -60 to 60")
        return speed

    def set_speed(self, target: Element) -> dict[str, Any]:
        """Return the first keys of a ``set_speed`` for a SpeedActionTarget's child."""
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
        # ScenarioRunner keeps a speed for a number of seconds or metres; the standard's step is over at once.
        has_duration = self._mirror > 0.0 and shape == "step" and value > 0.0
        done_key = {"time": "done_after", "distance": "done_within"}.get(dimension) if has_duration else None
        done = {done_key: value} if done_key else {}
        if actor.walks and not actor.paths:
            speed = self.target(target)
            if speed == 0.0:
                return {**done, "stop": {}}
            walk: dict[str, Any] = {"speed": min(speed, 6.0), "distance": WALK}
            if actor.spawn is not None and "yaw" in actor.spawn:
                walk["yaw"] = actor.spawn["yaw"]
            return {**done, "cross": walk}
        if actor.controlled:
            speed = self.target(target)
            if speed > 0.0:
                return {**done, "follow_lane": {"speed": speed}}
            hard = value if dimension == "rate" and 0.0 < value <= 10.0 else GENTLE
            return {**done, "stop": {"deceleration": hard}}
        setting = self.set_speed(target)
        if shape == "step":
            setting |= {"rate": STEP_ACCELERATION} if self._mirror > 0.0 else {}
        elif shape not in ("linear", "sinusoidal", "cubic"):
            raise dynamics.error(f"dynamicsShape {shape} is not supported")
        elif value > 0.0:
            if dimension not in ("time", "rate", "distance"):
                raise dynamics.error(f"dynamicsDimension {dimension} is not supported")
            setting[{"time": "over", "rate": "rate", "distance": "within"}[dimension]] = value
            setting |= {"smooth": True} if shape != "linear" else {}
            if dimension == "rate" and actor.acceleration is not None and self._mirror < 0.0:
                setting["most"] = actor.acceleration
        return {**done, "set_speed": setting}

    def _distance(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("DynamicConstraints")
        way = what.text("displacement", "trailingReferencedEntity")
        limits = what.find("DynamicConstraints")
        at_once = limits is None and self._mirror < 0.0  # as the standard says; ScenarioRunner ignores constraints
        if way not in SIDES:
            raise what.error(f"displacement {way} is not supported")
        if actor.walks or (actor.controlled and not at_once):
            raise what.error("is not supported for pedestrians, nor for vehicles with a controller")
        gap: dict[str, Any] = {"to": self._entity(what).name, **SIDES[way]}
        if at_once:
            gap["at_once"] = True
        if self._mirror < 0.0 and what.text("continuous", "true").lower() == "false":
            gap["once"] = True
        if what.text("timeGap", ""):
            gap["seconds"] = what.number("timeGap")
        else:
            gap["metres"] = abs(what.number("distance"))
        gap["outlines"] = what.text("freespace", "false").lower() == "true"
        if limits is not None:
            for key, name, most in (
                ("acceleration", "maxAcceleration", 1000.0),
                ("deceleration", "maxDeceleration", 1000.0),
                ("most", "maxSpeed", 60.0),
            ):
                if limits.text(name, ""):
                    gap[key] = min(limits.number(name), most)
        return {"keep_distance": gap}

    def _profile(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("SpeedProfileEntry", "DynamicConstraints")
        if actor.walks or what.text("entityRef", ""):
            raise what.error("is not supported for pedestrians, nor relative to an entity")
        entries = what.all("SpeedProfileEntry")
        if not entries:
            raise what.error("has no SpeedProfileEntry")
        return {"speeds": [{"speed": each.number("speed"), "over": each.number("time", 0.0)} for each in entries]}

    def _meet(self, what: Element) -> dict[str, Any]:
        what.only("TargetPositionMaster", "TargetPosition", "FinalSpeed")
        meet: dict[str, Any] = {
            "at": self._positions.on_map(what.get("TargetPosition").one()),
            "other": self._entity_named(what, "masterEntityRef"),
            "there": self._positions.on_map(what.get("TargetPositionMaster").one()),
        }
        if (final := what.find("FinalSpeed")) is not None:
            speed = final.one()
            # These control the last metres before the position, which the scenario language does not.
            speed.only("TargetDistanceSteadyState", "TargetTimeSteadyState")
            if speed.name == "AbsoluteSpeed":
                meet["speed"] = speed.number("value")
            elif speed.name == "RelativeSpeedToMaster" and speed.text("speedTargetValueType") == "delta":
                meet["plus"] = speed.number("value")
            else:
                raise speed.refuse()
        return {"meet": meet}

    def _entity_named(self, what: Element, attribute: str) -> str:
        return self._entity(what.with_text("entityRef", what.text(attribute))).name

    # Path

    def _lane_change(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("LaneChangeActionDynamics", "LaneChangeTarget")
        if what.number("targetLaneOffset", 0.0) != 0.0:
            raise what.error("targetLaneOffset is not supported")
        if actor.walks:
            raise what.error("is not supported for walkers")
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
            # The standard counts lanes to the driver's left, ScenarioRunner to the right.
            change |= {"side": "right" if value * self._mirror > 0.0 else "left", "lanes": abs(value)}
        else:
            return {"shift": {"across": 0.0, **self._extent(what.get("LaneChangeActionDynamics"), LANE_WIDTH)}}
        if not actor.controlled:
            change["oncoming"] = True
        return {"change_lane": change | self._extent(what.get("LaneChangeActionDynamics"), LANE_WIDTH)}

    def _extent(self, dynamics: Element, metres: float) -> dict[str, Any]:
        """Return the length or duration of a lateral movement by ``metres``."""
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
            raise what.error("is not supported for walkers")
        dynamics, target = what.get("LaneOffsetActionDynamics"), what.get("LaneOffsetTarget").one()
        across = self._mirror * target.number("value")
        if self._mirror < 0.0 and self._positions.is_backwards((actor.spawn or {}).get("lane", -1)):
            across = -across  # the standard's offset refers to the reference line, whatever the lane's direction
        if target.name == "RelativeTargetLaneOffset":
            across += (self._entity(target).spawn or {}).get("across", 0.0)
        elif target.name != "AbsoluteTargetLaneOffset":
            raise target.refuse()
        # A cosine over t seconds and d metres has a maximum acceleration of d pi^2 / (2 t^2).
        acceleration = dynamics.number("maxLateralAcc", LATERAL)
        distance = abs(across - (actor.spawn or {}).get("across", 0.0)) or LANE_WIDTH
        over = pi * sqrt(distance / (2.0 * max(acceleration, 0.1)))
        return {"shift": {"across": across, "over": over}}

    def _lateral_distance(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("DynamicConstraints")
        if actor.walks:
            raise what.error("is not supported for pedestrians")
        sides = {"leftToReferencedEntity": {"side": "left"}, "rightToReferencedEntity": {"side": "right"}, "any": {}}
        displacement = what.text("displacement", "any")
        if displacement not in sides:
            raise what.error(f"displacement {displacement} is not supported")
        outlines = what.text("freespace", "false").lower() == "true"
        metres = abs(what.number("distance", 0.0))
        to = self._entity(what).name
        return {"keep_aside": {"to": to, "metres": metres, "outlines": outlines, **sides[displacement]}}

    def _route(self, actor: Entity, what: Element) -> dict[str, Any]:
        if what.name == "AcquirePositionAction":
            via = [self._positions.on_map(what.get("Position").one())]
        elif what.name == "AssignRouteAction":
            via = [self._positions.on_map(each) for each in self._positions.waypoints(what.one())]
            if self._mirror < 0.0:
                via = via[1:] or via  # the first is the start of the standard's route, which the actor has passed
        else:
            raise what.refuse()
        # Without a controller, the speed remains as another action sets it.
        speed = {"speed": actor.speed or CRUISE} if actor.controlled else {}
        return {"follow_route": {"via": [_plain(place) for place in via], **speed}}

    def _path(self, actor: Entity, what: Element) -> dict[str, Any]:
        what.only("Trajectory", "TrajectoryRef", "TimeReference", "TrajectoryFollowingMode")
        if what.number("initialDistanceOffset", 0.0) != 0.0:
            raise what.error("initialDistanceOffset is not supported")
        holder = what.find("TrajectoryRef") or what
        holder = holder.get("Trajectory") if holder.find("Trajectory") is not None else holder.one()
        if holder.name != "Trajectory":
            raise holder.refuse()
        shape = holder.get("Shape").one()
        if shape.name in ("Clothoid", "ClothoidSpline"):
            return {"follow_path": self._clothoid(actor, shape)}
        if shape.name not in ("Polyline", "Nurbs"):
            raise shape.refuse()
        timing = (what.find("TimeReference") or shape).find("Timing")
        path: dict[str, Any] = {"points": []}
        vertices = shape.all("Vertex" if shape.name == "Polyline" else "ControlPoint")
        for vertex in vertices:
            vertex.only("Position")
            point = self._positions.on_map(vertex.get("Position").one(), across=True)
            if timing is not None and vertex.text("time", ""):
                point["at"] = vertex.number("time") * timing.number("scale", 1.0) + timing.number("offset", 0.0)
                if timing.text("domainAbsoluteRelative") == "absolute":
                    path["absolute"] = True
            path["points"].append(point)
        if holder.text("closed", "false").lower() == "true" and timing is None:  # else it ends at its last time
            if shape.name == "Nurbs":
                raise holder.error("closed curves without times are not supported")
            path["points"].append(dict(path["points"][0]))
        if shape.name == "Nurbs":
            order = int(shape.number("order"))
            knots = [each.number("value") for each in shape.all("Knot")]
            if not knots:  # the default: uniform, clamped at both ends
                inner = max(len(vertices) - order, 0)
                knots = [0.0] * order + [float(k + 1) for k in range(inner)] + [float(inner + 1)] * order
            weights = [each.number("weight", 1.0) for each in vertices]
            path["curve"] = {"order": order, "knots": knots, "weights": weights}
        return {"follow_path": path}

    def _clothoid(self, actor: Entity, shape: Element) -> dict[str, Any]:
        """Return clothoids as points of a path: their curvature changes linearly (ASAM OpenDRIVE 1.7, 7.5)."""
        parts = shape.all("ClothoidSplineSegment") if shape.name == "ClothoidSpline" else [shape]
        holder = parts[0].find("PositionStart") or parts[0].find("Position")
        start = holder.one() if holder is not None else None
        x = y = heading = 0.0
        points = [(x, y)]
        for part in parts:
            length = part.number("length")
            first = part.number("curvatureStart", part.number("curvature", 0.0))
            change = part.number("curvaturePrime", part.number("curvatureDot", 0.0))
            last = part.number("curvatureEnd", first + change * length)
            count = max(int(length / CHORD), 1)
            for k in range(count):
                middle = (k + 0.5) / count  # midpoint rule over chords
                turned = first * middle * length + 0.5 * (last - first) * middle**2 * length
                x, y = x + cos(heading + turned) * length / count, y + sin(heading + turned) * length / count
                points.append((x, y))
            heading += 0.5 * (first + last) * length
        if start is None or (start.name.startswith("Relative") and not any(start.number(k, 0.0) for k in OFFSETS)):
            turn = start.find("Orientation") if start is not None else None
            h = turn.number("h", 0.0) if turn is not None else 0.0
            local = [(cos(h) * u - sin(h) * v, sin(h) * u + cos(h) * v) for u, v in points]
            frame = self._entity(start).name if start is not None else actor.name
            return {"frame": frame, "points": [{"x": u, "y": self._mirror * v} for u, v in local]}
        if start.name != "WorldPosition":
            raise start.refuse()
        h, at = start.number("h", 0.0), (start.number("x"), start.number("y"))
        world = [(at[0] + cos(h) * u - sin(h) * v, at[1] + sin(h) * u + cos(h) * v) for u, v in points]
        return {"points": [self._positions.in_world(u, v) for u, v in world]}


def _plain(place: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in place.items() if key in ("road", "lane", "s", "t", "x", "y")}
