"""A frame as it was recorded, put together from messages; each is checked before anything of it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap.records import Attachment

from bridge.messages import PLANES
from bridge.untrusted import limits, names
from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.reading import json_messages
from neuralsim.recording.reading.picture_decoding import decode
from neuralsim.recording.topics import JSON, PICTURES, RAW


@dataclass
class Recorded:
    """One frame of a recording. ``pictures``: neural and rgb as JPEG bytes; ``json``: "ego", "control", "objects",
    "scenario"; ``views``: what further cameras saw, by their names."""

    index: int  # counts from 0
    time: float  # simulated s
    planes: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    intrinsics: list[float] = field(default_factory=list)  # K, 3x3 row-major
    poses: dict[str, np.ndarray] = field(default_factory=dict)  # of ego and camera (optical axes), right-handed
    views: dict[str, Recorded] = field(default_factory=dict)

    def pose(self, name: str) -> np.ndarray:
        """f64 (4, 4) of the ego or a camera. Raises :class:`RecordingError` where it was not recorded."""
        if name not in self.poses:
            raise RecordingError(f"frame {self.index} holds no pose of the {name}")
        return self.poses[name]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, by the calibration. Raises :class:`RecordingError` without one."""
        if not self.intrinsics:
            raise RecordingError(f"frame {self.index} holds no calibration")
        return round(2 * self.intrinsics[2]), round(2 * self.intrinsics[5])

    def picture(self, name: str) -> np.ndarray:
        """The ``neural`` or ``rgb`` picture, u8 (H, W, 3) BGR. Raises :class:`RecordingError`."""
        found = decode(self.pictures[name])
        if found is None or found.shape[:2] != self.size[::-1]:
            raise RecordingError(f"frame {self.index}: the {name} picture is damaged")
        return found

    def check_planes(self) -> None:
        """Raises :class:`RecordingError` for a plane that is not of the camera's size."""
        width, height = self.size
        for name, plane in self.planes.items():
            if plane.shape[:2] != (height, width):
                raise RecordingError(f"frame {self.index}: {name} is not of the camera's {width}x{height} pixels")


def checked_about(path: Path, about: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a recording. Raises :class:`RecordingError` for names that are none."""
    try:
        if "scenario" in about:
            names.file_name(about["scenario"], "the scenario")
        views = [name for name in about.get("views", "").split(",") if name]
        for view in views[: limits.VIEWS + 1]:
            names.name(view, "a camera")
        if len(views) > limits.VIEWS:
            raise ValueError(f"{len(views)} cameras, {limits.VIEWS} can be read")
        rate(about)
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: {error}") from None
    return dict(about)


def checked_topic(path: Path, topic: str) -> str:
    """A topic; of ours, the camera in it has a name that is one. Raises :class:`RecordingError`."""
    view, name = _camera_of(topic)
    if name in _SEEN and view and not names.NAME.fullmatch(view):
        raise RecordingError(f"{path} is damaged: the topic {names.shown(topic)} names no camera")
    return topic


def attach(path: Path, files: dict[str, bytes], attachment: Attachment) -> None:
    """Put an attachment among ``files``. Raises :class:`RecordingError` for a name that is none, and too many."""
    try:
        files[names.file_name(attachment.name, "an attachment")] = attachment.data
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: {error}") from None
    if len(files) > limits.ATTACHMENTS:
        raise RecordingError(f"{path} is damaged: over {limits.ATTACHMENTS} attachments")


def rate(about: Mapping[str, str]) -> float:
    """Frames per second by a recording's metadata. Raises ``ValueError``."""
    text = about.get("fps", "20")
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not limits.SLOWEST <= found <= limits.FASTEST:
        raise ValueError(f"fps is {names.shown(text)}, not {limits.SLOWEST:g} to {limits.FASTEST:g}")
    return found


_SEEN = (*PICTURES, *RAW, "calibration")  # on the topics of each camera


def _camera_of(topic: str) -> tuple[str, str]:
    """View and name of a camera's topic; ("", "") of others."""
    _, is_camera, rest = topic.partition("/camera/")
    view, _, name = rest.rpartition("/")
    return (view, name) if is_camera else ("", "")


def take(frame: Recorded, topic: str, data: bytes) -> None:
    """Put a message where it belongs in its frame. Topics that are not ours are passed over. Raises ``ValueError`` for
    a message that is damaged."""
    view, name = _camera_of(topic)
    if topic in JSON:
        frame.json[topic[1:]] = json_messages.read(topic, data)
    elif topic == "/tf":
        message = foxglove.parsed(foxglove.FrameTransform, topic, data)
        pose = foxglove.matrix(message.translation, message.rotation)
        if not np.isfinite(pose).all() or len(frame.poses) > 1 + limits.VIEWS:
            raise ValueError(f"{topic}: no pose")
        frame.poses[message.child_frame_id] = pose
    elif name in _SEEN:
        seen = frame.views.setdefault(view, Recorded(frame.index, frame.time)) if view else frame
        _take_seen(seen, topic, name, data)


def _take_seen(frame: Recorded, topic: str, name: str, data: bytes) -> None:
    if name == "calibration":
        lens = list(foxglove.parsed(foxglove.CameraCalibration, topic, data).K)
        if len(lens) != 9 or not np.isfinite(lens).all() or not 1e-3 < lens[0] < 1e6:
            raise ValueError(f"{topic}: K is no camera's")
        if not all(0.5 <= centre <= limits.SIDE / 2 for centre in (lens[2], lens[5])):
            raise ValueError(f"{topic}: the camera has no side of 1 to {limits.SIDE} pixels")
        frame.intrinsics = lens
    elif name in PICTURES:
        frame.pictures[name] = foxglove.parsed(foxglove.CompressedImage, topic, data).data
    else:
        message = foxglove.parsed(foxglove.RawImage, topic, data)
        dtype, tail = PLANES[name]
        shape = (message.height, message.width, *tail)
        if not (1 <= shape[0] <= limits.SIDE and 1 <= shape[1] <= limits.SIDE):
            raise ValueError(f"{topic}: {shape[1]}x{shape[0]} pixels")
        if len(message.data) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(f"{topic}: {len(message.data)} bytes for {shape[1]}x{shape[0]} pixels")
        frame.planes[name] = np.frombuffer(message.data, dtype).reshape(shape)
