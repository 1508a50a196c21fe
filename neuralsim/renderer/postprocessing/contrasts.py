"""Contrasts: within a façade or a vehicle, they are those of the simulator image.

The generator fades the windows of sunlit walls, makes white blobs of the goods in a shop window, hazes over tyres and
windscreens, and gives plain walls dark streaks and pale patches. By day a pane is dark, whatever is behind it: here it
keeps the share of its surroundings' brightness that it has in the simulator image, and plain surfaces keep near to it.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.renderer.postprocessing.detail import soft_luminance

#: Share of its surroundings' brightness in the simulator image below which a pixel begins to be a pane (or a tyre), and
#: by how much lower it is one entirely: bars and shadows of eaves are brighter.
_DARK, _SOFT = np.float32(0.75), np.float32(0.2)
_FREE = np.float32(8.0)  # of 255, by which it may be brighter than asked for
_WIDTH = 128  # px of the small image that local means are computed in
AROUND = 0.24  # side of the square that they cover, as a share of the width
#: By class: the brightness of plain surfaces over the one asked for, at least and at most. Walls would have streaks and
#: patches otherwise; paint and glass may reflect what the simulator does not have.
_PLAIN = {
    Channel.BUILDING: np.array([0.97, 1.05], np.float32),
    Channel.VEHICLE: np.array([0.92, 1.4], np.float32),
}
LEAST_SHARE = 0.02  # of its surroundings that a class covers: means of less are too coarse
_NEIGHBOURHOOD = np.ones((3, 3), np.uint8)
_OUTLINE = np.uint8(1)  # in a mask: something else is within that neighbourhood
_MASKS = {channel: np.uint8(255) * np.isin(CARLA_TO_CHANNEL, channel) for channel in _PLAIN}


def follow_contrasts(image: np.ndarray, tag: np.ndarray, simulated: np.ndarray, daylight: float = 1.0) -> None:
    """Darken what is dark beside its surroundings in ``simulated``, and even out what is plain there, in place.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        simulated: u8 (H, W, 3), the simulator image. Nothing happens if it has another size.
        daylight: 1 by day to 0 by night, when surfaces are dark beside lit windows and lamps.
    """
    if simulated.shape != image.shape or daylight <= 0.0:
        return
    height, width = image.shape[:2]
    masks = {channel: cv2.LUT(tag[:height, :width], mask) for channel, mask in _MASKS.items()}
    masks = {channel: mask for channel, mask in masks.items() if mask.any()}
    if not masks:
        return
    own, theirs = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), soft_luminance(simulated)
    for channel, mask in masks.items():
        own_mean, their_mean, share = (_means(each, mask) for each in (own, theirs, mask))
        share /= np.float32(255.0)
        is_enough = cv2.resize((share >= LEAST_SHARE).view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        share = np.maximum(share, LEAST_SHARE)
        around = their_mean / share
        gain = own_mean / share / np.maximum(around, 1.0)
        around, gain = (cv2.resize(each, (width, height)) for each in (around, gain))
        mask = cv2.bitwise_and(mask, mask, mask=is_enough)
        mask = cv2.min(mask, np.maximum(cv2.erode(mask, _NEIGHBOURHOOD), _OUTLINE))
        _follow(image, mask, own, theirs, around, gain, _PLAIN[channel], np.float32(daylight))


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    image = np.zeros((1, 1, 3), np.uint8)
    follow_contrasts(image, np.full((1, 1), Tag.BUILDING, np.uint8), image.copy())


def _means(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return local means f32 of ``plane`` u8 (H, W), taken as 0 where ``mask`` is not 255, in a small image."""
    height, width = plane.shape
    size = min(_WIDTH, width), max(height * min(_WIDTH, width) // width, 1)
    small = cv2.resize(cv2.bitwise_and(plane, mask), size, interpolation=cv2.INTER_AREA)
    side = round(AROUND * size[0]) | 1
    return np.asarray(cv2.boxFilter(small, cv2.CV_32F, (side, side)))


@numba.njit(**kernels.FAST)
def _follow(image, mask, own, theirs, around, gain, plain, daylight):  # type: ignore[no-untyped-def]
    """Do what ``follow_contrasts`` does, from luminances u8 (H, W), where ``mask`` u8 (H, W) is not 0.

    Outlines are not brightened: the soft ``theirs`` has the light of the sky behind them.
    ``around`` f32 (H, W): local mean of ``theirs``; ``gain`` f32 (H, W): that of ``own`` over it; ``plain`` f32 (2,).
    """
    height, width = own.shape
    zero, half, one, most = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(255.0)
    for y in range(height):
        for x in range(width):
            if mask[y, x] == 0:
                continue
            dark, mean = np.float32(theirs[y, x]), around[y, x]
            pane = min((_DARK * mean - dark) / (_SOFT * max(mean, one)), one)
            asked, now = gain[y, x] * dark, np.float32(own[y, x])
            least = plain[0] * min(asked, gain[y, x] * mean)  # nothing is brightened beyond its surroundings
            if pane > zero and now > asked + _FREE:
                factor = one - daylight * pane * (one - (asked + _FREE) / now)
            elif pane < zero and now < least and mask[y, x] != _OUTLINE:
                factor = one + daylight * min(-pane, one) * min(least / max(now, one) - one, one)
            elif pane < zero and now > plain[1] * asked + _FREE:
                factor = one - daylight * min(-pane, one) * (one - (plain[1] * asked + _FREE) / now)
            else:
                continue
            for c in range(3):
                image[y, x, c] = np.uint8(min(np.float32(image[y, x, c]) * factor + half, most))
