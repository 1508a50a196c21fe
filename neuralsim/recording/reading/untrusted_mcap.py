"""Read MCAP files record by record, with bounded cost for each, and past damaged chunks.

All readers of recordings use this module. A chunk with a wrong checksum, or that would decompress to more than a chunk
may, is skipped by its length and reported as :class:`Lost`. Where a length itself is damaged, so is everything up to
the next chunk in the index at the end of the file. Foxglove's ``mcap recover`` does the same.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, ChunkIndex, Footer, Header, McapRecord, Message, Metadata, Schema
from mcap.writer import MCAP0_MAGIC as MAGIC

from bridge.untrusted import files, limits
from bridge.untrusted.files import FileRefused
from neuralsim.base.failure import reason
from neuralsim.recording import RecordingError

_HEAD = struct.Struct("<BQ")  # opcode, length
_CHUNK = struct.Struct("<QQQI")  # first and last time of its messages, ns; size and CRC of the decompressed content
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log and publish time
_INDEX, _ENTRY = struct.Struct("<HI"), struct.Struct("<QQ")  # channel, bytes of entries; time, offset
_FOOTER = 20  # bytes
_LISTED = 3  # damaged chunks that are reported one by one
_KINDS: dict[int, Any] = {
    Opcode.HEADER: Header, Opcode.SCHEMA: Schema, Opcode.CHANNEL: Channel, Opcode.ATTACHMENT: Attachment,
    Opcode.METADATA: Metadata, Opcode.CHUNK_INDEX: ChunkIndex, Opcode.FOOTER: Footer,
}  # fmt: skip
_LARGEST: dict[int, int] = {
    Opcode.CHUNK: limits.CHUNK,
    Opcode.ATTACHMENT: limits.ATTACHMENT + limits.KIB,
    Opcode.MESSAGE: limits.CHUNK,
}


@dataclass(frozen=True)
class RecordLocation:
    """The location of a record in the file."""

    opcode: int
    offset: int  # of its content
    length: int  # of its content


@dataclass(frozen=True)
class Lost:
    """An unreadable chunk, with messages from ``begin`` to ``end``, ns; both 0 where that is unknown."""

    begin: int
    end: int


class _Damaged(Exception):
    """The record cannot be read."""


def open_recording(path: Path) -> BinaryIO:
    """Open an MCAP file. Raises :class:`RecordingError` for other files."""
    try:
        file = files.open_regular(path)
        if file.read(len(MAGIC)) == MAGIC:
            return file
        file.close()
    except (OSError, FileRefused) as error:
        raise RecordingError(f"cannot read {path}: {reason(error)}") from None
    raise RecordingError(f"{path} is no recording: it does not begin like an MCAP file")


class Records:
    """Iterates over the records of an open MCAP file in order, including those in chunks, up to the end of the data.

    ``cut``: the file ends before its data does. ``lost``: the unreadable chunks so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._indexed_chunks: list[int] | None = None  # offsets of chunks in the index at the end
        self._counted: set[int] = set()  # offsets of decompressed chunks
        self._unpacked = 0  # bytes in all of them
        self.cut = False
        self.lost: list[Lost] = []

    def __iter__(self) -> Iterator[McapRecord | Lost]:
        for location in self.locations():
            if isinstance(location, Lost):
                yield location
                yield from self.summary(Opcode.SCHEMA, Opcode.CHANNEL)  # that the lost part may have had
            elif location.opcode == Opcode.CHUNK:
                try:
                    yield from self.chunk(location)
                except _Damaged:
                    yield self._lose(location)
                    yield from self.summary(Opcode.SCHEMA, Opcode.CHANNEL)
            elif location.opcode in _KINDS or location.opcode == Opcode.MESSAGE:
                try:
                    yield self.record(location)
                except _Damaged:
                    yield self._lose(None)

    @property
    def problem(self) -> str:
        """What is missing so far, in one line; "" if nothing."""
        parts = [self.describe(self.lost)] if self.lost else []
        return "; ".join([*parts, *(["the file is truncated"] if self.cut else [])])

    @staticmethod
    def describe(lost: Sequence[Lost]) -> str:
        """Return a message about unreadable chunks."""
        times = [f"{chunk.begin / 1e9:.2f} to {chunk.end / 1e9:.2f} s" for chunk in lost if chunk.end]
        listed = ", ".join(times[:_LISTED]) + (", ..." if len(times) > _LISTED else "")
        chunks = "a chunk is damaged" if len(lost) == 1 else f"{len(lost)} chunks are damaged"
        return f"{chunks}: {f'frames from {listed}' if listed else 'some frames'} are missing"

    def locations(self) -> Iterator[RecordLocation | Lost]:
        """Yield the location of every record up to the end of the data, except those in chunks."""
        at = len(MAGIC)
        while True:
            head = self._read(at, _HEAD.size)
            if len(head) < _HEAD.size:
                break
            opcode, length = _HEAD.unpack(head)
            location = RecordLocation(opcode, at + _HEAD.size, length)
            if opcode in (Opcode.DATA_END, Opcode.FOOTER) and length <= _FOOTER:
                self.cut = self._read(self._size - len(MAGIC), len(MAGIC)) != MAGIC  # within the index
                return
            if location.offset + length <= self._size and opcode and length <= _LARGEST.get(opcode, self._size):
                yield location
                at = location.offset + length
                continue
            following = next((offset for offset in self._chunks() if offset > at), None)
            if following is None:
                break
            lost = Lost(0, 0)
            self.lost.append(lost)
            yield lost
            at = following
        self.cut = True

    def record(self, location: RecordLocation) -> McapRecord:
        """Return a record outside of chunks; raises where it is damaged."""
        if location.length > _LARGEST.get(location.opcode, limits.RECORD):
            raise _Damaged
        return _record(location.opcode, self._read(location.offset, location.length))

    def optional(self, location: RecordLocation) -> McapRecord | None:
        """Return a record outside of chunks; None where it is damaged."""
        try:
            return self.record(location)
        except _Damaged:
            return None

    def times(self, location: RecordLocation) -> tuple[int, int]:
        """Return the times of the first and the last message of a chunk, ns."""
        data = self._read(location.offset, _CHUNK.size)
        begin, end, _, _ = _CHUNK.unpack(data) if len(data) == _CHUNK.size else (0, 0, 0, 0)
        return begin, end

    def index(self, location: RecordLocation) -> tuple[int, list[int]]:
        """Return the channel and the times, ns, of a message index; (-1, []) for a damaged one."""
        data = self._read(location.offset, min(location.length, limits.CHUNK_RECORDS * _ENTRY.size + _INDEX.size))
        if len(data) < _INDEX.size or len(data) < location.length:
            return -1, []
        channel, size = _INDEX.unpack_from(data)
        if size % _ENTRY.size or size != len(data) - _INDEX.size:
            return -1, []
        return channel, [time for time, _ in _ENTRY.iter_unpack(memoryview(data)[_INDEX.size :])]

    def read_chunk(self, location: RecordLocation) -> list[McapRecord] | Lost:
        """Return the records of a chunk, or that it is lost."""
        try:
            return self.chunk(location)
        except _Damaged:
            return self._lose(location)

    def chunk(self, location: RecordLocation) -> list[McapRecord]:
        """Return the schemas, channels and messages of a chunk; raises where any is damaged."""
        data = self._read(location.offset, location.length)
        if len(data) < _CHUNK.size + 4:
            raise _Damaged
        _, _, size, crc = _CHUNK.unpack_from(data)
        (name_length,) = struct.unpack_from("<I", data, _CHUNK.size)
        begin = _CHUNK.size + 4 + name_length + 8
        if size > limits.CHUNK or begin > len(data):
            raise _Damaged
        self._count(location.offset, size)
        content = _decompress(data[_CHUNK.size + 4 : begin - 8], memoryview(data)[begin:], size)
        if len(content) != size or (crc and zlib.crc32(content) != crc):
            raise _Damaged
        records: list[McapRecord] = []
        view = memoryview(content)
        at = count = 0
        while at < size:
            if at + _HEAD.size > size or (count := count + 1) > limits.CHUNK_RECORDS:
                raise _Damaged
            opcode, length = _HEAD.unpack_from(content, at)
            at += _HEAD.size
            if at + length > size:
                raise _Damaged
            if opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
                records.append(_record(opcode, view[at : at + length]))
            at += length
        return records

    def summary(self, *opcodes: int) -> Iterator[McapRecord]:
        """Yield records of these kinds after the data, of a file that is not truncated."""
        end = self._size - len(MAGIC) - _FOOTER
        if end < _HEAD.size or self._read(end + _FOOTER, len(MAGIC)) != MAGIC:
            return
        try:
            footer = self.record(RecordLocation(Opcode.FOOTER, end, _FOOTER))
            at = footer.summary_start  # type: ignore[attr-defined]
            while 0 < at < end - _HEAD.size:
                opcode, length = _HEAD.unpack(self._read(at, _HEAD.size))
                if opcode in opcodes:
                    yield self.record(RecordLocation(opcode, at + _HEAD.size, length))
                at += _HEAD.size + length
        except _Damaged:
            return

    def _count(self, offset: int, size: int) -> None:
        """Count a chunk's decompressed size. Raises :class:`RecordingError` for too much for a file of this size."""
        if offset not in self._counted:
            self._counted.add(offset)
            self._unpacked += size
        if self._unpacked > limits.UNPACKED + limits.PACKED * self._size:
            raise RecordingError(
                f"the recording is compressed to less than 1/{limits.PACKED} of its content, which no recorded drive is"
            )

    def _chunks(self) -> list[int]:
        if self._indexed_chunks is None:
            self._indexed_chunks = sorted(index.chunk_start_offset for index in self.summary(Opcode.CHUNK_INDEX))  # type: ignore[attr-defined]
        return self._indexed_chunks

    def _lose(self, location: RecordLocation | None) -> Lost:
        lost = Lost(0, 0) if location is None else Lost(*self.times(location))
        self.lost.append(lost)
        return lost

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(min(length, max(self._size - offset, 0)))


