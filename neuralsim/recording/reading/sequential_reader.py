"""Read a recording front to back: complete, truncated or damaged."""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from mcap.records import Attachment, Channel, Header, McapRecord, Message, Metadata

from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.recorded_frame import (
    RecordedFrame,
    add_message,
    attach,
    checked_about,
    checked_topic,
    rate,
)
from neuralsim.recording.reading.untrusted_mcap import Lost, Records, open_recording
from neuralsim.recording.topics import LAST, camera_topic


class CompleteFrames:
    """Tells messages of frames whose beginning was read from those whose beginning is lost in a gap."""

    def __init__(self) -> None:
        self._opening = ""  # topic that frames begin with
        self._severed: tuple[int, int] | None = None  # sequence and time of a frame without its beginning
        self._after_gap = False

    def gap(self, about: Mapping[str, str]) -> None:
        """Note a gap here; ``about``: the recording's metadata, which tell the topic that frames begin with."""
        self._after_gap = True
        plane, view = (about.get(key, "").partition(",")[0] for key in ("planes", "views"))
        if plane and not self._opening:
            self._opening = camera_topic(view, plane)

    def __call__(self, topic: str, message: Message) -> bool:
        """Return whether the beginning of this message's frame was read."""
        frame = message.sequence, message.log_time
        if self._after_gap:
            self._after_gap = False
            self._severed = None if topic == self._opening else frame
        if frame == self._severed:
            return False
        self._opening = self._opening or topic
        return True


class McapRecording:
    """Reads a recording front to back, complete, truncated or damaged, without the index at the end.

    ``complete`` and ``problem`` (one line, "" if complete) are known after the frames were read, ``about`` and
    ``files`` (attachments) after the first of them. Raises :class:`RecordingError` for other files.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.about: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.complete = False
        self.problem = ""

    @property
    def scenario(self) -> str:
        """Name of the recording: the scenario's, or the file's."""
        return self.about.get("scenario", self.path.stem)

    @property
    def fps(self) -> float:
        """Frames per second as it was recorded."""
        return rate(self.about)

    def frames(self, topics: Container[str] | None = None) -> Iterator[RecordedFrame]:
        """Yield every complete frame in order, with the messages on ``topics`` (None: on all).

        A frame with missing messages (the file is truncated, a chunk is damaged) is left out.
        """
        pending: RecordedFrame | None = None
        is_complete = False
        has_beginning = CompleteFrames()
        for topic, message in self._messages():
            if message is None:
                if pending is not None and is_complete:
                    yield pending
                pending = None
                has_beginning.gap(self.about)
                continue
            if not has_beginning(topic, message):
                continue
            if pending is None or message.sequence != pending.index:
                if pending is not None and is_complete:
                    yield pending
                pending, is_complete = RecordedFrame(message.sequence, message.log_time / 1e9), False
            is_complete = is_complete or topic == LAST
            if topics is None or topic in topics:
                try:
                    add_message(pending, topic, message.data)
                except ValueError as error:
                    raise RecordingError(f"{self.path}: frame {pending.index}: {error}") from None
        if pending is not None and is_complete:  # chunks end anywhere
            yield pending

    def records(self) -> Iterator[McapRecord | Lost]:
        """Yield every record up to the end, or as far as the file can be read."""
        with open_recording(self.path) as file:
            records, read = Records(file), 0
            try:
                for record in records:
                    read += not isinstance(record, Header | Lost)
                    yield record
            except OSError as error:
                raise RecordingError(f"cannot read {self.path}: {reason(error)}") from None
            if not read:
                raise RecordingError(f"{self.path} is no recording: nothing in it is readable")
            self.problem = records.problem
            self.complete = not self.problem

    def _messages(self) -> Iterator[tuple[str, Message | None]]:
        """Yield topic and message; ("", None) for a gap."""
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
