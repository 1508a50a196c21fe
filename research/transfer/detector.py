"""The task of a detector of vehicles: a heat map of their centres with sizes (CenterNet, Zhou et al. 2019).

CamVid has no instances, so that a vehicle is a connected region of its class, in all images alike: cars in a row that
overlap are one.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.evaluation.metric_networks import CAMVID_CLASSES
from research.detections import Tally, overlap
from research.transfer.images import Pairs
from research.transfer.recipe import Cached, Loss

LEAST = 150  # least area of a vehicle, px of an image of 360 rows; smaller ones count neither as such nor as mistakes
_VEHICLE = CAMVID_CLASSES.index("car")
_STRIDE = 4
_MOST = 60  # detections of an image
_PRIOR = -4.0  # logit of a centre at the beginning: few pixels are one
_SPREAD = 0.12  # standard deviation of a target's peak, as a share of the vehicle's size


class VehicleDetector:
    """A ``Task``: boxes of vehicles. Outputs: centre, log width, log height, offset of the centre in x and y."""

    outputs = 5
    rows = ("average precision", "recall")

    def loss(self, data: Cached) -> Loss:
        """Return the focal loss of the centres and the absolute error of sizes and offsets."""

        def loss(outputs: Tensor, label: np.ndarray) -> Tensor:
            targets = [torch.from_numpy(np.stack(each)) for each in zip(*map(target, label), strict=True)]
            heat, ignored, box, is_centre = targets
            logit, error = outputs[:, 0] + _PRIOR, (outputs[:, 1:] - box).abs().sum(1)
            score = logit.sigmoid()
            right = -((1 - score) ** 2) * F.logsigmoid(logit) * is_centre
            wrong = -((1 - heat) ** 4) * score**2 * F.logsigmoid(-logit) * (1 - is_centre) * (1 - ignored)
            return (right + wrong + 0.3 * error * is_centre).sum() / is_centre.sum().clamp(min=1.0)

        return loss

    def test(self, network: Callable[[np.ndarray], Tensor], pairs: Pairs) -> dict[str, float]:
        """Return average precision at an IoU of 0.5, and the recall of the best ``_MOST`` boxes of each image."""
        tally = Tally()
        for image, label in pairs:
            large, small = vehicles(label)
            tally.add(*boxes(network(image)[0]), large, small)
        return {"average precision": tally.average_precision, "recall": tally.recall, "vehicles": float(tally.objects)}


def vehicles(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes f64 (N, 4), left, top, right, bottom in px, of the large and of the small vehicles of u8 (H, W)."""
    _, _, regions, _ = cv2.connectedComponentsWithStats((label == _VEHICLE).astype(np.uint8), connectivity=8)
    found = regions[1:].astype(float)
    corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
    is_large = found[:, 4] >= LEAST
    return corners[is_large], corners[~is_large]


def target(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what the network should say of labels u8 (H, W), f32 at stride 4.

    Heat (h, w) in [0, 1], 1 where it is ``ignored`` (h, w), sizes and offsets (4, h, w), 1 where ``is_centre`` (h, w).
    """
    height, width = label.shape[0] // _STRIDE, label.shape[1] // _STRIDE
    heat, ignored, is_centre = (np.zeros((height, width), np.float32) for _ in range(3))
    box = np.zeros((4, height, width), np.float32)
    large, small = (each / _STRIDE for each in vehicles(label))
    for left, top, right, bottom in small.astype(int):
        ignored[top : bottom + 1, left : right + 1] = 1.0
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    for left, top, right, bottom in large:
        size = np.array([right - left, bottom - top])
        middle = np.array([left + right, top + bottom]) / 2
        spread = np.maximum(_SPREAD * size, 0.5)
        np.maximum(heat, np.exp(-(((x - middle[0]) / spread[0]) ** 2 + ((y - middle[1]) / spread[1]) ** 2) / 2), heat)
        column, row = np.minimum(middle.astype(int), (width - 1, height - 1))
        is_centre[row, column] = 1.0
        box[:, row, column] = *np.log(size), *(middle - (column + 0.5, row + 0.5))
    return heat, ignored, box, is_centre


def boxes(outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes f64 (N, 4), in px, and scores f64 (N,) from the network's outputs (5, h, w)."""
    heat = (outputs[0] + _PRIOR).sigmoid()
    is_peak = F.max_pool2d(heat[None, None], 3, 1, 1)[0, 0] == heat
    scores, places = (heat * is_peak).flatten().topk(min(_MOST, heat.numel()))
    row, column = np.divmod(places.numpy(), heat.shape[1])
    at = outputs[1:, row, column].double().numpy()
    half = np.exp(at[:2].clip(-4, 6)) / 2
    middle = np.stack([column + 0.5, row + 0.5]) + at[2:]
    found = _STRIDE * np.concatenate([middle - half, middle + half]).T
    kept: list[int] = []
    for k in range(len(found)):  # the highest score first
        if not (overlap(found[k], found[kept]) > 0.5).any():
            kept.append(k)
    return found[kept], scores.double().numpy()[kept]
