"""Temporal upscaling: large images at the cost of small ones. A part of each frame is generated, the rest reprojected.

Temporal upscaling in games (Karis, SIGGRAPH 2014; TSR, FSR 2) renders a comb of pixels and composites the combs of
several frames. That supposes a renderer that draws the same world at any size, and a generator does not: at half the
size it draws other windows, not the same ones coarser, so that no composite of its combs gives the large image
(docs/guide/upscaling.md has the figures). What is generated here is therefore a *window* of full height and full
resolution, another one in each frame. Everything else is the past, reprojected by the engine's motion at full size and
discarded where tag and instance say that it was another object.

A window as wide as the image is temporal anti-aliasing: each frame's camera may then be shifted by a part of a pixel
(``bridge.jitter``), and outlines, averaged over frames, lose their stairs. With narrower windows it may not: averaged
over a visit or two, a shift is an error of position.
"""

import numpy as np

from bridge.messages import Camera, Frame
from neuralsim.base.bands import bands, run_in_bands
from neuralsim.renderer import upscaling_kernels as kernels
from neuralsim.renderer.upscaling_kernels import MARGIN

PLANES = ("tag", "instance", "depth", "motion")  # that reprojection needs
MAX_WEIGHT = 1.0  # of the past, in visits of the window
MAX_WEIGHT_FULL_WIDTH = 3.0  # the same where the window is the whole image
SPREAD = 1.6  # standard deviations that the past may differ from what is generated now
_EDGE = 8  # px at a side of a window that are not used, since the generator sees nothing beyond
_RAMP = 32  # px from a side at which a window counts fully
_STEP = 8  # px between possible positions of a window
_UNCOVERED_URGENCY = 200.0  # squared frames of age that a column counts for when all of it has come into view


