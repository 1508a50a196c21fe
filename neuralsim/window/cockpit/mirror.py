"""The rear mirror: at the bottom, between map and instruments, clear of traffic lights."""

from __future__ import annotations

import numpy as np
import pygame

from bridge.messages import MIRROR
from neuralsim.window.drawing import DARK, EDGE, MARGIN, Pen

_WIDTH = 300  # px, before scaling
_SMALLER = 224  # at the top
_RIM = 5
_TOP = 0.60  # of the view's width: its middle at the top of the windscreen
_OLD = 1.0  # s of simulated time after which an image is outdated


class Mirror:
    """Shows the newest image of the rear mirror, if ``on``."""

    def __init__(self) -> None:
        self.on = False
        self._image: pygame.Surface | None = None
        self._at = 0.0  # s, simulated
        self._shown: tuple[tuple[int, int], pygame.Surface] | None = None  # scaled

    def update(self, sim_time: float, image: np.ndarray | None) -> None:
        """Take the image u8 (64, 192, 3) of the frame at ``sim_time`` (s), already flipped; None: no new one."""
        if image is not None:
            self._image = pygame.image.frombuffer(image.tobytes(), image.shape[1::-1], "RGB").convert(32)
            self._at, self._shown = sim_time, None
        elif not 0.0 <= sim_time - self._at < _OLD:
            self._image = self._shown = None

    def draw(self, target: pygame.Surface, pen: Pen, *, at_top: bool = False) -> None:
        """Draw the mirror, if it is on and has an image: over the dashboard's place, or ``at_top`` as in a car."""
        if not self.on or self._image is None:
            return
        px = pen.px
        width = min(px(_WIDTH if not at_top else _SMALLER), round(0.36 * pen.view.width))
        size = width, round(width * MIRROR[1] / MIRROR[0])
        if self._shown is None or self._shown[0] != size:
            self._shown = size, pygame.transform.smoothscale(self._image, size)
        rim = px(_RIM)
        box = pygame.Rect(0, 0, size[0] + 2 * rim, size[1] + 2 * rim)
        if at_top:
            box.midtop = pen.view.left + round(_TOP * pen.view.width), pen.view.top - rim
        else:
            box.midbottom = pen.view.centerx, pen.view.bottom - px(MARGIN)
        target.blit(pen.surfaces.plate(box.size, px(10), DARK, 255, EDGE), box)
        target.blit(self._shown[1], (box.left + rim, box.top + rim))
        pen.occupied.append(box)
