"""The pedestrians of the background traffic: they follow pavements and use crosswalks."""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from neuralsim.base import kernels
from neuralsim.town.assets.people_meshes import phase_of
from neuralsim.town.dynamics.focus import Focus
from neuralsim.town.ground.blocks import KERB, Ground, Ring, offset, resample

FAR = 110.0  # m, walkers are kept within this distance of driven vehicles
STREET, ALONG_THE_STREET = 14.0, 12.0  # m aside of a driver, and how much likelier walkers come to the street ahead
SHARES = (0.34, 0.6)  # of the pavement's width, at which people walk
CROSSES = 0.4  # share of the pedestrians passing a crosswalk who use it
DEPTH = 3.2  # m, extent of a crosswalk along the road
KERB_TIMEOUT = 9.0  # s of waiting at the kerb after which they give up


class Footpaths(NamedTuple):
    """The paths of pedestrians: L lines with M samples in all, and the C crosswalks on their way."""

    points: np.ndarray  # f64 (M, 3), m
    first: np.ndarray  # i64 (L + 1,): line k owns samples first[k] to first[k + 1]
    loop: np.ndarray  # bool (L,)
    middles: np.ndarray  # f64 (C, 2), m, centres of the crosswalks
    across: np.ndarray  # f64 (C, 2), unit vectors across the road
    wide: np.ndarray  # f64 (C,), half length of the crosswalk across the road, m
    link: np.ndarray  # i64 (M,), crosswalk at each sample, -1 = none
    goal: np.ndarray  # i64 (M,), sample on its other side


class Crowd(NamedTuple):
    """N pedestrians. The kernel updates the arrays in place."""

    poses: np.ndarray  # f64 (N, 4): x, y, z (m), yaw (radians) of the feet
    phase: np.ndarray  # i64 (N,), of the gait
    speed: np.ndarray  # f64 (N,), m/s
    walked: np.ndarray  # f64 (N,), m
    scale: np.ndarray  # f64 (N,), body height relative to an adult's
    ring: np.ndarray  # i64 (N,), line that it follows
    at: np.ndarray  # f64 (N,), position along it, samples
    way: np.ndarray  # f64 (N,): 1 forwards, -1 backwards
    desired_speed: np.ndarray  # f64 (N,), m/s
    crossing: np.ndarray  # i64 (N,), crosswalk in use or waited at, -1 = none
    start: np.ndarray  # f64 (N, 3), start of the crossing, m
    stop: np.ndarray  # f64 (N, 3), end of the crossing, m
    done: np.ndarray  # f64 (N,), m across; 0 while waiting at the kerb
    waits: np.ndarray  # f64 (N,), s at the kerb, or else since the last crossing
    dice: np.ndarray  # i64 (N,), state of a linear congruential generator
    goals: np.ndarray  # i64 (N,), sample on the other side


