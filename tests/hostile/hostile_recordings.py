"""Hostile recordings: truncated, with wrong sizes, with too many entries, and decompression bombs."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from mcap.writer import CompressionType, Writer

from bridge.messages import Camera, Frame, MovingObject
from bridge.tags import Tag
from neuralsim.recording import foxglove
from neuralsim.recording.topics import JSON, messages

from .attack import LONG, SCENARIO, Attack, binary_file, png

Message = tuple[str, bytes]
_READ = (
    "doctor {file}",
    "doctor {file} --recover {out}/whole.mcap",
    "recording export {file} --format mp4,frames --out {out}",
    "recording evaluate {file} --json {out}/report.json",
    "replay {file} --headless --record {out}/again.mp4",
    "replay {file} --headless --model tags --record {out}/tags.mp4",
    "model quantise --recording {file} --out {out}/ranges.json",
)


#: Also drives on in the scenario of the recording, if that is hostile as well.
_READ_AND_DRIVE = (*_READ, "drive --replay {file} --from-frame 0 --headless --frames 1 --model tags")


def frames(count: int = 3, size: tuple[int, int] = (64, 32)) -> Iterator[tuple[Frame, np.ndarray]]:
    """Yield simple frames, and their generated images."""
    width, height = size
    for k in range(count):
        planes = {
            "tag": np.full((height, width), int(Tag.ROAD), np.uint8),
            "instance": np.zeros((height, width), np.uint16),
            "depth": np.full((height, width), 10.0, np.float32),
            "motion": np.zeros((height, width, 2), np.float16),
        }
        frame = Frame(k, k, k / 20, Camera(width, height, 70.0, np.eye(4)), planes)
        frame.objects = [MovingObject(5, int(Tag.CAR), np.eye(4), (2.0, 1.0, 0.8))]
        frame.play = json.dumps(
            {"time": k / 20, "actors": {"ego": [0.0] * 10}, "collisions": [], "lane_invasions": [], "route": None}
        )
        yield frame, np.full((height, width, 3), 90, np.uint8)


def recording(
    path: Path,
    change: Callable[[str, bytes], Iterable[Message]] = lambda topic, data: [(topic, data)],
    about: dict[str, str] | None = None,
    attached: dict[str, bytes] | None = None,
    count: int = 3,
    compression: CompressionType = CompressionType.ZSTD,
    pictures: Iterable[tuple[Frame, np.ndarray]] | None = None,
) -> None:
    """Write a valid recording, except for what ``change`` returns for each topic and message."""
    with path.open("wb") as file:
        writer = Writer(file, compression=compression)
        writer.start("", "hostile")
        for name, content in (attached or {}).items():
            writer.add_attachment(0, 0, name, "application/octet-stream", content)
        metadata = {"scenario": "hostile", "scenario_yaml": SCENARIO, "fps": "20", "planes": "tag", "views": ""}
        writer.add_metadata("recording", {**metadata, **(about or {})})
        schema = writer.register_schema("any", "protobuf", foxglove.descriptors("foxglove.RawImage"))
        channels: dict[str, int] = {}
        for number, (frame, neural) in enumerate(frames(count) if pictures is None else pictures):
            for topic, data in messages(frame, neural, ("tag", "instance", "depth", "motion", "neural")):
                for other, changed in change(topic, data):
                    if other not in channels:
                        kind = "json" if other in JSON else "protobuf"
                        channels[other] = writer.register_channel(other, kind, schema)
                    now = round(frame.sim_time * 1e9)
                    writer.add_message(channels[other], now, changed, now, number)
        writer.finish()


def _replacing(topic: str, data: bytes | None) -> Callable[[str, bytes], list[Message]]:
    """Put ``data`` into all messages on a topic; None leaves them out."""

    def change(current: str, old: bytes) -> list[Message]:
        if current != topic:
            return [(current, old)]
        return [] if data is None else [(current, data)]

    return change


def _adding(topic: str, data: bytes = b"") -> Callable[[str, bytes], list[Message]]:
    """Send what is on ``/camera/tag`` (or ``data``) on another topic, too."""
    return lambda current, old: [(current, old), (topic, data or old)] if current == "/camera/tag" else [(current, old)]


def _changing_ego(**changes: object) -> Callable[[str, bytes], list[Message]]:
    """Change entries of ``/ego``."""

    def change(topic: str, data: bytes) -> list[Message]:
        return [(topic, json.dumps({**json.loads(data), **changes}).encode() if topic == "/ego" else data)]

    return change


def recordings() -> Iterator[Attack]:
    calibration = foxglove.CameraCalibration
    raw, jpeg = foxglove.RawImage, foxglove.CompressedImage
    long_object = {"instance": 1, "tag": 14, "pose": [0.0] * 15, "extent": [1.0] * 3}
    changes: dict[str, Callable[[str, bytes], Iterable[Message]]] = {
        "absolute-topic": _adding("/camera//tmp/neuralsim-hostile/tag"),
        "climbing-topic": _adding("/camera/../../../escaped/tag"),
        "dots-topic": _adding("/camera/../tag"),
        "nul-topic": _adding("/camera/a\0b/tag"),
        "bad-json": _replacing("/ego", b"{"),
        "json-no-table": _replacing("/objects", b"[]"),
        "json-deep": _replacing("/ego", b"[" * 100_000),
        "json-long-number": _replacing("/ego", b'{"seed": ' + LONG.encode() + b"}"),
        "json-nan": _replacing("/ego", b'{"speed": NaN}'),
        "json-not-text": _replacing("/ego", b"\xff\xfe"),
        "json-words-for-numbers": _changing_ego(speed="fast"),
        "json-list-for-number": _changing_ego(collisions=[1]),
        "scenario-empty": _replacing("/scenario", b"{}"),
        "scenario-short-state": _replacing(
            "/scenario", b'{"time":0,"actors":{"ego":[1]},"collisions":[],"lane_invasions":[],"route":null}'
        ),
        "objects-short-pose": _replacing("/objects", json.dumps({"objects": [long_object], "lamps": []}).encode()),
        "lamps-no-box": _replacing("/objects", b'{"objects":[],"lamps":[{"kind":"brake"}]}'),
        "bad-protobuf": _replacing("/tf", b"\xff" * 40),
        "no-tf": _replacing("/tf", None),
        "no-calibration": _replacing("/camera/calibration", None),
        "no-k": _replacing("/camera/calibration", calibration(width=64, height=32).SerializeToString()),
        "k-not-finite": _replacing("/camera/calibration", calibration(K=[float("nan")] * 9).SerializeToString()),
        "k-nothing": _replacing("/camera/calibration", calibration(K=[0.0] * 9).SerializeToString()),
        "k-huge": _replacing("/camera/calibration", calibration(K=[1e300] * 9).SerializeToString()),
        "k-of-another-size": _replacing(
            "/camera/calibration", calibration(K=[60, 0, 500, 0, 60, 500, 0, 0, 1]).SerializeToString()
        ),
        "tf-not-finite": _replacing("/tf", _transform(float("inf"))),
        "plane-short": _replacing("/camera/tag", raw(width=64, height=32, data=b"1").SerializeToString()),
        "plane-huge": _replacing("/camera/tag", raw(width=1 << 31, height=1 << 31, data=b"1").SerializeToString()),
        "plane-nothing": _replacing("/camera/tag", raw().SerializeToString()),
        "plane-other-size": _replacing("/camera/depth", raw(width=2, height=2, data=bytes(16)).SerializeToString()),
        "picture-noise": _replacing("/camera/neural", jpeg(data=b"x" * 100).SerializeToString()),
        "picture-empty": _replacing("/camera/neural", jpeg().SerializeToString()),
        "picture-bomb": _replacing("/camera/neural", jpeg(data=png(30_000, 30_000)).SerializeToString()),
        "picture-large": _replacing("/camera/neural", jpeg(data=png(8_000, 8_000)).SerializeToString()),
    }  # fmt: skip
    for name, change in changes.items():
        yield Attack(f"mcap-{name}", _recorded(change), _READ, ".mcap", refused=False)
    for name, about in {
        "absolute-name": {"scenario": "/tmp/neuralsim-hostile/x"},
        "climbing-name": {"scenario": "../../../escaped"},
        "dots-name": {"scenario": ".."},
        "nul-name": {"scenario": "a\0b"},
        "long-name": {"scenario": "x" * 5000},
        "two-lines-name": {"scenario": "a\nb"},
        "rate-of-letters": {"fps": "abc"},
        "rate-nothing": {"fps": "0"},
        "rate-nan": {"fps": "nan"},
        "rate-huge": {"fps": "1e308"},
        "views-climbing": {"views": "../../x,y"},
        "views-many": {"views": ",".join(f"v{k}" for k in range(10_000))},
    }.items():
        yield Attack(f"mcap-{name}", _recorded(about=about), _READ_AND_DRIVE, ".mcap")
    for name, about in {
        "scenario-noise": {"scenario_yaml": "\x07"},
        "scenario-aliases": {"scenario_yaml": "a: &a [*a]"},
        "remap-noise": {"remap": "nonsense"},
    }.items():
        yield Attack(f"mcap-{name}", _recorded(about=about), _READ_AND_DRIVE, ".mcap", refused=False)
    for name, attached in {
        "attachment-climbing": {"../../escaped.xodr": b"x"},
        "attachment-absolute": {"/tmp/neuralsim-hostile/x.xodr": b"x"},
        "attachment-dots": {"..": b"x"},
        "attachment-nul": {"a\0b": b"x"},
        "attachment-many": {f"f{k}": b"x" for k in range(1000)},
    }.items():
        yield Attack(f"mcap-{name}", _recorded(attached=attached), _READ_AND_DRIVE, ".mcap")
    magic = b"\x89MCAP0\r\n"
    for name, data in {
        "nothing": b"",
        "noise": bytes(range(256)) * 64,
        "magic-alone": magic,
        "magic-and-noise": magic + bytes(range(1, 256)) * 64,
        "zstd-bomb": magic + _chunk(b"zstd", _zstd(2 << 30), 2 << 30) + magic,
        "zstd-bombs": magic + 8 * _chunk(b"zstd", _zstd(90 << 20), 90 << 20) + magic,
        "zstd-liar": magic + _chunk(b"zstd", _zstd(512 << 20), 1000) + magic,
        "lz4-bomb": magic + _chunk(b"lz4", _lz4(512 << 20), 512 << 20) + magic,
        "unknown-compression": magic + _chunk(b"rar", b"x", 1) + magic,
        "many-messages": magic + _chunk(b"zstd", _zstd_of(struct.pack("<BQHIQQ", 5, 22, *[0] * 4) * 3_000_000)) + magic,
        "record-longer-than-the-file": magic + struct.pack("<BQ", 6, 1 << 62) + magic,
        "long-metadata": magic + struct.pack("<BQ", 12, 2 << 20) + b"\xff" * (2 << 20) + magic,
        "summary-in-a-circle": magic + struct.pack("<BQI", 15, 4, 0) + struct.pack("<BQQQI", 2, 20, 8, 0, 0) + magic,
    }.items():
        yield Attack(f"mcap-{name}", binary_file(data), _READ, ".mcap")
    yield Attack("mcap-pipe", lambda path: os.mkfifo(path), _READ, ".mcap")
    yield Attack("mcap-masks-everywhere", _striped, _READ[2:3], ".mcap")
    yield Attack("mcap-packed-frames", _packed, (*_READ[:1], *_READ[2:6]), ".mcap")
    yield Attack("mcap-many-instances", _crowded, _READ[2:3], ".mcap", refused=False)


def _transform(x: float) -> bytes:
    data: bytes = foxglove.FrameTransform(child_frame_id="ego", translation={"x": x}).SerializeToString()
    return data


def _recorded(
    change: Callable[[str, bytes], Iterable[Message]] = lambda topic, data: [(topic, data)], **options: object
) -> Callable[[Path], None]:
    return lambda path: recording(path, change, **options)  # type: ignore[arg-type]


def _crowded(path: Path) -> None:
    """Write a recording in which every pixel is a different object."""
    (frame, neural), *_ = frames(1, (2048, 1024))
    frame.planes["tag"][:] = int(Tag.CAR)
    frame.planes["instance"][:] = np.arange(2048 * 1024, dtype=np.uint32).reshape(1024, 2048).astype(np.uint16)
    recording(path, pictures=[(frame, neural)])


def _striped(path: Path) -> None:
    """Write a recording in which each row belongs to a different object, so that all are as wide as the image."""
    (frame, neural), *_ = frames(1, (2048, 2048))
    frame.planes["tag"][:] = int(Tag.CAR)
    frame.planes["instance"][:] = (np.arange(2048) % 256).astype(np.uint16)[:, None]
    recording(path, pictures=[(frame, neural)])


def _packed(path: Path) -> None:
    """Write a small file with large frames."""
    recording(path, pictures=frames(3, (4096, 4096)))


def _chunk(compression: bytes, data: bytes, size: int | None = None) -> bytes:
    """Return a chunk record. Its CRC is 0, which means that it is not checked."""
    if size is None:
        size = 31 * 3_000_000
    body = struct.pack("<QQQI", 0, 1, size, 0) + struct.pack("<I", len(compression)) + compression
    body += struct.pack("<Q", len(data)) + data
    return struct.pack("<BQ", 6, len(body)) + body


def _zstd(size: int) -> bytes:
    """Return ``size`` zeros, compressed."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    block = bytes(1 << 20)
    return b"".join(compressor.compress(block) for _ in range(size >> 20)) + compressor.flush()


def _zstd_of(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data, 1)


def _lz4(size: int) -> bytes:
    import lz4.frame

    return lz4.frame.compress(bytes(size))
