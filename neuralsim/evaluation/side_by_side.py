"""Videos of several images side by side, each with its name on it."""

from pathlib import Path

import cv2
import numpy as np

from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mp4 import Mp4Writer


class Video:
    """An MP4 of a grid of images, two in each row. ``names``: key of each image -> the text on it."""

    def __init__(self, path: Path, names: dict[str, str], rate: float) -> None:
        self._path, self._names, self._rate = path, names, rate
        self._writer: Mp4Writer | None = None
        self._count = 0

    def add(self, shown: dict[str, np.ndarray]) -> None:
        """Write the next frame: images u8 (H, W, 3) RGB of one size. Raises RecordingError."""
        cells = [_named(shown[key], name) for key, name in self._names.items()]
        if len(cells) % 2:
            cells.append(np.zeros_like(cells[0]))
        frame = np.vstack([np.hstack(cells[i : i + 2]) for i in range(0, len(cells), 2)])
        if self._writer is None:
            self._writer = Mp4Writer(self._path, (frame.shape[1], frame.shape[0]), rate=self._rate, block=True)
        self._writer.write(frame, self._count / self._rate)
        self._count += 1
        if self._writer.error:
            raise RecordingError(self._writer.error)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


def _named(picture: np.ndarray, name: str) -> np.ndarray:
    out = picture.copy()
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(out, name, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)
    return out