class Walkers:
    """The pedestrians of the background traffic.

    ``crossed`` bool (C,): whether a crosswalk is in use or waited at.
    """

    def __init__(
        self,
        ground: Ground,
        count: int,
        scales: np.ndarray,
        rng: np.random.Generator,
        crosswalks: list[np.ndarray] | tuple[()] = (),
    ) -> None:
        """Place pedestrians at random.

        Args:
            ground: Its rings have the pavements.
            count: Number of pedestrians. There are none in a town without pavements.
            scales: f64 (count,), body heights relative to an adult's.
            rng: Draws their positions.
            crosswalks: Polygons f64 (K, 3), m.
        """
        lines, loops = _paths(ground.rings)
        count = count if lines else 0
        walked = rng.uniform(0.0, 30.0, count)
        scale = np.asarray(scales, float)[:count]
        points = np.concatenate(lines) if lines else np.zeros((0, 3))
        first = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        sizes = np.diff(first).astype(float)
        ring = rng.choice(len(sizes), size=count, p=sizes / sizes.sum()) if count else np.zeros(0, np.int64)
        at = rng.uniform(0.0, 1.0, count) * sizes[ring] if count else np.zeros(0)
        way = rng.choice([-1.0, 1.0], count)
        desired_speed = rng.uniform(1.0, 1.6, count) * np.sqrt(scale)
        self._paths = Footpaths(points, first, np.array(loops, np.bool_), *_link(points, crosswalks))
        self._crowd = Crowd(
            poses=np.zeros((count, 4)),
            phase=np.zeros(count, np.int64),
            speed=desired_speed.copy(),
            walked=walked,
            scale=scale,
            ring=ring,
            at=at,
            way=way,
            desired_speed=desired_speed,
            crossing=np.full(count, -1, np.int64),
            start=np.zeros((count, 3)),
            stop=np.zeros((count, 3)),
            done=np.zeros(count),
            waits=np.zeros(count),
            dice=np.arange(1, count + 1, dtype=np.int64) * 7919,
            goals=np.zeros(count, np.int64),
        )
        self.crossed = np.zeros(max(len(crosswalks), 1), np.bool_)
        self.step(0.0, np.zeros((0, 7)))

    @property
    def poses(self) -> np.ndarray:
        """Poses of the feet, f64 (N, 4): x, y, z (m), yaw (radians)."""
        return self._crowd.poses

    @property
    def speed(self) -> np.ndarray:
        """Speeds, f64 (N,), m/s."""
        return self._crowd.speed

    @property
    def phase(self) -> np.ndarray:
        """Phases of the gait, i64 (N,)."""
        return self._crowd.phase

    def __len__(self) -> int:
        return len(self.poses)

    def bring(self, i: int, rng: np.random.Generator, focus: Focus) -> None:
        """Move walker ``i`` to a pavement around ``focus``, most likely to one along the street ahead.

        ``rng`` draws the place, at most ``FAR`` metres away.
        """
        paths, crowd = self._paths, self._crowd
        spots = np.flatnonzero(focus.allowed(paths.points, FAR, 0.6 * FAR))
        if len(spots):
            weight = np.where(focus.is_ahead(paths.points[spots], STREET), ALONG_THE_STREET, 1.0)
            k = int(rng.choice(spots, p=weight / weight.sum()))
            crowd.ring[i] = int(np.searchsorted(paths.first, k, side="right")) - 1
            crowd.at[i] = k - paths.first[crowd.ring[i]]
            crowd.crossing[i] = -1
            crowd.poses[i, :3] = paths.points[k]

    def remove(self, i: int) -> None:
        """Remove walker ``i``. Those after it move up."""
        self._crowd = Crowd(*(np.delete(array, i, axis=0) for array in self._crowd))

    @property
    def on_road(self) -> np.ndarray:
        """Bodies of the pedestrians on crosswalks, f64 (M, 7), as in ``lanes.look_ahead``."""
        out = np.flatnonzero((self._crowd.crossing >= 0) & (self._crowd.done > 0.0))
        half = np.full(len(out), 0.3)
        return np.column_stack(
            [self.poses[out, :2], self.poses[out, 3], half, half, self.speed[out], self.poses[out, 2]]
        )

    def step(self, delta: float, bodies: np.ndarray, closed: np.ndarray | None = None) -> None:
        """Advance by ``delta`` seconds. Pedestrians wait for ``bodies`` (as in ``lanes.look_ahead``) in their way.

        They do not enter crosswalks that are ``closed``, bool (C,): traffic has green there.
        """
        if len(self):
            if closed is None:
                closed = np.zeros(len(self.crossed), np.bool_)
            _walk(delta, self._paths, self._crowd, bodies, closed, self.crossed)


def _paths(rings: list[Ring]) -> tuple[list[np.ndarray], list[bool]]:
    """Return the lines f64 (N, 3) of the pavements, with a sample every 2 m, and whether each is a loop."""
    lines, loops = [], []
    for ring in rings:
        if ring.pavement < 1.2 or not (ring.pavement_widths > 0.0).any():
            continue
        for share in SHARES:
            if ring.is_urban:
                line = resample(offset(ring.points, ring.pavement * share), 2.0)
                line[:, 2] += KERB
                lines.append(line)
                loops.append(True)
                continue
            line = resample(offset(ring.samples(), ring.pavement_widths * share), 2.0)
            paved = line[:, 3] > 0.95 * ring.pavement
            line[:, 2] += KERB
            line, paved = np.roll(line, -int(paved.argmin()), axis=0), np.roll(paved, -int(paved.argmin()))
            bounds = np.flatnonzero(np.diff(np.concatenate([[0], paved.astype(int), [0]])))
            for a, b in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True):
                if b - a > 6:
                    lines.append(line[a:b, :3])
                    loops.append(False)
    return lines, loops


