"""Which plane a picture holds, told from its pixels, where no name says it."""

import numpy as np

from neuralsim.imaging.image_files import ImageError
from neuralsim.offline.recorded import tag_codes

_IDS = 29  # largest tag of any server
_NOISE = 20.0  # of 255, mean step between neighbours in the lowest byte of a depth: noise, where a picture is smooth
_FEW = 64  # distinct colours, at most, of a palette


def kind_of(image: np.ndarray, label: str) -> str:
    """Return the kind of plane, of ``plane_names.KINDS``, that a picture as read from the file ``label`` holds.

    Raises ImageError for what is none of them.
    """
    if image.dtype.kind == "f":
        if image.ndim == 3 and image.shape[2] == 2:
            return "flow"
        return "depth"
    if image.dtype == np.uint16:
        return "motion" if image.ndim == 3 else "depth"
    if image.dtype != np.uint8:
        raise ImageError(f"{label}: {image.dtype} {image.shape} is no plane of a recording")
    if image.ndim == 2:
        return "tags" if image.max() <= _IDS else "depth"
    image = image[..., :3]
    if tag_codes.has_ids(image):
        return "tags"
    blue, green, red = (image[..., k] for k in range(3))
    if (blue == green).all() and (green == red).all():
        return "depth"
    is_far = (image == 255).all(2)
    smooth = _step(blue[~is_far.all(1)])
    if ((blue < 48) | is_far).mean() > 0.97 and _step(red) > _NOISE and smooth < 0.2 * _step(red):
        return "depth"
    if red.max() <= _IDS:
        return "instances"
    words = image[::4, ::4].reshape(-1, 3).astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
    if len(np.unique(words)) <= _FEW:
        return "tags"
    if np.percentile(image.min(2), 99) == 0 and (np.sort(image, axis=2)[..., 2] < 255).mean() > 0.5:
        return "flow"
    return "rgb"


def _step(channel: np.ndarray) -> float:
    """Return the mean difference between horizontal neighbours."""
    return float(np.abs(np.diff(channel.astype(np.int16), axis=1)).mean()) if channel.size else 0.0
