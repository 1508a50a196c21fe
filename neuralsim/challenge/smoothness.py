"""A score for driving smoothly and correctly, 0 to 100, with an explanation of each part."""

from dataclasses import dataclass, field
from math import atan2, cos, hypot, sin

import numpy as np

from bridge.messages import Chart, Frame, Lights
from bridge.weather import needs_headlamps

_JERK_BEST = 1.0  # m/s3, RMS of the jerk that gives 100 points
_JERK_WORST = 6.0  # m/s3, of that which gives none
_SMOOTHING = 0.25  # s, time constant of the accelerations whose change is the jerk
_OFF_CENTRE = 0.6  # m from the middle of the lane
_TOLERANCE = 1.05  # times the speed limit
_MOVING = 1.0  # m/s
_HALF = 0.5  # share of the time in the wrong that leaves no points
_RED_COST = 50.0  # points
_COLLISION_COST = 30.0  # points
_LEAST = 50.0  # m that have to be driven for a score
_JUMP = 10.0  # m between two frames: a respawn
_ALONG = 0.5  # least cosine between the heading and a lane that counts as its direction
_AWAY = 6.0  # m: further than this from every lane it is off the road
_WEIGHTS = {"smoothness": 0.3, "lane": 0.3, "speed": 0.2, "lights": 0.2}


class LaneFinder:
    """The distance of a vehicle from the middle of the nearest lane in its direction."""

    def __init__(self, chart: Chart) -> None:
        lines = [np.asarray(line, np.float64) for line in chart.lines if len(line) > 1]
        self._begins = np.concatenate([line[:-1] for line in lines] or [np.zeros((0, 2))])
        ways = np.concatenate([np.diff(line, axis=0) for line in lines] or [np.zeros((0, 2))])
        self._lengths = np.maximum(np.hypot(ways[:, 0], ways[:, 1]), 1e-6)
        self._ways = ways / self._lengths[:, None]

    def offset(self, x: float, y: float, yaw: float) -> float | None:
        """Return how far it is from that lane's middle, None off the road or against the traffic. Metres, radians."""
        away = np.array([x, y]) - self._begins
        along = (away * self._ways).sum(axis=1)
        aside = away[:, 1] * self._ways[:, 0] - away[:, 0] * self._ways[:, 1]
        beyond = np.maximum(np.maximum(-along, along - self._lengths), 0.0)
        distance = np.hypot(aside, beyond)
        distance[self._ways @ (cos(yaw), sin(yaw)) < _ALONG] = np.inf
        nearest = float(distance.min(initial=np.inf))
        return nearest if nearest < _AWAY else None


@dataclass(frozen=True)
class Part:
    """One part of a score."""

    name: str
    points: float  # 0 to 100
    why: str


@dataclass(frozen=True)
class Score:
    """The points of a drive, 0 to 100, and their parts; None where too little was driven."""

    points: float | None
    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        return "no score: too short" if self.points is None else f"{self.points:.0f} points"

    @property
    def lines(self) -> list[str]:
        """The parts, a line each."""
        return [f"{part.name}: {part.points:.0f}, {part.why}" for part in self.parts]


