"""Consecutive frames for rollouts: stills set in motion, real video, drives through the towns.

Motion is learned from all three (docs/guide/generator.md). A still is moved by a chain of smooth maps whose composition
is known, so that its motion is exact: the frame of step t shows at p what the still shows at M_1(M_2(...M_t(p))), and
its backward motion is M_t(p) - p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuralsim.imaging.optical_flow import backward
from neuralsim.models.visibility import warp_source
from neuralsim.training.data import conditioning
from neuralsim.training.data.conditioning import Picture

_SPEED = 0.012  # growth of the nearest surfaces per frame, of the image size
_PAN = 0.006  # pan per frame, of the width
_MAX_MOVERS = 6  # movers of a still with their own motion; smaller ones move with the background


@dataclass
class Clip:
    """A batch of one or more clips of frames t = 0 .. T-1.

    label i64 (N, T, H, W), tint f32 (N, T, 3, H, W), detail f32 (N, T, 2, H/2, W/2), image f32 (N, T, 3, H, W) in
    [-1, 1], None for frames of the towns; from each frame to the one before, 0 for the first: motion f32
    (N, T, H, W, 2) px, visible f32 (N, T, 1, H, W), 1 where it was visible there. ``exact``: a surface that is not
    visible was hidden; else its motion may only be unknown.
    """

    label: Tensor
    tint: Tensor
    detail: Tensor
    motion: Tensor
    visible: Tensor
    image: Tensor | None = None
    exact: bool = True
    still: bool = False  # whether it is made from a label map, with its planes in ``neuralsim render``

    @property
    def frames(self) -> int:
        """The number of frames of each clip."""
        return self.label.shape[1]

    def to(self, device: str) -> Clip:
        """Return the same on another device."""
        return replace(self, **{name: value.to(device) for name, value in self.planes().items()})

    def planes(self) -> dict[str, Any]:
        """Return the planes that it has, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def batch(clips: Sequence[Clip]) -> Clip:
    """Return clips of the same kind and length as one batch."""
    first = clips[0]
    whole: dict[str, Any] = {name: torch.cat([clip.planes()[name] for clip in clips]) for name in first.planes()}
    return replace(first, **whole)


