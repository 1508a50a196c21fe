"""The simulator image as a guide for the generator: the colours of objects, and where they are dark or bright.

In training the generator is given a tint and a sketch of photographs (``training/data/conditioning.py``). Taken from
the simulator image in the same way, they make its blue car a blue car. Exposure and light of that image are divided out
by the means of its classes, so that night in the simulator does not darken the result twice.
"""

import math
import threading

import numpy as np

from neuralsim.base.colour import LUMA
from neuralsim.guide import guide_kernels
from neuralsim.guide.guide_kernels import Pixels, Sums, Tables
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel

_LUMA = np.array(LUMA)
_EXPOSURE_CLASSES = [Channel.ROAD, Channel.SIDEWALK, Channel.BUILDING, Channel.VEGETATION, Channel.TERRAIN]
_LEAST, _MOST = 0.4, 2.5  # of the exposure
_OWN = 0.6  # share of its own brightness in the tint of each pixel of wall, by night
_SETTLING_TIME = 0.5  # s in which 1 - 1/e of the way to another exposure is gone


class Exposure:
    """How much brighter the generated surfaces are than the simulator's, changing slowly.

    Cameras of one rig share it, so that a surface that several of them see is equally bright in all. Thread-safe.
    """

    def __init__(self) -> None:
        self._gain: float | None = None
        self._time = 0.0
        self._seen: dict[int, tuple[float, float]] = {}  # by user: brightness of its last image, requested and present
        self._lock = threading.Lock()

    def reset(self, user: int) -> None:
        """Forget what ``user`` saw; and the exposure if nobody else uses it."""
        with self._lock:
            self._seen.pop(user, None)
            if not self._seen:
                self._gain = None

    def follow(self, user: int, requested: float, present: float, time: float) -> float:
        """Return the exposure at ``time``, s, simulated, when ``user`` sees surfaces of these total brightnesses.

        One user's is that of its own image; several users' is that of all their last images, once per moment.
        """
        with self._lock:
            is_alone = self._seen.keys() <= {user}
            if is_alone:
                self._seen[user] = requested, present
            if is_alone or time != self._time:
                self._settle(max(time - self._time, 0.0))
                self._time = time
            self._seen[user] = requested, present
            return 1.0 if self._gain is None else self._gain

    def _settle(self, seconds: float) -> None:
        requested, present = (sum(each[place] for each in self._seen.values()) for place in (0, 1))
        if present > 0.0:
            gain = min(max(requested / present, _LEAST), _MOST)
            kept = 0.0 if self._gain is None else math.exp(-seconds / _SETTLING_TIME)
            self._gain = gain + kept * ((self._gain or gain) - gain)


class ImageGuide:
    """Computes the graph's ``guide`` u8 (H, W, 4) from the simulator image of one frame after another.

    ``exposure``: that of the rig the camera belongs to, None: its own.
    """

    def __init__(self, exposure: Exposure | None = None) -> None:
        self.exposure = exposure or Exposure()
        self._plain, self._lit = (
            Tables(CARLA_TO_CHANNEL, guide_kernels.guide_kinds(lit), guide_kernels.SKETCH_OF_STEP, guide_kernels.RELIEF)
            for lit in (False, True)
        )
        self._tables = self._plain
        self._objects = np.zeros(((1 << 16) + CHANNELS, 4), np.int32)
        self._known = np.zeros(1 + len(self._objects), np.int32)
        self._classes = np.zeros((CHANNELS, 4), np.int64)
        self._own = 0.0
        self._resize((0, 0), (0, 0))

    def reset(self) -> None:
        """Forget the exposure, as after a jump of the camera."""
        self.exposure.reset(id(self))

    def follow(
        self, tag: np.ndarray, instance: np.ndarray, rgb: np.ndarray, style: np.ndarray, time: float,
        lit: bool = False, darkness: float = 0.0,
    ) -> np.ndarray:  # fmt: skip
        """Return the guide of a frame, valid until the next one.

        Its channels are the tint 1..255 (0: the surface's own), then the sketch 1..255 (128: as bright as the tint; 0:
        the surface's own).

        Args:
            tag: u8 (H, W), C-contiguous, as the others.
            instance: u16 (H, W).
            rgb: u8 (H, W, 3), or half as high and wide (``bridge.messages.Frame``).
            style: f32 (CHANNELS, 3), mean colours -0.5..0.5 of the image to generate.
            time: s, simulated.
            lit: Whether the ground is lit by lamps or mirrors what is above it, so that it has their colours.
            darkness: From 0, by day, to 1, by night, when walls are as bright as they are lit.
        """
        self._own = _OWN * darkness
        self._tables = self._lit if lit else self._plain
        if (self._out.shape, self._half.shape) != (tag.shape, rgb.shape[:2]):
            self._resize(tag.shape, rgb.shape[:2])
        if rgb.shape[:2] == tag.shape:
            self._write(tag, instance, rgb, style, time, self._out)
        else:
            halved = np.ascontiguousarray(tag[::2, ::2]), np.ascontiguousarray(instance[::2, ::2])
            self._write(*halved, rgb, style, time, self._half)
            guide_kernels.upsample_guide(tag, instance, self._half, self._out)
        return self._out.view(np.uint8).reshape(*self._out.shape, 4)

    def _write(
        self, tag: np.ndarray, instance: np.ndarray, rgb: np.ndarray, style: np.ndarray, time: float, out: np.ndarray
    ) -> None:
        """Write the guide ``out`` u32 (H, W) of an image of the size of the tags."""
        pixels, dense = Pixels(tag, instance, rgb), out is self._half
        guide_kernels.sum_colours(self._tables, pixels, self._sums, self._cell)
        guide_kernels.smooth_walls(self._sums.cells, self._walls)
        guide_kernels.write_guide(
            self._tables, pixels, self._sums, self._walls, self._cell, self._exposure(style, time),
            self._own, self._luma, self._filtered, dense, out,
        )  # fmt: skip

    def _exposure(self, style: np.ndarray, time: float) -> float:
        """Return how much brighter the style's surfaces are than the image's."""
        counts = self._classes[_EXPOSURE_CLASSES, 3].astype(np.float64)
        present = float((self._classes[_EXPOSURE_CLASSES, :3] @ _LUMA).sum()) / 255.0
        requested = float(((style[_EXPOSURE_CLASSES] + 0.5) @ _LUMA) @ counts)
        return self.exposure.follow(id(self), requested, present, time)

    def _resize(self, whole: tuple[int, ...], read: tuple[int, ...]) -> None:
        """Allocate for guides of the size ``whole`` (height, width) from images of the size ``read``."""
        self._cell = guide_kernels.CELL if read == whole else guide_kernels.CELL // 2
        height, width = read
        cells = height // self._cell + 1, width // self._cell + 1, 4
        self._walls = np.zeros((*cells[:2], 2), np.float32)
        self._luma, self._filtered = np.zeros((4, width + 3), np.int32), np.zeros((5, width), np.int32)
        runs = np.zeros((height, width + 2), np.int32)
        self._sums = Sums(self._objects, self._known, np.zeros(cells, np.int32), self._classes, runs)
        self._out = np.zeros(whole, "<u4")
        self._half = np.zeros(read, "<u4")  # of every second pixel, where the image has no others
