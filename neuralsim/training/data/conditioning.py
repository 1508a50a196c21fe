"""Labelled images of real streets as inputs of the generator.

A label map alone does not say where a façade has its windows or what colour a car has: a generator that has to guess
renders the average. So in training the images themselves provide it, coarsely: a *sketch* (where it is darker or
brighter than its surroundings) and a *tint* (the mean colour of each object and surface). In the simulator both come
from the surface itself (``neuralsim/models/input_planes.py``): then the output is attached to the surface too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from neuralsim.base.colour import LUMA as LUMA_WEIGHTS
from neuralsim.models.classes import CHANNELS, MOVERS, Channel
from neuralsim.models.guide_image import split_image
from neuralsim.models.surfaces import BLOCK
from neuralsim.training.data import looks, textures

MAX_ZOOM = 1.45  # largest scale of an example, over that at which the image just fills it


@dataclass
class Picture:
    """A labelled image: image u8 (H, W, 3) RGB, label u8 (H, W) channels, instance u16 (H, W) or None; ``source`` is
    the data set's name."""

    name: str
    image: np.ndarray
    label: np.ndarray
    instance: np.ndarray | None
    source: str = ""

    def window(self, rows: slice, columns: slice) -> Picture:
        """Return ``rows`` and ``columns``."""
        at = rows, columns
        instance = None if self.instance is None else self.instance[at]
        return Picture(self.name, self.image[at], self.label[at], instance, self.source)


@dataclass
class Example:
    """One training example: label u8 (H, W), tint f32 (3, H, W), detail f32 (2, H/2, W/2) (edge or texture, and
    sketch), image u8 (3, H, W)."""

    label: np.ndarray
    tint: np.ndarray
    detail: np.ndarray
    image: np.ndarray


def mark_road_lines(image: np.ndarray, label: np.ndarray, threshold: int = 28) -> np.ndarray:
    """Return the channel map with road markings, detected inside ROAD by a top-hat on luminance (data sets do not label
    them)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = max(5, image.shape[1] // 24) | 1
    hat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    inside = cv2.erode((label == Channel.ROAD).astype(np.uint8), np.ones((5, 5), np.uint8))
    bright = ((hat > threshold) & (inside > 0)).astype(np.uint8)
    lines = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return np.where(lines > 0, np.uint8(Channel.ROAD_LINE), label)


def objects(label: np.ndarray, instance: np.ndarray | None) -> np.ndarray:
    """Return i32 (H, W): a number per separate object (0 elsewhere), from instance ids or else connected components."""
    out = np.zeros(label.shape, np.int32)
    count = 0
    for channel in MOVERS:
        mask = (label == channel).astype(np.uint8)
        if instance is None:
            n, parts = cv2.connectedComponents(mask)
        else:
            ids, parts = np.unique(np.where(mask > 0, instance.astype(np.int32) + 1, 0), return_inverse=True)
            parts, n = parts.reshape(label.shape) + (0 if ids[0] == 0 else 1), len(ids) + (0 if ids[0] == 0 else 1)
        out = np.where(mask > 0, parts + count, out)
        count += n
    return out


def edges(label: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Return f32 (H, W): 1 where two objects of ``MOVERS`` classes touch (pix2pixHD's instance boundary map)."""
    mover = np.isin(label, MOVERS)
    edge = np.zeros(label.shape, bool)
    for axis in (0, 1):
        a = np.take(instance, np.arange(instance.shape[axis] - 1), axis)
        b = np.take(instance, np.arange(1, instance.shape[axis]), axis)
        differs = a != b
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, 1)
        edge |= np.pad(differs, pad)
        pad[axis] = (1, 0)
        edge |= np.pad(differs, pad)
    return (edge & mover).astype(np.float32)


