"""Images and their numbers survive encoding and decoding."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from helpers.frames import rendered

from neuralsim.renderer.views import View
from neuralsim.serve import picture_stamp
from neuralsim.serve.canvas import Canvas
from neuralsim.serve.encoding import Encoded, EncodingThread, JpegEncoder, PageImage, VideoEncoder
from neuralsim.serve.picture_stamp import ROWS, Stamp

WEB = Path(picture_stamp.__file__).parent / "web"


def picture(number: int, size: tuple[int, int] = (512, 256)) -> PageImage:
    """Return a moving test image with its stamp."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.zeros((ROWS + height, width, 4), np.uint8)
    pixels[ROWS:, :, 0] = (columns + 3 * number) % 256
    pixels[ROWS:, :, 1] = rows * 255 // height
    pixels[ROWS:, :, 2] = 90
    picture_stamp.write(Stamp(number, 7 * number, number // 2), pixels[:ROWS])
    return PageImage(pixels, number, 7 * number, number // 2, number / 30.0)


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8"])
@pytest.mark.parametrize("size", [(512, 256), (256, 128)])
def test_numbers_and_image_survive_the_codec(mime: str, size: tuple[int, int]):
    encoder = VideoEncoder(mime, 2.0, hardware=False)
    decoder = av.CodecContext.create("h264" if mime == "video/H264" else "vp8", "r")
    shown = []
    for number in range(12):
        sent = picture(1000 + number, size)
        (encoded,) = encoder.encode(sent, key=number == 7)  # without delay
        assert encoded.is_key == (number in (0, 7))
        assert isinstance(encoded.data, av.Packet)
        for frame in decoder.decode(encoded.data):
            image = frame.reformat(format="rgb24", src_colorspace="ITU709", src_color_range="MPEG").to_ndarray()
            shown.append(picture_stamp.read(image[:ROWS]))
            assert np.abs(image[ROWS:].astype(int) - sent.pixels[ROWS:, :, :3]).mean() < 12.0
    assert shown == [Stamp(1000 + n, 7 * (1000 + n) % (1 << 24), (1000 + n) // 2 % 256) for n in range(12)]


def test_a_new_size_begins_a_new_video():
    encoder = VideoEncoder("video/H264", 2.0, hardware=False)
    assert encoder.encode(picture(1), False)[0].is_key
    assert not encoder.encode(picture(2), False)[0].is_key
    assert encoder.encode(picture(3, (256, 128)), False)[0].is_key


def test_a_damaged_stamp_is_detected():
    pixels = picture(5).pixels[:ROWS].copy()
    assert picture_stamp.read(pixels) == Stamp(5, 35, 2)
    pixels[:8, :16] = 255 - pixels[:8, :16]
    assert picture_stamp.read(pixels) is None
    assert picture_stamp.checksum(b"123456789") == 0xF4  # CRC-8's check value


def test_jpeg_leaves_the_strip_out():
    (encoded,) = JpegEncoder().encode(picture(3), False)
    assert isinstance(encoded.data, bytes)
    assert cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_COLOR).shape == (256, 512, 3)


def test_the_latest_image_is_encoded_without_blocking():
    sent: list[Encoded] = []
    some, go = threading.Event(), threading.Event()

    def take(encoded: Encoded) -> None:
        sent.append(encoded)
        some.set()
        go.wait(5.0)

    thread = EncodingThread(JpegEncoder(), take)
    thread.start()
    thread.submit(picture(1, (256, 32)))
    assert some.wait(5.0)
    for number in (2, 3, 4):
        thread.submit(picture(number, (256, 32)))
    some.clear()
    go.set()
    assert some.wait(5.0)
    thread.stop()
    thread.join(5.0)
    assert [each.image.number for each in sent] == [1, 4]


def test_views_match_those_of_the_window():
    canvas = Canvas()
    assert canvas.draw() is None
    canvas.set_frame(*rendered(320, 64))
    neural = canvas.draw()
    assert neural is not None
    assert neural.shape == (ROWS + 64, 320, 4)
    assert (neural[ROWS:, :, :3] == (90, 120, 150)).all()
    canvas.choose(View.SPLIT)
    canvas.divider = 0.25
    split = canvas.draw()
    assert split is not None
    assert (split[ROWS:, :78, :3] == (90, 120, 150)).all()
    assert (split[ROWS:, 82:, :3] != (90, 120, 150)).any(axis=2).all()
    canvas.choose(View.RGB)
    assert canvas.needs_rgb
    shown = canvas.draw()
    assert shown is not None
    assert (shown[ROWS:] == neural[ROWS:]).all()
    assert "not in this frame" in canvas.title_of_view


def test_warped_and_mirrored_images():
    canvas = Canvas()
    frame, neural = rendered(256, 32)
    neural[:, :128] = 0
    canvas.set_frame(frame, neural)

    def right(pixels: np.ndarray, out: np.ndarray) -> bool:
        out[:] = np.roll(pixels, 64, axis=1)
        return True

    moved = canvas.draw(right)
    assert moved is not None
    assert not moved[ROWS:, 64:192, :3].any()
    frame.mount = "reversing"
    mirrored = canvas.draw()
    assert mirrored is not None
    assert not mirrored[ROWS:, 128:, :3].any()


@pytest.mark.parametrize("size", [(64, 32), (33, 33), (257, 131)])
def test_any_size_can_be_encoded_and_stamped(size: tuple[int, int]):
    canvas = Canvas()
    canvas.set_frame(*rendered(*size))
    pixels = canvas.draw()
    assert pixels is not None
    assert pixels.shape[1] >= picture_stamp.LEAST_WIDTH
    assert not any(side % 2 for side in pixels.shape[:2])
    picture_stamp.write(Stamp(1, 2, 3), pixels[:ROWS])
    assert picture_stamp.read(pixels[:ROWS]) == Stamp(1, 2, 3)


def test_the_page_loads_no_external_resources_and_has_no_inline_code():
    for file in WEB.iterdir():
        text = file.read_text(encoding="utf-8")
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "").replace('"}://${location.host}', ""), file
    page = (WEB / "index.html").read_text(encoding="utf-8")
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick" not in page
    assert page.count("<script") == 1


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_page_and_server_compute_the_same_checksum():
    script = (WEB / "stamp.js").read_text(encoding="utf-8") + "\nconsole.log(checksum(Buffer.from('123456789')))"
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0xF4
