"""A recording as a folder of pictures, made from the MCAP afterwards, on all cores.

``tag/``: 8-bit PNG, CARLA's ids. ``instance/``: 16-bit PNG. ``depth/``: 16-bit PNG, 1/64 m. ``motion/``: KITTI's flow
PNG (Geiger et al., devkit): 16 bit, red and green 64 x + 2^15 of (dx, dy) in pixels, blue 1 where valid; here the flow
leads back to the frame before. ``rgb/`` and ``neural/``: PNG. ``index.jsonl``: one object per frame.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .mcap_file import McapRecording, Recorded
from .writer import RecordingError, reason

DEPTH_STEPS = 64.0  # per metre
MOTION_STEPS = 64.0  # per pixel
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def export_frames(source: Path, folder: Path, progress: Callable[[int], None] = lambda _: None) -> int:
    """Write what ``source`` (.mcap) holds below ``folder``; returns the number of frames.

    ``progress`` is called with the frames so far. Raises :class:`RecordingError`.
    """
    recording = McapRecording(source)
    count, waiting = 0, deque[Future[dict[str, Any]]]()
    workers = os.cpu_count() or 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "index.jsonl").open("w", encoding="utf-8") as index, ThreadPoolExecutor(workers) as pool:

            def settle(most: int) -> None:
                nonlocal count
                while len(waiting) > most:
                    index.write(json.dumps(waiting.popleft().result()) + "\n")
                    count += 1
                    progress(count)

            for frame in recording.frames():
                waiting.append(pool.submit(_write, frame, folder))
                settle(2 * workers)  # memory stays bounded however long the recording is
            settle(0)
    except OSError as error:
        raise RecordingError(f"cannot write frames to {folder}: {reason(error)}") from None
    if not count:
        raise RecordingError(f"{source} holds no whole frame")
    return count


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """f32 (H, W), metres -> u16 (H, W), 1/64 m."""
    return np.clip(np.rint(depth * DEPTH_STEPS), 0, 65535).astype(np.uint16)


def encode_motion(motion: np.ndarray) -> np.ndarray:
    """f16 (H, W, 2), pixels -> u16 (H, W, 3) in OpenCV's order: valid, dy, dx. What does not fit is not valid."""
    steps = motion.astype(np.float32) * MOTION_STEPS + 32768.0
    valid = np.isfinite(steps).all(axis=2) & (steps >= 0.0).all(axis=2) & (steps <= 65535.0).all(axis=2)
    coded = np.zeros((*valid.shape, 3), np.uint16)
    coded[..., 0] = valid
    coded[..., 2] = np.rint(np.where(valid, steps[..., 0], 0.0))
    coded[..., 1] = np.rint(np.where(valid, steps[..., 1], 0.0))
    return coded


def _write(frame: Recorded, folder: Path) -> dict[str, Any]:
    """Write the pictures of one frame; returns its line of the index."""
    pictures: dict[str, np.ndarray] = {}
    for name, plane in frame.planes.items():
        pictures[name] = {"depth": encode_depth, "motion": encode_motion}.get(name, np.asarray)(plane)
    for name, data in frame.pictures.items():
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise RecordingError(f"frame {frame.index}: the {name} picture is damaged")
        pictures[name] = picture
    files = {}
    for name, picture in pictures.items():
        path = folder / name / f"{frame.index:06d}.png"
        path.parent.mkdir(exist_ok=True)
        done, coded = cv2.imencode(".png", picture, _PNG)
        if not done:
            raise RecordingError(f"frame {frame.index}: the {name} picture cannot be compressed")
        path.write_bytes(coded.tobytes())
        files[name] = f"{name}/{path.name}"
    return {
        "frame": frame.index,
        "time": frame.time,
        "files": files,
        "intrinsics": frame.intrinsics,
        "camera": frame.poses["camera"].ravel().tolist(),
        "ego_pose": frame.poses["ego"].ravel().tolist(),
        **frame.json,
    }
