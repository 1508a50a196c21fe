"""Numbers in the picture itself: a strip of black and white blocks above it, which the page reads and does not show.

What a page presents is then known for sure, whatever codec, loss and buffers lie between: RTP's time stamps are not
given to pages by every browser, and begin at a random number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROWS = 16  # pixels that the strip is high: the picture below it begins at a block of the codecs
_LINES, _COLUMNS = 2, 32  # blocks
LEAST_WIDTH = 8 * _COLUMNS  # pixels: blocks of at least 8 x 8 survive any codec
_BLACK, _WHITE = 16, 235
_POLYNOMIAL = 0x07  # of the checksum, CRC-8 as in ATM


class Stamp(NamedTuple):
    """What a picture says about itself; the numbers count on from 0 at 2^24, and ``painted`` at 2^8."""

    picture: int  # counts pictures shown
    control: int  # newest of the driver's controls that it contains
    painted: int  # counts those that were painted: the others are the one before, moved


def checksum(data: bytes) -> int:
    """CRC-8 of ``data``."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ _POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc


def write(stamp: Stamp, strip: np.ndarray) -> None:
    """Paint ``stamp`` into ``strip``, u8 (ROWS, W, channels), W of at least ``LEAST_WIDTH``."""
    data = (stamp.picture % (1 << 24)).to_bytes(3, "big") + (stamp.control % (1 << 24)).to_bytes(3, "big")
    data += bytes([stamp.painted % 256])
    bits = np.unpackbits(np.frombuffer(data + bytes([checksum(data)]), np.uint8)).reshape(_LINES, _COLUMNS)
    width = strip.shape[1]
    blocks = np.where(bits, _WHITE, _BLACK).astype(np.uint8)
    across = np.minimum(np.arange(width) * _COLUMNS // width, _COLUMNS - 1)
    strip[:] = np.repeat(blocks[:, across], ROWS // _LINES, axis=0)[:, :, None]


def read(strip: np.ndarray) -> Stamp | None:
    """The stamp in ``strip``, u8 (ROWS, W, channels), as the page reads it; None where it cannot be read."""
    width = strip.shape[1]
    x = ((np.arange(_COLUMNS) + 0.5) * width / _COLUMNS).astype(int)
    y = ((np.arange(_LINES) + 0.5) * ROWS / _LINES).astype(int)
    bits = strip[np.ix_(y, x)].mean(axis=2) > 128.0
    data = np.packbits(bits.reshape(-1)).tobytes()
    if checksum(data[:7]) != data[7]:
        return None
    return Stamp(int.from_bytes(data[:3], "big"), int.from_bytes(data[3:6], "big"), data[6])
