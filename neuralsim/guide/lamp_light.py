"""Lit lamps as light: their colours and strengths by kind, their soft shapes in the image, and their guide.

Which lamps are lit and where they are is the simulator's truth (``bridge.messages.Lamp``), never guessed from colours.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

from bridge.messages import Lamp
from neuralsim.base import kernels

#: Columns of a lamp's row: centre x, y and half sizes, px; depth, m; its light's R, G, B, 0..255; share of the surface
#: that it hides; how far its centre is overexposed, 0..1; reach of the glow beyond its rim, in radii, and its strength;
#: whether a vehicle carries it; how far it is a headlamp by night, 0..1.
X, Y, HALF_X, HALF_Y, DEPTH, RED, GREEN, BLUE, OPACITY, WHITE, REACH, GLOW, IS_VEHICLE, BEAM, COLUMNS = range(15)
_SMALLEST = 0.9  # px at 512 columns, least half size: smaller lamps would fall between pixels
_TOLERANCE, _TOLERANCE_SHARE = 0.6, 0.03  # m, and of the depth, by which what occludes a lamp is nearer
_OUTLINE_SIZE = 2.0  # px, half size above which a vehicle's outline ends its lamp
_CARRIED = 1.5  # m from such a lamp within which the vehicle's surface is
_REFLECTOR = 0.65  # width of the reflector that is seen of a headlamp by night, of the lamp's
_OF_VEHICLES = {"brake", "tail", "indicator", "reverse", "head"}


class _Look(NamedTuple):
    """How a lamp looks; pairs are values by day and by night."""

    colour: tuple[int, int, int]
    opacity: tuple[float, float]
    white: tuple[float, float]
    reach: tuple[float, float]
    glow: tuple[float, float]


_SIGNAL = (0.95, 0.95), (0.45, 0.75), (0.9, 1.6), (0.35, 0.7)
_LOOKS = {
    ("traffic_light", "red"): _Look((255, 38, 24), *_SIGNAL),
    ("traffic_light", "yellow"): _Look((255, 190, 36), *_SIGNAL),
    ("traffic_light", "green"): _Look((46, 255, 150), *_SIGNAL),
    ("brake", "on"): _Look((255, 28, 18), (0.85, 0.95), (0.25, 0.6), (0.8, 1.5), (0.28, 0.65)),
    ("tail", "on"): _Look((215, 18, 14), (0.5, 0.8), (0.0, 0.15), (0.6, 1.2), (0.1, 0.4)),
    ("indicator", "on"): _Look((255, 165, 16), (0.9, 0.95), (0.3, 0.6), (0.8, 1.5), (0.32, 0.65)),
    ("reverse", "on"): _Look((236, 240, 250), (0.7, 0.95), (0.6, 1.0), (0.7, 1.8), (0.2, 0.6)),
    ("head", "on"): _Look((255, 246, 226), (0.7, 1.0), (0.6, 1.0), (0.7, 1.7), (0.25, 0.75)),
    ("head", "high"): _Look((250, 248, 240), (0.9, 1.0), (0.9, 1.0), (1.2, 3.4), (0.45, 1.0)),
    ("street", "on"): _Look((255, 220, 170), (0.5, 0.9), (0.5, 1.0), (0.8, 2.2), (0.2, 0.7)),
}


def colour_of(lamp: Lamp) -> tuple[int, int, int]:
    """Return the RGB of a lamp's light, white for an unknown one."""
    look = _LOOKS.get((lamp.kind, lamp.state))
    return look.colour if look else (255, 255, 255)


def lamp_rows(lamps: Iterable[Lamp], width: int, darkness: float) -> np.ndarray:
    """Return f32 (N, COLUMNS) for an image of ``width`` px, the farthest lamp first.

    ``darkness``: 0 by day to 1 by night. Lamps of unknown kind or state, and with boxes that are none, are left out.
    """
    rows, least = [], _SMALLEST * width / 512.0
    for lamp in lamps:
        look, (left, top, right, bottom) = _LOOKS.get((lamp.kind, lamp.state)), lamp.box
        if look is None or not (right >= left and bottom >= top):
            continue
        half = max((right - left) / 2.0, least), max((bottom - top) / 2.0, least)
        shown = [day + darkness * (night - day) for day, night in (look.opacity, look.white, look.reach, look.glow)]
        centre = (left + right) / 2.0, (top + bottom) / 2.0
        beam = darkness if lamp.kind == "head" else 0.0
        rows.append((*centre, *half, lamp.depth, *look.colour, *shown, lamp.kind in _OF_VEHICLES, beam))
    rows.sort(key=lambda row: -row[DEPTH])
    return np.array(rows, np.float32).reshape(-1, COLUMNS)


