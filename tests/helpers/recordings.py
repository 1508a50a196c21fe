"""A made-up recording in which all frames differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bridge.messages import Camera, Frame
from neuralsim.recording.writing.mcap_writer import McapWriter


def numbered_frame(k: int, width: int = 64, height: int = 32) -> tuple[Frame, np.ndarray]:
    """Return frame ``k``, whose planes differ from those of all others, and a smooth image."""
    y, x = np.mgrid[:height, :width]
    planes = {
        "tag": ((x + y + k) % 29).astype(np.uint8),
        "instance": (x * 256 + y + k).astype(np.uint16),
        "depth": (x + 0.25 * y + k).astype(np.float32),
        "motion": np.stack([x - 20.5 + k, 3.25 - y], axis=-1).astype(np.float16),
    }
    pose = np.eye(4)
    pose[:2, :2] = (np.cos(0.3), -np.sin(0.3)), (np.sin(0.3), np.cos(0.3))
    pose[:3, 3] = k, -2.0, 1.5
    frame = Frame(k, 100 + k, k / 20, Camera(width, height, 90.0, pose), planes, scenario="made", seed=9)
    frame.ego.pose = pose
    image = np.stack([x * 3, y * 6, np.full_like(x, 100)], axis=-1).astype(np.uint8)
    return frame, image


def write(path: Path, count: int) -> None:
    writer = McapWriter(path, ("tag", "instance", "depth", "motion", "neural"), {"fps": "20", "scenario": "made"})
    for k in range(count):
        assert writer.write(*numbered_frame(k))
    writer.close()
    assert writer.error is None
