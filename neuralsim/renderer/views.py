"""Views of a frame: every plane as an RGB image of the frame's own size."""

from enum import IntEnum

import numpy as np

from bridge import tags
from bridge.messages import Frame
from neuralsim.renderer.remap import NO_REMAP, Remap


class View(IntEnum):
    """A view, by the number key that shows it."""

    NEURAL = 1
    TAGS = 2
    RGB = 3
    DEPTH = 4
    MOTION = 5
    SPLIT = 6


NAMES = {
    View.NEURAL: "Neural",
    View.TAGS: "Tags",
    View.RGB: "Simulator RGB",
    View.DEPTH: "Depth",
    View.MOTION: "Motion",
    View.SPLIT: "Split",
}

_FAR = 250.0  # m, the end of the depth view's scale; the sky and anything farther have the last colour
_FAST = 24.0  # px per frame at which the motion view saturates
_STEPS = 96  # colours of the motion view in each half of an axis


def tag_image(tag: np.ndarray, remap: Remap = NO_REMAP) -> np.ndarray:
    """Return tags u8 (H, W) as u8 (H, W, 3) in CARLA's CityScapes palette; unknown tags are black."""
    return np.take(_TAG_COLOURS[remap.table] if remap else _TAG_COLOURS, tag, axis=0)


def depth_image(depth: np.ndarray) -> np.ndarray:
    """Return depth f32 (H, W), m, as u8 (H, W, 3): logarithmic from 1 m (bright, warm) to 250 m and beyond (dark)."""
    index = np.log(np.clip(depth, 1.0, _FAR), dtype=np.float32)
    index *= np.float32(255.0 / np.log(_FAR))
    return np.take(_DEPTH_COLOURS, index.astype(np.uint8), axis=0)


def motion_image(motion: np.ndarray) -> np.ndarray:
    """Return motion f16 (H, W, 2), px, as u8 (H, W, 3).

    The hue is the direction, the brightness the square root of the length; 24 px are full brightness.
    """
    scaled = motion.astype(np.float32)
    np.nan_to_num(scaled, copy=False)
    root = np.sqrt(np.abs(scaled) * np.float32(1.0 / _FAST))
    np.minimum(root, 1.0, out=root)
    np.copysign(root, scaled, out=root)
    index = (root * _STEPS + (_STEPS + 0.5)).astype(np.intp)
    return np.take(_MOTION_COLOURS, index[..., 1] * (2 * _STEPS + 1) + index[..., 0], axis=0)


def view_image(view: View, frame: Frame, neural: np.ndarray, remap: Remap = NO_REMAP) -> np.ndarray | None:
    """Return the image of one plain view (not ``SPLIT``), or None while the frame lacks its plane.

    Tags are shown as the generator received them, with ``remap``.
    """
    if view == View.NEURAL:
        return neural
    if view == View.TAGS:
        return tag_image(frame.planes["tag"], remap)
    if view == View.RGB:
        return frame.planes.get("rgb")
    if view == View.DEPTH:
        return depth_image(frame.planes["depth"]) if "depth" in frame.planes else None
    return motion_image(frame.planes["motion"]) if "motion" in frame.planes else None


def _tag_colours() -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    table[: tags.COUNT] = tags.COLOURS
    return table


def _depth_colours() -> np.ndarray:
    """Return a perceptually even ramp u8 (256, 3), near to far: pale yellow over magenta to near black."""
    stops = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    ramp = np.array(
        [(252, 248, 200), (254, 176, 110), (228, 86, 98), (141, 41, 129), (58, 16, 112), (4, 4, 14)], np.float64
    )
    positions = np.linspace(0.0, 1.0, 256)
    return np.stack([np.interp(positions, stops, ramp[:, channel]) for channel in range(3)], axis=1).astype(np.uint8)


def _motion_colours() -> np.ndarray:
    """Return the colours of root-scaled (dy, dx), u8 ((2 S + 1)^2, 3): hue by direction, value by length."""
    axis = np.linspace(-1.0, 1.0, 2 * _STEPS + 1)
    root_x, root_y = np.meshgrid(axis, axis)
    x, y = np.sign(root_x) * root_x**2, np.sign(root_y) * root_y**2
    hue = (np.arctan2(y, x) / (2.0 * np.pi)) % 1.0 * 6.0
    value = np.sqrt(np.minimum(np.hypot(x, y), 1.0))
    channels = [np.clip(np.abs((hue + shift) % 6.0 - 3.0) - 1.0, 0.0, 1.0) for shift in (0.0, 4.0, 2.0)]
    colours = 0.12 + 0.88 * np.stack(channels, axis=-1)  # never fully saturated: easier on the eye
    return (colours * value[..., None] * 255.0).astype(np.uint8).reshape(-1, 3)


_TAG_COLOURS = _tag_colours()
_DEPTH_COLOURS = _depth_colours()
_MOTION_COLOURS = _motion_colours()
