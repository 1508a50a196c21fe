"""Text and shapes for the HUD: anti-aliased, drawn once, kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import pygame

Colour = tuple[int, int, int]

WHITE: Colour = (244, 247, 250)
SOFT: Colour = (176, 186, 198)
DARK: Colour = (12, 16, 22)
GREEN: Colour = (72, 207, 142)
RED: Colour = (240, 82, 82)
AMBER: Colour = (250, 188, 64)
BLUE: Colour = (86, 156, 255)
TRACK: Colour = (62, 70, 82)
_KEEP = 400  # surfaces; a HUD uses about 60 at a time
_OVERSAMPLING = 4
_TEXT_OVERSAMPLING = 3
_HINTED = 48  # pixels from which hinting does no harm


class Paint:
    """Surfaces by content, the least recently used ones forgotten.

    The font is the one that pygame brings along, so that the HUD looks the same on every machine.
    """

    def __init__(self) -> None:
        if not pygame.font.get_init():
            pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}
        self._kept: OrderedDict[Hashable, pygame.Surface] = OrderedDict()

    def keep(self, key: Hashable, make: Callable[[], pygame.Surface]) -> pygame.Surface:
        """The surface kept under ``key``, made when it is not there."""
        surface = self._kept.get(key)
        if surface is None:
            surface = self._kept[key] = make()
            if len(self._kept) > _KEEP:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return surface

    def text(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        """``text`` in a font ``size`` pixels high."""
        return self.keep(("text", text, size, colour), lambda: self._render(text, size, colour))

    def plate(
        self, size: tuple[int, int], radius: int, colour: Colour, alpha: int, edge: tuple[Colour, int] | None = None
    ) -> pygame.Surface:
        """A rounded rectangle, ``alpha`` 0 .. 255; ``edge`` is the colour and alpha of a hairline around it."""
        return self.keep(
            ("plate", size, radius, colour, alpha, edge), lambda: _rounded(size, radius, colour, alpha, edge)
        )

    def disc(self, radius: int, colour: Colour) -> pygame.Surface:
        """A filled circle."""
        return self.plate((2 * radius, 2 * radius), radius, colour, 255)

    def _render(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        """Drawn larger and reduced: the font's hinting would set small letters unevenly apart."""
        if size >= _HINTED:
            return self._font(size).render(text, True, colour)
        large = self._font(_TEXT_OVERSAMPLING * size).render(text, True, colour)
        width, height = large.get_size()
        small = (max(round(width / _TEXT_OVERSAMPLING), 1), max(round(height / _TEXT_OVERSAMPLING), 1))
        return pygame.transform.smoothscale(large, small)

    def _font(self, size: int) -> pygame.font.Font:
        font = self._fonts.get(size)
        if font is None:
            font = self._fonts[size] = pygame.font.Font(None, size)
        return font


def _rounded(
    size: tuple[int, int], radius: int, colour: Colour, alpha: int, edge: tuple[Colour, int] | None
) -> pygame.Surface:
    n = _OVERSAMPLING
    large = pygame.Surface((size[0] * n, size[1] * n), pygame.SRCALPHA)
    large.fill((*colour, 0))  # transparent, but of the same colour: the edge must not darken when scaled
    box = large.get_rect()
    if edge is not None:
        pygame.draw.rect(large, (*edge[0], edge[1]), box, border_radius=radius * n)
        box = box.inflate(-2 * n, -2 * n)
    pygame.draw.rect(large, (*colour, alpha), box, border_radius=max(radius - bool(edge), 0) * n)
    return pygame.transform.smoothscale(large, size)
