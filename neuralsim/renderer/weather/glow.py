"""The light of lamps and of the sun in an image, and the glow around them: it scatters in a lens and in the air."""

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numba import njit

from bridge.messages import Camera, Frame, Lamp
from bridge.tags import Tag
from bridge.weather import darkness
from neuralsim.base import kernels
from neuralsim.guide.lamp_light import (
    COLUMNS,
    GLOW,
    HALF_X,
    HALF_Y,
    IS_VEHICLE,
    OPACITY,
    REACH,
    RED,
    WHITE,
    X,
    Y,
    core,
    distance_to_rim,
    is_clear,
    lamp_rows,
    span,
    tint_lamps,
)
from neuralsim.renderer.remap import NO_REMAP, Remap
from neuralsim.renderer.weather.sky import SkyState

_SCALE = 4  # the glow is computed at a quarter of the size
_FROM, _FULL = 105.0, 200.0  # luminance of 255 from which a pixel glows, and from which all of it does
_GROUND = np.isin(np.arange(256), (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK, Tag.TERRAIN, Tag.GROUND))
_REACH = ((0.004, 0.45), (0.014, 0.30), (0.045, 0.16))  # standard deviation in image widths, and strength
#: Reach in image widths and strength of the sun's glare.
_GLARE = ((0.02, 0.9), (0.07, 0.35), (0.35, 0.22))
_VEIL = 0.09  # of white by day, what is added to black
_DISC = 0.02  # image widths around the sun in which there must be sky for it to be seen
_FADE = 0.12  # image widths beyond the border at which 1/e of the glare is left
_BEHIND = 0.2  # of the direction to the sun along the view
_TAIL = 2.4  # standard deviations of a lamp's glow that are drawn
_BLURRED = 0.6  # px, what a lens adds to the standard deviation of any glow
_GLASS = 0.45  # share of a near lamp's light that leaves its structure visible
_OVEREXPOSED_FROM, _OVEREXPOSED = 1.2, 3.0  # px of radius from which a lamp has a white core, and from which all of it


