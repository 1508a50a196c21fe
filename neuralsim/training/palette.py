"""Colours learned from the real pictures: what surfaces and objects are tinted with in the simulator."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.training.data import LUMA, Picture, objects, tint

#: Style name -> pattern of the picture names it is taken from (recordings made under one light).
STYLES = {
    "day": r"^0006R0",
    "overcast": r"^Seq05VD",
    "dusk": r"^0001TP",
    "cambridge": r"^0016E5_0[5-8]",  # low sun, dark roads
    "aachen": r"^aachen",
}
_ENTRIES = 256
_LEAVES = 0.85  # brightness of leaves against bare crowns, which let the sky through
_LEAST_PIXELS = 300  # smaller objects have no colour of their own


def styles(pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
    """Median mean-colour of each class, f32 (CHANNELS, 3) in [-0.5, 0.5], over the pictures of each style.

    Rows of movers are offsets that fall on their palette: 0 by day, dark at dusk.
    """
    means = np.full((len(pictures), CHANNELS, 3), np.nan)
    for row, picture in zip(means, pictures, strict=True):
        for channel in range(CHANNELS):
            mask = picture.label == channel
            if mask.sum() > _LEAST_PIXELS:
                row[channel] = picture.image[mask].mean(0)
    everywhere = np.nanmedian(means, 0)
    movers = [Channel.VEHICLE, Channel.PERSON, Channel.CYCLE]
    out = {}
    for name, pattern in STYLES.items():
        chosen = [bool(re.match(pattern, picture.name)) for picture in pictures]
        if not any(chosen):
            continue
        with np.errstate(all="ignore"):
            style = np.nanmedian(means[chosen], 0)
        light = np.nanmean(style / everywhere)  # classes that this light never met
        style = np.where(np.isnan(style), everywhere * light, style) / 255.0 - 0.5
        style[movers] = np.minimum(style[Channel.VEHICLE] - (everywhere[Channel.VEHICLE] / 255.0 - 0.5), 0.0)
        out[name] = style.astype(np.float32)
    return _in_leaf(out)


def _in_leaf(styles: dict[str, np.ndarray], summer: str = "aachen") -> dict[str, np.ndarray]:
    """Foliage in each style's light with the hue it has in ``summer``: CamVid was filmed among bare trees."""
    if summer not in styles:
        return styles
    leaf = styles[summer][Channel.VEGETATION] + 0.5
    for style in styles.values():
        light = float((style[Channel.VEGETATION] + 0.5) @ LUMA)
        style[Channel.VEGETATION] = leaf * (_LEAVES * light / float(leaf @ LUMA)) - 0.5
    return styles


def palettes(pictures: Sequence[Picture], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Colours to draw from: (3, 256, 3) of vehicles, persons, cycles; (256, 3) offsets of façades from their mean."""
    rng = np.random.default_rng(seed)
    found: list[list[np.ndarray]] = [[], [], []]
    facades: list[np.ndarray] = []
    for picture in pictures[::2]:
        parts = objects(picture.label, picture.instance)
        tinted = tint(picture.image, picture.label, parts)
        for index, channel in enumerate((Channel.VEHICLE, Channel.PERSON, Channel.CYCLE)):
            inside = parts * (picture.label == channel)
            counts = np.bincount(inside.ravel())
            for number in np.flatnonzero(counts > _LEAST_PIXELS)[1:]:
                y, x = np.argwhere(inside == number)[0]
                found[index].append(tinted[y, x])
        building = np.argwhere(picture.label == Channel.BUILDING)
        if len(building) > 2000:
            mean = tinted[tuple(building.T)].mean(0)
            for y, x in building[rng.integers(len(building), size=4)]:
                facades.append(tinted[y, x] - mean)
    table = [np.asarray(colours)[rng.integers(len(colours), size=_ENTRIES)] for colours in found]
    return np.stack(table).astype(np.float32), np.asarray(facades)[rng.integers(len(facades), size=_ENTRIES)].astype(
        np.float32
    )
