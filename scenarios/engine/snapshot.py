"""The state of all actors at one tick, and the evaluation of conditions on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, hypot, inf, nan, sin

from scenarios.language.conditions import EGO, At, Clear, Faster, Headway, Near, TimeToCollision, When

STANDING = 0.15  # m/s
REACH = 60.0  # s that a time to collision looks ahead


@dataclass(frozen=True)
class ActorState:
    """An actor seen from above: metres, radians, m/s; ``travelled`` metres since the beginning."""

    x: float
    y: float
    z: float
    yaw: float
    vx: float
    vy: float
    half_length: float
    half_width: float
    travelled: float = 0.0
    stood: float = 0.0  # s that it has been standing
    acceleration: float = 0.0  # m/s^2, of its speed
    astray: float = 0.0  # s that it has been beside every lane
    ended: float = 0.0  # s that it has been where its road ends

    @property
    def speed(self) -> float:
        """m/s, horizontal."""
        return hypot(self.vx, self.vy)

    @property
    def forward(self) -> float:
        """m/s, negative backwards."""
        return self.speed if self.vx * cos(self.yaw) + self.vy * sin(self.yaw) >= 0.0 else -self.speed

    def numbers(self) -> tuple[float, ...]:
        """All fields in their order, as they are recorded."""
        return (
            self.x, self.y, self.z, self.yaw, self.vx, self.vy, self.half_length, self.half_width, self.travelled,
            self.stood,
        )  # fmt: skip

    def ahead(self, other: ActorState) -> tuple[float, float]:
        """Metres from this actor to ``other``: forward, to the right."""
        dx, dy = other.x - self.x, other.y - self.y
        c, s = cos(self.yaw), sin(self.yaw)
        return dx * c + dy * s, dy * c - dx * s


@dataclass(frozen=True)
class CollisionRecord:
    """A collision: time (s), the actor's name, the other's name in the scenario or its blueprint."""

    time: float
    of: str
    by: str


@dataclass(frozen=True)
class Invasion:
    """The ego begins to cross a marking of its lane: when (s), on which side, of which type (CARLA's word)."""

    time: float
    side: str
    marking: str


@dataclass(frozen=True)
class Snapshot:
    """One tick. ``road_of`` looks up the road that an actor is on, ``lane_of`` its road and the lane so many
    to the left of its own, ``place_of`` a place that is relative to an actor, ``light_of`` what a signal shows."""

    time: float
    states: Mapping[str, ActorState]
    touches: Sequence[CollisionRecord]  # all so far
    road_of: Callable[[str], int] = field(repr=False)
    invasions: Sequence[Invasion] = ()  # all so far
    route: tuple[float, float] | None = None  # m that the ego has done of its route, and the route's length
    steps: Mapping[str, str] = field(default_factory=dict)  # "begun" or "done", of named steps that have begun
    lane_of: Callable[[str, int], tuple[int, int] | None] = field(default=lambda name, lanes: None, repr=False)
    place_of: Callable[[At], tuple[float, float] | None] = field(default=lambda at: None, repr=False)
    light_of: Callable[[str], str | None] = field(default=lambda signal: None, repr=False)


def holds(when: When, now: Snapshot, me: str = EGO, begun: float = 0.0) -> bool:
    """Whether all conditions hold for actor ``me``; ``begun``: when the previous step began, s."""
    states = now.states
    if when.time is not None and now.time < when.time - 1e-6:
        return False
    if when.after is not None and now.time - begun < when.after - 1e-6:
        return False
    if (near := when.distance) is not None and not _between(_distance(near, now, me), near.above, near.below):
        return False
    if (moving := when.speed) is not None and not _between(states[moving.of or me].forward, moving.above, moving.below):
        return False
    if (far := when.travelled) is not None and states[far.of or me].travelled < far.above:
        return False
    if (at := when.position) is not None:
        name = at.of or me
        if at.road is not None and now.road_of(name) != at.road:
            return False
        if at.place is not None and at.place.of is not None:
            there = now.place_of(at)
        else:
            there = (at.x, at.y) if at.x is not None and at.y is not None else None
        if there is not None:
            away = hypot(states[name].x - there[0], states[name].y - there[1])
            if away > at.within if at.beyond is None else away <= at.beyond:
                return False
    if (stands := when.standing) is not None:
        stander = states[stands.of or me]
        if stander.speed >= STANDING or stander.stood < stands.least - 1e-6:
            return False
    if (other := when.step) is not None and now.steps.get(other.step) not in ("done", other.state):
        return False
    if (light := when.light) is not None and now.light_of(light.signal) != light.state:
        return False
    if (head := when.headway) is not None and not _between(_headway(head, now, me), head.above, head.below):
        return False
    left, change, race = when.time_to_collision, when.acceleration, when.faster
    if left is not None and not _between(time_to_collision(left, now, me), left.above, left.below):
        return False
    if change is not None and not _between(states[change.of or me].acceleration, change.above, change.below):
        return False
    if race is not None and not _between(_faster(race, now, me), race.above, race.below):
        return False
    if (lost := when.offroad) is not None and not 0.0 < states[lost.of or me].astray >= lost.least - 1e-6:
        return False
    if (stuck := when.end_of_road) is not None and not 0.0 < states[stuck.of or me].ended >= stuck.least - 1e-6:
        return False
    if when.clear is not None and not _is_clear(when.clear, now, me):
        return False
    if when.all_of is not None and not all(holds(one, now, me, begun) for one in when.all_of):
        return False
    if when.any_of is not None and not any(holds(one, now, me, begun) for one in when.any_of):
        return False
    return _hit(when, now, me)


def _distance(wanted: Near, now: Snapshot, me: str) -> float:
    a, b = now.states[wanted.of or me], now.states[wanted.to]
    if wanted.way == "straight":
        return gap(a, b) if wanted.outlines else hypot(a.x - b.x, a.y - b.y)
    axis = 0 if wanted.way == "ahead" else 1
    apart = abs(a.ahead(b)[axis])
    if not wanted.outlines:
        return apart
    c, s = abs(cos(b.yaw - a.yaw)), abs(sin(b.yaw - a.yaw))
    reach = b.half_length * c + b.half_width * s if axis == 0 else b.half_length * s + b.half_width * c
    return max(apart - reach - (a.half_length, a.half_width)[axis], 0.0)


def _faster(wanted: Faster, now: Snapshot, me: str) -> float:
    return now.states[wanted.of or me].speed - now.states[wanted.to].speed


def _is_clear(wanted: Clear, now: Snapshot, me: str) -> bool:
    """Whether the lane in question is free."""
    who = wanted.of or me
    lane = now.lane_of(who, wanted.lanes)
    for name, other in now.states.items():
        if name == who or now.lane_of(name, 0) != lane:
            continue
        ahead, _ = now.states[who].ahead(other)
        if -wanted.behind <= ahead <= wanted.ahead:
            return False
    return True


def _headway(wanted: Headway, now: Snapshot, me: str) -> float:
    a, b = now.states[wanted.of or me], now.states[wanted.to]
    if a.ahead(b)[0] <= 0.0:
        return nan  # it is behind: neither above nor below anything
    metres = gap(a, b) if wanted.outlines else a.ahead(b)[0]
    return metres / a.speed if a.speed > STANDING else inf


def time_to_collision(wanted: TimeToCollision, now: Snapshot, me: str = EGO) -> float:
    """Seconds until the circles around two actors would touch at their present velocities, ``inf`` if they never do."""
    a = now.states[wanted.of or me]
    if wanted.there is not None:
        x, y = (wanted.there.x or 0.0) - a.x, (wanted.there.y or 0.0) - a.y
        closing = (x * a.vx + y * a.vy) / max(hypot(x, y), 1e-6)
        return hypot(x, y) / closing if closing > STANDING else inf
    assert wanted.to is not None
    b = now.states[wanted.to]
    x, y, vx, vy = b.x - a.x, b.y - a.y, b.vx - a.vx, b.vy - a.vy
    reach = min(a.half_length, a.half_width) + min(b.half_length, b.half_width)
    if gap(a, b) == 0.0:
        return 0.0
    # As if each were a circle of its width, started from the free space between the outlines.
    apart = hypot(x, y)
    free = gap(a, b) / apart
    x, y = x * free, y * free
    speed, closing = vx * vx + vy * vy, x * vx + y * vy
    if speed < 1e-9 or closing >= 0.0:
        return inf
    nearest = hypot(x + vx * -closing / speed, y + vy * -closing / speed)
    seconds = -closing / speed
    return seconds if nearest < reach and seconds < REACH else inf


def gap(a: ActorState, b: ActorState) -> float:
    """Free metres between the outlines of two actors, 0 where they touch."""
    corners_a, corners_b = corners(a), corners(b)
    return 0.0 if _overlap(a, b) else min(_apart(corners_a, corners_b), _apart(corners_b, corners_a))


def _between(value: float, above: float | None, below: float | None) -> bool:
    return (above is None or value > above) and (below is None or value < below)


def _hit(when: When, now: Snapshot, me: str) -> bool:
    wanted = when.collision
    return wanted is None or any(
        touch.of == (wanted.of or me) and wanted.by in (None, touch.by) for touch in now.touches
    )


def corners(state: ActorState) -> list[tuple[float, float]]:
    """The four corners of an actor's outline, metres."""
    c, s = cos(state.yaw), sin(state.yaw)
    sides = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    half = [(i * state.half_length, j * state.half_width) for i, j in sides]
    return [(state.x + u * c - v * s, state.y + u * s + v * c) for u, v in half]


def _overlap(a: ActorState, b: ActorState) -> bool:
    """Separating axes of two boxes."""
    corners_a, corners_b = corners(a), corners(b)
    for yaw in (a.yaw, b.yaw):
        for ux, uy in ((cos(yaw), sin(yaw)), (-sin(yaw), cos(yaw))):
            on_a = [x * ux + y * uy for x, y in corners_a]
            on_b = [x * ux + y * uy for x, y in corners_b]
            if max(on_a) < min(on_b) or max(on_b) < min(on_a):
                return False
    return True


def _apart(points: list[tuple[float, float]], corners: list[tuple[float, float]]) -> float:
    """Least distance from any of the points to the edges of a polygon."""
    least = inf
    for k, (x1, y1) in enumerate(corners):
        x0, y0 = corners[k - 1]
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        for x, y in points:
            t = min(max(((x - x0) * dx + (y - y0) * dy) / length, 0.0), 1.0) if length else 0.0
            least = min(least, hypot(x - x0 - t * dx, y - y0 - t * dy))
    return least
