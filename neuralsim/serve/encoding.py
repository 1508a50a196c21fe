"""Encodes images as video or JPEG, once for all pages."""

import contextlib
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple, Protocol

import av
import av.error
import cv2
import numpy as np
from av.video.frame import PictureType

from neuralsim.base import machine, video_frames
from neuralsim.base.log import logger
from neuralsim.serve import picture_stamp

TIME_BASE = Fraction(1, 90_000)  # of RTP
_KEYS = 4.0  # s between key frames without a request
_RATE = 60  # maximum frames per second, over which the encoder spreads its bits
_JPEG_QUALITY = 82
#: Hardware H.264 encoders with their pixel formats and low-latency options.
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


class PageImage(NamedTuple):
    """An image for the pages: ``pixels`` u8 (picture_stamp.ROWS + H, W, 4) RGBX with the stamp's strip on top.

    ``at`` is its time in s, and the numbers are those of its ``picture_stamp.Stamp``.
    """

    pixels: np.ndarray
    number: int
    control: int
    rendered: int
    at: float


class Encoded(NamedTuple):
    """An encoded image: a packet of the video, or the bytes of a JPEG."""

    data: av.Packet | bytes
    is_key: bool
    image: PageImage


class EncodeError(RuntimeError):
    """No encoder works; the message is one line."""


class Encoder(Protocol):
    """Encodes images of any size."""

    name: str  # of the encoder's implementation

    def encode(self, image: PageImage, key: bool) -> list[Encoded]:
        """Return what can be sent now; ``key``: decodable without anything before it."""

    def close(self) -> None:
        """Release the codec."""


class VideoEncoder:
    """An H.264 or VP8 encoder without delay: each image immediately gives a packet.

    Args:
        mime: ``video/H264`` or ``video/VP8``.
        bitrate: Maximum, Mbit/s.
        hardware: Whether to use a hardware encoder if there is one.
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
        self._key_at = 0.0  # s, time of the last key frame

    def encode(self, image: PageImage, key: bool) -> list[Encoded]:
        """Return one packet. Raises :class:`EncodeError` if no encoder works."""
        height, width = image.pixels.shape[:2]
        if self._codec is None or (width, height) != self._size:
            self._open(width, height)
            self._begun, key = self._begun or image.at, True
        key = key or image.at - self._key_at > _KEYS
        if key:
            self._key_at = image.at
        frame = video_frames.for_encoder(image.pixels, "rgba", self._format)
        self._pts = frame.pts = max(round((image.at - self._begun) / TIME_BASE), self._pts + 1)
        frame.time_base = TIME_BASE
        frame.pict_type = PictureType.I if key else PictureType.NONE
        return [Encoded(packet, packet.is_keyframe, image) for packet in self._codec.encode(frame)]

    def close(self) -> None:
        """Release the codec; the next image opens it again."""
        self._codec = None

    def _open(self, width: int, height: int) -> None:
        """Open the first encoder that works here: many are built in, but few find their hardware."""
        self._codec, self._size = None, (width, height)
        for name, (pixels, options) in list(self._kinds.items()):
            with contextlib.suppress(av.error.FFmpegError, ValueError, OSError):
                codec = self._create(name, pixels, options, width, height)
                probe = av.VideoFrame(width, height, pixels)
                probe.pts, probe.time_base = 0, TIME_BASE
                codec.encode(probe)
                self._codec = codec = self._create(name, pixels, options, width, height)
                self.name, self._format = name, pixels
                _say_once(name)
                return
            del self._kinds[name]  # it will not work for other sizes either
        raise EncodeError("PyAV has no working video encoder: pip install --force-reinstall av")

    def _create(self, name: str, pixels: str, options: dict[str, str], width: int, height: int) -> Any:
        codec: Any = av.CodecContext.create(name, "w")
        codec.width, codec.height, codec.pix_fmt = width, height, pixels
        codec.time_base, codec.framerate = TIME_BASE, Fraction(_RATE, 1)
        codec.gop_size, codec.max_b_frames = 100_000, 0  # key frames are made on request
        codec.thread_count = 1  # the other cores simulate and render
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


@cache
def _say_once(encoder: str) -> None:
    """Say which encoder is used where there is an NVIDIA GPU, which may have one, and one that opens."""
    if machine.gpu():
        where = "the GPU" if encoder in _HARDWARE else "the processor"
        logger().info(f"images for browsers are encoded on {where}, by {encoder}")


def working_encoder() -> str:
    """Return the name of the H.264 encoder in use on this machine, "nothing" if none works."""
    encoder = VideoEncoder("video/H264", 1.0)
    with contextlib.suppress(EncodeError, av.error.FFmpegError):
        encoder.encode(PageImage(np.zeros((picture_stamp.ROWS + 256, 512, 4), np.uint8), 0, 0, 0, 0.0), key=True)
    return encoder.name or "nothing"


class JpegEncoder:
    """A JPEG encoder; it omits the strip, since the message that carries the image has the numbers."""

    name = "jpeg"

    def encode(self, image: PageImage, key: bool) -> list[Encoded]:
        """Return the image as one JPEG file."""
        shown = cv2.cvtColor(image.pixels[picture_stamp.ROWS :], cv2.COLOR_RGBA2BGR)
        is_encoded, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return [Encoded(data.tobytes(), True, image)] if is_encoded else []

    def close(self) -> None:
        """Do nothing: there is no codec."""


class EncodingThread(threading.Thread):
    """Encodes the latest image; ``on_encoded`` is called from this thread with the results."""

    def __init__(self, encoder: Encoder, on_encoded: Callable[[Encoded], None]) -> None:
        super().__init__(name="encode", daemon=True)
        self.encoder = encoder
        self.milliseconds = 0.0  # per image, recent average
        self.error = ""
        self._on_encoded = on_encoded
        self._changed = threading.Condition()
        self._image: PageImage | None = None
        self._key = True
        self._ending = False

    def submit(self, image: PageImage) -> None:
        """Set the image to encode next; it replaces one that still waits."""
        with self._changed:
            self._image = image
            self._changed.notify()

    def request_key(self) -> None:
        """Make the next image a key frame."""
        self._key = True

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify()

    def run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._image is not None or self._ending)
                image, self._image = self._image, None
            if self._ending or image is None:
                self.encoder.close()
                return
            key, self._key = self._key, False
            begun = time.monotonic()
            try:
                for encoded in self.encoder.encode(image, key):
                    self._on_encoded(encoded)
            except (EncodeError, av.error.FFmpegError, cv2.error) as error:
                self._fail(str(error))
            self.milliseconds += 0.1 * ((time.monotonic() - begun) * 1e3 - self.milliseconds)

    def _fail(self, message: str) -> None:
        """Log an error once; the next image tries again with a new codec."""
        self.encoder.close()
        self._key = True
        if message != self.error:
            self.error = message
            logger().warning(f"no video: {message}")
