"""Any frame of a recording at once, as the frame that it was: for replays.

The file is walked once from record to record without reading what they hold; of every chunk its message index is kept.
That needs no index at the end, so recordings that were cut short can be replayed as well.
"""

from __future__ import annotations

import io
import struct
from collections import OrderedDict
from dataclasses import dataclass
from math import atan, degrees
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, Message, MessageIndex, Metadata
from mcap.stream_reader import breakup_chunk
from mcap.writer import MCAP0_MAGIC as MAGIC

from bridge.messages import Camera, Ego, Frame, Lamp, MovingObject
from neuralsim.base.failure import reason
from neuralsim.recording.writer import RecordingError

from . import foxglove
from .mcap_file import Recorded, take
from .topics import LAST, OPTICAL, camera_frame

_HEAD = struct.Struct("<BQ")  # opcode, length
_TIMES = struct.Struct("<QQ")  # of the first and the last message of a chunk, ns
_KEPT = 4  # chunks that stay in memory, each of some 8 MB


@dataclass(frozen=True)
class _Stretch:
    """A chunk in the file: where it is and which times it spans, ns."""

    offset: int
    length: int
    begin: int
    end: int


class RecordingReader:
    """The frames of a recording, by number. ``files`` are its attachments. A context manager.

    Raises :class:`RecordingError` where the file is no recording of ours or holds no whole frame.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.about: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self._stretches: list[_Stretch] = []
        self._indices: list[dict[int, list[int]]] = []  # of each chunk: channel -> times of its messages
        self._topics: dict[int, str] = {}
        self._kept: OrderedDict[int, dict[int, list[Message]]] = OrderedDict()
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {reason(error)}") from None
        try:
            self._walk()
            last = {channel for channel, topic in self._topics.items() if topic == LAST}
            times = [t for index in self._indices for channel in last for t in index.get(channel, ())]
        except Exception as error:  # noise raises whatever it likes
            self._file.close()
            raise RecordingError(f"{self.path} is no recording: {reason(error) or 'it is damaged'}") from None
        self._times = sorted(times)
        if not self._times:
            self._file.close()
            raise RecordingError(f"{self.path} holds no whole frame")

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
        """Frames per second as it was recorded."""
        return float(self.about.get("fps", "20"))

    def time(self, number: int) -> float:
        """Seconds from the first frame to this one."""
        return (self._times[number] - self._times[0]) / 1e9

    def read(self, number: int) -> Recorded:
        """What was recorded of frame ``number``, 0 to ``len() - 1``. Raises RecordingError if damaged."""
        when = self._times[number]
        recorded = Recorded(number, when / 1e9)
        for k, stretch in enumerate(self._stretches):
            if stretch.begin <= when <= stretch.end:
                for message in self._messages(k).get(when, ()):
                    take(recorded, self._topics.get(message.channel_id, ""), message.data)
        return recorded

    def _walk(self) -> None:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise ValueError("it does not begin as an MCAP file")
        size = self._file.seek(0, 2)
        at = len(MAGIC)
        while at + _HEAD.size <= size:
            self._file.seek(at)
            opcode, length = _HEAD.unpack(self._file.read(_HEAD.size))
            at += _HEAD.size
            if at + length > size or opcode == Opcode.DATA_END:
                break  # cut short, or all that follows is a summary
            if opcode == Opcode.CHUNK:
                begin, end = _TIMES.unpack(self._file.read(_TIMES.size))
                self._stretches.append(_Stretch(at, length, begin, end))
                self._indices.append({})
                if len(self._stretches) == 1:
                    self._messages(0)  # tells which channel is which topic
            elif opcode == Opcode.MESSAGE_INDEX and self._indices:
                index = MessageIndex.read(self._stream(length))
                self._indices[-1][index.channel_id] = [time for time, _ in index.records]
            elif opcode == Opcode.METADATA:
                metadata = Metadata.read(self._stream(length))
                self.about.update(metadata.metadata if metadata.name == "recording" else {})
            elif opcode == Opcode.ATTACHMENT:
                attachment = Attachment.read(self._stream(length))
                self.files[attachment.name] = attachment.data
            at += length

    def _stream(self, length: int) -> ReadDataStream:
        return ReadDataStream(io.BytesIO(self._file.read(length)))

    def _messages(self, number: int) -> dict[int, list[Message]]:
        """The messages of a chunk by their time."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        stretch = self._stretches[number]
        self._file.seek(stretch.offset)
        found: dict[int, list[Message]] = {}
        try:
            records = breakup_chunk(Chunk.read(self._stream(stretch.length)), validate_crc=True)
        except Exception as error:  # its decompressors have errors of their own
            raise RecordingError(f"{self.path}: a chunk is damaged: {reason(error)}") from None
        for record in records:
            if isinstance(record, Channel):
                self._topics[record.id] = record.topic
            elif isinstance(record, Message):
                found.setdefault(record.log_time, []).append(record)
        self._kept[number] = found
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


def frame_of(recorded: Recorded, view: str = "") -> Frame:
    """The bridge's frame, as far as it was recorded."""
    seen = recorded.views[view] if view else recorded
    focal, cx, cy = seen.intrinsics[0], seen.intrinsics[2], seen.intrinsics[5]
    pose = foxglove.right_handed(recorded.poses[camera_frame(view)] @ np.linalg.inv(OPTICAL))
    state, pedals, things = (recorded.json.get(name, {}) for name in ("ego", "control", "objects"))
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
        pose=foxglove.right_handed(recorded.poses["ego"]),
    )
    planes = {name: plane.copy() for name, plane in seen.planes.items()}  # runtimes want memory that can be written
    if "rgb" in seen.pictures:
        planes["rgb"] = picture_of(seen, "rgb")
    return Frame(
        sequence=recorded.index,
        sim_frame=recorded.index,
        sim_time=recorded.time,
        camera=Camera(round(2 * cx), round(2 * cy), degrees(2.0 * atan(cx / focal)), pose),
        planes=planes,
        ego=ego,
        weather=state.get("weather_parameters", {}),
        weather_name=state.get("weather", ""),
        objects=[_object(one) for one in things.get("objects", ())] if not view else [],
        lamps=[_lamp(one) for one in things.get("lamps", ())] if not view else [],
        scenario=state.get("scenario", ""),
        seed=state.get("seed", 0),
        view=view,
    )


def picture_of(recorded: Recorded, name: str) -> np.ndarray:
    """The recorded ``neural`` or ``rgb`` picture, u8 (H, W, 3) RGB. Raises :class:`RecordingError`."""
    picture = cv2.imdecode(np.frombuffer(recorded.pictures[name], np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise RecordingError(f"frame {recorded.index}: the {name} picture is damaged")
    return np.ascontiguousarray(picture[..., ::-1])


def _object(values: dict[str, Any]) -> MovingObject:
    x, y, z = values["extent"]
    return MovingObject(values["instance"], values["tag"], np.reshape(values["pose"], (4, 4)), (x, y, z))


def _lamp(values: dict[str, Any]) -> Lamp:
    left, top, right, bottom = values["box"]
    return Lamp(values["kind"], values["state"], (left, top, right, bottom), values["depth"])
