"""Made-up frames."""

from __future__ import annotations

import numpy as np

from bridge.messages import Camera, Frame
from bridge.tags import Tag


def street(number: int = 1, width: int = 128, height: int = 64) -> Frame:
    """Return a frame of a road, a row of buildings above it, and sky."""
    tag = np.full((height, width), Tag.ROAD, np.uint8)
    tag[: height // 2] = Tag.BUILDING
    tag[: height // 4] = Tag.SKY
    planes = {
        "tag": tag,
        "instance": np.where(tag == Tag.BUILDING, 12000, 0).astype(np.uint16),
        "depth": np.where(tag == Tag.SKY, 1000.0, 15.0).astype(np.float32),
        "motion": np.zeros((height, width, 2), np.float16),
    }
    return Frame(number, number, number / 30, Camera(width, height, 70.0, np.eye(4)), planes)


def rendered(width: int = 96, height: int = 48) -> tuple[Frame, np.ndarray]:
    """Return a frame and a generated image of one colour, u8 (H, W, 3)."""
    neural = np.full((height, width, 3), (90, 120, 150), np.uint8)
    planes = {"tag": np.ones((height, width), np.uint8), "depth": np.full((height, width), 9.0, np.float32)}
    return Frame(0, 0, 0.0, Camera(width, height, 90.0, np.eye(4)), planes), neural
