"""CARLA's depths as its clients save them: 24 bit in R, G and B, a logarithmic grey, 16 bit, or .npy in metres."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from bridge.image_decoding import decode_depth
from bridge.tags import Tag
from neuralsim.imaging.image_files import ImageError

FAR = 1000.0  # m, CARLA's far plane
#: Coding of a depth plane.
Coding = Literal["24bit", "log", "16bit", "metres"]
_LOG_SCALE = 5.70378  # of CARLA's ``ColorConverter::LogarithmicDepth``: grey = 1 + ln(depth / far) / 5.70378
_OWN_FAR = 64_000  # our own export's far plane, 1/64 m
#: Metres per step of 16-bit depths: our own export, centimetres, KITTI's, millimetres, a share of the far plane.
_STEPS = (1.0 / 64.0, 0.01, 1.0 / 256.0, 0.001, FAR / 65535.0)
_EYE = 1.7  # m, height of a camera over the road: between a car's and a roof's
_WINDOW = 15  # px, of neighbours that refine the steps of a grey
_NEAREST = FAR * math.exp((1.0 / 255.0 - 1.0) * _LOG_SCALE) * 1.03  # m, of a grey: what is nearer is as far
_GROUND = (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK, Tag.TERRAIN, Tag.GROUND)
_FIT = 4.0, 15.0  # m, of the ground that continues to the camera
_LEAST = 200  # px of it
_GREY = 10  # of 255, between the channels of a grey JPEG


@dataclass(frozen=True)
class DepthCode:
    """How the depths of a clip are coded; ``step``: metres per step, of 16-bit ones."""

    coding: Coding
    step: float = 0.0

    @property
    def is_coarse(self) -> bool:
        """Return whether its steps are too coarse for an exact motion: a grey's are 2.3 %, and there are none below
        3.4 m."""
        return self.coding == "log"

    def __str__(self) -> str:
        if self.coding == "16bit":
            return f"16 bit, {self.step:.4g} m per step"
        return {"24bit": "24 bit", "log": "logarithmic grey", "metres": "metres"}[self.coding]


def coding_of(image: np.ndarray, label: str) -> Coding:
    """Return the coding of a depth picture as read from the file ``label``. Raises ImageError if it has none."""
    if image.dtype.kind == "f":
        if label.endswith(".npy") and (image.ndim == 2 or image.shape[2] == 1):
            return "metres"
        raise ImageError(
            f"{label}: depths as floating-point pixels are not read; write CARLA's 24 bit, 16 bit or .npy in metres"
        )
    if image.dtype == np.uint16 and image.ndim == 2:
        return "16bit"
    if image.dtype != np.uint8:
        raise ImageError(f"{label}: {image.dtype} {image.shape} is no depth; expected 24 bit, a grey or 16 bit")
    if image.ndim == 2:
        return "log"
    colours = image[..., :3].astype(np.int16)
    spread = np.ptp(colours, axis=2)
    if np.percentile(spread, 99) <= (_GREY if _is_lossy(label) else 0):
        return "log"
    if _is_lossy(label):
        raise ImageError(f"{label}: depths in 24 bit do not survive a JPEG; save PNG")
    return "24bit"


def find_code(
    samples: Sequence[tuple[np.ndarray, str]], tags: Sequence[np.ndarray], focal: float, step: float | None = None
) -> DepthCode:
    """Return the code of a clip's depths.

    Args:
        samples: Some of its pictures, with their files.
        tags: u8 (H, W) of the same frames: the road tells the unit of 16-bit depths.
        focal: Focal length, px.
        step: Metres per step of 16-bit depths, None to find out.

    Raises:
        ImageError: They are coded in no known way.
    """
    coding = coding_of(*samples[0])
    if coding != "16bit":
        return DepthCode(coding)
    return DepthCode(coding, step or _step_of([image for image, _ in samples], tags, focal))


def _step_of(images: Sequence[np.ndarray], tags: Sequence[np.ndarray], focal: float) -> float:
    """Return the metres per step with which the road lies as far below the camera as a camera is mounted."""
    if max(int(image.max()) for image in images) == _OWN_FAR:
        return _STEPS[0]
    heights = []
    for image, tag in zip(images, tags, strict=True):
        if image.shape != tag.shape:
            continue
        below = np.arange(len(tag)) + 0.5 - len(tag) / 2.0
        road = (tag == Tag.ROAD) & (below[:, None] > 0.15 * len(tag)) & (image > 0) & (image < 65535)
        if road.any():
            heights.append(float(np.median((image * below[:, None] / focal)[road])))
    if not heights:
        return 0.01
    height = float(np.median(heights))
    return min(_STEPS, key=lambda step: abs(math.log(max(height * step, 1e-6) / _EYE)))


def decode(image: np.ndarray, code: DepthCode, label: str) -> np.ndarray:
    """Return the depths f32 (H, W), m, 0 to 1000, of a picture as read from the file ``label``. Raises ImageError."""
    if coding_of(image, label) != code.coding:
        raise ImageError(f"{label}: depths that are not coded like the clip's others, {code}")
    if code.coding == "metres":
        depth = image.reshape(image.shape[:2]).astype(np.float32)
        return np.clip(np.nan_to_num(depth, nan=FAR, posinf=FAR), 0.0, FAR)
    if code.coding == "16bit":
        depth = image.astype(np.float32) * np.float32(code.step)
        is_far = (image == 0) | (image == 65535) | ((code.step == _STEPS[0]) & (image >= _OWN_FAR))
        return np.where(is_far, np.float32(FAR), np.minimum(depth, np.float32(FAR)))
    if code.coding == "log":
        grey = (image if image.ndim == 2 else image[..., 1]).astype(np.float32)
        # CARLA rounds down, so the value lies above its step; neighbours on the same surface tell where
        smooth = cv2.bilateralFilter(grey + 0.5, _WINDOW, 0.8, _WINDOW / 2.0)
        depth = FAR * np.exp((np.clip(smooth, grey, grey + 1.0) / 255.0 - 1.0) * _LOG_SCALE)
        return np.where(grey == 255.0, np.float32(FAR), depth.astype(np.float32))
    words = image if image.shape[2] == 4 else cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    depth = np.empty(image.shape[:2], np.float32)
    decode_depth(np.ascontiguousarray(words).view("<u4").reshape(-1), depth.reshape(-1))
    return depth


def extend_ground(depth: np.ndarray, tag: np.ndarray, code: DepthCode) -> None:
    """Continue the ground to the camera, in place, where a grey has no steps: as the plane that it is beyond.

    Args:
        depth: f32 (H, W), m.
        tag: u8 (H, W).
        code: The code of ``depth``.
    """
    if code.coding != "log":
        return
    is_ground = np.isin(tag, _GROUND)
    rows, columns = np.nonzero(is_ground & (depth > _FIT[0]) & (depth < _FIT[1]))
    missing = is_ground & (depth < _NEAREST)
    if len(rows) < _LEAST or not missing.any():
        return
    thin = slice(None, None, max(len(rows) // 5000, 1))
    planes: np.ndarray = np.stack([np.ones(len(rows)), rows, columns], 1)[thin]
    seen: np.ndarray = 1.0 / depth[rows, columns][thin].astype(np.float64)
    fit = np.linalg.lstsq(planes, seen, rcond=None)[0]
    below, across = np.nonzero(missing)
    inverse = fit[0] + fit[1] * below + fit[2] * across  # of a plane's depth, linear over the picture
    depth[missing] = 1.0 / np.maximum(inverse, 1.0 / _NEAREST)


def _is_lossy(label: str) -> bool:
    return label.lower().endswith((".jpg", ".jpeg", ".webp")) or ": frame " in label
