"""What a clip's pictures tell of it where nothing else does: the light, and which pixels show the recording car."""

from collections.abc import Sequence

import cv2
import numpy as np

from bridge.tags import Tag
from bridge.weather import FAIR_WEATHER
from neuralsim.offline.recorded.planes import Planes

_SKY_FLOOR = 0.005  # share of a picture: less of it tells no light
#: The sky's median luma, of 255, and the sun's altitude, degrees. CARLA's day has 125 to 190 and its dusk 60 to 80; the
#: town's has 108 at 4 degrees, 65 at 0 and 21 at -4.
_LUMA = (12.0, 30.0, 55.0, 75.0, 110.0, 125.0)
_ALTITUDE = (-20.0, -8.0, -1.0, 2.0, 6.0, 45.0)
_DAY = 110.0  # luma from which the sky's blue, (blue - red) / blue, tells the clouds' cover, %
_BLUE, _COVER = (0.02, 0.10), (90.0, 20.0)
_WARM, _LOW = (-0.15, -0.02), 7.0  # a sky less blue than that is lit by a sun as low as that, degrees
_BONNET_SHARE = 0.95  # share of a clip's pictures in which the bonnet is at the same pixels
_WIDTH = 0.3  # of the picture's lower edge, the least that a bonnet takes
_BONNET_PICTURES = 3  # pictures in which it must be seen


def guess_weather(pictures: Sequence[Planes]) -> dict[str, float]:
    """Return ``carla.WeatherParameters`` by name whose light is that of a clip's pictures; empty for a fair day.

    The sky's luma gives the sun's altitude, by day its blue the clouds. Where no sky is seen, nothing tells the light,
    and it is that of a fair day, too. Rain and wet roads are not recognised.
    """
    skies = [
        np.median(each.rgb[sky], axis=0)
        for each in pictures
        if each.rgb is not None and (sky := each.tag == Tag.SKY).mean() >= _SKY_FLOOR
    ]
    if not skies:
        return {}
    red, green, blue = np.median(skies, axis=0).tolist()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    altitude, hue = float(np.interp(luma, _LUMA, _ALTITUDE)), (blue - red) / max(blue, 1.0)
    weather = {**FAIR_WEATHER, "sun_altitude_angle": altitude}
    if luma < _DAY:
        return weather
    if hue < _WARM[1]:
        weather["sun_altitude_angle"] = float(np.interp(hue, _WARM, (min(_LOW, altitude), altitude)))
    else:
        weather["cloudiness"] = float(np.interp(hue, _BLUE, _COVER))
    return {} if altitude == _ALTITUDE[-1] and hue >= _BLUE[1] else weather


def light_name(weather: dict[str, float]) -> str:
    """Return a word for the light of ``guess_weather``."""
    altitude = weather["sun_altitude_angle"]
    if altitude < 0.0:
        return "night"
    if altitude < 4.0:
        return "dusk"
    return "a low sun" if altitude < 15.0 else "an overcast day"


def find_bonnet(pictures: Sequence[Planes]) -> np.ndarray | None:
    """Return f32 (H, W), 0..1: where the recording car itself is seen in all pictures; None where it is not.

    It is what is tagged as a vehicle at the same pixels all the time, from the lower edge on, of which it takes the
    middle.
    """
    if len(pictures) < _BONNET_PICTURES or len({each.tag.shape for each in pictures}) != 1:
        return None
    share = np.mean([np.isin(each.tag, (Tag.CAR, Tag.TRUCK, Tag.BUS)) for each in pictures], axis=0)
    _, parts = cv2.connectedComponents((share >= _BONNET_SHARE).astype(np.uint8))
    middle = int(parts[-1, parts.shape[1] // 2])
    mask = parts == middle
    if middle == 0 or mask[-1].mean() < _WIDTH:
        return None
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0))
