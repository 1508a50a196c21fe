"""The ghost: where the car was at each moment of an earlier run."""

import io
from dataclasses import dataclass, field
from math import atan2
from pathlib import Path

import numpy as np

from bridge.messages import Camera, Frame
from neuralsim.runtimes import cache

_LONGEST = 40_000  # samples in a file
_EVERY = 0.1  # s between two samples
_NEAR = 0.4  # m in front of the camera
#: Half length, half width and height of the box that is drawn, m.
BOX = (2.3, 0.95, 1.45)


@dataclass
class Run:
    """A run: ``samples`` f64 (N, 5), seconds since its beginning, x, y, z (m), yaw (radians)."""

    samples: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))

    def at(self, seconds: float) -> np.ndarray | None:
        """Return x, y, z, yaw at that moment, f64 (4,); None before the beginning and after the end."""
        times = self.samples[:, 0]
        if len(times) < 2 or not times[0] <= seconds <= times[-1]:
            return None
        k = int(np.clip(np.searchsorted(times, seconds), 1, len(times) - 1))
        share = (seconds - times[k - 1]) / max(times[k] - times[k - 1], 1e-9)
        before, after = self.samples[k - 1, 1:], self.samples[k, 1:]
        turn = (after[3] - before[3] + np.pi) % (2.0 * np.pi) - np.pi
        way = np.append(after[:3] - before[:3], turn)
        return np.asarray(before + share * way)


class RunRecorder:
    """Collects a run from frames; ``run`` is what was collected so far."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._begin = 0.0

    def update(self, frame: Frame) -> None:
        """Take the next frame."""
        self.add(frame.sim_time, frame.ego.pose)

    def add(self, time: float, pose: np.ndarray) -> None:
        """Take the ego's pose, f64 (4, 4), world <- vehicle, at a simulated time, s."""
        if not self._rows:
            self._begin = time
        now = time - self._begin
        if (self._rows and now - self._rows[-1][0] < _EVERY) or len(self._rows) >= _LONGEST:
            return
        self._rows.append((now, *map(float, pose[:3, 3]), atan2(pose[1, 0], pose[0, 0])))

    @property
    def run(self) -> Run:
        return Run(np.array(self._rows, np.float64).reshape(-1, 5))


def save(path: Path, run: Run) -> None:
    """Write a run. Raises ``OSError``."""
    buffer = io.BytesIO()
    np.save(buffer, run.samples.astype(np.float32), allow_pickle=False)
    cache.write(path, buffer.getvalue(), durable=False)


def load(path: Path) -> Run | None:
    """Return the run in ``path``, None if there is none that can be read."""
    try:
        samples = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if samples.ndim != 2 or samples.shape[1] != 5 or len(samples) > _LONGEST or not np.isfinite(samples).all():
        return None
    return Run(samples.astype(np.float64))


def outline(camera: Camera, place: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return the corners of the ghost's box in the image and its distance; None where it is not in front.

    Args:
        camera: The camera, W x H px.
        place: x, y, z (m) of the ego's origin, on the ground, and yaw (radians), f64 (4,).

    Returns:
        f64 (8, 2), px, the lower four corners first, front left, front right, back right, back left; and m.
    """
    x, y, z, yaw = place
    along, aside = np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    half, wide, tall = BOX
    base = [half * along - wide * aside, half * along + wide * aside, -half * along + wide * aside,
            -half * along - wide * aside]  # fmt: skip
    low = np.array(base) + np.array([x, y, z])
    corners = np.concatenate([low, low + np.array([0.0, 0.0, tall])])
    local = (corners - camera.pose[:3, 3]) @ camera.pose[:3, :3]  # forward, right, up
    if (local[:, 0] < _NEAR).any():
        return None
    scale = camera.focal / local[:, 0]
    pixels = np.stack([camera.width / 2 + scale * local[:, 1], camera.height / 2 - scale * local[:, 2]], axis=1)
    return pixels, float(local[:, 0].min())