def window_width(pixels: int, width: int, height: int, multiple: int) -> int:
    """Return the columns of a window of full height and about ``pixels``: a ``multiple``, or all of the width.

    There are always enough for the rims, which are not used, and a step between them.
    """
    columns = max(round(pixels / height / multiple), 1) * multiple
    least = -(-(2 * _RAMP + _STEP) // multiple) * multiple
    return min(max(columns, least), width)


class TemporalUpscaler:
    """The past of one camera: ``reproject`` it for each frame, then ``accumulate`` what was generated of the frame.

    Args:
        size: Width and height of frames and images, at least 2x2.
        window: Columns that are generated of a frame, up to the width.
        most: Largest weight of the past, in visits of the window; None: ``MAX_WEIGHT`` or ``MAX_WEIGHT_FULL_WIDTH``.
        spread: Standard deviations that the past may differ from what is generated.

    Raises:
        ValueError: The window does not fit the image.
    """

    def __init__(self, size: tuple[int, int], window: int, most: float | None = None, spread: float = SPREAD) -> None:
        width, height = size
        if not (width >= 2 and height >= 2 and 1 <= window <= width):
            raise ValueError(f"a window of {window} columns of an image of {width}x{height}")
        if window < width and window <= 2 * _RAMP:
            raise ValueError(f"a window of {window} columns is too narrow: {2 * _RAMP + _STEP} or more, or all")
        self.size, self.window = size, window
        if most is None:
            most = MAX_WEIGHT_FULL_WIDTH if window == width else MAX_WEIGHT
        self._most, self._spread = np.float32(min(most, kernels.LARGEST_WEIGHT)), np.float32(spread)
        shape = height + 2 * MARGIN, width + 2 * MARGIN
        self._planes: np.ndarray = np.zeros((2, 3, *shape), np.float32)  # Y, Co, Cg: of this frame, of the one before
        self._packed: np.ndarray = np.full((2, *shape), kernels.OUTSIDE, np.uint32)
        self._means = np.full((256, 3), (128.0, 0.0, 0.0), np.float32)
        self._bands = [first for first, _ in bands(height)]
        self._uncovered = np.zeros((len(self._bands), width), np.int32)
        self._age = np.zeros(width)  # frames since a column was generated
        self._rgb = np.empty((height, width, 3), np.uint8)
        self.is_blank = True  # there is no past: everything has to be generated

    def reset(self) -> None:
        """Forget the past."""
        self.is_blank = True

    def covering_windows(self) -> list[int]:
        """Return the first columns of windows that cover the whole image."""
        width = self.size[0]
        if self.window == width:
            return [0]
        count = -(-(width - self.window) // (self.window - 2 * _RAMP)) + 1
        return [round(k * (width - self.window) / (count - 1) / _STEP) * _STEP for k in range(count - 1)] + [
            width - self.window
        ]

    def reproject(self, frame: Frame) -> list[int]:
        """Reproject the past into ``frame``; returns the first columns of the windows that are to be generated.

        It is one window, where most has come into view or has not been generated for long; after ``reset``, windows
        that cover everything. The frame has the ``PLANES``, of the image's size.
        """
        planes = frame.planes
        self._planes, self._packed = self._planes[::-1], self._packed[::-1]
        height = self.size[1]
        run_in_bands(height, lambda a, b: kernels.pack(planes["tag"], planes["instance"], self._packed[0], a, b))
        if self.is_blank:
            self._age[:] = 0.0
            return self.covering_windows()
        motion = np.ascontiguousarray(planes["motion"]).view(np.uint32)[..., 0]
        past = planes["depth"], self._packed[1], self._planes[1], self._packed[0], self._planes[0], self._means

        def reproject_band(start: int, stop: int) -> None:
            kernels.reproject(motion, *past, start, stop, self._uncovered[self._bands.index(start)], self._rgb)

        run_in_bands(height, reproject_band)
        self._age += 1.0
        need = np.square(self._age) + self._uncovered.sum(0) * (_UNCOVERED_URGENCY / height)
        need = np.concatenate([[0.0], np.cumsum(need)])
        places = np.array(sorted({*range(0, self.size[0] - self.window, _STEP), self.size[0] - self.window}))
        first, last = self._renewed_columns(places)
        return [int(places[np.argmax(need[last] - need[first])])]

    def accumulate(self, window: np.ndarray, left: int) -> None:
        """Blend ``window`` u8 (H, window, 3) into the columns from ``left`` on."""
        gains: np.ndarray = np.ones(self.window, np.float32)
        ramp = np.clip((np.arange(self.window) + 0.5 - _EDGE) / (_RAMP - _EDGE), 0.0, 1.0).astype(np.float32)
        if left > 0:
            gains = np.minimum(gains, ramp)
        if left + self.window < self.size[0]:
            gains = np.minimum(gains, ramp[::-1])
        arguments = window, left, gains, self._spread, self._most
        totals = np.zeros((len(self._bands), 256, 4), np.float32)

        def accumulate_band(start: int, stop: int) -> None:
            band_totals = totals[self._bands.index(start)]
            kernels.accumulate(*arguments, start, stop, self._packed[0], self._planes[0], band_totals, self._rgb)

        run_in_bands(self.size[1], accumulate_band)
        sums = totals.sum(0)
        updated = sums[:, 3] > 0.0  # the means of these classes drift to what was generated
        self._means[updated] += 0.5 * (sums[updated, :3] / sums[updated, 3:] - self._means[updated])
        first, last = self._renewed_columns(np.array([left]))
        self._age[first[0] : last[0]] = 0.0

    def image(self) -> np.ndarray:
        """Return the composited image of the frame, u8 (H, W, 3), the caller's to keep."""
        for plane in self._planes[0]:
            kernels.extend_border(plane)
        self.is_blank = False
        return self._rgb.copy()

    def _renewed_columns(self, lefts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and last column, exclusive, that windows at ``lefts`` mostly renew."""
        rim = (_EDGE + _RAMP) // 2
        rights = lefts + self.window
        return np.where(lefts > 0, lefts + rim, 0), np.where(rights < self.size[0], rights - rim, rights)


def compile_kernels() -> None:
    """Compile the kernels ahead, for planes in messages (writable) and in shared memory (read-only)."""
    side = 8
    planes: dict[str, np.ndarray] = {
        "tag": np.ones((side, side), np.uint8),
        "instance": np.zeros((side, side), np.uint16),
        "depth": np.ones((side, side), np.float32),
        "motion": np.zeros((side, side, 2), np.float16),
    }
    for writable in (True, False):
        for plane in planes.values():
            plane.flags.writeable = writable
        upscaler = TemporalUpscaler((side, side), side)
        for number in range(2):
            for left in upscaler.reproject(Frame(number, number, 0.0, Camera(side, side, 70.0, np.eye(4)), planes)):
                upscaler.accumulate(np.zeros((side, side, 3), np.uint8), left)
            upscaler.image()
