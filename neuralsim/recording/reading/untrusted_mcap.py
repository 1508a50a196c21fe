"""The one reader of MCAP files: record by record, bounded in what each may cost, past chunks that are damaged.

All that reads recordings goes through here. A chunk whose checksum is wrong, or that would decompress to more than a
chunk may, is skipped by its length and reported as :class:`Lost`; so is everything up to the next chunk that the index
at the end knows of where a length itself is damaged. Foxglove's ``mcap recover`` does the same.
"""

from __future__ import annotations

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
_CHUNK = struct.Struct("<QQQI")  # first and last time of its messages, ns; size and CRC of what it decompresses to
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log and publish time
_INDEX, _ENTRY = struct.Struct("<HI"), struct.Struct("<QQ")  # channel, bytes of entries; time, offset
_FOOTER = 20  # bytes
_SHOWN = 3  # damaged chunks that are reported one by one
_KINDS: dict[int, Any] = {
    Opcode.HEADER: Header, Opcode.SCHEMA: Schema, Opcode.CHANNEL: Channel, Opcode.ATTACHMENT: Attachment,
    Opcode.METADATA: Metadata, Opcode.CHUNK_INDEX: ChunkIndex, Opcode.FOOTER: Footer,
}  # fmt: skip
_MOST: dict[int, int] = {
    Opcode.CHUNK: limits.CHUNK,
    Opcode.ATTACHMENT: limits.ATTACHMENT + limits.KIB,
    Opcode.MESSAGE: limits.CHUNK,
}


@dataclass(frozen=True)
class RecordPlace:
    """A record in the file."""

    opcode: int
    offset: int  # of its content
    length: int  # of its content


@dataclass(frozen=True)
class Lost:
    """What cannot be read: a chunk with messages from ``begin`` to ``end``, ns; both 0 where that is not known."""

    begin: int
    end: int


class _Damaged(Exception):
    """A record that cannot be read."""


def open_recording(path: Path) -> BinaryIO:
    """Open an MCAP file. Raises :class:`RecordingError` for what is none."""
    try:
        file = files.open_regular(path)
        if file.read(len(MAGIC)) == MAGIC:
            return file
        file.close()
    except (OSError, FileRefused) as error:
        raise RecordingError(f"cannot read {path}: {reason(error)}") from None
    raise RecordingError(f"{path} is no recording: it does not begin as an MCAP file")


