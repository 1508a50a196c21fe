"""Those who do what the steps say: vehicles along lanes, walkers across roads, pedals from a script."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import carla

from bridge.autopilot import Autopilot, Body, Halt
from scenarios.moment import STANDING, Moment, State, holds
from scenarios.road import Progress, RoutePoint
from scenarios.schema import ChangeLane, Cross, FollowLane, Pedals, Step

FULL_BRAKING = 8.5  # m/s^2 that a pedal pressed down gives on dry asphalt
REACHED = 0.5  # m/s from the wanted speed at which a named `follow_lane` counts as done


FindRoute = Callable[[Step, State], list[RoutePoint]]


@dataclass
class _Wait:
    """A step that has not begun: whether it is armed, and since when its conditions hold."""

    step: Step
    armed: bool
    since: float | None = None


class Script:
    """Which step an actor is at.

    The steps of ``do`` run in order; each waits for its ``when``, or for the one before to be done. Those of ``events``
    each begin once, as soon as their ``when`` holds. ``log`` is where named steps of all actors are noted.
    """

    def __init__(self, name: str, do: Sequence[Step], events: Sequence[Step], log: dict[str, str]) -> None:
        self.name = name
        self.step: Step | None = None
        self.begun = 0.0  # s
        self.begun_at = 0.0  # m travelled
        self.progress: Progress | None = None  # of a route that is being followed
        self._log = log
        self._waiting = [_Wait(step, step.armed_by is None) for step in do]
        self._events = [_Wait(step, step.armed_by is None) for step in events]

    def advance(self, now: Moment) -> bool:
        """Go on to another step if it is time; True if so."""
        name = self.step.name if self.step is not None else None
        if name is not None and self._log[name] == "begun" and self._reached(now):
            self._log[name] = "done"
        for wait in self._waiting[:1]:
            if self._ready(wait, now):
                self._waiting.pop(0)
                self._begin(wait.step, now)
                return True
        for wait in self._events:
            if self._ready(wait, now):
                self._events.remove(wait)
                self._begin(wait.step, now)
                return True
        return False

    def _ready(self, wait: _Wait, now: Moment) -> bool:
        step = wait.step
        if not wait.armed:
            assert step.armed_by is not None
            wait.armed = holds(step.armed_by, now, self.name, self.begun)
            if not wait.armed:
                return False
        if wait.since is None:
            if not (holds(step.when, now, self.name, self.begun) if step.when is not None else self._done(now)):
                return False
            wait.since = now.time
        return now.time - wait.since >= step.delay - 1e-6

    def _begin(self, step: Step, now: Moment) -> None:
        if self.step is not None and self.step.name is not None:
            self._log[self.step.name] = "done"  # or given up for this one
        if step.name is not None:
            self._log[step.name] = "begun"
        self.step = step
        self.begun, self.begun_at = now.time, now.states[self.name].travelled
        self.progress = None

    def _done(self, now: Moment) -> bool:
        step, me = self.step, now.states[self.name]
        if step is None:
            return True
        gone = me.travelled - self.begun_at
        if step.change_lane is not None:
            return gone >= step.change_lane.length
        if step.cross is not None:
            return gone >= step.cross.distance
        if step.stop is not None:
            return me.speed < STANDING and min(me.stood, now.time - self.begun) >= step.stop.hold - 1e-6
        return self.progress is not None and self.progress.done

    def _reached(self, now: Moment) -> bool:
        """Whether a named step counts as done, also one that goes on."""
        step = self.step
        assert step is not None
        if step.done_after is not None:
            return now.time - self.begun >= step.done_after - 1e-6
        if step.done_within is not None:
            return now.states[self.name].travelled - self.begun_at >= step.done_within
        if self._done(now):
            return True
        follow = step.follow_lane
        return follow is not None and abs(now.states[self.name].speed - follow.speed) < REACHED


class VehicleDriver:
    """Drives one vehicle by its script. ``actor`` is its ``carla.Vehicle``, ``route`` finds the way of a step."""

    def __init__(self, actor: Any, town: carla.Map, script: Script, speed: float, seed: int, route: FindRoute) -> None:
        extent = actor.bounding_box.extent
        wheelbase, lock = 1.2 * extent.x, radians(40.0)
        with contextlib.suppress(RuntimeError):  # this server does not tell
            lock = radians(max(wheel.max_steer_angle for wheel in actor.get_physics_control().wheels)) or lock
        self.actor, self.script = actor, script
        self._pilot = Autopilot(town, extent.x, extent.y, wheelbase, lock, seed, max(speed, 1.0))
        self._pilot.turn = "straight"
        self._heed = True
        self._parked = not speed  # nobody has told it to go yet
        self._find_route = route
        self._change: ChangeLane | None = None  # wanted, but there is no such lane yet

    def control(self, now: Moment, bodies: Sequence[Body], halts: Sequence[Halt], delta: float) -> carla.VehicleControl:
        """Pedals for this tick; ``bodies`` are all others."""
        script = self.script
        me = now.states[script.name]
        if script.advance(now):
            self._begin(script.step, me)
        step = script.step
        if script.progress is not None:
            script.progress.update(me.x, me.y)
        if step is not None and step.controls is not None:
            return _scripted(step.controls, now.time - script.begun)
        if self._change is not None:
            script.begun_at = me.travelled  # the metres of the change count from where there is a lane to go to
            if self._pilot.change_lane(self._change.side, self._change.length):
                self._change = None
        if self._parked:
            return carla.VehicleControl(hand_brake=True, brake=1.0)
        forward = me.vx * cos(me.yaw) + me.vy * sin(me.yaw)
        pedals = self._pilot.drive(
            me.x, me.y, me.z, me.yaw, forward, bodies if self._heed else (), halts if self._heed else (), delta
        )
        if step is not None and step.stop is not None:
            brake = min(step.stop.deceleration / FULL_BRAKING, 1.0) if me.speed > STANDING else 0.6
            return carla.VehicleControl(0.0, pedals.steer, max(brake, pedals.brake))
        return carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake)

    def _begin(self, step: Step | None, me: State) -> None:
        assert step is not None
        self._parked = False
        if isinstance(follow := step.follow_lane, FollowLane):
            self._parked = follow.speed == 0.0
            self._pilot.cruise, self._pilot.turn, self._heed = max(follow.speed, 0.1), follow.turn, follow.heed
        if (way := step.follow_route) is not None:
            points = self._find_route(step, me)
            self._pilot.cruise, self._heed = max(way.speed, 0.1), way.heed
            self._pilot.follow((point.way, point.x, point.y) for point in points)
            self.script.progress = Progress(points)
        self._change = step.change_lane


class WalkerDriver:
    """Leads one walker by its script. ``towards`` is the way over the road, yaw in radians."""

    def __init__(self, actor: Any, script: Script, towards: float) -> None:
        self.actor, self.script = actor, script
        self._over_road = towards

    def control(self, now: Moment) -> carla.WalkerControl:
        """Where to walk in this tick."""
        script = self.script
        script.advance(now)
        cross: Cross | None = script.step.cross if script.step is not None else None
        if cross is None or now.states[script.name].travelled - script.begun_at >= cross.distance:
            return carla.WalkerControl(_direction(self._over_road), 0.0, False)
        towards = self._over_road if cross.yaw is None else radians(cross.yaw)
        return carla.WalkerControl(_direction(towards), cross.speed, False)


def _direction(yaw: float) -> carla.Vector3D:
    return carla.Vector3D(cos(yaw), sin(yaw), 0.0)


def body(state: State, walks: bool = False) -> Body:
    """An actor as others heed it."""
    return Body(state.x, state.y, state.yaw, state.half_length, state.half_width, state.vx, state.vy, walks)


def _scripted(points: Sequence[Pedals], since: float) -> carla.VehicleControl:
    passed = [point for point in points if point.at <= since + 1e-6]
    if not passed:
        return carla.VehicleControl()
    at = passed[-1]
    return carla.VehicleControl(at.throttle, at.steer, at.brake, at.hand_brake, at.reverse)
