"""Recordings as MCAP: written while driving, a chunk to disk at least twice a second; read whole or cut short.

Log times are simulated nanoseconds. A chunk is compressed with zstd and carries its CRC, so that a file whose writer
was killed can be read up to its last chunk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from mcap.records import Attachment, Channel, Header, McapRecord, Message, Metadata
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC as MAGIC
from mcap.writer import CompressionType, IndexType, Writer

from bridge.messages import PLANES, Frame
from neuralsim.base.failure import reason
from neuralsim.recording.writer import QueuedWriter, RecordingError

from . import foxglove
from .topics import JSON, LAST, ONCE, PICTURES, RAW, messages, protobuf_topics

FLUSH = 0.5  # s of wall clock after which what came is on disk
CHUNK = 8 << 20  # bytes, before compression
_QUEUE = 8  # frames between driving and writing
_PICTURE = tuple[Frame, "np.ndarray | None"]


class McapWriter(QueuedWriter[_PICTURE]):
    """Writes frames to ``path`` in a thread of its own; ``write`` waits while that is behind.

    ``planes``: of tag, instance, depth, motion, rgb, neural. ``about`` becomes the metadata record "recording",
    ``files`` (name -> content) attachments, ``views`` are the names of further cameras: of each tick, what they see
    comes before the frame of the first one. Raises :class:`RecordingError` where the file cannot be opened; later,
    ``error`` is one line.
    """

    def __init__(
        self,
        path: str | Path,
        planes: Sequence[str],
        about: Mapping[str, str],
        files: Mapping[str, bytes] | None = None,
        views: Sequence[str] = (),
    ) -> None:
        super().__init__(Path(path), _QUEUE, FLUSH)
        self.planes, self.views = tuple(planes), tuple(views)
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
        """Queue a frame and its picture, u8 (H, W, 3) RGB; neither may change afterwards. False once writing failed."""
        return self._put((frame, neural), wait=True)

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


class McapRecording:
    """Reads a recording front to back, whole or cut short: it does without the index at the end.

    ``complete`` and ``problem`` (one line, "" when whole) are known after the frames were read, ``about`` and
    ``files`` (attachments) after the first of them. Raises :class:`RecordingError` for what is no MCAP file of ours.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.about: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.complete = False
        self.problem = ""

    def frames(self, topics: Container[str] | None = None) -> Iterator[Recorded]:
        """Every whole frame, in order, with what is on ``topics`` (None: on all). One whose messages are not all there
        (the file was cut) is left out."""
        held: Recorded | None = None
        whole = False
        for topic, message in self._messages():
            if held is None or message.sequence != held.index:
                if held is not None:
                    yield held
                held, whole = Recorded(message.sequence, message.log_time / 1e9), False
            whole = whole or topic == LAST
            if topics is None or topic in topics:
                take(held, topic, message.data)
        if held is not None and whole:  # chunks end anywhere
            yield held

    def records(self) -> Iterator[McapRecord]:
        """Every record up to the end, or to where it can be read."""
        try:
            with self.path.open("rb") as file:
                read = 0
                try:
                    for record in StreamReader(file, validate_crcs=True, record_size_limit=1 << 30).records:
                        read += not isinstance(record, Header)
                        yield record
                    self.complete = True
                except OSError:
                    raise
                except Exception:  # noise: the reader, its decompressors and struct each have errors of their own
                    if not read:
                        raise RecordingError(f"{self.path} is no recording: nothing in it can be read") from None
                    file.seek(max(file.seek(0, 2) - len(MAGIC), 0))
                    whole = file.read() == MAGIC
                    self.problem = "a chunk is damaged" if whole else "the file was cut short"
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {reason(error)}") from None

    def _messages(self) -> Iterator[tuple[str, Message]]:
        topics: dict[int, str] = {}
        for record in self.records():
            if isinstance(record, Message):
                yield topics.get(record.channel_id, ""), record
            elif isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Metadata) and record.name == "recording":
                self.about = dict(record.metadata)
            elif isinstance(record, Attachment):
                self.files[record.name] = record.data


def take(frame: Recorded, topic: str, data: bytes) -> None:
    """Put a message where it belongs in its frame. Topics that are not ours are passed over."""
    _, _, rest = topic.partition("/camera/")
    view, _, name = rest.rpartition("/")
    if topic in JSON:
        frame.json[topic[1:]] = json.loads(data)
    elif topic == "/tf":
        message = foxglove.FrameTransform.FromString(data)
        frame.poses[message.child_frame_id] = foxglove.matrix(message.translation, message.rotation)
    elif name in (*PICTURES, *RAW, "calibration"):
        seen = frame.views.setdefault(view, Recorded(frame.index, frame.time)) if view else frame
        _take_seen(seen, name, data)


def _take_seen(frame: Recorded, name: str, data: bytes) -> None:
    if name == "calibration":
        frame.intrinsics = list(foxglove.CameraCalibration.FromString(data).K)
    elif name in PICTURES:
        frame.pictures[name] = foxglove.CompressedImage.FromString(data).data
    else:
        message = foxglove.RawImage.FromString(data)
        dtype, tail = PLANES[name]
        frame.planes[name] = np.frombuffer(message.data, dtype).reshape(message.height, message.width, *tail)
