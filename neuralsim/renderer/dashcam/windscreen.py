"""A windscreen in the rain, as a camera behind it sees it: drops that refract the street, and a wiper that takes them.

Everything is a function of simulated time, so that the same recording gives the same bytes: which drops have landed
since the blade last passed their place. A drop is a strong short lens, so it shows the street upside down and much
smaller; it is too near for the camera to be in focus (Roser and Geiger, "Video-based raindrop detection for improved
image registration", ICCV Workshops 2009).
"""

import math
from collections.abc import Mapping
from functools import lru_cache

import cv2
import numba
import numpy as np

from neuralsim.base import kernels

_DRY, _STEP = 0.05, 0.1  # of the heaviest rain, up to which the glass stays dry; of its steps
_LEAST, _WIDE = 8, 1024  # px: an image that has drops; and one in which they are drawn at half the size
# Lengths below are shares of the image's width.
_DROPS = 480.0  # that land in a second of the heaviest rain
_RADIUS, _SPREAD, _GREATEST = 0.0034, 0.65, 0.014  # median, standard deviation of the logarithm, greatest
_OUTLINES = 0.09, 0.09, 0.04, 0.04  # standard deviations of the 2nd and 3rd harmonics of an outline
_REACH = 0.5  # from a drop's middle to what its outline shows
_REDUCTION = 16  # times smaller than the image is what drops show of it
_RIM = 0.45  # of the light that a drop's outline loses
_EDGE, _BLUR = 0.002, 0.0019  # half the width of an outline; standard deviation of the blur of a drop out of focus

_SWEEP = 1.0  # s that the wiper takes there and back
_SLOWEST, _FASTEST = 5.0, 1.1  # s from one sweep to the next, in the lightest rain and in the heaviest
_PARKED, _TURN = math.radians(4.0), math.radians(172.0)  # angle at rest, from the right, and how far it goes
_PIVOT = 0.38, 0.64  # from the upper left corner: below the image
_LENGTH = 0.72  # of the wiper
_JOINT = 0.36  # where the arm, from the pivot on, meets the blade
_BLADE, _ARM, _OFFSET = 0.0055, 0.0105, 0.034  # half their widths; of the arm's axis from the blade's at the pivot
_KNUCKLE = 0.013  # radius of the joint
_SHUTTER = 0.004  # s that a camera's is open in the rain
_SOFT = 0.005  # half the width of their edges, which are out of focus
_SHADE = 0.1  # of the light, before the wiper


