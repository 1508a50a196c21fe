"""Executors of scenario steps: vehicles along lanes, walkers across roads, pedals from a script."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, cos, degrees, hypot, pi, radians, sin, sqrt
from typing import Any

import carla

from bridge.carla_client.routing.autopilot import Autopilot, Halt, RoadUser
from scenarios.engine.road import RouteProgress
from scenarios.engine.routes import RouteResolver
from scenarios.engine.snapshot import STANDING, ActorState, Snapshot, holds
from scenarios.engine.speed_profiles import SpeedProfile, speed_profile
from scenarios.engine.trajectories import pose_at
from scenarios.language.actions import ControlPoint, Cross, KeepAside
from scenarios.language.schema import ActorSpec, EgoSpec, Step

FULL_BRAKING = 8.5  # m/s^2 that a pedal pressed down gives on dry asphalt
BRAKE_LAMP = 0.03  # of the brake pedal: enough for the lamps
SHORTEST = 6.0  # m of a lane change
ASIDE = 0.1  # m to the side that are kept well enough
#: Lamps by CARLA's names.
LAMPS = {
    "position": "Position", "low_beam": "LowBeam", "high_beam": "HighBeam", "brake": "Brake",
    "right_blinker": "RightBlinker", "left_blinker": "LeftBlinker", "reverse": "Reverse", "fog": "Fog",
    "interior": "Interior",
}  # fmt: skip
SIGHT = 2.0  # m ahead that who keeps to its path aims at least: back to it from beside it
BACKWARDS = 0.02  # m/s
CORNER = 0.1  # m from a corner of a path at which a walker turns to the next
REACHED = 0.5  # m/s from the wanted speed at which a named ``follow_lane`` counts as done


#: What a step is about: steps about different things go on beside each other, all others take each other's place.
_CONTROLLED = {
    "set_speed": "speed", "meet": "speed", "keep_distance": "speed", "speeds": "speed",
    "change_lane": "way", "shift": "way", "follow_path": "way", "keep_aside": "way",
    "teleport": "place", "vanish": "place", "lamps": "lamps", "set_light": "light", "mark": "mark",
}  # fmt: skip


_AT_ONCE = ("teleport", "vanish", "lamps", "set_light", "mark")  # done as they begin
NOWHERE = -500.0  # m, height of who has vanished


@dataclass
class _Wait:
    """A step that has not begun: whether it is armed, since when its conditions hold, how often it may begin. Before it
    begins again it must be done and its conditions must have ceased to hold."""

    step: Step
    armed: bool
    since: float | None = None
    left: int = 1
    ceased: bool = True


@dataclass(frozen=True)
class _Run:
    """A step that has begun: when, s, and after how many metres."""

    step: Step
    begun: float
    begun_at: float

    def beside(self, other: Step) -> bool:
        """Whether it goes on when the other one begins."""
        mine, others = (_CONTROLLED.get(step.chosen()[0]) for step in (self.step, other))
        return mine is not None and others is not None and mine != others


class Script:
    """Which step an actor is at.

    The steps of ``do`` run in order; each waits for its ``when``, or for the one before to be done. Those of ``events``
    each begin once, as soon as their ``when`` holds. ``log`` records the named steps of all actors. The driver that
    executes it updates ``progress`` along the route or path being followed, and ``reached``, whether the set speed has
    been reached.
    """

    def __init__(self, name: str, do: Sequence[Step], events: Sequence[Step], log: dict[str, str]) -> None:
        self.name = name
        self.step: Step | None = None
        self.begun = 0.0  # s
        self.begun_at = 0.0  # m travelled
        self.progress: RouteProgress | None = None
        self.reached = False
        self._beside: list[_Run] = []  # what else is being done
        self._log = log
        self._waiting = [_Wait(step, step.armed_by is None) for step in do]
        self._events = [
            _Wait(step, step.armed_by is None, left=step.repeats, ceased=not step.rising) for step in events
        ]

    def advance(self, now: Snapshot) -> bool:
        """Go on to another step if it is time; True if so."""
        for run in (*self._beside, *self._current()):
            name = run.step.name
            if name is not None and self._log[name] == "begun" and self._counts_as_done(run, now):
                self._log[name] = "done"
        for wait in self._waiting[:1]:
            if self._ready(wait, now):
                self._waiting.pop(0)
                self._begin(wait.step, now)
                return True
        for wait in self._events:
            if self._ready(wait, now):
                wait.left -= 1
                wait.since, wait.ceased = None, False
                if not wait.left:
                    self._events.remove(wait)
                self._begin(wait.step, now)
                return True
        return False

    def _ready(self, wait: _Wait, now: Snapshot) -> bool:
        step = wait.step
        if not wait.armed:
            assert step.armed_by is not None
            wait.armed = holds(step.armed_by, now, self.name, self.begun)
            if not wait.armed:
                return False
        if not wait.ceased:
            running = any(run.step is step for run in (*self._beside, *self._current()))
            over = not running or self._log.get(step.name or "") == "done"
            wait.ceased = over and not (step.when is not None and holds(step.when, now, self.name, self.begun))
            return False
        if wait.since is None:
            if not (holds(step.when, now, self.name, self.begun) if step.when is not None else self._done(now)):
                return False
            wait.since = now.time
        return now.time - wait.since >= step.delay - 1e-6

    def _current(self) -> list[_Run]:
        return [_Run(self.step, self.begun, self.begun_at)] if self.step is not None else []

    def _begin(self, step: Step, now: Snapshot) -> None:
        runs = [*self._beside, *self._current()]
        self._beside = [run for run in runs if run.beside(step)]
        for run in runs:
            if run.step.name is not None and run not in self._beside:
                self._log[run.step.name] = "done"  # or given up for this one
        if step.name is not None:
            self._log[step.name] = "begun"
        self.step = step
        self.begun, self.begun_at = now.time, now.states[self.name].travelled
        if _CONTROLLED.get(step.chosen()[0]) != "speed":
            self.progress = None

    def _done(self, now: Snapshot) -> bool:
        return all(self._over(run, now) for run in self._current())

    def _over(self, run: _Run, now: Snapshot) -> bool:
        step, me = run.step, now.states[self.name]
        metres = me.travelled - run.begun_at
        if step.chosen()[0] in _AT_ONCE:
            return True
        over = step.change_lane or step.shift
        if over is not None:
            return metres >= over.length if over.over is None else now.time - run.begun >= over.over - 1e-6
        if step.cross is not None:
            return metres >= step.cross.distance
        if step.follow_trajectory is not None:
            return now.time >= step.follow_trajectory.points[-1][0] - 1e-6
        if step.stop is not None:
            return me.speed < STANDING and min(me.stood, now.time - run.begun) >= step.stop.hold - 1e-6
        if _exact(step):
            return self.reached
        return self.progress is not None and self.progress.done

    def _counts_as_done(self, run: _Run, now: Snapshot) -> bool:
        """Whether a named step counts as done, also one that goes on."""
        step = run.step
        if step.done_after is not None:
            return now.time - run.begun >= step.done_after - 1e-6
        if step.done_within is not None:
            return now.states[self.name].travelled - run.begun_at >= step.done_within
        if self._over(run, now):
            return True
        follow = step.follow_lane
        return follow is not None and abs(now.states[self.name].speed - follow.speed) < REACHED


class VehicleDriver:
    """Drives one vehicle by its script.

    ``actor``: its ``carla.Vehicle``; ``town``: the map; ``spec``: what the scenario says of it; ``start``: the lane it
    begins on; ``seed``: of turns at junctions; ``guide`` resolves places.
    """

    def __init__(
        self,
        actor: Any,
        town: carla.Map,
        script: Script,
        spec: EgoSpec | ActorSpec,
        start: carla.Waypoint,
        seed: int,
        guide: RouteResolver,
    ) -> None:
        spawn, extent = spec.spawn, actor.bounding_box.extent
        wheelbase, lock = 1.2 * extent.x, radians(40.0)
        with contextlib.suppress(RuntimeError):  # this server does not provide it
            lock = radians(max(wheel.max_steer_angle for wheel in actor.get_physics_control().wheels)) or lock
        self.actor, self.script = actor, script
        self._pilot = Autopilot(town, extent.x, extent.y, wheelbase, lock, seed, max(spawn.speed, 1.0))
        self._pilot.turn = "straight"
        if spawn.x is None:  # beside its lane another one may be nearer
            self._pilot.follow([(start, start.transform.location.x, start.transform.location.y)])
        self._heed = True
        self._parked = not spawn.speed  # no step has set it in motion yet
        self._guide = guide
        self._wanted: Step | None = None  # a change of the path, but there is no path or no such lane yet
        self._pace: SpeedProfile | None = None  # of an exactly set speed
        self._aside: KeepAside | None = None  # a lateral distance to another actor that is being kept
        self._rails = spec.rails
        self._tyres: Any = None  # its physics as they were, while its tyres hold nothing
        self._across = spawn.across  # m to the right of the lane's middle, as last commanded

    def control(
        self, now: Snapshot, bodies: Sequence[RoadUser], halts: Sequence[Halt], delta: float
    ) -> carla.VehicleControl:
        """Pedals for this tick; ``bodies`` are all others."""
        script = self.script
        me = now.states[script.name]
        while script.advance(now):
            self._begin(now)
        step = script.step
        if self._aside is not None:
            self._keep_aside(self._aside, now)
        if script.progress is not None:
            script.progress.update(me.x, me.y)
        if step is not None and step.controls is not None:
            return _scripted(step.controls, now.time - script.begun)
        if step is not None and step.follow_trajectory is not None:
            return self._along(pose_at(step.follow_trajectory, now.time + delta), me, delta)
        if self._wanted is not None:
            if self._wanted is step:
                script.begun, script.begun_at = now.time, me.travelled  # it counts from where there is such a lane
            if self._change_path(self._wanted, now):
                self._wanted = None
        if self._pace is None and self._tyres is not None:
            self.actor.apply_physics_control(self._tyres)
            self._tyres = None
        if self._parked:
            return carla.VehicleControl(hand_brake=True, brake=1.0)
        heed = self._heed and self._pace is None
        forward = me.vx * cos(me.yaw) + me.vy * sin(me.yaw)
        pedals = self._pilot.drive(
            me.x, me.y, me.z, me.yaw, forward, bodies if heed else (), halts if heed else (), delta
        )
        if self._pace is not None:
            return self._exactly(self._pace, pedals.steer, now, delta)
        if step is not None and step.stop is not None:
            brake = min(step.stop.deceleration / FULL_BRAKING, 1.0) if me.speed > STANDING else 0.6
            return carla.VehicleControl(0.0, pedals.steer, max(brake, pedals.brake))
        return carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake)

    def _begin(self, now: Snapshot) -> None:
        script, step = self.script, self.script.step
        assert step is not None
        me = now.states[script.name]
        if at_once(step, self.actor, self._guide):
            if step.teleport is not None:
                self._pilot.reset()
                speed = self._pace.speed if self._pace is not None else me.speed
                forward = self._guide.teleport(step).get_forward_vector()
                self.actor.set_target_velocity(carla.Vector3D(speed * forward.x, speed * forward.y, 0.0))
            return
        if _CONTROLLED.get(step.chosen()[0]) != "speed":
            self._aside = step.keep_aside
        if step.keep_aside is not None:
            return
        if _exact(step):
            self._pace = speed_profile(step, script.name, now, self._pace, self._guide)
            script.reached = False
            self._parked = False
            return
        if (follow := step.follow_lane) is not None:
            self._pace, self._parked = None, follow.speed == 0.0
            self._pilot.cruise, self._pilot.turn, self._heed = max(follow.speed, 0.1), follow.turn, follow.heed
        elif (way := step.follow_route) is not None:
            points = self._guide.route(step, me)
            self._pilot.follow((point.way, point.x, point.y) for point in points)
            script.progress = RouteProgress(points)
            if way.speed is not None:
                self._pace, self._parked = None, way.speed == 0.0
                self._pilot.cruise, self._heed = max(way.speed, 0.1), way.heed
        elif step.follow_path is not None:
            corners, _ = self._guide.path(step, now)
            points = self._guide.points(corners)
            self._pilot.follow((point.way, point.x, point.y) for point in points)
            script.progress = RouteProgress(points)
            self._pace = speed_profile(step, script.name, now, self._pace, self._guide) or self._pace
            self._parked = self._parked and self._pace is None
        elif step.change_lane is None and step.shift is None:
            self._pace, self._parked = None, False
        self._wanted = step if step.change_lane is not None or step.shift is not None else None

    def _change_path(self, step: Step, now: Snapshot) -> bool:
        wanted_over = step.change_lane or step.shift
        assert wanted_over is not None
        length = wanted_over.length
        if wanted_over.over is not None:
            speed = self._pace.speed if self._pace is not None else now.states[self.script.name].speed
            length = max(wanted_over.over * speed, SHORTEST)
        if step.shift is not None:
            self._across = step.shift.across
            return self._pilot.shift(step.shift.across, length)
        change = step.change_lane
        assert change is not None
        if change.side is not None:
            lanes = (change.lanes or 1) * (1 if change.side == "right" else -1)
        else:
            wanted = change.lane
            if change.beside is not None:
                other = now.states[change.beside]
                wanted = self._guide.lane_of(other, change.lanes or 0)
            assert wanted is not None
            lanes = self._pilot.lanes_to(wanted)
        return self._pilot.change_lane(lanes, length, change.oncoming)

    def _keep_aside(self, spec: KeepAside, now: Snapshot) -> None:
        """Shift within the lane so that the lateral distance to the other actor is as set."""
        me, other = now.states[self.script.name], now.states[spec.to]
        _, aside = me.ahead(other)
        wanted = spec.metres + (me.half_width + other.half_width if spec.outlines else 0.0)
        left = aside >= 0.0 if spec.side is None else spec.side == "left"
        wrong = aside - (wanted if left else -wanted)  # m to the right that it must go
        if abs(wrong) > ASIDE:
            self._across = min(max(self._across + wrong, -30.0), 30.0)
            self._pilot.shift(self._across, max(SHORTEST, me.speed))

    def _exactly(self, pace: SpeedProfile, steer: float, now: Snapshot, delta: float) -> carla.VehicleControl:
        """Give the vehicle exactly the set speed; its pedals only serve the lamps and the steering."""
        me = now.states[self.script.name]
        before = pace.speed
        speed = pace.at(now, delta)
        self.script.reached = pace.reached
        if speed < -BACKWARDS:
            self.actor.set_target_velocity(carla.Vector3D(speed * cos(me.yaw), speed * sin(me.yaw), 0.0))
            return carla.VehicleControl(0.0, 0.0, 0.0, False, True)
        gap = self._pilot.remaining - me.half_length  # the drive ends where the road does
        speed = min(speed, sqrt(2.0 * FULL_BRAKING * max(gap, 0.0)))
        if speed < 0.02:
            self.actor.set_target_velocity(carla.Vector3D(0.0, 0.0, 0.0))
            return carla.VehicleControl(0.0, steer, 1.0)
        if self._rails and (ahead := self._pilot.ahead(me.x, me.y, max(speed * delta, SIGHT))) is not None:
            self._keep_to(ahead, speed, me, delta)
            return carla.VehicleControl(0.0, 0.0, BRAKE_LAMP if speed < before - 0.5 * delta else 0.0)
        # Tyres slip in bends: the direction of the motion stays as it is.
        x, y = (me.vx / me.speed, me.vy / me.speed) if me.speed > 1.0 else (cos(me.yaw), sin(me.yaw))
        self.actor.set_target_velocity(carla.Vector3D(speed * x, speed * y, 0.0))
        return carla.VehicleControl(0.0, steer, BRAKE_LAMP if speed < before - 0.5 * delta else 0.0)

    def _along(self, pose: tuple[float, float, float], me: ActorState, delta: float) -> carla.VehicleControl:
        """Be at a pose (m, m, heading in radians) after this tick; pedals only serve the lamps."""
        x, y, yaw = pose
        dx, dy = x - me.x, y - me.y
        speed = hypot(dx, dy) / delta
        self._parked = False
        self._keep_to(pose, speed, me, delta)
        backwards = dx * cos(yaw) + dy * sin(yaw) < -BACKWARDS * delta
        slower = speed < me.speed - 0.5 * delta or speed < STANDING
        return carla.VehicleControl(0.0, 0.0, BRAKE_LAMP if slower else 0.0, False, backwards)

    def _keep_to(self, ahead: tuple[float, float, float], speed: float, me: ActorState, delta: float) -> None:
        """Go on to a place of the path (m, m, heading in radians) at ``speed`` m/s, turned as the path is."""
        if self._tyres is None:  # such that hold nothing leave velocities as they are set
            self._tyres, physics = self.actor.get_physics_control(), self.actor.get_physics_control()
            wheels = physics.wheels
            for wheel in wheels:
                wheel.tire_friction = 0.0
            physics.wheels, physics.drag_coefficient = wheels, 0.0
            self.actor.apply_physics_control(physics)
        x, y, heading = ahead
        way = atan2(y - me.y, x - me.x)
        turn = (heading - me.yaw + pi) % (2.0 * pi) - pi
        self.actor.set_target_velocity(carla.Vector3D(speed * cos(way), speed * sin(way), 0.0))
        self.actor.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, degrees(turn) / max(delta, 1e-3)))


class WalkerDriver:
    """Controls one walker by its script. ``towards``: direction across the road, yaw in radians; ``rails``: of the
    scenario."""

    def __init__(self, actor: Any, script: Script, towards: float, guide: RouteResolver, rails: bool = False) -> None:
        self.actor, self.script = actor, script
        self._over_road = towards
        self._goes_on = rails  # where a path ends
        self._guide = guide
        self._pace: SpeedProfile | None = None
        self._corners: list[tuple[float, float]] = []  # still to be walked to
        self._last = (0.0, 0.0)  # the corner before them

    def control(self, now: Snapshot, delta: float) -> carla.WalkerControl:
        """Where to walk in this tick."""
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
            towards = self._over_road if cross.yaw is None else radians(cross.yaw)
            return carla.WalkerControl(_direction(towards), cross.speed, False)
        if cross is not None or self._pace is None:
            return carla.WalkerControl(_direction(self._over_road), 0.0, False)
        if step is not None and step.stop is not None:
            return carla.WalkerControl(_direction(me.yaw), 0.0, False)
        speed = self._pace.at(now, delta)
        script.reached = self._pace.reached
        if script.progress is None:
            return carla.WalkerControl(_direction(me.yaw), speed, False)
        script.progress.update(me.x, me.y)
        while self._corners and self._passed(me):
            self._last = self._corners.pop(0)
        if not self._corners:
            return carla.WalkerControl(_direction(me.yaw), speed if self._goes_on else 0.0, False)
        x, y = self._corners[0]
        return carla.WalkerControl(_direction(atan2(y - me.y, x - me.x)), speed, False)

    def _passed(self, me: ActorState) -> bool:
        """Whether the next corner is reached, or lies behind."""
        (x, y), (x0, y0) = self._corners[0], self._last
        return (x - me.x) * (x - x0) + (y - me.y) * (y - y0) <= CORNER * hypot(x - x0, y - y0)

    def _begin(self, now: Snapshot) -> None:
        script, step = self.script, self.script.step
        assert step is not None
        if at_once(step, self.actor, self._guide):
            return
        script.reached = False
        if step.follow_path is not None:
            corners, _ = self._guide.path(step, now)
            self._corners, self._last = corners, (now.states[script.name].x, now.states[script.name].y)
            script.progress = RouteProgress(self._guide.points(corners))
        if step.follow_path is not None or _exact(step):
            self._pace = speed_profile(step, script.name, now, self._pace, self._guide) or self._pace


class Thing:
    """Something that stands where it is put: only its script's places and marks mean something to it."""

    def __init__(self, actor: Any, script: Script, guide: RouteResolver) -> None:
        self.actor, self.script, self._guide = actor, script, guide

    def update(self, now: Snapshot) -> None:
        """Before a tick: put it where it is to be."""
        while self.script.advance(now):
            assert self.script.step is not None
            at_once(self.script.step, self.actor, self._guide)


def at_once(step: Step, actor: Any, guide: RouteResolver) -> bool:
    """Do what takes no time; whether it was such a step."""
    if step.teleport is not None:
        actor.set_transform(guide.teleport(step))
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
        guide.signals.hold(step.set_light.signal, step.set_light.state)
    return step.chosen()[0] in _AT_ONCE


def _exact(step: Step) -> bool:
    return _CONTROLLED.get(step.chosen()[0]) == "speed"


def _direction(yaw: float) -> carla.Vector3D:
    return carla.Vector3D(cos(yaw), sin(yaw), 0.0)


def road_user(state: ActorState, walks: bool = False) -> RoadUser:
    """An actor as a road user for the others' autopilots."""
    return RoadUser(state.x, state.y, state.yaw, state.half_length, state.half_width, state.vx, state.vy, walks)


def _scripted(points: Sequence[ControlPoint], since: float) -> carla.VehicleControl:
    passed = [point for point in points if point.at <= since + 1e-6]
    if not passed:
        return carla.VehicleControl()
    at = passed[-1]
    return carla.VehicleControl(at.throttle, at.steer, at.brake, at.hand_brake, at.reverse)
