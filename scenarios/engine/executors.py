"""Execution of scenario steps by vehicles, walkers and static props."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, cos, degrees, hypot, pi, radians, sin, sqrt
from typing import Any

import carla

from bridge.carla_client.routing.autopilot import Autopilot, Halt, RoadUser
from bridge.carla_client.vehicle_geometry import VehicleGeometry, read_physics
from scenarios.engine.road import RouteProgress
from scenarios.engine.routes import RouteResolver
from scenarios.engine.snapshot import STANDING, ActorState, Snapshot, holds
from scenarios.engine.speed_profiles import SpeedProfile, speed_profile
from scenarios.engine.trajectories import pose_at
from scenarios.language.actions import ControlPoint, Cross, KeepAside
from scenarios.language.schema import ActorSpec, EgoSpec, Step

FULL_BRAKING = 8.5  # m/s^2 at full brake pedal on dry asphalt
BRAKE_LAMP = 0.03  # brake pedal position that turns the brake lights on
MIN_LANE_CHANGE = 6.0  # m
LATERAL_TOLERANCE = 0.1  # m, of a kept lateral distance
#: Lamps by CARLA's names.
LAMPS = {
    "position": "Position", "low_beam": "LowBeam", "high_beam": "HighBeam", "brake": "Brake",
    "right_blinker": "RightBlinker", "left_blinker": "LeftBlinker", "reverse": "Reverse", "fog": "Fog",
    "interior": "Interior",
}  # fmt: skip
MIN_LOOKAHEAD = 2.0  # m, of an actor on rails that returns to its path from the side
BACKWARDS = 0.02  # m/s
CORNER = 0.1  # m from a corner of a path at which a walker turns to the next
SPEED_TOLERANCE = 0.5  # m/s from the target speed at which a named ``follow_lane`` counts as done


#: What a step controls: steps that control different things run in parallel, others replace each other.
_CONTROLLED = {
    "set_speed": "speed", "meet": "speed", "keep_distance": "speed", "speeds": "speed",
    "change_lane": "way", "shift": "way", "follow_path": "way", "keep_aside": "way",
    "teleport": "place", "vanish": "place", "lamps": "lamps", "set_light": "light", "mark": "mark",
}  # fmt: skip


_INSTANT = ("teleport", "vanish", "lamps", "set_light", "mark")  # done as soon as they begin
NOWHERE = -500.0  # m, height of an actor that has vanished


@dataclass
class _PendingStep:
    """A step that has not begun. It can begin again after it is done and its conditions have ceased to hold."""

    step: Step
    is_armed: bool
    since: float | None = None  # s, since when its conditions hold
    remaining: int = 1  # how often it may still begin
    has_ceased: bool = True  # whether its conditions have not held since it began last


@dataclass(frozen=True)
class _RunningStep:
    """A step that has begun: when, s, and after how many metres."""

    step: Step
    begun: float
    begun_at: float

    def is_parallel_to(self, other: Step) -> bool:
        """Return whether it continues when the other one begins."""
        mine, others = (_CONTROLLED.get(step.chosen()[0]) for step in (self.step, other))
        return mine is not None and others is not None and mine != others


class Script:
    """The sequence of an actor's steps, and which of them it executes.

    The steps of ``do`` run in order; each waits for its ``when``, or for the previous one to be done. Those of
    ``events`` begin as soon as their ``when`` holds. ``log`` records the named steps of all actors. The driver that
    executes the script updates ``progress`` along the route or path being followed, and ``reached``, whether the set
    speed has been reached.
    """

    def __init__(self, name: str, do: Sequence[Step], events: Sequence[Step], log: dict[str, str]) -> None:
        self.name = name
        self.step: Step | None = None
        self.begun = 0.0  # s
        self.begun_at = 0.0  # m travelled
        self.progress: RouteProgress | None = None
        self.reached = False
        self._parallel: list[_RunningStep] = []  # that run in addition to ``step``
        self._log = log
        self._queue = [_PendingStep(step, step.armed_by is None) for step in do]
        self._events = [
            _PendingStep(step, step.armed_by is None, remaining=step.repeats, has_ceased=not step.rising)
            for step in events
        ]

    def advance(self, now: Snapshot) -> bool:
        """Begin another step if its conditions hold; return whether one has begun."""
        for run in self._running():
            name = run.step.name
            if name is not None and self._log[name] == "begun" and self._counts_as_done(run, now):
                self._log[name] = "done"
        for pending in self._queue[:1]:
            if self._is_ready(pending, now):
                self._queue.pop(0)
                self._begin(pending.step, now)
                return True
        for pending in self._events:
            if self._is_ready(pending, now):
                pending.remaining -= 1
                pending.since, pending.has_ceased = None, False
                if not pending.remaining:
                    self._events.remove(pending)
                self._begin(pending.step, now)
                return True
        return False

    def _is_ready(self, pending: _PendingStep, now: Snapshot) -> bool:
        step = pending.step
        if not pending.is_armed:
            assert step.armed_by is not None
            pending.is_armed = holds(step.armed_by, now, self.name, self.begun)
            if not pending.is_armed:
                return False
        if not pending.has_ceased:
            is_running = any(run.step is step for run in self._running())
            is_over = not is_running or self._log.get(step.name or "") == "done"
            still_holds = step.when is not None and holds(step.when, now, self.name, self.begun)
            pending.has_ceased = is_over and not still_holds
            return False
        if pending.since is None:
            if not (holds(step.when, now, self.name, self.begun) if step.when is not None else self._is_done(now)):
                return False
            pending.since = now.time
        return now.time - pending.since >= step.delay - 1e-6

    def _current(self) -> list[_RunningStep]:
        return [_RunningStep(self.step, self.begun, self.begun_at)] if self.step is not None else []

    def _running(self) -> list[_RunningStep]:
        return [*self._parallel, *self._current()]

    def _begin(self, step: Step, now: Snapshot) -> None:
        running = self._running()
        self._parallel = [run for run in running if run.is_parallel_to(step)]
        for run in running:
            if run.step.name is not None and run not in self._parallel:
                self._log[run.step.name] = "done"  # or aborted by the new one
        if step.name is not None:
            self._log[step.name] = "begun"
        self.step = step
        self.begun, self.begun_at = now.time, now.states[self.name].travelled
        if _CONTROLLED.get(step.chosen()[0]) != "speed":
            self.progress = None

    def _is_done(self, now: Snapshot) -> bool:
        return all(self._is_over(run, now) for run in self._current())

    def _is_over(self, run: _RunningStep, now: Snapshot) -> bool:
        step, me = run.step, now.states[self.name]
        metres = me.travelled - run.begun_at
        if step.chosen()[0] in _INSTANT:
            return True
        change = step.change_lane or step.shift
        if change is not None:
            return metres >= change.length if change.over is None else now.time - run.begun >= change.over - 1e-6
        if step.cross is not None:
            return metres >= step.cross.distance
        if step.follow_trajectory is not None:
            return now.time >= step.follow_trajectory.points[-1][0] - 1e-6
        if step.stop is not None:
            return me.speed < STANDING and min(me.stood, now.time - run.begun) >= step.stop.hold - 1e-6
        if _sets_speed(step):
            return self.reached
        return self.progress is not None and self.progress.done

    def _counts_as_done(self, run: _RunningStep, now: Snapshot) -> bool:
        """Return whether a named step counts as done, even if it continues."""
        step = run.step
        if step.done_after is not None:
            return now.time - run.begun >= step.done_after - 1e-6
        if step.done_within is not None:
            return now.states[self.name].travelled - run.begun_at >= step.done_within
        if self._is_over(run, now):
            return True
        follow = step.follow_lane
        return follow is not None and abs(now.states[self.name].speed - follow.speed) < SPEED_TOLERANCE


class VehicleDriver:
    """Drives one vehicle by its script.

    Args:
        actor: The ``carla.Vehicle``.
        town: The map.
        script: Its steps.
        spec: Its entry in the scenario.
        start: The lane on which it begins.
        seed: Of turns at junctions.
        resolver: Resolves places.
    """

    def __init__(
        self,
        actor: Any,
        town: carla.Map,
        script: Script,
        spec: EgoSpec | ActorSpec,
        start: carla.Waypoint,
        seed: int,
        resolver: RouteResolver,
    ) -> None:
        spawn = spec.spawn
        geometry = VehicleGeometry.of(actor, read_physics(actor))
        self.actor, self.script = actor, script
        self._pilot = Autopilot(town, geometry, seed, max(spawn.speed, 1.0))
        self._pilot.turn = "straight"
        if spawn.x is None:  # with an offset from its lane, another lane may be nearer
            self._pilot.follow([(start, start.transform.location.x, start.transform.location.y)])
        self._yields = True  # to other road users and red lights
        self._parked = not spawn.speed  # no step has set it in motion yet
        self._resolver = resolver
        self._pending_change: Step | None = None  # a path change that waits for a path or for a lane
        self._profile: SpeedProfile | None = None  # of an exactly set speed
        self._kept_aside: KeepAside | None = None  # a lateral distance to another actor that is being kept
        self._rails = spec.rails
        self._original_physics: Any = None  # while its tyres have no friction
        self._across = spawn.across  # m to the right of the lane's middle, as last commanded

    def control(
        self, now: Snapshot, bodies: Sequence[RoadUser], halts: Sequence[Halt], delta: float
    ) -> carla.VehicleControl:
        """Return the pedals for this tick; ``bodies`` are all other road users."""
        script = self.script
        me = now.states[script.name]
        while script.advance(now):
            self._begin(now)
        step = script.step
        if self._kept_aside is not None:
            self._keep_aside(self._kept_aside, now)
        if script.progress is not None:
            script.progress.update(me.x, me.y)
        if step is not None and step.controls is not None:
            return _scripted_pedals(step.controls, now.time - script.begun)
        if step is not None and step.follow_trajectory is not None:
            return self._along(pose_at(step.follow_trajectory, now.time + delta), me, delta)
        if self._pending_change is not None:
            if self._pending_change is step:
                script.begun, script.begun_at = now.time, me.travelled  # the step only begins once there is a lane
            if self._change_path(self._pending_change, now):
                self._pending_change = None
        if self._profile is None and self._original_physics is not None:
            self.actor.apply_physics_control(self._original_physics)
            self._original_physics = None
        if self._parked:
            return carla.VehicleControl(hand_brake=True, brake=1.0)
        yields = self._yields and self._profile is None
        forward = me.vx * cos(me.yaw) + me.vy * sin(me.yaw)
        pedals = self._pilot.drive(
            me.x, me.y, me.z, me.yaw, forward, bodies if yields else (), halts if yields else (), delta
        )
        if self._profile is not None:
            return self._set_exact_speed(self._profile, pedals.steer, now, delta)
        if step is not None and step.stop is not None:
            brake = min(step.stop.deceleration / FULL_BRAKING, 1.0) if me.speed > STANDING else 0.6
            return carla.VehicleControl(0.0, pedals.steer, max(brake, pedals.brake))
        return carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake)

    def _begin(self, now: Snapshot) -> None:
        script, step = self.script, self.script.step
        assert step is not None
        me = now.states[script.name]
        if perform_instant(step, self.actor, self._resolver):
            if step.teleport is not None:
                self._pilot.reset()
                speed = self._profile.speed if self._profile is not None else me.speed
                forward = self._resolver.teleport(step).get_forward_vector()
                self.actor.set_target_velocity(carla.Vector3D(speed * forward.x, speed * forward.y, 0.0))
            return
        if _CONTROLLED.get(step.chosen()[0]) != "speed":
            self._kept_aside = step.keep_aside
        if step.keep_aside is not None:
            return
        if _sets_speed(step):
            self._profile = speed_profile(step, script.name, now, self._profile, self._resolver)
            script.reached = False
            self._parked = False
            return
        if (follow := step.follow_lane) is not None:
            self._profile, self._parked = None, follow.speed == 0.0
            self._pilot.cruise, self._pilot.turn, self._yields = max(follow.speed, 0.1), follow.turn, follow.heed
        elif (way := step.follow_route) is not None:
            points = self._resolver.route(step, me)
            self._pilot.follow((point.way, point.x, point.y) for point in points)
            script.progress = RouteProgress(points)
            if way.speed is not None:
                self._profile, self._parked = None, way.speed == 0.0
                self._pilot.cruise, self._yields = max(way.speed, 0.1), way.heed
        elif step.follow_path is not None:
            corners, _ = self._resolver.path(step, now)
            points = self._resolver.points(corners)
            self._pilot.follow((point.way, point.x, point.y) for point in points)
            script.progress = RouteProgress(points)
            self._profile = speed_profile(step, script.name, now, self._profile, self._resolver) or self._profile
            self._parked = self._parked and self._profile is None
        elif step.change_lane is None and step.shift is None:
            self._profile, self._parked = None, False
        self._pending_change = step if step.change_lane is not None or step.shift is not None else None

    def _change_path(self, step: Step, now: Snapshot) -> bool:
        path_change = step.change_lane or step.shift
        assert path_change is not None
        length = path_change.length
        if path_change.over is not None:
            speed = self._profile.speed if self._profile is not None else now.states[self.script.name].speed
            length = max(path_change.over * speed, MIN_LANE_CHANGE)
        if step.shift is not None:
            self._across = step.shift.across
            return self._pilot.shift(step.shift.across, length)
        change = step.change_lane
        assert change is not None
        if change.side is not None:
            lanes = (change.lanes or 1) * (1 if change.side == "right" else -1)
        else:
            lane = change.lane
            if change.beside is not None:
                other = now.states[change.beside]
                lane = self._resolver.lane_of(other, change.lanes or 0)
            assert lane is not None
            lanes = self._pilot.lanes_to(lane)
        return self._pilot.change_lane(lanes, length, change.oncoming)

    def _keep_aside(self, spec: KeepAside, now: Snapshot) -> None:
        """Shift within the lane so that the lateral distance to the other actor is as set."""
        me, other = now.states[self.script.name], now.states[spec.to]
        _, aside = me.ahead(other)
        distance = spec.metres + (me.half_width + other.half_width if spec.outlines else 0.0)
        is_left = aside >= 0.0 if spec.side is None else spec.side == "left"
        correction = aside - (distance if is_left else -distance)  # m to the right
        if abs(correction) > LATERAL_TOLERANCE:
            self._across = min(max(self._across + correction, -30.0), 30.0)
            self._pilot.shift(self._across, max(MIN_LANE_CHANGE, me.speed))

    def _set_exact_speed(
        self, profile: SpeedProfile, steer: float, now: Snapshot, delta: float
    ) -> carla.VehicleControl:
        """Give the vehicle exactly the set speed; its pedals only affect lamps and steering."""
        me = now.states[self.script.name]
        before = profile.speed
        speed = profile.at(now, delta)
        self.script.reached = profile.reached
        if speed < -BACKWARDS:
            self.actor.set_target_velocity(carla.Vector3D(speed * cos(me.yaw), speed * sin(me.yaw), 0.0))
            return carla.VehicleControl(0.0, 0.0, 0.0, False, True)
        gap = self._pilot.remaining - me.half_length  # stop at the end of the road
        speed = min(speed, sqrt(2.0 * FULL_BRAKING * max(gap, 0.0)))
        if speed < 0.02:
            self.actor.set_target_velocity(carla.Vector3D(0.0, 0.0, 0.0))
            return carla.VehicleControl(0.0, steer, 1.0)
        if self._rails and (ahead := self._pilot.ahead(me.x, me.y, max(speed * delta, MIN_LOOKAHEAD))) is not None:
            self._move_towards(ahead, speed, me, delta)
            return carla.VehicleControl(0.0, 0.0, BRAKE_LAMP if speed < before - 0.5 * delta else 0.0)
        # Tyres slip in bends: keep the direction of the motion.
        x, y = (me.vx / me.speed, me.vy / me.speed) if me.speed > 1.0 else (cos(me.yaw), sin(me.yaw))
        self.actor.set_target_velocity(carla.Vector3D(speed * x, speed * y, 0.0))
        return carla.VehicleControl(0.0, steer, BRAKE_LAMP if speed < before - 0.5 * delta else 0.0)

    def _along(self, pose: tuple[float, float, float], me: ActorState, delta: float) -> carla.VehicleControl:
        """Reach a pose (m, m, heading in radians) within this tick; pedals only affect the lamps."""
        x, y, yaw = pose
        dx, dy = x - me.x, y - me.y
        speed = hypot(dx, dy) / delta
        self._parked = False
        self._move_towards(pose, speed, me, delta)
        backwards = dx * cos(yaw) + dy * sin(yaw) < -BACKWARDS * delta
        slower = speed < me.speed - 0.5 * delta or speed < STANDING
        return carla.VehicleControl(0.0, 0.0, BRAKE_LAMP if slower else 0.0, False, backwards)

    def _move_towards(self, ahead: tuple[float, float, float], speed: float, me: ActorState, delta: float) -> None:
        """Move towards a point of the path (m, m, heading in radians) at ``speed`` m/s, facing along the path."""
        if self._original_physics is None:  # tyres without friction do not change velocities that are set
            self._original_physics, physics = self.actor.get_physics_control(), self.actor.get_physics_control()
            wheels = physics.wheels
            for wheel in wheels:
                wheel.tire_friction = 0.0
            physics.wheels, physics.drag_coefficient = wheels, 0.0
            self.actor.apply_physics_control(physics)
        x, y, heading = ahead
        direction = atan2(y - me.y, x - me.x)
        turn = (heading - me.yaw + pi) % (2.0 * pi) - pi
        self.actor.set_target_velocity(carla.Vector3D(speed * cos(direction), speed * sin(direction), 0.0))
        self.actor.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, degrees(turn) / max(delta, 1e-3)))


class WalkerDriver:
    """Controls one walker by its script.

    ``across_road``: yaw of the direction across the road, radians; ``rails``: whether to continue where a path ends.
    """

    def __init__(
        self, actor: Any, script: Script, across_road: float, resolver: RouteResolver, rails: bool = False
    ) -> None:
        self.actor, self.script = actor, script
        self._across_road = across_road
        self._continues = rails
        self._resolver = resolver
        self._profile: SpeedProfile | None = None
        self._corners: list[tuple[float, float]] = []  # of the path, still to be reached
        self._last = (0.0, 0.0)  # the last corner reached

    def control(self, now: Snapshot, delta: float) -> carla.WalkerControl:
        """Return direction and speed for this tick."""
        script = self.script
        me = now.states[script.name]
        while script.advance(now):
            self._begin(now)
        step = script.step
        cross: Cross | None = step.cross if step is not None else None
        if step is not None and step.follow_trajectory is not None:
            x, y, yaw = pose_at(step.follow_trajectory, now.time + delta)
            dx, dy = x - me.x, y - me.y
            speed = hypot(dx, dy) / delta
            return carla.WalkerControl(_direction(atan2(dy, dx) if speed > STANDING else yaw), speed, False)
        if cross is not None and me.travelled - script.begun_at < cross.distance:
            yaw = self._across_road if cross.yaw is None else radians(cross.yaw)
            return carla.WalkerControl(_direction(yaw), cross.speed, False)
        if cross is not None or self._profile is None:
            return carla.WalkerControl(_direction(self._across_road), 0.0, False)
        if step is not None and step.stop is not None:
            return carla.WalkerControl(_direction(me.yaw), 0.0, False)
        speed = self._profile.at(now, delta)
        script.reached = self._profile.reached
        if script.progress is None:
            return carla.WalkerControl(_direction(me.yaw), speed, False)
        script.progress.update(me.x, me.y)
        while self._corners and self._has_reached_corner(me):
            self._last = self._corners.pop(0)
        if not self._corners:
            return carla.WalkerControl(_direction(me.yaw), speed if self._continues else 0.0, False)
        x, y = self._corners[0]
        return carla.WalkerControl(_direction(atan2(y - me.y, x - me.x)), speed, False)

    def _has_reached_corner(self, me: ActorState) -> bool:
        """Return whether the next corner has been reached or passed."""
        (x, y), (x0, y0) = self._corners[0], self._last
        return (x - me.x) * (x - x0) + (y - me.y) * (y - y0) <= CORNER * hypot(x - x0, y - y0)

    def _begin(self, now: Snapshot) -> None:
        script, step = self.script, self.script.step
        assert step is not None
        if perform_instant(step, self.actor, self._resolver):
            return
        script.reached = False
        if step.follow_path is not None:
            corners, _ = self._resolver.path(step, now)
            self._corners, self._last = corners, (now.states[script.name].x, now.states[script.name].y)
            script.progress = RouteProgress(self._resolver.points(corners))
        if step.follow_path is not None or _sets_speed(step):
            self._profile = speed_profile(step, script.name, now, self._profile, self._resolver) or self._profile


class StaticProp:
    """A static prop: only steps that take no time apply to it."""

    def __init__(self, actor: Any, script: Script, resolver: RouteResolver) -> None:
        self.actor, self.script, self._resolver = actor, script, resolver

    def update(self, now: Snapshot) -> None:
        """Perform the steps that are due; to be called before a tick."""
        while self.script.advance(now):
            assert self.script.step is not None
            perform_instant(self.script.step, self.actor, self._resolver)


def perform_instant(step: Step, actor: Any, resolver: RouteResolver) -> bool:
    """Perform a step that takes no time; return whether it was one."""
    if step.teleport is not None:
        actor.set_transform(resolver.teleport(step))
        actor.set_simulate_physics(not actor.type_id.startswith("static."))
    elif step.vanish:
        actor.set_simulate_physics(False)
        actor.set_location(carla.Location(0.0, 0.0, NOWHERE))
    elif step.lamps is not None:
        bits = int(actor.get_light_state())
        for name in step.lamps.model_fields_set:
            bit = int(getattr(carla.VehicleLightState, LAMPS[name]))
            bits = bits | bit if getattr(step.lamps, name) else bits & ~bit
        actor.set_light_state(carla.VehicleLightState(bits))
    elif step.set_light is not None:
        resolver.signals.hold(step.set_light.signal, step.set_light.state)
    return step.chosen()[0] in _INSTANT


def _sets_speed(step: Step) -> bool:
    return _CONTROLLED.get(step.chosen()[0]) == "speed"


def _direction(yaw: float) -> carla.Vector3D:
    return carla.Vector3D(cos(yaw), sin(yaw), 0.0)


def road_user(state: ActorState, walks: bool = False) -> RoadUser:
    """Return an actor as a road user for the others' autopilots."""
    return RoadUser(state.x, state.y, state.yaw, state.half_length, state.half_width, state.vx, state.vy, walks)


def _scripted_pedals(points: Sequence[ControlPoint], since: float) -> carla.VehicleControl:
    passed = [point for point in points if point.at <= since + 1e-6]
    if not passed:
        return carla.VehicleControl()
    at = passed[-1]
    return carla.VehicleControl(at.throttle, at.steer, at.brake, at.hand_brake, at.reverse)
