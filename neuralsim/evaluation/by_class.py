"""Classes that cost realism: the Fréchet distance with one class after the other taken from the real frames.

Features of a class cut out alone would depend on its outlines. So the images stay whole: the cost of a class is the
reduction of the distance when it alone is real.
"""

from typing import Any

import numpy as np

from neuralsim.evaluation import measures
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, MetricNetwork

EVERY = 3  # frames from one that is used to the next: neighbours add little
_STRIDE = 16  # stride of the layer at which realism is measured, px
_LEAST = 0.005  # least share of the pixels of a class that is reported
_ENOUGH = 4  # least number of frames


class ByClass:
    """The costs of classes: ``add(real, generated, label)`` for every ``EVERY``-th frame, then ``figures()``."""

    def __init__(self, features: MetricNetwork) -> None:
        self._features = features
        self._real: list[np.ndarray] = []
        self._generated: list[np.ndarray] = []
        self._restored: list[list[np.ndarray]] = [[] for _ in CAMVID_CLASSES]
        self._pixels = np.zeros(len(CAMVID_CLASSES))
        self._all = 0

    def add(self, real: np.ndarray, generated: np.ndarray, label: np.ndarray) -> None:
        """Add a frame: images u8 (H, W, 3), CamVid's label u8 (H, W), all at the metric networks' height."""
        self._real.append(self._patches(real))
        self._generated.append(self._patches(generated))
        self._all += label.size
        for index, restored in enumerate(self._restored):
            mask = label == index
            self._pixels[index] += np.count_nonzero(mask)
            restored.append(
                self._patches(np.where(mask[..., None], real, generated)) if mask.any() else self._generated[-1]
            )

    def figures(self) -> dict[str, Any] | None:
        """Return the ratio of these frames and, by class, the costliest first, its share of the pixels and the ratio
        with that class real; None for too few frames."""
        if len(self._real) < _ENOUGH:
            return None
        real, half = np.concatenate(self._real), len(self._real) // 2
        floor = measures.frechet(np.concatenate(self._real[:half]), np.concatenate(self._real[half:]))

        def ratio(sample: list[np.ndarray]) -> float:
            return measures.frechet(np.concatenate(sample), real) / floor

        share = self._pixels / self._all
        by_class = {
            name: {"share": float(share[index]), "realism": ratio(self._restored[index])}
            for index, name in enumerate(CAMVID_CLASSES)
            if share[index] >= _LEAST
        }
        costliest = sorted(by_class, key=lambda name: by_class[name]["realism"])
        return {
            "frames": len(self._real),
            "realism": ratio(self._generated),
            "with_real": {name: by_class[name] for name in costliest},
        }

    def _patches(self, image: np.ndarray) -> np.ndarray:
        return measures.patches(self._features(image)[1], _STRIDE)
