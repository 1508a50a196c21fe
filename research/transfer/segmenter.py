"""The task of a segmenter: CamVid's eleven classes, mean IoU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, CAMVID_VOID, confusion, iou
from research.transfer.images import Pairs
from research.transfer.recipe import Cached, Loss


class Segmenter:
    """A ``Task``: the class of each pixel."""

    outputs = len(CAMVID_CLASSES)
    rows = ("mean", *CAMVID_CLASSES)

    def loss(self, data: Cached) -> Loss:
        """Return the cross entropy, weighted by how rare a class is in ``data``."""
        counts = sum(np.bincount(label.ravel(), minlength=256)[: self.outputs] for _, label in data)
        weights = torch.from_numpy(1.0 / np.log(1.1 + counts / np.sum(counts))).float()  # as in train_segmenter

        def loss(logits: Tensor, label: np.ndarray) -> Tensor:
            whole = F.interpolate(logits, label.shape[1:], mode="bilinear", align_corners=False)
            return F.cross_entropy(whole, torch.from_numpy(label.astype(np.int64)), weights, ignore_index=CAMVID_VOID)

        return loss

    def test(self, network: Callable[[np.ndarray], Tensor], pairs: Pairs) -> dict[str, float]:
        """Return the IoU of each class that occurs in the labels, and their ``mean``."""
        counts = np.zeros((self.outputs,) * 2, np.int64)
        for image, label in pairs:
            whole = F.interpolate(network(image), label.shape, mode="bilinear", align_corners=False)
            counts += confusion(whole.argmax(1)[0].numpy().astype(np.uint8), label)
        return figures(counts)


def figures(counts: np.ndarray) -> dict[str, float]:
    """Return the figures of a confusion matrix i64 (11, 11)."""
    each = iou(counts)
    classes = {name: float(value) for name, value in zip(CAMVID_CLASSES, each, strict=True) if not np.isnan(value)}
    return {"mean": float(np.nanmean(each)), **classes}
