"""Recordings on disk: they read back as written, whatever happens to the writer and the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.command import ROOT, neuralsim
from helpers.recordings import numbered_frame, write
from mcap.reader import make_reader

from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.export import examine, export_mp4, recover
from neuralsim.recording.image_folder import encode_motion, export_frames
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.recording.writing.mcap_writer import McapWriter


def test_recording_reads_back_as_written(tmp_path: Path):
    path = tmp_path / "a.mcap"
    write(path, 30)
    recording = McapRecording(path)
    frames = list(recording.frames())
    assert (len(frames), recording.complete, recording.problem) == (30, True, "")
    assert recording.about["scenario"] == "made"
    expected, image = numbered_frame(7)
    frame = frames[7]
    for name, plane in expected.planes.items():
        assert frame.planes[name].dtype == plane.dtype
        assert (frame.planes[name] == plane).all()
    read = cv2.imdecode(np.frombuffer(frame.images["neural"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read.astype(int) - image).mean() < 2.0
    assert frame.time == pytest.approx(0.35)
    assert frame.intrinsics == pytest.approx([32.0, 0, 32.0, 0, 32.0, 16.0, 0, 0, 1])
    assert np.allclose(foxglove.right_handed(frame.poses["ego"]), expected.ego.pose)
    # The camera's frame is optical: its z axis is where CARLA's x axis points.
    assert np.allclose(frame.poses["camera"][:3, 2], foxglove.right_handed(expected.camera.pose)[:3, 0])


def test_a_recording_says_which_car_and_camera_it_is_of(tmp_path: Path):
    frame, image = numbered_frame(0)
    frame.ego.blueprint, frame.ego.color, frame.mount = "vehicle.audi.tt", "200,10,10", "chase"
    writer = McapWriter(tmp_path / "a.mcap", ("tag", "instance", "depth", "motion", "neural"), {})
    writer.write(frame, image)
    writer.close()
    with RecordingReader(tmp_path / "a.mcap") as reader:
        read = frame_of(reader.read(0))
    assert (read.ego.blueprint, read.ego.color, read.mount) == ("vehicle.audi.tt", "200,10,10", "chase")


def test_what_a_frame_repeats_from_the_one_before_is_stored_once(tmp_path: Path):
    frame, image = numbered_frame(0, 512, 256)
    noise = np.random.default_rng(0).uniform(1.0, 900.0, frame.planes["depth"].shape).astype(np.float32)
    frame.planes["depth"] = noise  # 512 KiB that cannot be compressed
    for count in (1, 4):
        writer = McapWriter(tmp_path / f"{count}.mcap", ("tag", "instance", "depth", "motion", "neural"), {})
        for _ in range(count):
            writer.write(frame, image)
        writer.close()
    once, repeated = ((tmp_path / f"{count}.mcap").stat().st_size for count in (1, 4))
    assert repeated < 1.3 * once


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quaternions_round_trip_for_any_rotation(axis: int):
    for angle in np.linspace(-3.1, 3.1, 9):
        c, s = np.cos(angle), np.sin(angle)
        pose = np.eye(4)
        pose[:3, :3] = np.roll(np.roll(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), axis, 0), axis, 1)
        pose[:3, 3] = 1.0, -2.0, 3.0
        at, turn = foxglove.decompose(pose)
        message = foxglove.FrameTransform.FromString(
            foxglove.FrameTransform(translation=at, rotation=turn).SerializeToString()
        )
        assert np.allclose(foxglove.matrix(message.translation, message.rotation), pose)


def test_transform_without_rotation_is_a_translation():
    """As others' recordings may have it: protobuf leaves out what is zero."""
    message = foxglove.FrameTransform(translation={"x": 2.0})
    moved = np.eye(4)
    moved[0, 3] = 2.0
    assert np.array_equal(foxglove.matrix(message.translation, message.rotation), moved)


def test_motion_beyond_the_range_is_not_valid():
    motion = np.array([[(1.5, -2.25), (600.0, 0.0), (np.inf, 0.0), (np.nan, 1.0)]], np.float16)
    coded = encode_motion(motion)
    assert coded[0, :, 0].tolist() == [1, 0, 0, 0]
    assert coded[0, 0, 2] == 32768 + 96
    assert coded[0, 0, 1] == 32768 - 144


WRITER = """
import sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from types import SimpleNamespace
from helpers.recordings import McapWriter, numbered_frame
writer = McapWriter(Path(sys.argv[1]), ("tag", "instance", "depth", "motion", "neural"), {})
for k in range(10_000):
    writer.write(*numbered_frame(k))
    print(k, time.monotonic(), flush=True)
    time.sleep(0.01)
"""


def test_kill_9_costs_at_most_the_last_second(tmp_path: Path):
    path = tmp_path / "killed.mcap"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    written = [float(process.stdout.readline().split()[1]) for _ in range(60)]
    while written[-1] - written[59] < 1.5:
        written.append(float(process.stdout.readline().split()[1]))
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    process.communicate()
    must = sum(killed - at > 1.0 for at in written)
    assert must >= 60
    frames = [frame.index for frame in McapRecording(path).frames()]
    assert frames == list(range(len(frames)))
    assert len(frames) >= must
    complete = tmp_path / "complete.mcap"
    recover(path, complete)
    with complete.open("rb") as file:
        assert make_reader(file, validate_crcs=True).get_summary().statistics.message_count >= 11 * must
    assert examine(complete).problem == ""


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_truncated_file_exports_its_complete_frames_in_every_format(tmp_path: Path, share: float):
    path = tmp_path / "a.mcap"
    writer = McapWriter(path, ("tag", "neural"), {"fps": "20"})
    for k in range(40):
        writer.write(*numbered_frame(k))
        time.sleep(0.03)  # over a second: several chunks
    writer.close()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    health = examine(path)
    assert health.problem == "the file is truncated"
    if health.frames:
        assert export_frames(path, tmp_path / "frames") == health.frames
        assert export_mp4(path, tmp_path / "video.mp4") == health.frames
        assert len(list((tmp_path / "frames/neural").iterdir())) == health.frames
    assert health.frames > 40 * share - 30


def test_damaged_chunk_is_detected(tmp_path: Path):
    path = tmp_path / "a.mcap"
    write(path, 20)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    assert examine(path).problem


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 40, b"\x89MCAP0\r\n" + bytes(500)])
def test_invalid_recording_is_rejected_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    done = neuralsim("doctor", path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    with pytest.raises(RecordingError):
        export_frames(path, tmp_path / "frames")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_stops_with_its_reason():
    writer = McapWriter(Path("/dev/full"), ("tag",), {})
    until = time.monotonic() + 5.0
    while writer.write(*numbered_frame(0)) and time.monotonic() < until:
        time.sleep(0.01)
    writer.close()
    assert writer.error is not None
    assert "the disk is full" in writer.error
