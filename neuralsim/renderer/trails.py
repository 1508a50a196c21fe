"""Trails: what moves through a view that stands still leaves none of its outlines behind.

A generated outline is softer than that of the labels: beside what moves there is a line of its colour, which belongs to
what is behind. Where nothing moves, the past is neither resampled nor uncovered, and one such line after the other
would stay in the image. So what is there is generated anew once the outline has moved away, as what has just been
uncovered is.
"""

import cv2
import numpy as np

from bridge.messages import HIDDEN_MOTION
from bridge.tags import MOVERS

_WIDTH = 1.0 / 110.0  # of an image's width: how far beside an outline the generator paints
_LEAST_MOTION = np.float16(0.3).view(np.uint16)  # px, longest part of the motion from which on something moves
_SPARSE = 8  # px from one sample of the background to the next
_MAGNITUDE = np.uint16(0x7FFF)  # of the bits of a half: without its sign, they are in the order of the numbers
_IS_MOVER = np.isin(np.arange(256), MOVERS).astype(np.uint8)  # u8 (256,), by tag


class Trails:
    """Where the generator may have painted beside what moved in the frame before."""

    def __init__(self) -> None:
        self._beside: np.ndarray | None = None

    def reset(self) -> None:
        """Forget the frame before."""
        self._beside = None

    def hide(self, motion: np.ndarray, tag: np.ndarray) -> np.ndarray:
        """Return ``motion`` f16 (H, W, 2), px, with the past hidden where an outline has been; a copy, if it is.

        Call it for each frame; nothing is hidden while the view moves. ``tag``: u8 (H, W).
        """
        before, self._beside = self._beside, None
        if not _stands_still(motion, tag):
            return motion
        mover = cv2.LUT(tag, _IS_MOVER)
        moved = mover & _moves(motion).view(np.uint8)
        if before is not None and before.shape == tag.shape:
            moved |= mover & before  # what has stopped keeps its past, and what is beside it
        else:
            before = None
        side = 2 * round(_WIDTH * tag.shape[1]) + 1
        self._beside = cv2.dilate(moved, np.ones((side, side), np.uint8))
        if before is None or not before.any():
            return motion
        motion = motion.copy()
        motion[before > self._beside] = HIDDEN_MOTION
        return motion


def _moves(motion: np.ndarray) -> np.ndarray:
    """Return bool (H, W): what moves."""
    bits = motion.view(np.uint16) & _MAGNITUDE
    return np.asarray(np.maximum(bits[..., 0], bits[..., 1]) > _LEAST_MOTION)


def _stands_still(motion: np.ndarray, tag: np.ndarray) -> bool:
    """Return whether most of what cannot move by itself stands."""
    few = slice(None, None, _SPARSE), slice(None, None, _SPARSE)
    background = _IS_MOVER[tag[few]] == 0
    return int((_moves(motion[few]) & background).sum()) * 2 < int(background.sum())
