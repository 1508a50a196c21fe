"""The glass of a windscreen by day: the dashboard that it mirrors, haze that a wiper has left, and dust.

All of it stays where it is while the street moves behind. It is out of focus, as the glass is right before the lens.
"""

import cv2
import numpy as np

_SEED = 17
_MIRRORED, _HAZE = 10.0, 5.0  # of 255, the most that the dashboard and the haze add to what is seen
_TOP = 0.45  # of the height, where the mirrored dashboard fades out
_BANDS = ((0.93, 0.05), (0.78, 0.035), (0.66, 0.02))  # of the height: its edges, and how soft they are
_PIVOT, _STREAKS = (0.38, 1.28), 90.0  # of the wiper, in widths and heights of the image; streaks per width
_SPECKS, _RADII, _BRIGHTEST = 70, (0.0008, 0.0035), 22.0  # of dust: count, of the width, of 255


def glass_light(width: int, height: int) -> np.ndarray:
    """Return the light, of 255, that a windscreen in full sun adds to an image of that size, u8 (H, W, 3), RGB."""
    rng = np.random.default_rng(_SEED)
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    y, x = y / height, x / width
    dashboard = np.zeros((height, width), np.float32)
    for edge, soft in _BANDS:
        bent = edge - 0.05 * (1.0 - (2.0 * x - 1.0) ** 2)
        dashboard += (1.0 / len(_BANDS)) / (1.0 + np.exp(-(y - bent) / soft))
    light = _MIRRORED * dashboard * np.clip((y - _TOP) / (1.0 - _TOP), 0.0, 1.0)
    radius = np.hypot(x - _PIVOT[0], (y - _PIVOT[1]) * height / width)
    streaks = np.interp(radius * _STREAKS, np.arange(200), rng.uniform(0.0, 1.0, 200))
    light += _HAZE * streaks.astype(np.float32) * np.clip(1.3 - 1.1 * y, 0.3, 1.0)
    for _ in range(_SPECKS):
        u, v = rng.uniform(0.0, width), rng.uniform(0.0, height)
        soft = width * rng.uniform(*_RADII)
        near = np.s_[
            max(int(v - 3 * soft), 0) : int(v + 3 * soft) + 2, max(int(u - 3 * soft), 0) : int(u + 3 * soft) + 2
        ]
        square = ((x[near] * width - u) ** 2 + (y[near] * height - v) ** 2) / (2.0 * soft * soft)
        light[near] += rng.uniform(0.2, 1.0) * _BRIGHTEST * min(0.0015 * width / soft, 1.0) * np.exp(-square)
    return cv2.cvtColor(np.rint(light).clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
