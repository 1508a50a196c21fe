"""The lane graph as flat arrays, and the compiled queries of the traffic on it."""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.town.ground.blocks import points_in_polygon
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import Network

COMFORT = 2.2  # m/s^2, comfortable lateral acceleration in bends
LEVEL = 3.0  # m, bodies further apart in height are on different roads
CLEAR = 2.4  # m between the centre lines of two lanes of a junction from which on they do not conflict


class LaneArrays(NamedTuple):
    """The arrays of a ``LaneTable`` for kernels: K lanes with M samples, C conflicts and X crossings of crosswalks."""

    length: np.ndarray  # f64 (K,), m
    first: np.ndarray  # i64 (K + 1,): lane k owns samples first[k] to first[k + 1]
    at: np.ndarray  # f64 (M,), m along the lane
    points: np.ndarray  # f64 (M, 3), m
    pace: np.ndarray  # f64 (M,), m/s that the bend and the limit allow
    junction: np.ndarray  # i64 (K,), -1 outside
    stop: np.ndarray  # f64 (K,), m from the stop line to the end of the lane
    turn: np.ndarray  # i8 (K,): -1 left, 1 right, 0 straight on
    conflict_first: np.ndarray  # i64 (K + 1,)
    conflicts: np.ndarray  # i64 (C,), lanes that cross or join
    yields: np.ndarray  # bool (C,), whether it gives way there
    major: np.ndarray  # bool (K,), gives way to no lane
    cross_first: np.ndarray  # i64 (K + 1,)
    cross_at: np.ndarray  # f64 (X,), m along the lane
    cross_id: np.ndarray  # i64 (X,)
    left: np.ndarray  # i64 (K,), inner neighbour that one may change to, -1 = none: to the left where one keeps right
    right: np.ndarray  # i64 (K,), the outer one
    leaves: np.ndarray  # i8 (K,): 1 ends in an exit, 2 merges soon


