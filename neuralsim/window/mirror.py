"""The rear mirror in the cockpit: at the bottom, between the map and the instruments, where no traffic light is."""

from __future__ import annotations

import pygame

from bridge.messages import MIRROR, Frame
from neuralsim.window.drawing import DARK, EDGE, MARGIN, Pen

_WIDTH = 300  # px, before scaling
_RIM = 5
_OLD = 1.0  # s of simulated time after which a picture is no longer one of now


class Mirror:
    """Shows the newest picture that came with a frame. ``on``: the driver wants it."""

    def __init__(self) -> None:
        self.on = False
        self._picture: pygame.Surface | None = None
        self._at = 0.0  # s, simulated
        self._shown: tuple[tuple[int, int], pygame.Surface] | None = None  # scaled

    def frame(self, frame: Frame) -> None:
        """A frame has come: with a picture, or with none that is newer."""
        if len(frame.mirror) == 3 * MIRROR[0] * MIRROR[1]:
            self._picture = pygame.image.frombuffer(frame.mirror, MIRROR, "RGB").convert(32)
            self._at, self._shown = frame.sim_time, None
        elif not 0.0 <= frame.sim_time - self._at < _OLD:
            self._picture = self._shown = None

    def draw(self, target: pygame.Surface, pen: Pen) -> None:
        """If it is on and has a picture."""
        if not self.on or self._picture is None:
            return
        px = pen.px
        width = min(px(_WIDTH), round(0.36 * pen.view.width))
        size = width, round(width * MIRROR[1] / MIRROR[0])
        if self._shown is None or self._shown[0] != size:
            self._shown = size, pygame.transform.smoothscale(self._picture, size)
        rim = px(_RIM)
        box = pygame.Rect(0, 0, size[0] + 2 * rim, size[1] + 2 * rim)
        box.midbottom = pen.view.centerx, pen.view.bottom - px(MARGIN)
        target.blit(pen.paint.plate(box.size, px(10), DARK, 255, EDGE), box)
        target.blit(self._shown[1], (box.left + rim, box.top + rim))
        pen.taken.append(box)
