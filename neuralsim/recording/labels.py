"""Convert labels to the formats of public data sets: Cityscapes' ids, COCO's boxes and masks."""

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
    runs: list[np.ndarray] = []  # of each
    pixels = 0
    for mover in MOVERS:
        is_mover = tag == mover
        if not is_mover.any():
            continue
        values, numbers = np.unique(instance[is_mover], return_inverse=True)
        numbered = np.zeros(tag.shape, np.int32)  # index into ``values``, from 1
        numbered[is_mover] = numbers + 1
        for number, (value, box) in enumerate(zip(values.tolist(), find_objects(numbered), strict=True), 1):
            mask = numbered[box] == number
            pixels += mask.size
            if pixels > limits.MASKS:
                raise ValueError(f"the objects of an image fill it over {limits.MASKS // tag.size} times")
            area = int(mask.sum())
            if area < SMALLEST:
                continue
            (y, y_end), (x, x_end) = ((side.start, side.stop) for side in box)
            runs.append(_runs(mask, (y, x), tag.shape))
            annotations.append(
                {
                    "category_id": int(mover),
                    "bbox": [x, y, x_end - x, y_end - y],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": {"size": list(tag.shape)},
                    "instance": value,
                }
            )
    for annotation, counts in zip(annotations, _in_letters(runs), strict=True):
        annotation["segmentation"]["counts"] = counts
    return annotations


def rle(mask: np.ndarray) -> str:
    """Encode a mask bool (H, W) as COCO's compressed run lengths."""
    return _in_letters([_runs(mask, (0, 0), mask.shape)])[0]


def _runs(mask: np.ndarray, corner: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the run lengths of an image of ``shape`` that is ``mask`` from ``corner`` (row, column) on, and else 0.

    They go column by column, zeros first.
    """
    height, width = shape
    columns = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    columns[:, 1:-1] = mask.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    edges = (corner[1] + column) * height + corner[0] + row
    goes_on = edges[1:] == edges[:-1]  # at the top of the next column
    if goes_on.any():
        edges = edges[~(np.append(goes_on, False) | np.append(False, goes_on))]
    end = [height * width] if not len(edges) or edges[-1] < height * width else []
    return np.diff(edges, prepend=0, append=np.array(end, int))


def _in_letters(runs: list[np.ndarray]) -> list[str]:
    """Return the letters of each mask's run lengths.

    Each number is the difference to the one two before it, in groups of five bits, least significant first, bit 5 for
    "more", offset by 48.
    """
    if not runs:
        return []
    differences = [np.concatenate([counts[:3], counts[3:] - counts[1:-2]]) for counts in runs]
    rest = np.concatenate(differences)
    letters = np.zeros((len(rest), _GROUPS), np.uint8)
    is_open = np.ones(len(rest), bool)
    for group in range(_GROUPS):
        bits = rest & 0x1F
        rest >>= 5
        more = is_open & (rest != np.where(bits & 0x10, -1, 0))
        letters[:, group] = np.where(is_open, (bits | np.where(more, 0x20, 0)) + 48, 0)
        is_open = more
    ends = np.cumsum([len(each) for each in differences])[:-1]
    return [part[part > 0].tobytes().decode("ascii") for part in np.split(letters, ends)]