def add_glow(image: np.ndarray, tag: np.ndarray, darkness: float) -> None:
    """Add the glow of what is bright to ``image``, in place: by night lamps and lit windows.

    The ground before one's own headlamps is as bright, but not as small: with a glow it would be white.

    Args:
        image: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W): CARLA's tags.
        darkness: From 0, by day, where nothing is done, to 1, by night.
    """
    if darkness <= 0.0:
        return
    height, width = image.shape[:2]
    size = max(1, width // _SCALE), max(1, height // _SCALE)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = np.clip((small.max(2) - _FROM) / (_FULL - _FROM), 0.0, 1.0)
    share[_GROUND[cv2.resize(tag[:height, :width], size, interpolation=cv2.INTER_NEAREST)]] = 0.0
    if not share.any():
        return
    small *= share[..., None]
    glow = np.zeros_like(small)
    for reach, strength in _REACH:
        glow += strength * cv2.GaussianBlur(small, (0, 0), reach * size[0], borderType=cv2.BORDER_CONSTANT)
    _screen(image, glow * (darkness / 255.0))


def add_glare(image: np.ndarray, tag: np.ndarray, camera: Camera, sky: SkyState) -> None:
    """Add the veiling glare of the sun to ``image``, in place: what a lens and a windscreen scatter when it is seen.

    As much of the sun is seen as there is sky around its place in the image; beyond the border it fades.

    Args:
        image: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W): CARLA's tags.
        camera: That sees it.
        sky: Of this moment.
    """
    forward, right, up = np.asarray(camera.pose, np.float64)[:3, :3].T @ sky.sun
    light = float(sky.glow.max())
    if forward < _BEHIND or light < 1.0 / 255.0:
        return
    height, width = image.shape[:2]
    x, y = width / 2.0 + camera.focal * right / forward, height / 2.0 - camera.focal * up / forward
    near = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    away = math.hypot(x - near[0], y - near[1]) / width
    light *= _sky_around(tag[:height, :width], *near) * math.exp(-away / _FADE)
    if light < 1.0 / 255.0:
        return
    down, along = np.mgrid[_SCALE / 2 : height : _SCALE, _SCALE / 2 : width : _SCALE].astype(np.float32)
    distance = np.hypot(along - np.float32(x), down - np.float32(y)) / np.float32(width)
    veil = sum(np.float32(strength) * np.exp(distance / np.float32(-reach)) for reach, strength in _GLARE)
    _screen(image, veil[..., None] * (light * sky.glow / sky.glow.max()).astype(np.float32))


def add_veil(image: np.ndarray, sky: SkyState) -> None:
    """Lift the blacks of ``image``, u8 (H, W, 3), in place, by the light of the sky that lens and windscreen scatter.

    It is a constant share of the light all over the image (veiling glare; ISO 9358), none by night.
    """
    kept = 1.0 - _VEIL * sky.day
    cv2.convertScaleAbs(image, image, kept, 255.0 * (1.0 - kept))


def _sky_around(tag: np.ndarray, x: float, y: float) -> float:
    """Return the share of the sky around a pixel, 0..1."""
    radius = max(2, round(_DISC * tag.shape[1]))
    rows, columns = (slice(max(int(at) - radius, 0), int(at) + radius + 1) for at in (y, x))
    return float((tag[rows, columns] == Tag.SKY).mean())


def _screen(image: np.ndarray, light: np.ndarray) -> None:
    """Add ``light`` f32 (h, w, 3), 0..1, of any size, to ``image`` in place: it adds up and never overflows."""
    size = image.shape[1], image.shape[0]
    kept = cv2.resize(1.0 - np.minimum(light, 1.0), size, interpolation=cv2.INTER_LINEAR)
    np.subtract(255.5, cv2.multiply(255 - image, kept, dtype=cv2.CV_32F), out=kept)
    image[:] = kept


def draw_lamps(image: np.ndarray, frame: Frame, remap: Remap = NO_REMAP) -> None:
    """Add the light of the lit lamps of ``frame`` to ``image``, u8 (H, W, 3) RGB, in place.

    A lamp has a soft edge, a core that may be overexposed, and a glow of its size. What is nearer occludes its core
    pixel by pixel, and its glow in proportion. Lamps on objects that are remapped are out.
    """
    if not frame.lamps:
        return
    dark = darkness(frame.weather) if frame.weather else 0.0
    rows = lamp_rows(kept_lamps(frame.lamps, frame.planes["tag"], remap), frame.camera.width, dark)
    depth = frame.planes.get("depth")
    _shine(rows, _OPEN if depth is None else depth, depth is not None, image)


def compile_kernels() -> None:
    """Compile the kernels ahead, for planes in messages (writable) and in shared memory (read-only)."""
    depth = np.zeros((1, 1), np.float32)
    for writable in (True, False):
        depth.flags.writeable = writable
        rows = np.zeros((0, COLUMNS), np.float32)
        _shine(rows, depth, True, np.zeros((1, 1, 3), np.uint8))
        tint_lamps(rows, depth, np.zeros((1, 1, 4), np.uint8))


_OPEN = np.zeros((1, 1), np.float32)  # instead of an unknown depth


def kept_lamps(lamps: Iterable[Lamp], tag: np.ndarray, remap: Remap = NO_REMAP) -> list[Lamp]:
    """Return the lamps that are not on objects that are rendered as others; ``tag`` u8 (H, W)."""
    if not remap:
        return list(lamps)
    height, width = tag.shape
    kept = []
    for lamp in lamps:
        left, top, right, bottom = lamp.box
        row, column = int((top + bottom) / 2.0), int((left + right) / 2.0)
        if int(tag[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]) not in remap:
            kept.append(lamp)
    return kept


@njit(**kernels.FAST)
def _shine(rows, depth, has_depth, image):  # type: ignore[no-untyped-def]
    """Do what ``draw_lamps`` does, with ``rows`` f32 (N, COLUMNS) of ``lamp_rows``."""
    height, width = image.shape[:2]
    zero, one, half, most = np.float32(0.0), np.float32(1.0), np.float32(0.5), np.float32(255.0)
    for n in range(rows.shape[0]):
        row = rows[n]
        radius = min(row[HALF_X], row[HALF_Y])
        spread = row[REACH] * radius + np.float32(_BLURRED)
        margin = np.float32(_TAIL) * spread + one
        x0, x1 = span(row[X], row[HALF_X] + margin, width)
        y0, y1 = span(row[Y], row[HALF_Y] + margin, height)
        whole, visible = np.float32(1e-6), zero
        for i in range(y0, y1):
            for j in range(x0, x1):
                share = core(row, distance_to_rim(row, np.float32(j), np.float32(i)))
                whole += share
                if not has_depth or is_clear(row, depth[i, j]):
                    visible += share
        visible /= whole
        if visible <= zero:
            continue
        fade = np.float32(-0.5) / (spread * spread)
        size = (radius - np.float32(_OVEREXPOSED_FROM)) / np.float32(_OVEREXPOSED - _OVEREXPOSED_FROM)
        white = row[WHITE] * min(max(size, zero), one)
        opacity = row[OPACITY]
        if row[IS_VEHICLE]:  # a near one shows its glass and reflector, as they were generated
            opacity *= one - np.float32(_GLASS) * min(max((radius - np.float32(2.0)) * np.float32(0.25), zero), one)
        for i in range(y0, y1):
            for j in range(x0, x1):
                distance = distance_to_rim(row, np.float32(j), np.float32(i))
                beyond = max(distance, zero)
                glow = row[GLOW] * visible * np.exp(fade * beyond * beyond) / most
                share = opacity * core(row, distance)
                if has_depth and not is_clear(row, depth[i, j]):
                    share = zero
                inside = min(max(-distance / radius, zero), one)
                burnt = white * inside * (np.float32(2.0) - inside)
                for c in range(3):
                    light = row[RED + c]
                    lit = image[i, j, c] + (most - image[i, j, c]) * glow * light  # "screen": it never overflows
                    lit += (light + (most - light) * burnt - lit) * share
                    image[i, j, c] = np.uint8(min(lit + half, most))
