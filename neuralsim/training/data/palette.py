"""Colours of surfaces in the simulator: light and brightness from real images, paints from street statistics."""

import re
import warnings
from collections.abc import Iterable
from itertools import islice

import numpy as np

from neuralsim.models.classes import CHANNELS, MOVERS, Channel
from neuralsim.renderer.weather.weather_style import derive_styles
from neuralsim.training.data.conditioning import LUMA, Picture, objects, tint

#: Style name -> pattern of the names of the images that it is taken from (recordings made under one light).
STYLES = {
    "day": r"^0006R0",
    "overcast": r"^Seq05VD",
    "dusk": r"^0001TP",
    "cambridge": r"^0016E5_0[5-8]",  # low sun, dark roads
    "aachen": r"^aachen",
}
_ENTRIES = 256
_Paints = dict[str, tuple[float, tuple[float, float, float]]]  # name -> share, sRGB 0..1

#: Paints of vehicles: shares as new cars have them (Axalta, Global Automotive Color Popularity Report 2021: white 35 %,
#: black 19 %, grey 19 %; the smaller ones rounded), colours dulled as a mean over a car's shades is.
PAINTS: _Paints = {
    "white": (0.35, (0.86, 0.86, 0.85)),
    "black": (0.19, (0.07, 0.07, 0.08)),
    "grey": (0.19, (0.34, 0.35, 0.36)),
    "silver": (0.09, (0.62, 0.63, 0.64)),
    "blue": (0.09, (0.20, 0.25, 0.39)),
    "red": (0.05, (0.44, 0.17, 0.16)),
    "beige": (0.03, (0.57, 0.52, 0.44)),
    "green": (0.01, (0.17, 0.25, 0.20)),
}
#: Colours of clothes, mostly dark.
CLOTHES: _Paints = {
    "black": (0.28, (0.09, 0.09, 0.10)),
    "charcoal": (0.14, (0.22, 0.22, 0.24)),
    "navy": (0.16, (0.16, 0.19, 0.29)),
    "denim": (0.12, (0.31, 0.37, 0.46)),
    "grey": (0.10, (0.46, 0.46, 0.47)),
    "white": (0.09, (0.80, 0.79, 0.77)),
    "red": (0.04, (0.48, 0.20, 0.19)),
    "olive": (0.04, (0.31, 0.31, 0.23)),
    "beige": (0.03, (0.58, 0.52, 0.43)),
}
#: Colours of façades, by house.
HOUSES: _Paints = {
    "grey": (0.26, (0.43, 0.43, 0.425)),
    "brick": (0.22, (0.44, 0.375, 0.345)),
    "sandstone": (0.18, (0.51, 0.48, 0.43)),
    "white": (0.14, (0.58, 0.575, 0.56)),
    "pale": (0.08, (0.51, 0.515, 0.52)),
    "ochre": (0.06, (0.53, 0.49, 0.42)),
    "dark brick": (0.06, (0.36, 0.32, 0.31)),
}
_BODY = 0.6  # share of a mover's pixels with its own colour; glass, tyres and faces differ
_REST = 0.14
_SHADE = 0.10  # relative deviation of brightness within a colour; a sixth of it for each channel alone
#: Mean colour of leaves, over the brightness of bare crowns in the same light, which let the sky through: between the
#: foliage of Cityscapes (mean of CIELAB's L 16, of its chroma 9) and of KITTI (28, 11).
_LEAVES = np.array((0.485, 0.57, 0.392))
_LEAST_PIXELS = 300  # smaller objects have no usable colour
_ENOUGH = 16  # objects of a class from which its variation can be estimated
_DARKEST = 0.1  # least value of a mover's colour, over the mean of its class


