"""Large pictures for the price of small ones: a part of each frame is painted, the rest is remembered.

Temporal upscaling as games do it (Karis, SIGGRAPH 2014; TSR, FSR 2) paints a comb of pixels and puts combs of several
frames together. That supposes a renderer that paints the same world at any size, and a painter does not: at half the
size it draws other windows, not the same ones coarser, so that no way of putting its combs together gives the
large picture (docs/upscaling.md has the figures). What is painted here is therefore a *window* of full height and of
full resolution, another one in each frame. Everything else is the past, moved by the engine's motion at full size, and
thrown away where tag and instance say that it was another thing.

A window as wide as the picture is temporal anti-aliasing: each frame's camera may then be shifted by a part of a pixel
(``bridge.jitter``), and outlines, averaged over frames, lose their stairs. With narrower ones it may not: averaged
over a visit or two, a shift is an error of position.
"""

from __future__ import annotations

import numpy as np

from bridge.bands import bands, by_bands
from bridge.messages import Camera, Frame
from neuralsim.renderer import upscaling_kernels as kernels
from neuralsim.renderer.upscaling_kernels import MARGIN

PLANES = ("tag", "instance", "depth", "motion")  # that moving the past needs
MOST = 1.0  # visits of the window that the past counts for, at most
MOST_OF_ALL = 3.0  # the same where the window is all of the picture
SPREAD = 1.6  # standard deviations that the past may be off what is painted now
_EDGE = 8  # px at a side of a window that are not used, since the painter sees nothing beyond
_RAMP = 32  # px from a side on which a window counts fully
_STEP = 8  # px between places for a window
_HASTE = 200.0  # squared frames of age that a column is worth in which everything has just come into view


