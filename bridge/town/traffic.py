"""Vehicles that drive themselves: they keep lane and distance, obey lights, give way in junctions and turn at random.

Longitudinal behaviour is the Intelligent Driver Model (Treiber, Hennecke, Helbing 2000). A junction's lanes are
granted one vehicle after the other: nobody enters while someone is on a lane that crosses his, or while there is no
room behind it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.town.lanes import LaneTable, look_ahead, place
from bridge.town.vehicles import overlap

ROUTE = 6  # lanes a vehicle knows: the one behind it, its own, four ahead
FAR = 170.0  # m, traffic is kept within this distance of who drives
APART = 12.0  # m, least distance of two vehicles when they are put on the road


class Traffic:
    """All vehicles that drive themselves, as arrays over their number.

    ``poses`` f64 (N, 5): x, y, z (m), yaw, pitch (radians) of the centre of the footprint; ``speed`` f64 (N,), m/s;
    ``braking`` bool (N,); ``waited`` f64 (N,), seconds.
    """

    def __init__(self, table: LaneTable, lengths: np.ndarray, widths: np.ndarray, bases: np.ndarray) -> None:
        count = len(lengths)
        self.table = table
        self.half: np.ndarray = np.asarray(lengths, float) / 2
        self.wide: np.ndarray = np.asarray(widths, float) / 2
        self._half_base = np.asarray(bases, float) / 2
        self.routes = np.full((count, ROUTE), -1, np.int64)
        self.s = np.zeros(count)
        self.speed = np.zeros(count)
        self.braking = np.zeros(count, bool)
        self.waited: np.ndarray = np.zeros(count)  # s since each last moved
        self.poses = np.zeros((count, 5))
        self._temper = np.ones(count)  # share of the limit each drives at
        self._granted = np.full(count, -1, np.int64)
        self._holders = np.zeros(len(table.length), np.int64)
        self._probe = np.zeros((27, 4))
        self._turn = 0

    def __len__(self) -> int:
        return len(self.s)

    def scatter(self, rng: np.random.Generator, haste: np.ndarray) -> None:
        """Put everybody somewhere on the road, apart from each other; `haste` scales their speeds."""
        self._temper = rng.uniform(0.78, 1.02, len(self)) * haste
        self.poses[:, :2] = 1e9
        for i in range(len(self)):
            self.replace(i, rng, np.zeros((0, 2)))

    def replace(self, i: int, rng: np.random.Generator, keep_off: np.ndarray, distance: float = 40.0) -> None:
        """Move vehicle i to another place, `distance` metres away from every point of `keep_off` (K, 2)."""
        table = self.table
        self._release(i)
        weights = np.where((table.junction < 0) & (table.length > 24.0), table.length, 0.0)
        if not weights.any():
            weights = table.length
        others = np.delete(self.poses[:, :2], i, axis=0)
        for attempt in range(60):
            lane = int(rng.choice(len(weights), p=weights / weights.sum()))
            margin = min(8.0, table.length[lane] / 3)
            self.s[i] = rng.uniform(margin, max(table.length[lane] - margin - 6.0, margin + 0.1))
            self.routes[i] = -1
            self.routes[i, 1] = lane
            self._extend(i, rng)
            self._place(i)
            here = self.poses[i, :2]
            relax = 1.0 if attempt < 40 else 0.5
            if np.any(np.hypot(*(others - here).T) < APART * relax):
                continue
            if len(keep_off) and np.any(np.hypot(*(keep_off - here).T) < distance * relax):
                continue
            break
        self.speed[i] = 0.5 * table.pace[table.first[self.routes[i, 1]]]

    def bring(self, i: int, rng: np.random.Generator, focus: np.ndarray, forward: np.ndarray, least: float) -> None:
        """Let vehicle i reappear on a road round `focus` (2,), `least` to `FAR` metres away, and not right before its
        eyes."""
        table, points = self.table, self.table.points
        away = points[:, :2] - focus
        distance = np.hypot(away[:, 0], away[:, 1])
        seen = (away @ forward > 0.7 * distance) & (distance < 0.75 * FAR)
        rest = table.length[table.lane] - table.at
        fits = (
            (distance > least)
            & (distance < FAR)
            & ~seen
            & (table.junction[table.lane] < 0)
            & (rest > 14.0)
            & (table.at > 6.0)
        )
        spots = np.flatnonzero(fits)
        for _ in range(12 if len(spots) else 0):
            k = int(rng.choice(spots))
            others = np.delete(self.poses[:, :2], i, axis=0)
            if np.any(np.hypot(*(others - points[k, :2]).T) < APART + self.half[i]):
                continue
            self._release(i)
            self.routes[i] = -1
            self.routes[i, 1] = table.lane[k]
            self.s[i] = table.at[k]
            self._extend(i, rng)
            self._place(i)
            self.speed[i] = 0.6 * table.pace[k]
            self.waited[i] = 0.0
            return

    def remove(self, i: int) -> None:
        """Take vehicle i out; those after it move up."""
        self._release(i)
        for name in (
            "half",
            "wide",
            "_half_base",
            "routes",
            "s",
            "speed",
            "braking",
            "waited",
            "poses",
            "_temper",
            "_granted",
        ):
            setattr(self, name, np.delete(getattr(self, name), i, axis=0))

    def step(self, delta: float, lights: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> None:
        """Advance by `delta` seconds.

        `lights` i8 per lane (0 none, 1 red, 2 yellow, 3 green); `others` f64 (B, 6) as in `look_ahead`: all bodies on
        the road that do not belong here.
        """
        if not len(self):
            return
        table = self.table
        bodies = np.empty((len(self) + len(others), 6))
        bodies[: len(self), 0:2] = self.poses[:, :2]
        bodies[: len(self), 2] = self.poses[:, 3]
        bodies[: len(self), 3], bodies[: len(self), 4], bodies[: len(self), 5] = self.half, self.wide, self.speed
        bodies[len(self) :] = others
        self._turn += 1
        _drive(
            delta, self._turn, self.routes, self.s, self.speed, self.half, self.wide, self._temper, self.braking,
            self._granted, self._holders, lights, bodies, self._probe,
            table.length, table.first, table.at, table.points,
            table.pace, table.junction, table.stop, table.conflict_first, table.conflicts,
        )  # fmt: skip
        for i in np.flatnonzero(self.routes[:, ROUTE - 1] < 0):
            self._extend(int(i), rng)
        self.waited = np.where(self.speed > 0.1, 0.0, self.waited + delta)
        self._place()

    def _place(self, only: int | None = None) -> None:
        part = slice(None) if only is None else slice(only, only + 1)
        table = self.table
        place(
            self.routes[part], self.s[part], self._half_base[part], table.length, table.first, table.at, table.points,
            self.poses[part],
        )  # fmt: skip

    def _extend(self, i: int, rng: np.random.Generator) -> None:
        route = self.routes[i]
        for k in range(2, ROUTE):
            if route[k] < 0:
                ways = self.table.next[route[k - 1]] if route[k - 1] >= 0 else ()
                if not len(ways):
                    break
                route[k] = ways[int(rng.integers(len(ways)))]

    def _release(self, i: int) -> None:
        if self._granted[i] >= 0:
            self._holders[self._granted[i]] -= 1
            self._granted[i] = -1


@njit(cache=True, nogil=True)
def _may_enter(  # type: ignore[no-untyped-def]
    i, lane, beyond, granted, holders, bodies, own, half, length, first, at, points, conflict_first, conflicts
):
    """Whether a junction's lane is free for vehicle i, and there is room on the lane beyond it."""
    for c in range(conflict_first[lane], conflict_first[lane + 1]):
        other = conflicts[c]
        if holders[other] > 0:
            return False
        for j in range(own, len(bodies)):  # somebody who asks for nothing stands or drives in the way
            if bodies[j, 4] < 0.5:
                continue
            for p in range(first[other], first[other + 1]):
                if (points[p, 0] - bodies[j, 0]) ** 2 + (points[p, 1] - bodies[j, 1]) ** 2 < 6.0:
                    return False
    if beyond >= 0:
        need = min(2.0 * half + 3.0, length[beyond] - 0.1)
        for j in range(len(bodies)):
            if j == i or bodies[j, 5] > 2.5:
                continue
            for p in range(first[beyond], first[beyond + 1]):
                if at[p] > need + bodies[j, 3]:
                    break
                if (points[p, 0] - bodies[j, 0]) ** 2 + (points[p, 1] - bodies[j, 1]) ** 2 < 1.5:
                    return False
    return True


