"""A hostile file, and helpers to build one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LONG = "9" * 5000

SCENARIO = """title: Hostile
duration: 1
ego:
  spawn: {point: 0}
  do:
  - follow_lane: {speed: 5}
assert: []
"""


@dataclass(frozen=True)
class Attack:
    """A hostile file.

    ``commands``: ``neuralsim`` command lines with ``{file}`` and the writable folder ``{out}``; ``refused``: whether
    each must exit with 1, otherwise 0 is allowed, too.
    """

    name: str
    write: Callable[[Path], None] = field(repr=False)  # to this path
    commands: tuple[str, ...]
    suffix: str
    refused: bool = True


def png(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """Return a black PNG, highly compressed. ``colour``: PNG's type, 0 grey, 2 RGB, 3 palette."""
    channels = 3 if colour == 2 else 1
    left = height * (1 + width * channels * depth // 8)  # bytes, all of them 0
    step = min(left, 1 << 24)
    packer = zlib.compressobj(9, wbits=-15)
    # refers to nothing before it, so that it can be repeated: deflating gigabytes takes half a minute
    block = packer.compress(bytes(step)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(left % step)) + packer.flush()
    data = b"\x78\xda" + block * (left // step) + rest + struct.pack(">HH", left % 65521, 1)  # Adler-32 of zeros
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = [(b"PLTE", bytes(3 * 256))] if colour == 3 else []
    parts = [(b"IHDR", head), *palette, (b"IDAT", data), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def text_file(text: str) -> Callable[[Path], None]:
    """Return a function that writes this text."""
    return lambda path: path.write_text(text, encoding="utf-8", newline="") and None


def binary_file(data: bytes) -> Callable[[Path], None]:
    """Return a function that writes these bytes."""
    return lambda path: path.write_bytes(data) and None
