"""Fragmented MP4 (H.264), written while driving: every second is closed on disk, so a crash costs at most the last one.

``frag_keyframe+empty_moov`` puts the header first and a self-contained fragment behind every key frame; nothing has to
be written at the end for the file to play.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

_TIME_BASE = Fraction(1, 90_000)
_QUEUE = 12  # frames between driving and encoding


class RecordingError(RuntimeError):
    """The file cannot be written; the message is one line."""


class Mp4Writer:
    """Writes RGB pictures with their time stamps to ``path``, encoding in a thread of its own.

    ``block``: what :meth:`write` does when the encoder is behind: wait (every frame is kept) or leave the frame out and
    count it in ``dropped``. Odd sizes are padded to even ones by repeating the edge.
    Raises :class:`RecordingError` where the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: tuple[int, int], *, rate: float = 30.0, block: bool = False
    ) -> None:
        self.path = Path(path)
        self.size = size  # width, height of the pictures, pixels
        self.block = block
        self.frames = 0  # encoded
        self.dropped = 0  # left out because the encoder was behind
        self.error: str | None = None  # one line once writing failed; later frames are ignored
        self._queue: queue.Queue[tuple[np.ndarray, float] | None] = queue.Queue(_QUEUE)
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
        self._thread = threading.Thread(target=self._encode_all, name="mp4", daemon=True)
        self._thread.start()

    def write(self, picture: np.ndarray, time: float) -> bool:
        """Queue ``picture``, u8 (H, W, 3) RGB, shown at ``time`` (s, increasing, any origin). True if it was taken.

        The array is not copied: the caller must not change it afterwards.
        """
        if self.error is not None:
            return False
        item = (picture, time)
        if self.block:
            while self.error is None:  # the encoder may fail while this waits for it
                try:
                    self._queue.put(item, timeout=0.2)
                    return True
                except queue.Full:
                    continue
            return False
        try:
            self._queue.put_nowait(item)
            return True
        except queue.Full:
            self.dropped += 1
            return False

    def close(self) -> None:
        """Encode what is queued and close the file; ``error`` tells whether all of it could be written."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.2)
                break
            except queue.Full:
                continue
        self._thread.join()

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
        context.options = {"preset": "veryfast", "crf": "20", "rc-lookahead": "0", "sync-lookahead": "0"}
        return stream

    def _encode_all(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                self._encode(*item)
            for packet in self._stream.encode(None):
                self._file.mux(packet)
            self._file.close()
        except Exception as error:  # whatever it is: a silent encoder would make `write` wait for ever
            self.error = f"recording to {self.path} stopped: {reason(error)}"
            with contextlib.suppress(OSError, ValueError, av.error.FFmpegError):  # already reported
                self._file.close()
            while not self._queue.empty():  # let a waiting `write` or `close` go on
                self._queue.get_nowait()

    def _encode(self, picture: np.ndarray, time: float) -> None:
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


def reason(error: BaseException) -> str:
    """Why a file cannot be written, in words."""
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        return "the disk is full; free some space and start again"
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return " ".join(str(error).split())