def _record(opcode: int, data: bytes | memoryview) -> McapRecord:
    if opcode == Opcode.MESSAGE:
        if len(data) < _MESSAGE.size:
            raise _Damaged
        channel, sequence, log_time, publish_time = _MESSAGE.unpack_from(data)
        return Message(channel, log_time, bytes(data[_MESSAGE.size :]), publish_time, sequence)
    if len(data) > _LARGEST.get(opcode, limits.RECORD):
        raise _Damaged
    try:
        record: McapRecord = _KINDS[opcode].read(ReadDataStream(io.BytesIO(data)))
    except Exception:  # the parser raises errors of many kinds
        raise _Damaged from None
    return record


def _decompress(kind: bytes, data: memoryview, size: int) -> bytes:
    """Return the ``size`` bytes in a chunk; one more where there are more."""
    try:
        if kind == b"":
            return bytes(data)
        if kind == b"zstd":
            with zstandard.ZstdDecompressor(max_window_size=limits.CHUNK).stream_reader(data) as stream:
                return bytes(stream.read(size + 1))
        if kind == b"lz4":
            from lz4.frame import LZ4FrameDecompressor

            return bytes(LZ4FrameDecompressor().decompress(data, max_length=size + 1))
    except Exception:  # each library has its own errors
        raise _Damaged from None
    raise _Damaged
