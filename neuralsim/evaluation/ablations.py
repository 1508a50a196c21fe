"""One model three ways: as shipped, frame by frame, and frame by frame with its output smoothed."""

from __future__ import annotations

import numpy as np

from bridge.messages import Frame
from neuralsim.renderer.neural_renderer import NeuralRenderer

SHIPPED, ALONE, SMOOTHED = "with_state", "frame_by_frame", "smoothed"
WAYS = (SHIPPED, ALONE, SMOOTHED)
_SMOOTHING = 0.8  # share of the past in plain output smoothing


class ThreeWays:
    """``paint(frame)`` for one frame after another: way -> picture u8 (H, W, 3); ``guide`` is one of
    ``neuralsim.guide.GUIDES``."""

    def __init__(self, model: str, runtime: str, style: str | None = None, guide: str = "picture") -> None:
        self._kept, self._alone = (NeuralRenderer(model, runtime, guide=guide) for _ in (0, 1))
        for renderer in (self._kept, self._alone):
            if style in renderer.card.styles:
                renderer.set_style(str(style))
                renderer.reset()
        self._smooth: np.ndarray | None = None

    @property
    def runtime(self) -> str:
        return self._kept.runtime

    def paint(self, frame: Frame) -> dict[str, np.ndarray]:
        kept = self._kept.render(frame)
        self._alone.reset()
        alone = self._alone.render(frame)
        now = alone.astype(np.float32)
        last = now if self._smooth is None else self._smooth
        self._smooth = _SMOOTHING * last + (1.0 - _SMOOTHING) * now
        return {SHIPPED: kept, ALONE: alone, SMOOTHED: np.rint(self._smooth).astype(np.uint8)}
