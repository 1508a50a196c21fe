"""Recordings as MCAP: written while driving, a chunk to disk at least twice a second; read whole or cut short.

Log times are simulated nanoseconds. A chunk is compressed with zstd and carries its CRC, so that a file whose writer
was killed can be read up to its last chunk, and one with a damaged chunk past it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from mcap.records import Attachment, Channel, Header, McapRecord, Message, Metadata
from mcap.writer import CompressionType, IndexType, Writer

from bridge.messages import PLANES, Frame
from bridge.untrusted import limits, names
from neuralsim.base.failure import reason
from neuralsim.recording.writer import QueuedWriter, RecordingError

from . import foxglove, json_messages
from .mcap_records import Lost, Records, open_recording
from .pictures import decode
from .topics import JSON, LAST, ONCE, PICTURES, RAW, camera_topic, messages, protobuf_topics

FLUSH = 0.5  # s of wall clock after which what came is on disk
CHUNK = 8 << 20  # bytes, before compression
_QUEUE = 8  # frames between driving and writing
_PICTURE = tuple[Frame, "np.ndarray | None"]


class McapWriter(QueuedWriter[_PICTURE]):
    """Writes frames to ``path`` in a thread of its own; ``write`` waits while that is behind.

    ``planes``: of tag, instance, depth, motion, rgb, neural. ``about`` becomes the metadata record "recording",
    ``files`` (name -> content) attachments, ``views`` are the names of further cameras: of each tick, what they see
    comes before the frame of the first one. ``block``: wait where the writing is behind, or leave the frame out and
    count it in ``dropped``. Raises :class:`RecordingError` where the file cannot be opened; later,
    ``error`` is one line.
    """

    def __init__(
        self,
        path: str | Path,
        planes: Sequence[str],
        about: Mapping[str, str],
        files: Mapping[str, bytes] | None = None,
        views: Sequence[str] = (),
        block: bool = True,
    ) -> None:
        super().__init__(Path(path), _QUEUE, FLUSH)
        self.planes, self.views = tuple(planes), tuple(views)
        self.block = block
        self.dropped = 0  # left out because the writing was behind
        self.frames = 0  # written
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("wb")
        except OSError as error:
            raise RecordingError(f"cannot record to {self.path}: {reason(error)}") from None
        self._writer = Writer(
            self._file, CHUNK, CompressionType.ZSTD, IndexType.ALL, enable_crcs=True, enable_data_crcs=False
        )
        self._about, self._files = dict(about), dict(files or {})
        self._due = 0.0
        self._start()

    def write(self, frame: Frame, neural: np.ndarray | None) -> bool:
        """Queue a frame and its picture, u8 (H, W, 3) RGB; neither may change afterwards. True if it was taken."""
        taken = self._put((frame, neural), self.block)
        self.dropped += not taken and self.error is None
        return taken

    def _begin(self) -> None:
        writer = self._writer
        writer.start(profile="", library="neuralsim")
        for name, content in self._files.items():
            writer.add_attachment(0, 0, name, "application/octet-stream", content)
        about = {"planes": ",".join(self.planes), "views": ",".join(self.views)}
        writer.add_metadata("recording", {**self._about, **about})
        self._channels: dict[str, int] = {}
        known: dict[str, int] = {}
        topics = [protobuf_topics(self.planes, view) for view in ("", *self.views)]
        for topic, name in {**ONCE, **{topic: name for one in topics for topic, name in one.items()}}.items():
            if name not in known:
                known[name] = writer.register_schema(name, "protobuf", foxglove.descriptors(name))
            self._channels[topic] = writer.register_channel(topic, "protobuf", known[name])
        for topic, (name, schema) in JSON.items():
            number = writer.register_schema(name, "jsonschema", json.dumps({"title": name, **schema}).encode())
            self._channels[topic] = writer.register_channel(topic, "json", number)
        self._due = time.monotonic() + FLUSH

    def _add(self, item: _PICTURE) -> None:
        frame, neural = item
        now = round(frame.sim_time * 1e9)
        for topic, data in messages(frame, neural, self.planes):
            self._writer.add_message(self._channels[topic], now, data, now, self.frames)
        self.frames += not frame.view
        if time.monotonic() >= self._due:
            self._rest()

    def _rest(self) -> None:
        self._writer.flush()
        self._due = time.monotonic() + FLUSH

    def _finish(self) -> None:
        self._writer.finish()
        self._file.close()

    def _abandon(self) -> None:
        with suppress(OSError, ValueError):
            self._file.close()


# Reading


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


class Begun:
    """Tells messages of frames whose beginning is there from those whose beginning is lost in a gap."""

    def __init__(self) -> None:
        self._opening = ""  # topic that frames begin with
        self._severed: tuple[int, int] | None = None  # sequence and time of a frame without its beginning
        self._after_gap = False

    def gap(self, about: Mapping[str, str]) -> None:
        """Something is missing here; ``about``: the recording's metadata, which say what frames begin with."""
        self._after_gap = True
        plane, view = (about.get(key, "").partition(",")[0] for key in ("planes", "views"))
        if plane and not self._opening:
            self._opening = camera_topic(view, plane)

    def __call__(self, topic: str, message: Message) -> bool:
        """Whether the beginning of this message's frame is there."""
        frame = message.sequence, message.log_time
        if self._after_gap:
            self._after_gap = False
            self._severed = None if topic == self._opening else frame
        if frame == self._severed:
            return False
        self._opening = self._opening or topic
        return True


