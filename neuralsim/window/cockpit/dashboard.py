"""Bonnet, dashboard and steering wheel in the driver's view: a working speedometer, tell-tales, and a wheel that turns.

What does not move is drawn once for a size of the view and lit like the scene; per frame there are needles, lamps and
the digits.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import pygame

from bridge.messages import Frame, Lights
from neuralsim.window.cockpit.bonnet import Bonnet
from neuralsim.window.cockpit.light import CabinLight
from neuralsim.window.cockpit.panel import SCALES, Layout, angle_of, panel
from neuralsim.window.cockpit.steering_wheel import SteeringWheel
from neuralsim.window.drawing import AMBER, BLUE, GREEN, RED, SOFT, WHITE, Colour, Pen

if TYPE_CHECKING:
    from neuralsim.drive.interactive_drive import HudState

_BLINKS = 1.4  # per second
_MARKS_OVER = 3  # oversampling of ticks and needles
_NEEDLE = (255, 92, 58)
_NEEDLE_STEP = 0.5  # degrees between two needles that are drawn


class Dashboard:
    """Draws the dashboard if it is ``on`` and the frame is of the driver's view."""

    def __init__(self) -> None:
        self.on = False
        self.light = CabinLight()
        self.bonnet = Bonnet()
        self._wheel = SteeringWheel()
        self._making: threading.Thread | None = None
        self._drawn: dict[Layout, pygame.Surface] = {}  # panels by the thread
        self._panel: tuple[tuple[object, ...], pygame.Surface] | None = None  # not lit
        self._lit: pygame.Surface | None = None  # with its marks
        self._marks: pygame.Surface | None = None  # ticks and figures, which have their own light
        self._lit_wheels: dict[int, pygame.Surface] = {}
        self._needles: dict[tuple[float, int], pygame.Surface] = {}

    def shows(self, frame: Frame | None, state: HudState) -> bool:
        """Return whether it is in the picture of ``frame``."""
        return self.on and frame is not None and not frame.mount and not state.view.startswith(_WITHOUT)

    def screen(self, view: pygame.Rect) -> pygame.Rect:
        """Return the screen in the middle of the car, where the map is shown."""
        return Layout(*view.size).screen.move(view.topleft)

    def draw(self, target: pygame.Surface, pen: Pen, frame: Frame, state: HudState) -> None:
        """Draw it over the lower part of the view."""
        if not self.shows(frame, state):
            return
        view, layout = pen.view, Layout(*pen.view.size)
        key = view.size, state.units
        if self._panel is None or self._panel[0] != key:
            if not self._made(layout):
                return
            self._panel = key, self._drawn.pop(layout)
            self._marks = _marks(pen, layout, state.units)
            self._needles.clear()
            self._lit = None
        if self.light.look(target, view) or self._lit is None:
            self._lit = self.light.apply(self._panel[1])
            self._lit_wheels.clear()
        assert self._marks is not None
        clip = target.get_clip()
        target.set_clip(view)
        corner = view.left, view.top + layout.top
        self.bonnet.draw(target, view, layout, self.light, (state.ego.blueprint, state.ego.color))
        target.blit(self._lit, corner)
        target.blit(self._marks, corner)
        self._draw_needles(target, view, layout, state)
        self._draw_display(target, pen, layout, state)
        self._draw_wheel(target, view, layout, state.ego.steer)
        target.set_clip(clip)
        pen.occupied.append(self.screen(view))

    def prepare(self, layout: Layout) -> None:
        """Draw what does not move; that takes up to a second."""
        self._wheel.prepare(round(layout.wheel[2]))
        self._drawn = {layout: panel(layout)}

    def _made(self, layout: Layout) -> bool:
        """Return whether :meth:`prepare` has run for this layout, which it does in the background if need be."""
        if layout in self._drawn:
            return True
        if self._making is None or not self._making.is_alive():
            self._making = threading.Thread(target=self.prepare, args=(layout,), name="dashboard", daemon=True)
            self._making.start()
        return False

    def _draw_needles(self, target: pygame.Surface, view: pygame.Rect, layout: Layout, state: HudState) -> None:
        factor, most, _ = SCALES[state.units]
        for side, share in ((-1, abs(state.ego.speed) * factor / most), (1, state.ego.throttle)):
            degrees = round(math.degrees(angle_of(share)) / _NEEDLE_STEP) * _NEEDLE_STEP
            key = degrees, round(layout.radius)
            if key not in self._needles:
                self._needles[key] = _needle(layout.radius, degrees)
            needle = self._needles[key]
            x, y = layout.dial(side)
            target.blit(needle, needle.get_rect(center=(view.left + x, view.top + y)))

    def _draw_display(self, target: pygame.Surface, pen: Pen, layout: Layout, state: HudState) -> None:
        ego, surfaces, r = state.ego, pen.surfaces, layout.radius
        x, y = pen.view.left + layout.display[0], pen.view.top + layout.display[1]
        speed = surfaces.text(f"{abs(ego.speed) * SCALES[state.units][0]:.0f}", round(1.0 * r), WHITE)
        target.blit(speed, speed.get_rect(center=(x, y)))
        unit = surfaces.text(state.units, max(round(0.27 * r), 9), SOFT)
        target.blit(unit, unit.get_rect(midleft=(x - 0.08 * r, y + 0.52 * r)))
        gear = "R" if ego.gear < 0 else "N" if ego.gear == 0 else f"D{ego.gear}"
        shown = surfaces.text(gear, max(round(0.34 * r), 9), AMBER if ego.gear < 0 else WHITE)
        target.blit(shown, shown.get_rect(midright=(x - 0.2 * r, y + 0.52 * r)))
        lit = time.monotonic() * _BLINKS % 1.0 < 0.5
        lamps: tuple[tuple[float, float, Colour, bool, str], ...] = (
            (-0.60, -0.74, GREEN, lit and bool(ego.lights & Lights.LEFT_BLINKER), "left"),
            (-0.2, -0.74, GREEN, bool(ego.lights & Lights.LOW_BEAM) and not ego.lights & Lights.HIGH_BEAM, "beam"),
            (-0.2, -0.74, BLUE, bool(ego.lights & Lights.HIGH_BEAM), "beam"),
            (0.2, -0.74, RED, ego.hand_brake, "brake"),
            (0.60, -0.74, GREEN, lit and bool(ego.lights & Lights.RIGHT_BLINKER), "right"),
        )
        for across, down, colour, on, kind in lamps:
            if on:
                lamp = _tell_tale(0.115 * r, colour, kind)
                target.blit(lamp, lamp.get_rect(center=(x + across * r, y + down * r)))

    def _draw_wheel(self, target: pygame.Surface, view: pygame.Rect, layout: Layout, steer: float) -> None:
        x, y, radius = layout.wheel
        step, wheel = self._wheel.at(round(radius), steer)
        seen = wheel.get_rect(center=(round(x), round(y)))
        rows = max(layout.height - seen.top, 1)  # the rest is below the view
        if step not in self._lit_wheels:
            part = wheel.subsurface((0, 0, wheel.get_width(), min(rows, wheel.get_height())))
            share = seen.left / layout.width, seen.right / layout.width
            self._lit_wheels[step] = self.light.apply(part, share)
        target.blit(self._lit_wheels[step], (view.left + seen.left, view.top + seen.top))


