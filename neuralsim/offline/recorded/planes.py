"""Decodes the planes of one frame of a clip, at the size that it is rendered at."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.imaging.image_files import ImageError
from neuralsim.offline.recorded import depth_codes, flow_codes, tag_codes
from neuralsim.offline.recorded.clip import Clip, red_of
from neuralsim.recording.image_folder import MOTION_STEPS

#: Surfaces that are no things: a server's pieces of road have ids, too.
_SURFACES = np.zeros(256, np.bool_)
_SURFACES[[Tag.UNLABELED, Tag.ROAD, Tag.SIDEWALK, Tag.SKY, Tag.ROAD_LINE, Tag.GROUND, Tag.TERRAIN, Tag.WATER]] = True
_ASPECT = 0.02  # difference of proportions from which a plane of another size is another view


@dataclass
class Planes:
    """What was recorded of one frame, all of one size; None: not recorded.

    Attributes:
        tag: u8 (H, W), today's tags.
        instance: u16 (H, W), 0 = none.
        depth: f32 (H, W), m.
        rgb: u8 (H, W, 3), RGB.
        flow: f32 (H, W, 2), CARLA's, and where it is known, bool (H, W).
        motion: f32 (H, W, 2), px back to the last frame, and where it is known, bool (H, W).
        full: Width and height of the recording, px.
    """

    tag: np.ndarray
    full: tuple[int, int]
    instance: np.ndarray | None = None
    depth: np.ndarray | None = None
    rgb: np.ndarray | None = None
    flow: tuple[np.ndarray, np.ndarray] | None = None
    motion: tuple[np.ndarray, np.ndarray] | None = None


@dataclass
class Notes:
    """What was strange in a clip: lines, each kind of them once, and the share of doubtful tags."""

    lines: list[str] = field(default_factory=list)
    doubtful: float = 0.0  # sum of the shares
    frames: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, line: str) -> None:
        """Add a line, unless there is one of the same kind."""
        self._seen[kind] += 1
        if self._seen[kind] == 1:
            self.lines.append(line)


class PlaneReader:
    """Reads the frames of a clip.

    Args:
        clip: The clip.
        size: Width and height to render at, px; None: the recording's own.
        notes: Receives what is strange.
    """

    def __init__(self, clip: Clip, size: tuple[int, int] | None, notes: Notes) -> None:
        self._clip, self._size, self._notes = clip, size, notes
        self._full: tuple[int, int] | None = None

    def read(self, frame: int) -> Planes:
        """Return what was recorded of a frame.

        What is strange in other planes than the tags is noted, and that plane left out. Raises ImageError for tags that
        cannot be read.
        """
        clip = self._clip
        read = clip.read(clip.reference, frame)
        assert read is not None
        coded, label = read
        tag_image, strange = tag_codes.split(red_of(coded, label) if clip.reference == "instances" else coded, label)
        if strange:
            self._notes.add(strange.removeprefix(label), strange)
        tag, doubtful = tag_codes.decode(tag_image, clip.tag_code, label)
        self._notes.doubtful += doubtful
        self._notes.frames += 1
        full = tag.shape[1], tag.shape[0]
        self._full = self._full or full
        if full != self._full:
            raise ImageError(
                f"{label}: {full[0]}x{full[1]} pixels, but the clip began with {self._full[0]}x{self._full[1]}"
            )
        size = self._size or full
        depth = self._plane("depth", frame, full, size, self._depth)
        instance = self._plane("instances", frame, full, size, lambda image, label: (self._instance(image, label),))
        rgb = self._plane("rgb", frame, full, size, lambda image, label: (self._rgb(image, label),))
        flow = self._plane("flow", frame, full, size, flow_codes.decode)
        motion = self._plane("motion", frame, full, size, _motion)
        planes = Planes(_resized(tag, size), full)
        planes.depth = depth[0] if depth else None
        planes.instance = instance[0] if instance else None
        planes.rgb = rgb[0] if rgb else None
        planes.flow = (flow[0], flow[1]) if flow else None
        if motion:
            scale = np.array([size[0] / full[0], size[1] / full[1]], np.float32)
            planes.motion = motion[0] * scale, motion[1]
        tag_codes.fill_sky(planes.tag, planes.depth)
        if planes.depth is not None and clip.depth_code is not None:
            depth_codes.extend_ground(planes.depth, planes.tag, clip.depth_code)
        if planes.instance is not None:
            planes.instance[_SURFACES[planes.tag]] = 0
        return planes

    def _plane(
        self,
        kind: str,
        frame: int,
        full: tuple[int, int],
        size: tuple[int, int],
        decode: Callable[[np.ndarray, str], tuple[np.ndarray, ...]],
    ) -> tuple[np.ndarray, ...] | None:
        """Return the decoded arrays of a plane at ``size``, None where there is none or it is of no use, which is
        noted."""
        try:
            read = self._clip.read(kind, frame)
            if read is None:
                return None
            arrays = decode(*read)
        except ImageError as error:
            self._notes.add(f"{kind} unreadable", f"{error}: rendered without")
            return None
        label = read[1]
        height, width = arrays[0].shape[:2]
        if (width, height) != full:
            differs = f"{label}: {width}x{height} pixels, its tags have {full[0]}x{full[1]}"
            if abs(width * full[1] / (height * full[0]) - 1.0) > _ASPECT:
                self._notes.add(f"{kind} of another view", f"{differs}: rendered without")
                return None
            self._notes.add(f"{kind} of another size", f"{differs}: scaled")
        return tuple(_resized(array, size) for array in arrays)

    def _depth(self, image: np.ndarray, label: str) -> tuple[np.ndarray]:
        assert self._clip.depth_code is not None
        return (depth_codes.decode(image, self._clip.depth_code, label),)

    def _instance(self, image: np.ndarray, label: str) -> np.ndarray:
        """Return instances u16 (H, W): one channel, or the id in G + 256 B."""
        if image.ndim == 2 and image.dtype in (np.uint8, np.uint16):
            return image.astype(np.uint16)
        red_of(image, label)
        if label.lower().endswith((".jpg", ".jpeg")):
            raise ImageError(f"{label}: instances do not survive a JPEG; save PNG")
        return image[..., 1].astype(np.uint16) | (image[..., 0].astype(np.uint16) << 8)

    def _rgb(self, image: np.ndarray, label: str) -> np.ndarray:
        """Return a picture u8 (H, W, 3), RGB."""
        if image.dtype != np.uint8:
            raise ImageError(f"{label}: a picture of type {image.dtype}; expected 8 bit")
        if image.ndim == 2:
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))
        if image.shape[2] == 4 and image[..., 3].min() != image[..., 3].max():
            line = f"{label}: an alpha channel that is not the same everywhere; it is ignored"
            self._notes.add("alpha", line)
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_BGR2RGB))


def _motion(image: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode a KITTI flow PNG, which holds the motion back to the last frame in pixels."""
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"{label}: not a KITTI flow PNG (16 bit, three channels)")
    return (image[..., :0:-1].astype(np.float32) - 32768.0) / MOTION_STEPS, image[..., 0] > 0


def _resized(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a plane at ``size``: pictures smoothed, everything else by the nearest pixel."""
    if (array.shape[1], array.shape[0]) == size:
        return np.ascontiguousarray(array)
    if array.dtype == np.uint8 and array.ndim == 3:
        smaller = size[0] < array.shape[1]
        return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))
    if array.dtype == np.bool_:
        return np.asarray(cv2.resize(array.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)) > 0
    return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_NEAREST_EXACT))
