"""Objects in label maps without instances: connected components of movers, rows of them cut apart, followed along the
motion."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from bridge.tags import MOVERS, Tag

#: Width over height of one object of a class as it is met in a row: between a car's front (1.2) and its side (2.9), of
#: which a receding row shows both; of people side by side.
_ASPECTS = {Tag.CAR: 1.9, Tag.PEDESTRIAN: 0.5}
_SURPLUS = 1.6  # times as wide as one object is, at which a component is a row
_LEAST_HEIGHT = 8  # px of a row that is cut
_DIP = 0.2  # of an object's width to both sides, where the lowest column is looked for to cut at
_LEAST = 0.25  # share of a component that must come from one object of the frame before for it to be that object
_LAST = 60_000  # numbers are used again after this one


class Objects:
    """``follow(tag, motion)`` for one frame after another: u16 (H, W), a number per object, 0 = scenery."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._next = 1

    def follow(self, tag: np.ndarray, motion: np.ndarray | None) -> np.ndarray:
        """Instances of ``tag`` u8 (H, W); ``motion`` f32 (H, W, 2), pixels back to the frame before, None = no past.

        A connected component, or a part of a row, keeps the number of the object that most of it comes from; where two
        claim the same, the one that shares more pixels with it gets it.
        """
        out = np.zeros(tag.shape, np.uint16)
        source = self._source(tag, motion)
        claims: list[tuple[int, int, np.ndarray]] = []  # shared pixels, number (0: none), mask
        for mover in MOVERS:
            mask = (tag == mover).astype(np.uint8)
            if not mask.any():
                continue
            count, parts = cv2.connectedComponents(mask)
            for inside in (each for part in range(1, count) for each in cut_apart(parts == part, mover)):
                votes = np.bincount(source[inside])
                votes[0] = 0
                best = int(votes.argmax())
                share = int(votes[best])
                claims.append((share, best, inside) if share > _LEAST * inside.sum() else (0, 0, inside))
        taken: set[int] = set()
        for _, number, inside in sorted(claims, key=lambda claim: -claim[0]):
            if number == 0 or number in taken:
                number, self._next = self._next, self._next % _LAST + 1
            taken.add(number)
            out[inside] = number
        self._before = out
        return out

    def _source(self, tag: np.ndarray, motion: np.ndarray | None) -> np.ndarray:
        """The last frame's numbers where this frame's pixels were."""
        if motion is None or self._before is None:
            return np.zeros(tag.shape, np.int64)
        height, width = tag.shape
        x = np.rint(np.arange(width)[None, :] + motion[..., 0]).astype(np.int64)
        y = np.rint(np.arange(height)[:, None] + motion[..., 1]).astype(np.int64)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return np.where(inside, self._before[y.clip(0, height - 1), x.clip(0, width - 1)], 0).astype(np.int64)


def cut_apart(inside: np.ndarray, tag: int) -> list[np.ndarray]:
    """The objects of one connected component bool (H, W): parked cars and crowds overlap into rows.

    How many there are follows from the width that one has at the height of each column, so that a receding row has more
    of them where it is lower; the cuts are where the row dips.
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
    roofs = cv2.dilate(height[None, :], np.ones((1, side), np.uint8))  # of what stands here, not of the dip beside it
    level = cv2.blur(roofs, (side, 1), borderType=cv2.BORDER_REPLICATE)[0]
    place = np.cumsum(1.0 / (aspect * np.maximum(level, 1.0)))  # how many objects end left of each column
    if place[-1] < _SURPLUS:
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
