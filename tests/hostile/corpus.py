"""Hostile files, made on the spot: each with its name and the command lines that must refuse it.

python -m tests.hostile.corpus DIR      # writes them, for other tools
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from mcap.writer import CompressionType, Writer

from bridge.messages import Camera, Frame, MovingObject
from bridge.tags import Tag
from bridge.town.opendrive import towns
from neuralsim.recording import foxglove
from neuralsim.recording.topics import JSON, messages

ROOT = Path(__file__).resolve().parents[2]
LONG = "9" * 5000
Message = tuple[str, bytes]


@dataclass(frozen=True)
class Attack:
    """A hostile file. ``commands``: ``neuralsim`` command lines, ``{file}`` is the file, ``{out}`` a folder that may be
    written to. ``refused``: each has to end with exit code 1; else 0 is right, too."""

    name: str
    write: Callable[[Path], None] = field(repr=False)  # to this path
    commands: tuple[str, ...]
    suffix: str
    refused: bool = True


def attacks() -> Iterator[Attack]:
    """All of them."""
    for kind in (_scenarios, _openscenarios, _maps, _recordings, _cards, _class_maps, _pictures):
        yield from kind()


# Scenarios

SCENARIO = """title: Hostile
duration: 1
ego:
  spawn: {point: 0}
  do:
  - follow_lane: {speed: 5}
assert: []
"""
_RECORD = ("record {file} --out {out}",)


def _scenarios() -> Iterator[Attack]:
    doubled = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9)]
    )
    merged = "\n".join(["a0: &a0 {x: 1}"] + [f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}" for k in range(1, 40)])
    texts = {
        "control-character": SCENARIO + "description: \x07\n",
        "nul": SCENARIO + "description: \0\n",
        "impossible-date": SCENARIO + "seed: 2024-99-99\n",
        "int-of-letters": SCENARIO + "seed: !!int abc\n",
        "float-of-letters": SCENARIO + "fps: !!float abc\n",
        "empty-int": SCENARIO + "seed: !!int ''\n",
        "long-number": SCENARIO + f"seed: {LONG}\n",
        "long-float": SCENARIO + "fps: 1e99999\n",
        "nan": SCENARIO + "fps: .nan\n",
        "lists-in-lists": "[" * 100_000,
        "maps-in-maps": "{a: " * 50_000,
        "blocks-in-blocks": "- " * 50_000,
        "aliases": doubled,
        "merged-aliases": merged,
        "alias-of-itself": SCENARIO + "description: &a [*a]\n",
        "python-object": SCENARIO + "seed: !!python/object/apply:os.system [true]\n",
        "list-as-key": SCENARIO + "? [1, 2]\n: 3\n",
        "number-as-key": SCENARIO + "1: 2\n",
        "broken-binary": SCENARIO + "description: !!binary x\n",
        "timestamp-of-letters": SCENARIO + "seed: !!timestamp abc\n",
        "set": "!!set {a, b}\n",
        "two-documents": SCENARIO + "---\na: 1\n",
        "nothing": "",
        "many-values": "- 1\n" * 200_000,
        "long-key": f"{'k' * 500_000}: 1\n",
        "two-lines-in-a-key": SCENARIO + '"a\\nb": 1\n',
        "escape-sequence-in-a-key": SCENARIO + '"\\e[2J": 1\n',
        "map-at-nul": SCENARIO + 'town: "a\\0b.xodr"\n',
        "map-is-endless": SCENARIO + "town: /dev/zero/../zero.xodr\n",
        "map-with-long-name": SCENARIO + f"town: {'x' * 5000}.xodr\n",
        "nothing-to-do": SCENARIO.replace("- follow_lane: {speed: 5}", "[]"),
        "deep-conditions": SCENARIO.replace("duration: 1", "duration: 1\nend: [" + "{any_of: [" * 40 + "]}" * 40 + "]"),
        "surrogate": SCENARIO + 'description: "\\ud800"\n',
        "title-of-two-lines": SCENARIO.replace("title: Hostile", 'title: "a\\nb"'),
    }
    for name, text in texts.items():
        yield Attack(f"yaml-{name}", _text(text), _RECORD, ".yaml")
    yield Attack("yaml-noise", _bytes(bytes(range(256)) * 64), _RECORD, ".yaml")
    yield Attack("yaml-utf16", _bytes(SCENARIO.encode("utf-16")), _RECORD, ".yaml")
    yield Attack("yaml-pipe", lambda path: os.mkfifo(path), _RECORD, ".yaml")
    yield Attack("yaml-folder", lambda path: path.mkdir(), _RECORD, ".yaml")
    yield Attack("yaml-huge", _text("# " + "x" * 3_000_000), _RECORD, ".yaml")


# OpenSCENARIO


def _xosc(parameters: str = "", map_: str = "oldtown", speed: str = "5") -> str:
    """A file that could be played, but for what is put into it."""
    return f"""<?xml version="1.0"?>
