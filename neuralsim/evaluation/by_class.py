"""Classes that cost realism: the Fréchet distance once more, with one class after the other taken from the real frames.

Features of a class's pixels alone would be those of its outlines against nothing. So the pictures stay whole: what a
class costs is what the distance falls by when it alone is real.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuralsim.evaluation import measures
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, MetricNetwork

EVERY = 3  # frames: neighbouring ones say the same
_STRIDE = 16  # px, of the layer that realism is measured at
_LEAST = 0.005  # share of the pixels that a class must have
_ENOUGH = 4  # frames


class ByClass:
    """``add(real, painted, label)`` for every ``EVERY``-th frame, then ``figures()``."""

    def __init__(self, features: MetricNetwork) -> None:
        self._features = features
        self._real: list[np.ndarray] = []
        self._painted: list[np.ndarray] = []
        self._restored: list[list[np.ndarray]] = [[] for _ in CAMVID_CLASSES]
        self._pixels = np.zeros(len(CAMVID_CLASSES))
        self._all = 0

    def add(self, real: np.ndarray, painted: np.ndarray, label: np.ndarray) -> None:
        """One frame: pictures u8 (H, W, 3), CamVid's label u8 (H, W), all at the metric networks' height."""
        self._real.append(self._patches(real))
        self._painted.append(self._patches(painted))
        self._all += label.size
        for index, restored in enumerate(self._restored):
            mask = label == index
            self._pixels[index] += np.count_nonzero(mask)
            restored.append(
                self._patches(np.where(mask[..., None], real, painted)) if mask.any() else self._painted[-1]
            )

    def figures(self) -> dict[str, Any] | None:
        """The ratio of these frames, and by class, the costliest first: its share of the pixels and the ratio with it
        real. None for too few frames."""
        if len(self._real) < _ENOUGH:
            return None
        real, half = np.concatenate(self._real), len(self._real) // 2
        floor = measures.frechet(np.concatenate(self._real[:half]), np.concatenate(self._real[half:]))

        def ratio(sample: list[np.ndarray]) -> float:
            return measures.frechet(np.concatenate(sample), real) / floor

        share = self._pixels / self._all
        found = {
            name: {"share": float(share[index]), "realism": ratio(self._restored[index])}
            for index, name in enumerate(CAMVID_CLASSES)
            if share[index] >= _LEAST
        }
        costliest = sorted(found, key=lambda name: found[name]["realism"])
        return {
            "frames": len(self._real),
            "realism": ratio(self._painted),
            "with_real": {name: found[name] for name in costliest},
        }

    def _patches(self, picture: np.ndarray) -> np.ndarray:
        return measures.patches(self._features(picture)[1], _STRIDE)
