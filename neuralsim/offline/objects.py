"""Objects in label maps without instances: connected components of movers, followed along the motion."""

from __future__ import annotations

import cv2
import numpy as np

from bridge.tags import MOVERS

_LEAST = 0.25  # share of a component that must come from one object of the frame before for it to be that object
_LAST = 60_000  # numbers are used again after this one


class Objects:
    """``follow(tag, motion)`` for one frame after another: u16 (H, W), a number per object, 0 = scenery."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._next = 1

    def follow(self, tag: np.ndarray, motion: np.ndarray | None) -> np.ndarray:
        """Instances of ``tag`` u8 (H, W); ``motion`` f32 (H, W, 2), pixels back to the frame before, None = no past.

        A connected component keeps the number of the object that most of it comes from; where two claim the same, the
        one that shares more pixels with it gets it.
        """
        out = np.zeros(tag.shape, np.uint16)
        source = self._source(tag, motion)
        claims: list[tuple[int, int, np.ndarray]] = []  # shared pixels, number (0: none), mask
        for mover in MOVERS:
            mask = (tag == mover).astype(np.uint8)
            if not mask.any():
                continue
            count, parts = cv2.connectedComponents(mask)
            for part in range(1, count):
                inside = parts == part
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
