"""What a report shows of a recording besides its images, gathered frame by frame while it is recorded."""

import json
from collections.abc import Sequence
from math import degrees
from typing import Any, NamedTuple

from bridge.messages import Chart, Frame
from scenarios.engine.assertion_monitor import AssertionMonitor
from scenarios.engine.snapshot import ActorState, CollisionRecord, Invasion, Snapshot
from scenarios.language.assertions import Assertion


class Event(NamedTuple):
    """Something that happened, ``time`` seconds after the first frame."""

    time: float
    text: str


class AssertionLine(NamedTuple):
    """One assertion over time: whether it held from each of ``changes`` (s since the first frame) on."""

    name: str
    of: str
    changes: list[tuple[float, bool]]


class Track:
    """Times, speed, pedals, places of actors, events and assertions of one drive.

    Times are seconds since the first frame, places CARLA's x and y in metres, speeds m/s along the vehicle.
    """

    def __init__(self, assertions: Sequence[Assertion]) -> None:
        self.times: list[float] = []
        self.speed: list[float] = []
        self.throttle: list[float] = []
        self.brake: list[float] = []
        self.steer: list[float] = []
        self.actors: dict[str, list[tuple[float, float, float] | None]] = {}  # x, y, yaw in degrees, frame by frame
        self.collisions: list[Event] = []
        self.invasions: list[Event] = []
        self.chart: Chart | None = None
        self.weather = ""
        self._touches: list[CollisionRecord] = []
        self._crossed: list[Invasion] = []
        self._monitors = [AssertionMonitor(each) for each in assertions]
        self.assertions = [AssertionLine(each.kind, each.of, []) for each in self._monitors]
        self._begin = 0.0

    def add(self, frame: Frame) -> None:
        """Add a frame of the first camera."""
        if not self.times:
            self._begin = frame.sim_time
        now, ego = frame.sim_time - self._begin, frame.ego
        self.times.append(now)
        for values, value in zip(
            (self.speed, self.throttle, self.brake, self.steer),
            (ego.speed, ego.throttle, ego.brake, ego.steer),
            strict=True,
        ):
            values.append(float(value))
        self.chart = self.chart if frame.chart is None else frame.chart
        self.weather = frame.weather_name or self.weather
        if frame.play:
            self._add_play(now, json.loads(frame.play))

    def _add_play(self, now: float, message: dict[str, Any]) -> None:
        states = {name: ActorState(*numbers) for name, numbers in message["actors"].items()}
        for name, state in states.items():
            places = self.actors.setdefault(name, [])
            places += [None] * (len(self.times) - 1 - len(places))
            places.append((round(state.x, 2), round(state.y, 2), round(degrees(state.yaw), 1)))
        for each in message["collisions"]:
            self._touches.append(CollisionRecord(each["time"], each["of"], each["with"]))
            self.collisions.append(Event(now, f"{each['of']} with {each['with']}"))
        for each in message["lane_invasions"]:
            self._crossed.append(Invasion(each["time"], each["side"], each["marking"]))
            self.invasions.append(Event(now, f"{each['marking']}, {each['side']}"))
        route = tuple(message["route"]) if message["route"] else None
        snapshot = Snapshot(message["time"], states, self._touches, lambda _: -1, self._crossed, route)
        for monitor, line in zip(self._monitors, self.assertions, strict=True):
            monitor.watch(snapshot)
            holds = bool(monitor.result()["passed"])
            if not line.changes or line.changes[-1][1] != holds:
                line.changes.append((now, holds))
