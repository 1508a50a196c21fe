"""Walkers and static props that execute their scripts."""

from math import atan2, cos, degrees, hypot, radians, sin
from typing import Any

from bridge.carla_library import carla
from scenarios.engine.instant_steps import perform_instant
from scenarios.engine.road import RouteProgress
from scenarios.engine.routes import RouteResolver
from scenarios.engine.script import Script, sets_speed
from scenarios.engine.snapshot import STANDING, ActorState, Snapshot
from scenarios.engine.speed_profiles import SpeedProfile, speed_profile
from scenarios.engine.trajectories import pose_at
from scenarios.language.actions import Cross

CORNER = 0.1  # m from a corner of a path at which a walker turns to the next


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
        if step.follow_path is not None or sets_speed(step):
            self._profile = speed_profile(step, script.name, now, self._profile, self._resolver) or self._profile


class PropDriver(WalkerDriver):
    """Moves one static prop by its script, at the height at which it stands."""

    def move(self, now: Snapshot, delta: float) -> None:
        """Put it where it is after this tick."""
        control = self.control(now, delta)
        if control.speed:
            way, metres = control.direction, control.speed * delta
            at = self.actor.get_location() + carla.Location(way.x * metres, way.y * metres, 0.0)
            self.actor.set_transform(carla.Transform(at, carla.Rotation(yaw=degrees(atan2(way.y, way.x)))))


def _direction(yaw: float) -> carla.Vector3D:
    return carla.Vector3D(cos(yaw), sin(yaw), 0.0)
