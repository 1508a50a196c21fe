"""A recorded frame, assembled from messages; each is validated before it is used."""

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
from neuralsim.recording.reading.image_decoding import decode
from neuralsim.recording.topics import IMAGES, JSON, LAST, RAW


@dataclass
class RecordedFrame:
    """One frame of a recording.

    ``images``: neural and rgb as JPEG bytes; ``json``: "ego", "control", "objects", "scenario"; ``views``: the frames
    of further cameras by name.
    """

    index: int  # counts from 0
    time: float  # simulated s
    planes: dict[str, np.ndarray] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    intrinsics: list[float] = field(default_factory=list)  # K, 3x3 row-major
    poses: dict[str, np.ndarray] = field(default_factory=dict)  # of ego, camera (optical axes); right-handed
    views: dict[str, RecordedFrame] = field(default_factory=dict)

    def pose(self, name: str) -> np.ndarray:
        """Return the pose f64 (4, 4) of the ego or a camera. Raises :class:`RecordingError` where there is none."""
        if name not in self.poses:
            raise RecordingError(f"frame {self.index} holds no pose of the {name}")
        return self.poses[name]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the calibration. Raises :class:`RecordingError` without one."""
        if not self.intrinsics:
            raise RecordingError(f"frame {self.index} holds no calibration")
        return round(2 * self.intrinsics[2]), round(2 * self.intrinsics[5])

    def image(self, name: str) -> np.ndarray:
        """Return the ``neural`` or ``rgb`` image, u8 (H, W, 3) BGR. Raises :class:`RecordingError`."""
        image = decode(self.images[name])
        if image is None or image.shape[:2] != self.size[::-1]:
            raise RecordingError(f"frame {self.index}: the {name} image is damaged")
        return image

    def check_planes(self) -> None:
        """Raise :class:`RecordingError` for a plane that has not the camera's size."""
        width, height = self.size
        for name, plane in self.planes.items():
            if plane.shape[:2] != (height, width):
                raise RecordingError(f"frame {self.index}: {name} has not the camera's {width}x{height} pixels")


def checked_about(path: Path, about: Mapping[str, str]) -> dict[str, str]:
    """Validate the metadata of a recording. Raises :class:`RecordingError` for invalid names."""
    try:
        if "scenario" in about:
            names.check_file_name(about["scenario"], "the scenario")
        views = [name for name in about.get("views", "").split(",") if name]
        for view in views[: limits.VIEWS + 1]:
            names.check_name(view, "a camera")
        if len(views) > limits.VIEWS:
            raise ValueError(f"{len(views)} cameras, at most {limits.VIEWS} can be read")
        rate(about)
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: {error}") from None
    return dict(about)


def checked_topic(path: Path, topic: str) -> str:
    """Validate a topic: a camera in it must have a valid name. Raises :class:`RecordingError`."""
    view, name = _camera_of(topic)
    if name in _CAMERA_TOPICS and view and not names.NAME.fullmatch(view):
        raise RecordingError(f"{path} is damaged: the topic {names.printable(topic)} names no camera")
    return topic


def attach(path: Path, files: dict[str, bytes], attachment: Attachment) -> None:
    """Add an attachment to ``files``. Raises :class:`RecordingError` for an invalid name, and for too many."""
    try:
        files[names.check_file_name(attachment.name, "an attachment")] = attachment.data
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: {error}") from None
    if len(files) > limits.ATTACHMENTS:
        raise RecordingError(f"{path} is damaged: over {limits.ATTACHMENTS} attachments")


def rate(about: Mapping[str, str]) -> float:
    """Return the frames per second in a recording's metadata. Raises ``ValueError``."""
    text = about.get("fps", "20")
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if not limits.SLOWEST <= fps <= limits.FASTEST:
        raise ValueError(f"fps is {names.printable(text)}, not {limits.SLOWEST:g} to {limits.FASTEST:g}")
    return fps


_CAMERA_TOPICS = (*IMAGES, *RAW, "calibration", "objects")  # of each camera


def _camera_of(topic: str) -> tuple[str, str]:
    """Return the view and the name of a camera's topic; ("", "") for others."""
    _, is_camera, rest = topic.partition("/camera/")
    view, _, name = rest.rpartition("/")
    return (view, name) if is_camera else ("", "")


def add_message(frame: RecordedFrame, topic: str, data: bytes) -> None:
    """Add a message to its frame; unknown topics are ignored. Raises ``ValueError`` for a damaged message."""
    view, name = _camera_of(topic)
    if topic in JSON:
        frame.json[topic[1:]] = json_messages.read(topic, data)
    elif topic == "/tf":
        message = foxglove.parse(foxglove.FrameTransform, topic, data)
        pose = foxglove.matrix(message.translation, message.rotation)
        if not np.isfinite(pose).all() or len(frame.poses) > 1 + limits.VIEWS:
            raise ValueError(f"{topic}: no pose")
        frame.poses[message.child_frame_id] = pose
    elif name in _CAMERA_TOPICS:
        camera = frame.views.setdefault(view, RecordedFrame(frame.index, frame.time)) if view else frame
        _add_camera_message(camera, topic, name, data)


def _add_camera_message(frame: RecordedFrame, topic: str, name: str, data: bytes) -> None:
    if name == "objects":
        frame.json[name] = json_messages.read(LAST, data)
    elif name == "calibration":
        k = list(foxglove.parse(foxglove.CameraCalibration, topic, data).K)
        if len(k) != 9 or not np.isfinite(k).all() or not 1e-3 < k[0] < 1e6:
            raise ValueError(f"{topic}: K is no camera's")
        if not all(0.5 <= centre <= limits.SIDE / 2 for centre in (k[2], k[5])):
            raise ValueError(f"{topic}: the camera has no side of 1 to {limits.SIDE} pixels")
        frame.intrinsics = k
    elif name in IMAGES:
        frame.images[name] = foxglove.parse(foxglove.CompressedImage, topic, data).data
    else:
        message = foxglove.parse(foxglove.RawImage, topic, data)
        dtype, tail = PLANES[name]
        shape = (message.height, message.width, *tail)
        if not (1 <= shape[0] <= limits.SIDE and 1 <= shape[1] <= limits.SIDE):
            raise ValueError(f"{topic}: {shape[1]}x{shape[0]} pixels")
        if len(message.data) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(f"{topic}: {len(message.data)} bytes for {shape[1]}x{shape[0]} pixels")
        frame.planes[name] = np.frombuffer(message.data, dtype).reshape(shape)
