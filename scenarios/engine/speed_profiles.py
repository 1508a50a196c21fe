"""Speed profiles: ramps, another actor's speed, timed paths, rendezvous, kept distances."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import cos, hypot, pi
from typing import Protocol

from scenarios.engine.routes import Approach, RouteResolver
from scenarios.engine.snapshot import STANDING, ActorState, Snapshot
from scenarios.language.actions import KeepDistance, Meet, SetSpeed, SpeedAt
from scenarios.language.schema import Step

FASTEST = 60.0  # m/s
MAX_ACCELERATION = 6.0  # m/s^2, of a rendezvous
TOLERANCE = 1.0  # m from a place or distance within which it counts as reached
SPRING = 0.8  # 1/s, natural frequency of a kept distance
CATCH_UP = 1.0  # 1/s, rate at which a lag behind the times of a path is made up


class SpeedProfile(Protocol):
    """A speed over time: ``speed`` at the last tick in m/s, and whether the target is ``reached``."""

    speed: float
    reached: bool

    def at(self, now: Snapshot, delta: float) -> float:
        """Return the speed, m/s, for the tick of ``delta`` seconds that begins now; call it once per tick."""


class SpeedRamp:
    """A ramp to a speed, or to another actor's speed."""

    def __init__(self, spec: SetSpeed, now: Snapshot, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._spec, self._before, self._begun = spec, speed, now.time
        self._target = self._target_speed(now)
        change = abs(self._target - speed)
        self._seconds = 0.0
        if spec.over is not None:
            self._seconds = spec.over
        elif spec.rate is not None:
            limit = spec.most if spec.most is not None and self._target > speed else spec.rate
            self._seconds = change / min(spec.rate, limit)
        elif spec.within is not None:
            self._seconds = 2.0 * spec.within / max(self._target + speed, 0.1)
        if not self._seconds:
            self.speed = self._target

    def _target_speed(self, now: Snapshot) -> float:
        spec = self._spec
        if spec.speed is not None:
            return spec.speed
        assert spec.beside is not None
        times = 1.0 if spec.times is None else spec.times
        return min(max(times * now.states[spec.beside].speed + (spec.plus or 0.0), 0.0), FASTEST)

    def at(self, now: Snapshot, delta: float) -> float:
        """See ``SpeedProfile``."""
        if self._spec.keep:
            self._target = self._target_speed(now)
        elapsed = now.time + delta - self._begun
        t = min(elapsed / self._seconds, 1.0) if self._seconds > 0.0 else 1.0
        self.reached = t >= 1.0 and now.time > self._begun
        if self._spec.smooth:
            t = 0.5 - 0.5 * cos(pi * t)
        self.speed = self._before + t * (self._target - self._before)
        return self.speed


class TimedPath:
    """A speed that reaches a path's corners at given times.

    Args:
        name: Of the actor.
        corners: Metres.
        times: Seconds since the step began.
        now: This tick.
        speed: At the beginning, m/s.
    """

    def __init__(
        self, name: str, corners: list[tuple[float, float]], times: list[float], now: Snapshot, speed: float
    ) -> None:
        self.speed, self.reached = speed, False
        self._name, self._times, self._begun = name, times, now.time
        self._metres = [0.0]
        for (x0, y0), (x1, y1) in pairwise(corners):
            self._metres.append(self._metres[-1] + hypot(x1 - x0, y1 - y0))
        me = now.states[name]
        self._from = me.travelled + hypot(corners[0][0] - me.x, corners[0][1] - me.y)

    def at(self, now: Snapshot, delta: float) -> float:
        """See ``SpeedProfile``."""
        time = now.time + delta - self._begun
        if time < self._times[0]:
            return self.speed
        k = min(bisect_right(self._times, time), len(self._times) - 1)
        slope = (self._metres[k] - self._metres[k - 1]) / (self._times[k] - self._times[k - 1])
        due = self._metres[k - 1] + slope * (time - self._times[k - 1])
        self.reached = time >= self._times[-1]
        if not self.reached:
            lag = due - slope * delta - (now.states[self._name].travelled - self._from)
            self.speed = min(max(slope + CATCH_UP * lag, 0.0), FASTEST)
        return self.speed


class Profile:
    """A sequence of speeds, each reached linearly."""

    def __init__(self, targets: Sequence[SpeedAt], now: Snapshot, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._begun = now.time
        self._times = list(accumulate((each.over for each in targets), initial=0.0))
        self._speeds = [speed, *(each.speed for each in targets)]

    def at(self, now: Snapshot, delta: float) -> float:
        """See ``SpeedProfile``."""
        time = now.time + delta - self._begun
        k = min(bisect_right(self._times, time), len(self._times) - 1)
        span = self._times[k] - self._times[k - 1]
        t = min(max((time - self._times[k - 1]) / span, 0.0), 1.0) if span else 1.0
        self.speed = self._speeds[k - 1] + t * (self._speeds[k] - self._speeds[k - 1])
        self.reached = time >= self._times[-1]
        return self.speed


class Rendezvous:
    """A speed that reaches a place at the moment when another actor reaches its own place.

    With t seconds left for d metres it is the initial speed of a constant acceleration: (v + v_end) / 2 t = d.

    Args:
        name: Of the actor.
        spec: The step.
        approach: The actor's.
        other_approach: The other actor's.
        speed: At the beginning, m/s.
    """

    def __init__(self, name: str, spec: Meet, approach: Approach, other_approach: Approach, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._name, self._spec, self._approach, self._other_approach = name, spec, approach, other_approach

    def at(self, now: Snapshot, delta: float) -> float:
        """See ``SpeedProfile``."""
        spec, other = self._spec, now.states[self._spec.other]
        end = spec.speed if spec.plus is None else max(other.speed + spec.plus, 0.0)
        remaining = self._approach.remaining(now.states[self._name])
        other_remaining = self._other_approach.remaining(other)
        self.reached = self.reached or remaining < TOLERANCE or other_remaining < TOLERANCE
        if self.reached:
            target = self.speed if end is None else end
        elif other.speed < STANDING:
            return self.speed
        else:
            mean = remaining * other.speed / other_remaining
            target = mean if end is None else 2.0 * mean - end
        max_change = MAX_ACCELERATION * delta
        self.speed = min(max(target, self.speed - max_change, 0.0), self.speed + max_change, FASTEST)
        return self.speed


class DistanceKeeper:
    """A speed that keeps a distance to another actor, by a critically damped spring to it."""

    def __init__(self, name: str, spec: KeepDistance, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._name, self._spec = name, spec

    def at(self, now: Snapshot, delta: float) -> float:
        """See ``SpeedProfile``."""
        spec, me, other = self._spec, now.states[self._name], now.states[self._spec.to]
        if self.reached and spec.once:
            return self.speed
        excess = distance_excess(spec, me, other, self.speed)
        push = SPRING**2 * excess + 2.0 * SPRING * (other.speed - self.speed)
        self.reached = self.reached or abs(excess) < TOLERANCE
        speed = self.speed + min(max(push, -spec.deceleration), spec.acceleration) * delta
        self.speed = min(max(speed, 0.0), spec.most)
        return self.speed


def distance_excess(spec: KeepDistance, me: ActorState, other: ActorState, speed: float) -> float:
    """Return how far an actor has to move forwards to be at the distance to the other one, m.

    ``speed``: its own, m/s.
    """
    ahead = me.ahead(other)[0]
    is_behind = ahead >= 0.0 if spec.side == "nearest" else spec.side == "behind"
    distance = spec.metres if spec.metres is not None else (spec.seconds or 0.0) * (speed if is_behind else other.speed)
    if spec.outlines:
        distance += me.half_length + other.half_length
    return ahead - (distance if is_behind else -distance)


def speed_profile(
    step: Step, name: str, now: Snapshot, before: SpeedProfile | None, resolver: RouteResolver
) -> SpeedProfile | None:
    """Return the speed profile that a step defines, None if it defines none.

    Args:
        step: The step that begins.
        name: Of the actor.
        now: This tick.
        before: The actor's profile so far.
        resolver: Resolves places.
    """
    me: ActorState = now.states[name]
    speed = before.speed if before is not None else me.speed
    if step.set_speed is not None:
        return SpeedRamp(step.set_speed, now, speed)
    if (meet := step.meet) is not None:
        approach = resolver.approach(meet.at, me)
        other_approach = resolver.approach(meet.there, now.states[meet.other])
        return Rendezvous(name, meet, approach, other_approach, speed)
    if step.speeds is not None:
        return Profile(step.speeds, now, speed)
    if step.keep_distance is not None:
        return DistanceKeeper(name, step.keep_distance, speed)
    if step.follow_path is not None:
        corners, times = resolver.path(step, now)
        if times:
            return TimedPath(name, corners, times, now, speed)
        if step.follow_path.speed is not None:
            return SpeedRamp(SetSpeed(speed=step.follow_path.speed), now, speed)
    return None
