"""Dense optical flow of a real clip as backward motion.

OpenCV's dense inverse search (Kroeger et al., ECCV 2016). One file per image, with its name, as KITTI's flow PNG
(16 bit; red, green: 64 x + 2^15 of (dx, dy) in pixels; blue: valid). As everywhere in NeuralSim the motion leads from
a pixel of this image to where its surface was in the last image; the first image has none.
"""

from pathlib import Path

import cv2
import numpy as np

from neuralsim.imaging.image_files import ImageError, read_image, write_png
from neuralsim.recording.image_folder import MOTION_STEPS, encode_motion


def backward(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the motion f32 (H, W, 2), px, of ``after`` back to ``before`` (u8 RGB), and its validity, bool (H, W).

    It is valid inside the image where the forward flow leads back: |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5 (Sundaram et
    al., ECCV 2010).
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    old, new = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, after))
    back, forth = search.calc(new, old, None), search.calc(old, new, None)  # type: ignore[call-overload]
    height, width = new.shape
    x = np.arange(width, dtype=np.float32)[None, :] + back[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + back[..., 1]
    returned = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart = np.square(back + returned).sum(2)
    size = np.square(back).sum(2) + np.square(returned).sum(2)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.asarray(back), (apart < 0.01 * size + 0.5) & inside


def save(path: Path, motion: np.ndarray, valid: np.ndarray) -> None:
    """Write motion f32 (H, W, 2) and its validity (H, W) as KITTI's flow PNG. Raises ImageError."""
    coded = encode_motion(motion)
    coded[..., 0] &= valid.astype(np.uint16)
    write_png(path, coded)


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read motion f32 (H, W, 2), px, and its validity, bool (H, W), from KITTI's flow PNG. Raises ImageError."""
    coded = read_image(path, cv2.IMREAD_UNCHANGED)
    if coded.dtype != np.uint16 or coded.ndim != 3 or coded.shape[2] != 3:
        raise ImageError(f"{path}: not a KITTI flow PNG (16 bit, three channels); `neuralsim images flow` writes them")
    motion = (coded[..., :0:-1].astype(np.float32) - 32768.0) / MOTION_STEPS
    return motion, coded[..., 0] > 0
