"""Realism of single objects: Fréchet distances of crops around vehicles, and around people and cycles.

Objects that matter to a driver cover a few per cent of a frame, and hardly affect a distance between whole frames.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from neuralsim.evaluation import measures
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, MetricNetwork

KINDS = {"vehicles": ("car",), "people": ("pedestrian", "bicyclist")}
_SIDE = 96  # side of a crop for the network, px
_AREA_FLOOR = 200  # px; smaller objects have no shape to compare
_SIDE_FLOOR = 12  # px, the same
_MARGIN = 1.2  # side of a crop over the longer side of its object
_ENOUGH = 24  # least number of crops


@dataclass
class _Sample:
    """Mean features of the crops of one variant, by kind."""

    features: dict[str, list[np.ndarray]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


class ObjectCrops:
    """Crops of objects: ``add(pictures, label)`` for every frame, then ``figures()``.

    ``names``: the variants; the others are compared with ``real`` among them.
    """

    def __init__(self, features: MetricNetwork, names: tuple[str, ...], real: str) -> None:
        self._network, self._real = features, real
        self._samples = {name: _Sample() for name in names}

    def add(self, pictures: dict[str, np.ndarray], label: np.ndarray) -> None:
        """Add a frame: images u8 (H, W, 3) by name, CamVid's label u8 (H, W), all of one size."""
        for kind, classes in KINDS.items():
            mask = np.isin(label, [CAMVID_CLASSES.index(each) for each in classes]).astype(np.uint8)
            for rows, columns in windows(mask):
                for name, sample in self._samples.items():
                    crop = cv2.resize(pictures[name][rows, columns], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
                    sample.features[kind].append(self._network(crop)[1].mean((1, 2), dtype=np.float64))

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return, by name and kind, the number of crops, their distance from all real ones, that of the first half of
        the real ones from the second, and the ratio of the two; kinds with few crops are left out."""
        results: dict[str, dict[str, Any]] = {name: {} for name in self._samples}
        for kind in KINDS:
            crops = self._samples[self._real].features[kind]
            if len(crops) < _ENOUGH:
                continue
            real, half = np.stack(crops), len(crops) // 2
            floor = measures.frechet(real[:half], real[half:], shrink=True)
            for name, sample in self._samples.items():
                distance = measures.frechet(np.stack(sample.features[kind]), real, shrink=True)
                results[name][kind] = {
                    "crops": len(real),
                    "distance": distance,
                    "halves": floor,
                    "ratio": distance / floor,
                }
        return results


def windows(mask: np.ndarray) -> list[tuple[slice, slice]]:
    """Return squares (rows, columns) around the connected parts of ``mask`` u8 (H, W), within the frame, without small
    parts."""
    height, width = mask.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    squares = []
    for x, y, w, h, pixels in stats[1:].tolist():
        if pixels < _AREA_FLOOR or min(w, h) < _SIDE_FLOOR:
            continue
        side = min(round(_MARGIN * max(w, h)), height, width)
        top = min(max(0, y + (h - side) // 2), height - side)
        left = min(max(0, x + (w - side) // 2), width - side)
        squares.append((slice(top, top + side), slice(left, left + side)))
    return squares
