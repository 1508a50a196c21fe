"""Folders of pictures: found, read and written, with errors of one line."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from neuralsim.base.failure import reason

# Its warnings about damaged pictures would come beside our one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_PNG, _PALETTE = b"\x89PNG\r\n\x1a\n", b"\x03"  # signature; colour type, the 26th byte
_STDERR = threading.Lock()  # held while it is redirected
_CODECS = re.compile(rb"Corrupt JPEG|Premature end of JPEG|Invalid SOS|Unsupported marker|libpng |.*JPEG datastream")
_HARMLESS = re.compile(rb"libpng warning|Corrupt JPEG data: \d+ extraneous bytes")


class ImageError(ValueError):
    """A picture or a folder of them that cannot be used; the message says which and why, in one line."""


def pictures(folder: Path) -> list[Path]:
    """The pictures in ``folder`` in the order of their names. Raises ImageError when there are none."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise ImageError(f"{folder}: {reason(error)}") from None
    if not files:
        raise ImageError(f"{folder}: no pictures in it ({', '.join(SUFFIXES)})")
    return files


def beside(folder: Path, stem: str) -> Path:
    """The picture called ``stem`` in ``folder``, whatever its suffix. Raises ImageError when there is none."""
    for suffix in SUFFIXES:
        if (path := folder / (stem + suffix)).is_file():
            return path
    raise ImageError(f"{folder}: no picture called {stem}")


def read(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode a picture as OpenCV does (BGR). Raises ImageError when it is damaged, in part too, or no picture."""
    data = _bytes(path)
    with _codecs_silenced() as said:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None or said:
        raise ImageError(f"{path}: damaged or not a picture")
    return np.asarray(image)


def read_ids(path: Path) -> np.ndarray:
    """A label or instance map, u8 or u16 (H, W). Raises ImageError.

    Of a PNG with a palette it is the indices that count, as in Mapillary Vistas and Pascal VOC.
    """
    data = _bytes(path)
    if data[:8] == _PNG and data[25:26] == _PALETTE:
        return _indices(path)
    ids = read(path, cv2.IMREAD_UNCHANGED)
    if ids.ndim == 3 and (ids == ids[..., :1]).all():
        ids = ids[..., 0]  # one channel written as three
    if ids.ndim != 2 or ids.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: a map of ids has one channel of 8 or 16 bits; this is a colour picture")
    return ids


def _indices(path: Path) -> np.ndarray:
    """Palette indices of a PNG, u8 (H, W): OpenCV gives their colours only. Raises ImageError."""
    try:
        with av.open(str(path)) as file:
            indices = next(file.decode(video=0)).to_ndarray()[0]
    except (av.error.FFmpegError, StopIteration, IndexError):
        raise ImageError(f"{path}: damaged or not a picture") from None
    return np.asarray(indices)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {reason(error)}") from None


@contextmanager
def _codecs_silenced() -> Iterator[list[bytes]]:
    """Keep what libjpeg and libpng write on stderr by themselves off it; fills the list with complaints that cost
    pixels. libjpeg goes on after those and paints grey. What others write meanwhile comes through."""
    complaints: list[bytes] = []
    with _STDERR, open(os.memfd_create("codecs"), "r+b", buffering=0) as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield complaints
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said.read().splitlines(keepends=True):
                if not _CODECS.match(line):
                    os.write(2, line)
                elif not _HARMLESS.match(line):
                    complaints.append(line)


def write_png(path: Path, image: np.ndarray) -> None:
    """Encode ``image`` (OpenCV's channel order) to ``path``, making its folder. Raises ImageError: a full disk."""
    done, coded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ImageError(f"{path}: cannot be compressed")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coded.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: {reason(error)}") from None
