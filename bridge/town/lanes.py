"""The lane graph as flat arrays and the compiled questions that traffic asks of it every tick."""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.town.network import Network

COMFORT = 2.2  # m/s^2 across, in bends
CLEAR = 2.4  # m between the centre lines of two lanes in a junction that do not disturb each other


class LaneTable:
    """Every driving lane's samples, end to end.

    ``points`` f64 (M, 3), metres; ``at`` f64 (M,), metres along the lane; ``pace`` f64 (M,), m/s that the bend and
    the limit allow there; ``lane`` i64 (M,), whose it is; lane k owns samples ``first[k]`` to ``first[k + 1]``.
    ``conflicts[conflict_first[k]:conflict_first[k + 1]]`` are the lanes of the same junction that cross or join lane
    k.
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
        self.stop = np.full(len(lanes), 1.2)  # m from the end of a lane to where one waits
        for signal in network.signals:
            self.stop[list(signal.lanes)] = signal.stop
        self.next = [np.array(lane.next, np.int64) for lane in lanes]
        self._conflicts(network)

    def _conflicts(self, network: Network) -> None:
        before: dict[int, set[int]] = {}
        for k, lane in enumerate(network.lanes):
            for other in lane.next:
                before.setdefault(other, set()).add(k)
        members: dict[int, list[int]] = {}
        for k, junction in enumerate(self.junction.tolist()):
            if junction >= 0:
                members.setdefault(junction, []).append(k)
        found: list[list[int]] = [[] for _ in network.lanes]
        for group in members.values():
            for i, a in enumerate(group):
                for b in group[i + 1 :]:
                    if before.get(a, set()) & before.get(b, set()):
                        continue  # from the same lane: one follows the other
                    pa, pb = network.lanes[a].centre[:, :2], network.lanes[b].centre[:, :2]
                    if np.abs(pa[:, None] - pb[None]).sum(-1).min() > 2 * CLEAR:
                        continue
                    if np.linalg.norm(pa[:, None] - pb[None], axis=-1).min() < CLEAR:
                        found[a].append(b)
                        found[b].append(a)
        self.conflict_first = np.concatenate([[0], np.cumsum([len(f) for f in found])]).astype(np.int64)
        self.conflicts = np.array([k for f in found for k in f], np.int64)


def _arc(points: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _pace(points: np.ndarray, limit: float) -> np.ndarray:
    """Speed that bends allow at every sample, f64 (N,), m/s."""
    steps = np.diff(points[:, :2], axis=0)
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    bend = np.abs(np.diff(heading)) / np.maximum(np.linalg.norm(steps[1:], axis=1), 0.05)
    bend = np.concatenate([[0.0], bend, [0.0]])
    bend = np.maximum(bend, np.maximum(np.roll(bend, 1), np.roll(bend, -1)) * 0.8)
    return np.minimum(limit, np.sqrt(COMFORT / np.maximum(bend, 1e-3)))


@njit(cache=True, nogil=True)
def locate(route, s, length, first, at):  # type: ignore[no-untyped-def]
    """Where on its route (row of lane indices, entry 1 is where s is measured) a distance lies: sample index, share
    to the next."""
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


@njit(cache=True, nogil=True)
def place(routes, s, half_base, length, first, at, points, poses):  # type: ignore[no-untyped-def]
    """Pose of every vehicle from the points under its axles: f64 (N, 5) of x, y, z, yaw, pitch (radians) into
    `poses`."""
    for i in range(len(s)):
        k, f = locate(routes[i], s[i] + half_base[i], length, first, at)
        b, g = locate(routes[i], s[i] - half_base[i], length, first, at)
        fx = points[k, 0] + f * (points[k + 1, 0] - points[k, 0])
        fy = points[k, 1] + f * (points[k + 1, 1] - points[k, 1])
        fz = points[k, 2] + f * (points[k + 1, 2] - points[k, 2])
        bx = points[b, 0] + g * (points[b + 1, 0] - points[b, 0])
        by = points[b, 1] + g * (points[b + 1, 1] - points[b, 1])
        bz = points[b, 2] + g * (points[b + 1, 2] - points[b, 2])
        poses[i, 0], poses[i, 1], poses[i, 2] = (fx + bx) / 2, (fy + by) / 2, (fz + bz) / 2
        poses[i, 3] = np.arctan2(fy - by, fx - bx)
        poses[i, 4] = np.arctan2(fz - bz, np.hypot(fx - bx, fy - by))


@njit(cache=True, nogil=True)
def look_ahead(i, route, s, half, wide, speed, length, first, at, points, pace, bodies, probe):  # type: ignore[no-untyped-def]
    """What lies ahead of vehicle i on its route: free distance (m), speed there along the route (m/s), pace it must
    keep (m/s).

    `bodies` f64 (B, 6): x, y, yaw (radians), half length, half width, speed. `probe` f64 (P, 4) is scratch: x, y,
    heading, m.
    """
    reach = min(48.0, 14.0 + speed * 3.0)
    count = min(len(probe), int(reach / 2.0) + 2)
    allowed = 1e9
    for p in range(count):
        k, f = locate(route, s + half + 2.0 * p, length, first, at)
        dx, dy = points[k + 1, 0] - points[k, 0], points[k + 1, 1] - points[k, 1]
        probe[p, 0], probe[p, 1] = points[k, 0] + f * dx, points[k, 1] + f * dy
        norm = max(np.hypot(dx, dy), 1e-9)
        probe[p, 2], probe[p, 3] = dx / norm, dy / norm
        allowed = min(allowed, np.sqrt(pace[k] ** 2 + 2.0 * 1.6 * 2.0 * p))
    k, f = locate(route, s, length, first, at)
    allowed = min(allowed, pace[k])
    free, pacer = 1e9, 0.0
    for j in range(len(bodies)):
        if j == i:
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
                if along < -0.2 - (radius if p == 0 else 0.0) or along > 2.2:
                    continue
                if abs((y - probe[p, 1]) * ux - (x - probe[p, 0]) * uy) < wide + radius + 0.25:
                    gap = 2.0 * p + along - radius
                    if gap < free:
                        free = gap
                        pacer = max(0.0, bodies[j, 5] * (cos * ux + sin * uy))
                    break
    return free, pacer, allowed
