"""Reads the pictures of one plane, from files or from a video, as they are coded."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from numpy.lib import format as npy

from bridge.untrusted import limits
from bridge.untrusted.files import FileRefused, open_regular, read_bytes
from neuralsim.base.failure import reason
from neuralsim.imaging.image_files import ImageError, read_coded, read_image
from neuralsim.offline.recorded.finder import PlaneFiles

_PROTOCOLS = {"protocol_whitelist": "file", "max_pixels": str(limits.PIXELS)}  # a playlist leads to no other machine


class PlaneSource:
    """The pictures of a plane by their place in the clip."""

    def __init__(self, plane: PlaneFiles) -> None:
        self.plane = plane
        self._video = _Video(plane.files[0]) if plane.is_video else None
        self._count = self._video.count() if self._video else len(plane.files)

    def __len__(self) -> int:
        return self._count

    def label(self, place: int) -> str:
        """Return the file of a picture, or the video and its frame, for messages."""
        return f"{self.plane.files[0]}: frame {place}" if self._video else str(self.plane.files[place])

    def stem(self, place: int) -> str:
        """Return the name of a picture without folder and suffix."""
        return f"{place:06d}" if self._video else self.plane.files[place].stem

    def read(self, place: int) -> np.ndarray:
        """Return a picture as it is coded: u8 or u16 (H, W), (H, W, 3) or (H, W, 4), BGR; or what an .npy holds.

        A video is read forwards; a place before the last one begins it anew. Raises ImageError.
        """
        if self._video:
            return self._video.read(place)
        file = self.plane.files[place]
        suffix = file.suffix.lower()
        if suffix == ".npy":
            return read_npy(file)
        if suffix == ".exr":
            raise ImageError(f"{file}: EXR is not read; write CARLA's 24 bit, 16 bit or .npy in metres")
        return read_image(file, cv2.IMREAD_UNCHANGED) if self.plane.kind == "rgb" else read_coded(file)

    def close(self) -> None:
        """Close the video."""
        if self._video:
            self._video.close()


def read_npy(file: Path) -> np.ndarray:
    """Return the array of numbers in a .npy file, without executing anything in it. Raises ImageError."""
    try:
        data = read_bytes(file, limits.PICTURE_SIZE)
        array = npy.read_array(io.BytesIO(data), allow_pickle=False)
    except (OSError, FileRefused) as error:
        raise ImageError(f"{file}: {reason(error)}") from None
    except (ValueError, EOFError, MemoryError, OverflowError, SyntaxError):
        raise ImageError(f"{file}: damaged or not an .npy file of numbers") from None
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or not array.size:
        raise ImageError(f"{file}: holds {array.dtype} {array.shape}; expected a picture of numbers")
    return array


class _Video:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._frames: Iterator[np.ndarray] | None = None
        self._next = 0
        self._last: np.ndarray | None = None

    def count(self) -> int:
        """Return the number of frames, from the packets. Raises ImageError if it is no video."""
        try:
            with open_regular(self._file) as data, av.open(data, "r", options=_PROTOCOLS) as video:
                return sum(bool(packet.size) for packet in video.demux(video=0))
        except (av.error.FFmpegError, IndexError, OSError, FileRefused):
            raise ImageError(f"{self._file}: damaged or not a video") from None

    def read(self, place: int) -> np.ndarray:
        """Return a frame, u8 (H, W, 3) BGR. Raises ImageError."""
        if self._last is not None and place == self._next - 1:
            return self._last
        if self._frames is None or place < self._next:
            self.close()
            self._frames, self._next = self._decode(), 0
        try:
            while self._next <= place:
                self._last = next(self._frames)
                self._next += 1
        except (av.error.FFmpegError, IndexError, OSError, FileRefused, StopIteration):
            self._frames = None
            raise ImageError(f"{self._file}: damaged after frame {self._next - 1}") from None
        assert self._last is not None
        return self._last

    def close(self) -> None:
        """Close the file."""
        self._frames, self._last = None, None

    def _decode(self) -> Iterator[np.ndarray]:
        with open_regular(self._file) as data, av.open(data, "r", options=_PROTOCOLS) as video:
            for frame in video.decode(video=0):
                yield frame.to_ndarray(format="bgr24")
