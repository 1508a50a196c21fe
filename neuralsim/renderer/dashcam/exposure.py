"""The exposure of a dashboard camera, which meters the street before it: shade below trees is lifted, the sky clips."""

import math

import cv2
import numpy as np

_METERED = 0.3, 0.85  # of the height, the rows that are metered: the street, with little of the sky and of the bonnet
_REDUCTION = 8
_TARGET = 112.0  # of 255, their mean that is aimed at
_SHARE = 0.8  # of the way there, as a logarithm
_LIMITS = 0.85, 1.7  # least and greatest gain
_DELAY = 0.7  # s, in which it gets nearer by 63 %
_SHOULDER = 3  # power of a value by which a gain is compressed: white stays white


class AutoExposure:
    """The exposure of one drive's images by day, which follows what they show within a second."""

    def __init__(self) -> None:
        self._gain, self._time = 1.0, -math.inf

    def expose(self, image: np.ndarray, time: float, daylight: float) -> None:
        """Brighten or darken ``image``, u8 (H, W, 3), RGB, in place.

        Args:
            image: Of the street, without what is before it.
            time: Simulated seconds; where they jump, the exposure is right at once.
            daylight: From 0, by night, when nothing is changed, to 1, by day.
        """
        if daylight <= 0.0:
            return
        height, width = image.shape[:2]
        rows = image[int(_METERED[0] * height) : max(int(_METERED[1] * height), 1)]
        size = max(width // _REDUCTION, 1), max(len(rows) // _REDUCTION, 1)
        mean = float(cv2.resize(rows, size, interpolation=cv2.INTER_AREA).mean())
        wanted = min(max((_TARGET / max(mean, 1.0)) ** _SHARE, _LIMITS[0]), _LIMITS[1])
        elapsed, self._time = time - self._time, time
        if 0.0 <= elapsed <= _DELAY:
            wanted = self._gain * (wanted / self._gain) ** (1.0 - math.exp(-elapsed / _DELAY))
        self._gain = wanted
        gain = wanted**daylight
        value = np.linspace(0.0, 1.0, 256)
        exposed = value * gain / (1.0 + (gain - 1.0) * value**_SHOULDER)
        cv2.LUT(image, np.rint(255.0 * exposed.clip(0.0, 1.0)).astype(np.uint8)[None], image)