class LaneTable:
    """All driving lanes as flat arrays: those of ``LaneArrays``, as ``arrays`` for kernels, and some more.

    ``lane`` i64 (M,) is the lane of each sample. ``conflicts[conflict_first[k]:conflict_first[k + 1]]`` are the lanes
    of the same junction that cross or join lane k. Crosswalk ``cross_id[c]`` lies ``cross_at[c]`` m along lane k for c
    from ``cross_first[k]`` to ``cross_first[k + 1]``.
    """

    def __init__(self, network: Network) -> None:
        lanes = network.lanes
        counts = [len(lane.centre) for lane in lanes]
        self.first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.points = np.concatenate([lane.centre for lane in lanes])
        self.at = np.concatenate([_arc(lane.centre) for lane in lanes])
        self.length = self.at[self.first[1:] - 1]
        self.lane = np.repeat(np.arange(len(lanes)), counts)  # of every sample
        self.junction = np.array([lane.junction for lane in lanes], np.int64)
        self.pace = np.concatenate([_pace(lane.centre, lane.speed) for lane in lanes])
        self.stop = np.full(len(lanes), 1.2)  # m from where vehicles wait to the end of the lane
        for signal in network.signals:
            self.stop[list(signal.lanes)] = signal.stop
        self.next = [np.array(lane.next, np.int64) for lane in lanes]
        self.turn = np.array([_turn(lane) for lane in lanes], np.int8)
        self.motorway = np.array([lane.road_type == "motorway" for lane in lanes])
        self.on_motorways = bool(self.length[self.motorway].sum() > 0.3 * self.length.sum())
        self._find_neighbours(network)
        self._find_conflicts(network)
        self._find_crossings(network)
        self.arrays = LaneArrays(*(getattr(self, name) for name in LaneArrays._fields))

    def _find_neighbours(self, network: Network) -> None:
        """Set the neighbours of every lane, and which lanes are about to end."""
        lanes = network.lanes
        self.left, self.right = (np.full(len(lanes), -1, np.int64) for _ in range(2))
        lane_counts: dict[tuple[int, int], int] = {}  # driving lanes by road and section
        for lane in lanes:
            lane_counts[lane.road, lane.section] = lane_counts.get((lane.road, lane.section), 0) + 1
        self._wide = np.array([lane_counts[lane.road, lane.section] for lane in lanes])
        for k, lane in enumerate(lanes):
            inner = network.index.get((lane.road, lane.section, lane.id - (1 if lane.id > 0 else -1)))
            mark = lane.inner_marking
            if inner is not None and lane.junction < 0 and (mark is None or "broken" in mark.kind):
                self.left[k], self.right[inner] = inner, k
        self.leaves = np.zeros(len(lanes), np.int8)
        for k, lane in enumerate(lanes):
            inner = int(self.left[k])
            if inner < 0 or not lane.next or not all(lanes[n].junction >= 0 for n in lane.next):
                continue
            if max(self._wide[lane.next]) == 1 and max(self._wide[lanes[inner].next], default=1) > 1:
                after = {m for n in lane.next for m in lanes[n].next}
                on = {m for n in lanes[inner].next for m in lanes[n].next}
                self.leaves[k] = 2 if after & on else 1

    def _rank(self, network: Network, before: dict[int, set[int]]) -> np.ndarray:
        """Return how much right of way each junction lane has: faster and wider roads come first, then straight on."""
        rank = np.zeros(len(network.lanes))
        for k, lane in enumerate(network.lanes):
            if lane.junction >= 0:
                sources = before.get(k, {k})
                speed = max(network.lanes[n].speed for n in sources)
                rank[k] = 0.36 * speed + 3.0 * (self._wide[k] > 1)
                rank[k] += 3.0 * (max(self._wide[n] for n in sources) > 2)
                rank[k] += {-1: -1.0, 0: 1.0, 1: 0.0}[int(self.turn[k]) * (-1 if lane.keeps_left else 1)]
        return rank

    def _find_crossings(self, network: Network) -> None:
        """Set where lanes lead over crosswalks."""
        crossings: list[tuple[int, float, int]] = []
        middles = np.array([polygon[:4, :2].mean(0) for polygon in network.crosswalks]).reshape(-1, 2)
        for k in range(len(self.length)):
            part = slice(self.first[k], self.first[k + 1])
            line = self.points[part, :2]
            near = np.flatnonzero(np.abs(middles[:, None] - line[None]).sum(-1).min(axis=1) < 14.0)
            for c in near.tolist():
                fine = np.linspace(0.0, self.length[k], max(3, int(self.length[k] / 0.4)))
                places = np.stack([np.interp(fine, self.at[part], line[:, d]) for d in range(2)], axis=1)
                covered = np.flatnonzero(points_in_polygon(places, network.crosswalks[c][:, :2]))
                if len(covered):
                    crossings.append((k, float(fine[covered[0]]), c))
        self.cross_at = np.array([at for _, at, _ in crossings], np.float64)
        self.cross_id = np.array([c for _, _, c in crossings], np.int64)
        owners = np.array([k for k, _, _ in crossings], np.int64)
        self.cross_first = np.searchsorted(owners, np.arange(len(self.length) + 1)).astype(np.int64)

    def closed_crosswalks(self, lights: np.ndarray, count: int) -> np.ndarray:
        """Return which crosswalks are closed to pedestrians, bool (``count``,): a lane across has green or yellow."""
        closed = np.zeros(count, np.bool_)
        owner = np.repeat(np.arange(len(self.length)), np.diff(self.cross_first))
        closed[self.cross_id[lights[owner] > 1]] = True
        return closed

    def _find_conflicts(self, network: Network) -> None:
        """Set which lanes of a junction conflict, and who gives way."""
        before: dict[int, set[int]] = {}
        for k, lane in enumerate(network.lanes):
            for other in lane.next:
                before.setdefault(other, set()).add(k)
        members: dict[int, list[int]] = {}
        for k, junction in enumerate(self.junction.tolist()):
            if junction >= 0:
                members.setdefault(junction, []).append(k)
        conflicts: list[list[int]] = [[] for _ in network.lanes]
        for group in members.values():
            for i, a in enumerate(group):
                for b in group[i + 1 :]:
                    if before.get(a, set()) & before.get(b, set()):
                        continue  # from the same lane: one follows the other
                    pa, pb = network.lanes[a].centre[:, :2], network.lanes[b].centre[:, :2]
                    if np.abs(pa[:, None] - pb[None]).sum(-1).min() > 2 * CLEAR:
                        continue
                    if np.linalg.norm(pa[:, None] - pb[None], axis=-1).min() < CLEAR:
                        conflicts[a].append(b)
                        conflicts[b].append(a)
        self.conflict_first = np.concatenate([[0], np.cumsum([len(others) for others in conflicts])]).astype(np.int64)
        self.conflicts = np.array([k for others in conflicts for k in others], np.int64)
        rank = self._rank(network, before)
        owner = np.repeat(np.arange(len(conflicts)), np.diff(self.conflict_first))
        self.yields = rank[self.conflicts] > rank[owner] + 0.5
        crossed = np.diff(self.conflict_first) > 0
        gives_way = np.zeros(len(conflicts), bool)
        gives_way[owner[rank[self.conflicts] >= rank[owner]]] = True
        self.major = (self.junction >= 0) & (~crossed | (self.motorway & ~gives_way))


