"""The camera's movement from depths and motion, for recordings without poses."""

import cv2
import numpy as np

from bridge.messages import Camera
from bridge.tags import MOVERS, Tag
from neuralsim.recording.topics import OPTICAL

_GRID = 8  # px between the pixels that are used
_NEAR, _FAR = 1.0, 120.0  # m
_LEAST = 40  # points
_ERROR = 1.5  # px, of a point that agrees
_AGREEING = 0.4  # share of the points that must


def camera_step(
    tag: np.ndarray, depth: np.ndarray, motion: np.ndarray, valid: np.ndarray, camera: Camera
) -> np.ndarray:
    """Return the pose f64 (4, 4), old camera <- this camera, that moves scenery as ``motion`` does.

    The perspective of n points (Lepetit et al., EPnP, IJCV 2009) in RANSAC; the identity where too few agree.

    Args:
        tag: u8 (H, W).
        depth: f32 (H, W), m.
        motion: f32 (H, W, 2), px back to the last frame.
        valid: bool (H, W), where ``motion`` is known.
        camera: This camera.
    """
    rows, columns = np.mgrid[_GRID // 2 : tag.shape[0] : _GRID, _GRID // 2 : tag.shape[1] : _GRID]
    rows, columns = rows.ravel(), columns.ravel()
    here = depth[rows, columns]
    good = valid[rows, columns] & (here > _NEAR) & (here < _FAR)
    good &= ~np.isin(tag[rows, columns], (*MOVERS, Tag.SKY, Tag.UNLABELED))
    rows, columns, here = rows[good], columns[good], here[good]
    if len(rows) < _LEAST:
        return np.eye(4)
    centre = np.array([camera.width / 2.0, camera.height / 2.0])
    pixels = np.stack([columns, rows], -1) + 0.5
    points = np.concatenate([(pixels - centre) / camera.focal * here[:, None], here[:, None]], 1)
    lens = np.array([[camera.focal, 0.0, centre[0]], [0.0, camera.focal, centre[1]], [0.0, 0.0, 1.0]])
    cv2.setRNGSeed(1)  # equal input, equal output
    found, turn, shift, agreeing = cv2.solvePnPRansac(
        points, (pixels + motion[rows, columns]).astype(np.float64), lens, np.zeros(4),
        iterationsCount=100, reprojectionError=_ERROR, flags=cv2.SOLVEPNP_EPNP,
    )  # fmt: skip
    if not found or agreeing is None or len(agreeing) < _AGREEING * len(points):
        return np.eye(4)
    optical = np.eye(4)
    optical[:3, :3], optical[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
    to_optical = np.linalg.inv(OPTICAL) @ np.diag([1.0, -1.0, 1.0, 1.0])  # of CARLA's left-handed axes
    return np.asarray(np.linalg.inv(to_optical) @ optical @ to_optical)
