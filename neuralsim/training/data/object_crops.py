"""Crops of vehicles, people and cycles, at one size: a frame-wide discriminator hardly sees small objects."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.models.classes import MOVERS

SIDE = 96  # side of a crop, px
MOST = 3  # largest number of crops per image
_LEAST_PIXELS, _LEAST_SIDE = 120, 14  # px; smaller objects have no recognisable shape
_MARGIN = 1.15  # side of a crop over that of its object
_LONGEST = 2.0  # largest side of a crop over its object's shorter side: a row of parked cars is split


@dataclass(frozen=True)
class CropWindow:
    """A square, px, in image ``number`` of a batch around an object of the class ``channel``."""

    number: int
    channel: int
    y: int
    x: int
    side: int


def object_windows(label: Tensor, rng: np.random.Generator, most: int = MOST) -> list[CropWindow]:
    """Return squares around at most ``most`` objects of each map of ``label`` i64 (N, H, W), larger ones more often."""
    windows = []
    maps = label.detach().cpu().numpy().astype(np.uint8)
    height, width = maps.shape[1:]
    for number, each in enumerate(maps):
        objects = []
        for channel in MOVERS:
            _, _, stats, _ = cv2.connectedComponentsWithStats((each == channel).astype(np.uint8))
            large = (box for box in stats[1:] if box[4] >= _LEAST_PIXELS and min(box[2], box[3]) >= _LEAST_SIDE)
            objects += [(channel, *box) for box in large]
        if not objects:
            continue
        weights = np.sqrt([float(box[5]) for box in objects])
        chosen = rng.choice(len(objects), min(most, len(objects)), False, weights / weights.sum())
        for channel, x, y, w, h, _ in (objects[index] for index in chosen):
            side = int(min(_MARGIN * min(max(w, h), _LONGEST * min(w, h)), height, width))
            centre = [
                start + side / 2 + rng.random() * (length - side) if length > side else start + length / 2
                for start, length in ((y, h), (x, w))
            ]
            top, left = (
                int(np.clip(at - side / 2, 0, size - side)) for at, size in zip(centre, (height, width), strict=True)
            )
            windows.append(CropWindow(number, int(channel), top, left, side))
    return windows


def cut(planes: Tensor, windows: list[CropWindow]) -> Tensor:
    """Return f32 (len(windows), C, SIDE, SIDE), cut from ``planes`` (N, C, H, W)."""
    crops = []
    for each in windows:
        crop = planes[each.number : each.number + 1, :, each.y : each.y + each.side, each.x : each.x + each.side]
        crops.append(F.interpolate(crop.float(), (SIDE, SIDE), mode="bilinear", antialias=each.side > SIDE))
    return torch.cat(crops).contiguous(memory_format=torch.channels_last)
