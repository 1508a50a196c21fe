"""What does not move of the cockpit, drawn once for a size of the view: dashboard, dials, screen.

All shapes are computed as distances to their edges with oversampling, so that their edges are smooth. The colours are
those of an overcast noon; ``light.py`` adapts them to the scene.
"""

import math
from dataclasses import dataclass

import numpy as np
import pygame

OVER = 2  # oversampling
TALL = 0.26  # of the view's height: what the surface covers
CENTRE = 0.34  # of the view's width: middle of the instruments, a left-hand drive
EDGE = 0.172  # of the view's height: the dashboard above the view's bottom, at the middle
SWEEP = (-125.0, 125.0)  # degrees of a dial from its upright, clockwise
#: Per unit: factor from m/s, end of the dial, between two ticks.
SCALES = {"km/h": (3.6, 220, 10), "mph": (2.2369363, 140, 10)}


@dataclass(frozen=True)
class Layout:
    """Where things are on a view of ``width`` x ``height`` px; everything in px from its top left corner."""

    width: int
    height: int

    @property
    def top(self) -> int:
        """Of the surface."""
        return self.height - self.tall

    @property
    def tall(self) -> int:
        """Height of the surface."""
        return round(TALL * self.height)

    @property
    def radius(self) -> float:
        """Of a dial."""
        return 0.071 * self.height

    def dial(self, side: int) -> tuple[float, float]:
        """Return the centre of the left (-1, speed) or right (1, power) dial."""
        return CENTRE * self.width + side * 0.127 * self.height, 0.868 * self.height

    @property
    def display(self) -> tuple[float, float]:
        """Middle of the display between the dials."""
        return CENTRE * self.width, 0.866 * self.height

    @property
    def wheel(self) -> tuple[float, float, float]:
        """Centre and radius of the steering wheel."""
        return CENTRE * self.width, 1.262 * self.height, 0.355 * self.height

    @property
    def screen(self) -> pygame.Rect:
        """The screen in the middle of the car, for the map."""
        side = round(0.172 * self.height)
        box = pygame.Rect(0, 0, round(1.25 * side), side)
        box.midbottom = round(0.645 * self.width), round(0.992 * self.height)
        return box


def angle_of(share: float) -> float:
    """Return the direction (radians from upright, clockwise) of a share of a dial, 0 to 1."""
    return math.radians(SWEEP[0] + (SWEEP[1] - SWEEP[0]) * min(max(share, 0.0), 1.0))


def panel(layout: Layout) -> pygame.Surface:
    """Return dashboard and instruments without their marks, with alpha."""
    n, width = OVER, layout.width
    x = ((np.arange(width * n, dtype=np.float32) + 0.5) / n)[None, :]
    y = ((np.arange(layout.tall * n, dtype=np.float32) + 0.5) / n + layout.top)[:, None]
    below = y - edge(x, layout)  # px below the dashboard's edge
    shade = _padding(x, y, below, layout)
    colour = np.repeat(shade[:, :, None], 3, 2) * np.array([0.97, 1.0, 1.05], np.float32)
    alpha = _cover(below)
    colour, alpha = _binnacle(colour, alpha, x, y, layout)
    colour, alpha = _tablet(colour, alpha, x, y, layout)
    surface = pygame.Surface((width * n, layout.tall * n), pygame.SRCALPHA)
    pygame.surfarray.pixels3d(surface)[:] = colour.clip(0, 255).astype(np.uint8).swapaxes(0, 1)
    pygame.surfarray.pixels_alpha(surface)[:] = (alpha.clip(0.0, 1.0) * 255).astype(np.uint8).T
    return pygame.transform.smoothscale(surface, (width, layout.tall))


def _cover(below: np.ndarray) -> np.ndarray:
    """Return how much of a pixel lies inside an edge it is ``below`` px away from, 0 to 1."""
    return np.clip(below * OVER + 0.5, 0.0, 1.0)


