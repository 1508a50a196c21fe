"""Those who do what the steps say: vehicles along lanes, walkers across roads, pedals from a script."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from math import cos, radians, sin
from typing import Any

import carla

from bridge.autopilot import Autopilot, Body, Halt
from scenarios.moment import Moment, State, holds
from scenarios.schema import ChangeLane, Cross, FollowLane, Pedals, Step

FULL_BRAKING = 8.5  # m/s^2 that a pedal pressed down gives on dry asphalt
STANDING = 0.15  # m/s


class Script:
    """Which step an actor is at. Steps run in order; each waits for its ``when``, or for the one before to be done."""

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.step: Step | None = None
        self.begun = 0.0  # s
        self.begun_at = 0.0  # m travelled
        self.stood_since: float | None = None
        self._waiting = list(steps)

    def advance(self, now: Moment) -> bool:
        """Go on to the next step if it is time; True if so."""
        me = now.states[self.name]
        if me.speed >= STANDING:
            self.stood_since = None
        elif self.stood_since is None:
            self.stood_since = now.time
        if not self._waiting:
            return False
        when = self._waiting[0].when
        if not (holds(when, now, self.name, self.begun) if when is not None else self._done(now)):
            return False
        self.step = self._waiting.pop(0)
        self.begun, self.begun_at = now.time, me.travelled
        return True

    def _done(self, now: Moment) -> bool:
        step = self.step
        if step is None:
            return True
        gone = now.states[self.name].travelled - self.begun_at
        if step.change_lane is not None:
            return gone >= step.change_lane.length
        if step.cross is not None:
            return gone >= step.cross.distance
        if step.stop is not None:
            return self.stood_since is not None and now.time - max(self.stood_since, self.begun) >= step.stop.hold
        return False


class VehicleDriver:
    """Drives one vehicle by its script. ``actor`` is its ``carla.Vehicle``."""

    def __init__(self, actor: Any, town: carla.Map, script: Script, speed: float, seed: int) -> None:
        extent = actor.bounding_box.extent
        wheelbase, lock = 1.2 * extent.x, radians(40.0)
        with contextlib.suppress(RuntimeError):  # this server does not tell
            lock = radians(max(wheel.max_steer_angle for wheel in actor.get_physics_control().wheels)) or lock
        self.actor, self.script = actor, script
        self._pilot = Autopilot(town, extent.x, extent.y, wheelbase, lock, seed, max(speed, 1.0))
        self._pilot.turn = "straight"
        self._heed = True
        self._parked = not speed  # nobody has told it to go yet
        self._change: ChangeLane | None = None  # wanted, but there is no such lane yet

    def control(self, now: Moment, bodies: Sequence[Body], halts: Sequence[Halt], delta: float) -> carla.VehicleControl:
        """Pedals for this tick; ``bodies`` are all others."""
        script = self.script
        if script.advance(now):
            self._begin(script.step)
        step, me = script.step, now.states[script.name]
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

    def _begin(self, step: Step | None) -> None:
        assert step is not None
        self._parked = False
        if isinstance(follow := step.follow_lane, FollowLane):
            self._parked = follow.speed == 0.0
            self._pilot.cruise, self._pilot.turn, self._heed = max(follow.speed, 0.1), follow.turn, follow.heed
        self._change = step.change_lane


class WalkerDriver:
    """Leads one walker by its script. ``towards`` is the way over the road, yaw in radians."""

    def __init__(self, actor: Any, script: Script, towards: float) -> None:
        self.actor, self.script = actor, script
        self._towards = carla.Vector3D(cos(towards), sin(towards), 0.0)

    def control(self, now: Moment) -> carla.WalkerControl:
        """Where to walk in this tick."""
        script = self.script
        script.advance(now)
        cross: Cross | None = script.step.cross if script.step is not None else None
        if cross is None or now.states[script.name].travelled - script.begun_at >= cross.distance:
            return carla.WalkerControl(self._towards, 0.0, False)
        return carla.WalkerControl(self._towards, cross.speed, False)


def body(state: State, walks: bool = False) -> Body:
    """An actor as others heed it."""
    return Body(state.x, state.y, state.yaw, state.half_length, state.half_width, state.vx, state.vy, walks)


def _scripted(points: Sequence[Pedals], since: float) -> carla.VehicleControl:
    passed = [point for point in points if point.at <= since + 1e-6]
    if not passed:
        return carla.VehicleControl()
    at = passed[-1]
    return carla.VehicleControl(at.throttle, at.steer, at.brake, at.hand_brake, at.reverse)
