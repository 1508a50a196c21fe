"""What a camera makes of the light: the exposure and white balance that it sets by itself, and the blur of its lens.

A style has one brightness and one white point; photographs have not. From image to image, the road of CamVid varies by
43 % in brightness, KITTI's by 27 %, Cityscapes' by 9 to 25 %, and the ratios of red and blue to green by 1 to 8 %
(``docs/lab/2026-11-28_camera.md``). What a camera makes of a place is a smooth random function of it, a sum of waves,
so that all cameras of a rig agree, nothing changes while a car stands, and a recording repeats it.
"""

from collections.abc import Mapping
from functools import lru_cache

import cv2
import numpy as np

#: Standard deviations of logarithms: of the brightness, of red over blue by half, and of both over green.
_SPREADS = np.array((0.2, 0.045, 0.04))
#: Least and most of each. An overexposed sky is not blue any more, and of all casts photographs hardly have magenta.
_LIMITS = np.array(((-0.3, 0.15), (-0.06, 0.06), (-0.04, 0.04)))
_GREEN = 0.04  # of the logarithm, mean of the green cast
_LENGTHS = np.geomspace(160.0, 640.0, 5)  # m, of the waves
#: Powers of a value by which brightness and colour are compressed: white stays white, and what is nearly white, such as
#: a hazy sky, has little of the cast, as an overexposed sensor has none.
_SHOULDER, _COLOUR_SHOULDER = 16, 4
_DARKENING_SHOULDER = 6  # where brightness falls: more, and the texture of white walls becomes glaring stripes
_CONTRAST = 1.2  # exponent of the tone curve by day: streets as dark under their sky as in photographs
_CHROMA = 0.85  # of colours by day: what a camera in a car has of them
_LONGEST = 1.5  # gain by night
_METERED = 0.4  # share of what rain takes from the light that a camera's longer exposure makes up for, as a logarithm
_RAIN_LIGHT = 0.45  # of the light of a dry day, in the heaviest rain on wet ground
_LENS = 0.37  # px, standard deviation of the blur of a lens
_BLOOM, _BLOOM_SIDE = 0.4, 5  # share of its light that an overexposed pixel spreads by day, and over how many pixels
_OVEREXPOSED = 200.0  # of 255


def gains_at(x: float, y: float, seed: int) -> np.ndarray:
    """Return the gains of red, green and blue, f64 (3,), of a camera at ``x``, ``y``, m, in the world of ``seed``."""
    waves, phases = _waves(seed)
    sums = np.sqrt(2.0 / len(_LENGTHS)) * np.cos(waves @ (x, y) + phases).sum(axis=1)
    brightness, warmth, magenta = np.clip(_SPREADS * sums, *_LIMITS.T)
    if brightness > 0.0:  # what is bright is not sandy as well
        beyond = max(np.hypot(*(np.array((brightness, warmth)) / _LIMITS[:2, 1])), 1.0)
        brightness, warmth = brightness / beyond, warmth / beyond
    magenta -= _GREEN
    return np.asarray(np.exp(brightness + np.array((magenta + warmth, 0.0, magenta - warmth))))


def expose(image: np.ndarray, gains: np.ndarray, daylight: float) -> None:
    """Multiply an image u8 (H, W, 3), RGB, by ``gains``, in place, and darken what is not bright.

    Black stays black, and white white. ``daylight``: from 0, by night, when a camera has reached its longest exposure
    and ``gains`` change nothing, to 1, by day.
    """
    gains = gains**daylight * _LONGEST ** (1.0 - daylight)
    brightness = np.prod(gains, keepdims=True) ** (1.0 / 3.0)
    shoulder = _SHOULDER if brightness >= 1.0 else _DARKENING_SHOULDER
    exposed = _amplified(np.linspace(0.0, 1.0, 256)[:, None], brightness, shoulder)
    exposed = _amplified(exposed, gains / brightness, _COLOUR_SHOULDER)
    cv2.LUT(image, np.rint(255.0 * exposed**_CONTRAST**daylight).astype(np.uint8)[None], image)


def metered_gain(weather: Mapping[str, float]) -> float:
    """Return the gain of a camera that meters the light of ``weather``, carla.WeatherParameters by name: 1 if dry."""
    rain = min(max(weather.get("precipitation", 0.0) / 100.0, 0.0), 1.0)
    return float(_RAIN_LIGHT ** (-_METERED * rain**0.5))


def mute_colours(image: np.ndarray, daylight: float) -> None:
    """Take some of their chroma from the colours of an image u8 (H, W, 3), RGB, in place: by day, but for lamps, which
    are drawn afterwards. ``daylight``: as for ``expose``."""
    grey = (1.0 - _CHROMA) * daylight
    if grey > 0.0:
        cv2.transform(image, (1.0 - grey) * np.eye(3) + grey / 3.0, image)


def _amplified(value: np.ndarray, gain: np.ndarray, shoulder: int) -> np.ndarray:
    """Return ``value``, 0..1, times ``gain``, compressed so that 1 stays 1."""
    return np.minimum(value * gain / (1.0 + (gain - 1.0) * value**shoulder), 1.0)


def blur_by_lens(image: np.ndarray, daylight: float) -> None:
    """Spread the light of an image u8 (H, W, 3), RGB, in place: all of it a little, and further what is overexposed.

    ``daylight``: as for ``expose``. By night only lamps are overexposed, whose glow is drawn.
    """
    if daylight > 0.0:
        beyond = cv2.blur(cv2.subtract(image, np.full(4, _OVEREXPOSED)), (_BLOOM_SIDE, _BLOOM_SIDE))
        share = daylight * _BLOOM / (255.0 - _OVEREXPOSED)
        cv2.add(image, cv2.multiply(cv2.bitwise_not(image), beyond, scale=share), image)
    cv2.GaussianBlur(image, (3, 3), _LENS, image)


@lru_cache(maxsize=4)
def _waves(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the waves, f64 (3, n, 2), radians per metre, and their phases, f64 (3, n)."""
    rng = np.random.default_rng(seed)
    angle, phase = rng.uniform(0.0, 2.0 * np.pi, (2, 3, len(_LENGTHS)))
    return 2.0 * np.pi / _LENGTHS[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1), phase