def styles(pictures: Iterable[Picture]) -> dict[str, np.ndarray]:
    """Return, by style, the median mean-colour of each class (for movers the mean), f32 (CHANNELS, 3) in [-0.5, 0.5],
    over the images of the style.

    A data set without images in ``STYLES`` is a style under its own name.
    ``neuralsim.renderer.weather.weather_style`` adds light that no image shows. Raises ValueError when nothing can be
    learned from the images.
    """
    rows, names, sources = [], [], []
    for picture in pictures:
        row = np.full((CHANNELS, 3), np.nan)
        for channel in range(CHANNELS):
            mask = picture.label == channel
            if mask.sum() > _LEAST_PIXELS:
                row[channel] = picture.image[mask].mean(0)
        rows.append(row)
        names.append(_style_of(picture))
        sources.append(picture.source)
    means = np.asarray(rows).reshape(-1, CHANNELS, 3)
    is_present = ~np.isnan(means).all((0, 2))
    if not is_present[[Channel.ROAD, Channel.VEHICLE]].all():
        raise ValueError(f"too few images to take colours from: {len(rows)}, none with a road and a vehicle")
    everywhere = np.broadcast_to(np.nanmean(means, (0, 1)), (CHANNELS, 3)).copy()  # for classes without pixels
    everywhere[is_present] = np.nanmedian(means[:, is_present], 0)
    known = {source for source, name in zip(sources, names, strict=True) if name}
    names = [name or ("" if source in known else source) for source, name in zip(sources, names, strict=True)]
    out = {}
    for name in sorted(set(names) - {""}, key=lambda name: [*STYLES, name].index(name)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # classes without pixels in this light
            own = means[[each == name for each in names]]
            style = np.nanmedian(own, 0)
            style[list(MOVERS)] = np.nanmean(own[:, list(MOVERS)], 0)  # around which their palettes vary
            light = np.nanmean(style / everywhere)
        style = np.where(np.isnan(style), everywhere * light, style) / 255.0 - 0.5
        out[name] = style.astype(np.float32)
    return derive_styles(_in_leaf(out))


def _style_of(picture: Picture) -> str:
    """Return the style of an image by its name, or ""."""
    return next((name for name, pattern in STYLES.items() if re.match(pattern, picture.name)), "")


def _in_leaf(styles: dict[str, np.ndarray], summer: str = "aachen", winter: str = "cambridge") -> dict[str, np.ndarray]:
    """Return styles with foliage in leaf: CamVid was filmed among bare trees, which ``winter`` keeps."""
    for name, style in styles.items():
        if name not in (summer, winter):
            style[Channel.VEGETATION] = _LEAVES * float((style[Channel.VEGETATION] + 0.5) @ LUMA) - 0.5
    return styles


def palettes(pictures: Iterable[Picture], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return colours to draw from: (3, 256, 3) of vehicles, persons, cycles, over the mean of their class; (256, 3)
    offsets of façades from their mean.

    No two entries are alike. They are distributed as on real streets, since a few hundred images have too few cars,
    most of them in the shade; their variation in brightness is that of their class in images of one light (with too few
    objects, that of the paints). Raises ValueError when there are no vehicles.
    """
    rng = np.random.default_rng(seed)
    brightness: list[dict[str, list[float]]] = [{}, {}, {}]  # light of the image -> brightness of movers
    for picture in islice(pictures, 0, None, 2):
        light = _style_of(picture) or picture.source
        parts = objects(picture.label, picture.instance)
        tinted = tint(picture.image, picture.label, parts)
        for index, channel in enumerate(MOVERS):
            inside = parts * (picture.label == channel)
            counts = np.bincount(inside.ravel())
            for number in np.flatnonzero(counts > _LEAST_PIXELS)[1:]:
                y, x = np.argwhere(inside == number)[0]
                brightness[index].setdefault(light, []).append(float((tinted[y, x] + 0.5) @ LUMA))
    if not brightness[0]:
        raise ValueError(f"too few images to take colours from: no vehicle of more than {_LEAST_PIXELS} pixels in them")
    movers = []
    for seen, paints in zip(brightness, (PAINTS, CLOTHES, CLOTHES), strict=True):
        colours = _BODY * _drawn(paints, rng) + (1.0 - _BODY) * _REST
        colours /= colours.mean()
        shown = np.concatenate([[0.0], *(np.asarray(each) / np.mean(each) for each in seen.values())])[1:]
        if len(shown) >= _ENOUGH:
            colours = 1.0 + shown.std() / (colours @ LUMA).std() * (colours - 1.0)
        movers.append(np.maximum(colours, _DARKEST))
    houses = _drawn(HOUSES, rng)
    return np.stack(movers).astype(np.float32), (houses - float((houses @ LUMA).mean())).astype(np.float32)


def _drawn(paints: _Paints, rng: np.random.Generator) -> np.ndarray:
    """Return (256, 3) colours 0..1 by their shares, each in its own shade."""
    shares = np.array([share for share, _ in paints.values()])
    colours = np.array([colour for _, colour in paints.values()])
    drawn = colours[rng.choice(len(colours), _ENTRIES, p=shares / shares.sum())]
    shade = rng.normal(0.0, _SHADE, (_ENTRIES, 1)) + rng.normal(0.0, _SHADE / 6.0, (_ENTRIES, 3))
    return np.asarray(np.clip(drawn * np.exp(shade), 0.0, 1.0))
