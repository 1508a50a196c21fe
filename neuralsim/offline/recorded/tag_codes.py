"""CARLA's semantic tags as its clients save them: ids in the red channel, or the colours of its palette.

The ids and colours of 0.9.14 and later are those of ``bridge/tags.py``; before, CARLA had others
(``ObjectLabel.h``, ``CityScapesPalette.h`` of 0.9.5 to 0.9.13). All become today's tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from bridge.tags import COLOURS, COUNT, Tag
from neuralsim.imaging import label_maps
from neuralsim.imaging.image_files import ImageError

#: Whose ids: those of CARLA 0.9.13 and before, or of 0.9.14 on.
Edition = Literal["0.9.13", "0.9.14"]
#: Today's tag and the colours by the id of 0.9.13 and before; the colours changed between 0.9.5 and 0.9.13.
_OLD: tuple[tuple[Tag, tuple[tuple[int, int, int], ...]], ...] = (
    (Tag.UNLABELED, ((0, 0, 0),)),
    (Tag.BUILDING, ((70, 70, 70),)),
    (Tag.FENCE, ((100, 40, 40), (190, 153, 153))),
    (Tag.OTHER, ((55, 90, 80), (72, 0, 90), (250, 170, 160))),
    (Tag.PEDESTRIAN, ((220, 20, 60),)),
    (Tag.POLE, ((153, 153, 153),)),
    (Tag.ROAD_LINE, ((157, 234, 50),)),
    (Tag.ROAD, ((128, 64, 128),)),
    (Tag.SIDEWALK, ((244, 35, 232),)),
    (Tag.VEGETATION, ((107, 142, 35),)),
    (Tag.CAR, ((0, 0, 142), (0, 0, 255))),
    (Tag.WALL, ((102, 102, 156),)),
    (Tag.TRAFFIC_SIGN, ((220, 220, 0),)),
    (Tag.SKY, ((70, 130, 180),)),
    (Tag.GROUND, ((81, 0, 81),)),
    (Tag.BRIDGE, ((150, 100, 100),)),
    (Tag.RAIL_TRACK, ((230, 150, 140),)),
    (Tag.GUARD_RAIL, ((180, 165, 180),)),
    (Tag.TRAFFIC_LIGHT, ((250, 170, 30),)),
    (Tag.STATIC, ((110, 190, 160),)),
    (Tag.DYNAMIC, ((170, 120, 50),)),
    (Tag.WATER, ((45, 60, 150),)),
    (Tag.TERRAIN, ((145, 170, 100),)),
)
#: u8 (256,) by edition: today's tag of each id; 0.9.15's and 1.0's 29, rock, is terrain.
TABLES: dict[Edition, np.ndarray] = {name: np.full(256, Tag.OTHER, np.uint8) for name in ("0.9.13", "0.9.14")}
TABLES["0.9.13"][: len(_OLD)] = [tag for tag, _ in _OLD]
TABLES["0.9.14"][:COUNT] = range(COUNT)
TABLES["0.9.14"][29] = Tag.TERRAIN
_KNOWN: dict[Edition, int] = {"0.9.13": len(_OLD), "0.9.14": 30}
#: Colours (N, 3) and today's tags (N,) by edition.
_PALETTES: dict[Edition, tuple[np.ndarray, np.ndarray]] = {
    "0.9.13": (
        np.array([colour for _, colours in _OLD for colour in colours], np.uint8),
        np.array([tag for tag, colours in _OLD for _ in colours], np.uint8),
    ),
    "0.9.14": (COLOURS, np.arange(COUNT, dtype=np.uint8)),
}
_EXACT = 0.98  # share of pixels with a colour of the palette, from which the picture is coded without loss
_KIN = 4  # pixels of 3x3, itself among them, that must have a pixel's tag where colours are not exact
_STEP = 8  # px between those that samples are judged by


@dataclass(frozen=True)
class TagCode:
    """How the tags of a clip are coded.

    Attributes:
        edition: Whose ids or colours.
        is_palette: Whether by CARLA's palette; else ids, in the red channel or the only one.
        is_exact: Whether the palette's colours are exact; else nearest ones are taken.
    """

    edition: Edition
    is_palette: bool = False
    is_exact: bool = True

    def __str__(self) -> str:
        ids = "CARLA 0.9.14 or later" if self.edition == "0.9.14" else "CARLA 0.9.13 or earlier"
        if not self.is_palette:
            return f"ids of {ids}"
        return f"the palette of {ids}" + ("" if self.is_exact else ", by nearest colour")


def split(image: np.ndarray, label: str) -> tuple[np.ndarray, str]:
    """Return a tag picture u8 (H, W) or (H, W, 3), BGR, and a line about what of it is strange, "" for nothing.

    ``label``: its file. Raises ImageError for what holds no tags.
    """
    strange = ""
    if image.dtype == np.uint16:
        if image.ndim != 2 or image.max() > 255:
            raise ImageError(f"{label}: 16-bit tags up to {int(image.max())}; CARLA's ids are 8 bit, 0 to {COUNT - 1}")
        image, strange = image.astype(np.uint8), f"{label}: 16-bit tags, read as ids"
    if image.dtype != np.uint8:
        raise ImageError(f"{label}: tags of type {image.dtype}; CARLA's are 8 bit")
    if image.ndim == 3 and image.shape[2] == 4:
        if image[..., 3].min() != image[..., 3].max():
            strange = f"{label}: an alpha channel that is not the same everywhere; it is ignored"
        image = image[..., :3]
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3):
        raise ImageError(f"{label}: {image.shape} is no picture of tags")
    return image, strange


def has_ids(image: np.ndarray) -> bool:
    """Return whether a picture u8 (H, W) or (H, W, 3) holds ids: one channel, red alone, or three equal ones."""
    if image.ndim == 2:
        return True
    if not image[..., :2].any():
        return bool(image.max() < 64)
    return bool((image == image[..., :1]).all() and image.max() < 30)


def ids_of(image: np.ndarray) -> np.ndarray:
    """Return the ids u8 (H, W) of a picture that ``has_ids``: its only channel, or red."""
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., 2])


def find_code(samples: Sequence[tuple[np.ndarray, str]], edition: Edition | None = None) -> TagCode:
    """Return the code of a clip's tags.

    Args:
        samples: Some of its pictures from ``split``, with their files.
        edition: Whose ids and colours, None to find out: by ids that only one has, else by where the road and the sky
            are.

    Raises:
        ImageError: They are ids that no edition has, or colours of another tool.
    """
    images = [image for image, _ in samples]
    if all(has_ids(image) for image in images):
        ids = [ids_of(image) for image in images]
        most = max(int(each.max()) for each in ids)
        label = next(label for each, (_, label) in zip(ids, samples, strict=True) if each.max() == most)
        if most >= _KNOWN["0.9.14"]:
            raise ImageError(f"{label}: id {most} is none of CARLA's tags, 0 to {COUNT - 1}; see --classes")
        return TagCode(edition or edition_of_ids(ids))
    pixels = np.concatenate([_colours(image)[::_STEP, ::_STEP].reshape(-1, 3) for image in images])
    shares = {name: (_doubt(pixels, name), _exactness(pixels, name)) for name in _PALETTES}
    ranked: list[Edition] = sorted(_PALETTES, key=lambda name: (round(shares[name][1], 3), -shares[name][0], name))
    best = edition or ranked[-1]
    doubt, exact = shares[best]
    if doubt > label_maps.DOUBT_LIMIT:
        colours, counts = np.unique(pixels[_is_doubtful(pixels, best)], axis=0, return_counts=True)
        red, green, blue = colours[counts.argmax()][::-1].tolist()
        raise ImageError(
            f"{samples[0][1]}: not CARLA's palette: {doubt:.0%} of its pixels have other colours, "
            f"such as ({red}, {green}, {blue}); give ids and a class map with --classes"
        )
    return TagCode(best, is_palette=True, is_exact=exact >= _EXACT)


def edition_of_ids(ids: Sequence[np.ndarray]) -> Edition:
    """Return whose ids the maps u8 (H, W) hold: where the road is below and the sky above."""
    if max(int(each.max()) for each in ids) >= _KNOWN["0.9.13"]:
        return "0.9.14"
    scores: dict[Edition, float] = dict.fromkeys(TABLES, 0.0)
    for each in ids:
        third = max(len(each) // 3, 1)
        for name, table in TABLES.items():
            tags = table[each]
            below, above = tags[-third:], tags[:third]
            scores[name] += float(np.isin(below, (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK)).mean())
            scores[name] += float((above == Tag.SKY).mean())
    return max(scores, key=lambda name: (round(scores[name], 3), name))


def decode(image: np.ndarray, code: TagCode, label: str) -> tuple[np.ndarray, float]:
    """Return the tags u8 (H, W) of a picture from ``split`` and the share of its pixels that are doubtful.

    Doubtful pixels, between two colours or far from all, get the tag of the nearest pixel that is not. Raises
    ImageError for a picture coded otherwise than its clip.
    """
    if not code.is_palette:
        if not has_ids(image):
            raise ImageError(f"{label}: colours, where the clip's other tags are ids")
        return TABLES[code.edition][ids_of(image)], 0.0
    distinct, inverse = label_maps.distinct_colours(_colours(image))
    colours, of_colour = _PALETTES[code.edition]
    near, away, other = label_maps.nearest(distinct, colours, of_colour)
    tags: np.ndarray = of_colour[near][inverse]
    doubtful = label_maps.is_doubtful(away, other)[inverse]
    if doubtful.mean() > label_maps.DOUBT_LIMIT:
        raise ImageError(f"{label}: not CARLA's palette: {doubtful.mean():.0%} of its pixels have other colours")
    if not code.is_exact:
        doubtful |= _is_alone(tags)
    return label_maps.filled(tags, doubtful), float(doubtful.mean())


def fill_sky(tags: np.ndarray, depth: np.ndarray | None) -> None:
    """Tag as sky, in place, what servers leave untagged there: until 0.9.10 it had no tag.

    Args:
        tags: u8 (H, W).
        depth: f32 (H, W), m, None: then it is what is untagged from the upper edge on.
    """
    empty = tags == Tag.UNLABELED
    if depth is not None:
        tags[empty & (depth > 990.0)] = Tag.SKY
        return
    if (tags == Tag.SKY).any() or not empty[0].any():
        return
    _, parts = cv2.connectedComponents(empty.astype(np.uint8), connectivity=4)
    tags[np.isin(parts, np.setdiff1d(parts[0], [0]))] = Tag.SKY


def _colours(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _is_doubtful(pixels: np.ndarray, edition: Edition) -> np.ndarray:
    """Return bool (N,) of pixels u8 (N, 3), BGR."""
    _, away, other = label_maps.nearest(pixels[:, ::-1], *_PALETTES[edition])
    return label_maps.is_doubtful(away, other)


def _is_alone(tags: np.ndarray) -> np.ndarray:
    """Return the pixels of u8 (H, W) that hardly any neighbour shares its tag with: colours between two others'."""
    kin = np.zeros(tags.shape, np.uint8)
    for tag in np.unique(tags):
        mask = (tags == tag).astype(np.uint8)
        kin += cv2.boxFilter(mask, cv2.CV_8U, (3, 3), normalize=False) * mask
    return kin < _KIN


def _doubt(pixels: np.ndarray, edition: Edition) -> float:
    return float(_is_doubtful(pixels, edition).mean())


def _exactness(pixels: np.ndarray, edition: Edition) -> float:
    """Return the share of pixels whose colour is the palette's."""
    _, away, _ = label_maps.nearest(pixels[:, ::-1], *_PALETTES[edition])
    return float((away == 0.0).mean())
