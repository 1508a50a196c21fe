"""Rain that falls in front of the camera, drawn over a rendered image.

Drops are streaks at the exposure of a camera. Each frame has others, chosen by the simulated time, so that the same
recording gives the same bytes.
"""

from collections.abc import Mapping
from functools import lru_cache

import cv2
import numba
import numpy as np

from neuralsim.base import kernels

_TILE = 256  # px, side of the streaks' textures, which repeat
_LAYERS = ((40, 22, 2, 0.10), (150, 12, 1, 0.08), (420, 6, 1, 0.08))  # streaks, length, width in px, opacity
_SLANT = 0.35  # of the streaks at 100 % of wind, across per down
_BRIGHT = 1.25  # a streak's light over the mean of its surroundings: drops mirror the sky


def draw_rain(image: np.ndarray, weather: Mapping[str, float], time: float) -> None:
    """Draw the rain of ``weather`` into ``image``, in place.

    Args:
        image: u8 (H, W, 3), RGB.
        weather: ``carla.WeatherParameters`` by name: precipitation and wind in per cent.
        time: Simulated seconds.
    """
    amount = min(max(weather.get("precipitation", 0.0) / 100.0, 0.0), 1.0)
    if amount <= 0.05:
        return
    rng = np.random.default_rng(round(time * 1000.0))
    offsets = rng.integers(0, _TILE, (len(_LAYERS), 2))
    light = float(image[: len(image) // 2].mean()) * _BRIGHT + 12.0
    slant = round(4.0 * min(weather.get("wind_intensity", 0.0) / 100.0, 1.0))
    _blend(image, _streaks(slant), offsets, amount**0.7, light)


def compile_kernels() -> None:
    """Compile the kernel ahead of the first rain."""
    draw_rain(np.zeros((2, 2, 3), np.uint8), {"precipitation": 100.0}, 0.0)


@lru_cache(maxsize=5)
def _streaks(slant: int) -> np.ndarray:
    """Return the opacity of the layers' streaks, f32 (3, 256, 256), in quarters of the greatest ``slant``."""
    rng = np.random.default_rng(slant)
    layers = []
    for count, length, width, opacity in _LAYERS:
        layer = np.zeros((3 * _TILE, 3 * _TILE), np.float32)
        for x, y, share in zip(*rng.uniform(0, _TILE, (2, count)), rng.uniform(0.3, 1.0, count), strict=True):
            end = np.array((_SLANT * slant / 4.0, 1.0)) * length * rng.uniform(0.7, 1.3)
            for tile in np.ndindex(3, 3):
                start = np.array((x, y)) + np.array(tile) * _TILE
                first, last = ([int(16 * v) for v in point] for point in (start, start + end))
                cv2.line(layer, first, last, float(opacity * share), width, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(layer, (0, 0), 0.4 * width, sigmaY=0.15 * length)
        layers.append(soft[_TILE : 2 * _TILE, _TILE : 2 * _TILE])
    return np.ascontiguousarray(np.stack(layers))


@numba.njit(**kernels.FAST)
def _blend(image: np.ndarray, streaks: np.ndarray, offsets: np.ndarray, amount: float, light: float) -> None:
    """Mix ``light`` into every pixel by the streaks' opacity there."""
    side = streaks.shape[1] - 1
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            share = 0.0
            for layer in range(streaks.shape[0]):
                share += streaks[layer, (y + offsets[layer, 0]) & side, (x + offsets[layer, 1]) & side]
            share = min(share * amount, 0.7)
            if share > 0.004:
                for c in range(3):
                    value = float(image[y, x, c])
                    image[y, x, c] = np.uint8(value + (max(light, value) - value) * share)
