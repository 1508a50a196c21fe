"""Fragmented MP4 (H.264), written while driving: every second is closed on disk, so a crash costs at most the last one.

``frag_keyframe+empty_moov`` puts the header first and a self-contained fragment behind every key frame; nothing has to
be written at the end for the file to play.
"""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from bridge.untrusted import limits
from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.queued_writer import QueuedWriter

_TIME_BASE = Fraction(1, 90_000)
_QUEUE = 12  # frames between driving and encoding, fewer of large ones


class Mp4Writer(QueuedWriter[tuple[np.ndarray, float]]):
    """Writes RGB pictures with their time stamps to ``path``, encoding in a thread of its own.

    ``block``: what :meth:`write` does when the encoder is behind: wait (every frame is kept) or leave the frame out and
    count it in ``dropped``. Odd sizes are padded to even ones by repeating the edge.
    Raises :class:`RecordingError` where the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: tuple[int, int], *, rate: float = 30.0, block: bool = False
    ) -> None:
        super().__init__(Path(path), max(min(_QUEUE, limits.WAITING // (3 * size[0] * size[1])), 1))
        self.size = size  # width, height of the pictures, pixels
        self.block = block
        self.frames = 0  # encoded
        self.dropped = 0  # left out because the encoder was behind
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

    def write(self, picture: np.ndarray, time: float) -> bool:
        """Queue ``picture``, u8 (H, W, 3) RGB, shown at ``time`` (s, increasing, any origin). True if it was taken.

        The array is not copied: the caller must not change it afterwards.
        """
        taken = self._put((picture, time), self.block)
        self.dropped += not taken and self.error is None
        return taken

    def _open_stream(self, rate: float) -> av.VideoStream:
        width, height = self.size
        stream = self._file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        if not isinstance(stream, av.VideoStream):
            raise RecordingError("this PyAV has no H.264 encoder: pip install av")
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = _TIME_BASE
        context = stream.codec_context
        context.time_base = _TIME_BASE
        context.gop_size = max(round(rate), 1)
        context.max_b_frames = 0
        context.thread_count = 1  # two cores drive, simulate and paint; the encoder takes the crumbs
        context.color_range = 1  # limited
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        # crf 16, and bits for what is dark: at 20, asphalt and crowns lose what makes them look filmed
        quality = {"preset": "veryfast", "crf": "16", "aq-mode": "3"}
        context.options = quality | {"rc-lookahead": "0", "sync-lookahead": "0"}
        return stream

    def _finish(self) -> None:
        for packet in self._stream.encode(None):
            self._file.mux(packet)
        self._file.close()

    def _abandon(self) -> None:
        with contextlib.suppress(av.error.FFmpegError):
            self._file.close()

    def _add(self, item: tuple[np.ndarray, float]) -> None:
        picture, time = item
        if picture.shape[1] % 2 or picture.shape[0] % 2:
            picture = np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)), mode="edge")
        if self._origin is None:
            self._origin = time
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts = self._last_pts = max(round((time - self._origin) / _TIME_BASE), self._last_pts + 1)
        frame.time_base = _TIME_BASE
        for packet in self._stream.encode(frame):
            self._file.mux(packet)
        self.frames += 1
