"""Pedestrians of the background traffic: they follow the pavements and use the crosswalks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from neuralsim.town.assets.people_meshes import PHASES
from neuralsim.town.ground.blocks import KERB, Ground, Ring, along, offset

FAR = 110.0  # m, walkers are kept within this distance of driven vehicles
STRIDE = 1.4  # m of two steps, a cycle of the gait
SHARES = (0.34, 0.6)  # of the pavement's width, where people walk
CROSSES = 0.4  # share of those who pass a crosswalk that cross there
DEPTH = 3.2  # m of a crosswalk along the road
KERB_TIMEOUT = 9.0  # s of waiting at the kerb before giving up


class Footpaths(NamedTuple):
    """The paths of pedestrians: L lines with M samples in all, and the C crosswalks that they pass."""

    points: np.ndarray  # f64 (M, 3), m
    first: np.ndarray  # i64 (L + 1,): line k owns samples first[k] to first[k + 1]
    loop: np.ndarray  # bool (L,)
    middles: np.ndarray  # f64 (C, 2), m, centres of the crosswalks
    across: np.ndarray  # f64 (C, 2), unit vectors across the road
    wide: np.ndarray  # f64 (C,), half length of the crosswalk across the road, m
    link: np.ndarray  # i64 (M,), the crosswalk at each sample, -1 = none
    goal: np.ndarray  # i64 (M,), the sample on its other side


class Crowd(NamedTuple):
    """N pedestrians; the kernel updates the arrays in place."""

    poses: np.ndarray  # f64 (N, 4): x, y, z (m), yaw (radians) of the feet
    phase: np.ndarray  # i64 (N,), of the gait
    speed: np.ndarray  # f64 (N,), m/s
    walked: np.ndarray  # f64 (N,), m
    scale: np.ndarray  # f64 (N,), body height over an adult's
    ring: np.ndarray  # i64 (N,), line that is followed
    at: np.ndarray  # f64 (N,), sample along it
    way: np.ndarray  # f64 (N,): 1 forwards, -1 backwards
    wish: np.ndarray  # f64 (N,), desired speed, m/s
    crossing: np.ndarray  # i64 (N,), the crosswalk in use or waited at, -1 = none
    start: np.ndarray  # f64 (N, 3), of the crossing, m
    stop: np.ndarray  # f64 (N, 3), of the crossing, m
    done: np.ndarray  # f64 (N,), m across; 0 while waiting at the kerb
    waits: np.ndarray  # f64 (N,), s at the kerb; since the last crossing otherwise
    dice: np.ndarray  # i64 (N,), state of a linear congruential generator
    goals: np.ndarray  # i64 (N,), sample on the other side


class Walkers:
    """The pedestrians of the background traffic.

    ``ground``: its rings have the pavements; ``count``: of pedestrians, none where there is no pavement; ``scales`` f64
    (count,): body heights over an adult's; ``rng`` draws their places; ``crosswalks``: polygons f64 (K, 3), m.
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
        wish = rng.uniform(1.0, 1.6, count) * np.sqrt(scale)
        self._paths = Footpaths(points, first, np.array(loops, np.bool_), *_link(points, crosswalks))
        self._crowd = Crowd(
            poses=np.zeros((count, 4)),
            phase=np.zeros(count, np.int64),
            speed=wish.copy(),
            walked=walked,
            scale=scale,
            ring=ring,
            at=at,
            way=way,
            wish=wish,
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
        """f64 (N, 4): x, y, z (m), yaw (radians) of the feet."""
        return self._crowd.poses

    @property
    def speed(self) -> np.ndarray:
        """f64 (N,), m/s."""
        return self._crowd.speed

    @property
    def phase(self) -> np.ndarray:
        """i64 (N,), phase of the gait."""
        return self._crowd.phase

    def __len__(self) -> int:
        return len(self.poses)

    def bring(self, i: int, rng: np.random.Generator, focus: np.ndarray, forward: np.ndarray, least: float) -> None:
        """Move walker ``i`` to a pavement near ``focus``, out of its sight.

        ``rng`` draws the place; ``focus`` f64 (2,), m, looks along ``forward`` f64 (2,); the distance is ``least`` to
        ``FAR`` metres.
        """
        paths, crowd = self._paths, self._crowd
        away = paths.points[:, :2] - focus
        distance = np.hypot(away[:, 0], away[:, 1])
        seen = (away @ forward > 0.7 * distance) & (distance < 0.6 * FAR)
        spots = np.flatnonzero((distance > least) & (distance < FAR) & ~seen)
        if len(spots):
            k = int(rng.choice(spots))
            crowd.ring[i] = int(np.searchsorted(paths.first, k, side="right")) - 1
            crowd.at[i] = k - paths.first[crowd.ring[i]]
            crowd.crossing[i] = -1
            crowd.poses[i, :3] = paths.points[k]

    def remove(self, i: int) -> None:
        """Take walker i out; those after it move up."""
        self._crowd = Crowd(*(np.delete(array, i, axis=0) for array in self._crowd))

    @property
    def on_road(self) -> np.ndarray:
        """The pedestrians on crosswalks, f64 (M, 7), as in ``lanes.look_ahead``."""
        out = np.flatnonzero((self._crowd.crossing >= 0) & (self._crowd.done > 0.0))
        half = np.full(len(out), 0.3)
        return np.column_stack(
            [self.poses[out, :2], self.poses[out, 3], half, half, self.speed[out], self.poses[out, 2]]
        )

    def step(self, delta: float, bodies: np.ndarray, closed: np.ndarray | None = None) -> None:
        """Advance by ``delta`` seconds. Pedestrians wait for ``bodies`` (as in ``lanes.look_ahead``) in their way.

        None sets foot on crosswalks that are ``closed``, bool (C,): traffic has green there.
        """
        if len(self):
            shut = np.zeros(len(self.crossed), np.bool_) if closed is None else closed
            _walk(delta, self._paths, self._crowd, bodies, shut, self.crossed)


def _paths(rings: list[Ring]) -> tuple[list[np.ndarray], list[bool]]:
    """Lines (N, 3) that one can walk along, two metres a sample, and whether each is a loop."""
    lines, loops = [], []
    for ring in rings:
        if ring.pavement < 1.2 or not (ring.walk > 0.0).any():
            continue
        for share in SHARES:
            if ring.urban:
                line = along(offset(ring.points, ring.pavement * share), 2.0)
                line[:, 2] += KERB
                lines.append(line)
                loops.append(True)
                continue
            line = along(offset(ring.columns(), ring.walk * share), 2.0)
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
    """Where paths pass crosswalks.

    Middles (C, 2); units across the road (C, 2); half lengths (C,), metres; ``link`` i64 (M,), the crosswalk at each
    path sample, -1 = none; ``goal`` i64 (M,), the path sample on its other side.
    """
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


@njit(cache=True, nogil=True)
def _clear(middle, across, wide, bodies):  # type: ignore[no-untyped-def]
    """Whether a crosswalk is free and no vehicle approaches it without stopping.

    ``middle``, ``across`` f64 (2,) and ``wide`` as in ``Footpaths``; ``bodies`` f64 (B, 7) as in ``lanes.look_ahead``.
    """
    for j in range(len(bodies)):
        dx, dy = middle[0] - bodies[j, 0], middle[1] - bodies[j, 1]
        away = np.hypot(dx, dy)
        if bodies[j, 4] < 0.5 or away > 45.0:
            continue
        cos, sin = np.cos(bodies[j, 2]), np.sin(bodies[j, 2])
        for part in range(5):  # along the body: does it stand on the stripes
            px = dx - cos * bodies[j, 3] * (part - 2) / 2.0
            py = dy - sin * bodies[j, 3] * (part - 2) / 2.0
            beside = abs(px * across[0] + py * across[1])
            if beside < wide and abs(py * across[0] - px * across[1]) < DEPTH / 2.0 + 0.2:
                return False
        closing = bodies[j, 5] * (dx * cos + dy * sin) / max(away, 1e-6)
        if closing > 1.2 and (away - bodies[j, 3] - wide * 0.3) / closing < 3.6:
            return False
    return True


@njit(cache=True, nogil=True)
def _walk(delta, paths, crowd, bodies, closed, crossed):  # type: ignore[no-untyped-def]
    """One step of ``delta`` seconds of all pedestrians.

    ``paths``: ``Footpaths``; ``crowd``: ``Crowd``, updated in place; ``bodies`` f64 (B, 7) as in ``lanes.look_ahead``;
    ``closed`` bool (C,): crosswalks that may not be entered; ``crossed`` bool (C,), written: in use or waited at.
    """
    points, first, loop, middles, acrosses, wide, link, goal = paths
    poses, phase, speed, walked, scale, ring, at, way, wish, crossing, start, stop, done, waits, dice, goals = crowd
    crossed[:] = False
    for i in range(len(at)):
        blocked = False
        x, y = poses[i, 0] + 0.6 * np.cos(poses[i, 3]), poses[i, 1] + 0.6 * np.sin(poses[i, 3])
        for j in range(len(bodies)):
            cos, sin = np.cos(bodies[j, 2]), np.sin(bodies[j, 2])
            dx, dy = x - bodies[j, 0], y - bodies[j, 1]
            if abs(dx * cos + dy * sin) < bodies[j, 3] + 0.4 and abs(dy * cos - dx * sin) < bodies[j, 4] + 0.4:
                blocked = True
        c = crossing[i]
        waits[i] += delta
        if c >= 0:
            dx, dy = stop[i, 0] - start[i, 0], stop[i, 1] - start[i, 1]
            size = max(np.hypot(dx, dy), 0.1)
            if done[i] <= 0.0:  # at the kerb
                crossed[c] = not closed[c]
                if not closed[c] and _clear(middles[c], acrosses[c], wide[c], bodies):
                    done[i] = 1e-3
                elif waits[i] > KERB_TIMEOUT:
                    crossing[i], waits[i] = -1, 0.0
                aim = 0.0
            else:
                crossed[c] = True
                aim = 0.0 if blocked else max(wish[i], 1.2)
            speed[i] += min(max(aim - speed[i], -4.0 * delta), 2.0 * delta)
            if done[i] > 0.0:
                done[i] += speed[i] * delta
                f = min(done[i] / size, 1.0)
                for d in range(3):
                    poses[i, d] = start[i, d] + f * (stop[i, d] - start[i, d])
                dip = min(done[i] - 0.9, size - 0.9 - done[i])  # down from the kerb and up again
                poses[i, 2] -= KERB * min(max(dip / 0.25, 0.0), 1.0)
                if f >= 1.0:
                    crossing[i], waits[i] = -1, 0.0
                    for other in range(len(first) - 1):
                        if first[other] <= goals[i] < first[other + 1]:
                            ring[i], at[i] = other, float(goals[i] - first[other])
                    way[i] = 1.0 if dice[i] % 2 else -1.0
            aim = np.arctan2(dy, dx)
        else:
            aim = 0.0 if blocked else wish[i]
            speed[i] += min(max(aim - speed[i], -3.0 * delta), 1.5 * delta)
            low, count = first[ring[i]], first[ring[i] + 1] - first[ring[i]]
            k = int(at[i]) % count
            if not loop[ring[i]]:
                k = min(k, count - 2)
            a, b = points[low + k], points[low + (k + 1) % count]
            size = max(np.hypot(b[0] - a[0], b[1] - a[1]), 1e-6)
            at[i] += way[i] * speed[i] * delta / size
            if loop[ring[i]]:
                at[i] %= count
            elif at[i] < 0.0 or at[i] > count - 1.001:  # the pavement ends here
                at[i] = min(max(at[i], 0.0), count - 1.001)
                way[i] = -way[i]
            here = int(at[i]) % count
            f = at[i] - int(at[i])
            a, b = points[low + here], points[low + (here + 1) % count]
            for d in range(3):
                poses[i, d] = a[d] + f * (b[d] - a[d])
            aim = np.arctan2((b[1] - a[1]) * way[i], (b[0] - a[0]) * way[i])
            if here != k and link[low + here] >= 0 and waits[i] > 12.0:
                dice[i] = (dice[i] * 1103515245 + 12345) % 2147483648
                if dice[i] / 2147483648.0 < CROSSES:
                    far = goal[low + here]
                    crossing[i], done[i], waits[i] = link[low + here], 0.0, 0.0
                    start[i], stop[i], goals[i] = poses[i, :3], points[far], far
        if delta == 0.0:
            poses[i, 3] = aim
        turn = (aim - poses[i, 3] + np.pi) % (2.0 * np.pi) - np.pi
        poses[i, 3] += turn * min(1.0, 5.0 * delta)
        walked[i] += speed[i] * delta
        stride = STRIDE * scale[i]
        phase[i] = int(walked[i] / stride * PHASES) % PHASES if speed[i] > 0.15 else 0
