"""Pictures as video or JPEG: encoded once, however many pages watch."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import av
import av.error
import cv2
import numpy as np
from av.video.frame import PictureType

from neuralsim.base.log import logger
from neuralsim.serve import picture_stamp

TIME_BASE = Fraction(1, 90_000)  # of RTP
_KEYS = 4.0  # s between key frames that nobody asked for
_RATE = 60  # pictures a second at most: what the encoder spreads its bits over
_JPEG_QUALITY = 82
#: H.264 encoders of graphics processors, with what makes each of them answer at once, and the pixels they take.
_HARDWARE: dict[str, tuple[str, dict[str, str]]] = {
    "h264_nvenc": ("nv12", {"preset": "p2", "tune": "ull", "zerolatency": "1", "delay": "0", "forced-idr": "1"}),
    "h264_qsv": ("nv12", {"preset": "veryfast", "async_depth": "1", "low_power": "1", "forced_idr": "1"}),
    "h264_amf": ("nv12", {"usage": "ultralowlatency", "quality": "speed"}),
    "h264_videotoolbox": ("nv12", {"realtime": "1"}),
    "h264_v4l2m2m": ("nv12", {}),
}
_SOFTWARE: dict[str, tuple[str, dict[str, str]]] = {
    "libx264": ("yuv420p", {"preset": "superfast", "tune": "zerolatency", "crf": "19", "forced-idr": "1"})
}
_VP8: dict[str, tuple[str, dict[str, str]]] = {
    "libvpx": ("yuv420p", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"})
}


class PagePicture(NamedTuple):
    """One to be shown: ``pixels`` u8 (stamp.ROWS + H, W, 4) RGBX, the stamp's strip on top; ``at`` in s; the numbers
    are those of its ``stamp.Stamp``."""

    pixels: np.ndarray
    number: int
    control: int
    painted: int
    at: float


class Encoded(NamedTuple):
    """One that is on its way: a packet of the video, or the bytes of a JPEG."""

    data: av.Packet | bytes
    is_key: bool
    picture: PagePicture


class EncodeError(RuntimeError):
    """No encoder works; one line."""


class Encoder(Protocol):
    """Turns pictures of any size into what is sent."""

    name: str  # of the codec's implementation

    def encode(self, picture: PagePicture, key: bool) -> list[Encoded]:
        """What is to be sent now; ``key``: readable without anything before it."""

    def close(self) -> None:
        """Give back what it holds."""


class VideoEncoder:
    """H.264 or VP8 without any delay: each picture is a packet at once.

    Args:
        mime: ``video/H264`` or ``video/VP8``.
        bitrate: Mbit/s at most.
        hardware: Whether a graphics processor may do it, where it can.
    """

    def __init__(self, mime: str, bitrate: float, hardware: bool = True) -> None:
        kinds = _VP8 if mime == "video/VP8" else {**(_HARDWARE if hardware else {}), **_SOFTWARE}
        self._kinds = {name: kind for name, kind in kinds.items() if name in av.codecs_available}
        self._bitrate = bitrate
        self.name = ""
        self._format = ""
        self._codec: Any = None
        self._size = (0, 0)
        self._begun = 0.0
        self._pts = -1
        self._key = 0.0  # s, when there was a key frame last

    def encode(self, picture: PagePicture, key: bool) -> list[Encoded]:
        """One packet a picture. :class:`EncodeError` where no encoder works."""
        height, width = picture.pixels.shape[:2]
        if self._codec is None or (width, height) != self._size:
            self._open(width, height)
            self._begun, key = self._begun or picture.at, True
        key = key or picture.at - self._key > _KEYS
        if key:
            self._key = picture.at
        frame = av.VideoFrame.from_ndarray(picture.pixels, format="rgba")
        frame = frame.reformat(format=self._format, dst_colorspace="ITU709", dst_color_range="MPEG")
        self._pts = frame.pts = max(round((picture.at - self._begun) / TIME_BASE), self._pts + 1)
        frame.time_base = TIME_BASE
        frame.pict_type = PictureType.I if key else PictureType.NONE
        return [Encoded(packet, packet.is_keyframe, picture) for packet in self._codec.encode(frame)]

    def close(self) -> None:
        """The next picture opens it anew."""
        self._codec = None

    def _open(self, width: int, height: int) -> None:
        """Take the first encoder that works here: many are built in, and few find their hardware."""
        self._codec, self._size = None, (width, height)
        for name, (pixels, options) in list(self._kinds.items()):
            with contextlib.suppress(av.error.FFmpegError, ValueError, OSError):
                codec = self._made(name, pixels, options, width, height)
                probe = av.VideoFrame(width, height, pixels)
                probe.pts, probe.time_base = 0, TIME_BASE
                codec.encode(probe)
                self._codec = codec = self._made(name, pixels, options, width, height)
                self.name, self._format = name, pixels
                return
            del self._kinds[name]  # it will not work for other sizes either
        raise EncodeError("this PyAV can encode no video here: pip install --force-reinstall av")

    def _made(self, name: str, pixels: str, options: dict[str, str], width: int, height: int) -> Any:
        codec: Any = av.CodecContext.create(name, "w")
        codec.width, codec.height, codec.pix_fmt = width, height, pixels
        codec.time_base, codec.framerate = TIME_BASE, Fraction(_RATE, 1)
        codec.gop_size, codec.max_b_frames = 100_000, 0  # key frames come when they are asked for
        codec.thread_count = 1  # the cores simulate and paint
        codec.color_range = 1  # limited
        codec.color_primaries = codec.color_trc = codec.colorspace = 1  # BT.709
        bits = round(self._bitrate * 1e6)
        rate = {"maxrate": str(bits), "bufsize": str(bits // 4)}
        if "crf" not in options:
            codec.bit_rate = bits
        codec.options = options | rate
        if name != "libvpx":
            codec.profile = "Constrained Baseline" if name == "libx264" else "Baseline"
        return codec


def working_encoder() -> str:
    """The H.264 encoder that is taken here, "nothing" where none works."""
    encoder = VideoEncoder("video/H264", 1.0)
    with contextlib.suppress(EncodeError, av.error.FFmpegError):
        encoder.encode(PagePicture(np.zeros((picture_stamp.ROWS + 256, 512, 4), np.uint8), 0, 0, 0, 0.0), key=True)
    return encoder.name or "nothing"


class JpegEncoder:
    """Each picture for itself, without the strip: the message that carries it has the numbers."""

    name = "jpeg"

    def encode(self, picture: PagePicture, key: bool) -> list[Encoded]:
        """One file a picture."""
        shown = cv2.cvtColor(picture.pixels[picture_stamp.ROWS :], cv2.COLOR_RGBA2BGR)
        done, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return [Encoded(data.tobytes(), True, picture)] if done else []

    def close(self) -> None:
        """It holds nothing."""


class EncodingThread(threading.Thread):
    """Encodes the newest picture whenever it is free; ``sent`` is called from here with what came of it."""

    def __init__(self, encoder: Encoder, sent: Callable[[Encoded], None]) -> None:
        super().__init__(name="encode", daemon=True)
        self.encoder = encoder
        self.milliseconds = 0.0  # that a picture takes, lately
        self.error = ""
        self._sent = sent
        self._changed = threading.Condition()
        self._picture: PagePicture | None = None
        self._key = True
        self._ending = False

    def submit(self, picture: PagePicture) -> None:
        """Have it encoded; one that still waits gives way."""
        with self._changed:
            self._picture = picture
            self._changed.notify()

    def request_key(self) -> None:
        """Let the next picture stand for itself."""
        self._key = True

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify()

    def run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._picture is not None or self._ending)
                picture, self._picture = self._picture, None
            if self._ending or picture is None:
                self.encoder.close()
                return
            key, self._key = self._key, False
            begun = time.monotonic()
            try:
                for encoded in self.encoder.encode(picture, key):
                    self._sent(encoded)
            except (EncodeError, av.error.FFmpegError, cv2.error) as error:
                self._fail(str(error))
            self.milliseconds += 0.1 * ((time.monotonic() - begun) * 1e3 - self.milliseconds)

    def _fail(self, words: str) -> None:
        """Say it once; the next picture tries again with a new codec."""
        self.encoder.close()
        self._key = True
        if words != self.error:
            self.error = words
            logger().warning(f"no video: {words}")
