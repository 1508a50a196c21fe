"""Networks that measure images and that no loss has seen: a CamVid segmenter, and features for Fréchet distances.

``segmenter.onnx`` was trained for this alone by ``research/train_segmenter.py``; ``features.onnx`` is
EfficientNet-Lite2 with ImageNet's weights. ``card.yaml`` has their scores. They run on ONNX Runtime in fp32.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neuralsim.runtimes.onnxruntime_session import quiet_session

HERE = Path(__file__).parent

#: CamVid's classes by label id (12-class edition).
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
CAMVID_VOID = 11

#: Outputs of ``features.onnx`` -> block of EfficientNet-Lite2: 48 channels at stride 8, 120 channels at stride 16.
FEATURE_LAYERS = {"stride8": 6, "stride16": 14}


class MetricNetwork:
    """One of the networks: ``network(rgb)`` returns its outputs for an image u8 (H, W, 3)."""

    def __init__(self, file: Path, threads: int | None = None) -> None:
        self._session = quiet_session(str(file), threads)

    def __call__(self, rgb: np.ndarray) -> list[np.ndarray]:
        out: list[np.ndarray] = self._session.run(None, {"rgb": np.ascontiguousarray(rgb)})
        return out


def confusion(predicted: np.ndarray, label: np.ndarray, classes: int = len(CAMVID_CLASSES)) -> np.ndarray:
    """Return i64 (classes, classes): pixels by label (row) and prediction (column); greater labels are left out."""
    known = (label < classes) & (predicted < classes)
    pairs = label[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou(counts: np.ndarray) -> np.ndarray:
    """Return the intersection over union per class from a confusion matrix; NaN for classes without labels."""
    hit = np.diag(counts).astype(np.float64)
    union = counts.sum(0) + counts.sum(1) - hit
    return np.where(counts.sum(1) > 0, hit / np.maximum(union, 1.0), np.nan)


def mean_iou(predicted: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[float, dict[str, float]]:
    """Return the mean, over the classes that occur, of the IoU over all images, and the IoU of each class."""
    counts = sum(confusion(p, label) for p, label in zip(predicted, labels, strict=True))
    each = iou(np.asarray(counts))
    return float(np.nanmean(each)), {
        name: float(value) for name, value in zip(CAMVID_CLASSES, each, strict=True) if not np.isnan(value)
    }
