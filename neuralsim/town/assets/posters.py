"""Posters: sheets with a picture, a title and lines of small print, as on advertising columns.

They face +x and stand on the plane z = 0 with their middle at y = 0; metres. All pieces are narrow enough to be bent
round a column.
"""

import itertools
from dataclasses import replace

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, RGB, Mesh, merge, quad
from neuralsim.town.assets.prop_meshes import ink, lettering

TITLES = ("KONZERT", "THEATER", "ZIRKUS", "MUSEUM", "JAZZ", "KINO", "OPER", "FLOHMARKT", "LESUNG", "STADTFEST")
#: Of papers, printed all over with muted colours: the sheet, the picture below and above, its figure, the title.
_PRINTS: tuple[tuple[RGB, RGB, RGB, RGB, RGB], ...] = (
    ((214, 208, 192), (150, 142, 118), (176, 188, 190), (84, 92, 78), (44, 44, 46)),
    ((46, 56, 66), (70, 82, 92), (118, 126, 124), (196, 178, 146), (216, 208, 188)),
    ((206, 192, 160), (146, 88, 66), (198, 156, 112), (66, 48, 44), (92, 40, 36)),
    ((112, 54, 48), (84, 44, 44), (164, 104, 82), (210, 190, 160), (222, 212, 190)),
    ((220, 217, 208), (86, 104, 106), (160, 172, 166), (52, 58, 62), (40, 62, 74)),
    ((82, 94, 80), (66, 76, 66), (144, 146, 116), (208, 200, 172), (222, 216, 196)),
    ((190, 164, 104), (132, 104, 66), (200, 176, 124), (72, 56, 48), (52, 46, 44)),
)
_LAYER = 0.005  # m from one layer of print to the next
_PIECE = 0.1  # m, widest piece of a sheet
_BANDS = 5  # of a picture's gradient
_FIGURE = 42  # rows of a figure
_COLUMNS = 4  # of a piece of it


def poster(seed: int, wide: float, high: float) -> Mesh:
    """Return a poster, ``wide`` x ``high`` m; far away only its sheet and the field of its picture are drawn."""
    rng = np.random.default_rng((seed, 11))
    sheet, low, top, figure, title = _PRINTS[3 * seed % len(_PRINTS)]
    is_below = rng.random() < 0.6  # the title below the picture
    foot, end = (0.3 * high, 0.94 * high) if is_below else (0.18 * high, 0.76 * high)
    half = 0.5 * wide * (1.0 if rng.random() < 0.4 else 0.88)
    mean = _mixed(low, top, 0.5)
    parts = [_strip(-wide / 2, wide / 2, 0.0, high, 0, sheet), _strip(-half, half, foot, end, 1, mean)]
    step = (end - foot) / _BANDS
    near = [
        _strip(-half, half, foot + k * step, foot + (k + 1) * step, 2, _mixed(low, top, k / (_BANDS - 1)))
        for k in range(_BANDS)
    ]
    near += _printed(_figure(rng, 2.0 * half / (end - foot)), foot, end, figure)
    letters = lettering(TITLES[seed % len(TITLES)], 1.0, (0.0, 0.0, 0.0), title, Tag.STATIC)
    tall = min(0.12 * high, 0.45 * wide / float(letters.bounds[1][1]))
    middle = foot - 0.09 * high if is_below else end + 0.11 * high
    near.append(letters.moved(2 * _LAYER, z=middle, scale=tall))
    for z in (high * np.array([0.04, 0.08, 0.12])).tolist():
        y = 0.42 * wide * rng.uniform(0.6, 1.0)
        while y > -0.42 * wide:  # words
            long = min(float(rng.uniform(0.04, 0.12)), y + 0.42 * wide)
            near.append(_strip(y - long, y, z, z + 0.016 * high, 1, title))
            y -= long + 0.022
    return merge([*parts, *(part.with_level(NEAR) for part in near)])


def bent(mesh: Mesh, radius: float, angle: float) -> Mesh:
    """Return a poster bent round an upright column of ``radius`` m, its middle at ``angle``, radians."""
    x, y, z = mesh.vertices.T.astype(np.float64)
    around = angle + y / radius
    return replace(mesh, vertices=np.stack([(radius + x) * np.cos(around), (radius + x) * np.sin(around), z], 1))


def _mixed(first: RGB, last: RGB, share: float) -> RGB:
    """Return the colour that is ``share``, 0 to 1, of the way between two."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, last, strict=True))
    return red, green, blue


def _strip(left: float, right: float, low: float, high: float, layer: int, colour: RGB) -> Mesh:
    """Return an upright rectangle of one colour between ``left`` and ``right`` (y) and ``low`` and ``high`` (z)."""
    x, y = layer * _LAYER, np.linspace(left, right, max(round((right - left) / _PIECE), 1) + 1).tolist()
    return merge(
        [
            quad([(x, a, low), (x, b, low), (x, b, high), (x, a, high)], Tag.STATIC, colour)
            for a, b in itertools.pairwise(y)
        ]
    )


def _printed(bitmap: np.ndarray, low: float, high: float, colour: RGB) -> list[Mesh]:
    """Return the pieces of a figure, bool (H, W), between the heights ``low`` and ``high``."""
    cell, pieces = (high - low) / len(bitmap), []
    for first in range(0, bitmap.shape[1], _COLUMNS):
        piece = bitmap[:, first : first + _COLUMNS]
        y = cell * (0.5 * bitmap.shape[1] - first - 0.5 * piece.shape[1])
        pieces.append(ink(piece, high - low, (3 * _LAYER, y, 0.5 * (low + high)), colour, Tag.STATIC))
    return pieces


def _figure(rng: np.random.Generator, ratio: float) -> np.ndarray:
    """Return what a picture shows, bool (H, W), where W / H is ``ratio``: a head, hills under the sun, or shapes."""
    wide = max(round(_FIGURE * ratio), 4)
    canvas: np.ndarray = np.zeros((_FIGURE, wide), np.uint8)
    kind, middle = int(rng.integers(3)), int(wide * rng.uniform(0.35, 0.65))
    if kind == 0:
        cv2.ellipse(canvas, (middle, 16), (6, 9), 0, 0, 360, 1, -1)
        cv2.ellipse(canvas, (middle, 43), (15, 16), 0, 180, 360, 1, -1)
        cv2.rectangle(canvas, (middle - 3, 22), (middle + 3, 30), 1, -1)
    elif kind == 1:
        x = np.arange(wide)
        edge = 28.0 - 6.0 * np.sin(x * 0.13 + rng.uniform(0.0, 6.0)) - 3.0 * np.sin(x * 0.31)
        canvas[np.arange(_FIGURE)[:, None] > edge] = 1
        cv2.circle(canvas, (middle, 10), 6, 1, -1)
    else:
        for _ in range(3):
            place = int(rng.integers(wide)), int(rng.integers(6, _FIGURE - 6))
            cv2.circle(canvas, place, int(rng.integers(4, 12)), 1, 3 if rng.random() < 0.4 else -1)
    return canvas > 0
