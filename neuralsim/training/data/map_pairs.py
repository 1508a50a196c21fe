"""Labels of real images, with the surface planes that ``neuralsim render`` gives them, as training pairs.

In training on images, sketch and tint come from the image itself; a rendered map has those of the stand-in world
(``imaging/pseudo_depth.py``). Here the generator learns from the latter on the labels of real streets. The second frame
of a pair is the first one's view moved by whole pixels, which approximates a turn by a fraction of a degree.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from bridge.geometry import focal_length
from neuralsim.guide.exemplar_guide import Atlas, ExemplarGuide
from neuralsim.imaging.object_tracker import ObjectTracker
from neuralsim.imaging.pseudo_depth import PseudoDepth, horizon_row
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel
from neuralsim.models.input_planes import Surface
from neuralsim.offline.options import RenderOptions
from neuralsim.training.data.conditioning import MAX_ZOOM, Picture
from neuralsim.training.data.datasets import Pictures
from neuralsim.training.data.simulated_pairs import MAP

_FARTHEST = 8  # greatest offset of the second frame's view, px
_FIRST_HOUSE = 61_000  # first instance of houses
_WITH_EXEMPLARS = 0.75  # share of the pairs whose objects have sketches of real objects
_OWN_LIGHT = 0.6  # share of the pairs in the style closest to the image's data set
_TAG_OF_CHANNEL = np.array([np.flatnonzero(channel == CARLA_TO_CHANNEL)[0] for channel in range(CHANNELS)], np.uint8)


def make_map_pairs(
    folder: Path,
    pictures: Pictures,
    surface: Surface,
    styles: dict[str, np.ndarray],
    count: int,
    width: int = 512,
    height: int = 256,
    seed: int = 0,
    atlas: Atlas | None = None,
) -> None:
    """Write ``count`` pairs from the labels of ``pictures`` into ``folder``, in the form of ``simulated_pairs.py``.

    Args:
        folder: Folder to write to, created if needed.
        pictures: Labelled images, of which only the labels are used.
        surface: Surface of the run.
        styles: Name -> style f32 (CHANNELS, 3).
        count: Number of pairs.
        width: Width, px.
        height: Height, px.
        seed: Seed of everything random, also in the names of the files.
        atlas: Sketches of real objects, or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    light = {each.name: each.classes.style for each in pictures.sources}
    for number in range(count):
        picture = pictures.draw(rng)
        own = light[picture.source]
        style = own if own in styles and rng.random() < _OWN_LIGHT else str(rng.choice(list(styles)))
        exemplars = ExemplarGuide(atlas) if atlas is not None and rng.random() < _WITH_EXEMPLARS else None
        planes = map_pair(picture, surface, torch.from_numpy(styles[style]), width, height, rng, exemplars)
        np.savez_compressed(folder / f"{MAP}{seed:03d}_{number:05d}.npz", **planes)  # type: ignore[arg-type]


def map_pair(
    picture: Picture,
    surface: Surface,
    style: torch.Tensor,
    width: int,
    height: int,
    rng: np.random.Generator,
    exemplars: ExemplarGuide | None = None,
) -> dict[str, np.ndarray]:
    """Return label u8 (2, H, W), tint f16 (2, 3, H, W), detail f16 (2, 2, H/2, W/2), motion f16 (1, H, W, 2) px and
    visible bool (1, H, W) of a random part of the map, whose objects look like ``exemplars``.

    Args:
        picture: A labelled image.
        surface: Surface of the run.
        style: f32 (CHANNELS, 3).
        width: Width, px.
        height: Height, px.
        rng: Generator for everything random.
        exemplars: Sketches of real objects, or None.
    """
    label, instance = picture.label, picture.instance
    if rng.random() < 0.5:  # most data sets label no lines
        label = np.where(label == Channel.ROAD_LINE, np.uint8(Channel.ROAD), label)
    if rng.random() < 0.5:
        label, instance = label[:, ::-1], None if instance is None else instance[:, ::-1]
    scale = max((width + _FARTHEST) / label.shape[1], (height + _FARTHEST) / label.shape[0])
    scale *= rng.uniform(1.0, MAX_ZOOM)
    size = int(np.ceil(label.shape[1] * scale)), int(np.ceil(label.shape[0] * scale))
    tag = cv2.resize(_TAG_OF_CHANNEL[label], size, interpolation=cv2.INTER_NEAREST_EXACT)
    if instance is None:
        instance = ObjectTracker().track(tag, None)
    else:
        instance = cv2.resize(np.ascontiguousarray(instance), size, interpolation=cv2.INTER_NEAREST_EXACT)
    fov = RenderOptions.model_fields["fov"].default * rng.uniform(0.9, 1.4)
    focal = focal_length(size[0], fov)
    view = PseudoDepth(size, focal, horizon_row([CARLA_TO_CHANNEL[tag]])).view(tag, instance, None, None)
    view.pose[:2, 3] = rng.uniform(-500.0, 500.0, 2)  # a random place, for other houses and noise
    houses = (_FIRST_HOUSE + view.plot + int(rng.integers(4000))).astype(np.uint16)
    guide = None if exemplars is None else torch.from_numpy(exemplars.follow(tag, instance, style.numpy()))
    instance = np.where(view.plot > 0, houses, instance).astype(np.uint16)
    x, y = (int(rng.integers(0, free + 1)) for free in (size[0] - width - _FARTHEST, size[1] - height - _FARTHEST))
    moves = rng.integers(0, _FARTHEST + 1, (2, 2))
    frames = []
    for dx, dy in moves:
        window = slice(y + dy, y + dy + height), slice(x + dx, x + dx + width)
        lens = [focal, focal, size[0] / 2.0 - x - dx, size[1] / 2.0 - y - dy]
        top, left = (y + dy) // 2 * 2, (x + dx) // 2 * 2  # a sketch stands at even rows and columns
        even = slice(top, top + height), slice(left, left + width)
        guide_window = None if guide is None else guide[even].permute(2, 0, 1)[None]
        with torch.no_grad():
            channels, table, row, detail = surface(
                torch.from_numpy(np.ascontiguousarray(tag[window]))[None],
                torch.from_numpy(instance[window].astype(np.int32))[None],
                torch.from_numpy(np.ascontiguousarray(view.depth[window]))[None],
                torch.tensor([*view.pose.ravel(), *lens], dtype=torch.float32),
                style,
                guide_window,
            )
        tint = table[row[0]].permute(2, 0, 1)[None]
        if guide is not None:
            tint = surface.tinted(tint, guide[window].permute(2, 0, 1)[None])
        frames.append((channels[0].numpy(), tint[0].numpy(), detail[0].numpy()))
    motion = np.broadcast_to((moves[1] - moves[0]).astype(np.float16), (1, height, width, 2))
    columns, rows = np.arange(width) + motion[0, 0, 0, 0], np.arange(height) + motion[0, 0, 0, 1]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
    return {
        "label": np.stack([each[0] for each in frames]).astype(np.uint8),
        "tint": np.stack([each[1] for each in frames]).astype(np.float16),
        "detail": np.stack([each[2] for each in frames]).astype(np.float16),
        "motion": motion,
        "visible": inside[None],
    }
