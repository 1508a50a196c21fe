"""Label maps as people have them: ids of 8 or 16 bits, of instances, in the red channel, or the colours of a class map.

Colours are those of the class map that is nearest; pixels between two of them or far from all are doubtful, as where a
map was scaled or saved as a JPEG, and get the label of the nearest pixel that is not.
"""

from pathlib import Path

import cv2
import numpy as np

from neuralsim.classmaps import ClassMap
from neuralsim.imaging.image_files import ImageError, read_coded, read_image

DOUBT_LIMIT = 0.35  # share of doubtful pixels from which the colours are another tool's
_DISTANCE = 28.0  # of 255, from the nearest colour, up to which a pixel is not doubtful
_EXACTNESS = 2.0  # of 255, distance up to which it is that colour, whatever else is near
_MARGIN = 1.6  # times as far the nearest colour of another class must be, up to that
_RED_END = 64  # ids in the red channel alone are below


def read_labels(path: Path, classes: ClassMap) -> tuple[np.ndarray, float]:
    """Return the label ids of a map, u8 or u16 (H, W), and the share of its pixels that are doubtful.

    Raises ImageError for what is no label map, or has other colours than those of ``classes``.
    """
    image = read_coded(path)
    if image.ndim == 2:
        colours = _colours_of_palette(path, image, classes)
        if colours is None:
            return _without_instances(_of_ids(path, image), classes), 0.0
        image = colours
    image = image[..., :3]
    if (image == image[..., :1]).all():
        return _without_instances(_of_ids(path, image[..., 0]), classes), 0.0  # one channel written as three
    if not image[..., :2].any() and image.max() < _RED_END:
        return np.ascontiguousarray(image[..., 2]), 0.0  # as CARLA's cameras have it
    if image.dtype != np.uint8:
        raise ImageError(f"{path}: colours of {image.dtype}; those of a label map have 8 bits per channel")
    if not len(classes.colours):
        raise ImageError(f"{path}: a colour image, and the class map {classes.name} has no `colours`: give ids")
    return _of_colours(path, image, classes)


def _of_ids(path: Path, ids: np.ndarray) -> np.ndarray:
    if ids.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: a map of ids has one channel of 8 or 16 bits")
    return ids


def _without_instances(ids: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Return the labels of ids that also number the instances: label times ``classes.instances`` plus the number."""
    factor = classes.instances
    if not factor or ids.max(initial=0) < factor:
        return ids
    if factor > 256:  # Cityscapes: only objects that can be counted have a number
        return np.where(ids >= factor, ids // factor, ids).astype(np.uint16)
    return ids // factor


def _colours_of_palette(path: Path, ids: np.ndarray, classes: ClassMap) -> np.ndarray | None:
    """Return the colours of a map with a palette, u8 (H, W, 3) BGR, if they, not its indices, are the class map's.

    So it is where every colour is one of a class, and some stand for another class than their index.
    """
    if ids.dtype != np.uint8 or not len(classes.colours):
        return None
    image = read_image(path, cv2.IMREAD_COLOR)
    used, first = np.unique(ids, return_index=True)
    shown = image.reshape(-1, 3)[first][:, ::-1]
    near, distance, _ = nearest(shown, classes.colours, classes.tags[classes.coloured])
    of_index = classes.tags[used]
    is_coded = not distance.any() and (classes.tags[classes.coloured[near]] != of_index).any()
    is_grey = (shown == shown[:, :1]).all()
    return image if is_coded and not is_grey else None


def _of_colours(path: Path, image: np.ndarray, classes: ClassMap) -> tuple[np.ndarray, float]:
    distinct, inverse = distinct_colours(image)
    near, away, other = nearest(distinct, classes.colours, classes.tags[classes.coloured])
    doubtful = is_doubtful(away, other)[inverse]
    share = float(doubtful.mean())
    if share > DOUBT_LIMIT:
        counts = np.bincount(inverse.ravel(), weights=doubtful.ravel())
        colour = tuple(distinct[counts.argmax()].tolist())
        raise ImageError(
            f"{path}: {share:.0%} of its pixels have other colours than those of the class map {classes.name}, such as "
            f"{colour}: give its own with --classes"
        )
    return filled(classes.coloured[near][inverse], doubtful), share


def distinct_colours(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of ``image`` u8 (H, W, 3) BGR, u8 (N, 3) RGB, and which of them each pixel has, i64 (H, W)."""
    words = image.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
    found, inverse = np.unique(words, return_inverse=True)
    colours = (found[:, None] >> np.array([16, 8, 0], np.uint32) & np.uint32(255)).astype(np.uint8)
    return colours, inverse.reshape(words.shape)


def is_doubtful(away: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where a pixel is between two colours or far from all: bool like ``away``, its distance from the nearest
    colour, and ``other``, that from the nearest one of another class, both of 255."""
    return (away > _DISTANCE) | ((away > _EXACTNESS) & (other < _MARGIN * away))


def filled(labels: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
    """Return ``labels`` (H, W) where pixels that are ``doubtful``, bool (H, W), have the label of the nearest one that
    is not."""
    if not doubtful.any() or doubtful.all():
        return labels
    _, parts = cv2.distanceTransformWithLabels(
        doubtful.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_part = np.zeros(int(parts.max()) + 1, labels.dtype)
    of_part[parts[~doubtful]] = labels[~doubtful]
    return of_part[parts]


def nearest(pixels: np.ndarray, colours: np.ndarray, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the index of the nearest of ``colours`` of each pixel, its distance, and that of the nearest other tag's.

    Args:
        pixels: u8 (N, 3).
        colours: u8 (K, 3), in the same order of channels.
        tags: u8 (K,), what each colour stands for.
    """
    near = np.zeros(len(pixels), np.int64)
    first: np.ndarray = np.full(len(pixels), np.inf, np.float32)
    second: np.ndarray = first.copy()
    values = pixels.astype(np.float32)
    for k, (colour, tag) in enumerate(zip(colours.astype(np.float32), tags.tolist(), strict=True)):
        away = np.sqrt(np.square(values - colour).sum(1))
        closer, same = away < first, tags[near] == tag
        second = np.where(closer & ~same, first, np.where(same, second, np.minimum(second, away)))
        near[closer], first[closer] = k, away[closer]
    return near, first, second
