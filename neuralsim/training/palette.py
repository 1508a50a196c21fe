"""Colours learned from the real pictures: what surfaces and objects are tinted with in the simulator."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from itertools import islice

import numpy as np

from neuralsim.light import derived
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
_MOVERS = [Channel.VEHICLE, Channel.PERSON, Channel.CYCLE]
_ENTRIES = 256
_LEAVES = 0.85  # brightness of leaves against bare crowns, which let the sky through
_LEAST_PIXELS = 300  # smaller objects have no colour of their own


def styles(pictures: Iterable[Picture]) -> dict[str, np.ndarray]:
    """Median mean-colour of each class, f32 (CHANNELS, 3) in [-0.5, 0.5], over the pictures of each style.

    A data set of which no picture is in ``STYLES`` is a style of its own, under its name. Rows of movers are offsets
    that fall on their palette: 0 by day, dark at dusk. ``neuralsim.light`` adds what pictures
    do not show. Raises ValueError when nothing can be learned from them.
    """
    rows, names, sources = [], [], []
    for picture in pictures:
        row = np.full((CHANNELS, 3), np.nan)
        for channel in range(CHANNELS):
            mask = picture.label == channel
            if mask.sum() > _LEAST_PIXELS:
                row[channel] = picture.image[mask].mean(0)
        rows.append(row)
        names.append(next((name for name, pattern in STYLES.items() if re.match(pattern, picture.name)), ""))
        sources.append(picture.source)
    means = np.asarray(rows).reshape(-1, CHANNELS, 3)
    met = ~np.isnan(means).all((0, 2))
    if not met[[Channel.ROAD, Channel.VEHICLE]].all():
        raise ValueError(f"too few pictures to take colours from: {len(rows)}, none with a road and a vehicle")
    everywhere = np.broadcast_to(np.nanmean(means, (0, 1)), (CHANNELS, 3)).copy()  # of classes that nobody met
    everywhere[met] = np.nanmedian(means[:, met], 0)
    known = {source for source, name in zip(sources, names, strict=True) if name}
    names = [name or ("" if source in known else source) for source, name in zip(sources, names, strict=True)]
    out = {}
    for name in sorted(set(names) - {""}, key=lambda name: [*STYLES, name].index(name)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # classes that this light never met
            style = np.nanmedian(means[[each == name for each in names]], 0)
            light = np.nanmean(style / everywhere)
        style = np.where(np.isnan(style), everywhere * light, style) / 255.0 - 0.5
        style[_MOVERS] = np.minimum(style[Channel.VEHICLE] - (everywhere[Channel.VEHICLE] / 255.0 - 0.5), 0.0)
        out[name] = style.astype(np.float32)
    return derived(_in_leaf(out))


def _in_leaf(styles: dict[str, np.ndarray], summer: str = "aachen") -> dict[str, np.ndarray]:
    """Foliage in each style's light with the hue it has in ``summer``: CamVid was filmed among bare trees."""
    if summer not in styles:
        return styles
    leaf = styles[summer][Channel.VEGETATION] + 0.5
    for style in styles.values():
        light = float((style[Channel.VEGETATION] + 0.5) @ LUMA)
        style[Channel.VEGETATION] = leaf * (_LEAVES * light / float(leaf @ LUMA)) - 0.5
    return styles


def palettes(pictures: Iterable[Picture], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Colours to draw from: (3, 256, 3) of vehicles, persons, cycles; (256, 3) offsets of façades from their mean.

    Movers that no picture shows get the vehicles' colours. Raises ValueError when there are no vehicles either.
    """
    rng = np.random.default_rng(seed)
    found: list[list[np.ndarray]] = [[], [], []]
    facades: list[np.ndarray] = []
    for picture in islice(pictures, 0, None, 2):
        parts = objects(picture.label, picture.instance)
        tinted = tint(picture.image, picture.label, parts)
        for index, channel in enumerate(_MOVERS):
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
    if not found[0]:
        raise ValueError(
            f"too few pictures to take colours from: no vehicle of more than {_LEAST_PIXELS} pixels in them"
        )
    table = [
        np.asarray(colours or found[0])[rng.integers(len(colours or found[0]), size=_ENTRIES)] for colours in found
    ]
    offsets = np.asarray(facades or [np.zeros(3)])
    return np.stack(table).astype(np.float32), offsets[rng.integers(len(offsets), size=_ENTRIES)].astype(np.float32)
