"""The terrain between and around the roads of a map that is not flat."""

import cv2
import numpy as np

MIN_CELL = 4.0  # m
BEYOND = 420.0  # m, margin of the height field around the roads
HILLS_BEGIN, HILLS_RISE = 35.0, 260.0  # m from a road where hills begin, and from there to their full height
ITERATIONS = 80


class Terrain:
    """A height field that passes through the roads and is smooth (harmonic) between them, with hills far from roads.

    ``low`` and ``high`` are corners of the roads' bounding box; ``roads`` f64 (N, 3) points on roads without bridges;
    ``hill_height`` is in metres; ``seed`` determines the positions of the hills.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, roads: np.ndarray, hill_height: float, seed: int) -> None:
        self.low = low - BEYOND
        size = high + BEYOND - self.low
        self.cell = max(MIN_CELL, float(size.max()) / 1000.0)
        shape = (int(size[1] / self.cell) + 2, int(size[0] / self.cell) + 2)
        place = ((roads[:, :2] - self.low) / self.cell + 0.5).astype(int)
        flat = place[:, 1] * shape[1] + place[:, 0]
        count = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)
        total = np.bincount(flat, weights=roads[:, 2], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)
        known = count > 0
        fixed = np.where(known, total / np.maximum(count, 1.0), 0.0).astype(np.float32)
        z = _pull_push(fixed, known.astype(np.float32))
        for _ in range(ITERATIONS):
            z = np.where(known, fixed, cv2.blur(z, (3, 3)))
        away = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5) * self.cell
        share = np.clip((away - HILLS_BEGIN) / HILLS_RISE, 0.0, 1.0)
        rng = np.random.default_rng(seed)
        x, y = np.meshgrid(np.arange(shape[1]) * self.cell, np.arange(shape[0]) * self.cell)
        hills = np.zeros(shape)
        for wavelength, amplitude in ((640.0, 0.55), (330.0, 0.3), (170.0, 0.15)):
            bearing, phase = rng.uniform(0.0, 2.0 * np.pi, 2)
            across = rng.uniform(0.0, 2.0 * np.pi)
            k = 2.0 * np.pi / wavelength
            u, v = x * np.cos(bearing) + y * np.sin(bearing), y * np.cos(bearing) - x * np.sin(bearing)
            hills += amplitude * (0.5 + 0.5 * np.sin(k * u + phase) * np.sin(0.7 * k * v + across))
        self.z = (z + hill_height * hills * share * share * (3.0 - 2.0 * share)).astype(np.float32)

    def heights(self, points: np.ndarray) -> np.ndarray:
        """Return the height of the land at points (N, 2), f64 (N,), metres; beyond the border, that at the border."""
        at = (points[:, :2] - self.low) / self.cell
        rows, columns = self.z.shape
        x = np.clip(at[:, 0], 0.0, columns - 1.001)
        y = np.clip(at[:, 1], 0.0, rows - 1.001)
        j, i = x.astype(int), y.astype(int)
        fx, fy = x - j, y - i
        z = self.z
        upper = z[i, j] * (1 - fx) + z[i, j + 1] * fx
        lower = z[i + 1, j] * (1 - fx) + z[i + 1, j + 1] * fx
        result: np.ndarray = upper * (1 - fy) + lower * fy
        return result


def _pull_push(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fill values of weight 0 from a pyramid of averages (pull-push: Gortler et al., "The Lumigraph", 1996)."""
    rows, columns = values.shape
    if min(rows, columns) <= 2 or weights.min() > 0.0:
        mean = float((values * weights).sum() / max(float(weights.sum()), 1e-9))
        return np.where(weights > 0.0, values, mean).astype(np.float32)
    half = ((rows + 1) // 2, (columns + 1) // 2)
    padded = np.zeros((2, 2 * half[0], 2 * half[1]), np.float32)
    padded[0, :rows, :columns], padded[1, :rows, :columns] = values * weights, weights
    sums = padded.reshape(2, half[0], 2, half[1], 2).sum(axis=(2, 4))
    coarse = _pull_push(sums[0] / np.maximum(sums[1], 1e-9), np.minimum(sums[1], 1.0))
    fine = cv2.resize(coarse, (2 * half[1], 2 * half[0]), interpolation=cv2.INTER_LINEAR)[:rows, :columns]
    return (weights * values + (1.0 - weights) * fine).astype(np.float32)
