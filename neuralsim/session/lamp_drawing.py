"""Lit lamps, drawn into pictures that were painted without the simulator's own.

The tag map says only that there *is* a traffic light or a car; which lamp burns is drawn here, where it is, so that the
driver (and the recording) sees it. Where the painter follows the simulator's picture, it paints lamps itself
(``NeuralRenderer.shows_lamps``). Work is done on the small patch around each lamp.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from bridge.messages import Frame, Lamp
from neuralsim.renderer.remap import NOTHING, Remap

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_painter import TagRenderer

#: RGB 0..255: glow and rim of a lamp by its state.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (255, 36, 22),
    "yellow": (255, 178, 24),
    "green": (40, 255, 150),
    "on": (255, 24, 16),
}

#: How far the hot centre of the bulb is mixed towards white.
_WHITENESS = {"red": 0.42, "yellow": 0.55, "green": 0.5, "on": 0.34}

_SMALLEST = 0.9  # pixels: half the size below which a far lamp would vanish between the pixels
_GLOW = {"traffic_light": (2.1, 0.62), "brake": (1.5, 0.5)}  # reach in lamp sizes, strength


def draw_of(painter: NeuralRenderer | TagRenderer, frame: Frame, picture: np.ndarray, remap: Remap = NOTHING) -> None:
    """Paint the lamps of ``frame`` into what ``painter`` made of it, unless it paints them itself."""
    if not painter.shows_lamps(frame):
        draw_all(frame, picture, remap)


def draw_all(frame: Frame, picture: np.ndarray, remap: Remap = NOTHING) -> None:
    """Paint the lamps of ``frame`` into ``picture``, u8 (H, W, 3) RGB, in place; those on what is painted as something
    else are out."""
    tag = frame.planes["tag"]
    lit = frame.lamps if not remap else [lamp for lamp in frame.lamps if _tag_at(tag, lamp) not in remap]
    draw(picture, lit, frame.planes.get("depth"))


def _tag_at(tag: np.ndarray, lamp: Lamp) -> int:
    """Of the pixel in the middle of its box, or the nearest one in the picture."""
    left, top, right, bottom = lamp.box
    row, column = int((top + bottom) / 2.0), int((left + right) / 2.0)
    return int(tag[min(max(row, 0), tag.shape[0] - 1), min(max(column, 0), tag.shape[1] - 1)])


def draw(picture: np.ndarray, lamps: Iterable[Lamp], depth: np.ndarray | None = None) -> None:
    """Paint ``lamps`` into ``picture``, u8 (H, W, 3) RGB, in place; the farthest first.

    With ``depth``, f32 (H, W) in metres, whatever stands before a lamp hides it: the bulb pixel by pixel, its glow by
    the part of the bulb that is left. States without a colour and boxes outside the picture draw nothing.
    """
    for lamp in sorted(lamps, key=lambda item: -item.depth):
        if lamp.state in COLOURS:
            _draw_one(picture, lamp, depth)


def _draw_one(picture: np.ndarray, lamp: Lamp, depth: np.ndarray | None) -> None:
    height, width = picture.shape[:2]
    left, top, right, bottom = lamp.box
    if not (right >= left and bottom >= top):
        return
    x, y = (left + right) / 2.0, (top + bottom) / 2.0
    half_x, half_y = max((right - left) / 2.0, _SMALLEST), max((bottom - top) / 2.0, _SMALLEST)
    radius = min(half_x, half_y)
    reach, strength = _GLOW.get(lamp.kind, _GLOW["brake"])
    spread = radius * reach + 1.0
    margin = 2.5 * spread
    x0, x1 = max(int(x - half_x - margin), 0), min(int(x + half_x + margin) + 1, width)
    y0, y1 = max(int(y - half_y - margin), 0), min(int(y + half_y + margin) + 1, height)
    if x0 >= x1 or y0 >= y1:
        return

    # Signed distance to the box with corners of `radius` (a square box is a disc), pixels.
    dx = np.maximum(np.abs(np.arange(x0, x1, dtype=np.float32) + 0.5 - x) - (half_x - radius), 0.0)
    dy = np.maximum(np.abs(np.arange(y0, y1, dtype=np.float32) + 0.5 - y) - (half_y - radius), 0.0)
    distance = np.sqrt(dy[:, None] ** 2 + dx[None, :] ** 2) - radius

    bulb = np.clip(0.5 - distance, 0.0, 1.0)
    seen = 1.0
    if depth is not None:
        clear = depth[y0:y1, x0:x1] > lamp.depth * 0.97 - 0.6
        whole = float(bulb.sum())
        bulb = bulb * clear
        seen = float(bulb.sum()) / whole if whole > 0.0 else 0.0
        if seen == 0.0:
            return
    glow = np.exp(-np.square(np.maximum(distance, 0.0) / spread)) * (strength * seen)

    colour = np.array(COLOURS[lamp.state], np.float32)
    patch = picture[y0:y1, x0:x1].astype(np.float32)
    patch += (255.0 - patch) * (glow[..., None] * (colour / 255.0))  # "screen": light adds up and never overflows
    inside = np.clip(-distance / radius, 0.0, 1.0)[..., None]
    hot = colour + (255.0 - colour) * (_WHITENESS[lamp.state] * inside)
    patch += (hot - patch) * bulb[..., None]
    picture[y0:y1, x0:x1] = patch + 0.5
