"""Draws lit lamps into frames that were rendered without the simulator image.

The tag map only says that there *is* a traffic light or a car. Which of its lamps is lit is drawn here, in place, so
that the driver (and the recording) sees it. A renderer that is guided by the simulator image renders lamps itself
(``NeuralRenderer.shows_lamps``). Only the small patch around each lamp is touched.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bridge.messages import Frame, Lamp
from neuralsim.renderer.frame_renderer import FrameRenderer
from neuralsim.renderer.remap import NO_REMAP, Remap

#: Colour of a lamp's glow and rim by its state, RGB 0..255.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (255, 36, 22),
    "yellow": (255, 178, 24),
    "green": (40, 255, 150),
    "on": (255, 24, 16),
}

#: How far the centre of the bulb is mixed towards white.
_WHITENESS = {"red": 0.42, "yellow": 0.55, "green": 0.5, "on": 0.34}

_SMALLEST = 0.9  # pixels, minimum half size: smaller distant lamps would fall between pixels
_GLOW = {"traffic_light": (2.1, 0.62), "brake": (1.5, 0.5)}  # (reach in lamp sizes, strength)


def draw_if_missing(renderer: FrameRenderer, frame: Frame, image: np.ndarray, remap: Remap = NO_REMAP) -> None:
    """Draw the lamps of ``frame`` into the ``renderer``'s ``image`` of it, unless it renders them itself."""
    if not renderer.shows_lamps(frame):
        draw_lamps(frame, image, remap)


def draw_lamps(frame: Frame, image: np.ndarray, remap: Remap = NO_REMAP) -> None:
    """Draw the lamps of ``frame`` into ``image``, u8 (H, W, 3) RGB, in place, except on classes that are remapped."""
    tag = frame.planes["tag"]
    lit = frame.lamps if not remap else [lamp for lamp in frame.lamps if _tag_at(tag, lamp) not in remap]
    draw(image, lit, frame.planes.get("depth"))


def _tag_at(tag: np.ndarray, lamp: Lamp) -> int:
    """Return the tag at the centre of the lamp's box, clamped to the image."""
    left, top, right, bottom = lamp.box
    row, column = int((top + bottom) / 2.0), int((left + right) / 2.0)
    return int(tag[min(max(row, 0), tag.shape[0] - 1), min(max(column, 0), tag.shape[1] - 1)])


def draw(image: np.ndarray, lamps: Iterable[Lamp], depth: np.ndarray | None = None) -> None:
    """Draw ``lamps`` into ``image``, u8 (H, W, 3) RGB, in place, the farthest first.

    With ``depth``, f32 (H, W) in metres, objects in front of a lamp occlude it: the bulb pixel by pixel, its glow in
    proportion to the visible part of the bulb. States without a colour and boxes outside the image draw nothing.
    """
    for lamp in sorted(lamps, key=lambda item: -item.depth):
        if lamp.state in COLOURS:
            _draw_one(image, lamp, depth)


def _draw_one(image: np.ndarray, lamp: Lamp, depth: np.ndarray | None) -> None:
    height, width = image.shape[:2]
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
    visible = 1.0
    if depth is not None:
        clear = depth[y0:y1, x0:x1] > lamp.depth * 0.97 - 0.6
        total = float(bulb.sum())
        bulb = bulb * clear
        visible = float(bulb.sum()) / total if total > 0.0 else 0.0
        if visible == 0.0:
            return
    glow = np.exp(-np.square(np.maximum(distance, 0.0) / spread)) * (strength * visible)

    colour = np.array(COLOURS[lamp.state], np.float32)
    patch = image[y0:y1, x0:x1].astype(np.float32)
    patch += (255.0 - patch) * (glow[..., None] * (colour / 255.0))  # "screen": light adds up and never overflows
    inside = np.clip(-distance / radius, 0.0, 1.0)[..., None]
    bright = colour + (255.0 - colour) * (_WHITENESS[lamp.state] * inside)
    patch += (bright - patch) * bulb[..., None]
    image[y0:y1, x0:x1] = patch + 0.5
