"""Sketches and tints of real vehicles, people and cycles as a guide, for frames without a simulator image.

A label map tells where a car is, but nothing of its windows, lamps or wheels; a generator that has to guess makes a
slab. An atlas of real ones, pasted into each object's box, tells where a car is dark and bright, and coarsely the
colours of its parts. The choice depends on the object's number and the shape of its box, so that it stays the same from
frame to frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.guide import exemplar_kernels
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel

#: (height, width) of the sketches by class, px.
SIZES = {Channel.VEHICLE: (64, 96), Channel.PERSON: (80, 32), Channel.CYCLE: (64, 64)}
#: Pixels of a sketch, in each direction, that share a tint.
CELL = 8
_CANDIDATES = 6  # sketches of the most similar aspect that one is chosen from
_OTHER_VIEW = 1.6  # change of a box's aspect at which another sketch is chosen
_WHOLE = {Channel.VEHICLE: 1.5, Channel.PERSON: 0.38, Channel.CYCLE: 0.9}  # aspect of objects cut by the frame's edge
_BLUR = 1.6  # px of the frame: details finer than in the sketches of training are left out
_LEVELS = 4  # copies of each sketch, each half the size of the one before (Williams, SIGGRAPH 1983)
_LEAST = 36  # px of an object with a sketch


class AtlasError(ValueError):
    """An atlas that cannot be used; the message is one line."""


class Atlas:
    """Sketches, aspects and tints of real objects.

    Args:
        sketches: By class u8 (N, h, w), 1..255 for -1..1.
        aspects: By class f32 (N,), width over height.
        tints: By class f16 (N, h / ``CELL``, w / ``CELL``, 3), colours over the mean of their class in the same light.

    Raises:
        AtlasError: They do not fit each other or ``SIZES``.
    """

    def __init__(
        self,
        sketches: Mapping[Channel, np.ndarray],
        aspects: Mapping[Channel, np.ndarray],
        tints: Mapping[Channel, np.ndarray],
    ) -> None:
        for channel, shape in SIZES.items():
            sketch, aspect, tint = sketches.get(channel), aspects.get(channel), tints.get(channel)
            if sketch is None or aspect is None or tint is None:
                raise AtlasError(f"no sketches of class {channel.name.lower()}")
            if sketch.dtype != np.uint8 or sketch.shape != (len(aspect), *shape) or not len(aspect):
                raise AtlasError(f"sketches of class {channel.name.lower()}: expected u8 (N, {shape[0]}, {shape[1]})")
            if not (np.isfinite(aspect) & (aspect > 0)).all():
                raise AtlasError(f"aspects of class {channel.name.lower()}: expected numbers above 0")
            cells = shape[0] // CELL, shape[1] // CELL
            if tint.shape != (len(aspect), *cells, 3) or not (np.isfinite(tint) & (tint >= 0)).all():
                raise AtlasError(
                    f"tints of class {channel.name.lower()}: expected (N, {cells[0]}, {cells[1]}, 3), 0 or more"
                )
        self.sketches = {channel: np.ascontiguousarray(sketches[channel]) for channel in SIZES}
        self.aspects = {channel: np.asarray(aspects[channel], np.float32) for channel in SIZES}
        self.tints = {channel: np.asarray(tints[channel], np.float16) for channel in SIZES}

    def save(self, path: Path) -> None:
        """Write ``path``, an .npz without pickled objects. Raises OSError."""
        kinds = {"sketch": self.sketches, "aspect": self.aspects, "tint": self.tints}
        arrays = {
            f"{kind}_{channel.name.lower()}": value for kind, table in kinds.items() for channel, value in table.items()
        }
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Atlas:
        """Read an atlas that ``save`` wrote. Raises AtlasError, OSError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = [
                    {channel: stored[f"{name}_{channel.name.lower()}"] for channel in SIZES}
                    for name in ("sketch", "aspect", "tint")
                ]
        except (ValueError, KeyError, EOFError) as error:
            raise AtlasError(f"{path}: not an atlas of sketches ({' '.join(str(error).split())})") from None
        return cls(*arrays)


