"""Speeds that are told exactly: ramps, somebody else's speed, times along a path, meeting somebody somewhere."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from math import cos, hypot, pi
from typing import Protocol

from scenarios.engine.routes import Guide, Way
from scenarios.engine.snapshot import STANDING, Moment, State
from scenarios.language.schema import KeepDistance, Meet, SetSpeed, Step

FASTEST = 60.0  # m/s
HARDEST = 6.0  # m/s^2, to meet somebody
MET = 1.0  # m from a place that count as there
SPRING = 0.8  # 1/s, of a kept distance
CATCH_UP = 1.0  # 1/s: how fast a lag behind the times of a path is made good


class Pace(Protocol):
    """A speed over time: ``speed`` of the last tick in m/s, and whether what was wanted is ``reached``."""

    speed: float
    reached: bool

    def at(self, now: Moment, delta: float) -> float:
        """m/s for the tick of ``delta`` seconds that begins now; to be asked once a tick."""


class Ramp:
    """To a speed, or to that of somebody else."""

    def __init__(self, told: SetSpeed, now: Moment, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._told, self._before, self._begun = told, speed, now.time
        self._target = self._wanted(now)
        change = abs(self._target - speed)
        self._seconds = 0.0
        if told.over is not None:
            self._seconds = told.over
        elif told.rate is not None:
            self._seconds = change / told.rate
        elif told.within is not None:
            self._seconds = 2.0 * told.within / max(self._target + speed, 0.1)
        if not self._seconds:
            self.speed = self._target

    def _wanted(self, now: Moment) -> float:
        told = self._told
        if told.speed is not None:
            return told.speed
        assert told.beside is not None
        times = 1.0 if told.times is None else told.times
        return min(max(times * now.states[told.beside].speed + (told.plus or 0.0), 0.0), FASTEST)

    def at(self, now: Moment, delta: float) -> float:
        """See ``Pace``."""
        if self._told.keep:
            self._target = self._wanted(now)
        gone = now.time + delta - self._begun
        share = min(gone / self._seconds, 1.0) if self._seconds > 0.0 else 1.0
        self.reached = share >= 1.0 and now.time > self._begun
        if self._told.smooth:
            share = 0.5 - 0.5 * cos(pi * share)
        self.speed = self._before + share * (self._target - self._before)
        return self.speed


class Timed:
    """The times of a path's corners."""

    def __init__(
        self, name: str, corners: list[tuple[float, float]], times: list[float], now: Moment, speed: float
    ) -> None:
        self.speed, self.reached = speed, False
        self._name, self._times, self._begun = name, times, now.time
        self._metres = [0.0]
        for (x0, y0), (x1, y1) in pairwise(corners):
            self._metres.append(self._metres[-1] + hypot(x1 - x0, y1 - y0))
        me = now.states[name]
        self._from = me.travelled + hypot(corners[0][0] - me.x, corners[0][1] - me.y)

    def at(self, now: Moment, delta: float) -> float:
        """See ``Pace``."""
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


class Meeting:
    """Being at a place when somebody else is at another: with t seconds left for d metres, the speed now that leads
    there with a constant acceleration, (v + v_end) / 2 t = d."""

    def __init__(self, name: str, told: Meet, mine: Way, others: Way, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._name, self._told, self._mine, self._others = name, told, mine, others

    def at(self, now: Moment, delta: float) -> float:
        """See ``Pace``."""
        told, other = self._told, now.states[self._told.other]
        end = told.speed if told.plus is None else max(other.speed + told.plus, 0.0)
        left, theirs = self._mine.left(now.states[self._name]), self._others.left(other)
        self.reached = self.reached or left < MET or theirs < MET
        if self.reached:
            wanted = self.speed if end is None else end
        elif other.speed < STANDING:
            return self.speed
        else:
            mean = left * other.speed / theirs
            wanted = mean if end is None else 2.0 * mean - end
        most = HARDEST * delta
        self.speed = min(max(wanted, self.speed - most, 0.0), self.speed + most, FASTEST)
        return self.speed


class Following:
    """A distance to somebody ahead: a spring to it and a damper to their speed, critically damped."""

    def __init__(self, name: str, told: KeepDistance, speed: float) -> None:
        self.speed, self.reached = speed, False
        self._name, self._told = name, told

    def at(self, now: Moment, delta: float) -> float:
        """See ``Pace``."""
        told, me, other = self._told, now.states[self._name], now.states[self._told.to]
        apart = me.ahead(other)[0]
        if told.outlines:
            apart -= me.half_length + other.half_length
        wanted = told.metres if told.metres is not None else (told.seconds or 0.0) * self.speed
        push = SPRING**2 * (apart - wanted) + 2.0 * SPRING * (other.speed - self.speed)
        self.reached = self.reached or abs(apart - wanted) < MET
        speed = self.speed + min(max(push, -told.deceleration), told.acceleration) * delta
        self.speed = min(max(speed, 0.0), told.most)
        return self.speed


def pace_of(step: Step, name: str, now: Moment, before: Pace | None, guide: Guide) -> Pace | None:
    """The pace that a step of somebody asks for, None if none. ``before`` is what they had."""
    me: State = now.states[name]
    speed = before.speed if before is not None else me.speed
    if step.set_speed is not None:
        return Ramp(step.set_speed, now, speed)
    if (meet := step.meet) is not None:
        mine, others = guide.way_to(meet.at, me), guide.way_to(meet.there, now.states[meet.other])
        return Meeting(name, meet, mine, others, speed)
    if step.keep_distance is not None:
        return Following(name, step.keep_distance, speed)
    if step.follow_path is not None:
        corners, times = guide.path(step)
        if times:
            return Timed(name, corners, times, now, speed)
        if step.follow_path.speed is not None:
            return Ramp(SetSpeed(speed=step.follow_path.speed), now, speed)
    return None
