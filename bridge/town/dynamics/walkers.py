"""People who walk along the pavements by themselves, around the blocks of the town, and cross at crosswalks."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from bridge.town.assets.people_meshes import PHASES
from bridge.town.ground.blocks import KERB, Ground, Ring, along, offset

FAR = 110.0  # m, walkers are kept within this distance of who drives
STRIDE = 1.4  # m of two steps, a cycle of the gait
SHARES = (0.34, 0.6)  # of the pavement's width, where people walk
CROSSES = 0.4  # share of those who pass a crosswalk that cross there
DEPTH = 3.2  # m of a crosswalk along the road
GIVE_UP = 9.0  # s one waits at the kerb

_STATE = ("poses", "phase", "speed", "_walked", "_scale", "_ring", "_at", "_way", "_wish", "_crossing", "_start",
          "_stop", "_done", "_waits", "_dice", "_goals")  # fmt: skip


class Walkers:
    """All walkers that go by themselves, as arrays over their number.

    ``poses`` f64 (N, 4): x, y, z (m), yaw (radians) of the feet; ``speed`` f64 (N,), m/s; ``phase`` i64 (N,), gait;
    ``crossed`` bool (C,): whether somebody is on a crosswalk, or wants to be. `crosswalks` are polygons f64 (K, 3).
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
        self.poses = np.zeros((count, 4))
        self.phase = np.zeros(count, np.int64)
        self._walked = rng.uniform(0.0, 30.0, count)
        self._scale = np.asarray(scales, float)[:count]
        self._points = np.concatenate(lines) if lines else np.zeros((0, 3))
        self._first = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        self._loop = np.array(loops, np.bool_)
        sizes = np.diff(self._first).astype(float)
        self._ring = rng.choice(len(sizes), size=count, p=sizes / sizes.sum()) if count else np.zeros(0, np.int64)
        self._at = rng.uniform(0.0, 1.0, count) * sizes[self._ring] if count else np.zeros(0)
        self._way = rng.choice([-1.0, 1.0], count)
        self._wish = rng.uniform(1.0, 1.6, count) * np.sqrt(self._scale)
        self.speed = self._wish.copy()
        self._crossing = np.full(count, -1, np.int64)  # the crosswalk one is on, or waits at
        self._start, self._stop = np.zeros((count, 3)), np.zeros((count, 3))
        self._done = np.zeros(count)  # m across; negative: waits at the kerb
        self._waits = np.zeros(count)  # s at the kerb; since the last crossing otherwise
        self._dice = np.arange(1, count + 1, dtype=np.int64) * 7919
        self._goals = np.zeros(count, np.int64)  # the path's sample on the other side
        self._middles, self._across, self._wide, self._link, self._goal = _link(self._points, crosswalks)
        self.crossed = np.zeros(max(len(crosswalks), 1), np.bool_)
        self.step(0.0, np.zeros((0, 7)))

    def __len__(self) -> int:
        return len(self.poses)

    def bring(self, i: int, rng: np.random.Generator, focus: np.ndarray, forward: np.ndarray, least: float) -> None:
        """Let walker i reappear on a pavement round `focus` (2,), `least` to `FAR` metres away, and not right before
        its eyes."""
        away = self._points[:, :2] - focus
        distance = np.hypot(away[:, 0], away[:, 1])
        seen = (away @ forward > 0.7 * distance) & (distance < 0.6 * FAR)
        spots = np.flatnonzero((distance > least) & (distance < FAR) & ~seen)
        if len(spots):
            k = int(rng.choice(spots))
            self._ring[i] = int(np.searchsorted(self._first, k, side="right")) - 1
            self._at[i] = k - self._first[self._ring[i]]
            self._crossing[i] = -1
            self.poses[i, :3] = self._points[k]

    def remove(self, i: int) -> None:
        """Take walker i out; those after it move up."""
        for name in _STATE:
            setattr(self, name, np.delete(getattr(self, name), i, axis=0))

    @property
    def on_road(self) -> np.ndarray:
        """Who is on a crosswalk, f64 (M, 7), as in `lanes.look_ahead`."""
        out = np.flatnonzero((self._crossing >= 0) & (self._done > 0.0))
        half = np.full(len(out), 0.3)
        return np.column_stack(
            [self.poses[out, :2], self.poses[out, 3], half, half, self.speed[out], self.poses[out, 2]]
        )

    def step(self, delta: float, bodies: np.ndarray, closed: np.ndarray | None = None) -> None:
        """Advance by `delta` seconds; who is about to walk into one of `bodies` (as in `lanes.look_ahead`) waits.

        Nobody sets foot on crosswalks that are `closed`, bool (C,): traffic has green there.
        """
        if len(self):
            _walk(
                delta, self._points, self._first, self._loop, self._ring, self._at, self._way, self._wish, self.speed,
                self._walked, self._scale, self.poses, self.phase, bodies, self._crossing, self._start, self._stop,
                self._done, self._waits, self._dice, self._goals, self._middles, self._across, self._wide,
                self._link, self._goal,
                np.zeros(len(self.crossed), np.bool_) if closed is None else closed, self.crossed,
            )  # fmt: skip


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
    """Whether nothing stands on a crosswalk and nobody comes to it within seconds who does not stop."""
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
def _walk(  # type: ignore[no-untyped-def]
    delta, points, first, loop, ring, at, way, wish, speed, walked, scale, poses, phase, bodies, crossing, start, stop,
    done, waits, dice, goals, middles, acrosses, wide, link, goal, closed, crossed,
):  # fmt: skip
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
                elif waits[i] > GIVE_UP:
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
