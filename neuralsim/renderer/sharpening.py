"""Details as crisp as a camera's: an unsharp mask over what was painted.

A past that is sampled anew in every frame loses its finest detail (Yang et al., "A Survey of Temporal Antialiasing
Techniques", Computer Graphics Forum 2020, section 6.1). The graph gives back some of it inside of things, at 5x5 pixels
(``neuralsim/models/temporal.py``); this is finer, and of outlines too, before their stairs are taken. The graph's
memory is not sharpened, so nothing builds up.
"""

from __future__ import annotations

import cv2
import numpy as np

from bridge.tags import Tag

SIGMA = 0.7  # px
_AROUND = np.ones((3, 3), np.uint8)
#: Of 255, of each channel: by how much a pixel may become darker than all around it, for lenses make no black dots.
_DARKER = np.full(4, 8.0)


def sharpen(picture: np.ndarray, tag: np.ndarray, amount: float) -> None:
    """Add ``amount`` of what a blur takes away to ``picture`` u8 (H, W, 3), in place; the sky has nothing to sharpen.

    ``tag``: u8, at least (H, W), what it was painted from.
    """
    height, width = picture.shape[:2]
    blurred = cv2.GaussianBlur(picture, (3, 3), SIGMA)
    sharp = cv2.addWeighted(picture, 1.0 + amount, blurred, -amount, 0.0)
    darkest = cv2.erode(picture, _AROUND)
    cv2.max(sharp, cv2.subtract(darkest, _DARKER), sharp)
    cv2.copyTo(sharp, (tag[:height, :width] != Tag.SKY).view(np.uint8), picture)
