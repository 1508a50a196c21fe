"""MP4: every frame with its time and colours, playable after a crash."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from helpers import frames
from helpers.command import ROOT
from helpers.videos import decoded, street

from neuralsim.base import machine, video_frames
from neuralsim.recording import RecordingError
from neuralsim.recording.writing import mp4
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer import NeuralRenderer
from neuralsim.serve import encoding, picture_stamp
from neuralsim.serve.encoding import PageImage, VideoEncoder


@pytest.mark.parametrize("size", [(128, 64), (127, 63)])
def test_mp4_keeps_every_frame_with_its_time_and_colours(tmp_path: Path, size: tuple[int, int]):
    path = tmp_path / "deep" / "t.mp4"
    writer = Mp4Writer(path, size, rate=20.0, block=True)
    times = [3.0 + n * 0.05 + (0.4 if n > 20 else 0.0) for n in range(45)]  # a gap, as when frames were skipped
    for time_ in times:
        assert writer.write(street(*size), time_)
    writer.close()
    assert (writer.error, writer.frames) == (None, 45)
    frames = decoded(path)
    assert [frame.time for frame in frames] == pytest.approx([time_ - 3.0 for time_ in times], abs=1e-3)
    assert (frames[0].width, frames[0].height) == (128, 64)
    assert (frames[0].colorspace, frames[0].color_range) == (1, 1)  # BT.709, limited
    luma = frames[-1].to_ndarray()[24]
    for column, colour in ((30, (200, 60, 30)), (96, (30, 190, 90))):
        assert luma[column] == pytest.approx(16 + 219 / 255 * np.dot((0.2126, 0.7152, 0.0722), colour), abs=4)


def test_mp4_plays_after_kill_9(tmp_path: Path):
    script = """
import sys, time, numpy as np
from neuralsim.recording.writing.mp4 import Mp4Writer
writer = Mp4Writer(sys.argv[1], (128, 64), rate=20, block=True)
for n in range(10_000):
    writer.write(np.full((64, 128, 3), n % 256, np.uint8), n / 20)
    print(n, flush=True)
    time.sleep(0.002)
"""
    path = tmp_path / "killed.mp4"
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    written = next(int(line) for line in child.stdout if int(line) >= 200)
    child.kill()
    child.communicate()
    assert len(decoded(path)) >= written - 45  # at most the second that was open, and the queue


def test_mp4_errors_are_one_line(tmp_path: Path):
    with pytest.raises(RecordingError, match="cannot record to"):
        Mp4Writer("/proc/nowhere/t.mp4", (64, 64))
    if Path("/dev/full").exists():
        writer = Mp4Writer("/dev/full", (64, 64), block=True)
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        for n in range(400):
            if not writer.write(noise, n / 20):
                break
        writer.close()
        assert writer.error is not None
        assert "disk is full" in writer.error


def test_the_first_encoder_that_opens_is_used_and_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a GPU, NVENC is in PyAV's wheel but does not open; another encoder stands in for one that does."""
    if not Path("/dev/nvidia0").exists():
        mp4.working_encoder.cache_clear()
        assert mp4.working_encoder()[0] == "libx264"
    stand_in = "libx264", {"preset": "ultrafast", "crf": "30"}
    monkeypatch.setattr(mp4, "_ENCODERS", (("h264_none", {}), stand_in, *mp4._ENCODERS[1:]))
    mp4.working_encoder.cache_clear()
    try:
        for name in ("first.mp4", "second.mp4"):
            writer = Mp4Writer(tmp_path / name, (256, 256))
            assert writer.write(np.zeros((256, 256, 3), np.uint8), 0.0)
            writer.close()
            assert len(decoded(tmp_path / name)) == 1
        assert mp4.working_encoder() == stand_in
        assert capsys.readouterr().err.count("encoded on the GPU, by libx264") == 1
    finally:
        mp4.working_encoder.cache_clear()


def test_where_there_is_a_gpu_the_encoder_on_the_processor_is_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A GPU for computing, such as an H100, has no NVENC."""
    monkeypatch.setattr(mp4, "_ENCODERS", (("h264_none", {}), mp4._ENCODERS[-1]))
    try:
        for name, lines in (("", 0), ("NVIDIA H100", 1)):
            mp4.working_encoder.cache_clear()
            monkeypatch.setattr(machine, "gpu", lambda name=name: name)
            for _ in range(2):
                assert mp4.working_encoder()[0] == "libx264"
            errors = capsys.readouterr().err
            assert errors.count("encoded on the processor: h264_none does not open here") == lines
            assert errors.count("\n") == lines
            encoding._say_once.cache_clear()
            for _ in range(2):
                assert encoding.working_encoder() == "libx264" or Path("/dev/nvidia0").exists()
            assert capsys.readouterr().err.count("images for browsers are encoded on") == lines
    finally:
        mp4.working_encoder.cache_clear()


def test_images_reach_the_encoders_without_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of recordings and of ``neuralsim serve``: they are converted from where they are."""
    seen: list[int] = []
    whole = video_frames.shared

    def shared(image: np.ndarray, layout: str) -> av.VideoFrame:
        frame = whole(image, layout)
        seen.append(frame.planes[0].buffer_ptr)
        return frame

    monkeypatch.setattr(video_frames, "shared", shared)
    image = street(128, 64)
    image.flags.writeable = False  # as a runtime's may be
    writer = Mp4Writer(tmp_path / "t.mp4", (128, 64), block=True)
    assert writer.write(image, 0.0)
    writer.close()
    page = PageImage(np.zeros((picture_stamp.ROWS + 256, 512, 4), np.uint8), 0, 0, 0, 0.0)
    assert VideoEncoder("video/H264", 1.0, hardware=False).encode(page, key=True)
    assert seen == [image.ctypes.data, page.pixels.ctypes.data]


def test_the_graphs_image_is_copied_once() -> None:
    """To be the caller's to keep, while the next one is generated; numpy reports its memory to tracemalloc."""
    renderer: Any = NeuralRenderer(runtime="openvino", size=(512, 256), threads=1, postprocess=False)
    inputs = renderer.encode(frames.street(1, 512, 256))
    pinned = renderer.run(inputs).rgb.copy()
    renderer._view.session = SimpleNamespace(step=lambda tensors: pinned)  # whose inputs are not counted
    tracemalloc.start()
    try:
        image = renderer.run(inputs).rgb
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert image.nbytes <= peak < 1.3 * image.nbytes
    assert np.array_equal(image, pinned)
    assert not np.shares_memory(image, pinned)
