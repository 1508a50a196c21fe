"""People who walk along the pavements by themselves, around the blocks of the town."""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.town.blocks import KERB, Ground, along, offset
from bridge.town.people_meshes import PHASES

FAR = 110.0  # m, walkers are kept within this distance of who drives
STRIDE = 1.4  # m of two steps, a cycle of the gait


class Walkers:
    """All walkers that go by themselves, as arrays over their number.

    ``poses`` f64 (N, 4): x, y, z (m), yaw (radians) of the feet; ``speed`` f64 (N,), m/s; ``phase`` i64 (N,), gait.
    """

    def __init__(self, ground: Ground, count: int, scales: np.ndarray, rng: np.random.Generator) -> None:
        rings = [ring for ring in ground.rings if ring.pavement >= 1.2]
        count = count if rings else 0
        self.poses = np.zeros((count, 4))
        self.phase = np.zeros(count, np.int64)
        self._walked = rng.uniform(0.0, 30.0, count)
        self._scale = np.asarray(scales, float)[:count]
        lines = [along(offset(ring.points, ring.pavement * share), 2.0) for ring in rings for share in (0.34, 0.6)]
        for line in lines:
            line[:, 2] += KERB
        self._points = np.concatenate(lines) if lines else np.zeros((0, 3))
        self._first = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        sizes = np.diff(self._first).astype(float)
        self._ring = rng.choice(len(sizes), size=count, p=sizes / sizes.sum()) if count else np.zeros(0, np.int64)
        self._at = rng.uniform(0.0, 1.0, count) * sizes[self._ring] if count else np.zeros(0)
        self._way = rng.choice([-1.0, 1.0], count)
        self._wish = rng.uniform(1.0, 1.6, count) * np.sqrt(self._scale)
        self.speed = self._wish.copy()
        self.step(0.0, np.zeros((0, 6)))

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
            self.poses[i, :3] = self._points[k]

    def remove(self, i: int) -> None:
        """Take walker i out; those after it move up."""
        for name in ("poses", "phase", "speed", "_walked", "_scale", "_ring", "_at", "_way", "_wish"):
            setattr(self, name, np.delete(getattr(self, name), i, axis=0))

    def step(self, delta: float, bodies: np.ndarray) -> None:
        """Advance by `delta` seconds; who is about to walk into one of `bodies` (as in `lanes.look_ahead`) waits."""
        if len(self):
            _walk(
                delta, self._points, self._first, self._ring, self._at, self._way, self._wish, self.speed, self._walked,
                self._scale, self.poses, self.phase, bodies,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _walk(delta, points, first, ring, at, way, wish, speed, walked, scale, poses, phase, bodies):  # type: ignore[no-untyped-def]
    for i in range(len(at)):
        blocked = False
        x, y = poses[i, 0] + 0.6 * np.cos(poses[i, 3]), poses[i, 1] + 0.6 * np.sin(poses[i, 3])
        for j in range(len(bodies)):
            cos, sin = np.cos(bodies[j, 2]), np.sin(bodies[j, 2])
            dx, dy = x - bodies[j, 0], y - bodies[j, 1]
            if abs(dx * cos + dy * sin) < bodies[j, 3] + 0.4 and abs(dy * cos - dx * sin) < bodies[j, 4] + 0.4:
                blocked = True
        aim = 0.0 if blocked else wish[i]
        speed[i] += min(max(aim - speed[i], -3.0 * delta), 1.5 * delta)
        low, count = first[ring[i]], first[ring[i] + 1] - first[ring[i]]
        k = int(at[i]) % count
        a, b = points[low + k], points[low + (k + 1) % count]
        size = max(np.hypot(b[0] - a[0], b[1] - a[1]), 1e-6)
        at[i] = (at[i] + way[i] * speed[i] * delta / size) % count
        k = int(at[i]) % count
        f = at[i] - int(at[i])
        a, b = points[low + k], points[low + (k + 1) % count]
        for d in range(3):
            poses[i, d] = a[d] + f * (b[d] - a[d])
        aim = np.arctan2((b[1] - a[1]) * way[i], (b[0] - a[0]) * way[i])
        if delta == 0.0:
            poses[i, 3] = aim
        turn = (aim - poses[i, 3] + np.pi) % (2.0 * np.pi) - np.pi
        poses[i, 3] += turn * min(1.0, 5.0 * delta)
        walked[i] += speed[i] * delta
        stride = STRIDE * scale[i]
        phase[i] = int(walked[i] / stride * PHASES) % PHASES if speed[i] > 0.15 else 0