def edge(x: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the y of the dashboard's upper edge: slightly domed, lower towards the doors."""
    across = 2.0 * x / layout.width - 1.0
    return layout.height * (1.0 - EDGE + 0.018 * np.abs(across) ** 2.4)


def _padding(x: np.ndarray, y: np.ndarray, below: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the grey of the soft padding: lit from above, with a seam, a trim strip and a vent."""
    h = layout.height
    down = np.maximum(below, 0.0) / h
    shade = 46.0 + 40.0 * np.exp(-down / 0.010) - 26.0 * np.clip((down - 0.03) / 0.11, 0.0, 1.0)
    seam = np.exp(-(((down - 0.040) / 0.0017) ** 2))
    stitches = 0.5 + 0.5 * np.sign(np.sin(x * (2.0 * np.pi / (0.012 * h))))
    stitch = np.exp(-(((down - 0.0435) / 0.0011) ** 2)) * stitches
    shade = shade - 17.0 * seam + 22.0 * stitch
    grain = np.random.default_rng(1).standard_normal((below.shape[0], x.shape[1]), np.float32)
    shade = shade + 1.5 * grain * np.clip(down / 0.01, 0.2, 1.0)
    right = np.clip((x / layout.width - 0.50) / 0.01, 0.0, 1.0)
    strip = (np.abs(down - 0.085) < 0.012) * right
    metal = 74.0 + 60.0 * np.exp(-(((down - 0.0775) / 0.0028) ** 2)) - 400.0 * np.abs(down - 0.085)
    shade = shade * (1.0 - strip) + metal * strip
    for place in (0.115, 0.885):
        shade = _vent(shade, x, y, layout, place)
    return shade


def _vent(shade: np.ndarray, x: np.ndarray, y: np.ndarray, layout: Layout, place: float) -> np.ndarray:
    """Return ``shade`` with an air vent of five slats at this share of the width."""
    h = layout.height
    u, v = (x - place * layout.width) / h, (y - 0.945 * h) / h
    outside = _box_distance(u, v, 0.088, 0.034, 0.018)
    slats = 34.0 + 34.0 * np.clip(np.sin((v / 0.0136) * 2.0 * np.pi), -0.4, 1.0)
    inside = np.clip(-outside * h * OVER, 0.0, 1.0)
    rim = np.clip(1.0 - np.abs(outside) / 0.0035, 0.0, 1.0)
    shade = shade * (1.0 - inside) + slats * inside
    lit = 96.0 - 700.0 * v
    return shade * (1.0 - rim) + np.clip(lit, 46.0, 120.0) * rim


def _box_distance(u: np.ndarray, v: np.ndarray, half: float, high: float, corner: float) -> np.ndarray:
    """Return the distance to a rounded box, negative inside."""
    a, b = np.abs(u) - half + corner, np.abs(v) - high + corner
    return np.hypot(np.maximum(a, 0.0), np.maximum(b, 0.0)) + np.minimum(np.maximum(a, b), 0.0) - corner


def _binnacle(
    colour: np.ndarray, alpha: np.ndarray, x: np.ndarray, y: np.ndarray, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Return colours and alpha with the housing of the dials: a visor lit from above, dark glass below it."""
    h = layout.height
    u, v = (x - layout.display[0]) / h, (y - layout.display[1]) / h
    visor = _box_distance(u, v - 0.05, 0.250, 0.148, 0.085)
    glass = _box_distance(u, v - 0.055, 0.228, 0.130, 0.070)
    outer, inner = np.clip(-visor * h * OVER + 0.5, 0.0, 1.0), np.clip(-glass * h * OVER + 0.5, 0.0, 1.0)
    top = np.clip(-(v - 0.02) / 0.10, 0.0, 1.0)
    skin = 40.0 + 62.0 * np.exp(np.minimum(visor, 0.0) / 0.006) * top + 16.0 * top
    face = 15.0 + 12.0 * np.clip(v / 0.08, 0.0, 1.0) - 6.0 * np.exp(np.minimum(glass, 0.0) / 0.012) * top
    shade = skin * (1.0 - inner) + face * inner
    for side in (-1, 1):
        cx, cy = layout.dial(side)
        away = np.hypot(x - cx, y - cy) / layout.radius
        ring = np.clip(1.0 - np.abs(away - 1.06) / 0.045, 0.0, 1.0)
        lit = 120.0 - 62.0 * (y - cy) / layout.radius
        well = np.clip((1.03 - away) * layout.radius * OVER, 0.0, 1.0)
        shade = shade * (1.0 - well) + (20.0 + 9.0 * (y - cy) / layout.radius) * well
        shade = shade * (1.0 - ring) + lit * ring
    tint = np.repeat(shade[:, :, None], 3, 2) * np.array([0.97, 1.0, 1.04], np.float32)
    return colour * (1.0 - outer[:, :, None]) + tint * outer[:, :, None], np.maximum(alpha, outer)


def _tablet(
    colour: np.ndarray, alpha: np.ndarray, x: np.ndarray, y: np.ndarray, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Return colours and alpha with the frame of the screen, black while nothing is on it."""
    h, box = layout.height, layout.screen
    u, v = (x - box.centerx) / h, (y - box.centery) / h
    outside = _box_distance(u, v, box.width / 2 / h + 0.009, box.height / 2 / h + 0.009, 0.014)
    frame = np.clip(-outside * h * OVER + 0.5, 0.0, 1.0)
    bevel = np.clip(1.0 - np.abs(outside + 0.0016) / 0.0022, 0.0, 1.0)
    shade = 14.0 + (74.0 - 260.0 * v) * bevel
    tint = np.repeat(shade[:, :, None], 3, 2)
    return colour * (1.0 - frame[:, :, None]) + tint * frame[:, :, None], np.maximum(alpha, frame)
