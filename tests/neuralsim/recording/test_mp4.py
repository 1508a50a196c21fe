"""MP4: every frame with its time and colours, playable after a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.command import ROOT
from helpers.videos import decoded, street

from neuralsim.recording import RecordingError
from neuralsim.recording.writing import mp4
from neuralsim.recording.writing.mp4 import Mp4Writer


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