@njit(inline="always")
def distance_to_rim(row: np.ndarray, x: float, y: float) -> float:
    """Return the signed distance (px) from a pixel's centre to a lamp's rim, negative inside.

    The rim is a rectangle whose corners have the lesser half size as their radius: a square box is a disc. Corners of a
    vehicle's lamps have half of that; by night, light comes from a round reflector in the middle of a headlamp.
    """
    rounding = np.float32(0.5) + np.float32(0.5) * row[BEAM] if row[IS_VEHICLE] else np.float32(1.0)
    radius = min(row[HALF_X], row[HALF_Y]) * rounding
    half = max(row[HALF_X] * (np.float32(1.0) - np.float32(1.0 - _REFLECTOR) * row[BEAM]), radius)
    aside = max(abs(x + np.float32(0.5) - row[X]) - (half - radius), np.float32(0.0))
    over = max(abs(y + np.float32(0.5) - row[Y]) - (row[HALF_Y] - radius), np.float32(0.0))
    return np.sqrt(aside * aside + over * over) - radius  # type: ignore[no-any-return]


@njit(inline="always")
def core(row: np.ndarray, distance: float) -> float:
    """Return the share of a pixel that a lamp covers, 0..1, with an edge as soft as a camera's."""
    soft = np.float32(0.6) + np.float32(0.25) * min(row[HALF_X], row[HALF_Y])
    share = min(max(np.float32(0.5) - distance / (np.float32(2.0) * soft), np.float32(0.0)), np.float32(1.0))
    return share * share * (np.float32(3.0) - np.float32(2.0) * share)  # type: ignore[no-any-return]


@njit(inline="always")
def is_clear(row: np.ndarray, depth: float) -> bool:
    """Return whether a lamp may be seen where the image shows something at ``depth`` m.

    What is nearer occludes it. A vehicle's lamp, where it is large, also ends where something far behind is seen: that
    is beyond the vehicle's outline.
    """
    is_outlined = row[IS_VEHICLE] and min(row[HALF_X], row[HALF_Y]) > np.float32(_OUTLINE_SIZE)
    if is_outlined and depth > row[DEPTH] + np.float32(_CARRIED):
        return False
    return depth > row[DEPTH] * np.float32(1.0 - _TOLERANCE_SHARE) - np.float32(_TOLERANCE)  # type: ignore[no-any-return]


@njit(inline="always")
def span(centre: float, reach: float, size: int) -> tuple[int, int]:
    """Return the first pixel and the end of ``centre`` plus or minus ``reach``, px, within ``size``."""
    return max(int(centre - reach), 0), min(int(centre + reach) + 1, size)


@njit(**kernels.FAST)
def tint_lamps(rows: np.ndarray, depth: np.ndarray, guide: np.ndarray) -> None:
    """Give ``guide`` u8 (H, W, 4) the colours of lamps, in place, where it has a tint.

    The sketch of a lamp is as bright as its tint. ``rows`` f32 (N, COLUMNS) of ``lamp_rows``; ``depth`` f32 (H', W'),
    m, of at least the rows and columns in which there are lamps.
    """
    height, width = min(guide.shape[0], depth.shape[0]), min(guide.shape[1], depth.shape[1])
    for n in range(rows.shape[0]):
        row = rows[n]
        margin = np.float32(1.2) + np.float32(0.5) * min(row[HALF_X], row[HALF_Y])
        x0, x1 = span(row[X], row[HALF_X] + margin, width)
        y0, y1 = span(row[Y], row[HALF_Y] + margin, height)
        for i in range(y0, y1):
            for j in range(x0, x1):
                if guide[i, j, 0] == 0 or not is_clear(row, depth[i, j]):
                    continue
                share = row[OPACITY] * core(row, distance_to_rim(row, np.float32(j), np.float32(i)))
                for c in range(3):
                    mixed = guide[i, j, c] + (row[RED + c] - guide[i, j, c]) * share
                    guide[i, j, c] = np.uint8(max(mixed, np.float32(1.0)))
                if guide[i, j, 3]:
                    guide[i, j, 3] = np.uint8(guide[i, j, 3] + (np.float32(128.0) - guide[i, j, 3]) * share)
