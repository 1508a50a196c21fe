"""Tracks objects in label maps without instances: connected components of movers, split where they form rows."""

from itertools import pairwise

import cv2
import numpy as np

from bridge.tags import MOVERS, Tag

#: Width over height of one object of a class in a row: between a car's front (1.2) and its side (2.9), since a receding
#: row shows both; of people side by side.
_ASPECTS = {Tag.CAR: 1.9, Tag.PEDESTRIAN: 0.5}
_ROW = 1.6  # object widths from which a component is a row
_LEAST_HEIGHT = 8  # px of a row that is split
_DIP = 0.2  # of an object's width to both sides, within which the row is split at its lowest column
_LEAST_OVERLAP = 0.25  # share of a component that must come from an object of the last frame to be that object
_LAST = 60_000  # numbers are reused after this one


class ObjectTracker:
    """Numbers the objects of one frame after another: u16 (H, W), 0 = scenery."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._next = 1

    def track(self, tag: np.ndarray, motion: np.ndarray | None) -> np.ndarray:
        """Return the instances of ``tag`` u8 (H, W).

        A connected component, or a part of a row, keeps the number of the object that most of it comes from. If two
        claim the same number, the one that shares more pixels with it gets it.

        ``motion``: f32 (H, W, 2), px back to the last frame; None = no past.
        """
        out = np.zeros(tag.shape, np.uint16)
        source = self._source(tag, motion)
        claims: list[tuple[int, int, np.ndarray]] = []  # shared pixels, number (0: none), mask
        for mover in MOVERS:
            mask = (tag == mover).astype(np.uint8)
            if not mask.any():
                continue
            count, parts = cv2.connectedComponents(mask)
            for inside in (piece for part in range(1, count) for piece in split_row(parts == part, mover)):
                votes = np.bincount(source[inside])
                votes[0] = 0
                best = int(votes.argmax())
                share = int(votes[best])
                claims.append((share, best, inside) if share > _LEAST_OVERLAP * inside.sum() else (0, 0, inside))
        taken: set[int] = set()
        for _, number, inside in sorted(claims, key=lambda claim: -claim[0]):
            if number == 0 or number in taken:
                number, self._next = self._next, self._next % _LAST + 1
            taken.add(number)
            out[inside] = number
        self._before = out
        return out

    def _source(self, tag: np.ndarray, motion: np.ndarray | None) -> np.ndarray:
        """Return the last frame's numbers where this frame's pixels were."""
        if motion is None or self._before is None:
            return np.zeros(tag.shape, np.int64)
        height, width = tag.shape
        x = np.rint(np.arange(width)[None, :] + motion[..., 0]).astype(np.int64)
        y = np.rint(np.arange(height)[:, None] + motion[..., 1]).astype(np.int64)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return np.where(inside, self._before[y.clip(0, height - 1), x.clip(0, width - 1)], 0).astype(np.int64)


def split_row(inside: np.ndarray, tag: int) -> list[np.ndarray]:
    """Split a connected component bool (H, W) into objects: parked cars and crowds overlap into rows.

    The count follows from the width of one object at the height of each column, so that a receding row has more of them
    where it is lower. The row is split where it dips.
    """
    aspect = _ASPECTS.get(Tag(tag))
    columns = np.flatnonzero(inside.any(0))
    if aspect is None or len(columns) < 2 * _LEAST_HEIGHT * aspect:
        return [inside]
    left, right = int(columns[0]), int(columns[-1]) + 1
    height = inside[:, left:right].sum(0).astype(np.float32)
    side = max(3, int(0.5 * aspect * float(np.median(height)))) | 1
    if float(np.median(height)) < _LEAST_HEIGHT:
        return [inside]
    roofs = cv2.dilate(height[None, :], np.ones((1, side), np.uint8))  # of the object here, not of the dip next to it
    level = cv2.blur(roofs, (side, 1), borderType=cv2.BORDER_REPLICATE)[0]
    place = np.cumsum(1.0 / (aspect * np.maximum(level, 1.0)))  # count of objects that end left of each column
    if place[-1] < _ROW:
        return [inside]
    count = round(float(place[-1]))
    cuts = [left]
    for number in range(1, count):
        at = int(np.searchsorted(place, place[-1] * number / count))
        reach = max(1, int(_DIP * aspect * float(level[min(at, len(level) - 1)])))
        near = slice(max(1, at - reach), min(len(height) - 1, at + reach + 1))
        cuts.append(left + near.start + int(height[near].argmin()))
    cuts.append(right)
    parts = []
    for start, end in pairwise(sorted(set(cuts))):
        part = np.zeros_like(inside)
        part[:, start:end] = inside[:, start:end]
        parts.append(part)
    return parts