_WITHOUT = ("Semantic", "Depth", "Motion")  # beginnings of the titles of views without a dashboard


def _marks(pen: Pen, layout: Layout, units: str) -> pygame.Surface:
    """Return ticks and figures of both dials, with alpha, over the surface of the panel."""
    n, r = _MARKS_OVER, layout.radius
    marks = pygame.Surface((layout.width, layout.tall), pygame.SRCALPHA)
    _, most, every = SCALES[units]
    for side in (-1, 1):
        side_of = round(2.2 * r)
        large = pygame.Surface((side_of * n, side_of * n), pygame.SRCALPHA)
        large.fill((255, 255, 255, 0))
        middle, count = side_of * n / 2.0, most // every if side < 0 else 10
        main = 4 if units == "km/h" and side < 0 else 2
        for k in range(count + 1):
            angle = angle_of(k / count)
            along = math.sin(angle), -math.cos(angle)
            long_ = k % main == 0
            inner, wide = (0.78, 0.030) if long_ else (0.86, 0.016)
            ends = [(middle + reach * r * n * along[0], middle + reach * r * n * along[1]) for reach in (inner, 0.95)]
            colour = (236, 240, 245, 255) if side < 0 or k < 8 else (255, 92, 58, 255)
            _bar(large, ends[0], ends[1], wide * r * n, colour)
        dial = pygame.transform.smoothscale(large, (side_of, side_of))
        x, y = layout.dial(side)
        marks.blit(dial, dial.get_rect(center=(round(x), round(y - layout.top))))
        figures = range(0, most + 1, 40 if units == "km/h" else 20) if side < 0 else range(0, 101, 50)
        for figure in figures:
            angle = angle_of(figure / (most if side < 0 else 100))
            text = pen.surfaces.text(str(figure), max(round(0.25 * r), 9), (214, 219, 226))
            place = x + 0.58 * r * math.sin(angle), y - layout.top - 0.58 * r * math.cos(angle)
            marks.blit(text, text.get_rect(center=place))
        name = pen.surfaces.text(units if side < 0 else "%", max(round(0.22 * r), 9), SOFT)
        marks.blit(name, name.get_rect(center=(x, y - layout.top + 0.42 * r)))
    return marks


