"""Noise of a camera's sensor by night."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_NOISE, _CHROMA = 2.4, 0.8  # standard deviation of luminance and of each colour beside it, of 255
_GRAIN = 0.6  # px, its blur: a colour is interpolated from neighbouring photosites
_SHIFTS = 64  # px each way by which the noise of two frames may be shifted


def add_noise(image: np.ndarray, dark: float, sim_time: float) -> None:
    """Add the noise of a sensor that amplifies little light, in place; the same at the same time.

    Args:
        image: u8 (H, W, 3), RGB.
        dark: ``darkness``, 1 by night; nothing happens at 0.
        sim_time: s, simulated.
    """
    if dark <= 0.0:
        return
    height, width = image.shape[:2]
    x, y = np.random.default_rng(round(sim_time * 1e4) % (1 << 32)).integers(0, _SHIFTS, 2).tolist()
    noise = _noise(height + _SHIFTS, width + _SHIFTS, round(8.0 * dark))[y : y + height, x : x + width]
    cv2.add(image, noise, dst=image, dtype=cv2.CV_8U)


@lru_cache(maxsize=8)
def _noise(height: int, width: int, eighths: int) -> np.ndarray:
    """Return noise i16 (height, width, 3) of ``eighths`` of its strength."""
    rng = np.random.default_rng(0)
    grain = [cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), _GRAIN) for _ in range(4)]
    luminance, *colours = (each / each.std() for each in grain)
    each = np.stack([_NOISE * luminance + _CHROMA * colour for colour in colours], axis=2)
    return np.ascontiguousarray(np.rint(each * (eighths / 8.0)).astype(np.int16))
