"""Dashboard and steering wheel in the driver's view: a working speedometer, tell-tales, and a wheel that turns.

Everything that does not move is drawn once for a size of the view, with oversampling; a turned wheel is kept by angle.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import pygame

from bridge.messages import Frame, Lights
from neuralsim.window.drawing import AMBER, BLUE, GREEN, RED, SOFT, WHITE, Colour, Pen

if TYPE_CHECKING:
    from neuralsim.drive.interactive_drive import HudState

HEIGHT = 0.27  # of the view's height, at the middle of the dashboard
_WHEEL = 0.30  # radius of the wheel, of the view's height
_WHEEL_X, _WHEEL_Y = 0.36, 1.15  # its centre, of the view's width and height: a left-hand drive
_LOCK = 160.0  # degrees of the drawn wheel at full steering; a real one turns further, its rim looks the same
_STEP = 3.0  # degrees between two drawn angles
_OVER = 2  # oversampling
_SWEEP = (-120.0, 120.0)  # degrees of a dial from its upright, clockwise
_BLINKS = 1.4  # per second
_FACTORS = {"km/h": (3.6, 220, 20), "mph": (2.2369363, 140, 20)}  # per m/s, end of the dial, between two figures


class Dashboard:
    """Draws the dashboard if it is ``on`` and the frame is of the driver's view."""

    def __init__(self) -> None:
        self.on = False
        self._drawn: tuple[tuple[object, ...], pygame.Surface] | None = None
        self._wheels: dict[tuple[int, int], pygame.Surface] = {}

    def draw(self, target: pygame.Surface, pen: Pen, frame: Frame, state: HudState) -> None:
        """Draw it over the lower part of the view."""
        if not self.on or frame.mount or state.view.startswith(("Semantic", "Depth", "Motion")):
            return
        view = pen.view
        key = view.size, state.units
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, _panel(pen, view.size, state.units)
            self._wheels.clear()
        target.set_clip(view)
        target.blit(self._drawn[1], (view.left, view.bottom - self._drawn[1].get_height()))
        self._draw_needles(target, pen, state)
        self._draw_wheel(target, view, state.ego.steer)
        target.set_clip(None)

    def _draw_needles(self, target: pygame.Surface, pen: Pen, state: HudState) -> None:
        view, ego = pen.view, state.ego
        factor, most, _ = _FACTORS[state.units]
        for share, side_of in ((abs(ego.speed) * factor / most, -1), (ego.throttle, 1)):
            centre, radius = _dial(view.size, side_of)
            at = view.left + centre[0], view.top + centre[1]
            angle = math.radians(_SWEEP[0] + (_SWEEP[1] - _SWEEP[0]) * min(share, 1.0))
            along = math.sin(angle), -math.cos(angle)
            aside = -along[1], along[0]
            wide = 0.03 * radius
            tip = at[0] + 0.86 * radius * along[0], at[1] + 0.86 * radius * along[1]
            base = [(at[0] + side * wide * aside[0] - 0.16 * radius * along[0],
                     at[1] + side * wide * aside[1] - 0.16 * radius * along[1]) for side in (-1, 1)]  # fmt: skip
            pygame.draw.polygon(target, (226, 64, 44), [tip, *base])
            pygame.draw.aalines(target, (226, 64, 44), True, [tip, *base])
            pygame.draw.circle(target, (22, 24, 28), at, max(round(0.11 * radius), 2))
        lit = time.monotonic() * _BLINKS % 1.0 < 0.5
        lamps: list[tuple[float, Colour, bool, str]] = [
            (-0.34, GREEN, lit and bool(ego.lights & Lights.LEFT_BLINKER), "left"),
            (-0.12, BLUE, bool(ego.lights & Lights.HIGH_BEAM), "beam"),
            (0.0, GREEN, bool(ego.lights & Lights.LOW_BEAM), "beam"),
            (0.12, RED, ego.hand_brake, "brake"),
            (0.34, GREEN, lit and bool(ego.lights & Lights.RIGHT_BLINKER), "right"),
        ]
        (left, y), radius = _dial(view.size, -1)
        right = _dial(view.size, 1)[0][0]
        middle, span = view.left + (left + right) / 2.0, right - left
        for place, colour, on, kind in lamps:
            _tell_tale(target, (middle + place * span, view.top + y - 0.72 * radius), 0.13 * radius, colour, on, kind)
        gear = "R" if ego.gear < 0 else "N" if ego.gear == 0 else f"D{ego.gear}"
        shown = pen.text(gear, 24, AMBER if ego.gear < 0 else WHITE)
        target.blit(shown, shown.get_rect(center=(middle, view.top + y - 0.1 * radius)))

    def _draw_wheel(self, target: pygame.Surface, view: pygame.Rect, steer: float) -> None:
        radius = round(_WHEEL * view.height)
        step = round(steer * _LOCK / _STEP)
        key = radius, step
        if key not in self._wheels:
            if (radius, 10_000) not in self._wheels:
                self._wheels[radius, 10_000] = _wheel(radius * _OVER)
            self._wheels[key] = pygame.transform.rotozoom(self._wheels[radius, 10_000], -step * _STEP, 1.0 / _OVER)
        wheel = self._wheels[key]
        at = view.left + round(_WHEEL_X * view.width), view.top + round(_WHEEL_Y * view.height)
        target.blit(wheel, wheel.get_rect(center=at))


