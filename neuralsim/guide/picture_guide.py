"""The simulator's own picture as a guide for the painter: what colour things have, and where they are dark or bright.

In training the painter gets a tint and a sketch of real pictures (``training/conditioning.py``). Taken from the
simulator's picture in the same way, they make its blue car a blue car. Exposure and light of that picture are taken out
by the means of its classes, so that night in the simulator is not painted twice.
"""

from __future__ import annotations

import math

import numpy as np

from neuralsim.guide import guide_kernels
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel

_LUMA = np.array((0.299, 0.587, 0.114))
_EXPOSED_BY = [Channel.ROAD, Channel.SIDEWALK, Channel.BUILDING, Channel.VEGETATION, Channel.TERRAIN]
_LEAST, _MOST = 0.4, 2.5  # of the exposure
_SETTLES = 0.5  # s in which 1 - 1/e of the way to another exposure is gone


class PictureGuide:
    """``follow(tag, instance, rgb, style, time)`` for one frame after another: u8 (H, W, 4), the graph's ``guide``."""

    def __init__(self) -> None:
        self._kinds = guide_kernels.kinds()
        self._objects = np.zeros(((1 << 16) + CHANNELS, 4), np.int32)
        self._known = np.zeros(1 + len(self._objects), np.int32)
        self._classes = np.zeros((CHANNELS, 4), np.int64)
        self._gain: float | None = None
        self._time = 0.0
        self._resize((0, 0), (0, 0))

    def reset(self) -> None:
        """Forget the exposure, as after a jump of the camera."""
        self._gain = None

    def follow(
        self, tag: np.ndarray, instance: np.ndarray, rgb: np.ndarray, style: np.ndarray, time: float
    ) -> np.ndarray:
        """The guide of a frame, valid until the next one.

        ``tag`` u8, ``instance`` u16 (H, W), ``rgb`` u8 (H, W, 3) or half as high and wide (``bridge.messages.Frame``),
        all C-contiguous; ``style`` f32 (CHANNELS, 3), mean colours -0.5..0.5 of what will be painted; ``time`` s,
        simulated. Out: tint 1..255 (0: the surface's own), then sketch 1..255 (128: as bright as the tint; 0: the
        surface's own).
        """
        if (self._out.shape, self._half.shape) != (tag.shape, rgb.shape[:2]):
            self._resize(tag.shape, rgb.shape[:2])
        if rgb.shape[:2] == tag.shape:
            self._write(tag, instance, rgb, style, time, self._out)
        else:
            seen = np.ascontiguousarray(tag[::2, ::2]), np.ascontiguousarray(instance[::2, ::2])
            self._write(*seen, rgb, style, time, self._half)
            guide_kernels.enlarge(tag, instance, self._half, self._out)
        return self._out.view(np.uint8).reshape(*self._out.shape, 4)

    def _write(
        self, tag: np.ndarray, instance: np.ndarray, rgb: np.ndarray, style: np.ndarray, time: float, out: np.ndarray
    ) -> None:
        """The guide ``out`` u32 (H, W) of a picture of the size of the tags."""
        cell, dense = self._cell, out is self._half
        guide_kernels.means(
            CARLA_TO_CHANNEL, self._kinds, tag, instance, rgb, self._objects, self._known, self._cells, cell,
            self._classes, self._runs,
        )  # fmt: skip
        guide_kernels.smoothed(self._cells, self._walls)
        guide_kernels.write(
            CARLA_TO_CHANNEL, self._kinds, guide_kernels._SKETCH, tag, instance, rgb, self._objects, self._walls,
            cell, self._classes, self._runs, self._exposed(style, time), self._luma, self._filtered, dense, out,
        )  # fmt: skip

    def _exposed(self, style: np.ndarray, time: float) -> float:
        """How much brighter than the picture's the style's surfaces are, moving slowly."""
        counts = self._classes[_EXPOSED_BY, 3].astype(np.float64)
        theirs = float((self._classes[_EXPOSED_BY, :3] @ _LUMA).sum()) / 255.0
        wanted = float(((style[_EXPOSED_BY] + 0.5) @ _LUMA) @ counts)
        seconds, self._time = max(time - self._time, 0.0), time
        if theirs > 0.0:
            gain = min(max(wanted / theirs, _LEAST), _MOST)
            kept = 0.0 if self._gain is None else math.exp(-seconds / _SETTLES)
            self._gain = gain + kept * ((self._gain or gain) - gain)
        return 1.0 if self._gain is None else self._gain

    def _resize(self, whole: tuple[int, ...], read: tuple[int, ...]) -> None:
        """For guides of the size ``whole`` (height, width) from pictures of the size ``read``."""
        self._cell = guide_kernels.CELL if read == whole else guide_kernels.CELL // 2
        height, width = read
        cells = height // self._cell + 1, width // self._cell + 1, 4
        self._cells, self._walls = np.zeros(cells, np.int32), np.zeros((*cells[:2], 3), np.float32)
        self._luma, self._filtered = np.zeros((4, width + 3), np.int32), np.zeros((5, width), np.int32)
        self._runs = np.zeros((height, width + 2), np.int32)
        self._out = np.zeros(whole, "<u4")
        self._half = np.zeros(read, "<u4")  # of every second pixel, where the picture has no others
