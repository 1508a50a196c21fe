"""Detections of objects in images, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_SAME = 0.5  # least intersection over union of a match


@dataclass
class Tally:
    """Detections with their scores, and the number of objects."""

    scores: list[float] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)
    objects: int = 0

    def add(self, boxes: np.ndarray, scores: np.ndarray, objects: np.ndarray, small: np.ndarray) -> None:
        """Add the boxes f64 (N, 4) of an image: left, top, right, bottom.

        Each object matches the box with the highest score; a box on a ``small`` object is ignored.
        """
        free = np.ones(len(objects), bool)
        self.objects += len(objects)
        for k in np.argsort(-scores, kind="stable"):
            overlaps = overlap(boxes[k], objects)
            best = int(np.argmax(np.where(free, overlaps, 0.0))) if len(objects) else -1
            if best >= 0 and free[best] and overlaps[best] >= _SAME:
                free[best] = False
            elif (overlap(boxes[k], small) >= _SAME).any():
                continue
            else:
                best = -1
            self.scores.append(float(scores[k]))
            self.is_right.append(best >= 0)

    @property
    def recall(self) -> float:
        """The share of the objects that were detected."""
        return sum(self.is_right) / max(self.objects, 1)

    @property
    def average_precision(self) -> float:
        """The area below precision over recall, where precision is the best at that recall or a higher one."""
        right = np.array(self.is_right)[np.argsort(-np.array(self.scores), kind="stable")]
        hits = np.cumsum(right)
        precision = np.maximum.accumulate((hits / np.arange(1, len(right) + 1))[::-1])[::-1]
        return float((precision * right).sum() / max(self.objects, 1))


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of a box f64 (4,) with others (N, 4), f64 (N,)."""
    size = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.prod(np.maximum(size, 0.0), axis=1)
    each = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(both / (np.prod(box[2:] - box[:2]) + each - both))
