"""Damaged recordings: all complete frames are read; a flipped bit costs its chunk, not those after it."""

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
from neuralsim.recording.reading.untrusted_mcap import RecordLocation, Records
from neuralsim.recording.writing.mcap_writer import McapWriter

FRAMES, SIZE = 200, (256, 128)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a recording of several chunks of incompressible content."""
    path = tmp_path_factory.mktemp("complete") / "a.mcap"
    writer = McapWriter(path, ("tag", "depth", "neural"), {"fps": "20"})
    random = np.random.default_rng(0)
    for k in range(FRAMES):
        frame = Frame(k, k, k / 20, Camera(*SIZE, 70.0, np.eye(4)), {})
        frame.planes["tag"] = random.integers(0, 29, SIZE[::-1], np.uint8)
        frame.planes["depth"] = random.random(SIZE[::-1], np.float32)
        writer.write(frame, random.integers(0, 255, (*SIZE[::-1], 3), np.uint8))
    writer.close()
    return path.read_bytes()


def _chunks(data: bytes) -> list[RecordLocation]:
    locations = Records(io.BytesIO(data)).locations()
    return [
        location for location in locations if isinstance(location, RecordLocation) and location.opcode == Opcode.CHUNK
    ]


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 4
    return bytes(changed)


def _frames(path: Path) -> list[int]:
    return [frame.index for frame in McapRecording(path).frames()]


@pytest.mark.parametrize("number", [0, 1, -1])
def test_flipped_bit_costs_its_chunk(intact: bytes, tmp_path: Path, number: int) -> None:
    chunks = _chunks(intact)
    assert len(chunks) > 3
    location = chunks[number]
    path = tmp_path / "flipped.mcap"
    path.write_bytes(_flipped(intact, location.offset + location.length // 2))
    begin, end = Records(io.BytesIO(intact)).times(location)
    lost = range(round(begin / 5e7), round(end / 5e7) + 1)  # frames that it has a part of
    kept = [k for k in range(FRAMES) if k not in lost]
    assert _frames(path) == kept
    health = examine(path)
    assert health.frames == len(kept)
    assert f"a chunk is damaged: frames from {begin / 1e9:.2f} to {end / 1e9:.2f} s are missing" in health.problem
    recover(path, tmp_path / "complete.mcap")
    assert _frames(tmp_path / "complete.mcap") == kept
    assert examine(tmp_path / "complete.mcap").problem == ""
    with RecordingReader(path) as reader:
        assert len(reader) == FRAMES, "frames keep their numbers"
        assert reader.first == kept[0]
        for k in (kept[0], kept[len(kept) // 2], kept[-1]):
            assert frame_of(reader.read(k)).sequence == k
        with pytest.raises(DamagedChunk, match="a chunk is damaged"):
            reader.read(lost[len(lost) // 2])


def test_damaged_length_costs_only_what_the_index_does_not_list(intact: bytes, tmp_path: Path) -> None:
    chunks = _chunks(intact)
    path = tmp_path / "length.mcap"
    path.write_bytes(_flipped(intact, chunks[1].offset - 2))  # a byte of the length: beyond the end of the file
    frames = _frames(path)
    assert frames[0] == 0
    assert frames[-1] == FRAMES - 1
    assert FRAMES - len(frames) < 2 * FRAMES / len(chunks)


@pytest.mark.slow
def test_many_flipped_bits_never_yield_an_incomplete_frame(intact: bytes, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    path = tmp_path / "many.mcap"
    for _ in range(12):
        data = intact
        for at in random.integers(8, len(intact), 6):
            data = _flipped(data, int(at))
        path.write_bytes(data)
        try:
            for frame in McapRecording(path).frames():
                assert set(frame.planes) == {"tag", "depth"}
                assert set(frame.images) == {"neural"}
                assert {"ego", "control", "objects"} <= set(frame.json)
        except RecordingError:
            pass  # a flipped bit in what holds for all of it


@pytest.mark.slow
def test_exports_report_what_is_missing(intact: bytes, tmp_path: Path) -> None:
    location = _chunks(intact)[1]
    path = tmp_path / "flipped.mcap"
    path.write_bytes(_flipped(intact, location.offset + location.length // 2))
    exported = run(f"recording export {path} --out {tmp_path / 'out'}")
    assert exported.code == 0
    assert "are missing; all readable frames were written" in exported.lines[-1]
    replayed = run(f"replay {path} --headless --record {tmp_path / 'again.mp4'}")
    assert replayed.code == 1
    assert "damaged frames are left out" in replayed.lines[-1]


def _standing(path: Path, frames: int) -> None:
    writer = McapWriter(path, ("tag",), {"fps": "20"})
    tag = np.random.default_rng(0).integers(0, 29, SIZE[::-1], np.uint8)
    for k in range(frames):
        frame = Frame(k, k, k / 20, Camera(*SIZE, 70.0, np.eye(4)), {})
        frame.planes["tag"] = tag
        writer.write(frame, None)
    writer.close()


def test_recording_of_a_parked_car_is_read_despite_its_compression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "standing.mcap"
    _standing(path, 1000)
    monkeypatch.setattr(limits, "UNPACKED", 0)
    assert len(_frames(path)) == 1000
    monkeypatch.setattr(limits, "PACKED", 50)
    with pytest.raises(RecordingError, match="compressed to less than 1/50"):
        _frames(path)
