"""Folders of pictures: found, read and written, with errors of one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from neuralsim.recording.mp4 import reason

# Its warnings about damaged pictures would come beside our one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class ImageError(ValueError):
    """A picture or a folder of them that cannot be used; the message says which and why, in one line."""


def pictures(folder: Path) -> list[Path]:
    """The pictures in ``folder`` in the order of their names. Raises ImageError when there are none."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    except OSError as error:
        raise ImageError(f"{folder}: {reason(error)}") from None
    if not files:
        raise ImageError(f"{folder}: no pictures in it ({', '.join(_SUFFIXES)})")
    return files


def beside(folder: Path, stem: str) -> Path:
    """The picture called ``stem`` in ``folder``, whatever its suffix. Raises ImageError when there is none."""
    for suffix in _SUFFIXES:
        if (path := folder / (stem + suffix)).is_file():
            return path
    raise ImageError(f"{folder}: no picture called {stem}")


def read(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode a picture as OpenCV does (BGR). Raises ImageError when it is damaged or no picture."""
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    except OSError as error:
        raise ImageError(f"{path}: {reason(error)}") from None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{path}: damaged or not a picture")
    return np.asarray(image)


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
