"""Three variants of a model: as shipped, frame by frame, and frame by frame with smoothed output."""

import numpy as np

from bridge.messages import Frame
from neuralsim.renderer.neural_renderer import NeuralRenderer

SHIPPED = "with_state"
ALONE = "frame_by_frame"
SMOOTHED = "smoothed"
WAYS = (SHIPPED, ALONE, SMOOTHED)
_SMOOTHING = 0.8  # weight of the past in plain output smoothing


class Variants:
    """The variants of a model, for one frame after another; ``guide`` is one of ``neuralsim.guide.GUIDES``."""

    def __init__(self, model: str, runtime: str, style: str | None = None, guide: str = "picture") -> None:
        self._kept, self._alone = (NeuralRenderer(model, runtime, guide=guide) for _ in (0, 1))
        for renderer in (self._kept, self._alone):
            if style in renderer.card.styles:
                renderer.set_style(str(style))
                renderer.reset()
        self._smooth: np.ndarray | None = None

    @property
    def runtime(self) -> str:
        """The name of the runtime."""
        return self._kept.runtime

    def render(self, frame: Frame) -> dict[str, np.ndarray]:
        """Return an image u8 (H, W, 3) for each of ``WAYS``."""
        kept = self._kept.render(frame)
        self._alone.reset()
        alone = self._alone.render(frame)
        now = alone.astype(np.float32)
        last = now if self._smooth is None else self._smooth
        self._smooth = _SMOOTHING * last + (1.0 - _SMOOTHING) * now
        return {SHIPPED: kept, ALONE: alone, SMOOTHED: np.rint(self._smooth).astype(np.uint8)}
