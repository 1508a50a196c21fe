"""Write fragmented MP4 (H.264) while driving: every second is complete on disk, so a crash costs at most the last one.

``frag_keyframe+empty_moov`` writes the header first and a self-contained fragment after every key frame; the file plays
without anything written at its end.
"""

import contextlib
import os
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import av.error
import numpy as np

from bridge.untrusted import limits
from neuralsim.base import machine, video_frames
from neuralsim.base.failure import reason
from neuralsim.base.log import logger
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.queued_writer import QueuedWriter

_TIME_BASE = Fraction(1, 90_000)
_QUEUE = 12  # frames between driving and encoding; fewer for large images


#: H.264 encoders with their options, the quickest first. crf 16, and more bits for dark areas: at 20, asphalt and tree
#: crowns lose their film-like texture. NVENC's counterpart, constant quality 19, was never seen.
_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("h264_nvenc", {"preset": "p5", "tune": "hq", "rc": "vbr", "cq": "19", "spatial-aq": "1", "delay": "0"}),
    (
        "libx264",
        {"preset": "veryfast", "crf": "16", "aq-mode": "3", "rc-lookahead": "0", "sync-lookahead": "0"},
    ),
)
_PROBE = 256  # px of a side: NVENC takes no smaller images than some 150


@cache
def working_encoder() -> tuple[str, dict[str, str]]:
    """Return the first encoder that opens here with its options: NVENC on an NVIDIA GPU that has it.

    Many are built in, but few find their hardware. Which one it is, is said once where there is an NVIDIA GPU: those
    for computing, such as an H100, have no encoder.
    """
    for name, options in _ENCODERS[:-1]:
        try:
            codec = av.CodecContext.create(name, "w")
            codec.width = codec.height = _PROBE  # type: ignore[attr-defined]
            codec.pix_fmt, codec.time_base, codec.options = "yuv420p", _TIME_BASE, dict(options)  # type: ignore[attr-defined]
            codec.encode(av.VideoFrame(_PROBE, _PROBE, "yuv420p"))  # type: ignore[attr-defined]
            logger().info(f"recordings are encoded on the GPU, by {name}")
            return name, options
        except (av.error.FFmpegError, ValueError, OSError) as error:
            if machine.gpu():
                logger().info(f"recordings are encoded on the processor: {name} does not open here ({reason(error)})")
    return _ENCODERS[-1]


class Mp4Writer(QueuedWriter[tuple[np.ndarray, float]]):
    """Writes RGB images with their time stamps to ``path``, encoded in a thread of its own.

    ``block``: whether :meth:`write` waits while the encoder is behind (every frame is kept) or drops the frame and
    counts it in ``dropped``. Odd sizes are padded to even ones by repeating the edge.
    Raises :class:`RecordingError` where the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: tuple[int, int], *, rate: float = 30.0, block: bool = False
    ) -> None:
        super().__init__(Path(path), max(min(_QUEUE, limits.WAITING // (3 * size[0] * size[1])), 1), block=block)
        self.size = size  # width, height of the images, px
        self.frames = 0  # encoded
        self._origin: float | None = None
        self._last_pts = -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # flush_packets: libavformat would keep up to 32 KiB of a finished fragment in memory.
            self._file = av.open(
                str(self.path),
                "w",
                format="mp4",
                options={"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
            )
            self._stream = self._open_stream(rate)
        except (OSError, av.error.FFmpegError) as error:
            raise RecordingError(f"cannot record to {self.path}: {reason(error)}") from None
        self._start()

    def write(self, image: np.ndarray, time: float) -> bool:
        """Queue ``image``, u8 (H, W, 3) RGB, shown at ``time`` (s, increasing, any origin). Return whether it was.

        The array is not copied: the caller must not change it afterwards.
        """
        return self._put((image, time))

    def _open_stream(self, rate: float) -> av.VideoStream:
        width, height = self.size
        encoder, quality = working_encoder()
        stream = self._file.add_stream(encoder, rate=Fraction(rate).limit_denominator(1001))
        if not isinstance(stream, av.VideoStream):
            raise RecordingError("this PyAV has no H.264 encoder: pip install av")
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = _TIME_BASE
        context = stream.codec_context
        context.time_base = _TIME_BASE
        context.gop_size = max(round(rate), 1)
        context.max_b_frames = 0
        context.thread_count = 1  # two cores drive, simulate and render; the encoder gets what is left
        context.color_range = 1  # limited
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.options = dict(quality)
        return stream

    def _finish(self) -> None:
        for packet in self._stream.encode(None):
            self._file.mux(packet)
        self._file.close()

    def _abandon(self) -> None:
        with contextlib.suppress(av.error.FFmpegError):
            self._file.close()

    def _add(self, item: tuple[np.ndarray, float]) -> None:
        image, time = item
        if image.shape[1] % 2 or image.shape[0] % 2:
            image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
        if self._origin is None:
            self._origin = time
        frame = video_frames.for_encoder(image, "rgb24", "yuv420p")
        frame.pts = self._last_pts = max(round((time - self._origin) / _TIME_BASE), self._last_pts + 1)
        frame.time_base = _TIME_BASE
        for packet in self._stream.encode(frame):
            self._file.mux(packet)
        self.frames += 1
