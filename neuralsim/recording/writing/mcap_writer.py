"""Write recordings as MCAP while driving: a chunk goes to disk at least twice a second.

Log times are simulated nanoseconds. A chunk is compressed with zstd and carries its CRC, so that a file whose writer
was killed can be read up to its last chunk, and one with a damaged chunk beyond it.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import mcap.writer
import numpy as np
import zstandard
from mcap.writer import CompressionType, IndexType, Writer

from bridge.messages import Frame
from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.topics import SHARED, json_topics, messages, protobuf_topics
from neuralsim.recording.writing.queued_writer import QueuedWriter

FLUSH = 0.5  # s of wall clock within which frames are on disk
CHUNK = 8 << 20  # bytes, before compression
#: Level 1 takes half of the time of ``mcap``'s level 3, for files that are 4 % larger. By default it looks back 512 KiB
#: and would miss what a frame repeats from the one before.
_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(1, source_size=CHUNK, window_log=22, hash_log=16)
_FrameAndImage = tuple[Frame, "np.ndarray | None"]


class _Compressor(threading.local):
    """A compressor for each thread that writes: a new one for each chunk would allocate its tables again."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(compression_params=_COMPRESSION).compress


mcap.writer.zstandard = _Compressor()  # type: ignore[assignment]  # ``mcap`` has no option for the level


class McapWriter(QueuedWriter[_FrameAndImage]):
    """Writes frames to ``path`` in a thread of its own.

    ``planes``: of tag, instance, depth, motion, rgb, neural. ``about`` becomes the metadata record "recording",
    ``files`` (name -> content) attachments. ``views`` are the names of further cameras; in each tick their frames come
    before that of the first camera. ``depth``: frames between driving and writing. ``block``: wait while the writer is
    further behind, or drop the frame and count it in ``dropped``. Raises :class:`RecordingError` where the file cannot
    be opened; later, ``error`` is one line.
    """

    def __init__(
        self,
        path: str | Path,
        planes: Sequence[str],
        about: Mapping[str, str],
        files: Mapping[str, bytes] | None = None,
        views: Sequence[str] = (),
        depth: int = 8,
        block: bool = True,
    ) -> None:
        super().__init__(Path(path), depth, FLUSH, block=block)
        self.planes, self.views = tuple(planes), tuple(views)
        self.frames = 0  # written
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("wb")
        except OSError as error:
            raise RecordingError(f"cannot record to {self.path}: {reason(error)}") from None
        self._writer = Writer(
            self._file, CHUNK, CompressionType.ZSTD, IndexType.ALL, enable_crcs=True, enable_data_crcs=False
        )
        self._about, self._files = dict(about), dict(files or {})
        self._due = 0.0
        self._start()

    def write(self, frame: Frame, neural: np.ndarray | None) -> bool:
        """Queue a frame and its image, u8 (H, W, 3) RGB, which must not change any more. Return whether it was."""
        return self._put((frame, neural))

    def _begin(self) -> None:
        writer = self._writer
        writer.start(profile="", library="neuralsim")
        for name, content in self._files.items():
            writer.add_attachment(0, 0, name, "application/octet-stream", content)
        about = {"planes": ",".join(self.planes), "views": ",".join(self.views)}
        writer.add_metadata("recording", {**self._about, **about})
        self._channels: dict[str, int] = {}
        schemas: dict[str, int] = {}
        topics = [protobuf_topics(self.planes, view) for view in ("", *self.views)]
        for topic, name in {**SHARED, **{topic: name for of_view in topics for topic, name in of_view.items()}}.items():
            if name not in schemas:
                schemas[name] = writer.register_schema(name, "protobuf", foxglove.descriptors(name))
            self._channels[topic] = writer.register_channel(topic, "protobuf", schemas[name])
        for topic, (name, schema) in json_topics(self.views).items():
            if name not in schemas:
                content = json.dumps({"title": name, **schema}).encode()
                schemas[name] = writer.register_schema(name, "jsonschema", content)
            self._channels[topic] = writer.register_channel(topic, "json", schemas[name])
        self._due = time.monotonic() + FLUSH

    def _add(self, item: _FrameAndImage) -> None:
        frame, neural = item
        now = round(frame.sim_time * 1e9)
        for topic, data in messages(frame, neural, self.planes):
            self._writer.add_message(self._channels[topic], now, data, now, self.frames)
        self.frames += not frame.view
        if time.monotonic() >= self._due:
            self._rest()

    def _rest(self) -> None:
        self._writer.flush()
        self._due = time.monotonic() + FLUSH

    def _finish(self) -> None:
        self._writer.finish()
        self._file.close()

    def _abandon(self) -> None:
        with suppress(OSError, ValueError):
            self._file.close()