class McapRecording:
    """Reads a recording front to back, whole, cut short or damaged: it does without the index at the end.

    ``complete`` and ``problem`` (one line, "" when whole) are known after the frames were read, ``about`` and
    ``files`` (attachments) after the first of them. Raises :class:`RecordingError` for what is no MCAP file of ours.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.about: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.complete = False
        self.problem = ""

    @property
    def scenario(self) -> str:
        """What the recording is called: the scenario's name, or the file's."""
        return self.about.get("scenario", self.path.stem)

    @property
    def fps(self) -> float:
        """Frames per second as it was recorded."""
        return rate(self.about)

    def frames(self, topics: Container[str] | None = None) -> Iterator[Recorded]:
        """Every whole frame, in order, with what is on ``topics`` (None: on all). One whose messages are not all there
        (the file was cut, a chunk is damaged) is left out."""
        held: Recorded | None = None
        whole = False
        begun = Begun()
        for topic, message in self._messages():
            if message is None:
                if held is not None and whole:
                    yield held
                held = None
                begun.gap(self.about)
                continue
            if not begun(topic, message):
                continue
            if held is None or message.sequence != held.index:
                if held is not None and whole:
                    yield held
                held, whole = Recorded(message.sequence, message.log_time / 1e9), False
            whole = whole or topic == LAST
            if topics is None or topic in topics:
                try:
                    take(held, topic, message.data)
                except ValueError as error:
                    raise RecordingError(f"{self.path}: frame {held.index}: {error}") from None
        if held is not None and whole:  # chunks end anywhere
            yield held

    def records(self) -> Iterator[McapRecord | Lost]:
        """Every record up to the end, or to where it can be read."""
        with open_recording(self.path) as file:
            records, read = Records(file), 0
            try:
                for record in records:
                    read += not isinstance(record, Header | Lost)
                    yield record
            except OSError as error:
                raise RecordingError(f"cannot read {self.path}: {reason(error)}") from None
            if not read:
                raise RecordingError(f"{self.path} is no recording: nothing in it can be read")
            self.problem = records.problem
            self.complete = not self.problem

    def _messages(self) -> Iterator[tuple[str, Message | None]]:
        """Topic and message; None for a gap."""
        topics: dict[int, str] = {}
        for record in self.records():
            if isinstance(record, Message):
                yield topics.get(record.channel_id, ""), record
            elif isinstance(record, Lost):
                yield "", None
            elif isinstance(record, Channel):
                topics[record.id] = checked_topic(self.path, record.topic)
            elif isinstance(record, Metadata) and record.name == "recording":
                self.about = checked_about(self.path, record.metadata)
            elif isinstance(record, Attachment):
                attach(self.path, self.files, record)


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