def _dial(size: tuple[int, int], side: int) -> tuple[tuple[float, float], float]:
    """Return the centre (px in the view) and the radius of the left (-1) or right (1) dial, seen above the wheel."""
    width, height = size
    return (_WHEEL_X * width + side * 0.150 * height, (1.0 - 0.14) * height), 0.092 * height


def _panel(pen: Pen, size: tuple[int, int], units: str) -> pygame.Surface:
    """Return the dashboard, with transparent surroundings, as wide as the view."""
    width, height = size
    tall = round((HEIGHT + 0.05) * height)
    n = _OVER
    across = np.linspace(-1.0, 1.0, width * n)
    # The upper edge: higher over the instruments, lower towards the doors.
    hood = np.exp(-(((across * 0.5 + 0.5 - _WHEEL_X) / 0.15) ** 4))
    edge = (0.285 - 0.02 * np.abs(across) ** 2.2 + (0.02) * hood - 0.10) * height
    rows = np.arange(tall * n)[:, None] / n
    below = rows - (tall - edge)[None, :]  # px below the edge
    light = np.exp(-np.maximum(below, 0.0) / (0.016 * height))  # the sky on the rounded edge
    deep = np.clip(below / (0.22 * height), 0.0, 1.0)
    grain = np.random.default_rng(1).normal(0.0, 1.6, below.shape)
    shade = 30.0 + 34.0 * light - 15.0 * deep + grain
    crease = np.exp(-(((below - 0.055 * height) / (0.004 * height)) ** 2))
    shade -= 12.0 * crease * (1.0 - 0.85 * hood[None, :])
    rgb = np.stack([shade * tint for tint in (0.98, 1.0, 1.04)], axis=-1).clip(0, 255).astype(np.uint8)
    alpha = (np.clip(below * 1.2 + 0.5, 0.0, 1.0) * 255).astype(np.uint8)
    panel = pygame.Surface((width * n, tall * n), pygame.SRCALPHA)
    pygame.surfarray.pixels3d(panel)[:] = rgb.swapaxes(0, 1)
    pygame.surfarray.pixels_alpha(panel)[:] = alpha.T
    panel = pygame.transform.smoothscale(panel, (width, tall))
    _draw_cluster(panel, pen, size, tall, units)
    return panel


def _draw_cluster(panel: pygame.Surface, pen: Pen, size: tuple[int, int], tall: int, units: str) -> None:
    """Draw the binnacle with both dials onto the panel."""
    width, height = size
    n = _OVER * 2
    box = pygame.Rect(0, 0, round(0.54 * height), round(0.25 * height))
    (_, y), radius = _dial(size, -1)
    box.center = round(_WHEEL_X * width), round(y - (height - tall))
    large = pygame.Surface((box.width * n, box.height * n), pygame.SRCALPHA)
    whole = large.get_rect()
    pygame.draw.rect(large, (12, 13, 15, 255), whole, border_radius=round(0.45 * whole.height))
    pygame.draw.rect(
        large, (66, 70, 76, 255), whole, width=round(0.008 * height * n), border_radius=round(0.45 * whole.height)
    )
    dials = []
    for side in (-1, 1):
        (x, _), _ = _dial(size, side)
        centre = ((x - _WHEEL_X * width) + box.width / 2.0) * n, box.height / 2.0 * n
        dials.append((side, centre))
        pygame.draw.circle(large, (96, 100, 108), centre, radius * 1.04 * n)
        pygame.draw.circle(large, (17, 18, 21), centre, radius * 1.0 * n)
        _, most, every = _FACTORS[units]
        ticks = most // (every // 2) if side < 0 else 10
        for k in range(ticks + 1):
            angle = math.radians(_SWEEP[0] + (_SWEEP[1] - _SWEEP[0]) * k / ticks)
            main = k % 2 == 0
            inner = (0.8 if main else 0.87) * radius * n
            start = centre[0] + inner * math.sin(angle), centre[1] - inner * math.cos(angle)
            end = centre[0] + 0.95 * radius * n * math.sin(angle), centre[1] - 0.95 * radius * n * math.cos(angle)
            colour = (222, 226, 232) if side < 0 or k < 8 else (226, 80, 60)
            pygame.draw.line(large, colour, start, end, max(round(0.022 * radius * n * (1.4 if main else 0.8)), 1))
    panel.blit(pygame.transform.smoothscale(large, box.size), box)
    for side, centre in dials:
        _, most, every = _FACTORS[units]
        at = box.left + centre[0] / n, box.top + centre[1] / n
        figures = [str(k) for k in range(0, most + 1, 2 * every)] if side < 0 else ["0", "", "50", "", "100"]
        for k, figure in enumerate(figures):
            reach = (2 * every * k / most) if side < 0 else k / 4.0
            angle = math.radians(_SWEEP[0] + (_SWEEP[1] - _SWEEP[0]) * reach)
            text = pen.surfaces.text(figure, max(round(0.27 * radius), 9), (206, 211, 218)) if figure else None
            if text is not None:
                place = at[0] + 0.6 * radius * math.sin(angle), at[1] - 0.6 * radius * math.cos(angle)
                panel.blit(text, text.get_rect(center=place))
        name = pen.surfaces.text(units if side < 0 else "power %", max(round(0.24 * radius), 9), SOFT)
        panel.blit(name, name.get_rect(center=(at[0], at[1] + 0.5 * radius)))