def _link(
    points: np.ndarray, crosswalks: list[np.ndarray] | tuple[()]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return where paths pass crosswalks: the last five arrays of ``Footpaths``."""
    count = len(points)
    link, goal = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    middles, units = (np.zeros((max(len(crosswalks), 1), 2)) for _ in range(2))
    wide = np.zeros(max(len(crosswalks), 1))
    tree = cKDTree(points[:, :2]) if count else None
    for c, polygon in enumerate(crosswalks):
        if len(polygon) < 4 or tree is None:
            continue
        a, b = polygon[1, :2] - polygon[0, :2], polygon[3, :2] - polygon[0, :2]
        across, deep = (a, b) if np.hypot(*a) > np.hypot(*b) else (b, a)
        size = float(np.hypot(*across))
        middles[c] = polygon[0, :2] + (across + deep) / 2
        wide[c] = size / 2
        units[c] = unit = across / max(size, 1e-6)
        ends = [middles[c] + side * unit * (size / 2 + 1.1) for side in (-1.0, 1.0)]
        near = [list(tree.query_ball_point(end, 2.2)) for end in ends]
        for side in (0, 1):
            others = near[1 - side]
            if others:
                best = others[int(np.hypot(*(points[others, :2] - ends[1 - side]).T).argmin())]
                for k in near[side]:
                    link[k], goal[k] = c, best
    return middles, units, wide, link, goal


_phase_of = njit(nogil=True)(phase_of)


@njit(**kernels.EXACT)
def _clear(middle, across, wide, bodies):  # type: ignore[no-untyped-def]
    """Return whether a crosswalk is free and no vehicle approaches it without stopping.

    ``middle``, ``across`` f64 (2,) and ``wide`` as in ``Footpaths``; ``bodies`` f64 (B, 7) as in ``lanes.look_ahead``.
    """
    for j in range(len(bodies)):
        dx, dy = middle[0] - bodies[j, 0], middle[1] - bodies[j, 1]
        away = np.hypot(dx, dy)
        if bodies[j, 4] < 0.5 or away > 45.0:
            continue
        cos, sin = np.cos(bodies[j, 2]), np.sin(bodies[j, 2])
        for part in range(5):  # points along the body: is one on the crosswalk?
            px = dx - cos * bodies[j, 3] * (part - 2) / 2.0
            py = dy - sin * bodies[j, 3] * (part - 2) / 2.0
            if abs(px * across[0] + py * across[1]) < wide and abs(py * across[0] - px * across[1]) < DEPTH / 2.0 + 0.2:
                return False
        closing = bodies[j, 5] * (dx * cos + dy * sin) / max(away, 1e-6)
        if closing > 1.2 and (away - bodies[j, 3] - wide * 0.3) / closing < 3.6:
            return False
    return True


@njit(**kernels.EXACT)
def _is_blocked(pose, bodies):  # type: ignore[no-untyped-def]
    """Return whether one of ``bodies`` is 0.6 m before a pedestrian at ``pose`` f64 (4,)."""
    x, y = pose[0] + 0.6 * np.cos(pose[3]), pose[1] + 0.6 * np.sin(pose[3])
    for j in range(len(bodies)):
        cos, sin = np.cos(bodies[j, 2]), np.sin(bodies[j, 2])
        dx, dy = x - bodies[j, 0], y - bodies[j, 1]
        if abs(dx * cos + dy * sin) < bodies[j, 3] + 0.4 and abs(dy * cos - dx * sin) < bodies[j, 4] + 0.4:
            return True
    return False


@njit(**kernels.EXACT)
def _cross(i, delta, paths, crowd, is_free, is_blocked):  # type: ignore[no-untyped-def]
    """Move pedestrian ``i`` over its crosswalk, which it enters if it ``is_free``; return its direction (radians)."""
    speed, done, waits, poses = crowd.speed, crowd.done, crowd.waits, crowd.poses
    start, stop = crowd.start[i], crowd.stop[i]
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    size = max(np.hypot(dx, dy), 0.1)
    target = 0.0
    if done[i] > 0.0:
        target = 0.0 if is_blocked else max(crowd.desired_speed[i], 1.2)
    elif is_free:
        done[i] = 1e-3
    elif waits[i] > KERB_TIMEOUT:
        crowd.crossing[i], waits[i] = -1, 0.0
    speed[i] += min(max(target - speed[i], -4.0 * delta), 2.0 * delta)
    if done[i] > 0.0:
        done[i] += speed[i] * delta
        f = min(done[i] / size, 1.0)
        for d in range(3):
            poses[i, d] = start[d] + f * (stop[d] - start[d])
        dip = min(done[i] - 0.9, size - 0.9 - done[i])  # down from the kerb and up again
        poses[i, 2] -= KERB * min(max(dip / 0.25, 0.0), 1.0)
        if f >= 1.0:
            crowd.crossing[i], waits[i] = -1, 0.0
            first, goal = paths.first, crowd.goals[i]
            for line in range(len(first) - 1):
                if first[line] <= goal < first[line + 1]:
                    crowd.ring[i], crowd.at[i] = line, float(goal - first[line])
            crowd.way[i] = 1.0 if crowd.dice[i] % 2 else -1.0
    return np.arctan2(dy, dx)


@njit(**kernels.EXACT)
def _follow_path(i, delta, paths, crowd, is_blocked):  # type: ignore[no-untyped-def]
    """Move pedestrian ``i`` along its pavement, and maybe on to a crosswalk; return its direction (radians)."""
    points, first = paths.points, paths.first
    speed, poses, at, way, dice, ring = crowd.speed, crowd.poses, crowd.at, crowd.way, crowd.dice, crowd.ring[i]
    target = 0.0 if is_blocked else crowd.desired_speed[i]
    speed[i] += min(max(target - speed[i], -3.0 * delta), 1.5 * delta)
    low, count = first[ring], first[ring + 1] - first[ring]
    k = int(at[i]) % count
    if not paths.loop[ring]:
        k = min(k, count - 2)
    a, b = points[low + k], points[low + (k + 1) % count]
    size = max(np.hypot(b[0] - a[0], b[1] - a[1]), 1e-6)
    at[i] += way[i] * speed[i] * delta / size
    if paths.loop[ring]:
        at[i] %= count
    elif at[i] < 0.0 or at[i] > count - 1.001:  # the pavement ends here
        at[i] = min(max(at[i], 0.0), count - 1.001)
        way[i] = -way[i]
    here = int(at[i]) % count
    f = at[i] - int(at[i])
    a, b = points[low + here], points[low + (here + 1) % count]
    for d in range(3):
        poses[i, d] = a[d] + f * (b[d] - a[d])
    if here != k and paths.link[low + here] >= 0 and crowd.waits[i] > 12.0:
        dice[i] = (dice[i] * 1103515245 + 12345) % 2147483648
        if dice[i] / 2147483648.0 < CROSSES:
            far = paths.goal[low + here]
            crowd.crossing[i], crowd.done[i], crowd.waits[i] = paths.link[low + here], 0.0, 0.0
            crowd.start[i], crowd.stop[i], crowd.goals[i] = poses[i, :3], points[far], far
    return np.arctan2((b[1] - a[1]) * way[i], (b[0] - a[0]) * way[i])


@njit(**kernels.EXACT)
def _walk(delta, paths, crowd, bodies, closed, crossed):  # type: ignore[no-untyped-def]
    """Advance all pedestrians by ``delta`` seconds.

    ``paths``: ``Footpaths``; ``crowd``: ``Crowd``, updated in place; ``bodies`` f64 (B, 7) as in ``lanes.look_ahead``;
    ``closed`` bool (C,): crosswalks that may not be entered; ``crossed`` bool (C,), written: in use or waited at.
    """
    poses, speed, walked = crowd.poses, crowd.speed, crowd.walked
    crossed[:] = False
    for i in range(len(poses)):
        is_blocked = _is_blocked(poses[i], bodies)
        c = crowd.crossing[i]
        crowd.waits[i] += delta
        if c >= 0:
            is_waiting = crowd.done[i] <= 0.0
            crossed[c] = not (is_waiting and closed[c])
            is_free = is_waiting and not closed[c] and _clear(paths.middles[c], paths.across[c], paths.wide[c], bodies)
            yaw = _cross(i, delta, paths, crowd, is_free, is_blocked)
        else:
            yaw = _follow_path(i, delta, paths, crowd, is_blocked)
        if delta == 0.0:
            poses[i, 3] = yaw
        turn = (yaw - poses[i, 3] + np.pi) % (2.0 * np.pi) - np.pi
        poses[i, 3] += turn * min(1.0, 5.0 * delta)
        walked[i] += speed[i] * delta
        crowd.phase[i] = _phase_of(walked[i], crowd.scale[i]) if speed[i] > 0.15 else 0
