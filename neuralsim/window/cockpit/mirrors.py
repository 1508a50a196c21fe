"""The mirrors: the rear one at the bottom, clear of traffic lights, the wing mirrors at the sides of the view."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pygame

from bridge.messages import MIRRORS, MirrorName
from neuralsim.window.drawing import DARK, EDGE, MARGIN, Pen

_WIDTH = 300  # px, of the rear mirror before scaling
_SMALLER = 224  # at the top
_WING = 150  # px, of a wing mirror before scaling
_WIDTHS = {"rear": 0.36, "left": 0.17, "right": 0.17}  # of the view's width
_RIM = 5
_TOP = 0.60  # of the view's width: the rear mirror's middle at the top of the windscreen
_WING_BOTTOM = 0.64  # of the view's height: a wing mirror's lower edge above map and instruments
_DOOR = 0.78  # ... and above the dashboard
_CORNERS = {"rear": 6, "left": 20, "right": 20}  # px, before scaling
_OLD = 1.0  # s of simulated time after which an image is outdated


@dataclass
class _Image:
    picture: pygame.Surface
    at: float  # s, simulated
    shown: pygame.Surface | None = None  # as last drawn, scaled, with rounded corners


class Mirrors:
    """Shows the newest images of the mirrors that are on."""

    def __init__(self) -> None:
        self.rear = self.wings = False
        self._images: dict[MirrorName, _Image] = {}

    def update(self, sim_time: float, images: Mapping[MirrorName, np.ndarray]) -> None:
        """Take the new images u8 (H, W, 3), already flipped, that came with the frame at ``sim_time`` (s)."""
        self._images = {name: image for name, image in self._images.items() if 0.0 <= sim_time - image.at < _OLD}
        for name, image in images.items():
            picture = pygame.image.frombuffer(image.tobytes(), image.shape[1::-1], "RGB").convert(32)
            self._images[name] = _Image(picture, sim_time)

    def draw(self, target: pygame.Surface, pen: Pen, *, in_car: bool = False) -> None:
        """Draw the mirrors that are on and have an image, ``in_car`` around a dashboard."""
        for name, image in self._images.items():
            if self.rear if name == "rear" else self.wings:
                _draw(target, pen, name, image, in_car)


def _draw(target: pygame.Surface, pen: Pen, name: MirrorName, image: _Image, in_car: bool) -> None:
    px, view, margin, (wide, high) = pen.px, pen.view, pen.px(MARGIN), MIRRORS[name]
    width = _WING if name != "rear" else _SMALLER if in_car else _WIDTH
    width = min(px(width), round(_WIDTHS[name] * view.width))
    size, rim, corner = (width, round(width * high / wide)), px(_RIM), px(_CORNERS[name])
    if image.shown is None or image.shown.get_size() != size:
        image.shown = pygame.Surface(size, pygame.SRCALPHA)
        image.shown.blit(pygame.transform.smoothscale(image.picture, size), (0, 0))
        mask = pen.surfaces.plate(size, corner, (255, 255, 255), 255)
        image.shown.blit(mask, (0, 0), special_flags=pygame.BLEND_RGBA_MULT)
    box = pygame.Rect(0, 0, size[0] + 2 * rim, size[1] + 2 * rim)
    low = view.top + round((_DOOR if in_car else _WING_BOTTOM) * view.height)
    if name == "left":
        box.bottomleft = view.left + margin, low
    elif name == "right":
        box.bottomright = view.right - margin, low
    elif in_car:
        box.midtop = view.left + round(_TOP * view.width), view.top - rim
    else:
        box.midbottom = view.centerx, view.bottom - margin
    target.blit(pen.surfaces.plate(box.size, corner + rim, DARK, 255, EDGE), box)
    target.blit(image.shown, (box.left + rim, box.top + rim))
    pen.occupied.append(box)
