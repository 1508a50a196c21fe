"""Arc lengths of polylines, interpolation along them, and bands between two of them with fewer points."""

import numpy as np


def arc_lengths(line: np.ndarray) -> np.ndarray:
    """Return the distance of each point of a polyline f64 (N, D) from its start, along the line: f64 (N,), metres."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def interpolate(line: np.ndarray, at: np.ndarray, where: float | np.ndarray) -> np.ndarray:
    """Return the points f64 (..., D) of a polyline f64 (N, D) with arc lengths ``at`` at the distances ``where``."""
    return np.stack([np.interp(where, at, line[:, k]) for k in range(line.shape[1])], axis=-1)


def simplified_band(left: np.ndarray, right: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """Return the indices of the samples to keep of a band between ``left`` and ``right``, f64 (N, 3), so that its edges
    move by no more than ``tolerance``, m (Douglas-Peucker on both edges at once).
    """
    both = np.concatenate([left, right], axis=1)
    keep = np.zeros(len(both), bool)
    keep[[0, -1]] = True
    stack = [(0, len(both) - 1)]
    while stack:
        a, b = stack.pop()
        if b - a < 2:
            continue
        worst, where = 0.0, a
        for part in (both[a : b + 1, :3], both[a : b + 1, 3:]):
            line = part[-1] - part[0]
            size = float(line @ line)
            share = np.clip((part - part[0]) @ line / size, 0.0, 1.0) if size > 1e-9 else np.zeros(len(part))
            away = np.linalg.norm(part - part[0] - share[:, None] * line, axis=1)
            if away.max() > worst:
                worst, where = float(away.max()), a + int(away.argmax())
        if worst > tolerance:
            keep[where] = True
            stack += [(a, where), (where, b)]
    return np.flatnonzero(keep)