def _tell_tale(
    target: pygame.Surface, at: tuple[float, float], size: float, colour: Colour, on: bool, kind: str
) -> None:
    """Draw a tell-tale lamp: an arrow to the left or right, a beam, or the brake."""
    colour = colour if on else (38, 41, 46)
    x, y = at
    if kind in ("left", "right"):
        side = -1.0 if kind == "left" else 1.0
        outline = ((1.2, 0.0), (0.0, -1.0), (0.0, -0.4), (-1.2, -0.4), (-1.2, 0.4), (0.0, 0.4), (0.0, 1.0))
        points = [(x + side * u * size, y + v * size) for u, v in outline]
        pygame.draw.polygon(target, colour, points)
        pygame.draw.aalines(target, colour, True, points)
    elif kind == "beam":
        for k in (-1, 0, 1):
            pygame.draw.aaline(target, colour, (x - size, y + 0.55 * k * size), (x - 0.1 * size, y + 0.55 * k * size))
        box = pygame.Rect(round(x), round(y - 0.8 * size), max(round(0.9 * size), 2), max(round(1.6 * size), 2))
        pygame.draw.rect(
            target, colour, box, border_top_right_radius=round(size), border_bottom_right_radius=round(size)
        )
    else:
        pygame.draw.circle(target, colour, at, max(round(0.85 * size), 2), max(round(0.25 * size), 1))
        pygame.draw.line(target, colour, (x, y - 0.45 * size), (x, y + 0.15 * size), max(round(0.25 * size), 1))


def _wheel(radius: int) -> pygame.Surface:
    """Return a steering wheel, straight ahead, shaded as a leather rim with three spokes lit from above."""
    side = 2 * radius + 8
    y, x = np.mgrid[:side, :side] - (side - 1) / 2.0
    distance = np.hypot(x, y) / radius
    middle, half = 0.91, 0.085  # of the rim
    across = (distance - middle) / half
    rim = np.clip((1.0 - np.abs(across)) * half * radius, 0.0, 1.0)
    round_ = np.sqrt(np.clip(1.0 - across**2, 0.0, 1.0))
    angle = np.arctan2(y, x)
    facing = -across * np.sin(angle)  # the upper side of the tube faces the sky
    shade = 18.0 + 22.0 * round_ + 26.0 * np.clip(facing, 0.0, 1.0) ** 2 - 8.0 * np.clip(-facing, 0.0, 1.0)
    stitch = (np.abs(across + 0.45) < 0.06) & (np.sin(angle * 90.0) > 0.0)
    shade = shade + 14.0 * stitch
    hub = np.clip((0.30 - np.hypot(x * 0.92, y * 1.12) / radius) * radius, 0.0, 1.0)
    spokes = np.zeros_like(distance)
    for direction in (0.0, np.pi, 0.5 * np.pi):
        along = x * np.cos(direction) + y * np.sin(direction)
        aside = np.abs(-x * np.sin(direction) + y * np.cos(direction)) / radius
        wide = 0.085 + 0.05 * np.clip(1.0 - along / radius, 0.0, 1.0)
        inside = (along > 0.0) & (distance < middle)
        spokes = np.maximum(spokes, np.clip((wide - aside) * radius, 0.0, 1.0) * inside)
    plate = np.clip(34.0 - 12.0 * y / radius, 14.0, 60.0)
    body = np.maximum(hub, spokes)
    value = np.where(rim > 0.0, shade, plate)
    alpha = np.maximum(rim, body)
    ring = np.abs(np.hypot(x, y) / radius - 0.13) < 0.008
    value = np.where(ring & (rim == 0.0), 96.0, value)
    wheel = pygame.Surface((side, side), pygame.SRCALPHA)
    rgb = np.stack([value * tint for tint in (1.0, 1.0, 1.05)], axis=-1).clip(0, 255).astype(np.uint8)
    pygame.surfarray.pixels3d(wheel)[:] = rgb.swapaxes(0, 1)
    pygame.surfarray.pixels_alpha(wheel)[:] = (alpha * 255).astype(np.uint8).T
    return wheel
