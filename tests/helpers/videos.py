"""An image for videos, and a video decoder."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def street(width: int = 128, height: int = 64) -> np.ndarray:
    """Return an image with gradients and edges, u8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // width, y * 255 // height, (x + y) % 64 * 3], axis=-1).astype(np.uint8)
    image[height // 4 : height // 2, : width // 2] = (200, 60, 30)
    image[height // 4 : height // 2, width // 2 :] = (30, 190, 90)
    return image


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as file:
        return list(file.decode(video=0))
