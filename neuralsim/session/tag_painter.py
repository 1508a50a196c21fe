"""Stand-in for the network where pictures are not needed: every pixel in the colour of its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bridge.messages import Frame
from neuralsim.renderer.remap import NOTHING, Remap
from neuralsim.renderer.views import tag_picture
from neuralsim.session.options import TAGS


@dataclass(frozen=True)
class _TagCard:
    """As much of a model's card as painting asks for."""

    styles: dict[str, np.ndarray] = field(default_factory=dict)  # none
    inputs: tuple[str, ...] = ("tag",)


class TagRenderer:
    """``NeuralRenderer``'s interface without a network; it has no state."""

    model = TAGS
    runtime = "none"
    warning = note = ""
    upscaling = 0.0
    card = _TagCard()
    remap: Remap = NOTHING
    guide = "surface"
    wants_picture = False

    def set_style(self, name: str) -> None:
        """There is none."""

    def shows_lamps(self, frame: Frame) -> bool:
        """No: tags say where lamps are, not which of them burn."""
        return False

    def follow(self, weather: Mapping[str, float]) -> None:
        """Tags have their colours in any."""

    def reset(self) -> None:
        """Nothing is remembered."""

    def render(self, frame: Frame) -> np.ndarray:
        """u8 (H, W, 3) RGB, CARLA's palette."""
        return tag_picture(frame.planes["tag"], self.remap)

    def paint(self, frame: Frame) -> Callable[[], np.ndarray]:
        """As ``NeuralRenderer.paint``."""
        return partial(self.render, frame)

    def seconds_per_step(self) -> float:
        """As good as nothing."""
        return 1e-3
