"""The background vehicles: they keep lane and distance, obey lights, give way, change lanes, turn at random.

Longitudinal behaviour is the Intelligent Driver Model (Treiber, Hennecke, Helbing 2000). A junction's lanes are
granted to one vehicle after the other: none enters while a crossing lane is occupied, while a vehicle with the right of
way approaches, or while there is no room beyond. Lanes are changed where that pays.
"""

import numpy as np

from neuralsim.town.dynamics.driving_kernels import Fleet, drive, lane_changes
from neuralsim.town.dynamics.focus import Focus
from neuralsim.town.dynamics.lanes import LEVEL, LaneTable, place

ROUTE = 6  # lanes of a route: the one behind the vehicle, its own, four ahead
FAR, FAR_MOTORWAY = 170.0, 380.0  # m, traffic is kept within this distance of driven vehicles
CHANGE = 3.4  # s, duration of a lane change
STUCK_TIMEOUT = 45.0  # s of standing after which an unseen vehicle is moved elsewhere
JAM_TIMEOUT = 75.0  # s of standing, longer than a red light, after which a vehicle is moved elsewhere in any case
_SEEN, _CLOSE = 50.0, 8.0  # m: further away nobody looks; within, even from behind, it is noticed
_IS_VEHICLE = 1.0  # m, least half length of a vehicle among bodies
#: Top speeds by base type, m/s.
CRUISE = {"car": 46.0, "van": 36.0, "truck": 24.0, "bus": 27.0, "motorcycle": 46.0, "bicycle": 6.0}
APART = 12.0  # m, least distance to others when a vehicle is put on the road

_PER_VEHICLE = (
    "half", "wide", "_half_base", "routes", "s", "speed", "braking", "waited", "poses", "blinker", "fastest",
    "_speed_factor", "_granted", "_refused", "_changed", "_from", "_aside", "_drift",
)  # fmt: skip


