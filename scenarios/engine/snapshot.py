"""The state of all actors at one tick, and the evaluation of conditions on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, hypot, inf, nan, sin

from scenarios.language.conditions import EGO, At, Clear, Faster, Headway, Near, TimeToCollision, When

STANDING = 0.15  # m/s
HORIZON = 60.0  # s, maximum time to collision


@dataclass(frozen=True)
class ActorState:
    """The state of an actor seen from above: metres, radians, m/s; ``travelled`` metres since the beginning."""

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
    off_road: float = 0.0  # s that it has been outside all lanes
    at_road_end: float = 0.0  # s that it has been at the end of its road

    @property
    def speed(self) -> float:
        """m/s, horizontal."""
        return hypot(self.vx, self.vy)

    @property
    def forward(self) -> float:
        """m/s, negative backwards."""
        return self.speed if self.vx * cos(self.yaw) + self.vy * sin(self.yaw) >= 0.0 else -self.speed

    def numbers(self) -> tuple[float, ...]:
        """Return the recorded fields in their order."""
        return (
            self.x, self.y, self.z, self.yaw, self.vx, self.vy, self.half_length, self.half_width, self.travelled,
            self.stood,
        )  # fmt: skip

    def ahead(self, other: ActorState) -> tuple[float, float]:
        """Return the distance from this actor to ``other``, m: forward, to the right."""
        dx, dy = other.x - self.x, other.y - self.y
        c, s = cos(self.yaw), sin(self.yaw)
        return dx * c + dy * s, dy * c - dx * s


@dataclass(frozen=True)
class CollisionRecord:
    """A collision: time (s), the actor's name, and the other's name in the scenario or its blueprint."""

    time: float
    of: str
    by: str


@dataclass(frozen=True)
class Invasion:
    """The start of a lane marking's crossing by the ego: time (s), side, and type of the marking in CARLA's terms."""

    time: float
    side: str
    marking: str


@dataclass(frozen=True)
class Snapshot:
    """The state of the scenario at one tick.

    Look-ups: ``road_of`` returns the road that an actor is on; ``lane_of`` its road, and the lane a number of lanes to
    the left of its own; ``place_of`` a place that is relative to an actor; ``light_of`` the state of a signal.
    """

    time: float
    states: Mapping[str, ActorState]
    collisions: Sequence[CollisionRecord]  # all so far
    road_of: Callable[[str], int] = field(repr=False)
    invasions: Sequence[Invasion] = ()  # all so far
    route: tuple[float, float] | None = None  # m that the ego has covered of its route, and the route's length
    steps: Mapping[str, str] = field(default_factory=dict)  # "begun" or "done", of named steps that have begun
    lane_of: Callable[[str, int], tuple[int, int] | None] = field(default=lambda name, lanes: None, repr=False)
    place_of: Callable[[At], tuple[float, float] | None] = field(default=lambda at: None, repr=False)
    light_of: Callable[[str], str | None] = field(default=lambda signal: None, repr=False)


def holds(when: When, now: Snapshot, me: str = EGO, begun: float = 0.0) -> bool:
    """Return whether all conditions hold for actor ``me``; ``begun``: when the previous step began, s."""
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
            distance = hypot(states[name].x - there[0], states[name].y - there[1])
            if distance > at.within if at.beyond is None else distance <= at.beyond:
                return False
    if (standing := when.standing) is not None:
        state = states[standing.of or me]
        if state.speed >= STANDING or state.stood < standing.least - 1e-6:
            return False
    if (other := when.step) is not None and now.steps.get(other.step) not in ("done", other.state):
        return False
    if (light := when.light) is not None and now.light_of(light.signal) != light.state:
        return False
    if (head := when.headway) is not None and not _between(_headway(head, now, me), head.above, head.below):
        return False
    ttc, change, faster = when.time_to_collision, when.acceleration, when.faster
    if ttc is not None and not _between(time_to_collision(ttc, now, me), ttc.above, ttc.below):
        return False
    if change is not None and not _between(states[change.of or me].acceleration, change.above, change.below):
        return False
    if faster is not None and not _between(_speed_difference(faster, now, me), faster.above, faster.below):
        return False
    if (off := when.offroad) is not None and not 0.0 < states[off.of or me].off_road >= off.least - 1e-6:
        return False
    if (end := when.end_of_road) is not None and not 0.0 < states[end.of or me].at_road_end >= end.least - 1e-6:
        return False
    if when.clear is not None and not _is_clear(when.clear, now, me):
        return False
    if when.all_of is not None and not all(holds(one, now, me, begun) for one in when.all_of):
        return False
    if when.any_of is not None and not any(holds(one, now, me, begun) for one in when.any_of):
        return False
    return _has_collided(when, now, me)


def _distance(spec: Near, now: Snapshot, me: str) -> float:
    a, b = now.states[spec.of or me], now.states[spec.to]
    if spec.way == "straight":
        return gap(a, b) if spec.outlines else hypot(a.x - b.x, a.y - b.y)
    axis = 0 if spec.way == "ahead" else 1
    distance = abs(a.ahead(b)[axis])
    if not spec.outlines:
        return distance
    c, s = abs(cos(b.yaw - a.yaw)), abs(sin(b.yaw - a.yaw))
    reach = b.half_length * c + b.half_width * s if axis == 0 else b.half_length * s + b.half_width * c
    return max(distance - reach - (a.half_length, a.half_width)[axis], 0.0)


def _speed_difference(spec: Faster, now: Snapshot, me: str) -> float:
    return now.states[spec.of or me].speed - now.states[spec.to].speed


def _is_clear(spec: Clear, now: Snapshot, me: str) -> bool:
    """Return whether the lane in question is free."""
    actor = spec.of or me
    lane = now.lane_of(actor, spec.lanes)
    for name, other in now.states.items():
        if name == actor or now.lane_of(name, 0) != lane:
            continue
        ahead, _ = now.states[actor].ahead(other)
        if -spec.behind <= ahead <= spec.ahead:
            return False
    return True


def _headway(spec: Headway, now: Snapshot, me: str) -> float:
    a, b = now.states[spec.of or me], now.states[spec.to]
    if a.ahead(b)[0] <= 0.0:
        return nan  # the other one is behind: neither above nor below any bound
    metres = gap(a, b) if spec.outlines else a.ahead(b)[0]
    return metres / a.speed if a.speed > STANDING else inf


def time_to_collision(spec: TimeToCollision, now: Snapshot, me: str = EGO) -> float:
    """Return the seconds until the circles around two actors touch at their present velocities, ``inf`` if never."""
    a = now.states[spec.of or me]
    if spec.there is not None:
        x, y = (spec.there.x or 0.0) - a.x, (spec.there.y or 0.0) - a.y
        closing = (x * a.vx + y * a.vy) / max(hypot(x, y), 1e-6)
        return hypot(x, y) / closing if closing > STANDING else inf
    assert spec.to is not None
    b = now.states[spec.to]
    x, y, vx, vy = b.x - a.x, b.y - a.y, b.vx - a.vx, b.vy - a.vy
    reach = min(a.half_length, a.half_width) + min(b.half_length, b.half_width)
    if gap(a, b) == 0.0:
        return 0.0
    # Treat each as a circle of its width, separated by the free space between the outlines.
    distance = hypot(x, y)
    free = gap(a, b) / distance
    x, y = x * free, y * free
    speed, closing = vx * vx + vy * vy, x * vx + y * vy
    if speed < 1e-9 or closing >= 0.0:
        return inf
    nearest = hypot(x + vx * -closing / speed, y + vy * -closing / speed)
    seconds = -closing / speed
    return seconds if nearest < reach and seconds < HORIZON else inf


def gap(a: ActorState, b: ActorState) -> float:
    """Return the free distance between the outlines of two actors, m; 0 if they touch."""
    corners_a, corners_b = corners(a), corners(b)
    if _overlap(a, b):
        return 0.0
    return min(_point_distance(corners_a, corners_b), _point_distance(corners_b, corners_a))


def _between(value: float, above: float | None, below: float | None) -> bool:
    return (above is None or value > above) and (below is None or value < below)


def _has_collided(when: When, now: Snapshot, me: str) -> bool:
    spec = when.collision
    return spec is None or any(
        collision.of == (spec.of or me) and spec.by in (None, collision.by) for collision in now.collisions
    )


def corners(state: ActorState) -> list[tuple[float, float]]:
    """Return the four corners of an actor's outline, metres."""
    c, s = cos(state.yaw), sin(state.yaw)
    sides = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    half = [(i * state.half_length, j * state.half_width) for i, j in sides]
    return [(state.x + u * c - v * s, state.y + u * s + v * c) for u, v in half]


def _overlap(a: ActorState, b: ActorState) -> bool:
    """Return whether two boxes overlap, by their separating axes."""
    corners_a, corners_b = corners(a), corners(b)
    for yaw in (a.yaw, b.yaw):
        for ux, uy in ((cos(yaw), sin(yaw)), (-sin(yaw), cos(yaw))):
            on_a = [x * ux + y * uy for x, y in corners_a]
            on_b = [x * ux + y * uy for x, y in corners_b]
            if max(on_a) < min(on_b) or max(on_b) < min(on_a):
                return False
    return True


def _point_distance(points: list[tuple[float, float]], corners: list[tuple[float, float]]) -> float:
    """Return the least distance from any of the points to the edges of a polygon."""
    least = inf
    for k, (x1, y1) in enumerate(corners):
        x0, y0 = corners[k - 1]
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        for x, y in points:
            t = min(max(((x - x0) * dx + (y - y0) * dy) / length, 0.0), 1.0) if length else 0.0
            least = min(least, hypot(x - x0 - t * dx, y - y0 - t * dy))
    return least
