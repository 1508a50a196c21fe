"""CARLA's optical flow as its clients save it: the raw numbers as .npy, or the colours of ``get_color_coded_flow``.

The flow is the movement since the last tick in shares of half the image, x right, y up (carla issue 4795). The colours
are a hue for the direction and a brightness for the length, ln(length + 0.999) / ln(1.099), in 255 steps: fine below a
tenth of the image, and at its limit above.
"""

import math

import numpy as np

from neuralsim.imaging.image_files import ImageError

_SHIFT, _MOST = 0.999, 0.1  # of the brightness: added to the length, and the length at the limit
_DEGREES = 360.0 / (2.0 * 3.1415)  # CARLA's pi
_LARGEST = 4.0  # a surface that crosses the image twice in a tick: more are pixels


def decode(image: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a flow f32 (H, W, 2) in CARLA's units, and where it is known, bool (H, W).

    ``image``: as read from the file ``label``. Raises ImageError.
    """
    if image.dtype.kind == "f":
        if image.ndim != 3 or image.shape[2] != 2:
            raise ImageError(f"{label}: {image.shape} is no flow; expected (height, width, 2)")
        flow = image.astype(np.float32)
        known = np.isfinite(flow).all(2)
        flow[~known] = 0.0
        if np.abs(flow).max() > _LARGEST:
            raise ImageError(f"{label}: a flow up to {np.abs(flow).max():.1f}; CARLA's is in shares of half the image")
        return flow, known
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] < 3:
        raise ImageError(f"{label}: {image.dtype} {image.shape} is no flow; expected CARLA's colours or .npy")
    if label.lower().endswith((".jpg", ".jpeg")):
        raise ImageError(f"{label}: the colours of a flow do not survive a JPEG; save PNG or .npy")
    return _from_colours(image[..., :3], label)


def _from_colours(image: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
    ordered = np.sort(image, axis=2)
    least, middle, most = (ordered[..., k] for k in range(3))
    if np.percentile(least, 99) > 0:  # CARLA's colours are saturated: one channel is 0
        raise ImageError(f"{label}: not the colours of CARLA's get_color_coded_flow")
    blue, green, red = (image[..., k] for k in range(3))
    # CARLA rounds down: half a step is what was lost
    part = np.where(most > 0, (middle + 0.5) / (most + 0.5), 0.0)
    part = np.where(middle == most, 1.0, part)
    first_red, first_green = (red == most), (green == most) & (red < most)
    second = np.select(
        [first_red & (blue == 0), first_red, first_green & (blue == 0), first_green, green > 0],
        [part, 6.0 - part, 2.0 - part, 2.0 + part, 4.0 - part],
        4.0 + part,
    )
    angle = np.radians(60.0 * second - 180.0) * (np.degrees(1.0) / _DEGREES)
    length = np.exp((most + 0.5) / 255.0 * math.log(_MOST + _SHIFT)) - _SHIFT
    length = np.where(most == 0, 0.0, length)
    flow = np.stack([length * np.cos(angle), length * np.sin(angle)], -1)
    return flow.astype(np.float32), most < 255