def tint(image: np.ndarray, label: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return f32 (H, W, 3) in [-0.5, 0.5]: mean colour of each object, of each class, and of each stretch of façade."""
    flat, colours = label.ravel(), image.reshape(-1, 3).astype(np.float32)
    counts = np.maximum(np.bincount(flat, minlength=CHANNELS), 1)
    means = np.stack([np.bincount(flat, colours[:, c], CHANNELS) / counts for c in range(3)], 1)
    out = means[label].astype(np.float32)
    if parts.any():
        counts = np.maximum(np.bincount(parts.ravel()), 1)
        means = np.stack([np.bincount(parts.ravel(), colours[:, c]) / counts for c in range(3)], 1)
        out = np.where((parts > 0)[..., None], means[parts].astype(np.float32), out)
    building = label == Channel.BUILDING
    if building.any():
        small = (image.shape[1] // 4, image.shape[0] // 4)
        mask = cv2.resize(building.astype(np.float32), small, interpolation=cv2.INTER_AREA)
        masked = cv2.resize(image.astype(np.float32) * building[..., None], small, interpolation=cv2.INTER_AREA)
        sigma = image.shape[1] / 64.0
        weight = cv2.GaussianBlur(mask, (0, 0), sigma)
        local = cv2.GaussianBlur(masked, (0, 0), sigma) / np.maximum(weight, 1e-3)[..., None]
        local = cv2.resize(local, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        out = np.where(building[..., None], local, out)
    return out / 255.0 - 0.5


LUMA = np.array(LUMA_WEIGHTS, np.float32)


def sketch_noise(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return f32 (H, W): noise of several octaves and random strength, to degrade a sketch with."""
    total = np.zeros((height, width), np.float32)
    for octave in range(1, 5):
        coarse = rng.standard_normal(((height >> octave) + 2, (width >> octave) + 2)).astype(np.float32)
        noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        total += rng.uniform(0.0, 0.12) * noise
    return total


def sketch(
    image: np.ndarray, label: np.ndarray, tinted: np.ndarray, rng: np.random.Generator, noise: np.ndarray | None = None
) -> np.ndarray:
    """Return f32 (H, W) in [-1, 1]: where the image is darker or brighter than its surface's tint, degraded at random.

    It is degraded (blurred, compressed towards two levels, noisy, withheld for some classes), so that the generator
    takes it as a hint of where structure lies and generates the structure itself.

    Args:
        image: u8 (H, W, 3) RGB.
        label: u8 (H, W): channels.
        tinted: f32 (H, W, 3): the tint of each pixel's surface, -0.5..0.5.
        rng: Generator for the degradation.
        noise: Noise to use instead of ``sketch_noise`` of its own.
    """
    luma = (image.astype(np.float32) / 255.0) @ LUMA - 0.5
    hint = cv2.GaussianBlur(luma, (0, 0), rng.uniform(0.8, 2.5)) - tinted @ LUMA
    gain = rng.uniform(3.0, 8.0)
    hint = np.tanh(hint * gain)
    hint += sketch_noise(label.shape[1], label.shape[0], rng) if noise is None else noise
    keep = rng.random(CHANNELS) > 0.25
    for channel in MOVERS:
        keep[channel] = rng.random() > 0.4
    return np.clip(hint, -1.0, 1.0) * keep[label]


def example(
    picture: Picture,
    width: int,
    height: int,
    rng: np.random.Generator,
    zoom: float = MAX_ZOOM,
    guided: bool = False,
    dark: float = 0.0,
    window: tuple[int, int] = (0, 0),
) -> Example:
    """Return a random crop of ``picture`` at ``width`` x ``height``, as an example for the generator.

    Args:
        picture: A labelled image.
        width: Width of the crop, px.
        height: Height of the crop, px.
        rng: Generator for everything random.
        zoom: As for ``crop``.
        guided: Whether it is for a guided generator, see ``guided_example``.
        dark: As for ``guided_example``.
        window: As for ``random_window``: the part of the crop that the example shows.
    """
    part = crop(picture, width, height, rng, zoom)
    part = part.window(*random_window(part.label.shape, window, rng))
    return guided_example(part, rng, dark) if guided else make_example(part, rng)


def random_window(size: Sequence[int], window: tuple[int, int], rng: np.random.Generator) -> tuple[slice, slice]:
    """Return rows and columns of a window somewhere in an image of ``size``, height and width, px.

    ``window``: its width and height, px; 0 or more than the image has: all. It begins at a multiple of ``BLOCK``, so
    that means over blocks are those of the image.
    """
    parts = []
    for whole, asked in zip(size, reversed(window), strict=True):
        length = min(asked or whole, whole)
        start = BLOCK * int(rng.integers(0, (whole - length) // BLOCK + 1))
        parts.append(slice(start, start + length))
    return parts[0], parts[1]


def crop(picture: Picture, width: int, height: int, rng: np.random.Generator, zoom: float = MAX_ZOOM) -> Picture:
    """Return a random part of ``picture`` at ``width`` x ``height``: scale, position and mirroring vary.

    A scale beyond ``MAX_ZOOM``, at most ``zoom``, is only used as far as no pixel of the image is magnified.

    Args:
        picture: A labelled image.
        width: Width of the crop, px.
        height: Height of the crop, px.
        rng: Generator for scale, position and mirroring.
        zoom: Largest scale.
    """
    h, w = picture.label.shape
    low = max(width / w, height / h)
    scale = low * rng.uniform(1.0, max(MAX_ZOOM, min(zoom, 1.0 / low)))
    cw, ch = min(w, round(width / scale)), min(h, round(height / scale))
    x, y = rng.integers(0, w - cw + 1), rng.integers(0, h - ch + 1)
    window = slice(y, y + ch), slice(x, x + cw)
    image = cv2.resize(picture.image[window], (width, height), interpolation=cv2.INTER_AREA if scale < 1 else 1)
    label = cv2.resize(picture.label[window], (width, height), interpolation=cv2.INTER_NEAREST)
    instance = picture.instance
    if instance is not None:
        instance = cv2.resize(instance[window], (width, height), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
        instance = None if instance is None else instance[:, ::-1]
    return Picture(picture.name, image, label, instance, picture.source)


def guided_example(picture: Picture, rng: np.random.Generator, dark: float = 0.0) -> Example:
    """Return an image and, as its tint and sketch, the same image in the look of some engine (``looks.py``), and
    its texture.

    ``dark``: Probability that both are in little light.
    """
    label, is_dark = picture.label, rng.random() < dark
    image = looks.darkened(picture.image, rng) if is_dark else picture.image
    parts = objects(label, picture.instance)
    guide = looks.engine_image(image, label, tint(image, label, parts), rng, is_dark) - 0.5
    label = np.ascontiguousarray(looks.wrong_labels(label, parts, rng))
    planes = torch.from_numpy(guide.astype(np.float32)).permute(2, 0, 1)[None]
    channels, small = torch.from_numpy(label.astype(np.int64))[None], label[::2, ::2]
    tinted, hint = split_image(planes, channels)
    size = small.shape[::-1]
    luma = cv2.resize((image.astype(np.float32) / 255.0) @ LUMA, size, interpolation=cv2.INTER_AREA)
    return Example(
        label=label,
        tint=tinted[0].numpy(),
        detail=np.stack([textures.of_photograph(luma, small, rng), looks.worse_sketch(hint[0, 0].numpy(), small, rng)]),
        image=np.ascontiguousarray(image.transpose(2, 0, 1)),
    )


def make_example(picture: Picture, rng: np.random.Generator, noise: np.ndarray | None = None) -> Example:
    """Return the generator's inputs for an image, and the image; ``rng`` and ``noise`` as for ``sketch``."""
    image, label, instance = picture.image, picture.label, picture.instance
    parts = objects(label, instance)
    tinted = tint(image, label, parts)
    edge = edges(label, parts) if instance is not None else np.zeros(label.shape, np.float32)
    half = (label.shape[1] // 2, label.shape[0] // 2)
    hint = sketch(image, label, tinted, rng, noise)
    detail = [cv2.resize(x, half, interpolation=cv2.INTER_AREA) for x in (edge, hint)]
    return Example(
        label=np.ascontiguousarray(label),
        tint=np.ascontiguousarray(tinted.transpose(2, 0, 1), np.float32),
        detail=np.stack(detail).astype(np.float32),
        image=np.ascontiguousarray(image.transpose(2, 0, 1)),
    )
