"""Numbers within the image itself: a strip of black and white blocks above it, which the page reads and hides.

The page thereby knows exactly what it displays, despite codec, losses and buffers. RTP's timestamps do not serve: not
every browser exposes them, and they start at a random number.
"""

from typing import NamedTuple

import numpy as np

ROWS = 16  # height of the strip in pixels, so that the image below starts at a codec block
_LINES = 2  # of blocks
_COLUMNS = 32  # blocks
LEAST_WIDTH = 8 * _COLUMNS  # minimum width in pixels: blocks of at least 8 x 8 survive any codec
_BLACK = 16  # of 255
_WHITE = 235  # of 255
_POLYNOMIAL = 0x07  # of the CRC-8 checksum, as in ATM


class Stamp(NamedTuple):
    """The numbers of an image; they wrap around at 2^24, ``rendered`` at 2^8."""

    picture: int  # count of displayed images
    control: int  # the driver's newest control that the image contains
    rendered: int  # count of rendered frames; images between them are late warps


def checksum(data: bytes) -> int:
    """Return the CRC-8 of ``data``."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ _POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc


def write(stamp: Stamp, strip: np.ndarray) -> None:
    """Draw ``stamp`` into ``strip``, u8 (ROWS, W, channels) with W at least ``LEAST_WIDTH``."""
    data = (stamp.picture % (1 << 24)).to_bytes(3, "big") + (stamp.control % (1 << 24)).to_bytes(3, "big")
    data += bytes([stamp.rendered % 256])
    bits = np.unpackbits(np.frombuffer(data + bytes([checksum(data)]), np.uint8)).reshape(_LINES, _COLUMNS)
    width = strip.shape[1]
    blocks = np.where(bits, _WHITE, _BLACK).astype(np.uint8)
    across = np.minimum(np.arange(width) * _COLUMNS // width, _COLUMNS - 1)
    strip[:] = np.repeat(blocks[:, across], ROWS // _LINES, axis=0)[:, :, None]


def read(strip: np.ndarray) -> Stamp | None:
    """Return the stamp in ``strip``, u8 (ROWS, W, channels), as the page reads it; None if it is unreadable."""
    width = strip.shape[1]
    x = ((np.arange(_COLUMNS) + 0.5) * width / _COLUMNS).astype(int)
    y = ((np.arange(_LINES) + 0.5) * ROWS / _LINES).astype(int)
    bits = strip[np.ix_(y, x)].mean(axis=2) > 128.0
    data = np.packbits(bits.reshape(-1)).tobytes()
    if checksum(data[:7]) != data[7]:
        return None
    return Stamp(int.from_bytes(data[:3], "big"), int.from_bytes(data[3:6], "big"), data[6])