class ExemplarGuide:
    """Computes the graph's ``guide`` u8 (H, W, 4) from the sketches of an atlas, for one frame after another."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self._levels = {channel: _pyramid(each) for channel, each in atlas.sketches.items()}
        self._boxes = np.zeros((1 << 16, 5), np.int32)
        self._chosen: dict[
            tuple[int, Channel], tuple[int, float]
        ] = {}  # (sketch, aspect that it was chosen for) of an object
        self._out = np.zeros((0, 0, 4), np.uint8)

    def reset(self) -> None:
        """Forget which sketches were chosen."""
        self._chosen.clear()

    def compile_kernels(self) -> None:
        """Compile what the first frame with this guide would wait for."""
        side = 2 * math.ceil(math.sqrt(_LEAST))
        tag, instance = np.full((side, side), Tag.CAR, np.uint8), np.ones((side, side), np.uint16)
        for plane in (tag, instance):  # like planes that come over the link
            plane.flags.writeable = False
        self.follow(tag, instance, np.zeros((CHANNELS, 3), np.float32))
        self.reset()

    def follow(self, tag: np.ndarray, instance: np.ndarray, style: np.ndarray) -> np.ndarray:
        """Return the guide of a frame, valid until the next one.

        ``tag`` u8, ``instance`` u16 (H, W), 0 = none; ``style`` f32 (CHANNELS, 3), mean colours -0.5..0.5.
        """
        if self._out.shape[:2] != tag.shape:
            self._out = np.zeros((*tag.shape, 4), np.uint8)
        self._out[:] = 0
        for channel in SIZES:
            light = 255.0 * (style[channel].astype(np.float32) + 0.5)
            exemplar_kernels.object_boxes(CARLA_TO_CHANNEL, channel, tag, instance, self._boxes)
            for number in np.flatnonzero(self._boxes[:, 4] >= _LEAST):
                y0, y1, x0, x1, _ = (int(value) for value in self._boxes[number])
                x0, x1 = _whole_extent(channel, y1 - y0, x0, x1, tag.shape[1])
                sketch = self._choose(int(number), channel, (x1 - x0) / (y1 - y0))
                texels = _BLUR * SIZES[channel][0] / (y1 - y0)
                level = min(_LEVELS - 1, max(0, round(float(np.log2(texels)))))
                mirrored = bool(_hash(int(number)) & 1024)
                exemplar_kernels.paste_exemplar(
                    CARLA_TO_CHANNEL, channel, number, tag, instance, self._levels[channel][level][sketch],
                    np.clip(self._atlas.tints[channel][sketch] * light, 1.0, 255.0), np.array((y0, y1, x0, x1)),
                    mirrored, self._out,
                )  # fmt: skip
        return self._out

    def _choose(self, number: int, channel: Channel, aspect: float) -> int:
        """Choose the sketch of an object: one similar to its box, and the same as before while it keeps its shape."""
        chosen, before = self._chosen.get((number, channel), (-1, 0.0))
        if chosen >= 0 and 1.0 / _OTHER_VIEW < aspect / before < _OTHER_VIEW:
            return chosen
        candidates = np.argsort(np.abs(np.log(self._atlas.aspects[channel] / aspect)), kind="stable")[:_CANDIDATES]
        chosen = int(candidates[_hash(number) % len(candidates)])
        self._chosen[number, channel] = (chosen, aspect)
        return chosen


def _pyramid(sketches: np.ndarray) -> list[np.ndarray]:
    """Return ``sketches`` u8 (N, h, w) at ``_LEVELS`` sizes."""
    height, width = sketches.shape[1:]
    levels = [sketches]
    for level in range(1, _LEVELS):
        size = width >> level, height >> level
        levels.append(np.stack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in sketches]))
    return levels


def _hash(number: int) -> int:
    return (number * 2654435761 >> 7) & 0xFFFF


def _whole_extent(channel: Channel, height: int, x0: int, x1: int, width: int) -> tuple[int, int]:
    """Return left and right of an object's whole box, of which the frame's edge may cut off a part."""
    whole = round(_WHOLE[channel] * height)
    if x0 == 0 and x1 < width:
        x0 = min(x0, x1 - whole)
    elif x1 == width and x0 > 0:
        x1 = max(x1, x0 + whole)
    return x0, x1
