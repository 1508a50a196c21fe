"""What a camera shows by night: no rims around what stands before the sky, and a sensor's noise.

The generator knows skies that are brighter than everything before them, and paints crowns and roofs with the rim of
light that they have by day.
"""

from functools import lru_cache

import cv2
import numpy as np

from bridge.tags import Tag

_RIM = 6  # px from the sky within which a rim is
_COARSE = 4  # px of the image per pixel of the means
_AROUND = 13  # of those pixels, side of the square whose mean a rim may have at most, what is in the rim not counted
_KNOWN = 2.0  # of 255, share of such a square that is needed for a mean
_OVER, _MORE = 1.15, 3.0  # times that mean, and of 255 on top
_LAMP = 110  # of 255, from which it is no rim: a lit window, a lamp
_HAS_RIM = np.zeros(256, np.uint8)
_HAS_RIM[[Tag.VEGETATION, Tag.BUILDING, Tag.WALL, Tag.TERRAIN]] = 255
_NOISE, _CHROMA = 2.4, 0.8  # standard deviation of luminance and of each colour beside it, of 255
_GRAIN = 0.6  # px, its blur: a colour is interpolated from neighbouring photosites
_SHIFTS = 64  # px each way by which the noise of two frames may be shifted


def dim_rims(image: np.ndarray, tag: np.ndarray, dark: float) -> None:
    """Make crowns and roofs before the sky no brighter than they are further inside, in place.

    Args:
        image: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W).
        dark: ``darkness``, 1 by night; nothing happens at 0.
    """
    height, width = image.shape[:2]
    tag = np.ascontiguousarray(tag[:height, :width])
    sky = (tag == Tag.SKY).view(np.uint8)
    if dark <= 0.0 or not sky.any():
        return
    near = cv2.dilate(sky, np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
    bright, has_rim = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.LUT(tag, _HAS_RIM)
    inside = cv2.bitwise_and(has_rim, (near == 0).view(np.uint8) * np.uint8(255))
    size = -(-width // _COARSE), -(-height // _COARSE)
    share, light = (
        cv2.blur(cv2.resize(each, size, interpolation=cv2.INTER_AREA).astype(np.float32), (_AROUND, _AROUND))
        for each in (inside, cv2.bitwise_and(bright, inside))
    )
    mean = light * 255.0 / np.maximum(share, 1.0)
    most = cv2.resize(np.where(share > _KNOWN, mean * _OVER + _MORE, 255.0), (width, height))
    rows, columns = np.nonzero((near > sky) & (has_rim > 0) & (bright < _LAMP) & (bright > most))
    factor = 1.0 - dark * (1.0 - most[rows, columns] / bright[rows, columns])
    image[rows, columns] = (image[rows, columns] * factor[:, None] + 0.5).astype(np.uint8)


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
