"""Recordings as MCAP: written while driving, a chunk to disk at least twice a second; read whole or cut short.

Log times are simulated nanoseconds. A chunk is compressed with zstd and carries its CRC, so that a file whose writer
was killed can be read up to its last chunk.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from mcap.records import Channel, Header, McapRecord, Message, Metadata
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC as MAGIC
from mcap.writer import CompressionType, IndexType, Writer

from bridge.messages import PLANES, Frame

from . import foxglove
from .mp4 import RecordingError, reason

FLUSH = 0.5  # s of wall clock after which what came is on disk
CHUNK = 8 << 20  # bytes, before compression
JPEG = 95  # quality of the neural and rgb pictures
PICTURES = ("neural", "rgb")
_QUEUE = 8  # frames between driving and writing
_RAW = {"tag": "mono8", "instance": "mono16", "depth": "32FC1", "motion": "16FC2"}
_OPTICAL = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_NUMBER, _INTEGER, _FLAG, _TEXT = ({"type": kind} for kind in ("number", "integer", "boolean", "string"))
_NUMBERS = {"type": "array", "items": _NUMBER}
_THING = _object(instance=_INTEGER, tag=_INTEGER, pose=_NUMBERS, extent=_NUMBERS)
_LAMP = _object(kind=_TEXT, state=_TEXT, box=_NUMBERS, depth=_NUMBER)

#: JSON topics -> name and JSON Schema of their messages.
_JSON: dict[str, tuple[str, dict[str, Any]]] = {
    "/ego": (
        "neuralsim.Ego",
        _object(
            frame=_INTEGER, time=_NUMBER, speed=_NUMBER, gear=_INTEGER, road_id=_INTEGER, lane_id=_INTEGER,
            collisions=_INTEGER, autopilot=_FLAG, weather=_TEXT, scenario=_TEXT, seed=_INTEGER,
        ),
    ),
    "/control": (
        "neuralsim.Control",
        _object(frame=_INTEGER, throttle=_NUMBER, brake=_NUMBER, steer=_NUMBER, hand_brake=_FLAG, reverse=_FLAG),
    ),
    "/objects": (
        "neuralsim.Objects",
        _object(
            frame=_INTEGER,
            objects={"type": "array", "items": _THING},
            lamps={"type": "array", "items": _LAMP},
        ),
    ),
}  # fmt: skip

#: Protobuf topics -> schema.
_PROTO: dict[str, str] = {
    **{f"/camera/{name}": "foxglove.CompressedImage" for name in PICTURES},
    **{f"/camera/{name}": "foxglove.RawImage" for name in _RAW},
    "/camera/calibration": "foxglove.CameraCalibration",
    "/tf": "foxglove.FrameTransform",
    "/ego/pose": "foxglove.PoseInFrame",
}


class McapWriter:
    """Writes frames to ``path`` in a thread of its own; ``write`` waits while that is behind.

    ``planes``: of tag, instance, depth, motion, rgb, neural. ``about`` becomes the metadata record "recording".
    Raises :class:`RecordingError` where the file cannot be opened; later, ``error`` is one line.
    """

    def __init__(self, path: str | Path, planes: Sequence[str], about: Mapping[str, str]) -> None:
        self.path, self.planes = Path(path), tuple(planes)
        self.frames = 0  # written
        self.error: str | None = None
        self._queue: queue.Queue[tuple[Frame, np.ndarray | None] | None] = queue.Queue(_QUEUE)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("wb")
        except OSError as error:
            raise RecordingError(f"cannot record to {self.path}: {reason(error)}") from None
        self._writer = Writer(
            self._file, CHUNK, CompressionType.ZSTD, IndexType.ALL, enable_crcs=True, enable_data_crcs=False
        )
        self._about = dict(about)
        self._thread = threading.Thread(target=self._write_all, name="mcap", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, neural: np.ndarray | None) -> bool:
        """Queue a frame and its picture, u8 (H, W, 3) RGB; neither may change afterwards. False once writing failed."""
        while self.error is None:
            try:
                self._queue.put((frame, neural), timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def close(self) -> None:
        """Write what is queued, the index and the footer; ``error`` tells whether all of it could be written."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.2)
                break
            except queue.Full:
                continue
        self._thread.join()

    def _write_all(self) -> None:
        try:
            self._begin()
            due = time.monotonic() + FLUSH
            open_ = True
            while open_:
                try:
                    item = self._queue.get(timeout=max(due - time.monotonic(), 0.01))
                    open_ = item is not None
                    if item is not None:
                        self._add(*item)
                except queue.Empty:
                    pass  # nothing came: what is there goes to disk all the same
                if time.monotonic() >= due:
                    self._writer.flush()
                    due = time.monotonic() + FLUSH
            self._writer.finish()
            self._file.close()
        except Exception as error:  # whatever it is: a silent writer would make `write` wait for ever
            self.error = f"recording to {self.path} stopped: {reason(error)}"
            with contextlib.suppress(OSError, ValueError):  # already reported
                self._file.close()
            while not self._queue.empty():
                self._queue.get_nowait()

    def _begin(self) -> None:
        writer = self._writer
        writer.start(profile="", library="neuralsim")
        writer.add_metadata("recording", {**self._about, "planes": ",".join(self.planes)})
        self._channels: dict[str, int] = {}
        proto = foxglove.descriptors()
        known: dict[str, int] = {}
        for topic, name in _PROTO.items():
            if topic.startswith("/camera/") and topic[8:] not in (*self.planes, "calibration"):
                continue
            if name not in known:
                known[name] = writer.register_schema(name, "protobuf", proto)
            self._channels[topic] = writer.register_channel(topic, "protobuf", known[name])
        for topic, (name, schema) in _JSON.items():
            number = writer.register_schema(name, "jsonschema", json.dumps({"title": name, **schema}).encode())
            self._channels[topic] = writer.register_channel(topic, "json", number)

    def _add(self, frame: Frame, neural: np.ndarray | None) -> None:
        now = round(frame.sim_time * 1e9)
        stamp = {"seconds": now // 1_000_000_000, "nanos": now % 1_000_000_000}

        def put(topic: str, data: bytes) -> None:
            self._writer.add_message(self._channels[topic], now, data, now, frame.sequence)

        for name in self.planes:
            picture = neural if name == "neural" else frame.planes.get(name)
            if picture is not None:
                put(f"/camera/{name}", _image(name, picture, stamp))
        camera = frame.camera
        f, cx, cy = camera.focal, camera.width / 2, camera.height / 2
        put(
            "/camera/calibration",
            foxglove.CameraCalibration(
                timestamp=stamp, frame_id="camera", width=camera.width, height=camera.height,
                distortion_model="plumb_bob", D=[0.0] * 5, K=[f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
                R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                P=[f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
            ).SerializeToString(),
        )  # fmt: skip
        for child, pose in (
            ("ego", foxglove.right_handed(frame.ego.pose)),
            ("camera", foxglove.right_handed(camera.pose) @ _OPTICAL),
        ):
            at, turn = _place(pose)
            put(
                "/tf",
                foxglove.FrameTransform(
                    timestamp=stamp, parent_frame_id="world", child_frame_id=child, translation=at, rotation=turn
                ).SerializeToString(),
            )
        at, turn = _place(foxglove.right_handed(frame.ego.pose))
        put(
            "/ego/pose",
            foxglove.PoseInFrame(
                timestamp=stamp, frame_id="world", pose={"position": at, "orientation": turn}
            ).SerializeToString(),
        )
        for topic, content in _described(frame).items():
            put(topic, json.dumps(content, separators=(",", ":")).encode())
        self.frames += 1


def _image(name: str, picture: np.ndarray, stamp: dict[str, int]) -> bytes:
    if name in PICTURES:
        done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG])
        if not done:
            raise ValueError(f"the {name} picture cannot be compressed")
        message = foxglove.CompressedImage(timestamp=stamp, frame_id="camera", data=data.tobytes(), format="jpeg")
    else:
        height, width = picture.shape[:2]
        message = foxglove.RawImage(
            timestamp=stamp, frame_id="camera", width=width, height=height, encoding=_RAW[name],
            step=picture.strides[0], data=picture.tobytes(),
        )  # fmt: skip
    data_: bytes = message.SerializeToString()
    return data_


def _place(pose: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    x, y, z, w = foxglove.quaternion(pose[:3, :3])
    return (
        {"x": float(pose[0, 3]), "y": float(pose[1, 3]), "z": float(pose[2, 3])},
        {"x": x, "y": y, "z": z, "w": w},
    )


def _described(frame: Frame) -> dict[str, dict[str, Any]]:
    """The JSON messages of a frame. Poses are CARLA's: left-handed, row-major 4x4."""
    ego = frame.ego
    return {
        "/ego": {
            "frame": frame.sequence, "time": frame.sim_time, "speed": ego.speed, "gear": ego.gear,
            "road_id": ego.road_id, "lane_id": ego.lane_id, "collisions": ego.collisions, "autopilot": ego.autopilot,
            "weather": frame.weather_name, "scenario": frame.scenario, "seed": frame.seed,
        },
        "/control": {
            "frame": frame.sequence, "throttle": ego.throttle, "brake": ego.brake, "steer": ego.steer,
            "hand_brake": ego.hand_brake, "reverse": ego.gear < 0,
        },
        "/objects": {
            "frame": frame.sequence,
            "objects": [
                {"instance": o.instance, "tag": o.tag, "pose": o.pose.ravel().tolist(), "extent": list(o.extent)}
                for o in frame.objects
            ],
            "lamps": [
                {"kind": lamp.kind, "state": lamp.state, "box": list(lamp.box), "depth": lamp.depth}
                for lamp in frame.lamps
            ],
        },
    }  # fmt: skip


# Reading


@dataclass
class Recorded:
    """One frame of a recording. ``pictures``: neural and rgb as JPEG bytes; ``json``: "ego", "control", "objects"."""

    index: int  # the frame's sequence number
    time: float  # simulated s
    planes: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    intrinsics: list[float] = field(default_factory=list)  # K, 3x3 row-major
    poses: dict[str, np.ndarray] = field(default_factory=dict)  # of ego and camera (optical axes), right-handed


class McapRecording:
    """Reads a recording front to back, whole or cut short: it does without the index at the end.

    ``complete`` and ``problem`` (one line, "" when whole) are known after the frames were read. ``about`` is known
    after the first of them. Raises :class:`RecordingError` for what is no MCAP file of ours.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.about: dict[str, str] = {}
        self.complete = False
        self.problem = ""

    def frames(self) -> Iterator[Recorded]:
        """Every whole frame, in order. One whose messages are not all there (the file was cut) is left out."""
        held: Recorded | None = None
        for topic, message in self._messages():
            if held is None or message.sequence != held.index:
                if held is not None:
                    yield held
                held = Recorded(message.sequence, message.log_time / 1e9)
            _take(held, topic, message.data)
        # Chunks end anywhere, but "/objects" is the last message of a frame.
        if held is not None and "objects" in held.json:
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


def _take(frame: Recorded, topic: str, data: bytes) -> None:
    name = topic.rpartition("/")[2]
    if topic in _JSON:
        frame.json[name] = json.loads(data)
    elif topic == "/camera/calibration":
        frame.intrinsics = list(foxglove.CameraCalibration.FromString(data).K)
    elif topic == "/tf":
        message = foxglove.FrameTransform.FromString(data)
        frame.poses[message.child_frame_id] = foxglove.matrix(message.translation, message.rotation)
    elif topic.startswith("/camera/") and name in PICTURES:
        frame.pictures[name] = foxglove.CompressedImage.FromString(data).data
    elif topic.startswith("/camera/") and name in _RAW:
        message = foxglove.RawImage.FromString(data)
        dtype, tail = PLANES[name]
        frame.planes[name] = np.frombuffer(message.data, dtype).reshape(message.height, message.width, *tail)
