"""Walls and vehicles in the sun: where the generator overexposes them, the simulator image gives back their texture.

A camera overexposes them, too, but not to flat white with rims as of a map. As in high-dynamic-range imaging,
where an image has no more than white, another exposure of the same scene is taken (Debevec and Malik, "Recovering High
Dynamic Range Radiance Maps from Photographs", SIGGRAPH 1997).
"""

from __future__ import annotations

import itertools

import numba
import numpy as np

from neuralsim.base import kernels
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel

#: Luminance of 255 from which a pixel is overexposed, and by how much more half of ``_MOST`` is reached.
_FROM, _SOFT = 205.0, 12.0
_EXPOSURE = 1.4  # of the simulator image where it stands in
_HEADROOM = 30.0  # of 255: its luminances above ``_FROM`` are compressed into that, as film has a shoulder
_MOST = 0.9  # its share at most: what is brighter stays brighter for any
_IS_LARGE = np.isin(CARLA_TO_CHANNEL, (Channel.BUILDING, Channel.VEHICLE))


def recover_highlights(image: np.ndarray, tag: np.ndarray, simulated: np.ndarray, daylight: float = 1.0) -> None:
    """Mix overexposed walls and vehicles of ``image`` with ``simulated``, in place: no darker than where that begins.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        simulated: u8 (H, W, 3), the simulator image. Nothing happens if it has another size.
        daylight: 1 by day to 0 by night, when only lamps are that bright.
    """
    if simulated.shape == image.shape and daylight > 0.0:
        _recover(image, tag, simulated, _IS_LARGE, np.float32(_MOST * daylight))


def compile_kernels() -> None:
    """Compile the kernel ahead, for planes in messages (writable) and in shared memory (read-only)."""
    image, tag, simulated = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), np.zeros((1, 1, 3), np.uint8)
    for tag.flags.writeable, simulated.flags.writeable in itertools.product((True, False), repeat=2):
        recover_highlights(image, tag, simulated)


@numba.njit(inline="always")
def _luminance(pixel):  # type: ignore[no-untyped-def]
    """Return the luminance of a pixel u8 (3,), 0..255."""
    red, green, blue = np.float32(pixel[0]), np.float32(pixel[1]), np.float32(pixel[2])
    return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue


@numba.njit(**kernels.FAST)
def _recover(image, tag, simulated, is_large, most):  # type: ignore[no-untyped-def]
    """Do what ``recover_highlights`` does. ``is_large``: bool (tags,)."""
    height, width = image.shape[:2]
    start, soft, exposure, half = np.float32(_FROM), np.float32(_SOFT), np.float32(_EXPOSURE), np.float32(0.5)
    headroom = np.float32(_HEADROOM)
    for y in range(height):
        for x in range(width):
            if not is_large[tag[y, x]]:
                continue
            luminance = _luminance(image[y, x])
            if luminance <= start:
                continue
            scale, beyond = exposure, exposure * _luminance(simulated[y, x]) - start
            if beyond > np.float32(0.0):
                scale *= (start + headroom * (np.float32(1.0) - np.exp(-beyond / headroom))) / (start + beyond)
            share = most * (luminance - start) / (luminance - start + soft)
            for c in range(3):
                value = np.float32(image[y, x, c])
                other = max(scale * np.float32(simulated[y, x, c]), value * start / luminance)
                image[y, x, c] = np.uint8(value + share * (min(other, value) - value) + half)