@njit(cache=True, nogil=True)
def _drive(  # type: ignore[no-untyped-def]
    delta, turn, routes, s, speed, half, wide, temper, braking, granted, holders, lights, bodies, probe,
    length, first, at, points, pace, junction, stop, conflict_first, conflicts,
):  # fmt: skip
    """One tick of every vehicle: grants, acceleration, motion along the route."""
    count = len(s)
    for n in range(count):
        i = (n + turn) % count  # everybody is first once, so that nobody starves at a junction
        route = routes[i]
        # The first place on the route where one may have to wait: before a junction that is not granted yet.
        wait = 1e9
        ahead = -s[i] - half[i]
        for k in range(1, len(route) - 1):
            if route[k] < 0 or route[k + 1] < 0:
                if route[k] >= 0:
                    wait = min(wait, ahead + length[route[k]] - 1.0)  # the road ends here
                break
            ahead += length[route[k]]
            if ahead > 60.0:
                break
            lane = route[k + 1]
            if junction[lane] < 0 or junction[route[k]] >= 0 or granted[i] == lane:
                continue
            line = ahead - stop[route[k]]
            light = lights[route[k]]
            if line < -3.0 and light != 0:
                light = 3  # already past its light
            free_run = speed[i] * speed[i] / 5.0 + 6.0
            may = light == 0 or light == 3 or (light == 2 and line < speed[i] * speed[i] / 8.0)
            if may and granted[i] < 0 and line < free_run:
                beyond = route[k + 2] if k + 2 < len(route) else -1
                if _may_enter(
                    i, lane, beyond, granted, holders, bodies, count, half[i],
                    length, first, at, points, conflict_first, conflicts,
                ):  # fmt: skip
                    granted[i] = lane
                    holders[lane] += 1
                    continue
            wait = line
            break
        free, pacer, allowed = look_ahead(
            i, route, s[i], half[i], wide[i], speed[i], length, first, at, points, pace, bodies, probe
        )
        allowed *= temper[i]
        v = speed[i]
        strongest = 1.7 * (1.0 - (v / max(allowed, 0.1)) ** 4)
        strongest = max(strongest, -3.0)
        for obstacle in range(2):
            gap = free if obstacle == 0 else wait
            if gap > 200.0:
                continue
            standing = 2.2 if obstacle == 0 else 0.6
            approach = v - (pacer if obstacle == 0 else 0.0)
            wish = standing + max(0.0, 1.15 * v + v * approach / (2.0 * np.sqrt(1.7 * 2.6)))
            strongest = min(strongest, 1.7 * (1.0 - (v / max(allowed, 0.1)) ** 4 - (wish / max(gap, 0.05)) ** 2))
            if gap < 0.3:
                strongest = -8.0
        strongest = max(strongest, -8.0)
        v = max(0.0, v + strongest * delta)
        if v < 0.12 and strongest < 0.3:
            v = 0.0
        for j in range(count, len(bodies)):
            if v > 0.0 and overlap(
                bodies[i, 0] + v * delta * np.cos(bodies[i, 2]), bodies[i, 1] + v * delta * np.sin(bodies[i, 2]),
                bodies[i, 2], half[i], wide[i], bodies[j, 0], bodies[j, 1], bodies[j, 2], bodies[j, 3], bodies[j, 4],
            )[0] > 0.0:  # fmt: skip
                v = 0.0
        braking[i] = strongest < -0.6 or v == 0.0
        speed[i] = v
        s[i] += v * delta
        while s[i] > length[route[1]] and route[2] >= 0:
            s[i] -= length[route[1]]
            for k in range(len(route) - 1):
                route[k] = route[k + 1]
            route[len(route) - 1] = -1
        if granted[i] >= 0 and route[1] != granted[i] and route[0] == granted[i] and s[i] > half[i] + 0.5:
            holders[granted[i]] -= 1
            granted[i] = -1
