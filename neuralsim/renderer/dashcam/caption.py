"""Time and speed at the lower border of an image, as dashboard cameras write them into what they film."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

#: px, the narrowest image that has a caption: in others it could not be read. Nor have images lower than a quarter of
#: their width, where it would be in the way.
_NARROWEST = 384
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Of the width: size of the letters, their distance from the border, stroke, rim, and the blur that makes them no
#: sharper than the image.
_SCALE, _MARGIN, _STROKE, _RIM, _SOFT = 0.0007, 0.004, 0.003, 0.0015, 0.001
_DIGITS, _UNIT = " 0123456789", " km/h"
_BRIGHT, _DARK = (236, 236, 228), (24, 24, 24)
_LATEST, _FASTEST = 359_999.0, 999.0  # s and km/h: all that there is room for


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
    minutes, second = divmod(int(min(max(seconds, 0.0), _LATEST)), 60)
    time = f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
    fast = "" if speed is None else f"{min(abs(speed) * 3.6, _FASTEST):3.0f}{_UNIT}"
    letters, around = _written(f"{time} {fast}", width)
    high, wide = letters.shape
    top, left = height - round(_MARGIN * width) - high, (width - wide) // 2
    part = image[top : top + high, left : left + wide]
    for colour, cover in ((_DARK, around), (_BRIGHT, letters)):
        share = cover[..., None] * np.float32(1.0 / 255.0)
        part[:] = np.rint(part + (np.array(colour, np.float32) - part) * share).astype(np.uint8)


@lru_cache(maxsize=2)
def _written(text: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the letters of a ``text`` that ends in " km/h", if in any, and their rim, both u8 (h, w), for an image of
    that ``width``.

    All digits and blanks are equally wide: nothing trembles while they count.
    """
    pieces = [*text.removesuffix(_UNIT), *([_UNIT] if text.endswith(_UNIT) else [])]
    scale, stroke, soft = _SCALE * width, max(round(_STROKE * width), 1), _SOFT * width
    rim = max(round(_RIM * width), 1)
    margin = rim + round(3.0 * soft)
    (digit, rise), _ = cv2.getTextSize("0", _FONT, scale, stroke)
    below = cv2.getTextSize("/", _FONT, scale, stroke)[1]
    widths = [digit if piece in _DIGITS else cv2.getTextSize(piece, _FONT, scale, stroke)[0][0] for piece in pieces]
    starts = np.cumsum([margin, *widths]).tolist()
    letters = np.zeros((rise + below + 2 * margin, starts[-1] + margin), np.uint8)
    for piece, start in zip(pieces, starts, strict=False):
        cv2.putText(letters, piece, (start, margin + rise), _FONT, scale, 255, stroke, cv2.LINE_AA)
    around = cv2.dilate(letters, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    return cv2.GaussianBlur(letters, (0, 0), soft), cv2.GaussianBlur(around, (0, 0), soft)
