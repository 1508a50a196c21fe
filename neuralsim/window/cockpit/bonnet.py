"""The bonnet of the ego's own car beyond the dashboard: its paint, and in its varnish the street ahead.

The shape follows the side profile of the blueprint. What does not move is computed once for a size of the view and a
car: where each pixel's line of sight meets the metal, how the paint is shaded there, and which part of the picture it
mirrors. Per frame, a small copy of the picture is laid out along these mirrored lines.
"""

import math
import threading
from dataclasses import dataclass

import cv2
import numpy as np
import pygame

from neuralsim.renderer.dashcam.bonnet_surface import SHORTEST_BONNET, BonnetSurface, Car, paint_of, shape_of
from neuralsim.window.cockpit.light import CabinLight
from neuralsim.window.cockpit.panel import EDGE, Layout, edge

_EYE_BACK = 0.60  # m, of the eye behind the lower edge of the windscreen
_EYE_HEIGHT = 0.28  # m above it
_VIEW_TANGENT = 0.70  # of half the field of view
_DRAWN_LIMIT = 0.067  # of the view's height, the most that is drawn beyond the dashboard
_SEEN_SCALE = 0.13  # of the view's height, of what is seen: beyond it, it is drawn smaller
_OVERSAMPLING = 5  # of rows: all edges are nearly level
_STEPS = 72  # along the bonnet
_OVERHANG = 0.12  # m beyond its nose
_COPY_SIZE = 48, 20  # columns and rows of the small copy of the picture
_BAND = 0.03, 0.75  # rows of the picture that are mirrored, shares of its height
_COPY_WEIGHT = 0.5  # of the newest frame in that copy
_COPY_PERIOD = 2  # frames between two looks
_LINE_SIZE = 8, 1  # px across and down of the metal that share a mirrored line
_CONTRAST = 1.35  # exponent of the light: outdoors it varies more than in the cabin


@dataclass(frozen=True)
class _Metal:
    """A bonnet of H x W px whose upper left corner is (0, ``top``) in the view."""

    top: int
    paint: pygame.Surface  # not lit, with alpha
    gloss: pygame.Surface  # how much of the mirrored picture is seen
    across: np.ndarray  # the two maps of cv2.remap into the small copy, of a coarse image of the metal
    down: np.ndarray
    coarse: pygame.Surface
    shine: pygame.Surface  # what is added to the paint


class Bonnet:
    """Draws the bonnet of a car."""

    def __init__(self) -> None:
        self._key: tuple[Layout, Car] | None = None
        self._metal: _Metal | None = None
        self._made: dict[tuple[Layout, Car], _Metal | None] = {}  # by the thread
        self._making: threading.Thread | None = None
        self._lit: tuple[tuple[object, ...], pygame.Surface] | None = None
        self._frames = 0
        self._mirrored: np.ndarray | None = None  # f32 (rows, columns, 3), from below

    def prepare(self, layout: Layout, car: Car) -> None:
        """Compute what does not move; that takes up to a second."""
        self._made = {(layout, car): _metal(layout, car)}

    def draw(self, target: pygame.Surface, view: pygame.Rect, layout: Layout, light: CabinLight, car: Car) -> None:
        """Draw it over the part of the view above the dashboard, once it is prepared; van and bus have none."""
        key = layout, car
        if self._key != key:
            if key not in self._made:
                if self._making is None or not self._making.is_alive():
                    self._making = threading.Thread(target=self.prepare, args=key, name="bonnet", daemon=True)
                    self._making.start()
                return
            self._key, self._metal, self._lit, self._mirrored = key, self._made.pop(key), None, None
        metal = self._metal
        if metal is None:
            return
        if self._lit is None or self._lit[0] != light.colours:
            self._lit = light.colours, light.apply(metal.paint, contrast=_CONTRAST)
        self._frames += 1
        if self._mirrored is None or self._frames % _COPY_PERIOD == 0:
            seen = cv2.remap(self._look(target, view), metal.across, metal.down, cv2.INTER_LINEAR)
            pygame.surfarray.blit_array(metal.coarse, seen.swapaxes(0, 1))
            pygame.transform.smoothscale(metal.coarse, metal.shine.get_size(), metal.shine)
            metal.shine.blit(metal.gloss, (0, 0), special_flags=pygame.BLEND_RGB_MULT)
        corner = view.left, view.top + metal.top
        target.blit(self._lit[1], corner)
        target.blit(metal.shine, corner, special_flags=pygame.BLEND_RGB_ADD)

    def _look(self, target: pygame.Surface, view: pygame.Rect) -> np.ndarray:
        """Return the small copy of the picture in ``view``, u8 (rows, columns, 3), smooth over time."""
        columns, rows = _COPY_SIZE
        top, end = (view.top + round(share * view.height) for share in _BAND)
        pixels = pygame.surfarray.pixels3d(target)  # (W, H, 3)
        x = view.left + ((np.arange(2 * columns) + 0.5) * view.width / (2 * columns)).astype(int)
        y = top + ((np.arange(2 * rows)[::-1] + 0.5) * (end - top) / (2 * rows)).astype(int)
        seen = pixels[x[None, :], y[:, None]]
        del pixels  # unlocks the surface
        small = cv2.blur(cv2.resize(seen, _COPY_SIZE, interpolation=cv2.INTER_AREA), (3, 3)).astype(np.float32)
        if self._mirrored is None:
            self._mirrored = small
        self._mirrored += _COPY_WEIGHT * (small - self._mirrored)
        return self._mirrored.astype(np.uint8)


