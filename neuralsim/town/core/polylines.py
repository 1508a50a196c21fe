"""Arc lengths of polylines, and interpolation along them."""

from __future__ import annotations

import numpy as np


def arc_lengths(line: np.ndarray) -> np.ndarray:
    """Return the distance of each point of a polyline f64 (N, D) from its start, along the line: f64 (N,), metres."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def interpolate(line: np.ndarray, at: np.ndarray, where: float | np.ndarray) -> np.ndarray:
    """Return the points f64 (..., D) of a polyline f64 (N, D) with arc lengths ``at`` at the distances ``where``."""
    return np.stack([np.interp(where, at, line[:, k]) for k in range(line.shape[1])], axis=-1)