def draw_windscreen(image: np.ndarray, weather: Mapping[str, float], time: float) -> None:
    """Draw the drops of the rain of ``weather`` on a windscreen into ``image``, and the wiper, in place.

    Args:
        image: u8 (H, W, 3), RGB.
        weather: ``carla.WeatherParameters`` by name: precipitation in per cent; up to 5 the glass is dry.
        time: Simulated seconds.
    """
    # in steps: with each change of the period, the wiper jumps
    amount = round(min(max(weather.get("precipitation", 0.0) / 100.0, 0.0), 1.0) / _STEP) * _STEP
    height, width = image.shape[:2]
    if amount <= _DRY or min(height, width) < _LEAST:
        return
    period = _SLOWEST * (_FASTEST / _SLOWEST) ** amount
    drops = _visible(amount, period, time, height / width)
    size = max(width // _REDUCTION, 1), max(height // _REDUCTION, 1)
    coarser = 2 if width >= _WIDE else 1
    lenses = np.zeros((-(-height // coarser), -(-width // coarser), 4), np.uint8)
    _refract(lenses, cv2.resize(image, size, interpolation=cv2.INTER_AREA), drops)
    cv2.GaussianBlur(lenses, (0, 0), max(_BLUR * width / coarser, 0.3), lenses)
    if coarser > 1:
        lenses = cv2.resize(lenses, (width, height), interpolation=cv2.INTER_LINEAR)
    _cover(image, lenses)
    angle = wiper_angle(time % period)
    if angle > _PARKED:
        _wipe(image, angle, abs(angle - wiper_angle(time % period + _SHUTTER)))


def compile_kernels() -> None:
    """Compile the kernels ahead of the first rain."""
    draw_windscreen(np.zeros((8, 16, 3), np.uint8), {"precipitation": 100.0}, 0.25)


def wiper_angle(time: float) -> float:
    """Return the wiper's angle, from the right, ``time`` s after a sweep began, radians."""
    if time >= _SWEEP:
        return _PARKED
    return _PARKED + 0.5 * _TURN * (1.0 - math.cos(2.0 * math.pi * time / _SWEEP))


def _visible(amount: float, period: float, time: float, aspect: float) -> np.ndarray:
    """Return the drops that no wiper has taken yet, f64 (N, 7), as from ``_landed``."""
    cycle, parts = int(time // period), []
    for number in (cycle - 1, cycle):
        drops, landing, first, second = _landed(number, amount, period, aspect)
        start = number * period
        gone = np.where(landing < first, first, np.where(landing < second, second, period + first))
        parts.append(drops[(start + landing <= time) & (time < start + gone)])
    return np.concatenate(parts)


@lru_cache(maxsize=4)
def _landed(number: int, amount: float, period: float, aspect: float) -> tuple[np.ndarray, ...]:
    """Return the drops that land between two starts of the wiper: place, radius, and the harmonics of their outlines;
    when they land; when the wiper passes them on its way there and back, all in s from its start.

    Beyond its reach they run down by themselves, in about the same time.
    """
    rng = np.random.default_rng((number + 1, 29))
    count = rng.poisson(_DROPS * amount * period)
    place = rng.uniform((-0.02, -0.02), (1.02, aspect + 0.02), (count, 2))
    radius = np.minimum(_RADIUS * np.exp(_SPREAD * rng.standard_normal(count)), _GREATEST)
    outline = rng.normal(0.0, _OUTLINES, (count, 4)) * np.sqrt(radius / _RADIUS)[:, None].clip(0.5, 1.6)
    landing = rng.uniform(0.0, period, count)
    across, up = place[:, 0] - _PIVOT[0], _PIVOT[1] - place[:, 1]
    share = ((np.arctan2(up, across) - _PARKED) / _TURN).clip(0.0, 1.0)
    first = _SWEEP / (2.0 * np.pi) * np.arccos(1.0 - 2.0 * share)
    first = np.where(np.hypot(across, up) < _LENGTH, first, _SWEEP / 2.0)
    return np.column_stack([place, radius, outline]), landing, first, _SWEEP - first


@numba.njit(**kernels.FAST)
def _refract(lenses: np.ndarray, scene: np.ndarray, drops: np.ndarray) -> None:
    """Draw ``drops`` as small lenses before ``scene``, the reduced image, into ``lenses``, u8 (H, W, 4): colour times
    alpha, and alpha."""
    height, width = lenses.shape[:2]
    last_row, last_column = scene.shape[0] - 1, scene.shape[1] - 1
    scale, soft = scene.shape[1] / width, _EDGE * width
    for k in range(len(drops)):
        x0, y0, radius = drops[k, 0] * width, drops[k, 1] * width, drops[k, 2] * width
        reach = radius * 1.5 + soft
        for y in range(max(int(y0 - reach), 0), min(int(y0 + reach) + 1, height)):
            for x in range(max(int(x0 - reach), 0), min(int(x0 + reach) + 1, width)):
                u, v = x + 0.5 - x0, y + 0.5 - y0
                square = u * u + v * v + 1e-9
                length = np.sqrt(square)
                cos2, sin2 = (u * u - v * v) / square, 2.0 * u * v / square
                cos3, sin3 = (u * cos2 - v * sin2) / length, (v * cos2 + u * sin2) / length
                outline = radius * (
                    1.0 + drops[k, 3] * cos2 + drops[k, 4] * sin2 + drops[k, 5] * cos3 + drops[k, 6] * sin3
                )
                share = min((outline + soft - length) / (2.0 * soft), 1.0)
                if share <= 0.0:
                    continue
                far = min(length / (outline + 1e-9), 1.0)
                bend = _REACH * width * (0.35 + 0.65 * far * far) / (outline + 1e-9)
                column = min(max(int((x0 - u * bend) * scale), 0), last_column)
                row = min(max(int((y0 - v * bend) * scale), 0), last_row)
                light = (1.0 - _RIM * far**4) * share
                for c in range(3):
                    lenses[y, x, c] = np.uint8(light * scene[row, column, c])
                lenses[y, x, 3] = np.uint8(255.0 * share)


@numba.njit(**kernels.FAST)
def _cover(image: np.ndarray, lenses: np.ndarray) -> None:
    """Lay ``lenses``, as from ``_refract``, over ``image``, u8 (H, W, 3)."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if lenses[y, x, 3]:
                rest = np.int32(255) - lenses[y, x, 3]
                for c in range(3):
                    image[y, x, c] = np.uint8(min((image[y, x, c] * rest + 127) // 255 + lenses[y, x, c], 255))


@numba.njit(**kernels.FAST)
def _wipe(image: np.ndarray, angle: float, turn: float) -> None:
    """Draw the wiper at ``angle``, out of focus: its blade, and the arm that leads to the blade's middle.

    ``turn``: how far it turns while the shutter is open, radians.
    """
    height, width = image.shape[:2]
    along_x, along_y = np.cos(angle), -np.sin(angle)
    reach = _OFFSET + _ARM + _KNUCKLE + _SOFT + turn * _LENGTH
    for y in range(height):
        v = (y + 0.5) / width - _PIVOT[1]
        middle, half = _PIVOT[0] + v * along_x / along_y, reach / abs(along_y)  # the row's part near the blade
        for x in range(max(int((middle - half) * width), 0), min(int((middle + half) * width) + 2, width)):
            u = (x + 0.5) / width - _PIVOT[0]
            along = u * along_x + v * along_y
            if along < 0.0:
                continue
            across = u * along_y - v * along_x
            arm = abs(across - _OFFSET * (1.0 - along / _JOINT)) - _ARM * (1.0 - 0.4 * along / _JOINT)
            knuckle = np.sqrt((along - _JOINT) ** 2 + across * across) - _KNUCKLE
            beyond = min(max(abs(across) - _BLADE, along - _LENGTH), arm if along < _JOINT else knuckle)
            soft = _SOFT + 0.5 * turn * along
            share = min(max(0.5 - beyond / (2.0 * soft), 0.0), min(_BLADE / soft, 1.0))
            if share > 0.0:
                light = 1.0 + (_SHADE - 1.0) * share * share * (3.0 - 2.0 * share)
                for c in range(3):
                    image[y, x, c] = np.uint8(light * image[y, x, c])
