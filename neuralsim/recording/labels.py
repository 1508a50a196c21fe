"""Labels as the field's data sets have them: Cityscapes' ids, COCO's boxes and masks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from bridge.tags import MOVERS, Tag
from bridge.untrusted import limits

_IGNORED = 255
#: CARLA's tag -> Cityscapes' (label id, train id), as in cityscapesScripts' ``labels.py``; 255: not trained on.
CITYSCAPES: dict[Tag, tuple[int, int]] = {
    Tag.UNLABELED: (0, _IGNORED), Tag.ROAD: (7, 0), Tag.SIDEWALK: (8, 1), Tag.BUILDING: (11, 2), Tag.WALL: (12, 3),
    Tag.FENCE: (13, 4), Tag.POLE: (17, 5), Tag.TRAFFIC_LIGHT: (19, 6), Tag.TRAFFIC_SIGN: (20, 7),
    Tag.VEGETATION: (21, 8), Tag.TERRAIN: (22, 9), Tag.SKY: (23, 10), Tag.PEDESTRIAN: (24, 11), Tag.RIDER: (25, 12),
    Tag.CAR: (26, 13), Tag.TRUCK: (27, 14), Tag.BUS: (28, 15), Tag.TRAIN: (31, 16), Tag.MOTORCYCLE: (32, 17),
    Tag.BICYCLE: (33, 18), Tag.STATIC: (4, _IGNORED), Tag.DYNAMIC: (5, _IGNORED), Tag.OTHER: (0, _IGNORED),
    Tag.WATER: (0, _IGNORED), Tag.ROAD_LINE: (7, 0), Tag.GROUND: (6, _IGNORED), Tag.BRIDGE: (15, _IGNORED),
    Tag.RAIL_TRACK: (10, _IGNORED), Tag.GUARD_RAIL: (14, _IGNORED),
}  # fmt: skip
#: COCO's categories: what moves by itself, under CARLA's ids.
CATEGORIES = [{"id": int(tag), "name": tag.name.lower(), "supercategory": "mover"} for tag in MOVERS]
SMALLEST = 12  # pixels of an object that is annotated


def _table(which: int, missing: int) -> np.ndarray:
    table = np.full(256, missing, np.uint8)
    for tag, ids in CITYSCAPES.items():
        table[tag] = ids[which]
    return table


LABEL_IDS, TRAIN_IDS = _table(0, 0), _table(1, _IGNORED)


def instance_ids(tag: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Cityscapes' instance ids, u16 (H, W): the label id, and for things 1000 times it plus a number from 0."""
    labels = LABEL_IDS[tag].astype(np.uint16)
    result = labels.copy()
    for mover in MOVERS:
        there = tag == mover
        if there.any():
            _, number = np.unique(instance[there], return_inverse=True)
            result[there] = labels[there] * 1000 + number.astype(np.uint16)
    return result


def coco_annotations(tag: np.ndarray, instance: np.ndarray) -> list[dict[str, Any]]:
    """COCO's annotations of what moves, without ids: category, box (x, y, width, height), area, mask as RLE. Raises
    ``ValueError`` where that is more than any picture shows."""
    found = []
    moving = np.isin(tag, MOVERS)
    if len(np.unique(instance[moving])) * tag.size > limits.MASKS:
        raise ValueError(f"over {limits.MASKS // tag.size} objects in a picture of {tag.size} pixels")
    for mover in MOVERS:
        there = tag == mover
        for value in np.unique(instance[there]) if there.any() else ():
            mask = there & (instance == value)
            area = int(mask.sum())
            if area < SMALLEST:
                continue
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            found.append(
                {
                    "category_id": int(mover),
                    "bbox": [int(x), int(y), int(width), int(height)],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": {"size": list(mask.shape), "counts": rle(mask)},
                    "instance": int(value),
                }
            )
    return found


def rle(mask: np.ndarray) -> str:
    """A mask bool (H, W) as COCO's compressed run lengths: column by column, zeros first; each number is the difference
    to the one two before it, in groups of five bits, least first, bit 5 for "more", offset by 48."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(bounds).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    text = []
    for k, count in enumerate(counts):
        left = count - counts[k - 2] if k > 2 else count
        more = True
        while more:
            bits = left & 0x1F
            left >>= 5
            more = left != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | (0x20 if more else 0)) + 48))
    return "".join(text)
