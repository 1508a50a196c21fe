"""Date, time and speed in a corner of an image, in the blocky letters that dashboard cameras write into what they film.

A simulation has no date: it is that of a day in autumn, as there are leaves and coats, and its clock begins at an hour
that fits the height of the sun.
"""

import math
from functools import lru_cache

import cv2
import numpy as np

#: px, the narrowest image that has a caption: in others it could not be read. Nor have images lower than a quarter of
#: their width, where it would be in the way.
_NARROWEST = 384
_PIXEL = 512  # px of width of an image per pixel of the letters
_TALL, _MARGIN = 7, 5  # pixels of the letters: their height, and the distance from the borders
_SOFT = 0.0014  # of the width: the blur that makes them no sharper than the image
_BRIGHT, _DARK = (236, 236, 228), (24, 24, 24)
_DATE = "2026-10-04"
_HOURS = ((30.0, 12), (0.0, 18), (-91.0, 22))  # least altitude of the sun, degrees, and the hour at the beginning
_BEGIN, _DAY, _FASTEST = 1058, 86_400, 999.0  # s of that hour; s; km/h, all that there is room for
_GLYPHS = {  # rows from the top, five pixels each, the leftmost in the highest bit
    "0": (14, 17, 19, 21, 25, 17, 14), "1": (4, 12, 4, 4, 4, 4, 14), "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (14, 17, 1, 6, 1, 17, 14), "4": (2, 6, 10, 18, 31, 2, 2), "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8), "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12), "-": (0, 0, 0, 31, 0, 0, 0), ":": (0, 4, 0, 0, 0, 4, 0),
    "/": (1, 1, 2, 4, 8, 16, 16), "K": (17, 18, 20, 24, 20, 18, 17), "M": (17, 27, 21, 21, 17, 17, 17),
    "H": (17, 17, 17, 31, 17, 17, 17), " ": (0, 0, 0, 0, 0, 0, 0),
}  # fmt: skip


def draw_caption(image: np.ndarray, seconds: float, speed: float | None, altitude: float) -> None:
    """Write date, time and speed into ``image``, u8 (H, W, 3), RGB, in place, if it is wide enough to read them.

    Args:
        image: To write into.
        seconds: Simulated time.
        speed: m/s; None or NaN: not known, not written.
        altitude: Of the sun, degrees.
    """
    height, width = image.shape[:2]
    if width < _NARROWEST or 4 * height < width:
        return
    hour = next(hour for least, hour in _HOURS if altitude > least)
    total = 3600 * hour + _BEGIN + int(math.fmod(max(seconds, 0.0), _DAY))
    clock = ":".join(f"{part:02d}" for part in (total // 3600 % 24, total // 60 % 60, total % 60))
    fast = "" if speed is None or math.isnan(speed) else f" {min(abs(speed) * 3.6, _FASTEST):3.0f} KM/H"
    letters, around = _written(f"{_DATE} {clock}{fast}", width)
    high, wide = letters.shape
    part = image[height - high :, :wide]
    for colour, cover in ((_DARK, around), (_BRIGHT, letters)):
        share = cover[..., None] * np.float32(1.0 / 255.0)
        part[:] = np.rint(part + (np.array(colour, np.float32) - part) * share).astype(np.uint8)


@lru_cache(maxsize=2)
def _written(text: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the letters of ``text`` and their rim, both u8 (h, w), for the lower left corner of an image of that
    ``width``."""
    rows = np.array([_GLYPHS[letter] for letter in text], np.uint8)
    lit = np.pad(np.unpackbits(rows[..., None], axis=2)[..., 3:], ((0, 0), (0, 0), (0, 1)))  # u8 (letters, 7, 6)
    flat = np.pad(lit.transpose(1, 0, 2).reshape(_TALL, -1) * np.uint8(255), _MARGIN)
    size = max(round(width / _PIXEL), 1)
    letters: np.ndarray = np.kron(flat, np.ones((size, size), np.uint8))
    around = cv2.dilate(letters, np.ones((2 * size + 1, 2 * size + 1), np.uint8))
    soft = _SOFT * width
    return cv2.GaussianBlur(letters, (0, 0), soft), cv2.GaussianBlur(around, (0, 0), soft)
