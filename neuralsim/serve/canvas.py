"""Composes the image for the pages: the chosen view, warped, with a strip for the stamp on top."""

import cv2
import numpy as np

from bridge.messages import Frame
from neuralsim.drive.interactive_drive import Warp
from neuralsim.drive.view_choice import ViewChoice
from neuralsim.renderer.views import View, view_image
from neuralsim.serve import picture_stamp


class Canvas(ViewChoice):
    """Draws one frame after the other; each view is converted once per frame."""

    def __init__(self) -> None:
        super().__init__()
        self._frame: Frame | None = None
        self._neural: np.ndarray | None = None
        self._views: dict[View, np.ndarray] = {}

    def set_frame(self, frame: Frame, neural: np.ndarray) -> None:
        """Set the frame to draw; ``neural`` is u8 (H, W, 3)."""
        self._frame, self._neural = frame, neural
        self._views.clear()

    def draw(self, warp: Warp | None = None) -> np.ndarray | None:
        """Return u8 (picture_stamp.ROWS + H, W, 4) RGBX with even sides, for an encoder; None without a frame.

        The first rows are for a stamp. An image narrower than a stamp is enlarged by an integer factor.
        """
        shown = self._view(self.split_right if self.view == View.SPLIT else self.view)
        left = self._view(View.NEURAL)
        if self._frame is None or left is None:
            return None
        self.missing = shown is None
        shown = left if shown is None else shown
        height, width = shown.shape
        out = np.empty((picture_stamp.ROWS + height, width), np.uint32)
        self._put(shown, out[picture_stamp.ROWS :], warp)
        if self.view == View.SPLIT and not self.missing:
            half = np.empty_like(left)
            self._put(left, half, warp)
            share = round(width * self.divider)
            out[picture_stamp.ROWS :, :share] = half[:, :share]
            out[picture_stamp.ROWS :, max(share - 1, 0) : share + 1] = 0xFFFFFFFF
        if self._frame.mount == "reversing":  # mirrored, so that left is left
            out[picture_stamp.ROWS :] = out[picture_stamp.ROWS :, ::-1]
        return _encodable(out.view(np.uint8).reshape(picture_stamp.ROWS + height, width, 4))

    def _view(self, view: View) -> np.ndarray | None:
        """Return a view as u32 (H, W); None if the frame lacks its plane."""
        if view not in self._views and self._frame is not None and self._neural is not None:
            shown = view_image(view, self._frame, self._neural, self.remap)
            if shown is not None:
                pixels = cv2.cvtColor(np.ascontiguousarray(shown), cv2.COLOR_RGB2RGBA)
                self._views[view] = pixels.view(np.uint32)[:, :, 0]
        return self._views.get(view)

    @staticmethod
    def _put(shown: np.ndarray, out: np.ndarray, warp: Warp | None) -> None:
        if warp is None or not warp(shown, out):
            out[:] = shown


def _encodable(pixels: np.ndarray) -> np.ndarray:
    """Return ``pixels`` with even sides and wide enough for a stamp."""
    height, width = pixels.shape[:2]
    if width < picture_stamp.LEAST_WIDTH:
        factor = -(-picture_stamp.LEAST_WIDTH // width)
        shown = cv2.resize(pixels[picture_stamp.ROWS :], None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        pixels = np.empty((picture_stamp.ROWS + shown.shape[0], shown.shape[1], 4), np.uint8)
        pixels[picture_stamp.ROWS :] = shown
        height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels
