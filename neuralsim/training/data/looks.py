"""Images in the look of some engine: what a guided generator sees in training in place of a photograph.

At work the generator's guide is a simulator's image, whichever simulator it is. No simulator has an image of a real
street, so the photograph itself is made to look like one: its textures are smoothed away class by class, its outlines
are cut along the label map, its tones, colours and sky are those of another camera. The generator learns the way back,
which puts textures where there are none and mistrusts every tone by as much as looks differ.
"""

import cv2
import numpy as np

from neuralsim.models.classes import CHANNELS, MOVERS, Channel
from neuralsim.models.surfaces import is_sketched

_GROUND = (Channel.ROAD, Channel.SIDEWALK, Channel.TERRAIN)
#: Share of the sketches of photographs that are hints at all; of plants, whose leaves no simulator draws as they are,
#: the fewest.
_HINT_SHARES = {Channel.BUILDING: 0.8, Channel.VEGETATION: 0.25, Channel.TERRAIN: 0.25}
_HINT_SHARE = 0.45
_PLANTS = (Channel.VEGETATION, Channel.TERRAIN)
_SATURATION_LIMIT = 1.9  # times the saturation of a photograph: plants of a simulator


def random_look(rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Return f32 (3, 256): a random camera's curve of each channel, 0..1 over 0..255; see ``apply_look``."""
    x = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    gamma = np.exp(strength * rng.normal(0.0, 0.18))
    gain = np.exp(strength * rng.normal(0.0, 0.14))
    cast = np.exp(strength * rng.normal(0.0, 0.05, 3))
    contrast = np.exp(strength * rng.normal(0.0, 0.15))
    lift = strength * max(0.0, rng.normal(0.0, 0.03))
    curve = (gain * x) ** gamma
    curve = 0.42 + (curve - 0.42) * contrast
    return np.clip(lift + (1.0 - lift) * curve[None] * cast[:, None], 0.0, 1.0).astype(np.float32)


def apply_look(image: np.ndarray, curves: np.ndarray, saturation: float | np.ndarray) -> np.ndarray:
    """Return ``image`` u8 (H, W, 3) through ``random_look``'s curves at another ``saturation``, of all pixels or
    (H, W, 1): f32 0..1."""
    out = np.stack([curves[c][image[..., c]] for c in range(3)], -1)
    grey = out @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(grey[..., None] + saturation * (out - grey[..., None]), 0.0, 1.0)


def darkened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``image`` u8 (H, W, 3) in little light: dusk to night, bluish or from lamps."""
    stops = rng.uniform(0.5, 3.5)
    cast = np.exp(np.array([1.0, 0.0, -1.0]) * rng.normal(0.0, 0.2))
    linear = (image / 255.0) ** 2.2 * (2.0**-stops) * cast
    if rng.random() < 0.6:  # a lamp: some place is lit more
        h, w = image.shape[:2]
        y, x = np.mgrid[:h, :w].astype(np.float32)
        for _ in range(int(rng.integers(1, 4))):
            cx, cy, r = rng.uniform(0, w), rng.uniform(0.2 * h, h), rng.uniform(0.1, 0.5) * w
            warm = np.array([1.0, rng.uniform(0.65, 1.0), rng.uniform(0.35, 1.0)])
            share = np.exp(-(((x - cx) / r) ** 2 + ((y - cy) / (0.6 * r)) ** 2))
            linear *= 1.0 + rng.uniform(0.5, 2.0**stops) * share[..., None] * warm
    return (np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2) * 255.0).astype(np.uint8)


def engine_image(
    image: np.ndarray, label: np.ndarray, tinted: np.ndarray, rng: np.random.Generator, dark: bool = False
) -> np.ndarray:
    """Return f32 (H, W, 3), 0..1: a photograph as a simulator might have drawn it.

    Args:
        image: u8 (H, W, 3) RGB.
        label: u8 (H, W): channels.
        tinted: f32 (H, W, 3): the mean colour of each pixel's surface, -0.5..0.5.
        rng: Generator for everything random.
        dark: Whether the photograph is in little light: then the sky is as well.
    """
    height, width = label.shape
    source = image
    if rng.random() < 0.35:  # coarser textures
        k = float(rng.uniform(1.3, 3.0))
        small = cv2.resize(image, (max(8, round(width / k)), max(8, round(height / k))), interpolation=cv2.INTER_AREA)
        source = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    flat = cv2.bilateralFilter(source, 7, float(rng.uniform(18.0, 70.0)), float(rng.uniform(2.0, 6.0)))
    if rng.random() < 0.5:
        flat = cv2.medianBlur(flat, int(rng.choice([3, 5])))
    flatter = cv2.bilateralFilter(flat, 9, float(rng.uniform(40.0, 110.0)), float(rng.uniform(4.0, 9.0)))
    mean = tinted + 0.5
    as_float = [x.astype(np.float32) / 255.0 for x in (source, flat, flatter)]
    coarse = _blurred_within(as_float[1], label, mean, float(rng.uniform(2.0, 7.0)))
    levels = [*as_float, coarse, mean]
    order = rng.choice(5, CHANNELS, p=[0.14, 0.26, 0.26, 0.22, 0.12])
    if rng.random() < 0.3:  # one engine for all
        order[:] = rng.choice(5, p=[0.2, 0.3, 0.25, 0.2, 0.05])
    keep = rng.uniform(0.6, 1.0, CHANNELS).astype(np.float32)
    out = np.empty((height, width, 3), np.float32)
    for channel in np.unique(label):
        at = label == channel
        level = levels[order[channel]][at]
        out[at] = level * keep[channel] + levels[max(1, min(4, order[channel] + 1))][at] * (1.0 - keep[channel])
    for channel in _GROUND:  # shadows absent or harder
        at = label == channel
        if at.any() and rng.random() < 0.6:
            centre = out[at].mean(0)
            out[at] = centre + (out[at] - centre) * rng.uniform(0.35, 1.5)
    amount = np.float32(rng.choice([0.0, 0.02, 0.05])) * rng.random(CHANNELS, np.float32)
    amount[Channel.SKY] *= 0.3
    grain = amount[label] * _texture(width, height, rng)
    out = np.asarray(out + grain[..., None], np.float32)
    if rng.random() < 0.4 and not dark:
        _other_sky(out, label, rng)
    if rng.random() < 0.6:  # an engine that anti-aliases its edges
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.35, 0.8)))
    if rng.random() < 0.3:
        out = out + np.float32(rng.uniform(0.005, 0.02)) * rng.standard_normal(out.shape, np.float32)
    byte = np.clip(out * 255.0, 0.0, 255.0).astype(np.uint8)
    saturation = np.full(CHANNELS, np.exp(rng.normal(0.05, 0.28)), np.float32)
    for channel in _PLANTS:
        saturation[channel] *= rng.uniform(1.0, _SATURATION_LIMIT)
    return apply_look(byte, random_look(rng, 0.4 if dark else 1.0), saturation[label][..., None])


def worse_sketch(sketch: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``sketch`` f32 (H, W) of a photograph, -1..1, with a simulator's faults: a hint where something is.

    It is blurred, stronger or weaker, noisy, and of most textures often missing: what a simulator's surfaces have there
    says nothing of real ones. ``label`` u8 (H, W): channels.
    """
    hint = cv2.GaussianBlur(sketch, (0, 0), float(rng.uniform(0.3, 1.3)))
    kept = rng.random(CHANNELS) < [_HINT_SHARES.get(Channel(each), _HINT_SHARE) for each in range(CHANNELS)]
    strength = (kept * rng.uniform(0.4, 1.5, CHANNELS)).astype(np.float32)
    noise = (rng.random(CHANNELS) * rng.choice([0.0, 0.1, 0.25])).astype(np.float32)
    grain = _texture(label.shape[1], label.shape[0], rng)
    at = is_sketched(label).astype(np.float32)
    return np.clip((hint * strength[label] + grain * noise[label]) * at, -1.0, 1.0).astype(np.float32)


def _blurred_within(image: np.ndarray, label: np.ndarray, mean: np.ndarray, sigma: float) -> np.ndarray:
    """Return ``image`` blurred, no class across the outline of another."""
    shift = cv2.GaussianBlur(image - mean, (0, 0), sigma)  # close to its mean at outlines, which have no other side
    return mean + shift


def _texture(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return f32 (H, W): noise of one to three octaves, of unit variance or so."""
    total: np.ndarray = np.zeros((height, width), np.float32)
    for octave in rng.choice(5, int(rng.integers(1, 4)), replace=False):
        coarse = rng.standard_normal(((height >> int(octave)) + 2, (width >> int(octave)) + 2)).astype(np.float32)
        total = total + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return total


def _other_sky(out: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> None:
    """Put a plain sky, brighter towards the horizon or not, in place of that of ``out`` f32 (H, W, 3)."""
    at = label == Channel.SKY
    if not at.any():
        return
    top = np.array([rng.uniform(0.2, 0.9), rng.uniform(0.4, 0.95), rng.uniform(0.6, 1.0)])
    low = top + rng.uniform(0.0, 1.0) * (np.array([0.95, 0.95, 0.97]) - top)
    down = np.linspace(0.0, 1.0, len(out))[:, None] * 2.0
    share = np.clip(down, 0.0, 1.0)[..., None]
    out[at] = np.broadcast_to(top * (1.0 - share) + low * share, out.shape)[at]


def wrong_labels(label: np.ndarray, parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``label`` u8 (H, W) with now and then a thing of another class: maps of people and engines err."""
    if rng.random() > 0.15 or not parts.any():
        return label
    number = int(rng.choice(np.unique(parts[parts > 0])))
    other = int(rng.choice([Channel.OTHER, Channel.BARRIER, *MOVERS]))
    return np.where(parts == number, np.uint8(other), label)