def _bar(
    target: pygame.Surface, begin: tuple[float, float], end: tuple[float, float], wide: float, colour: tuple[int, ...]
) -> None:
    """Draw a straight bar with square ends."""
    length = math.hypot(end[0] - begin[0], end[1] - begin[1]) or 1.0
    ax, ay = -(end[1] - begin[1]) / length * wide, (end[0] - begin[0]) / length * wide
    corners = [
        (begin[0] + ax, begin[1] + ay),
        (begin[0] - ax, begin[1] - ay),
        (end[0] - ax, end[1] - ay),
        (end[0] + ax, end[1] + ay),
    ]
    pygame.draw.polygon(target, colour, corners)


def _needle(radius: float, degrees: float) -> pygame.Surface:
    """Return a needle with its shadow and cap, turned by ``degrees`` from upright."""
    n, side = _MARKS_OVER, round(2.1 * radius)
    large = pygame.Surface((side * n, side * n), pygame.SRCALPHA)
    large.fill((*_NEEDLE, 0))
    middle, r = side * n / 2.0, radius * n
    angle = math.radians(degrees)
    along, aside = (math.sin(angle), -math.cos(angle)), (math.cos(angle), math.sin(angle))

    def outline(shift: float) -> list[tuple[float, float]]:
        points = ((0.90, 0.006), (0.90, -0.006), (-0.2, -0.036), (-0.2, 0.036))
        return [
            (middle + shift + r * (a * along[0] + b * aside[0]), middle + shift + r * (a * along[1] + b * aside[1]))
            for a, b in points
        ]

    pygame.draw.polygon(large, (0, 0, 0, 120), outline(0.03 * r))
    pygame.draw.polygon(large, (*_NEEDLE, 255), outline(0.0))
    for share, grey in ((0.155, 18), (0.135, 66), (0.11, 40)):
        pygame.draw.circle(large, (grey, grey, grey + 3, 255), (middle, middle), share * r)
    return pygame.transform.smoothscale(large, (side, side))


def _tell_tale(size: float, colour: Colour, kind: str) -> pygame.Surface:
    """Return a lit lamp: an arrow to the left or right, a beam, or the brake."""
    n = 4
    side = round(3.2 * size)
    large = pygame.Surface((side * n, side * n), pygame.SRCALPHA)
    large.fill((*colour, 0))
    m, s = side * n / 2.0, size * n
    if kind in ("left", "right"):
        sign = 1.0 if kind == "left" else -1.0
        outline = ((-1.3, 0.0), (0.0, -1.1), (0.0, -0.45), (1.2, -0.45), (1.2, 0.45), (0.0, 0.45), (0.0, 1.1))
        pygame.draw.polygon(large, colour, [(m + sign * u * s, m + v * s) for u, v in outline])
    elif kind == "beam":
        for k in (-1, 0, 1):
            _bar(large, (m - 1.4 * s, m + 0.62 * k * s), (m - 0.25 * s, m + 0.62 * k * s - 0.2 * s), 0.13 * s, colour)
        box = pygame.Rect(round(m), round(m - s), round(1.1 * s), round(2.0 * s))
        pygame.draw.rect(large, colour, box, border_top_right_radius=round(s), border_bottom_right_radius=round(s))
    else:
        pygame.draw.circle(large, colour, (m, m), s, max(round(0.22 * s), 1))
        _bar(large, (m, m - 0.55 * s), (m, m + 0.15 * s), 0.13 * s, colour)
        pygame.draw.circle(large, colour, (m, m + 0.48 * s), 0.15 * s)
    return pygame.transform.smoothscale(large, (side, side))
