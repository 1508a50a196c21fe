"""A short clip as in data sets: label maps with CamVid's ids, and images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SKY, BUILDING, ROAD, PAVEMENT, CAR = 0, 1, 3, 4, 8  # CamVid's ids


def street(width: int = 96, height: int = 64, car: int = 40) -> np.ndarray:
    """Return a CamVid label map: buildings, sky, road, pavement, and a car at column ``car``."""
    label = np.full((height, width), BUILDING, np.uint8)
    label[: height // 2, width // 3 : -width // 3] = SKY
    label[height // 2 :] = PAVEMENT
    for row in range(height // 2, height):
        spread = (row - height // 2) * width // height
        label[row, max(0, width // 2 - spread - 2) : width // 2 + spread + 2] = ROAD
    label[height // 2 : height // 2 + 10, car : car + 12] = CAR
    return label


def write_clip(folder: Path, frames: int = 3, size: tuple[int, int] = (96, 64)) -> tuple[Path, Path]:
    """Write label maps and images of a clip that moves one pixel to the right per frame; return both folders."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (size[1], size[0] + 16, 3)).astype(np.uint8), (0, 0), 1.5)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    for name in ("label", "image"):
        (folder / name).mkdir(parents=True)
    for k in range(frames):
        cv2.imwrite(str(folder / "label" / f"f{k:02d}.png"), street(*size, car=40 + k))
        cv2.imwrite(str(folder / "image" / f"f{k:02d}.png"), texture[:, 8 - k : 8 - k + size[0]])
    return folder / "label", folder / "image"
