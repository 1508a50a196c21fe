"""Build an atlas of sketches and tints from labelled images.

``python -m tools.exemplars RUN.yaml --out FILE``

It takes whole objects: inside the image, standing on the ground, with nothing in front, of the shape of their class.
The automatic choice is inspected by eye (``--sheet``), and wrong objects are excluded by ``--without``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np

from bridge.process.options import Arg, Options, parse
from neuralsim.guide.exemplar_guide import CELL, SIZES, Atlas, AtlasError
from neuralsim.models.classes import Channel
from neuralsim.models.sketch_gain import GAIN
from neuralsim.training.data.conditioning import LUMA, Picture

_BLUR = 1.6 / 256.0  # blur of the sketch, over the frame's height in training
_NO_INSTANCE = (0, 255)
_ALIKE = 0.9  # correlation from which on two sketches show the same object
_MOST = {Channel.VEHICLE: 112, Channel.PERSON: 112, Channel.CYCLE: 32}


@dataclass(frozen=True)
class Shape:
    """The limits of a whole object of a class: px, shares of its box, width over height."""

    least: tuple[int, int]  # width, height
    filled: tuple[float, float]
    aspect: tuple[float, float]
    grounded: float  # least share of ground below its box
    contrast: float  # least deviation of its luminance, 0..1


_SHAPES = {
    Channel.VEHICLE: Shape((56, 40), (0.72, 1.0), (0.8, 3.0), 0.8, 0.09),
    Channel.PERSON: Shape((24, 80), (0.28, 0.8), (0.25, 0.62), 0.5, 0.07),
    Channel.CYCLE: Shape((24, 56), (0.3, 0.92), (0.3, 1.6), 0.5, 0.06),  # from behind, a rider is as narrow as people
}
_GROUND = (Channel.ROAD, Channel.SIDEWALK, Channel.TERRAIN, Channel.ROAD_LINE)
_NOT_GREY = (Channel.SKY, Channel.VEGETATION, Channel.TERRAIN)  # not grey on average
_IN_FRONT = (Channel.PERSON, Channel.CYCLE, Channel.POLE, Channel.SIGN)
_COVERED = 0.05  # largest share of an object's surroundings that may belong to something in front of it


@dataclass
class Exemplar:
    """A cut-out object: sketch u8 as in an ``Atlas``; tint f32 (h / ``CELL``, w / ``CELL``, 3), over the mean colour
    of its image, which is assumed to be grey light; width over height, and sharpness."""

    channel: Channel
    sketch: np.ndarray
    tint: np.ndarray
    aspect: float
    sharpness: float


def exemplars(pictures: Iterable[Picture]) -> Iterator[Exemplar]:
    """Yield all whole objects of ``pictures``."""
    for picture in pictures:
        for channel in SIZES:
            for inside in _parts(picture, channel):
                exemplar = _whole(picture, channel, inside)
                if exemplar is not None:
                    yield exemplar


def _parts(picture: Picture, channel: Channel) -> Iterator[np.ndarray]:
    """Yield masks of separate objects of a class."""
    mask = picture.label == channel
    if picture.instance is None or channel == Channel.CYCLE:  # of which rider and cycle are two instances
        count, parts = cv2.connectedComponents(mask.astype(np.uint8))
        yield from (parts == part for part in range(1, count))
        return
    for number in np.setdiff1d(np.unique(picture.instance[mask]), _NO_INSTANCE):
        yield mask & (picture.instance == number)


def _whole(picture: Picture, channel: Channel, inside: np.ndarray) -> Exemplar | None:
    """Return one object, None if it is not whole."""
    shape = _SHAPES[channel]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    width, height = x1 - x0, y1 - y0
    aspect, filled = width / height, float(inside.sum()) / (width * height)
    if width < shape.least[0] or height < shape.least[1] or y0 < 2 or x0 < 2:
        return None
    if y1 > inside.shape[0] - 2 or x1 > inside.shape[1] - 2:
        return None
    if not (shape.filled[0] <= filled <= shape.filled[1] and shape.aspect[0] <= aspect <= shape.aspect[1]):
        return None
    below = picture.label[y1, x0 + width // 4 : x1 - width // 4]
    if np.isin(below, _GROUND).mean() < shape.grounded:
        return None
    rim = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > inside
    around = np.isin(picture.label[rim], _IN_FRONT)
    if picture.instance is not None:  # its own rim that the instances leave out hides nothing
        around &= ~(np.isin(picture.instance[rim], _NO_INSTANCE) & (picture.label[rim] == channel))
    if around.mean() > _COVERED:
        return None
    window = slice(y0, y1), slice(x0, x1)
    image, mask = picture.image[window], inside[window]
    luma = (image.astype(np.float32) @ LUMA) / 255.0
    if luma[mask].std() < shape.contrast:
        return None
    size = SIZES[channel][1], SIZES[channel][0]
    # the surroundings are filled from the object's edge, so that any outline can be laid over it
    hole = (~mask).astype(np.uint8)
    filled_in = cv2.inpaint((luma * 255.0).astype(np.uint8), hole, 3, cv2.INPAINT_TELEA).astype(np.float32) / 255.0
    coloured = cv2.inpaint(np.ascontiguousarray(image), hole, 3, cv2.INPAINT_TELEA)
    excess = cv2.GaussianBlur(filled_in, (0, 0), max(0.3, _BLUR * height * 2.0)) - float(luma[mask].mean())
    sketch = np.tanh(GAIN * cv2.resize(excess, size, interpolation=cv2.INTER_AREA))
    tint = cv2.resize(coloured, (size[0] // CELL, size[1] // CELL), interpolation=cv2.INTER_AREA) / np.float32(255.0)
    tint += float(luma[mask].mean()) - (tint @ LUMA)[..., None]  # each part's hue, at the brightness of the whole
    light = picture.image[~np.isin(picture.label, _NOT_GREY)].mean(0) / np.float32(255.0)
    sharpness = float(np.abs(np.diff(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), axis=0)).mean())
    marks = np.clip(128.0 + 127.0 * sketch, 1, 255).round().astype(np.uint8)
    return Exemplar(channel, marks, np.maximum(tint, 0.0) / np.maximum(light, 0.01), aspect, sharpness)


def atlas(objects: Iterable[Exemplar], without: dict[Channel, set[int]] | None = None) -> Atlas:
    """Return the sharpest of each class, no two of one object; ``without``: positions in that order to leave out.

    Raises AtlasError when nothing is left of a class.
    """
    kept: dict[Channel, list[Exemplar]] = {channel: [] for channel in SIZES}
    for each in sorted(objects, key=lambda exemplar: -exemplar.sharpness):
        row = kept[each.channel]
        if len(row) < _MOST[each.channel] and all(_correlation(each, other) < _ALIKE for other in row):
            row.append(each)
    left = {
        channel: [each for place, each in enumerate(row) if place not in (without or {}).get(channel, set())]
        for channel, row in kept.items()
    }
    for channel, row in left.items():
        if not row:
            raise AtlasError(f"no whole {channel.name.lower()} in these images")
    tints = {channel: np.stack([each.tint for each in row]) for channel, row in left.items()}
    return Atlas(
        {channel: np.stack([each.sketch for each in row]) for channel, row in left.items()},
        {channel: np.array([each.aspect for each in row], np.float32) for channel, row in left.items()},
        {channel: each / each.mean((0, 1, 2)) for channel, each in tints.items()},
    )


def _correlation(a: Exemplar, b: Exemplar) -> float:
    """Return the correlation of two sketches, or of one and the other's mirror image, whichever is greater."""
    x, y = (cv2.resize(each.sketch, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64) for each in (a, b))
    return float(max(np.corrcoef(x.ravel(), other.ravel())[0, 1] for other in (y, y[:, ::-1])))