def _arc(points: np.ndarray) -> np.ndarray:
    """Return the arc length (m) at each point f64 (N, 3) of a line, f64 (N,)."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _pace(points: np.ndarray, limit: float) -> np.ndarray:
    """Return the speed (m/s) that bends and the limit allow at every sample, f64 (N,)."""
    steps = np.diff(points[:, :2], axis=0)
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    bend = np.abs(np.diff(heading)) / np.maximum(np.linalg.norm(steps[1:], axis=1), 0.05)
    bend = np.concatenate([[0.0], bend, [0.0]])
    bend = np.maximum(bend, np.maximum(np.roll(bend, 1), np.roll(bend, -1)) * 0.8)
    return np.minimum(limit, np.sqrt(COMFORT / np.maximum(bend, 1e-3)))


def _turn(lane: Lane) -> int:
    """Return whether a junction lane turns left (-1) or right (1) in the driver's view, 0 for straight on."""
    if lane.junction < 0 or len(lane.centre) < 3:
        return 0
    a, b = lane.centre[1] - lane.centre[0], lane.centre[-1] - lane.centre[-2]
    angle = float(np.arctan2(a[0] * b[1] - a[1] * b[0], a[:2] @ b[:2]))  # y points right: clockwise is positive
    return 0 if abs(angle) < np.radians(35.0) else 1 if angle > 0.0 else -1


@njit(**kernels.EXACT)
def locate(route, s, lanes):  # type: ignore[no-untyped-def]
    """Return the sample and the share to the next one, ``s`` m along a route i64 (R,) from its lane 1 on."""
    length, first, at = lanes.length, lanes.first, lanes.at
    k = 1
    while s < 0.0 and k > 0 and route[k - 1] >= 0:
        k -= 1
        s += length[route[k]]
    while k + 1 < len(route) and s > length[route[k]] and route[k + 1] >= 0:
        s -= length[route[k]]
        k += 1
    lane = route[k]
    low, high = first[lane], first[lane + 1] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if at[middle] <= s:
            low = middle
        else:
            high = middle
    return low, (s - at[low]) / max(at[low + 1] - at[low], 1e-9)


