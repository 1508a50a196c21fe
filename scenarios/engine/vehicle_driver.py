"""Vehicles that execute their scripts: with the autopilot, at exactly set speeds, or on rails."""

from collections.abc import Sequence
from math import atan2, cos, degrees, hypot, pi, sin, sqrt
from typing import Any

from bridge.carla_client.routing.autopilot import Autopilot, Halt, RoadUser
from bridge.carla_client.vehicle_geometry import VehicleGeometry, read_physics
from bridge.carla_library import carla
from scenarios.engine.instant_steps import perform_instant
from scenarios.engine.road import RouteProgress
from scenarios.engine.routes import RouteResolver
from scenarios.engine.script import Script, sets_speed
from scenarios.engine.snapshot import STANDING, ActorState, Snapshot
from scenarios.engine.speed_profiles import SpeedProfile, distance_excess, speed_profile
from scenarios.engine.trajectories import pose_at
from scenarios.language.actions import ControlPoint, KeepAside
from scenarios.language.schema import ActorSpec, EgoSpec, Step

FULL_BRAKING = 8.5  # m/s^2 at full brake pedal on dry asphalt
BRAKE_LAMP = 0.03  # brake pedal position that turns the brake lights on
MIN_LANE_CHANGE = 6.0  # m
LATERAL_TOLERANCE = 0.1  # m, of a kept lateral distance
MIN_LOOKAHEAD = 2.0  # m, of an actor on rails that returns to its path from the side
BACKWARDS = 0.02  # m/s


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
                self._put(self._resolver.teleport(step), self._profile.speed if self._profile is not None else me.speed)
            return
        if (keep := step.keep_distance) is not None and keep.at_once:
            speed = self._profile.speed if self._profile is not None else me.speed
            place = self._resolver.moved(me, distance_excess(keep, me, now.states[keep.to], speed))
            if place is not None:
                self._put(place, speed)
            if keep.once:
                script.reached = True
                return
        if not sets_speed(step):
            self._kept_aside = step.keep_aside
        if step.keep_aside is not None:
            return
        if sets_speed(step):
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

    def _put(self, place: carla.Transform, speed: float) -> None:
        """Continue from another place with a speed, m/s."""
        self.actor.set_transform(place)
        self._pilot.reset()
        forward = place.get_forward_vector()
        self.actor.set_target_velocity(carla.Vector3D(speed * forward.x, speed * forward.y, 0.0))

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


def road_user(state: ActorState, walks: bool = False) -> RoadUser:
    """Return an actor as a road user for the others' autopilots."""
    return RoadUser(state.x, state.y, state.yaw, state.half_length, state.half_width, state.vx, state.vy, walks)


def _scripted_pedals(points: Sequence[ControlPoint], since: float) -> carla.VehicleControl:
    passed = [point for point in points if point.at <= since + 1e-6]
    if not passed:
        return carla.VehicleControl()
    at = passed[-1]
    return carla.VehicleControl(at.throttle, at.steer, at.brake, at.hand_brake, at.reverse)
