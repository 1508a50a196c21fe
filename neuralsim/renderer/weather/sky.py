"""The sky of a rendered image, computed from the weather instead of generated.

A generator has nothing to hold on to in the sky: what it gives is texture on its own stride grid. This sky is a
function of the viewing direction, the weather and the time alone: a gradient about the style's colour, the glow
around the sun, and clouds on a plane above the town that drift with the wind. It needs no picture of the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import cv2
import numba
import numpy as np

from bridge.messages import Camera
from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.models.classes import Channel
from neuralsim.renderer.repeating_texture import sample

_TILE = 256  # texels, side of the noise, which repeats
_OCTAVES = 5
_STEP = 4  # px at 512 columns: the sky is evaluated at that distance and interpolated between
_SLOWEST, _FASTEST = 0.002, 0.03  # tiles per second that clouds drift at no wind and at 100 % of it
_GRAIN = 1.5  # of 255: less, and the gradient shows its steps
#: A camera that exposes a street overexposes the sky: what is left of its distance from white and of its chroma by day.
_HEADROOM, _CHROMA = 0.45, 0.3
_WIDE_HEADROOM, _WIDE_CHROMA = 0.9, 1.0  # the same of a clear sky for a sensor of wide range
_CLIPPED = 0.024  # added by day, of 1, so that the brightest parts clip, as in a camera
#: px from everything else over which the detail of the generated sky, which meets its surroundings softly, fades out,
#: and over which its colour does.
_SEAM, _EDGE = 12.0, 3.0
_DETAIL = 0.3  # of what the generated sky has beyond its own mean: a camera's sky is not quite smooth
_DETAIL_NEAR = 0.7  # of it at outlines, where all of it would be a fringe of strokes
_BY_NIGHT = 0.25  # of that share by night, when it is a weave, and a sensor's noise is added
#: Of 255, the most that it has in pixels brighter than that mean, since outlines have a pale rim, and in darker ones
#: beyond ``_EDGE``, where smudges of the past hang above crowns and roofs.
_LIMIT = 6.0
_BLUR = 6.0  # px, standard deviation of that mean
_COARSE = 4  # px of the image per pixel of that mean
_NIGHT = np.array((0.022, 0.026, 0.040), np.float32)  # a town's sky without a moon, of 1
_TOWN_GLOW = np.array((0.060, 0.051, 0.043), np.float32)  # above the roofs by night: the street lamps' light on haze
_EVENING_BLUE = np.array((0.84, 0.98, 1.18), np.float32)  # of its mean, a clear sky away from a low sun
_SUNSET = np.array((1.0, 0.62, 0.36), np.float32)  # the sun's light at the horizon, of 1


class SkyState(NamedTuple):
    """What the sky looks like at one moment.

    Attributes:
        zenith, horizon, sunset: f32 (3,), colours of the clear sky, from 0, those above 1 clipped; ``sunset`` is the
            horizon below the sun.
        cloud, shade: f32 (3,), colours of a cloud's sunlit and shaded sides, as those.
        sun: f32 (3,), direction to the sun in the world.
        glow: f32 (3,), light around the sun, 0..1.
        cover: Share of the sky that clouds cover, 0..1.
        day: 1 by day .. 0 at night.
        drift: How far clouds have moved, in tiles of the noise.
    """

    zenith: np.ndarray
    horizon: np.ndarray
    sunset: np.ndarray
    cloud: np.ndarray
    shade: np.ndarray
    sun: np.ndarray
    glow: np.ndarray
    cover: float
    day: float
    drift: float


def sky_of(weather: Mapping[str, float], style: np.ndarray, time: float, wide_range: bool = False) -> SkyState:
    """Return the sky under ``weather``.

    Args:
        weather: ``carla.WeatherParameters`` by name; missing ones are those of a fair day.
        style: f32 (CHANNELS, 3), mean colours of the classes, -0.5..0.5; the sky's mean is about that of its class.
        time: Simulated seconds.
        wide_range: Whether the sensor has a wide range, as those of dashboard cameras have: a clear sky stays blue.
    """
    still, speed = _still_sky(tuple(weather.items()), style[Channel.SKY].tobytes(), wide_range)
    return still._replace(drift=time * speed)


@lru_cache(maxsize=8)
def _still_sky(weather: tuple[tuple[str, float], ...], mean_colour: bytes, wide_range: bool) -> tuple[SkyState, float]:
    """Return the sky without drift, and the speed at which its clouds drift; ``mean_colour``: f32 (3,) of a style."""
    get = dict(weather).get
    altitude, azimuth = np.radians(get("sun_altitude_angle", 45.0)), np.radians(get("sun_azimuth_angle", 40.0))
    rain = get("precipitation", 0.0) / 100.0
    cover = float(np.clip(max(get("cloudiness", 20.0) / 100.0, 1.6 * rain, get("fog_density", 0.0) / 50.0), 0.0, 1.0))
    day = float(np.clip((np.degrees(altitude) + 6.0) / 12.0, 0.0, 1.0))
    low = float(np.clip(1.0 - np.degrees(altitude) / 28.0, 0.0, 1.0)) * day
    mean: np.ndarray = np.clip(np.frombuffer(mean_colour, np.float32) + 0.5, 0.0, 1.0)
    blue = (1.0 - cover) ** 0.7
    zenith: np.ndarray = mean * (1.0 - blue * (1.0 - 0.35 * low) * np.array((0.30, 0.17, 0.05), np.float32))
    zenith += 0.8 * low * blue * (float(mean.mean()) * _EVENING_BLUE - zenith)
    horizon: np.ndarray = mean * (1.0 + blue * np.array((0.05, 0.04, 0.02), np.float32))
    horizon += 0.4 * low * blue * (float(mean.mean()) * _EVENING_BLUE - horizon)
    sunset: np.ndarray = horizon + low * (0.25 + 0.75 * blue) * (0.35 * horizon + 0.65 * _SUNSET - horizon)
    warm = 1.0 + low * (_SUNSET - 1.0) * 0.6
    cloud: np.ndarray = np.minimum(mean * 1.10 * warm + 0.03, 1.0)
    shade: np.ndarray = mean * (0.86 - 0.16 * cover) * np.array((0.97, 0.98, 1.0), np.float32)
    dark = 1.0 - day
    wide = (1.0 - cover) ** 2 if wide_range else 0.0
    headroom, chroma = _HEADROOM + wide * (_WIDE_HEADROOM - _HEADROOM), _CHROMA + wide * (_WIDE_CHROMA - _CHROMA)
    high = day * (1.0 - 0.8 * low)
    kept = 1.0 - (1.0 - _HEADROOM) * high
    kept_of_blue = 1.0 - (1.0 - headroom) * high
    zenith, horizon, sunset = (_overexposed(colour, kept_of_blue, chroma) for colour in (zenith, horizon, sunset))
    cloud, shade = _overexposed(cloud, kept, _CHROMA), _overexposed(shade, 0.5 + 0.5 * kept, _CHROMA)
    more = _CLIPPED * high
    zenith, horizon, sunset, cloud, shade = (each + more for each in (zenith, horizon, sunset, cloud, shade))
    by_night = 0.8 * _NIGHT, _TOWN_GLOW, _TOWN_GLOW, 1.5 * _NIGHT, 1.1 * _NIGHT
    zenith, horizon, sunset, cloud, shade = (
        (colour + dark * (night - colour)).astype(np.float32)
        for colour, night in zip((zenith, horizon, sunset, cloud, shade), by_night, strict=True)
    )
    sun = np.array((np.cos(altitude) * np.cos(azimuth), np.cos(altitude) * np.sin(azimuth), np.sin(altitude)))
    glow = (1.0 - cover) ** 2 * day * (1.0 + low * (_SUNSET - 1.0))
    wind = float(np.clip(get("wind_intensity", 10.0) / 100.0, 0.0, 1.0))
    light = sun.astype(np.float32), glow.astype(np.float32)
    still = SkyState(zenith, horizon, sunset, cloud, shade, *light, cover, day, 0.0)
    return still, _SLOWEST + wind * (_FASTEST - _SLOWEST)


def _overexposed(colour: np.ndarray, kept: float, chroma: float) -> np.ndarray:
    """Return ``colour``, 0..1, with the share ``kept`` of its distance from white; ``chroma``: the share of its
    saturation that would be left at 0."""
    grey = colour.mean()
    pale = grey + (colour - grey) * (1.0 - (1.0 - chroma) * (1.0 - kept))
    return np.asarray(1.0 - (1.0 - np.minimum(pale, 1.0)) * kept)


def draw_sky(image: np.ndarray, tag: np.ndarray, camera: Camera, sky: SkyState) -> None:
    """Replace the sky of ``image`` in place, but for a soft seam at everything else.

    Args:
        image: u8 (H, W, 3), RGB.
        tag: u8 (H, W), or larger: CARLA's tags.
        camera: That sees it.
        sky: Of this moment.
    """
    height, width = image.shape[:2]
    rows = _rows_with_sky(kernels.read_only(tag), height, width)
    if rows == 0:
        return
    step = max(1, round(_STEP * width / 512))
    right, down = camera.jitter
    lens = np.array((camera.focal, width / 2.0 + right, height / 2.0 + down), np.float32)
    grid = np.empty((rows // step + 2, (width - 1) // step + 2, 3), np.float32)
    _evaluate(noise(), np.ascontiguousarray(camera.pose, np.float32), lens, step, sky, grid)
    mask = (tag[: min(rows + 1, height), :width] == Tag.SKY).view(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_3)
    _fill(image, inside, _local_mean(image[: len(mask)], mask), grid, step, rows, sky.day, _dither())


def compile_kernels() -> None:
    """Compile what a frame would wait for."""
    tag = np.full((8, 8), Tag.SKY, np.uint8)
    style = np.zeros((len(Channel), 3), np.float32)
    draw_sky(np.zeros((8, 8, 3), np.uint8), tag, Camera(8, 8, 70.0, np.eye(4)), sky_of({}, style, 0.0))


def _local_mean(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the local mean of the sky, f32 (H / 4, W / 4, 3) rounded up, of its own pixels alone."""
    height, width = mask.shape
    size = -(-height // _COARSE), -(-width // _COARSE)
    total, share = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
    _add_up(image, mask, total, share)
    total, share = (cv2.GaussianBlur(each, (0, 0), _BLUR / _COARSE) for each in (total, share))
    return np.asarray(total / np.maximum(share, np.float32(1e-3 * _COARSE * _COARSE))[..., None])


@numba.njit(**kernels.FAST)
def _add_up(image: np.ndarray, mask: np.ndarray, total: np.ndarray, share: np.ndarray) -> None:
    """Add up the pixels of ``mask`` of each square of ``_COARSE``, and their number, in ``total`` and ``share``."""
    for y in range(mask.shape[0]):
        i = y // _COARSE
        for x in range(mask.shape[1]):
            if mask[y, x]:
                j = x // _COARSE
                share[i, j] += np.float32(1.0)
                for c in range(3):
                    total[i, j, c] += np.float32(image[y, x, c])


@lru_cache(maxsize=1)
def noise() -> np.ndarray:
    """Return fractal noise, f32 (256, 256) in 0..1, that repeats at its sides: octaves of smoothed white noise."""
    rng = np.random.default_rng(11)
    total = np.zeros((_TILE, _TILE), np.float32)
    for octave in range(_OCTAVES):
        cells = 4 << octave
        coarse = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        side = _TILE // cells
        fine = cv2.resize(coarse, None, fx=side, fy=side, interpolation=cv2.INTER_CUBIC)
        total += fine[2 * side : 2 * side + _TILE, 2 * side : 2 * side + _TILE] * 0.55**octave
    order = total.ravel().argsort().argsort().reshape(total.shape)  # even: the cover is a share of the sky
    return (order / order.size).astype(np.float32)


@lru_cache(maxsize=1)
def _dither() -> np.ndarray:
    """f32 (64, 64): what is added before rounding, of 255."""
    return (np.random.default_rng(3).normal(0.0, _GRAIN / 2.0, (64, 64)) + 0.5).astype(np.float32)


@numba.njit(**kernels.FAST)
def _rows_with_sky(tag: np.ndarray, height: int, width: int) -> int:
    """How many rows from the top hold all of the sky."""
    for y in range(height - 1, -1, -1):
        for x in range(width):
            if tag[y, x] == 11:
                return y + 1
    return 0


@numba.njit(inline="always")
def _smooth(low: float, high: float, value: float) -> float:
    """Smoothstep from 0 at ``low`` to 1 at ``high``."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@numba.njit(**kernels.FAST)
def _evaluate(
    texture: np.ndarray, pose: np.ndarray, lens: np.ndarray, step: int, sky: SkyState, grid: np.ndarray
) -> None:
    """The sky's colour, 0..255, at every ``step``-th pixel, f32 (h, w, 3)."""
    focal, cx, cy = lens
    tile = texture.shape[0]
    edge = 1.0 - sky.cover
    overcast = _smooth(0.6, 1.0, sky.cover)
    gathering = _smooth(0.1, 0.6, sky.cover)  # single clouds of a fair day end sharply, and are seen farther away
    spread, far = 0.02 + 0.38 * gathering, 0.6 - 0.35 * gathering
    begins = 0.14 * min(10.0 * sky.cover, 1.0)  # none in a sky without
    for i in range(grid.shape[0]):
        up = -(i * step + 0.5 - cy) / focal
        for j in range(grid.shape[1]):
            right = (j * step + 0.5 - cx) / focal
            length = 1.0 / np.sqrt(1.0 + right * right + up * up)
            east = (pose[0, 0] + pose[0, 1] * right + pose[0, 2] * up) * length
            north = (pose[1, 0] + pose[1, 1] * right + pose[1, 2] * up) * length
            high = max((pose[2, 0] + pose[2, 1] * right + pose[2, 2] * up) * length, 0.0)
            share = np.exp(-4.0 * high)
            toward = max(east * sky.sun[0] + north * sky.sun[1] + high * sky.sun[2], 0.0)
            wide = toward**8
            narrow = wide**8
            halo = 0.5 * narrow**16 + 0.24 * narrow + 0.16 * wide
            scale = 0.22 / (high + 0.10)
            u, v = east * scale + sky.drift, north * scale + 0.35 * sky.drift
            detail = _smooth(0.0, 0.35, high)  # towards the horizon clouds are too small to be told apart
            contrast = (far + (1.0 - far) * detail) * _smooth(0.0, 0.05, high)
            broad = 0.5 + (sample(texture, tile * u, tile * v) - 0.5) * contrast
            fine = 0.5 + (sample(texture, tile * (u * 3.7 + 0.3), tile * (v * 3.7 + 0.6)) - 0.5) * detail
            thick = 0.76 * broad + 0.24 * fine
            density = _smooth(edge - begins, edge + spread, thick) * _smooth(0.0, 0.12, high)
            density = max(density, overcast)
            sunward = sample(texture, tile * (u + 0.04 * sky.sun[0]), tile * (v + 0.04 * sky.sun[1]))
            beyond = 0.5 + (sunward - 0.5) * detail
            lit = 0.70 + (0.9 * (broad - beyond) - 0.35 * (density - 0.5) * detail) * (1.0 - 0.6 * overcast)
            lit = min(max(lit + 0.35 * (fine - 0.5), 0.0), 1.0)
            warm = 0.15 + 0.85 * toward * toward
            for c in range(3):
                low = sky.horizon[c] + (sky.sunset[c] - sky.horizon[c]) * warm
                clear = sky.zenith[c] + (low - sky.zenith[c]) * share + halo * sky.glow[c]
                cloud = sky.shade[c] + (sky.cloud[c] - sky.shade[c]) * lit + 0.4 * halo * sky.glow[c]
                grid[i, j, c] = 255.0 * (clear + (cloud - clear) * density)


@numba.njit(**kernels.FAST)
def _fill(
    image: np.ndarray,
    inside: np.ndarray,
    mean: np.ndarray,
    grid: np.ndarray,
    step: int,
    rows: int,
    day: float,
    dither: np.ndarray,
) -> None:
    """Write the interpolated ``grid`` and the detail of the generated sky to the pixels of the sky, by their distance
    ``inside`` it, px; ``mean`` is that of the generated sky around each pixel.

    Near everything else more of the detail stays by day, about the new colour: no rim of the generated colour is left.
    """
    per = np.float32(1.0 / step)
    least = np.float32(_DETAIL * (_BY_NIGHT + (1.0 - _BY_NIGHT) * day))
    near, one = np.float32(day * (_DETAIL_NEAR - _DETAIL)), np.float32(1.0)
    for y in range(rows):
        i, b = y // step, np.float32(y % step) * per
        for x in range(image.shape[1]):
            if inside[y, x] > 0.0:
                away = inside[y, x] - np.float32(0.5)
                share = min(away * np.float32(1.0 / _EDGE), one)
                kept = least + near * max(one - away * np.float32(1.0 / _SEAM), np.float32(0.0))
                j, a = x // step, np.float32(x % step) * per
                for c in range(3):
                    above = grid[i, j, c] + (grid[i, j + 1, c] - grid[i, j, c]) * a
                    below = grid[i + 1, j, c] + (grid[i + 1, j + 1, c] - grid[i + 1, j, c]) * a
                    old = np.float32(image[y, x, c])
                    detail = old - mean[y // _COARSE, x // _COARSE, c]
                    detail = min(detail if share < one else max(detail, np.float32(-_LIMIT)), np.float32(_LIMIT))
                    new = above + (below - above) * b + kept * detail
                    value = new + min(old - new, np.float32(0.0)) * (one - share) + dither[y & 63, x & 63]
                    image[y, x, c] = np.uint8(min(max(value, np.float32(0.0)), np.float32(255.0)))


assert Tag.SKY == 11  # as the kernels have it
