"""An event camera, whose pixels report when their brightness has changed by a threshold, as CARLA's DVS does.

Model: ESIM (Rebecq, Gehrig, Scaramuzza 2018). The logarithm of the grey value is assumed to change linearly between
two images; each time it differs by the threshold from its value at the pixel's last event, a new event is sent.
"""

from collections.abc import Mapping

import numpy as np

from neuralsim.base.colour import luma

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "?")])  # packed: 13 bytes
MAX_PER_PIXEL = 4  # events of one pixel between two images


class EventCamera:
    """An event camera with the attributes of ``sensor.camera.dvs``.

    Thresholds apply to logarithms or, with ``use_log=false``, to grey values from 0 to 255.
    """

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self.up = max(float(attributes.get("positive_threshold", "0.3")), 0.01)
        self.down = max(float(attributes.get("negative_threshold", "0.3")), 0.01)
        self.logarithm = attributes.get("use_log", "true").lower() == "true"
        self.floor = max(float(attributes.get("log_eps", "0.001")), 1e-6)
        self._reference: np.ndarray | None = None  # brightness at each pixel's last event
        self._last: np.ndarray | None = None
        self._time = 0.0

    def read(self, rgb: np.ndarray, now: float) -> bytes:
        """Return packed ``EVENT``s since the last image in order of time. ``rgb`` u8 (H, W, 3); ``now`` in seconds."""
        grey = luma(rgb)
        level = np.log(grey / np.float32(255.0) + np.float32(self.floor)) if self.logarithm else grey
        if self._reference is None or self._last is None or self._reference.shape != level.shape:
            self._reference, self._last, self._time = level.copy(), level, now
            return b""
        batches = []
        change = level - self._last
        for threshold, sign in ((self.up, 1.0), (self.down, -1.0)):
            for _ in range(MAX_PER_PIXEL):
                rows, columns = np.nonzero((level - self._reference) * sign >= threshold)
                if not len(rows):
                    break
                self._reference[rows, columns] += sign * threshold
                slope = change[rows, columns]
                share = (self._reference[rows, columns] - self._last[rows, columns]) / np.where(slope == 0, 1.0, slope)
                batch = np.empty(len(rows), EVENT)
                batch["x"], batch["y"], batch["pol"] = columns, rows, sign > 0.0
                at = self._time + np.clip(share, 0.0, 1.0).astype(np.float64) * (now - self._time)
                batch["t"] = (at * 1e9).astype(np.int64)
                batches.append(batch)
            # Changes beyond the maximum number of events are dropped.
            beyond = (level - self._reference) * sign >= threshold
            self._reference[beyond] = level[beyond]
        self._last, self._time = level, now
        if not batches:
            return b""
        events = np.concatenate(batches)
        return events[np.argsort(events["t"], kind="stable")].tobytes()