<OpenSCENARIO>
<FileHeader revMajor="1" revMinor="0" date="2020-01-01T00:00:00" description="CARLA:x" author=""/>
<ParameterDeclarations>{parameters}</ParameterDeclarations>
<CatalogLocations/>
<RoadNetwork><LogicFile filepath="{map_}"/></RoadNetwork>
<Entities><ScenarioObject name="hero"><Vehicle name="vehicle.tesla.model3" vehicleCategory="car"><Properties/></Vehicle>
</ScenarioObject></Entities>
<Storyboard><Init><Actions><Private entityRef="hero">
<PrivateAction><TeleportAction><Position>
<WorldPosition x="{speed}" y="0" z="0" h="0"/></Position></TeleportAction></PrivateAction>
</Private></Actions></Init><StopTrigger/></Storyboard>
</OpenSCENARIO>
"""


def _declared(name: str, value: str) -> str:
    return f'<ParameterDeclaration name="{name}" parameterType="string" value="{value}"/>'


def _openscenarios() -> Iterator[Attack]:
    doubling = _declared("p0", "x" * 100) + "".join(_declared(f"p{k}", f"$p{k - 1}" * 10) for k in range(1, 12))
    entity = (
        '<!DOCTYPE x [<!ENTITY a "'
        + "x" * 1000
        + '">'
        + "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
    )
    texts = {
        "doubling-parameters": _xosc(doubling, map_="$p11"),
        "entities": _xosc(map_="&j;").replace("<OpenSCENARIO>", entity + "]><OpenSCENARIO>", 1),
        "entity-of-a-file": _xosc(map_="&f;").replace(
            "<OpenSCENARIO>", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><OpenSCENARIO>', 1
        ),
        "power": _xosc(speed="${pow(9e99, 9e99)}"),
        "power-of-power": _xosc(speed="${9" + "*9" * 2000 + "}"),
        "minuses": _xosc(speed="${" + "-" * 20_000 + "1}"),
        "parentheses": _xosc(speed="${" + "(" * 150 + "1" + ")" * 150 + "}"),
        "division-by-nothing": _xosc(speed="${1/0}"),
        "complex": _xosc(speed="${pow(-1, 0.5)}"),
        "root-of-nothing": _xosc(speed="${sqrt(-1)}"),
        "round-of-infinity": _xosc(speed="${round(1e999)}"),
        "called-number": _xosc(speed="${1(2)}"),
        "not-python": _xosc(speed="${1if 2else 3}"),
        "long-number": _xosc(speed="${" + LONG + "}"),
        "no-number": _xosc(speed="nan"),
        "superscript-seed": _xosc(_declared("seed", "\u00b2"), speed="nan"),
        "long-seed": _xosc(_declared("seed", LONG), speed="nan"),
        "long-map": _xosc(map_="m" * 5000),
        "no-such-parameter": _xosc(map_="$" + "n" * 4000),
        "deep": "<OpenSCENARIO>" + "<a>" * 50_000,
        "nothing": "",
        "no-storyboard": re.sub("<Storyboard>.*</Storyboard>", "", _xosc(), flags=re.S),
    }
    for name, text in texts.items():
        yield Attack(f"xosc-{name}", _text(text), _RECORD, ".xosc")
    yield Attack("xosc-nul", _bytes(_xosc().encode() + b"\0"), _RECORD, ".xosc")
    yield Attack("xosc-noise", _bytes(bytes(range(256)) * 64), _RECORD, ".xosc")
    yield Attack("xosc-pipe", lambda path: os.mkfifo(path), _RECORD, ".xosc")


# OpenDRIVE

_TOWN = ("drive --headless --frames 1 --model tags --size 64x32 --town {file}",)


def roads(count: int, length: float = 100.0, width: float = 3.5) -> str:
    """An OpenDRIVE text with so many parallel roads of one lane each way."""
    lane = f'type="driving" level="false"><width sOffset="0" a="{width:g}" b="0" c="0" d="0"/></lane>'
    return _opendrive(
        f'<road name="" length="{length:g}" id="{k}" junction="-1"><planView><geometry s="0" x="{k % 100 * 120}" '
        f'y="{k // 100 * 20}" hdg="0" length="{length:g}"><line/></geometry></planView><lanes><laneSection s="0"><left>'
        f'<lane id="1" {lane}</left><center><lane id="0" type="none" level="false"/></center><right>'
        f'<lane id="-1" {lane}</right></laneSection></lanes></road>'
        for k in range(count)
    )


def _opendrive(parts: Iterable[str]) -> str:
    head = '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1" date=""/>'
    return head + "".join(parts) + "</OpenDRIVE>"


def _maps() -> Iterator[Attack]:
    entity = (
        '<!DOCTYPE x [<!ENTITY a "'
        + "x" * 1000
        + '">'
        + "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
    )
    whole = towns.generate("hamlet", 0)
    texts: dict[str, str] = {
        "wide-lane": roads(1, width=9e6),
        "lane-that-widens": roads(1).replace('b="0"', 'b="9e5"'),
        "many-roads": roads(100_000, length=10.0),
        "far-roads": roads(2).replace('y="0"', 'y="9e6"', 1),
        "deep": "<OpenDRIVE>" + "<a>" * 100_000,
        "many-elements": _opendrive(["<a/>"] * 2_000_000),
        "entities": whole.replace("<OpenDRIVE>", entity + "]><OpenDRIVE>", 1).replace('name="hamlet"', 'name="&j;"', 1),
        "document-type": "<!DOCTYPE x><OpenDRIVE/>",
        "nothing": "",
        "no-roads": _opendrive(()),
        "letters-for-id": roads(1).replace('id="0"', 'id="x"', 1),
        "letters-for-s": roads(1).replace('laneSection s="0"', 'laneSection s="x"'),
        "letters-for-lane": roads(1).replace('lane id="-1"', 'lane id="x"'),
        "long-id": roads(1).replace('id="0"', f'id="{LONG}"', 1),
        "negative-length": roads(1, length=-5.0),
        "not-finite": roads(1).replace('hdg="0"', 'hdg="nan"'),
        "other-root": "<a" + "b" * 5000 + "/>",
    }
    for name, text in texts.items():
        yield Attack(f"xodr-{name}", _text(text), _TOWN, ".xodr")
    yield Attack("xodr-noise", _bytes(bytes(range(256)) * 64), _TOWN, ".xodr")
    yield Attack("xodr-pipe", lambda path: os.mkfifo(path), _TOWN, ".xodr")


# Recordings

_READ = (
    "doctor {file}",
    "doctor {file} --recover {out}/whole.mcap",
    "export-recording {file} --format mp4,frames --out {out}",
    "evaluate-recording {file} --json {out}/report.json",
    "replay {file} --headless --record {out}/again.mp4",
    "replay {file} --headless --model tags --record {out}/tags.mp4",
    "quantise --recording {file} --out {out}/ranges.json",
)
#: Drives on in the scenario that is in the recording, where that is hostile as well.
_ON = (*_READ, "drive --replay {file} --from-frame 0 --headless --frames 1 --model tags")


def frames(count: int = 3, size: tuple[int, int] = (64, 32)) -> Iterator[tuple[Frame, np.ndarray]]:
    """Frames of nothing much, and their pictures."""
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
    """A recording as ours are, but for what ``change`` makes of each message, topic and all."""
    with path.open("wb") as file:
        writer = Writer(file, compression=compression)
        writer.start("", "hostile")
        for name, content in (attached or {}).items():
            writer.add_attachment(0, 0, name, "application/octet-stream", content)
        told = {"scenario": "hostile", "scenario_yaml": SCENARIO, "fps": "20", "planes": "tag", "views": ""}
        writer.add_metadata("recording", {**told, **(about or {})})
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

    def change(found: str, old: bytes) -> list[Message]:
        if found != topic:
            return [(found, old)]
        return [] if data is None else [(found, data)]

    return change


def _adding(topic: str, data: bytes = b"") -> Callable[[str, bytes], list[Message]]:
    """Send what is on ``/camera/tag`` (or ``data``) on another topic, too."""
    return lambda found, old: [(found, old), (topic, data or old)] if found == "/camera/tag" else [(found, old)]


def _told(**changes: object) -> Callable[[str, bytes], list[Message]]:
    """Change entries of ``/ego``."""

    def change(topic: str, data: bytes) -> list[Message]:
        return [(topic, json.dumps({**json.loads(data), **changes}).encode() if topic == "/ego" else data)]

    return change


def _recordings() -> Iterator[Attack]:
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
        "json-words-for-numbers": _told(speed="fast"),
        "json-list-for-number": _told(collisions=[1]),
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
        yield Attack(f"mcap-{name}", _recorded(about=about), _ON, ".mcap")
    for name, about in {
        "scenario-noise": {"scenario_yaml": "\x07"},
        "scenario-aliases": {"scenario_yaml": "a: &a [*a]"},
        "remap-noise": {"remap": "nonsense"},
    }.items():
        yield Attack(f"mcap-{name}", _recorded(about=about), _ON, ".mcap", refused=False)
    for name, attached in {
        "attachment-climbing": {"../../escaped.xodr": b"x"},
        "attachment-absolute": {"/tmp/neuralsim-hostile/x.xodr": b"x"},
        "attachment-dots": {"..": b"x"},
        "attachment-nul": {"a\0b": b"x"},
        "attachment-many": {f"f{k}": b"x" for k in range(1000)},
    }.items():
        yield Attack(f"mcap-{name}", _recorded(attached=attached), _ON, ".mcap")
    magic = b"\x89MCAP0\r\n"
    for name, data in {
        "nothing": b"",
        "noise": bytes(range(256)) * 64,
        "magic-alone": magic,
        "magic-and-noise": magic + bytes(range(1, 256)) * 64,
        "zstd-bomb": magic + _chunk(b"zstd", _zstd(2 << 30), 2 << 30) + magic,
        "zstd-liar": magic + _chunk(b"zstd", _zstd(512 << 20), 1000) + magic,
        "lz4-bomb": magic + _chunk(b"lz4", _lz4(512 << 20), 512 << 20) + magic,
        "unknown-compression": magic + _chunk(b"rar", b"x", 1) + magic,
        "many-messages": magic + _chunk(b"zstd", _zstd_of(struct.pack("<BQHIQQ", 5, 22, *[0] * 4) * 3_000_000)) + magic,
        "record-longer-than-the-file": magic + struct.pack("<BQ", 6, 1 << 62) + magic,
        "long-metadata": magic + struct.pack("<BQ", 12, 2 << 20) + b"\xff" * (2 << 20) + magic,
        "summary-in-a-circle": magic + struct.pack("<BQI", 15, 4, 0) + struct.pack("<BQQQI", 2, 20, 8, 0, 0) + magic,
    }.items():
        yield Attack(f"mcap-{name}", _bytes(data), _READ, ".mcap")
    yield Attack("mcap-pipe", lambda path: os.mkfifo(path), _READ, ".mcap")
    yield Attack("mcap-many-instances", _crowded, _READ[2:3], ".mcap", refused=False)


def _transform(x: float) -> bytes:
    data: bytes = foxglove.FrameTransform(child_frame_id="ego", translation={"x": x}).SerializeToString()
    return data


def _recorded(
    change: Callable[[str, bytes], Iterable[Message]] = lambda topic, data: [(topic, data)], **options: object
) -> Callable[[Path], None]:
    return lambda path: recording(path, change, **options)  # type: ignore[arg-type]


def _crowded(path: Path) -> None:
    """Every pixel another object."""
    (frame, neural), *_ = frames(1, (2048, 1024))
    frame.planes["tag"][:] = int(Tag.CAR)
    frame.planes["instance"][:] = np.arange(2048 * 1024, dtype=np.uint32).reshape(1024, 2048).astype(np.uint16)
    recording(path, pictures=[(frame, neural)])


def _chunk(compression: bytes, data: bytes, size: int | None = None) -> bytes:
    """A chunk record. Its CRC is 0: nothing to check."""
    if size is None:
        size = 31 * 3_000_000
    body = struct.pack("<QQQI", 0, 1, size, 0) + struct.pack("<I", len(compression)) + compression
    body += struct.pack("<Q", len(data)) + data
    return struct.pack("<BQ", 6, len(body)) + body


def _zstd(size: int) -> bytes:
    """So many zeros."""
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


# Models and class maps


def _cards() -> Iterator[Attack]:
    card = (ROOT / "neuralsim/zoo/street-rt/card.yaml").read_text(encoding="utf-8")
    changes: dict[str, tuple[str, str]] = {
        "multiple-of-infinity": ("multiple_of: 32", "multiple_of: .inf"),
        "multiple-of-nothing": ("multiple_of: 32", "multiple_of: 0"),
        "multiple-of-much": ("multiple_of: 32", "multiple_of: 999999999"),
        "multiple-of-letters": ("multiple_of: 32", "multiple_of: !!int abc"),
        "style-of-words": ("[-0.075, -0.0987, -0.1183]", "[a, b, c]"),
        "style-of-two": ("[-0.075, -0.0987, -0.1183]", "[0.0, 0.0]"),
        "style-not-finite": ("[-0.075, -0.0987, -0.1183]", "[.nan, .inf, 0.0]"),
        "styles-a-number": ("styles:", "styles: 3\nother:"),
        "styles-a-list": ("styles:", "styles: [1, 2]\nother:"),
        "file-climbs": ("file: model.onnx", "file: ../../../etc/passwd"),
        "file-a-list": ("file: model.onnx", "file: [model.onnx]"),
        "file-nul": ("file: model.onnx", 'file: "a\\0b"'),
        "hash-of-another": ("sha256: ", "sha256: 0 #"),
        "hash-a-date": ("sha256: ", "sha256: 2024-99-99 #"),
        "inputs-a-number": ("inputs: [", "inputs: 3 #["),
        "inputs-nested": ("inputs: [", "inputs: [[[1]]] #["),
        "no-styles": ("styles:", "other:"),
        "control-character": ("name: street-rt", "name: \x07"),
        "long-number": ("multiple_of: 32", f"multiple_of: {LONG}"),
        "default-style-a-map": ("default_style:", "default_style: {a: b} #"),
    }
    for name, (old, new) in changes.items():
        text = card.replace(old, new, 1)
        assert text != card, name
        yield Attack(f"card-{name}", _model(text), _PAINT, "")
    hashed = re.sub("sha256: .*", f"sha256: {hashlib.sha256(b'noise').hexdigest()}", card, count=1)
    yield Attack("card-graph-of-noise", _model(hashed, b"noise"), _PAINT, "")
    yield Attack("card-aliases", _model("a: &a [*a]"), _PAINT, "")
    yield Attack("card-nothing", _model(""), _PAINT, "")
    yield Attack("card-a-list", _model("[1, 2]"), _PAINT, "")


_PAINT = ("render {labels} --classes camvid --size 64x64 --model {file} --out {out}",)


def _model(card: str, graph: bytes = b"") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "card.yaml").write_text(card, encoding="utf-8")
        (folder / "model.onnx").write_bytes(graph)

    return write


def _class_maps() -> Iterator[Attack]:
    commands = ("render {labels} --classes {file} --size 64x64 --out {out}",)
    texts = {
        "a-number": "3",
        "a-list": "[1, 2]",
        "labels-a-list": "labels: [1, 2]",
        "labels-nothing": "labels:",
        "id-of-letters": "labels: {a: road}",
        "id-too-large": f"labels: {{{LONG}: road}}",
        "id-negative": "labels: {-1: road}",
        "id-infinite": "labels: {.inf: road}",
        "id-true": "labels: {true: road}",
        "tag-a-number": "labels: {1: 2}",
        "tag-long": f"labels: {{1: {'x' * 10_000}}}",
        "tag-a-date": "labels: {1: 2024-99-99}",
        "like-a-list": "like: [camvid]",
        "like-nul": 'like: "a\\0b.yaml"',
        "like-long": f"like: {'x' * 5000}.yaml",
        "like-nobody": "like: nobody",
        "aliases": "labels: &a {1: *a}",
        "deep": "[" * 100_000,
        "nothing": "",
        "control-character": "labels: {1: \x07}",
    }
    for name, text in texts.items():
        yield Attack(f"classes-{name}", _text(text), commands, ".yaml")
    yield Attack("classes-pipe", lambda path: os.mkfifo(path), commands, ".yaml")


# Pictures


def png(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A black PNG of that size, a thousandth of it in bytes. ``colour``: PNG's type, 0 grey, 2 RGB, 3 palette."""
    channels = 3 if colour == 2 else 1
    row = bytes(1 + width * channels * depth // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = [(b"PLTE", bytes(3 * 256))] if colour == 3 else []
    parts = [(b"IHDR", head), *palette, (b"IDAT", data), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pictures() -> Iterator[Attack]:
    commands = (
        "render {file} --classes camvid --size 64x64 --out {out}",
        "flow {file} --out {out}",
    )
    whole = png(96, 64)
    bombs = {
        "bomb": partial(png, 30_000, 30_000),
        "bomb-colour": partial(png, 30_000, 30_000, colour=2),
        "bomb-palette": partial(png, 30_000, 30_000, colour=3),
        "bomb-deep": partial(png, 20_000, 20_000, depth=16),
        "wide": partial(png, 10_000_000, 8),
    }
    for name, make in bombs.items():
        yield Attack(f"png-{name}", _folder_of(make), commands, "")
    for name, data in {
        "cut": whole[:40],
        "noise": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        "nothing": b"",
        "palette-cut": png(96, 64, colour=3)[:830],
    }.items():
        yield Attack(f"png-{name}", _folder_of(partial(bytes, data)), commands, "")
    for name, make in {"bomb": partial(png, 30_000, 30_000, 16, 2), "eight-bits": partial(png, 96, 64, 8, 2)}.items():
        yield Attack(
            f"motion-{name}",
            _folder_of(make, "b.png"),
            ("render {labels} --classes camvid --size 64x64 --sequence --motion {file} --out {out}",),
            "",
        )
        yield Attack(
            f"instances-{name}",
            _folder_of(make, "a.png"),
            ("render {labels} --classes camvid --size 64x64 --instances {file} --out {out}",),
            "",
        )


def _folder_of(make: Callable[[], bytes], name: str = "a.png") -> Callable[[Path], None]:
    """Writes a folder with the one file ``name``; a bomb takes seconds to make, so only the one that is tried is."""

    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / name).write_bytes(make())

    return write


def _text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text, encoding="utf-8", newline="") and None


def _bytes(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for attack in attacks():
        attack.write(target / f"{attack.name}{attack.suffix}")