def sheet(shown: Atlas, across: int = 16) -> np.ndarray:
    """Return u8 (H, W): all sketches side by side, for inspection; their positions count from the top left."""
    rows = []
    for sketches in shown.sketches.values():
        for start in range(0, len(sketches), across):
            row = np.hstack(list(sketches[start : start + across]))
            rows.append(np.pad(row, ((0, 0), (0, across * 96 - row.shape[1]))))
    return np.vstack(rows)


class ExemplarsOptions(Options):
    """Cut sketches of real objects out of a run's images."""

    run: Annotated[Path, Arg("RUN", positional=True)]
    """A run's YAML, for its images."""
    out: Path
    """The .npz file to write."""
    sheet: Path | None = None
    """Write an image of all sketches here."""
    without: str = ""
    """Sketches to leave out, such as "cycle:0,3 person:7"."""


def main() -> None:
    """Run the command line."""
    from neuralsim.training.config import load_stages
    from neuralsim.training.run import load_pictures

    chosen = parse(ExemplarsOptions, None, "exemplars")
    without = {}
    for part in chosen.without.split():
        name, _, places = part.partition(":")
        without[Channel[name.upper()]] = {int(place) for place in places.split(",")}
    pictures = load_pictures(load_stages(chosen.run)[-1], fit=(4096, 2048))
    made = atlas(exemplars(each for each in pictures.check() if each is not None), without)
    made.save(chosen.out)
    if chosen.sheet:
        cv2.imwrite(str(chosen.sheet), sheet(made))
    print({channel.name.lower(): len(sketches) for channel, sketches in made.sketches.items()})


if __name__ == "__main__":
    main()
