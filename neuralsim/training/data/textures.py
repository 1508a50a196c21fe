"""Textures for a guided generator: what a plain surface's pattern looks like, but not how strong it is.

A convolution cannot draw a pattern on a plain wall: its inputs are the same everywhere. So the generator is given one,
of unit contrast; how strong it is on asphalt, lawns or crowns, near or far, the generator has to learn. Of photographs
it is their own, which the simulator's (``neuralsim/models/surface_texture.py``) resembles.
"""

from __future__ import annotations

import cv2
import numpy as np

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.models.surface_texture import CELLS, TEXTURE_LIMIT, VARIANCE
from neuralsim.models.surfaces import is_level, is_textured

_STRETCH_LIMIT = 5.0  # width of a cell of the ground's noise over its height, at most
_NEIGHBOURHOOD = 12.0  # px at half size: standard deviation of what is around a pixel, whose contrast is made 1
_CONTRAST_FLOOR = 0.004  # contrast, of 1, below which a photograph's surface has no texture but its noise
_HOUSE_SHARE = 0.4  # most that a house's texture, which is windows, has of the photograph's
_PHOTOGRAPH_SHARE = 0.6  # share of the surfaces whose texture is the photograph's alone


def noise(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return f32 (H, W) of unit variance: noise of several sizes, on the ground wider than high; 0 where there is no
    texture.

    ``label`` u8 (H, W): channels, at half size.
    """
    height, width = label.shape
    size = float(rng.uniform(1.0, 2.0))
    longer = float(np.exp(rng.uniform(0.0, np.log(_STRETCH_LIMIT))))
    total = _octaves(height, width, size, 1.0, rng)
    is_ground = is_level(label)
    if is_ground.any():
        total = np.where(is_ground, _octaves(height, width, size, longer, rng), total)
    return np.asarray(np.clip(total, -TEXTURE_LIMIT, TEXTURE_LIMIT) * is_textured(label), np.float32)


def of_photograph(luma: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return f32 (H, W), -2.5..2.5: the texture of a photograph at unit contrast, mixed with ``noise``.

    Args:
        luma: f32 (H, W): its brightness, at half size.
        label: u8 (H, W): channels, at half size.
        rng: Generator for the mixture.
    """
    even = np.zeros_like(luma)
    for channel in np.unique(label[is_textured(label)]):
        here = (label == channel).astype(np.float32)
        excess = here * (luma - _mean(luma, here))
        even += excess / np.sqrt(np.maximum(_mean(excess * excess, here), _CONTRAST_FLOOR**2))
    true = np.where(rng.random(CHANNELS) < _PHOTOGRAPH_SHARE, 1.0, rng.random(CHANNELS))
    true[Channel.BUILDING] = rng.uniform(0.0, _HOUSE_SHARE)
    share = true.astype(np.float32)[label]
    mixed = share * even + np.sqrt(1.0 - share * share) * noise(label, rng)
    return np.asarray(np.clip(mixed, -TEXTURE_LIMIT, TEXTURE_LIMIT), np.float32)


def _mean(plane: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return means f32 (H, W) of what is ``here``, f32 (H, W), around each pixel."""
    share = cv2.GaussianBlur(here, (0, 0), _NEIGHBOURHOOD)
    return np.asarray(cv2.GaussianBlur(plane * here, (0, 0), _NEIGHBOURHOOD) / np.maximum(share, 1e-4), np.float32)


def moved(
    texture: np.ndarray, label: np.ndarray, motion: np.ndarray, visible: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the texture f32 (H, W) of the next frame: moved with its surfaces, and new where they were hidden.

    Args:
        texture: f32 (H, W), of the frame before.
        label: u8 (H, W): channels of the next frame, at half size.
        motion: f32 (H, W, 2): backward, px at half size.
        visible: bool (H, W): what was seen before.
        rng: Generator for what was not.
    """
    height, width = label.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    before = cv2.remap(texture, columns + motion[..., 0], rows + motion[..., 1], cv2.INTER_NEAREST)
    return np.where(visible, before * is_textured(label), noise(label, rng)).astype(np.float32)


def _octaves(height: int, width: int, size: float, longer: float, rng: np.random.Generator) -> np.ndarray:
    """Return f32 (H, W): value noise of ``CELLS``, ``size`` times as large and ``longer`` times as wide as high."""
    total = np.zeros((height, width), np.float32)
    for cell, weight in CELLS:
        high, wide = size * cell, size * cell * longer
        coarse = rng.standard_normal((int(height / high) + 3, int(width / wide) + 3)).astype(np.float32)
        start = rng.random(2)
        place = np.array([[1.0 / wide, 0.0, start[0]], [0.0, 1.0 / high, start[1]]], np.float32)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        total += np.float32(weight) * cv2.warpAffine(coarse, place, (width, height), flags=how)
    return total * np.float32(VARIANCE**-0.5)
