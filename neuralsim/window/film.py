"""What a camera's picture has at the resolution of a screen, and an enlarged one lacks: crisp edges and grain.

An image of 512 columns that fills a window of a thousand looks like a water colour, however good it is. Grain is
what photographs have at their finest scale (Newson et al., "A Stochastic Film Grain Model for Resolution-Independent
Rendering", Computer Graphics Forum 2017); here it is noise of one amplitude, other in each frame.
"""

import cv2
import numpy as np

_SHARPNESS = 1.0  # share of the detail that a blur removes
_BLUR = 1.0  # px of the image, its standard deviation
_NEIGHBOURHOOD = np.ones((3, 3), np.uint8)
_LUMA_GRAIN = 5.0  # of 255, standard deviation
_CHROMA_GRAIN = 2.0  # of 255
_SIZE = 0.6  # px of the screen, standard deviation of its blur
_SPARE = 64  # px by which its pattern is larger than the picture, so that it may begin anywhere


def sharpened(image: np.ndarray, amount: float) -> np.ndarray:
    """Return ``image`` u8 (H, W, 3) with crisper edges, no darker or brighter than what is around.

    ``amount``: 0 to 1.
    """
    share = amount * _SHARPNESS
    sharp = cv2.addWeighted(image, 1.0 + share, cv2.GaussianBlur(image, (0, 0), _BLUR), -share, 0.0)
    cv2.max(sharp, cv2.erode(image, _NEIGHBOURHOOD), sharp)
    return cv2.min(sharp, cv2.dilate(image, _NEIGHBOURHOOD), sharp)


class Grain:
    """Noise for pictures of any size."""

    def __init__(self) -> None:
        self._amount = 0.0
        self._brighter: np.ndarray = np.empty((0, 0, 4), np.uint8)  # a pattern for all pictures so far
        self._darker: np.ndarray = self._brighter

    def add(self, pixels: np.ndarray, amount: float, number: int) -> None:
        """Add grain to ``pixels`` u8 (H, W, 4) in place.

        ``amount``: 0 to 1; ``number``: of the frame, for which the grain is always the same.
        """
        height, width = pixels.shape[:2]
        had = self._brighter.shape
        if self._amount != amount or had[0] < height + _SPARE or had[1] < width + _SPARE:
            self._make(max(height + _SPARE, had[0]), max(width + _SPARE, had[1]), amount)
        top, left = number * 29 % _SPARE, number * 43 // 3 % _SPARE
        rows, columns = slice(top, top + height), slice(left, left + width)
        cv2.add(pixels, self._brighter[rows, columns], pixels)
        cv2.subtract(pixels, self._darker[rows, columns], pixels)

    def _make(self, height: int, width: int, amount: float) -> None:
        spreads = np.array((_LUMA_GRAIN, *[_CHROMA_GRAIN] * 3), np.float32) * np.float32(amount)
        noise = np.random.default_rng(0).standard_normal((height, width, 4), np.float32)
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), _SIZE), np.float32)
        noise *= spreads / noise.std((0, 1))
        noise[..., 1:] += noise[..., :1]
        noise[..., 0] = 0.0
        noise = np.roll(noise, -1, 2)  # red, green and blue in any order, then what is not shown
        self._brighter, self._darker = (np.maximum(sign * noise, 0.0).round().astype(np.uint8) for sign in (1, -1))
        self._amount = amount
