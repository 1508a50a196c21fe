"""Any frame of a recording at once, as the frame that it was: for replays.

The file is walked once from record to record without reading what they hold; of every chunk its message index is kept.
That needs no index at the end, so recordings that were cut short can be replayed as well.
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
from neuralsim.recording.reading.recorded_frame import Recorded, attach, checked_about, checked_topic, rate, take
from neuralsim.recording.reading.untrusted_mcap import Lost, RecordPlace, Records, open_recording
from neuralsim.recording.topics import LAST, OPTICAL, camera_frame


class DamagedChunk(RecordingError):
    """A frame cannot be read because its part of the file is damaged; others can be."""


@dataclass(frozen=True)
class _Stretch:
    """A chunk in the file: where it is and which times it spans, ns."""

    place: RecordPlace
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
        self._sizes: dict[int, int] = {}  # bytes of their messages
        self._file = open_recording(self.path)
        try:
            self._records = Records(self._file)
            self._walk()
            last = {channel for channel, topic in self._topics.items() if topic == LAST}
            self._times = sorted(t for index in self._indices for channel in last for t in index.get(channel, ()))
            if not self._times:
                raise RecordingError(f"{self.path} holds no whole frame")
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
        """Frames per second as it was recorded."""
        return rate(self.about)

    @cached_property
    def first(self) -> int:
        """The first frame that can be read. Raises :class:`DamagedChunk` where none can."""
        damage: DamagedChunk | None = None
        begin = -1
        for number in range(len(self)):
            if self._times[number] <= begin:  # in the same chunk as one that cannot
                continue
            try:
                self.read(number)
                return number
            except DamagedChunk as error:
                damage = damage or error
                begin = max(stretch.end for stretch in self._stretches if stretch.begin <= self._times[number])
        assert damage is not None, "there is a frame"
        raise damage

    def time(self, number: int) -> float:
        """Seconds from the first frame to this one."""
        return (self._times[number] - self._times[0]) / 1e9

    def read(self, number: int) -> Recorded:
        """What was recorded of frame ``number``, 0 to ``len() - 1``. Raises :class:`DamagedChunk` where its part of
        the file is damaged, other RecordingErrors where all of it is."""
        when = self._times[number]
        recorded = Recorded(number, when / 1e9)
        for k, stretch in enumerate(self._stretches):
            if stretch.begin <= when <= stretch.end:
                for message in self._messages(k).get(when, ()):
                    try:
                        take(recorded, self._topics.get(message.channel_id, ""), message.data)
                    except ValueError as error:
                        raise RecordingError(f"{self.path}: frame {number}: {error}") from None
        return recorded

    def _walk(self) -> None:
        for place in self._records.places():
            if isinstance(place, Lost):
                continue
            if place.opcode == Opcode.CHUNK:
                begin, end = self._records.times(place)
                self._stretches.append(_Stretch(place, begin, end))
                self._indices.append({})
                if len(self._stretches) == 1:
                    with suppress(RecordingError):  # tells which channel is which topic; so does the end of the file
                        self._messages(0)
            elif place.opcode == Opcode.MESSAGE_INDEX and self._indices:
                channel, times = self._records.index(place)
                self._indices[-1][channel] = times
            elif place.opcode in (Opcode.METADATA, Opcode.ATTACHMENT):
                record = self._records.optional(place)
                if isinstance(record, Attachment):
                    attach(self.path, self.files, record)
                elif isinstance(record, Metadata) and record.name == "recording":
                    self.about.update(checked_about(self.path, record.metadata))
        for channel_ in self._records.summary(Opcode.CHANNEL):
            self._learn(channel_)

    def _learn(self, record: McapRecord) -> None:
        if isinstance(record, Channel):
            self._topics[record.id] = checked_topic(self.path, record.topic)

    def _messages(self, number: int) -> dict[int, list[Message]]:
        """The messages of a chunk by their time. Raises :class:`DamagedChunk`."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        records = self._records.read_chunk(self._stretches[number].place)
        if isinstance(records, Lost):
            raise DamagedChunk(f"{self.path}: {Records.words([records])}")
        found: dict[int, list[Message]] = {}
        for record in records:
            if isinstance(record, Message):
                found.setdefault(record.log_time, []).append(record)
            else:
                self._learn(record)
        self._kept[number] = found
        self._sizes[number] = sum(len(message.data) for those in found.values() for message in those)
        while len(self._kept) > 1 and sum(self._sizes[k] for k in self._kept) > limits.CHUNKS_KEPT:
            self._kept.popitem(last=False)
        return found


def frame_of(recorded: Recorded, view: str = "", writable: bool = True) -> Frame:
    """The bridge's frame, as far as it was recorded; ``writable``: its planes, as runtimes want them, which costs a
    copy. Raises :class:`RecordingError` where what it needs was not."""
    if view and view not in recorded.views:
        raise RecordingError(f"frame {recorded.index} holds nothing of the camera {view!r}")
    seen = recorded.views[view] if view else recorded
    seen.check_planes()
    width, height = seen.size
    pose = foxglove.right_handed(recorded.pose(camera_frame(view)) @ np.linalg.inv(OPTICAL))
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
        pose=foxglove.right_handed(recorded.pose("ego")),
    )
    planes = {name: plane.copy() if writable else plane for name, plane in seen.planes.items()}
    if "rgb" in seen.pictures:
        planes["rgb"] = picture_of(seen, "rgb")
    return Frame(
        sequence=recorded.index,
        sim_frame=recorded.index,
        sim_time=recorded.time,
        camera=Camera(width, height, degrees(2.0 * atan(seen.intrinsics[2] / seen.intrinsics[0])), pose),
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
    return np.ascontiguousarray(recorded.picture(name)[..., ::-1])


def _object(values: dict[str, Any]) -> MovingObject:
    x, y, z = values["extent"]
    known = values.get("blueprint", ""), values.get("color", "")
    return MovingObject(values["instance"], values["tag"], np.reshape(values["pose"], (4, 4)), (x, y, z), *known)


def _lamp(values: dict[str, Any]) -> Lamp:
    left, top, right, bottom = values["box"]
    return Lamp(values["kind"], values["state"], (left, top, right, bottom), values["depth"])