class Traffic:
    """All background vehicles, as arrays of length N.

    ``poses`` f64 (N, 5): x, y, z (m), yaw, pitch (radians) of the centre of the footprint; ``speed`` f64 (N,), m/s;
    ``braking`` bool (N,); ``waited`` f64 (N,), s since each last moved; ``blinker`` i8 (N,): -1 left, 1 right;
    ``far``: traffic is kept within this many metres of driven vehicles; ``fastest`` f64 (N,), top speeds, m/s.
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
        self.waited: np.ndarray = np.zeros(count)
        self.blinker = np.zeros(count, np.int8)
        self.fastest: np.ndarray = np.full(count, 60.0)
        self.far = FAR_MOTORWAY if table.on_motorways else FAR
        self.poses = np.zeros((count, 5))
        self._changed = np.full(count, 99.0)  # s since each began its last lane change
        self._from = np.zeros(count)  # m to the right of its lane at which it began
        self._aside: np.ndarray = np.zeros(count)
        self._drift = np.zeros(count)
        self._speed_factor = np.ones(count)  # share of the speed limit that each drives
        self._granted = np.full(count, -1, np.int64)
        self._refused = np.full(count, -1, np.int64)  # junction lane refused to each
        self._holders = np.zeros(len(table.length), np.int64)
        self._probe = np.zeros((34, 4))
        self._turn = 0

    def __len__(self) -> int:
        return len(self.s)

    @property
    def bodies(self) -> np.ndarray:
        """Bodies of the vehicles, f64 (N, 7), as in ``look_ahead``; in C order, for which the kernels are compiled."""
        x, y, z, yaw, _ = self.poses.T
        return np.column_stack([x, y, yaw, self.half, self.wide, self.speed, z])

    def scatter(self, rng: np.random.Generator, factors: np.ndarray) -> None:
        """Place all vehicles at random on the road, apart from each other. ``factors`` f64 (N,) scales their speeds.

        Those for which there is no room stand in another one: see `without_room`.
        """
        self._speed_factor = rng.uniform(0.78, 1.02, len(self)) * factors
        self.poses[:, :2] = 1e9
        for i in range(len(self)):
            self.replace(i, rng, np.zeros((0, 2)))

    def without_room(self) -> list[int]:
        """Return the vehicles that stand in another one before them."""
        poses, half = self.poses, self.half
        apart = np.hypot(*(poses[:, None, :2] - poses[None, :, :2]).transpose(2, 0, 1))
        level = np.abs(poses[:, None, 2] - poses[None, :, 2]) < LEVEL
        taken = np.tril(level & (apart < half[:, None] + half), -1)
        return np.flatnonzero(taken.any(axis=1)).tolist()

    def replace(self, i: int, rng: np.random.Generator, keep_off: np.ndarray, distance: float = 40.0) -> None:
        """Move vehicle ``i`` to a random place, ``distance`` m away from every point of ``keep_off`` f64 (K, 2)."""
        table = self.table
        self._release(i)
        self._straighten(i)
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
            room = APART + 0.7 * max(table.pace[table.first[lane]] - 14.0, 0.0)
            if np.any(np.hypot(*(others - here).T) < room * relax):
                continue
            if len(keep_off) and np.any(np.hypot(*(keep_off - here).T) < distance * relax):
                continue
            break
        pace = float(table.pace[table.first[self.routes[i, 1]]])
        self.speed[i] = min((0.5 if pace < 20.0 else 0.9) * pace, self.fastest[i])
        self.waited[i] = 0.0

    def bring(self, i: int, rng: np.random.Generator, focus: Focus) -> None:
        """Move vehicle ``i`` to a road around ``focus``; ``rng`` draws the place, at most ``far`` metres away."""
        table, points = self.table, self.table.points
        rest = table.length[table.lane] - table.at
        fits = (
            focus.allowed(points, self.far, 0.75 * self.far)
            & (table.junction[table.lane] < 0)
            & (rest > 14.0)
            & (table.at > 6.0)
        )
        spots = np.flatnonzero(fits)
        for _ in range(12 if len(spots) else 0):
            k = int(rng.choice(spots))
            others = np.delete(self.poses[:, :2], i, axis=0)
            room = APART + self.half[i] + 0.7 * max(table.pace[k] - 14.0, 0.0)
            if np.any(np.hypot(*(others - points[k, :2]).T) < room):
                continue
            self._release(i)
            self._straighten(i)
            self.routes[i] = -1
            self.routes[i, 1] = table.lane[k]
            self.s[i] = table.at[k]
            self._extend(i, rng)
            self._place(i)
            self.speed[i] = min((0.6 if table.pace[k] < 20.0 else 0.92) * table.pace[k], self.fastest[i])
            self.waited[i] = 0.0
            return

    def remove(self, i: int) -> None:
        """Remove vehicle ``i``. Those after it move up."""
        self._release(i)
        for name in _PER_VEHICLE:
            setattr(self, name, np.delete(getattr(self, name), i, axis=0))

    def step(
        self,
        delta: float,
        lights: np.ndarray,
        others: np.ndarray,
        rng: np.random.Generator,
        crossed: np.ndarray | None = None,
    ) -> None:
        """Advance by ``delta`` seconds.

        Args:
            delta: s.
            lights: i8 per lane, 0 none, 1 red, 2 yellow, 3 green.
            others: f64 (B, 7) as in ``look_ahead``, all other bodies on the road.
            rng: Draws turns.
            crossed: bool per crosswalk, in use or waited at.
        """
        if not len(self):
            return
        table = self.table
        if crossed is None:
            crossed = np.zeros(max(int(table.cross_id.max(initial=-1)) + 1, 1), bool)
        bodies = np.concatenate([self.bodies, others])
        self._turn += 1
        drive(delta, self._turn, self._fleet(), self._holders, lights, crossed, bodies, self._probe, table.arrays)
        for i in np.flatnonzero(self.routes[:, ROUTE - 1] < 0):
            self._extend(int(i), rng)
        self._change_lanes(delta, bodies, rng)
        self.waited = np.where(self.speed > 0.1, 0.0, self.waited + delta)
        keep_off = others[:, :2]
        for i in np.flatnonzero(self.waited > 3.0):  # at the end of a road, or in a jam
            is_road_end = self.routes[i, 2] < 0 and lights[self.routes[i, 1]] == 0
            is_stuck = self.waited[i] > STUCK_TIMEOUT and self._unseen(int(i), others)
            if is_road_end or is_stuck or self.waited[i] > JAM_TIMEOUT:
                self.replace(int(i), rng, keep_off)
        self._place()

    def _fleet(self) -> Fleet:
        return Fleet(
            self.routes, self.s, self.speed, self.half, self.wide, self._speed_factor, self.fastest, self.braking,
            self.blinker, self.waited, self._granted, self._refused, self._changed,
        )  # fmt: skip

    def _unseen(self, i: int, others: np.ndarray) -> bool:
        """Return whether vehicle ``i`` is far away from, or well behind, all vehicles among ``others``.

        Pedestrians do not matter: at a junction there is always one.
        """
        cars = others[others[:, 3] > _IS_VEHICLE]
        away = self.poses[i, :2] - cars[:, :2]
        distance = np.hypot(away[:, 0], away[:, 1])
        ahead = away[:, 0] * np.cos(cars[:, 2]) + away[:, 1] * np.sin(cars[:, 2])
        return bool(((distance > _SEEN) | ((ahead < 0.3 * distance) & (distance > _CLOSE))).all())

    def _change_lanes(self, delta: float, bodies: np.ndarray, rng: np.random.Generator) -> None:
        """Continue lane changes, and begin new ones."""
        table = self.table
        self._changed += delta
        share = np.clip(self._changed / CHANGE, 0.0, 1.0)
        self._aside = self._from * (1.0 - share * share * (3.0 - 2.0 * share))
        aslant = -self._from * 6.0 * share * (1.0 - share) / CHANGE
        self._drift = np.arctan2(aslant, np.maximum(self.speed, 2.0))
        targets = lane_changes(self._turn, self._fleet(), bodies, table.arrays)
        for i in np.flatnonzero(targets >= 0):
            old, new = int(self.routes[i, 1]), int(targets[i])
            self._from[i] = self._gap(new, old, float(self.s[i] / table.length[old]))
            self._changed[i] = 0.0
            self._aside[i] = self._from[i]
            self.s[i] *= table.length[new] / table.length[old]
            self.routes[i] = -1
            self.routes[i, 1] = new
            self._extend(int(i), rng)
        is_changing = self._changed < CHANGE
        self.blinker[is_changing] = np.where(self._from[is_changing] > 0.0, -1, 1)

    def _gap(self, new: int, old: int, share: float) -> float:
        """Return how far (m) to the right of lane ``new`` lane ``old`` lies, at a share of their length."""
        spots, table = [], self.table
        for lane in (new, old):
            part = slice(table.first[lane], table.first[lane + 1])
            where = share * table.length[lane]
            spots.append([float(np.interp(where, table.at[part], table.points[part, d])) for d in range(2)])
            if lane == new:
                k = min(int(np.searchsorted(table.at[part], where)), part.stop - part.start - 1)
                way = table.points[part.start + max(k, 1)] - table.points[part.start + max(k, 1) - 1]
        aside = np.array(spots[1]) - spots[0]
        return float((aside[1] * way[0] - aside[0] * way[1]) / max(float(np.hypot(way[0], way[1])), 1e-6))

    def _straighten(self, i: int) -> None:
        self._changed[i], self._from[i], self._aside[i], self._drift[i] = 99.0, 0.0, 0.0, 0.0

    def _place(self, only: int | None = None) -> None:
        part = slice(None) if only is None else slice(only, only + 1)
        place(
            self.routes[part], self.s[part], self._half_base[part], self._aside[part], self._drift[part],
            self.table.arrays, self.poses[part],
        )  # fmt: skip

    def _extend(self, i: int, rng: np.random.Generator) -> None:
        """Fill up the route of vehicle ``i`` with random turns."""
        route = self.routes[i]
        for k in range(2, ROUTE):
            if route[k] < 0:
                ways = self.table.next[route[k - 1]] if route[k - 1] >= 0 else ()
                if not len(ways):
                    break
                route[k] = ways[int(rng.integers(len(ways)))]

    def _release(self, i: int) -> None:
        """Return a junction lane that was granted to vehicle ``i``."""
        if self._granted[i] >= 0:
            self._holders[self._granted[i]] -= 1
            self._granted[i] = -1
