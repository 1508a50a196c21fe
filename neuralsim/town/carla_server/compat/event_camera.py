"""The event camera: pixels that report when their brightness has changed by a threshold, as CARLA's DVS does.

Model: ESIM (Rebecq, Gehrig, Scaramuzza 2018). Between two pictures the logarithm of the grey value is taken to change
linearly; an event is sent each time it passes a multiple of the threshold away from the pixel's last event.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "?")])  # packed: 13 bytes
MAX_PER_PIXEL = 4  # events of one pixel between two pictures


class EventCamera:
    """The state of an event camera. Thresholds are the attributes of ``sensor.camera.dvs``.

    They are of logarithms or, with ``use_log=false``, of grey values from 0 to 255.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self.up = max(float(given.get("positive_threshold", "0.3")), 0.01)
        self.down = max(float(given.get("negative_threshold", "0.3")), 0.01)
        self.logarithm = given.get("use_log", "true").lower() == "true"
        self.floor = max(float(given.get("log_eps", "0.001")), 1e-6)
        self._reference: np.ndarray | None = None  # brightness at each pixel's last event
        self._last: np.ndarray | None = None
        self._time = 0.0

    def read(self, rgb: np.ndarray, now: float) -> bytes:
        """Events since the last picture in order of time. ``rgb`` u8 (H, W, 3); ``now`` in seconds."""
        grey = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        level = np.log(grey / np.float32(255.0) + np.float32(self.floor)) if self.logarithm else grey
        if self._reference is None or self._last is None or self._reference.shape != level.shape:
            self._reference, self._last, self._time = level.copy(), level, now
            return b""
        found = []
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
                found.append(batch)
            # Changes beyond the maximum number of events are dropped.
            beyond = (level - self._reference) * sign >= threshold
            self._reference[beyond] = level[beyond]
        self._last, self._time = level, now
        if not found:
            return b""
        events = np.concatenate(found)
        return events[np.argsort(events["t"], kind="stable")].tobytes()