def _metal(layout: Layout, car: Car) -> _Metal | None:
    """Return the bonnet; None where it cannot be seen."""
    shape = shape_of(car)
    surface = BonnetSurface(shape, _EYE_BACK, _EYE_HEIGHT)
    scale = 0.5 * layout.width / _VIEW_TANGENT  # px per unit of slope
    slope = surface.profile(np.zeros(1, np.float32), _STEPS, _OVERHANG)[1][:, 0]
    seen = float(slope[-1] - slope[0]) * scale
    if shape.cowl_at < SHORTEST_BONNET or seen < 0.004 * layout.height:
        return None
    tall = _DRAWN_LIMIT * layout.height * (1.0 - math.exp(-seen / (_SEEN_SCALE * layout.height)))
    scale *= tall / seen
    lowest = layout.height * (1.0 - EDGE)
    top, bottom = int(lowest - tall) - 2, math.ceil(layout.height * 0.848)
    x = np.arange(layout.width, dtype=np.float32) + 0.5
    y = (np.arange((bottom - top) * _OVERSAMPLING, dtype=np.float32) + 0.5) / _OVERSAMPLING + top
    aside = (2.0 * x / layout.width - 1.0) * _VIEW_TANGENT  # metres to the right per metre ahead
    distances, slopes = surface.profile(aside, _STEPS, _OVERHANG)
    wanted = slope[0] + (lowest - y) / scale  # of the lines of sight, (H,)
    ahead = surface.met(distances, slopes, wanted)
    cover = np.clip((slopes[-1][None, :] - wanted[:, None]) * scale * _OVERSAMPLING + 0.5, 0.0, 1.0)
    shade, gloss, azimuth, elevation = surface.shading(ahead, aside)
    past = np.clip((y[:, None] - edge(x[None, :], layout)) / (0.012 * layout.height) + 1.0, 0.0, 1.0)
    shade, gloss = shade * (1.0 - 0.75 * past), gloss * (1.0 - 0.9 * past)  # the windscreen's lower edge
    size = layout.width, bottom - top
    colour = np.clip(shade[:, :, None] * np.array(paint_of(car), np.float32), 0, 255)
    paint = pygame.Surface(size, pygame.SRCALPHA)
    pygame.surfarray.pixels3d(paint)[:] = _small(colour, size).astype(np.uint8).swapaxes(0, 1)
    pygame.surfarray.pixels_alpha(paint)[:] = (_small(cover, size) * 255.0).astype(np.uint8).T
    gloss_surface = pygame.Surface(size, 0, 32)
    strength = (_small(gloss * cover, size) * 255.0).clip(0, 255).astype(np.uint8)
    pygame.surfarray.blit_array(gloss_surface, np.repeat(strength.T[:, :, None], 3, 2))
    coarse = -(-size[0] // _LINE_SIZE[0]), -(-size[1] // _LINE_SIZE[1])
    columns, rows = _COPY_SIZE
    across = (_small(azimuth, coarse) / math.atan(_VIEW_TANGENT) + 1.0) * 0.5 * columns - 0.5
    row = 0.5 - np.tan(_small(elevation, coarse)) * layout.width / (
        2.0 * _VIEW_TANGENT * layout.height
    )  # share of the height
    down = (_BAND[1] - row) / (_BAND[1] - _BAND[0]) * rows - 0.5
    maps = cv2.convertMaps(
        cv2.blur(across.clip(0, columns - 1), (3, 3)), cv2.blur(down.clip(0, rows - 1), (3, 3)), cv2.CV_16SC2
    )
    return _Metal(
        top, paint, gloss_surface, maps[0], maps[1], pygame.Surface(coarse, 0, 32), pygame.Surface(size, 0, 32)
    )


def _small(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(image, np.float32), size, interpolation=cv2.INTER_AREA)
