"""Fog over generated images: the photographs that generators learn from were taken in clear air.

What is ``d`` metres away keeps exp(-k d) of its colour and takes the air's for the rest (Koschmieder 1924; Middleton,
"Vision Through the Atmosphere", 1952), with the depth of every pixel from the simulator. The graph's state has no fog.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.models.classes import Channel

# Distance at which half of the light is the air's, m, as in neuralsim.town.render.shading.daylight.
_CLEAR, _THICKEST = 700.0, 28.0
_LEAST = 2e-6  # 1/m, half a grey level a kilometre away: a fog that blends out falls below it at some time
_LAMPLIT = np.array((14.0, 13.0, 12.5))  # of 255, the least light of dense fog: that of a town's lamps by night
_DENSE = 2e-3  # 1/m from which fog is dense, such as that of hard rain
_AIR_LIGHT = 0.85  # of the sky's: the sky is seen through all of the fog, objects in it through a part
_BITS = 15  # of the shares in fixed point
_HALF = 1 << (_BITS - 1)
_STEPS = 128  # per unit of k times the distance: half a grey level between one and the next
_SHARES = np.rint((1 << _BITS) * (1.0 - np.exp(-np.arange(8 * _STEPS) / _STEPS))).astype(np.int32)

NO_FOG: np.ndarray = np.zeros(2)


def fog_of_weather(weather: Mapping[str, float]) -> np.ndarray:
    """Return the fog of ``weather`` (carla.WeatherParameters by name), f64 (2,).

    The values are k beyond that of clear air, 1/m, and the distance at which the fog starts, m. Their mean is the fog
    of a weather halfway between two.
    """
    share = max(
        weather.get("fog_density", 0.0), 0.35 * weather.get("precipitation", 0.0), weather.get("dust_storm", 0.0)
    )
    half = _CLEAR * (_THICKEST / _CLEAR) ** min(max(share / 100.0, 0.0), 1.0)
    return np.array([math.log(2.0) * (1.0 / half - 1.0 / _CLEAR), max(weather.get("fog_distance", 0.0), 0.0)])


def apply_fog(image: np.ndarray, depth: np.ndarray, fog: np.ndarray, style: np.ndarray) -> None:
    """Blend ``image`` towards the colour of the air by depth, in place.

    Args:
        image: u8 (H, W, 3) RGB, as generated.
        depth: f32 (H, W), m.
        fog: As from ``fog_of_weather``; invisible fog is left out.
        style: f32 (CHANNELS, 3), -0.5..0.5: the colours that the image was generated in, the sky's among them.
    """
    k, start = fog.tolist()
    if k < _LEAST:
        return
    air = np.clip(255.0 * _AIR_LIGHT * (style[Channel.SKY] + 0.5), _LAMPLIT * min(k / _DENSE, 1.0), 255.0).astype(
        np.uint8
    )
    _blend(image, kernels.read_only(depth), k, start, air, _SHARES)


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    depth, style = np.zeros((1, 1), np.float32), np.zeros((len(Channel), 3), np.float32)
    apply_fog(np.zeros((1, 1, 3), np.uint8), depth, np.ones(2), style)


@njit(**kernels.EXACT)
def _blend(image, depth, k, start, air, shares):  # type: ignore[no-untyped-def]
    """Do what ``apply_fog`` does; ``shares`` of the air in fixed point, by ``k`` times the distance in steps."""
    scale, offset = np.float32(k * _STEPS), np.float32(-k * start * _STEPS)
    last = np.float32(len(shares) - 1)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            share = shares[int(min(max(depth[y, x] * scale + offset, np.float32(0.0)), last))]
            for c in range(3):
                value = np.int32(image[y, x, c])
                image[y, x, c] = np.uint8(value + (((np.int32(air[c]) - value) * share + _HALF) >> _BITS))
