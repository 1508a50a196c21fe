"""Luma of RGB images (ITU-R BT.601)."""

import numpy as np

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue


def luma(rgb: np.ndarray) -> np.ndarray:
    """Return the luma f32 (H, W) of an image (H, W, 3), in the same range."""
    return np.asarray(rgb.astype(np.float32) @ np.array(LUMA, np.float32))