def window_of(pixels: int, width: int, height: int, multiple: int) -> int:
    """Columns of a window of about so many ``pixels``, full height: a ``multiple``, or all of the width.

    Never fewer than are left over when the rims, which are not used, are taken off.
    """
    columns = max(round(pixels / height / multiple), 1) * multiple
    least = -(-(2 * _RAMP + _STEP) // multiple) * multiple
    return min(max(columns, least), width)


class TemporalUpscaler:
    """The past of one camera, moved and renewed: ``move`` for each frame, then ``accept`` what was painted of it.

    ``size`` (width, height) of frames and pictures, at least 2x2; ``window``: columns that are painted of a frame, up
    to the width; ``most``: visits that the past counts for, None: ``MOST`` or ``MOST_OF_ALL``; ``spread``: deviations
    that it may be off what is painted. Raises ValueError for a window that is no part of a picture.
    """

    def __init__(self, size: tuple[int, int], window: int, most: float | None = None, spread: float = SPREAD) -> None:
        width, height = size
        if not (width >= 2 and height >= 2 and 1 <= window <= width):
            raise ValueError(f"a window of {window} columns of a picture of {width}x{height}")
        if window < width and window <= 2 * _RAMP:
            raise ValueError(f"a window of {window} columns is too narrow: {2 * _RAMP + _STEP} or more, or all")
        self.size, self.window = size, window
        if most is None:
            most = MOST_OF_ALL if window == width else MOST
        self._most, self._spread = np.float32(min(most, kernels.HEAVIEST)), np.float32(spread)
        shape = height + 2 * MARGIN, width + 2 * MARGIN
        self._planes: np.ndarray = np.zeros((2, 3, *shape), np.float32)  # Y, Co, Cg: of now, of before
        self._words: np.ndarray = np.full((2, *shape), kernels.NOTHING, np.uint32)
        self._means = np.full((256, 3), (128.0, 0.0, 0.0), np.float32)
        self._bands = [first for first, _ in bands(height)]
        self._uncovered = np.zeros((len(self._bands), width), np.int32)
        self._age = np.zeros(width)  # frames since a column was painted
        self._rgb = np.empty((height, width, 3), np.uint8)
        self.blank = True  # there is no past: all has to be painted

    def reset(self) -> None:
        """Forget the past."""
        self.blank = True

    def lefts(self) -> list[int]:
        """First columns of windows that cover the whole picture."""
        width = self.size[0]
        if self.window == width:
            return [0]
        count = -(-(width - self.window) // (self.window - 2 * _RAMP)) + 1
        return [round(k * (width - self.window) / (count - 1) / _STEP) * _STEP for k in range(count - 1)] + [
            width - self.window
        ]

    def move(self, frame: Frame) -> list[int]:
        """Take the past to where ``frame`` sees it; returns the first columns of the windows that are to be painted.

        One window, chosen where most has come into view or was not painted for long; after ``reset``, so many that they
        cover everything. The frame has the ``PLANES``, of the picture's size.
        """
        planes = frame.planes
        self._planes, self._words = self._planes[::-1], self._words[::-1]
        height = self.size[1]
        by_bands(height, lambda a, b: kernels.mark(planes["tag"], planes["instance"], self._words[0], a, b))
        if self.blank:
            self._age[:] = 0.0
            return self.lefts()
        motion = np.ascontiguousarray(planes["motion"]).view(np.uint32)[..., 0]
        past = planes["depth"], self._words[1], self._planes[1], self._words[0], self._planes[0], self._means

        def take(start: int, stop: int) -> None:
            kernels.move(motion, *past, start, stop, self._uncovered[self._bands.index(start)], self._rgb)

        by_bands(height, take)
        self._age += 1.0
        need = np.square(self._age) + self._uncovered.sum(0) * (_HASTE / height)
        need = np.concatenate([[0.0], np.cumsum(need)])
        places = np.array(sorted({*range(0, self.size[0] - self.window, _STEP), self.size[0] - self.window}))
        first, last = self._useful(places)
        return [int(places[np.argmax(need[last] - need[first])])]

    def accept(self, painted: np.ndarray, left: int) -> None:
        """Renew the columns from ``left`` on by ``painted`` u8 (H, window, 3)."""
        gains: np.ndarray = np.ones(self.window, np.float32)
        ramp = np.clip((np.arange(self.window) + 0.5 - _EDGE) / (_RAMP - _EDGE), 0.0, 1.0).astype(np.float32)
        if left > 0:
            gains = np.minimum(gains, ramp)
        if left + self.window < self.size[0]:
            gains = np.minimum(gains, ramp[::-1])
        given = painted, left, gains, self._spread, self._most
        totals = np.zeros((len(self._bands), 256, 4), np.float32)

        def blend(start: int, stop: int) -> None:
            found = totals[self._bands.index(start)]
            kernels.accept(*given, start, stop, self._words[0], self._planes[0], found, self._rgb)

        by_bands(self.size[1], blend)
        sums = totals.sum(0)
        seen = sums[:, 3] > 0.0  # these classes' means drift to what was painted
        self._means[seen] += 0.5 * (sums[seen, :3] / sums[seen, 3:] - self._means[seen])
        first, last = self._useful(np.array([left]))
        self._age[first[0] : last[0]] = 0.0

    def picture(self) -> np.ndarray:
        """What is shown of the frame, u8 (H, W, 3), the caller's to keep."""
        for plane in self._planes[0]:
            kernels.surround(plane)
        self.blank = False
        return self._rgb.copy()

    def _useful(self, lefts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From which to which column windows at ``lefts`` renew the picture for the better part."""
        rim = (_EDGE + _RAMP) // 2
        rights = lefts + self.window
        return np.where(lefts > 0, lefts + rim, 0), np.where(rights < self.size[0], rights - rim, rights)


def compile_kernels() -> None:
    """Do so before they are needed, for planes in messages (writable) and in shared memory (not)."""
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
            for left in upscaler.move(Frame(number, number, 0.0, Camera(side, side, 70.0, np.eye(4)), planes)):
                upscaler.accept(np.zeros((side, side, 3), np.uint8), left)
            upscaler.picture()