class Records:
    """The records of an open MCAP file in their order, those in chunks included, up to the end of the data.

    ``cut``: the file ends before its data does. ``lost``: what could not be read so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._later: list[int] | None = None  # where the index at the end says that chunks are
        self._counted: set[int] = set()  # offsets of chunks that were decompressed, and what they had in all
        self._unpacked = 0
        self.cut = False
        self.lost: list[Lost] = []

    def __iter__(self) -> Iterator[McapRecord | Lost]:
        for place in self.places():
            if isinstance(place, Lost):
                yield place
                yield from self.summary(Opcode.SCHEMA, Opcode.CHANNEL)  # which it may have reported
            elif place.opcode == Opcode.CHUNK:
                try:
                    yield from self.chunk(place)
                except _Damaged:
                    yield self._lose(place)
                    yield from self.summary(Opcode.SCHEMA, Opcode.CHANNEL)
            elif place.opcode in _KINDS or place.opcode == Opcode.MESSAGE:
                try:
                    yield self.record(place)
                except _Damaged:
                    yield self._lose(None)

    @property
    def problem(self) -> str:
        """What is missing of what was read so far, in one line; "" if nothing."""
        said = [self.words(self.lost)] if self.lost else []
        return "; ".join([*said, *(["the file was cut short"] if self.cut else [])])

    @staticmethod
    def words(lost: Sequence[Lost]) -> str:
        """What to say of chunks that cannot be read."""
        times = [f"{one.begin / 1e9:.2f} to {one.end / 1e9:.2f} s" for one in lost if one.end]
        shown = ", ".join(times[:_SHOWN]) + (", ..." if len(times) > _SHOWN else "")
        chunks = "a chunk is damaged" if len(lost) == 1 else f"{len(lost)} chunks are damaged"
        return f"{chunks}: {f'frames from {shown}' if shown else 'some frames'} are missing"

    def places(self) -> Iterator[RecordPlace | Lost]:
        """Where every record up to the end of the data is, those in chunks aside."""
        at = len(MAGIC)
        while True:
            head = self._read(at, _HEAD.size)
            if len(head) < _HEAD.size:
                break
            opcode, length = _HEAD.unpack(head)
            place = RecordPlace(opcode, at + _HEAD.size, length)
            if opcode in (Opcode.DATA_END, Opcode.FOOTER) and length <= _FOOTER:
                self.cut = self._read(self._size - len(MAGIC), len(MAGIC)) != MAGIC  # within the index
                return
            if place.offset + length <= self._size and opcode and length <= _MOST.get(opcode, self._size):
                yield place
                at = place.offset + length
                continue
            following = next((offset for offset in self._chunks() if offset > at), None)
            if following is None:
                break
            lost = Lost(0, 0)
            self.lost.append(lost)
            yield lost
            at = following
        self.cut = True

    def record(self, place: RecordPlace) -> McapRecord:
        """A record outside of chunks, but (raising) none that is damaged."""
        if place.length > _MOST.get(place.opcode, limits.RECORD):
            raise _Damaged
        return _record(place.opcode, self._read(place.offset, place.length))

    def optional(self, place: RecordPlace) -> McapRecord | None:
        """A record outside of chunks; None where it is damaged."""
        try:
            return self.record(place)
        except _Damaged:
            return None

    def times(self, place: RecordPlace) -> tuple[int, int]:
        """Of the first and the last message of a chunk, ns."""
        data = self._read(place.offset, _CHUNK.size)
        begin, end, _, _ = _CHUNK.unpack(data) if len(data) == _CHUNK.size else (0, 0, 0, 0)
        return begin, end

    def index(self, place: RecordPlace) -> tuple[int, list[int]]:
        """Channel and times, ns, of a message index; (-1, []) of one that is damaged."""
        data = self._read(place.offset, min(place.length, limits.CHUNK_RECORDS * _ENTRY.size + _INDEX.size))
        if len(data) < _INDEX.size or len(data) < place.length:
            return -1, []
        channel, size = _INDEX.unpack_from(data)
        if size % _ENTRY.size or size != len(data) - _INDEX.size:
            return -1, []
        return channel, [time for time, _ in _ENTRY.iter_unpack(memoryview(data)[_INDEX.size :])]

    def read_chunk(self, place: RecordPlace) -> list[McapRecord] | Lost:
        """What is in a chunk, or that it is lost."""
        try:
            return self.chunk(place)
        except _Damaged:
            return self._lose(place)

    def chunk(self, place: RecordPlace) -> list[McapRecord]:
        """The schemas, channels and messages of a chunk, all or (raising) none."""
        data = self._read(place.offset, place.length)
        if len(data) < _CHUNK.size + 4:
            raise _Damaged
        _, _, size, crc = _CHUNK.unpack_from(data)
        (name_length,) = struct.unpack_from("<I", data, _CHUNK.size)
        begin = _CHUNK.size + 4 + name_length + 8
        if size > limits.CHUNK or begin > len(data):
            raise _Damaged
        self._count(place.offset, size)
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
        """Records of these kinds behind the data, of a file that is not cut short."""
        end = self._size - len(MAGIC) - _FOOTER
        if end < _HEAD.size or self._read(end + _FOOTER, len(MAGIC)) != MAGIC:
            return
        try:
            footer = self.record(RecordPlace(Opcode.FOOTER, end, _FOOTER))
            at = footer.summary_start  # type: ignore[attr-defined]
            while 0 < at < end - _HEAD.size:
                opcode, length = _HEAD.unpack(self._read(at, _HEAD.size))
                if opcode in opcodes:
                    yield self.record(RecordPlace(opcode, at + _HEAD.size, length))
                at += _HEAD.size + length
        except _Damaged:
            return

    def _count(self, offset: int, size: int) -> None:
        """Add what a chunk is decompressed to. Raises :class:`RecordingError` for more than a file of this size has."""
        if offset not in self._counted:
            self._counted.add(offset)
            self._unpacked += size
        if self._unpacked > limits.UNPACKED + limits.PACKED * self._size:
            raise RecordingError(
                f"the recording is packed to less than a {limits.PACKED}th of what is in it, as none of a drive is"
            )

    def _chunks(self) -> list[int]:
        if self._later is None:
            self._later = sorted(index.chunk_start_offset for index in self.summary(Opcode.CHUNK_INDEX))  # type: ignore[attr-defined]
        return self._later

    def _lose(self, place: RecordPlace | None) -> Lost:
        lost = Lost(0, 0) if place is None else Lost(*self.times(place))
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
    if len(data) > _MOST.get(opcode, limits.RECORD):
        raise _Damaged
    try:
        record: McapRecord = _KINDS[opcode].read(ReadDataStream(io.BytesIO(data)))
    except Exception:  # noise: it has errors of many kinds
        raise _Damaged from None
    return record


def _decompress(kind: bytes, data: memoryview, size: int) -> bytes:
    """The ``size`` bytes in a chunk; one more where there are more."""
    try:
        if kind == b"":
            return bytes(data)
        if kind == b"zstd":
            with zstandard.ZstdDecompressor(max_window_size=limits.CHUNK).stream_reader(data) as stream:
                return bytes(stream.read(size + 1))
        if kind == b"lz4":
            from lz4.frame import LZ4FrameDecompressor

            return bytes(LZ4FrameDecompressor().decompress(data, max_length=size + 1))
    except Exception:  # each has errors of its own
        raise _Damaged from None
    raise _Damaged
