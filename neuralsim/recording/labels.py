"""Convert labels to the formats of public data sets: Cityscapes' ids, COCO's boxes and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import find_objects

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
#: COCO's categories: the movers, with CARLA's ids.
CATEGORIES = [{"id": int(tag), "name": tag.name.lower(), "supercategory": "mover"} for tag in MOVERS]
_GROUPS = 7  # of five bits each: numbers below 2^34
SMALLEST = 12  # pixels of an annotated object


def _table(which: int, missing: int) -> np.ndarray:
    table = np.full(256, missing, np.uint8)
    for tag, ids in CITYSCAPES.items():
        table[tag] = ids[which]
    return table


LABEL_IDS, TRAIN_IDS = _table(0, 0), _table(1, _IGNORED)


def instance_ids(tag: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Return Cityscapes' instance ids, u16 (H, W): the label id, and for movers 1000 times it plus a number from 0."""
    labels = LABEL_IDS[tag].astype(np.uint16)
    result = labels.copy()
    for mover in MOVERS:
        is_mover = tag == mover
        if is_mover.any():
            _, number = np.unique(instance[is_mover], return_inverse=True)
            result[is_mover] = labels[is_mover] * 1000 + number.astype(np.uint16)
    return result


def coco_annotations(tag: np.ndarray, instance: np.ndarray) -> list[dict[str, Any]]:
    """Return COCO's annotations of movers, without ids: category, box (x, y, width, height), area, mask as RLE.

    Raises ``ValueError`` where they are more than any image can show.
    """
    annotations: list[dict[str, Any]] = []
    pixels = 0
    for mover in MOVERS:
        is_mover = tag == mover
        if not is_mover.any():
            continue
        values, numbers = np.unique(instance[is_mover], return_inverse=True)
        numbered = np.zeros(tag.shape, np.int32)  # index into ``values``, from 1
        numbered[is_mover] = numbers + 1
        for number, (value, box) in enumerate(zip(values.tolist(), find_objects(numbered), strict=True), 1):
            columns = numbered[:, box[1]] == number
            pixels += columns.size
            if pixels > limits.MASKS:
                raise ValueError(f"the objects of an image fill it over {limits.MASKS // tag.size} times")
            area = int(columns.sum())
            if area < SMALLEST:
                continue
            (y, y_end), (x, x_end) = ((side.start, side.stop) for side in box)
            annotations.append(
                {
                    "category_id": int(mover),
                    "bbox": [x, y, x_end - x, y_end - y],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": {"size": list(tag.shape), "counts": rle(columns, x, tag.shape[1])},
                    "instance": value,
                }
            )
    return annotations


def rle(mask: np.ndarray, left: int = 0, width: int | None = None) -> str:
    """Encode a mask bool (H, W) as COCO's compressed run lengths.

    They go column by column, zeros first. Each number is the difference to the one two before it, in groups of five
    bits, least significant first, bit 5 for "more", offset by 48. ``mask`` may be the columns from ``left`` on of an
    image of ``width``, where the others are empty.
    """
    height = len(mask)
    flat = np.zeros(mask.size + 2, np.int8)
    flat[1:-1] = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + left * height
    total = height * (mask.shape[1] if width is None else width)
    counts = np.diff(np.concatenate([[0], edges, [total] if not len(edges) or edges[-1] < total else []]).astype(int))
    rest = counts.copy()
    rest[3:] -= counts[1:-2]
    letters = np.zeros((len(counts), _GROUPS), np.uint8)
    is_open = np.ones(len(counts), bool)
    for group in range(_GROUPS):
        bits = rest & 0x1F
        rest >>= 5
        more = is_open & (rest != np.where(bits & 0x10, -1, 0))
        letters[:, group] = np.where(is_open, (bits | np.where(more, 0x20, 0)) + 48, 0)
        is_open = more
    return letters[letters > 0].tobytes().decode("ascii")
