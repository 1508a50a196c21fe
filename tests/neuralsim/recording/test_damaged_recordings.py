"""A damaged recording gives all that is whole: a flipped bit costs its chunk, not what is behind it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hostile.run import run
from mcap.opcode import Opcode

from bridge.messages import Camera, Frame
from bridge.untrusted import limits
from neuralsim.recording import RecordingError
from neuralsim.recording.export import examine, recover
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader, frame_of
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.recording.reading.untrusted_mcap import RecordPlace, Records
from neuralsim.recording.writing.mcap_writer import McapWriter

FRAMES, SIZE = 200, (256, 128)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording of several chunks: nothing in it can be compressed."""
    path = tmp_path_factory.mktemp("whole") / "a.mcap"
    writer = McapWriter(path, ("tag", "depth", "neural"), {"fps": "20"})
    random = np.random.default_rng(0)
    for k in range(FRAMES):
        frame = Frame(k, k, k / 20, Camera(*SIZE, 70.0, np.eye(4)), {})
        frame.planes["tag"] = random.integers(0, 29, SIZE[::-1], np.uint8)
        frame.planes["depth"] = random.random(SIZE[::-1], np.float32)
        writer.write(frame, random.integers(0, 255, (*SIZE[::-1], 3), np.uint8))
    writer.close()
    return path.read_bytes()


def _chunks(data: bytes) -> list[RecordPlace]:
    places = Records(io.BytesIO(data)).places()
    return [place for place in places if isinstance(place, RecordPlace) and place.opcode == Opcode.CHUNK]


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 4
    return bytes(changed)


def _frames(path: Path) -> list[int]:
    return [frame.index for frame in McapRecording(path).frames()]


@pytest.mark.parametrize("number", [0, 1, -1])
def test_a_flipped_bit_costs_its_chunk(whole: bytes, tmp_path: Path, number: int) -> None:
    chunks = _chunks(whole)
    assert len(chunks) > 3
    place = chunks[number]
    path = tmp_path / "flipped.mcap"
    path.write_bytes(_flipped(whole, place.offset + place.length // 2))
    begin, end = Records(io.BytesIO(whole)).times(place)
    lost = range(round(begin / 5e7), round(end / 5e7) + 1)  # frames that it has a part of
    kept = [k for k in range(FRAMES) if k not in lost]
    assert _frames(path) == kept
    health = examine(path)
    assert health.frames == len(kept)
    assert f"a chunk is damaged: frames from {begin / 1e9:.2f} to {end / 1e9:.2f} s are missing" in health.problem
    recover(path, tmp_path / "whole.mcap")
    assert _frames(tmp_path / "whole.mcap") == kept
    assert examine(tmp_path / "whole.mcap").problem == ""
    with RecordingReader(path) as reader:
        assert len(reader) == FRAMES, "frames keep their numbers"
        assert reader.first == kept[0]
        for k in (kept[0], kept[len(kept) // 2], kept[-1]):
            assert frame_of(reader.read(k)).sequence == k
        with pytest.raises(DamagedChunk, match="a chunk is damaged"):
            reader.read(lost[len(lost) // 2])


def test_a_damaged_length_costs_what_the_index_cannot_find(whole: bytes, tmp_path: Path) -> None:
    chunks = _chunks(whole)
    path = tmp_path / "length.mcap"
    path.write_bytes(_flipped(whole, chunks[1].offset - 2))  # a byte of the length: beyond the end of the file
    frames = _frames(path)
    assert frames[0] == 0
    assert frames[-1] == FRAMES - 1
    assert FRAMES - len(frames) < 2 * FRAMES / len(chunks)


@pytest.mark.slow
def test_many_flipped_bits_never_show_a_frame_that_is_not_whole(whole: bytes, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    path = tmp_path / "many.mcap"
    for _ in range(12):
        data = whole
        for at in random.integers(8, len(whole), 6):
            data = _flipped(data, int(at))
        path.write_bytes(data)
        try:
            for frame in McapRecording(path).frames():
                assert set(frame.planes) == {"tag", "depth"}
                assert set(frame.pictures) == {"neural"}
                assert {"ego", "control", "objects"} <= set(frame.json)
        except RecordingError:
            pass  # a flipped bit in what holds for all of it


def test_exports_say_what_is_missing(whole: bytes, tmp_path: Path) -> None:
    place = _chunks(whole)[1]
    path = tmp_path / "flipped.mcap"
    path.write_bytes(_flipped(whole, place.offset + place.length // 2))
    exported = run(f"export-recording {path} --out {tmp_path / 'out'}")
    assert exported.code == 0
    assert "are missing; all that is whole was written" in exported.lines[-1]
    replayed = run(f"replay {path} --headless --record {tmp_path / 'again.mp4'}")
    assert replayed.code == 1
    assert "frames are damaged and left out" in replayed.lines[-1]


def _standing(path: Path, frames: int) -> None:
    writer = McapWriter(path, ("tag",), {"fps": "20"})
    tag = np.random.default_rng(0).integers(0, 29, SIZE[::-1], np.uint8)
    for k in range(frames):
        frame = Frame(k, k, k / 20, Camera(*SIZE, 70.0, np.eye(4)), {})
        frame.planes["tag"] = tag
        writer.write(frame, None)
    writer.close()


def test_a_car_that_stands_is_packed_well_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "standing.mcap"
    _standing(path, 1000)
    monkeypatch.setattr(limits, "UNPACKED", 0)
    assert len(_frames(path)) == 1000
    monkeypatch.setattr(limits, "PACKED", 50)
    with pytest.raises(RecordingError, match="packed to less than a 50th"):
        _frames(path)
