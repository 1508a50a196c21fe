"""Recordings afterwards: other formats, a check of their health, a whole file out of one that was cut short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mcap.records import Attachment, Channel, Header, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.recorded_frame import Recorded
from neuralsim.recording.reading.sequential_reader import Begun, McapRecording
from neuralsim.recording.reading.untrusted_mcap import Lost
from neuralsim.recording.topics import camera_topic
from neuralsim.recording.writing.mcap_writer import CHUNK
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.views import tag_picture


@dataclass(frozen=True)
class Health:
    """``problem`` is one line, "" for a whole file; ``begin`` and ``end`` are simulated seconds."""

    frames: int
    begin: float
    end: float
    topics: tuple[str, ...]
    problem: str


def examine(path: Path) -> Health:
    """Read a recording to its end, or to where it can be read. Raises :class:`RecordingError` if it is none."""
    recording = McapRecording(path)
    count, begin, end = 0, 0.0, 0.0
    topics: tuple[str, ...] = ()
    for frame in recording.frames():
        begin = begin if count else frame.time
        count, end, topics = count + 1, frame.time, (*frame.planes, *frame.pictures)
    return Health(count, begin, end, topics, recording.problem)


def recover(source: Path, target: Path) -> int:
    """Copy all that can be read of a recording into a new, whole file; returns the number of messages.

    Raises :class:`RecordingError`; ``target`` must not exist yet.
    """
    count = 0
    try:
        with target.open("xb") as copy:
            try:
                count = _copy(McapRecording(source), Writer(copy, CHUNK, CompressionType.ZSTD))
            finally:
                if not count:
                    target.unlink()
    except FileExistsError:
        raise RecordingError(f"{target} is there already; choose another name") from None
    except OSError as error:
        raise RecordingError(f"cannot recover {source} to {target}: {reason(error)}") from None
    if not count:
        raise RecordingError(f"{source} holds no message that can be read")
    return count


def _copy(recording: McapRecording, writer: Writer) -> int:
    count = 0
    schemas: dict[int, int] = {0: 0}
    channels: dict[int, int] = {}
    topics: dict[int, str] = {}
    about: dict[str, str] = {}
    begun = Begun()
    started = False
    for record in recording.records():
        if not started:  # a header that is damaged is replaced
            writer.start(*((record.profile, record.library) if isinstance(record, Header) else ("", "")))
            started = True
        if isinstance(record, Schema) and record.id not in schemas:
            schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
        elif isinstance(record, Channel) and record.id not in channels and record.schema_id in schemas:
            channels[record.id] = writer.register_channel(
                record.topic, record.message_encoding, schemas[record.schema_id], record.metadata
            )
            topics[record.id] = record.topic
        elif isinstance(record, Attachment):
            writer.add_attachment(record.create_time, record.log_time, record.name, record.media_type, record.data)
        elif isinstance(record, Metadata):
            writer.add_metadata(record.name, record.metadata)
            about |= record.metadata if record.name == "recording" else {}
        elif isinstance(record, Lost):
            begun.gap(about)
        elif isinstance(record, Message) and record.channel_id in channels and begun(topics[record.channel_id], record):
            writer.add_message(
                channels[record.channel_id], record.log_time, record.data, record.publish_time, record.sequence
            )
            count += 1
    writer.finish()
    return count


def export_mp4(
    source: Path,
    target: Path,
    progress: Callable[[int], None] = lambda _: None,
    missing: Callable[[str], None] = lambda _: None,
) -> int:
    """The painted pictures of a recording (without them: its tags, in their colours) as H.264; returns their number.

    ``progress`` is called with the frames so far, ``missing`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    recording = McapRecording(source)
    writer: Mp4Writer | None = None
    count = 0
    try:
        for frame in recording.frames([camera_topic("", name) for name in ("calibration", "neural", "tag")]):
            picture = _picture(frame)
            if picture is None:
                raise RecordingError(f"{source} holds neither painted pictures nor tags to make a video of")
            if writer is None:
                size = picture.shape[1], picture.shape[0]
                writer = Mp4Writer(target, size, rate=recording.fps, block=True)
            elif (picture.shape[1], picture.shape[0]) != writer.size:
                raise RecordingError(f"{source}: frame {frame.index} is of another size than those before")
            if not writer.write(picture, frame.time):
                break
            count += 1
            progress(count)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise RecordingError(f"{source} holds no whole frame")
    if writer.error is not None:
        raise RecordingError(writer.error)
    if recording.problem:
        missing(recording.problem)
    return count


def _picture(frame: Recorded) -> np.ndarray | None:
    if "neural" in frame.pictures:
        return np.ascontiguousarray(frame.picture("neural")[..., ::-1])
    return tag_picture(frame.planes["tag"]) if "tag" in frame.planes else None
