"""Fog over what was painted: the pictures that painters learn from were taken in clear air.

What is ``d`` metres away keeps exp(-k d) of its colour and takes the air's for the rest (Koschmieder 1924; Middleton,
"Vision Through the Atmosphere", 1952), with the depth of every pixel from the simulator. The graph's memory has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np

from neuralsim.models.classes import Channel

_CLEAR, _THICKEST = (
    700.0,
    28.0,
)  # m at which half of the light is the air's, as in neuralsim.town.render.daylight
_LEAST = 2e-6  # per metre: half a grey level a kilometre away; what is left of a fog that goes is less some day
_DIM = 0.85  # of the sky's light: it is seen through all of the fog, what stands in it through a part


NONE: np.ndarray = np.zeros(2)


def of_weather(weather: Mapping[str, float]) -> np.ndarray:
    """f64 (2,): k, per metre, beyond that of clear air, in ``weather``, carla.WeatherParameters by name, and from which
    distance on, m. Their mean is that of a weather halfway between two."""
    share = max(
        weather.get("fog_density", 0.0), 0.35 * weather.get("precipitation", 0.0), weather.get("dust_storm", 0.0)
    )
    half = _CLEAR * (_THICKEST / _CLEAR) ** min(max(share / 100.0, 0.0), 1.0)
    return np.array([math.log(2.0) * (1.0 / half - 1.0 / _CLEAR), max(weather.get("fog_distance", 0.0), 0.0)])


def veil(picture: np.ndarray, depth: np.ndarray, haze: np.ndarray, style: np.ndarray) -> None:
    """Lay air between ``picture`` u8 (H, W, 3) RGB and who looks at it, in place.

    Args:
        picture: What was painted.
        depth: f32 (H, W), m.
        haze: As from ``of_weather``; what nobody would see is left out.
        style: f32 (CHANNELS, 3), -0.5..0.5: the colours that it was painted in, the sky's among them.
    """
    k, start = haze.tolist()
    if k < _LEAST:
        return
    air = np.clip(255.0 * _DIM * (style[Channel.SKY] + 0.5), 0.0, 255.0).astype(np.uint8)
    kept = cv2.exp(np.minimum(np.float32(k * start) - np.float32(k) * depth, np.float32(0.0)))
    cv2.blendLinear(picture, np.broadcast_to(air, picture.shape).copy(), kept, 1.0 - kept, dst=picture)
