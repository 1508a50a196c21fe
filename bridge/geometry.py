"""Geometry shared by the simulator and its client: poses in CARLA's convention, focal lengths, the ego's camera."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Triple = Sequence[Any] | np.ndarray  # three numbers, or three arrays (N,)


def focal_length(width: int, fov: float) -> float:
    """Return the focal length, in pixels, of a pinhole camera of ``width`` pixels and horizontal ``fov`` in degrees."""
    return width / (2.0 * float(np.tan(np.radians(fov) / 2.0)))


def pose_matrix(position: Triple, cosines: Triple, sines: Triple) -> np.ndarray:
    """Return the world <- local matrix of poses in UE's axes (x forward, y right, z up, left-handed).

    The convention is that of ``carla.Transform.get_matrix``. ``position``: x, y, z; ``cosines`` and ``sines``: of
    pitch, yaw, roll; each three scalars or three arrays (N,). The result is f64 (4, 4), or (N, 4, 4).
    """
    (cp, cy, cr), (sp, sy, sr) = cosines, sines
    matrix = np.zeros((*np.shape(cp), 4, 4))
    matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2] = cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr
    matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 1, 2] = cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr
    matrix[..., 2, 0], matrix[..., 2, 1], matrix[..., 2, 2] = sp, -cp * sr, cp * cr
    matrix[..., 0, 3], matrix[..., 1, 3], matrix[..., 2, 3] = position
    matrix[..., 3, 3] = 1.0
    return matrix