def halved(clip: Clip) -> Clip:
    """Return the same at half the size: every other pixel of labels, means of the rest."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])

    motion = mean(clip.motion.permute(0, 1, 4, 2, 3)).permute(0, 1, 3, 4, 2) * 0.5
    small = replace(clip, label=clip.label[..., ::2, ::2], tint=mean(clip.tint), detail=mean(clip.detail))
    visible = (mean(clip.visible) > 0.99).float()
    return replace(small, motion=motion, visible=visible, image=None if clip.image is None else mean(clip.image))


def window(clip: Clip, width: int, height: int, rng: np.random.Generator) -> Clip:
    """Return a random part of ``width`` x ``height`` px of all frames; motion that leads out of it counts as not
    visible.

    Args:
        clip: A clip of at least that size.
        width: Width, px, even.
        height: Height, px, even.
        rng: Generator for the position.
    """
    rows, columns = clip.label.shape[2:]
    y, x = (int(rng.integers(0, free // 2 + 1)) * 2 for free in (rows - height, columns - width))
    part = (..., slice(y, y + height), slice(x, x + width))
    small = (..., slice(y // 2, (y + height) // 2), slice(x // 2, (x + width) // 2))
    motion = clip.motion[:, :, part[1], part[2]]
    inside = torch.from_numpy(np.stack([np.stack([warp_source(m)[2] for m in row]) for row in motion.numpy()]))
    cut = {"label": clip.label[part], "tint": clip.tint[part], "detail": clip.detail[small], "motion": motion}
    cut["visible"] = clip.visible[part] * inside[:, :, None]
    if clip.image is not None:
        cut["image"] = clip.image[part]
    whole: dict[str, Any] = {name: plane.contiguous() for name, plane in cut.items()}
    return replace(clip, **whole)


def moved_still(picture: Picture, width: int, height: int, frames: int, rng: np.random.Generator) -> Clip:
    """Return a clip of a drive into (or out of) a still.

    It zooms about a vanishing point, more for near surfaces (low in the image or far to the side), and pans; driving
    in, movers approach faster than their background.

    Args:
        picture: The still and its labels.
        width: Width of the frames, px.
        height: Height of the frames, px.
        frames: Number of frames.
        rng: Generator for the movement.
    """
    margin = width // 16 * 2
    still = conditioning.example(picture, width + 2 * margin, height + 2 * margin, rng)
    planes = {name: np.moveaxis(getattr(still, name), 0, -1) for name in ("tint", "detail", "image")}
    planes["image"] = planes["image"] / 127.5 - 1.0
    return _driven(still.label, planes, margin, frames, rng, into=rng.random() < 0.75)


def moved_map(label: Tensor, tint: Tensor, detail: Tensor, frames: int, rng: np.random.Generator) -> Clip:
    """Return a clip of a drive into a label map, without images, with its planes in ``neuralsim render``.

    Args:
        label: i64 (H, W).
        tint: f32 (3, H, W).
        detail: f32 (2, H/2, W/2).
        frames: Number of frames, which have the map's size.
        rng: Generator for the movement.
    """
    planes = {name: plane.permute(1, 2, 0).numpy() for name, plane in (("tint", tint), ("detail", detail))}
    clip = _driven(label.numpy(), planes, 0, frames, rng, into=True)
    return replace(clip, still=True)


def _driven(
    label: np.ndarray, still: dict[str, np.ndarray], margin: int, frames: int, rng: np.random.Generator, into: bool
) -> Clip:
    """Return a drive into or out of a still with ``margin`` px around it, as described at ``moved_still``; ``still``:
    planes (H, W, C), or of half the size, by name."""
    size = label.shape[1], label.shape[0]
    width, height = size[0] - 2 * margin, size[1] - 2 * margin
    most = np.log(1.5) if into else 0.8 * margin / size[0]
    speed = min(rng.uniform(0.3, 1.0) * _SPEED, most / frames) * (1.0 if into else -1.0)
    pan = rng.uniform(-1.0, 1.0, 2) * np.array([1.0, 0.2]) * min(_PAN * width, 0.5 * margin / frames)
    pan = pan.astype(np.float32)
    vanishing = np.array([rng.uniform(0.4, 0.6) * size[0], rng.uniform(0.4, 0.5) * size[1]], np.float32)

    def back(at: np.ndarray) -> np.ndarray:
        """Return where the surface at ``at`` (..., 2) was a frame earlier."""
        away = at - vanishing
        down = (away[..., 1] / (size[1] - vanishing[1])).clip(0.0, 1.0)
        side = np.abs(away[..., 0]) / (0.5 * size[0])
        near = 0.35 + 0.65 * np.maximum(down, 0.8 * side.clip(0.0, 1.0))
        return np.asarray(at - np.float32(speed) * near[..., None] * away + pan)

    # layer 0 is the whole still; in front of it are its movers, each moving and growing with the ground at its foot
    maps: dict[int, Callable[[np.ndarray], np.ndarray]] = {0: back}
    parts = conditioning.objects(label, None)
    for number, foot in _feet(parts).items() if into else ():
        maps[number] = _approaching(foot, back(foot) - foot, speed * rng.uniform(1.0, 1.5))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    here = np.stack([columns, rows], -1) + np.float32(margin)
    steps = {layer: each(here) for layer, each in maps.items()}
    sources = dict.fromkeys(maps, here)  # where in the still each layer's points of the frame are
    before: np.ndarray | None = None
    planes = _Planes()
    for number in range(frames):
        if number:
            sources = {layer: maps[layer](at) for layer, at in sources.items()}
        layers, source, origin = np.zeros((height, width), np.int32), sources[0], steps[0]
        for layer in list(maps)[1:]:
            mask = _nearest(parts, sources[layer]) == layer
            layers[mask] = layer
            source = np.where(mask[..., None], sources[layer], source)
            origin = np.where(mask[..., None], steps[layer], origin)
        motion = origin - here if number else np.zeros_like(here)
        places = {name: _halved(source) if name == "detail" else source for name in still}
        planes.add(
            label=_nearest(label, source),
            motion=motion,
            visible=_visible(layers, before, motion),
            **{name: _sampled(plane, places[name]) for name, plane in still.items()},
        )
        before = layers
    return planes.clip()


def real_clip(pictures: Sequence[Picture], width: int, height: int, rng: np.random.Generator) -> Clip:
    """Return consecutive frames of a video: one crop of all, motion by dense inverse search
    (``imaging/optical_flow.py``), and the sketch's noise warped along with it."""
    seed = int(rng.integers(2**32))
    cut = [conditioning.crop(picture, width, height, np.random.default_rng(seed)) for picture in pictures]
    noise = conditioning.sketch_noise(width, height, rng)
    planes = _Planes()
    before: Picture | None = None
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for picture in cut:
        motion, visible = np.zeros((height, width, 2), np.float32), np.zeros((height, width), bool)
        if before is not None:
            motion, valid = backward(np.ascontiguousarray(before.image), np.ascontiguousarray(picture.image))
            visible = valid & _visible(picture.label, before.label, motion)
            x, y = columns + motion[..., 0], rows + motion[..., 1]
            noise = cv2.remap(noise, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        planes_of_frame = conditioning.make_example(picture, np.random.default_rng(seed), noise)
        planes.add(
            label=planes_of_frame.label,
            tint=planes_of_frame.tint.transpose(1, 2, 0),
            detail=planes_of_frame.detail.transpose(1, 2, 0),
            image=planes_of_frame.image.transpose(1, 2, 0).astype(np.float32) / 127.5 - 1.0,
            motion=motion,
            visible=visible,
        )
        before = picture
    return replace(planes.clip(), exact=False)


class _Planes:
    """A collector of the frames of a clip, (H, W) or (H, W, C) each."""

    def __init__(self) -> None:
        self._frames: dict[str, list[np.ndarray]] = {}

    def add(self, **planes: np.ndarray) -> None:
        for name, plane in planes.items():
            self._frames.setdefault(name, []).append(plane)

    def clip(self) -> Clip:
        whole: dict[str, Any] = {
            name: torch.from_numpy(np.stack(frames))[None] for name, frames in self._frames.items()
        }
        for name in {"tint", "detail", "image"} & set(whole):
            whole[name] = whole[name].float().permute(0, 1, 4, 2, 3).contiguous()
        whole["label"], whole["motion"] = whole["label"].long(), whole["motion"].float()
        whole["visible"] = whole["visible"].float()[:, :, None]
        return Clip(**whole)


def _feet(parts: np.ndarray) -> dict[int, np.ndarray]:
    """Return f32 (2,) for each of the largest objects: the middle of its lowest row, the farthest object first."""
    sizes = np.bincount(parts.ravel())
    feet: dict[int, np.ndarray] = {}
    for number in np.argsort(sizes[1:])[::-1][:_MAX_MOVERS] + 1:
        rows, columns = np.nonzero(parts == number)
        if len(rows):
            feet[int(number)] = np.array([columns[rows == rows.max()].mean(), rows.max()], np.float32)
    return dict(sorted(feet.items(), key=lambda item: float(item[1][1])))


def _approaching(foot: np.ndarray, step: np.ndarray, growth: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the map back by one frame of an object that moves with the ground at its ``foot`` and grows about it."""
    return lambda at: np.asarray(at + step - np.float32(growth) * (at - foot))


def _halved(at: np.ndarray) -> np.ndarray:
    """Return the positions of every other pixel in a plane of half the size."""
    height, width = at.shape[:2]
    mean = at.reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    return np.asarray((mean + 0.5) / 2.0 - 0.5)


def _sampled(plane: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return f32 (H, W, C): ``plane`` (H', W', C) at the positions ``at`` (H, W, 2) = (x, y) px."""
    place = at.astype(np.float32)
    plane = np.ascontiguousarray(plane, np.float32)
    return cv2.remap(plane, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _nearest(plane: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return ``plane`` (H', W') of integers at the nearest pixel of ``at`` (H, W, 2)."""
    columns = np.rint(at[..., 0]).astype(np.int64).clip(0, plane.shape[1] - 1)
    rows = np.rint(at[..., 1]).astype(np.int64).clip(0, plane.shape[0] - 1)
    return np.asarray(plane[rows, columns])


def _visible(now: np.ndarray, before: np.ndarray | None, motion: np.ndarray) -> np.ndarray:
    """Return bool (H, W): ``motion`` leads inside the frame before, to the same value of ``now``, integers (H, W)."""
    if before is None:
        return np.zeros(now.shape, bool)
    rows, columns, inside = warp_source(motion)
    return np.asarray(inside & (before[rows, columns] == now))
