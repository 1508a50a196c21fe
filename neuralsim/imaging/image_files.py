"""Lists, reads and writes image files, with errors of one line."""

import io
import struct
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from bridge.untrusted import limits
from bridge.untrusted.files import FileRefused, read_bytes
from neuralsim.base.failure import reason
from neuralsim.recording.reading.image_decoding import decode

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_PNG = b"\x89PNG\r\n\x1a\n"  # signature
_PALETTE = b"\x03"  # colour type, the 26th byte


class ImageError(ValueError):
    """An image or a folder of images cannot be used; the message says which and why, in one line."""


def list_images(folder: Path) -> list[Path]:
    """Return the images in ``folder`` in the order of their names. Raises ImageError if there are none."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise ImageError(f"{folder}: {reason(error)}") from None
    if not files:
        raise ImageError(f"{folder}: contains no images ({', '.join(SUFFIXES)})")
    return files


def find_image(folder: Path, stem: str) -> Path:
    """Return the image named ``stem`` in ``folder``, with any suffix. Raises ImageError if there is none."""
    for suffix in SUFFIXES:
        if (path := folder / (stem + suffix)).is_file():
            return path
    raise ImageError(f"{folder}: no image named {stem}")


def read_image(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode an image as OpenCV does (BGR). Raises ImageError if it is no image or damaged, even partly."""
    image = decode(_bytes(path), flags)
    if image is None:
        raise ImageError(f"{path}: damaged or not an image")
    return image


def read_coded(path: Path) -> np.ndarray:
    """Decode an image as it is coded (BGR, BGRA or one channel; any depth), one with a palette as its indices.

    Raises ImageError.
    """
    data = _bytes(path)
    if data[:8] == _PNG and data[25:26] == _PALETTE:
        return _indices(path, data)
    image = decode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(f"{path}: damaged or not an image")
    return image


def read_ids(path: Path) -> np.ndarray:
    """Read a label or instance map, u8 or u16 (H, W). Raises ImageError.

    A PNG with a palette is read as its indices, as in Mapillary Vistas and Pascal VOC.
    """
    data = _bytes(path)
    if data[:8] == _PNG and data[25:26] == _PALETTE:
        return _indices(path, data)
    ids = read_image(path, cv2.IMREAD_UNCHANGED)
    if ids.ndim == 3 and (ids == ids[..., :1]).all():
        ids = ids[..., 0]  # one channel written as three
    if ids.ndim != 2 or ids.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: a map of ids has one channel of 8 or 16 bits; this is a colour image")
    return ids


def _indices(path: Path, data: bytes) -> np.ndarray:
    """Read the palette indices of a PNG, u8 (H, W): OpenCV returns only their colours. Raises ImageError."""
    width, height = struct.unpack(">II", data[16:24])
    try:
        if width * height > limits.PIXELS:
            raise ImageError(f"{path}: {width}x{height} pixels; the limit is {limits.PIXELS}")
        with av.open(io.BytesIO(data), "r", format="png_pipe") as file:
            indices = next(file.decode(video=0)).to_ndarray()[0]
    except (av.error.FFmpegError, StopIteration, IndexError):
        raise ImageError(f"{path}: damaged or not an image") from None
    return np.asarray(indices)


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path, limits.PICTURE_SIZE)
    except (OSError, FileRefused) as error:
        raise ImageError(f"{path}: {reason(error)}") from None


def write_png(path: Path, image: np.ndarray) -> None:
    """Write ``image`` (OpenCV's channel order) to ``path``, creating its folder. Raises ImageError."""
    done, coded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ImageError(f"{path}: cannot be compressed")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coded.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: {reason(error)}") from None
