"""Anti-aliased, cached text and shapes for the HUD, and their placement on the picture."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable

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
#: Font sizes (pygame's) for a view of ``FULL`` pixels; scaled text is never smaller than ``LEGIBLE``.
SMALL = 18
BODY = 21
TITLE = 27
FIGURE = 34
SPEED = 60
LEGIBLE = 18
FULL = (900.0, 512.0)
EDGE: tuple[Colour, int] = ((255, 255, 255), 30)
MARGIN = 12  # px between the HUD and the edge of the picture, before scaling
_KEEP = 400  # cached surfaces; a HUD uses about 60 at a time
_OVERSAMPLING = 4
_TEXT_OVERSAMPLING = 3
_HINTED = 48  # pixels from which font hinting is harmless


class SurfaceCache:
    """A least-recently-used cache of surfaces by content.

    The font is the one bundled with pygame, so that the HUD looks the same on every machine.
    """

    def __init__(self) -> None:
        if not pygame.font.get_init():
            pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}
        self._cache: OrderedDict[Hashable, pygame.Surface] = OrderedDict()

    def cached(self, key: Hashable, make: Callable[[], pygame.Surface]) -> pygame.Surface:
        """Return the surface cached under ``key``, calling ``make`` if there is none."""
        surface = self._cache.get(key)
        if surface is None:
            surface = self._cache[key] = make()
            if len(self._cache) > _KEEP:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(key)
        return surface

    def text(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        """Return ``text`` in a font ``size`` pixels high."""
        return self.cached(("text", text, size, colour), lambda: self._render(text, size, colour))

    def plate(
        self, size: tuple[int, int], radius: int, colour: Colour, alpha: int, edge: tuple[Colour, int] | None = None
    ) -> pygame.Surface:
        """Return a rounded rectangle.

        Args:
            size: Width and height, px.
            radius: Corner radius, px.
            colour: RGB.
            alpha: 0 to 255.
            edge: Colour and alpha of a hairline around it, None for none.
        """
        return self.cached(
            ("plate", size, radius, colour, alpha, edge), lambda: _rounded(size, radius, colour, alpha, edge)
        )

    def disc(self, radius: int, colour: Colour) -> pygame.Surface:
        """Return a filled circle."""
        return self.plate((2 * radius, 2 * radius), radius, colour, 255)

    def _render(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        """Render large and scale down, because hinting spaces small letters unevenly."""
        if size >= _HINTED:
            return self._font(size).render(text, True, colour)
        large = self._font(_TEXT_OVERSAMPLING * size).render(
            text or " ", True, colour
        )  # an empty surface cannot be scaled
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
    """Return a rounded rectangle; only the corners of a large one are drawn with oversampling."""
    side = 2 * radius + 1
    if min(size) <= side:
        return _oversampled(size, radius, colour, alpha, edge)
    tile, (width, height) = _oversampled((side, side), radius, colour, alpha, edge), size
    plate = pygame.Surface(size, pygame.SRCALPHA)
    plate.fill((*colour, alpha))
    for n in range(radius):
        plate.fill(tile.get_at((radius, n)), (radius, n, width - 2 * radius, 1))
        plate.fill(tile.get_at((radius, side - 1 - n)), (radius, height - 1 - n, width - 2 * radius, 1))
        plate.fill(tile.get_at((n, radius)), (n, radius, 1, height - 2 * radius))
        plate.fill(tile.get_at((side - 1 - n, radius)), (width - 1 - n, radius, 1, height - 2 * radius))
    for x, from_x in ((0, 0), (width - radius, side - radius)):
        for y, from_y in ((0, 0), (height - radius, side - radius)):
            corner = tile.subsurface((from_x, from_y, radius, radius))
            plate.fill((0, 0, 0, 0), (x, y, radius, radius))
            plate.blit(corner, (x, y), special_flags=pygame.BLEND_RGBA_ADD)
    return plate


def _oversampled(
    size: tuple[int, int], radius: int, colour: Colour, alpha: int, edge: tuple[Colour, int] | None
) -> pygame.Surface:
    n = _OVERSAMPLING
    large = pygame.Surface((size[0] * n, size[1] * n), pygame.SRCALPHA)
    large.fill((*colour, 0))  # transparent but of the same colour, so that the edge does not darken when scaled
    box = large.get_rect()
    if edge is not None:
        pygame.draw.rect(large, (*edge[0], edge[1]), box, border_radius=radius * n)
        box = box.inflate(-2 * n, -2 * n)
    pygame.draw.rect(large, (*colour, alpha), box, border_radius=max(radius - bool(edge), 0) * n)
    return pygame.transform.smoothscale(large, size)


def mix(first: Colour, second: Colour, fraction: float) -> Colour:
    """Return the colour at ``fraction`` of the way from ``first`` to ``second``."""
    red, green, blue = (round(a + (b - a) * fraction) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Pen:
    """Draws at the scale of a view and tracks which parts of it are occupied.

    ``occupied``: the boxes drawn since :meth:`begin`, which further items avoid.
    """

    def __init__(self) -> None:
        self.surfaces = SurfaceCache()
        self.scale = 1.0
        self.view = pygame.Rect(0, 0, 1, 1)
        self.occupied: list[pygame.Rect] = []

    def begin(self, view: pygame.Rect) -> None:
        """Start drawing within ``view``, with nothing occupied."""
        self.view = view
        self.scale = min(max(min(view.width / FULL[0], view.height / FULL[1]), 0.62), 3.0)
        self.occupied = []

    def px(self, size: float) -> int:
        """Return a scaled length in pixels, at least one."""
        return max(round(size * self.scale), 1)

    def text(self, text: str, size: float, colour: Colour) -> pygame.Surface:
        """Return ``text`` at the view's scale, but never too small to read."""
        return self.surfaces.text(text, max(round(size * self.scale), LEGIBLE), colour)

    def plate(self, target: pygame.Surface, box: pygame.Rect, radius: float = 10.0, alpha: int = 150) -> None:
        """Draw a dark plate as a background for text and mark its box as occupied."""
        target.blit(self.surfaces.plate(box.size, self.px(radius), DARK, alpha, EDGE), box)
        self.occupied.append(box.copy())

    def bar(self, target: pygame.Surface, track: pygame.Rect, start: float, end: float, colour: Colour) -> None:
        """Draw a track that is filled from ``start`` to ``end``, 0 to 1."""
        target.blit(self.surfaces.plate(track.size, track.height // 2, TRACK, 255), track)
        low, high = sorted((min(max(start, 0.0), 1.0), min(max(end, 0.0), 1.0)))
        width = round(track.width * (high - low))
        if width > 0:
            filled = pygame.Rect(track.left + round(track.width * low), track.top, width, track.height)
            target.blit(self.surfaces.plate(filled.size, min(track.height, width) // 2, colour, 255), filled)

    def key(self, target: pygame.Surface, name: str, x: int, y: int) -> int:
        """Draw a key cap at (x, y) and return its width."""
        label = self.text(name, SMALL, WHITE)
        cap = pygame.Rect(x, y, self.key_width(name), label.get_height() + self.px(7))
        target.blit(self.surfaces.plate(cap.size, self.px(5), (44, 52, 64), 255, ((120, 130, 144), 255)), cap)
        target.blit(label, label.get_rect(center=cap.center))
        return cap.width

    def key_width(self, name: str) -> int:
        """Return the width of a key cap, px."""
        return max(self.text(name, SMALL, WHITE).get_width() + self.px(12), self.px(22))

    def place(self, box: pygame.Rect, places: Iterable[tuple[int, int]]) -> pygame.Rect:
        """Move the top left corner of ``box`` to the first unoccupied of ``places``, else to the last."""
        gap = 2 * self.px(4)
        for place in places:
            box.topleft = place
            if box.inflate(gap, gap).collidelist(self.occupied) < 0:
                break
        return box

    def shortened(self, text: str, size: float, colour: Colour, width: int) -> pygame.Surface:
        """Return ``text`` in one line of at most ``width`` pixels, cut at its beginning."""
        shown, cut = self.text(text, size, colour), text
        while shown.get_width() > width and len(cut) > 4:
            cut = cut[2:]
            shown = self.text(f"...{cut}", size, colour)
        return shown

    def wrapped(self, text: str, size: float, colour: Colour, width: int) -> list[pygame.Surface]:
        """Return ``text`` wrapped into lines of at most ``width`` pixels."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.text(longer, size, colour).get_width() <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return [self.text(line, size, colour) for line in lines]
