"""Glow around lamps and lit windows: light that scatters in a lens and in the air at night."""

from __future__ import annotations

import cv2
import numpy as np

_SCALE = 4  # the glow is computed at a quarter of the size
_FROM, _FULL = 105.0, 200.0  # luminance of 255 from which a pixel glows, and from which all of it does
_REACH = ((0.004, 0.45), (0.014, 0.30), (0.045, 0.16))  # standard deviation in image widths, and strength


def add_glow(image: np.ndarray, darkness: float) -> None:
    """Add the glow of what is bright to ``image``, in place.

    By night only lamps and lit windows are bright, so no mask is needed.

    Args:
        image: u8 (H, W, 3), RGB.
        darkness: From 0, by day, where nothing is done, to 1, by night.
    """
    if darkness <= 0.0:
        return
    height, width = image.shape[:2]
    size = max(1, width // _SCALE), max(1, height // _SCALE)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = np.clip((small.max(2) - _FROM) / (_FULL - _FROM), 0.0, 1.0)
    if not share.any():
        return
    small *= share[..., None]
    glow = np.zeros_like(small)
    for reach, strength in _REACH:
        glow += strength * cv2.GaussianBlur(small, (0, 0), reach * size[0], borderType=cv2.BORDER_CONSTANT)
    kept = 1.0 - np.minimum(glow * (darkness / 255.0), 1.0)
    kept = cv2.resize(kept, (width, height), interpolation=cv2.INTER_LINEAR)
    # "Screen": light adds up and never overflows.
    np.subtract(255.5, cv2.multiply(255 - image, kept, dtype=cv2.CV_32F), out=kept)
    image[:] = kept