@njit(**kernels.EXACT)
def place(routes, s, half_base, aside, drift, lanes, poses):  # type: ignore[no-untyped-def]
    """Write the pose of every vehicle, computed from the points under its axles, into ``poses``.

    ``routes`` i64 (N, R); ``s`` f64 (N,), m along ``routes[:, 1]``; ``half_base`` f64 (N,), half the wheelbase, m;
    ``aside`` f64 (N,), m to the right of its lane during a lane change; ``drift`` f64 (N,), radians off the lane's
    direction; ``lanes``: ``LaneArrays``; ``poses`` f64 (N, 5): x, y, z (m), yaw, pitch (radians).
    """
    points = lanes.points
    for i in range(len(s)):
        k, f = locate(routes[i], s[i] + half_base[i], lanes)
        b, g = locate(routes[i], s[i] - half_base[i], lanes)
        fx = points[k, 0] + f * (points[k + 1, 0] - points[k, 0])
        fy = points[k, 1] + f * (points[k + 1, 1] - points[k, 1])
        fz = points[k, 2] + f * (points[k + 1, 2] - points[k, 2])
        bx = points[b, 0] + g * (points[b + 1, 0] - points[b, 0])
        by = points[b, 1] + g * (points[b + 1, 1] - points[b, 1])
        bz = points[b, 2] + g * (points[b + 1, 2] - points[b, 2])
        poses[i, 0], poses[i, 1], poses[i, 2] = (fx + bx) / 2, (fy + by) / 2, (fz + bz) / 2
        yaw = np.arctan2(fy - by, fx - bx)
        poses[i, 0] -= np.sin(yaw) * aside[i]
        poses[i, 1] += np.cos(yaw) * aside[i]
        poses[i, 3] = yaw + drift[i]
        poses[i, 4] = np.arctan2(fz - bz, np.hypot(fx - bx, fy - by))


@njit(**kernels.EXACT)
def look_ahead(i, route, s, half, wide, speed, lanes, bodies, probe):  # type: ignore[no-untyped-def]
    """Return free distance ahead of vehicle ``i`` (m), speed of its leader along the route and allowed speed (m/s).

    ``route`` i64 (R,); ``s``: m along ``route[1]``; ``half``, ``wide``: half length and width, m; ``speed``: m/s;
    ``lanes``: ``LaneArrays``; ``bodies`` f64 (B, 7): x, y, yaw (radians), half length, half width, speed, z;
    ``probe`` f64 (P, 4), scratch: x, y (m), direction.
    """
    points, pace = lanes.points, lanes.pace
    reach = min(190.0, 14.0 + 2.2 * speed + speed * speed / 14.0)
    step = max(2.0, reach / (len(probe) - 2))
    count = min(len(probe), int(reach / step) + 2)
    allowed = 1e9
    for p in range(count):
        k, f = locate(route, s + half + step * p, lanes)
        dx, dy = points[k + 1, 0] - points[k, 0], points[k + 1, 1] - points[k, 1]
        probe[p, 0], probe[p, 1] = points[k, 0] + f * dx, points[k, 1] + f * dy
        norm = max(np.hypot(dx, dy), 1e-9)
        probe[p, 2], probe[p, 3] = dx / norm, dy / norm
        allowed = min(allowed, np.sqrt(pace[k] ** 2 + 2.0 * 1.6 * step * p))
    k, f = locate(route, s, lanes)
    allowed = min(allowed, pace[k])
    free, leader_speed = 1e9, 0.0
    for j in range(len(bodies)):
        if j == i or abs(bodies[j, 6] - bodies[i, 6]) > LEVEL:
            continue
        if (bodies[j, 0] - probe[0, 0]) ** 2 + (bodies[j, 1] - probe[0, 1]) ** 2 > (reach + bodies[j, 3]) ** 2:
            continue
        cos, sin = np.cos(bodies[j, 2]), np.sin(bodies[j, 2])
        radius = bodies[j, 4]
        out = max(bodies[j, 3] - radius, 0.0)
        for part in range(3):
            x = bodies[j, 0] + cos * out * (part - 1)
            y = bodies[j, 1] + sin * out * (part - 1)
            for p in range(count):
                ux, uy = probe[p, 2], probe[p, 3]
                along = (x - probe[p, 0]) * ux + (y - probe[p, 1]) * uy
                if along < -0.2 - (radius if p == 0 else 0.0) or along > step + 0.2:
                    continue
                if abs((y - probe[p, 1]) * ux - (x - probe[p, 0]) * uy) < wide + radius + 0.25:
                    gap = step * p + along - radius
                    if gap < free:
                        free = gap
                        leader_speed = max(0.0, bodies[j, 5] * (cos * ux + sin * uy))
                    break
    return free, leader_speed, allowed
