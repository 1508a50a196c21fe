"""Time and speed at the lower border of an image, as dashboard cameras write them into what they film."""

from __future__ import annotations

import cv2
import numpy as np

_NARROWEST = 256  # px of an image that has a caption, in lower ones than a quarter of that it would be in the way
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE, _MARGIN = 0.00075, 0.004  # of the width: size of the letters, and their distance from the border
_STROKE = 2  # of the letters
_SOFT = 0.0012  # of the width, blur of the letters, which are no sharper than the image
_DIGITS = " 0123456789"
_BRIGHT, _DARK = (236, 236, 228), (24, 24, 24)


def draw_caption(image: np.ndarray, seconds: float, speed: float | None) -> None:
    """Write simulated time and speed into ``image``, u8 (H, W, 3), RGB, in place, if it is wide enough to read them.

    Args:
        image: To write into.
        seconds: Simulated time.
        speed: m/s; None: not known, not written.
    """
    height, width = image.shape[:2]
    if width < _NARROWEST or 4 * height < width:
        return
    minutes, second = divmod(int(seconds), 60)
    time = f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
    fast = "" if speed is None else f"{abs(speed) * 3.6:3.0f} km/h"
    letters = _written([*f"{time} {fast[:3]}", fast[3:]], _SCALE * width)
    around = cv2.dilate(letters, np.ones((3, 3), np.uint8))
    letters, around = (cv2.GaussianBlur(each, (0, 0), _SOFT * width) for each in (letters, around))
    high, wide = letters.shape
    top, left = height - round(_MARGIN * width) - high, (width - wide) // 2
    part = image[top : top + high, left : left + wide]
    for colour, cover in ((_DARK, around), (_BRIGHT, letters)):
        share = cover[..., None] * np.float32(1.0 / 255.0)
        part[:] = np.rint(part + (np.array(colour, np.float32) - part) * share).astype(np.uint8)


def _written(pieces: list[str], scale: float) -> np.ndarray:
    """Return the ``pieces``, u8 (h, w), side by side. All digits and blanks are equally wide: nothing trembles while
    they count."""
    (digit, rise), below = cv2.getTextSize("0", _FONT, scale, _STROKE)
    widths = [digit if piece in _DIGITS else cv2.getTextSize(piece, _FONT, scale, _STROKE)[0][0] for piece in pieces]
    starts = np.cumsum([2, *widths]).tolist()
    letters = np.zeros((rise + below + 4, starts[-1] + 2), np.uint8)
    for piece, start in zip(pieces, starts, strict=False):
        cv2.putText(letters, piece, (start, 2 + rise), _FONT, scale, 255, _STROKE, cv2.LINE_AA)
    return letters
