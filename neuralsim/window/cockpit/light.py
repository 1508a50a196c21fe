"""The light of the scene on the cockpit, estimated from the picture."""

import pygame

_BAND = (0.05, 0.62)  # rows of the picture whose light falls in, shares of its height
_PARTS = 5  # columns
_EVERY = 4  # frames between two looks
_NIGHT_FACTOR = 0.20  # of the drawn colours, in the dark
_DAY_GREY = 205.0  # of 255, mean grey at which the drawn colours hold
_CEILING = 1.0  # the drawn colours are never exceeded
_SMOOTHING = 0.25  # weight of the newest look
_STEP = 2  # of 255, that is worth drawing again


class CabinLight:
    """Colours by which the cockpit is multiplied, from left to right."""

    def __init__(self) -> None:
        self._looks = 0
        self._smooth: list[tuple[float, float, float]] = []
        self.colours: tuple[tuple[int, int, int], ...] = ()

    def look(self, target: pygame.Surface, view: pygame.Rect) -> bool:
        """Look at the picture in ``view``; return whether the colours have changed visibly."""
        self._looks += 1
        if self.colours and self._looks % _EVERY:
            return False
        top, tall = view.top + round(_BAND[0] * view.height), round((_BAND[1] - _BAND[0]) * view.height)
        wide = view.width / _PARTS
        new = []
        for part in range(_PARTS):
            box = pygame.Rect(view.left + round(part * wide), top, max(round(wide), 1), max(tall, 1))
            red, green, blue = pygame.transform.average_color(target, box)[:3]
            mean = (red + green + blue) / 3.0 + 1e-3
            level = min(_NIGHT_FACTOR + (1.0 - _NIGHT_FACTOR) * mean / _DAY_GREY * 1.25, _CEILING)
            new.append(
                (
                    level * (0.55 + 0.45 * red / mean),
                    level * (0.55 + 0.45 * green / mean),
                    level * (0.55 + 0.45 * blue / mean),
                )
            )
        if not self._smooth:
            self._smooth = new
        self._smooth = [
            (a[0] + _SMOOTHING * (b[0] - a[0]), a[1] + _SMOOTHING * (b[1] - a[1]), a[2] + _SMOOTHING * (b[2] - a[2]))
            for a, b in zip(self._smooth, new, strict=True)
        ]
        colours = tuple((_byte(r), _byte(g), _byte(b)) for r, g, b in self._smooth)
        changed = not self.colours or any(
            abs(a - b) > _STEP
            for one, other in zip(colours, self.colours, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        if changed:
            self.colours = colours
        return changed

    def apply(
        self, surface: pygame.Surface, share: tuple[float, float] = (0.0, 1.0), contrast: float = 1.0
    ) -> pygame.Surface:
        """Return a lit copy of ``surface``, which covers this ``share`` of the view's width.

        ``contrast`` is an exponent of the light, 0 to 1.
        """
        strip = pygame.Surface((len(self.colours), 1))
        for k, colour in enumerate(self.colours):
            strip.set_at((k, 0), [round(255 * (level / 255) ** contrast) for level in colour])
        wide = max(round(surface.get_width() / max(share[1] - share[0], 0.05)), 1)
        whole = pygame.transform.smoothscale(strip, (wide, 1))
        light = pygame.Surface((surface.get_width(), 1))
        light.blit(whole, (-round(share[0] * wide), 0))
        lit = surface.copy()
        lit.blit(pygame.transform.scale(light, surface.get_size()), (0, 0), special_flags=pygame.BLEND_RGB_MULT)
        return lit

    @property
    def is_dark(self) -> bool:
        """Whether the instruments' own light is seen."""
        return bool(self.colours) and sum(map(sum, self.colours)) / (3 * len(self.colours)) < 100


def _byte(level: float) -> int:
    """Return a factor of 0 to ``_CEILING`` as 0 to 255: the drawn colours are brighter by ``_CEILING``."""
    return min(max(round(level / _CEILING * 255), 0), 255)
