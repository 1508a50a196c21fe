"""Random access to the frames of a recording, for replays.

The file is scanned once from record to record without reading their content; the message index of every chunk is kept.
This needs no index at the end, so truncated recordings can be replayed, too.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import atan, degrees
from pathlib import Path
from typing import Any

import numpy as np
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, McapRecord, Message, Metadata

from bridge.messages import Camera, Ego, Frame, Lamp, MovingObject
from bridge.untrusted import limits
from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.reading.recorded_frame import (
    RecordedFrame,
    add_message,
    attach,
    checked_about,
    checked_topic,
    rate,
)
from neuralsim.recording.reading.untrusted_mcap import Lost, RecordLocation, Records, open_recording
from neuralsim.recording.topics import LAST, OPTICAL, camera_frame


class DamagedChunk(RecordingError):
    """A frame cannot be read because its part of the file is damaged; others can."""


@dataclass(frozen=True)
class _Chunk:
    """A chunk: its location in the file and the times it spans, ns."""

    location: RecordLocation
    begin: int
    end: int


class RecordingReader:
    """The frames of a recording, by number. ``files`` are its attachments. A context manager.

    Raises :class:`RecordingError` where the file is no such recording or has no complete frame.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.about: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self._chunks: list[_Chunk] = []
        self._indices: list[dict[int, list[int]]] = []  # per chunk: channel -> times of its messages
        self._topics: dict[int, str] = {}
        self._cache: OrderedDict[int, dict[int, list[Message]]] = OrderedDict()
        self._sizes: dict[int, int] = {}  # bytes of the cached messages
        self._file = open_recording(self.path)
        try:
            self._records = Records(self._file)
            self._scan()
            last = {channel for channel, topic in self._topics.items() if topic == LAST}
            self._times = sorted(t for index in self._indices for channel in last for t in index.get(channel, ()))
            if not self._times:
                raise RecordingError(f"{self.path} holds no complete frame")
        except OSError as error:
            self._file.close()
            raise RecordingError(f"cannot read {self.path}: {reason(error)}") from None
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._times)

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def views(self) -> list[str]:
        """Names of further cameras."""
        return [name for name in self.about.get("views", "").split(",") if name]

    @property
    def fps(self) -> float:
        """Recorded frames per second."""
        return rate(self.about)

    @cached_property
    def first(self) -> int:
        """Number of the first readable frame. Raises :class:`DamagedChunk` where there is none."""
        damage: DamagedChunk | None = None
        begin = -1
        for number in range(len(self)):
            if self._times[number] <= begin:  # in the same chunk as an unreadable one
                continue
            try:
                self.read(number)
                return number
            except DamagedChunk as error:
                damage = damage or error
                begin = max(chunk.end for chunk in self._chunks if chunk.begin <= self._times[number])
        assert damage is not None, "there is at least one frame"
        raise damage

    def time(self, number: int) -> float:
        """Return the seconds from the first frame to this one."""
        return (self._times[number] - self._times[0]) / 1e9

    def read(self, number: int) -> RecordedFrame:
        """Return frame ``number``, 0 to ``len() - 1``.

        Raises :class:`DamagedChunk` where its part of the file is damaged, other RecordingErrors where all of it is.
        """
        when = self._times[number]
        recorded = RecordedFrame(number, when / 1e9)
        for k, chunk in enumerate(self._chunks):
            if chunk.begin <= when <= chunk.end:
                for message in self._messages(k).get(when, ()):
                    try:
                        add_message(recorded, self._topics.get(message.channel_id, ""), message.data)
                    except ValueError as error:
                        raise RecordingError(f"{self.path}: frame {number}: {error}") from None
        return recorded

    def _scan(self) -> None:
        for location in self._records.locations():
            if isinstance(location, Lost):
                continue
            if location.opcode == Opcode.CHUNK:
                begin, end = self._records.times(location)
                self._chunks.append(_Chunk(location, begin, end))
                self._indices.append({})
                if len(self._chunks) == 1:
                    with suppress(RecordingError):  # it has the topics of channels, as the end of the file has
                        self._messages(0)
            elif location.opcode == Opcode.MESSAGE_INDEX and self._indices:
                channel, times = self._records.index(location)
                self._indices[-1][channel] = times
            elif location.opcode in (Opcode.METADATA, Opcode.ATTACHMENT):
                record = self._records.optional(location)
                if isinstance(record, Attachment):
                    attach(self.path, self.files, record)
                elif isinstance(record, Metadata) and record.name == "recording":
                    self.about.update(checked_about(self.path, record.metadata))
        for channel_ in self._records.summary(Opcode.CHANNEL):
            self._add_channel(channel_)

    def _add_channel(self, record: McapRecord) -> None:
        if isinstance(record, Channel):
            self._topics[record.id] = checked_topic(self.path, record.topic)

    def _messages(self, number: int) -> dict[int, list[Message]]:
        """Return the messages of a chunk by their time. Raises :class:`DamagedChunk`."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        records = self._records.read_chunk(self._chunks[number].location)
        if isinstance(records, Lost):
            raise DamagedChunk(f"{self.path}: {Records.describe([records])}")
        messages: dict[int, list[Message]] = {}
        for record in records:
            if isinstance(record, Message):
                messages.setdefault(record.log_time, []).append(record)
            else:
                self._add_channel(record)
        self._cache[number] = messages
        self._sizes[number] = sum(len(message.data) for at_time in messages.values() for message in at_time)
        while len(self._cache) > 1 and sum(self._sizes[k] for k in self._cache) > limits.CHUNKS_KEPT:
            self._cache.popitem(last=False)
        return messages


def frame_of(recorded: RecordedFrame, view: str = "", writable: bool = True) -> Frame:
    """Return the bridge's frame, as far as it was recorded.

    ``writable``: copy its planes, since runtimes need writable ones. Raises :class:`RecordingError` where calibration
    or poses were not recorded.
    """
    if view and view not in recorded.views:
        raise RecordingError(f"frame {recorded.index} holds nothing of the camera {view!r}")
    camera = recorded.views[view] if view else recorded
    camera.check_planes()
    width, height = camera.size
    pose = foxglove.right_handed(recorded.pose(camera_frame(view)) @ np.linalg.inv(OPTICAL))
    state, pedals = (recorded.json.get(name, {}) for name in ("ego", "control"))
    objects = camera.json.get("objects", {})
    ego = Ego(
        speed=state.get("speed", 0.0),
        steer=pedals.get("steer", 0.0),
        throttle=pedals.get("throttle", 0.0),
        brake=pedals.get("brake", 0.0),
        hand_brake=pedals.get("hand_brake", False),
        gear=state.get("gear", 0),
        road_id=state.get("road_id", -1),
        lane_id=state.get("lane_id", 0),
        collisions=state.get("collisions", 0),
        blueprint=state.get("blueprint", ""),
        color=state.get("color", ""),
        pose=foxglove.right_handed(recorded.pose("ego")),
    )
    planes = {name: plane.copy() if writable else plane for name, plane in camera.planes.items()}
    if "rgb" in camera.images:
        planes["rgb"] = image_of(camera, "rgb")
    return Frame(
        sequence=recorded.index,
        sim_frame=recorded.index,
        sim_time=recorded.time,
        camera=Camera(width, height, degrees(2.0 * atan(camera.intrinsics[2] / camera.intrinsics[0])), pose),
        planes=planes,
        ego=ego,
        weather=state.get("weather_parameters", {}),
        weather_name=state.get("weather", ""),
        objects=[_object(each) for each in objects.get("objects", ())],
        lamps=[_lamp(each) for each in objects.get("lamps", ())],
        scenario=state.get("scenario", ""),
        seed=state.get("seed", 0),
        view=view,
        mount=state.get("mount", ""),
    )


def image_of(recorded: RecordedFrame, name: str) -> np.ndarray:
    """Return the recorded ``neural`` or ``rgb`` image, u8 (H, W, 3) RGB. Raises :class:`RecordingError`."""
    return np.ascontiguousarray(recorded.image(name)[..., ::-1])


def _object(values: dict[str, Any]) -> MovingObject:
    x, y, z = values["extent"]
    look = values.get("blueprint", ""), values.get("color", ""), values.get("parked", False)
    return MovingObject(values["instance"], values["tag"], np.reshape(values["pose"], (4, 4)), (x, y, z), *look)


def _lamp(values: dict[str, Any]) -> Lamp:
    left, top, right, bottom = values["box"]
    return Lamp(values["kind"], values["state"], (left, top, right, bottom), values["depth"])
