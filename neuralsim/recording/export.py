"""Check, recover and export recordings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mcap.records import Attachment, Channel, Header, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from neuralsim.base.failure import reason
from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.recording.reading.sequential_reader import CompleteFrames, McapRecording
from neuralsim.recording.reading.untrusted_mcap import Lost
from neuralsim.recording.topics import camera_topic
from neuralsim.recording.writing.mcap_writer import CHUNK
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.views import tag_image


@dataclass(frozen=True)
class Health:
    """The state of a file; ``problem`` is one line, "" if complete; ``begin`` and ``end`` are simulated seconds."""

    frames: int
    begin: float
    end: float
    topics: tuple[str, ...]
    problem: str


def examine(path: Path) -> Health:
    """Read a recording to its end, or as far as possible. Raises :class:`RecordingError` for an invalid file."""
    recording = McapRecording(path)
    count, begin, end = 0, 0.0, 0.0
    topics: tuple[str, ...] = ()
    for frame in recording.frames():
        begin = begin if count else frame.time
        count, end, topics = count + 1, frame.time, (*frame.planes, *frame.images)
    return Health(count, begin, end, topics, recording.problem)


def recover(source: Path, target: Path) -> int:
    """Copy everything readable of a recording into a new, complete file; return the number of messages.

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
        raise RecordingError(f"{target} exists already; choose another name") from None
    except OSError as error:
        raise RecordingError(f"cannot recover {source} to {target}: {reason(error)}") from None
    if not count:
        raise RecordingError(f"{source} holds no readable message")
    return count


def _copy(recording: McapRecording, writer: Writer) -> int:
    count = 0
    schemas: dict[int, int] = {0: 0}
    channels: dict[int, int] = {}
    topics: dict[int, str] = {}
    about: dict[str, str] = {}
    complete_frames = CompleteFrames()
    started = False
    for record in recording.records():
        if not started:  # a damaged header is replaced
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
            complete_frames.gap(about)
        elif isinstance(record, Message) and record.channel_id in channels:
            if not complete_frames(topics[record.channel_id], record):
                continue
            writer.add_message(
                channels[record.channel_id], record.log_time, record.data, record.publish_time, record.sequence
            )
            count += 1
    writer.finish()
    return count


def export_mp4(source: Path, target: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write the rendered images of a recording (without them: its tags in colour) as H.264; return their number.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    recording = McapRecording(source)
    writer: Mp4Writer | None = None
    count = 0
    try:
        for frame in recording.frames([camera_topic("", name) for name in ("calibration", "neural", "tag")]):
            image = _image(frame)
            if image is None:
                raise RecordingError(f"{source} holds neither rendered images nor tags to make a video of")
            if writer is None:
                size = image.shape[1], image.shape[0]
                writer = Mp4Writer(target, size, rate=recording.fps, block=True)
            elif (image.shape[1], image.shape[0]) != writer.size:
                raise RecordingError(f"{source}: frame {frame.index} has another size than those before")
            if not writer.write(image, frame.time):
                break
            count += 1
            progress(count)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise RecordingError(f"{source} holds no complete frame")
    if writer.error is not None:
        raise RecordingError(writer.error)
    if recording.problem:
        report_problem(recording.problem)
    return count


def _image(frame: RecordedFrame) -> np.ndarray | None:
    if "neural" in frame.images:
        return np.ascontiguousarray(frame.image("neural")[..., ::-1])
    return tag_image(frame.planes["tag"]) if "tag" in frame.planes else None
