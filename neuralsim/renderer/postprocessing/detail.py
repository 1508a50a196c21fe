"""Fine detail of what is small, and of pavements: what the simulator image has of it, and the generator lost.

The generator decodes at half the size, and its past is resampled in every frame: faces, legs, plates, the pales of
fences, the joints of pavements and the windows of façades nearby melt. As in a Laplacian pyramid (Burt, Adelson, "A
Multiresolution Spline With Application to Image Mosaics", ACM Transactions on Graphics, 1983), the finest band of the
luminance is mixed with that of the simulator image, relative to its own brightness; everything coarser, and what is at
arm's length, stays the generator's. Its state is not changed.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel

_WIDTH = 512  # px of an image for which widths and sizes in px are given here; wider ones have more of all
_SIGMA, _RADIUS = 1.5, 3  # px, of the blur that separates the bands
_SOFT = 0.7  # px, of the blur that a lens has: the simulator image has none, and its outlines have steps
_FLOOR = np.float32(16.0)  # of 255, added to brightnesses before they are compared: ratios of black say nothing
_MOST = np.float32(60.0)  # of 255, largest change of a pixel
#: By class: share of the simulator image in the finest band of what is small; the pixels per metre below which it
#: begins to be small (at half of that, it is); and those below which it is so far that nothing is taken from the
#: simulator image (from twice as many on, all): façades farther away are better without.
_SMALL = {
    Channel.PERSON: (0.9, 800.0, 0.0),
    Channel.CYCLE: (0.8, 200.0, 0.0),
    Channel.SIGN: (0.9, 120.0, 0.0),
    Channel.BARRIER: (1.0, 200.0, 0.0),
    Channel.SIDEWALK: (0.8, 400.0, 0.0),
    Channel.VEHICLE: (0.9, 120.0, 0.0),
    Channel.BUILDING: (0.7, 120.0, 14.0),
}
_SHARES = np.zeros((len(CARLA_TO_CHANNEL), 3), np.float32)
for _channel, _values in _SMALL.items():
    _SHARES[_channel == CARLA_TO_CHANNEL] = _values
_SHARES[[Tag.STATIC, Tag.DYNAMIC]] = 0.8, 200.0, 0.0  # street furniture: posters, seams, slots


def transfer_detail(image: np.ndarray, tag: np.ndarray, depth: np.ndarray, simulated: np.ndarray, focal: float) -> None:
    """Mix the finest band of ``image`` with that of ``simulated``, in place.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        depth: f32, at least (H, W), m.
        simulated: u8 (H, W, 3), the simulator image. Nothing happens if it has another size.
        focal: Focal length, px.
    """
    if simulated.shape != image.shape:
        return
    tag, depth = kernels.read_only(tag), kernels.read_only(depth)
    height, width = image.shape[:2]
    wider = max(width / _WIDTH, 1.0)
    radius, pixel = round(_RADIUS * wider), np.float32(wider / focal)
    first, end = _rows_of_small(height, width, tag, depth, _SHARES, pixel)
    if first >= end:
        return
    rows = slice(max(first - radius, 0), end + radius)
    own, theirs = cv2.cvtColor(image[rows], cv2.COLOR_RGB2GRAY), soft_luminance(simulated[rows])
    blurred = [cv2.GaussianBlur(each, (2 * radius + 1, 2 * radius + 1), _SIGMA * wider) for each in (own, theirs)]
    _mix(image[rows], tag[rows], depth[rows], own, theirs, *blurred, _SHARES, pixel)


def soft_luminance(simulated: np.ndarray) -> np.ndarray:
    """Return the luminance u8 (H, W) of a simulator image u8 (H, W, 3), as soft as through a lens."""
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(simulated, cv2.COLOR_RGB2GRAY), (5, 5), _SOFT))


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    image, depth = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), np.float32)
    tag = np.full((1, 1), Tag.CAR, np.uint8)  # something small, or nothing would be mixed
    transfer_detail(image, tag, depth, image.copy(), 1.0)


@numba.njit(**kernels.FAST)
def _rows_of_small(height, width, tag, depth, shares, pixel):  # type: ignore[no-untyped-def]
    """Return the first row of ``height`` x ``width`` pixels with something small and the one after the last.

    The other arguments are those of ``_mix``.
    """
    first, end = height, 0
    for y in range(height):
        for x in range(width):
            _, limit, least = shares[tag[y, x]]
            if limit * pixel * depth[y, x] > np.float32(1.0) > least * pixel * depth[y, x]:
                first, end = min(first, y), y + 1
                break
    return first, end


@numba.njit(**kernels.FAST)
def _mix(image, tag, depth, own, theirs, own_blurred, their_blurred, shares, pixel):  # type: ignore[no-untyped-def]
    """Do what ``transfer_detail`` does. ``shares``: f32 (tags, 3); ``pixel``: width of a pixel at 1 m, m."""
    height, width = own.shape
    zero, half, one, most = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(255.0)
    tiny = np.float32(1e-6)
    for y in range(height):
        for x in range(width):
            share, limit, least = shares[tag[y, x]]
            size = pixel * depth[y, x]
            small = min(limit * size - one, one) * min(one / max(least * size, tiny) - one, one)
            if small <= zero:
                continue
            ratio = (np.float32(theirs[y, x]) + _FLOOR) / (np.float32(their_blurred[y, x]) + _FLOOR)
            wanted = (np.float32(own_blurred[y, x]) + _FLOOR) * ratio - _FLOOR
            change = min(max(share * small * (wanted - np.float32(own[y, x])), -_MOST), _MOST)
            for c in range(3):
                image[y, x, c] = np.uint8(min(max(np.float32(image[y, x, c]) + change + half, zero), most))
