"""A renderer whose exposure is that of a whole clip: measured before its first frame, and held."""

from collections.abc import Iterable
from typing import Any

from bridge.messages import Frame
from neuralsim.guide.image_guide import Exposure
from neuralsim.renderer.frame_guide import FrameGuide
from neuralsim.renderer.neural_renderer import NeuralRenderer

_LEAST, _MOST = 0.4, 2.5  # of the exposure, as in a drive


class ClipExposure(Exposure):
    """An exposure that is metered once for several frames, and then held whatever is seen.

    Neither a picture that is darker than the others nor a cut changes it, and a clip that is rendered in two goes has
    one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._requested = self._present = 0.0
        self._is_metering = True

    def begin(self) -> None:
        """Forget the exposure: what is seen until ``hold`` is metered."""
        self._requested = self._present = 0.0
        self._is_metering = True

    def hold(self) -> None:
        """Hold the exposure of what was seen."""
        self._is_metering = False

    def reset(self, user: int) -> None:
        """Keep the exposure."""

    def follow(self, user: int, requested: float, present: float, time: float) -> float:
        """Return the exposure, whatever ``user`` sees; as ``Exposure.follow`` otherwise."""
        if self._is_metering:
            self._requested += requested
            self._present += present
        if self._present <= 0.0:
            return 1.0
        return min(max(self._requested / self._present, _LEAST), _MOST)


class ClipRenderer(NeuralRenderer):
    """A ``NeuralRenderer`` for clips: it takes the same arguments."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._exposure = ClipExposure()
        self._view.guide = FrameGuide(self.card, self._exposure)

    def meter(self, frames: Iterable[Frame]) -> None:
        """Set the exposure to that of ``frames``, some of a clip's, and forget the past."""
        self._exposure.begin()
        for frame in frames:
            self.prepare((frame.camera.width, frame.camera.height))
            self.reset()
            self.advance(frame)
            self.encode(frame)
        self._exposure.hold()
        self.reset()
