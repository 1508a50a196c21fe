"""The guide of each frame of one camera: the simulator image, sketches of real objects, or none."""

from __future__ import annotations

import cv2
import numpy as np

from bridge.messages import Frame, plane_shape
from neuralsim import zoo
from neuralsim.guide import lamp_light
from neuralsim.guide.exemplar_guide import Atlas, AtlasError, ExemplarGuide
from neuralsim.guide.image_guide import Exposure, ImageGuide
from neuralsim.renderer.conditions import Conditions
from neuralsim.zoo import ModelError

_NO_SKETCH = 128  # in a guide: as bright as its tint


class FrameGuide:
    """Computes the graph's guide for the frames of one camera, and keeps what that needs from frame to frame.

    Args:
        card: That of the model.
        exposure: That of the rig the camera belongs to, None: its own.

    Raises:
        ModelError: The model's sketches of real objects cannot be used.
    """

    def __init__(self, card: zoo.Card, exposure: Exposure | None = None) -> None:
        self._card, self._image_guide = card, ImageGuide(exposure)
        self._exemplars = _exemplars(card)
        self._none: np.ndarray = np.zeros((0, 0, 4), np.uint8)
        self._image: np.ndarray = np.zeros((0, 0, 4), np.uint8)

    def fork(self) -> FrameGuide:
        """Return that of another camera of the rig, with the same exposure."""
        return FrameGuide(self._card, self._image_guide.exposure)

    def reset(self) -> None:
        """Forget the exposure and the choice of sketches, as after a jump of the camera."""
        self._image_guide.reset()
        if self._exemplars:
            self._exemplars.reset()

    def compile_kernels(self) -> None:
        """Compile what the first frame with exemplars would wait for."""
        if self._exemplars:
            self._exemplars.compile_kernels()

    def exemplars(self, tag: np.ndarray, instance: np.ndarray, style: np.ndarray) -> np.ndarray | None:
        """Return the guide u8 (H, W, 4) of sketches of real objects, valid until the next one; None where the model has
        none.

        ``tag`` u8, ``instance`` u16 (H, W); ``style`` f32 (CHANNELS, 3).
        """
        return None if self._exemplars is None else self._exemplars.follow(tag, instance, style)

    def none(self, size: tuple[int, ...]) -> np.ndarray:
        """Return a guide u8 (H, W, 4) without anything; ``size``: height and width."""
        if self._none.shape[:2] != size:
            self._none = np.zeros((*size, 4), np.uint8)
        return self._none

    def image(
        self,
        frame: Frame,
        image: np.ndarray,
        tag: np.ndarray,
        instance: np.ndarray,
        style: np.ndarray,
        conditions: Conditions,
        edited: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the guide u8 (H, W, 4) from a simulator image, valid until the next one.

        Args:
            frame: That it is of.
            image: u8, RGB, of the frame's size or of half of it.
            tag: u8 (H, W), as padded for the graph.
            instance: u16 (H, W), likewise.
            style: f32 (CHANNELS, 3).
            conditions: Light and weather of the frame.
            edited: bool (H, W): where the image shows something else than the tags; None: nowhere.
        """
        size = frame.planes["tag"].shape
        if self._card.guided:
            guide = self._whole(image, size, tag.shape)
        else:
            rgb = padded(image, *plane_shape("rgb" if image.shape[:2] == size else "rgb_half", *tag.shape)[:2])
            lit, dark = conditions.is_lit_from_below, conditions.darkness
            guide = self._image_guide.follow(tag, instance, rgb, style, frame.sim_time, lit, dark)
        if edited is not None:
            guide[edited] = 0
        if frame.lamps and "depth" in frame.planes:
            rows = lamp_light.lamp_rows(frame.lamps, frame.camera.width, conditions.darkness)
            lamp_light.tint_lamps(rows, frame.planes["depth"], guide)
        return guide

    def _whole(self, image: np.ndarray, size: tuple[int, ...], whole: tuple[int, ...]) -> np.ndarray:
        """Return the image as it is as a guide; ``size``: that of the frame, ``whole``: that of the guide."""
        if image.shape[:2] != size:
            image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        if self._image.shape[:2] != whole:
            self._image = np.empty((*whole, 4), np.uint8)
        seen = np.maximum(padded(image, whole[0], whole[1]), np.uint8(1))  # 0 would be no guide
        cv2.mixChannels([seen], [self._image], [0, 0, 1, 1, 2, 2])  # faster than an assignment
        self._image[..., 3] = _NO_SKETCH
        return self._image


def padded(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``plane`` (H, W, ...) padded to ``height`` and ``width`` by repeating its border, C-contiguous."""
    bottom, right = height - plane.shape[0], width - plane.shape[1]
    if not bottom and not right:
        return np.ascontiguousarray(plane)
    return np.pad(plane, [(0, bottom), (0, right)] + [(0, 0)] * (plane.ndim - 2), mode="edge")


def _exemplars(card: zoo.Card) -> ExemplarGuide | None:
    """Return the model's sketches of real objects, if it has any. Raises ModelError."""
    if card.exemplars is None:
        return None
    try:
        return ExemplarGuide(Atlas.load(card.exemplars))
    except (AtlasError, OSError) as error:
        raise ModelError(f"model {card.name}: {error}") from None
