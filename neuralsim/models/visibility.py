"""Visibility: where the pixels of a frame were in the frame before, and which of them were visible there (numpy)."""

import numpy as np

from bridge.messages import Frame


def warp_source(motion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nearest pixel of the frame before for backward ``motion`` (H, W, 2) px: rows, columns, and whether it
    was inside."""
    height, width = motion.shape[:2]
    columns = np.rint(np.arange(width)[None, :] + motion[..., 0].astype(np.float32)).astype(np.int64)
    rows = np.rint(np.arange(height)[:, None] + motion[..., 1].astype(np.float32)).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return rows.clip(0, height - 1), columns.clip(0, width - 1), inside


def still_visible(before: Frame, after: Frame) -> np.ndarray:
    """Return bool (H, W): the surface of this pixel of ``after`` was visible in ``before``, as part of the same
    object."""
    rows, columns, inside = warp_source(after.planes["motion"])
    same = inside
    for name in ("tag", "instance"):
        same = same & (before.planes[name][rows, columns] == after.planes[name])
    return same