@dataclass
class SmoothDriving:
    """Judges a drive from its frames.

    ``distance`` m driven; ``seconds`` simulated; ``stood`` s of the longest stop; ``top`` m/s; ``reds`` red lights
    passed; ``collisions``.
    """

    distance: float = 0.0
    seconds: float = 0.0
    stood: float = 0.0
    top: float = 0.0
    reds: int = 0
    collisions: int = 0
    _jerk: float = 0.0  # sum of squares times seconds
    _moving: float = 0.0  # s
    _aside: float = 0.0  # s off the middle of the lane
    _known_lane: float = 0.0  # s
    _fast: float = 0.0  # s above the limit
    _known_limit: float = 0.0  # s
    _dark: float = 0.0  # s that need headlamps
    _unlit: float = 0.0  # s of these without them
    _standing: float = 0.0
    _last: Frame | None = None
    _acceleration: np.ndarray = field(default_factory=lambda: np.zeros(2))  # m/s2, along and across, smoothed
    _velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # m/s, world
    _settled: float = 0.0  # s since the accelerations are known
    _chart: Chart | None = None
    _lanes: LaneFinder | None = None

    def update(self, frame: Frame, chart: Chart | None) -> None:
        """Take the next frame, with the chart of the map where that is known."""
        if chart is not None and chart is not self._chart:
            self._chart, self._lanes = chart, LaneFinder(chart)
        last, self._last = self._last, frame
        if last is None:
            return
        step = frame.sim_time - last.sim_time
        moved = frame.ego.pose[:2, 3] - last.ego.pose[:2, 3]
        metres = hypot(float(moved[0]), float(moved[1]))
        if not 0.0 < step < 1.0 or metres > _JUMP:  # a respawn or a new world: nothing connects the two
            self._settled = 0.0
            return
        self.seconds += step
        self.distance += metres
        self.collisions += max(frame.ego.collisions - last.ego.collisions, 0)
        speed = abs(frame.ego.speed)
        self.top = max(self.top, speed)
        self._standing = self._standing + step if speed < 0.2 else 0.0
        self.stood = max(self.stood, self._standing)
        if last.ego.light == "red" and not frame.ego.light and speed > _MOVING:
            self.reds += 1
        self._judge_jerk(frame, moved / step, step)
        if speed > _MOVING:
            self._judge_place(frame, speed, step)

    def _judge_jerk(self, frame: Frame, velocity: np.ndarray, step: float) -> None:
        """Add the change of acceleration along and across the vehicle."""
        if self._settled > 0.0:
            forward = frame.ego.pose[:2, 0]
            gained = (velocity - self._velocity) / step
            now = np.array([gained @ forward, gained[1] * forward[0] - gained[0] * forward[1]])
            share = min(step / _SMOOTHING, 1.0)
            before = self._acceleration.copy()
            self._acceleration += share * (now - self._acceleration)
            if self._settled > 2.0 * _SMOOTHING and abs(frame.ego.speed) > 0.2:
                jerk = (self._acceleration - before) / step
                self._jerk += float(jerk @ jerk) * step
                self._moving += step
        else:
            self._acceleration = np.zeros(2)
        self._velocity = velocity
        self._settled += step

    def _judge_place(self, frame: Frame, speed: float, step: float) -> None:
        """Add the time in and off the lane, above the limit, and without the headlamps that are needed."""
        ego = frame.ego
        if self._lanes is not None:
            offset = self._lanes.offset(
                float(ego.pose[0, 3]), float(ego.pose[1, 3]), atan2(ego.pose[1, 0], ego.pose[0, 0])
            )
            self._known_lane += step
            self._aside += step * (offset is None or offset > _OFF_CENTRE)
        if ego.speed_limit > 0.0:
            self._known_limit += step
            self._fast += step * (speed > _TOLERANCE * ego.speed_limit)
        if frame.weather and needs_headlamps(frame.weather):
            self._dark += step
            self._unlit += step * (not ego.lights & (Lights.LOW_BEAM | Lights.HIGH_BEAM))

    def score(self) -> Score:
        """Return the score so far."""
        if self.distance < _LEAST or self._moving <= 0.0:
            return Score(None)
        jerk = (self._jerk / self._moving) ** 0.5
        parts = [
            Part(
                "smoothness",
                100.0 * min(max((_JERK_WORST - jerk) / (_JERK_WORST - _JERK_BEST), 0.0), 1.0),
                f"jerk {jerk:.1f} m/s3 ({_JERK_BEST:g} is calm, {_JERK_WORST:g} rough)",
            ),
        ]
        if self._known_lane > 0.0:
            share = self._aside / self._known_lane
            parts.append(Part("lane", _points(share), f"{share:.0%} of the time off the middle of the lane"))
        if self._known_limit > 0.0:
            share = self._fast / self._known_limit
            parts.append(Part("speed", _points(share), f"{share:.0%} of the time above the limit"))
        unlit = self._unlit / self._dark if self._dark > 0.0 else 0.0
        why = f"{self.reds} red lights passed" + (f", {unlit:.0%} of the dark without lamps" if self._dark else "")
        parts.append(Part("lights", max(_points(unlit) - _RED_COST * self.reds, 0.0), why))
        weight = sum(_WEIGHTS[part.name] for part in parts)
        total = sum(_WEIGHTS[part.name] * part.points for part in parts) / weight
        if self.collisions:
            lost = _COLLISION_COST * self.collisions
            parts.append(Part("collisions", 0.0, f"{self.collisions}, {lost:.0f} points less"))
            total -= lost
        return Score(max(total, 0.0), tuple(parts))


def _points(share: float) -> float:
    """Return the points for a share of the time in the wrong."""
    return 100.0 * max(1.0 - share / _HALF, 0.0)
