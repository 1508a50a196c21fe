"""Data sets on the disk: where their pictures, labels and instances lie, and what is wrong with them.

What a data set looks like is data, ``DATASETS``: patterns of paths. Pictures are decoded when they are drawn, shrunk to
what training can use of them and kept while there is room in memory.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim import classmaps
from neuralsim.models.classes import CARLA_TO_CHANNEL
from neuralsim.imaging.picture_files import SUFFIXES, ImageError, read, read_ids
from neuralsim.training.data.conditioning import MOST_ZOOM, Picture, mark_road_lines
from neuralsim.training.config import Source


@dataclass(frozen=True)
class Layout:
    """Paths below a data set's root, without suffix. ``{split}`` is one of the splits, ``{name}`` the picture's name,
    anything else in braces one folder of any name; labels and instances are PNGs."""

    images: str
    labels: str
    instances: str = ""  # "": connected components of movers
    classes: str = ""  # class map
    splits: tuple[str, ...] = ()  # used unless the config names others
    rows: float = 1.0  # share of the rows, from the top, that is no bonnet


@dataclass(frozen=True)
class Dataset:
    """``title`` is for a model's card; of the ``layouts``, the first that finds labelled pictures counts."""

    title: str
    layouts: tuple[Layout, ...]


_PLAIN = (
    Layout("images/{name}", "labels/{name}", "instances/{name}"),
    Layout("image/{name}", "label/{name}", "instance/{name}"),
)
_BONNET = 464 / 512  # Cityscapes: below it

DATASETS = {
    "camvid": Dataset(
        "CamVid", (Layout("{split}/image/{name}", "{split}/label/{name}", classes="camvid", splits=("train", "test")),)
    ),
    "cityscapes": Dataset(
        "Cityscapes",
        (
            Layout(
                "leftImg8bit/{split}/{city}/{name}_leftImg8bit",
                "gtFine/{split}/{city}/{name}_gtFine_labelIds",
                "gtFine/{split}/{city}/{name}_gtFine_instanceIds",
                "cityscapes",
                ("train",),
                _BONNET,
            ),
            # the sample clips of vid2vid's authors; the sixth is kept for evaluation
            Layout(
                "{split}/image/{name}",
                "{split}/label/{name}",
                "{split}/instance/{name}",
                "cityscapes",
                ("clip0", "clip1", "clip2", "clip3", "clip4"),
                _BONNET,
            ),
        ),
    ),
    "kitti": Dataset(
        "KITTI semantics",
        tuple(
            Layout(f"{at}image_2/{{name}}", f"{at}semantic/{{name}}", f"{at}instance/{{name}}", "kitti", splits)
            for at, splits in (("{split}/", ("training",)), ("", ()))
        ),
    ),
    "mapillary": Dataset(
        "Mapillary Vistas",
        tuple(
            Layout(
                "{split}/images/{name}",
                f"{{split}}/{edition}labels/{{name}}",
                f"{{split}}/{edition}instances/{{name}}",
                classes,
                ("training",),
            )
            for edition, classes in (("v2.0/", "mapillary_v2"), ("v1.2/", "mapillary"), ("", "mapillary"))
        ),
    ),
    "bdd100k": Dataset(
        "BDD100K",
        (
            Layout("images/10k/{split}/{name}", "labels/sem_seg/masks/{split}/{name}", "", "bdd100k", ("train",)),
            Layout(  # as it was packed before 2021
                "images/{split}/{name}", "labels/{split}/{name}_train_id", "", "bdd100k", ("train",)
            ),
        ),
    ),
    # what `neuralsim export-recording` writes as frames: the simulator's own pictures
    "neuralsim": Dataset("NeuralSim recordings", (Layout("rgb/{name}", "tag/{name}", "instance/{name}", "carla"),)),
}


@dataclass(frozen=True)
class Item:
    """One labelled picture on the disk, and the file of its instances, where there is one."""

    image: Path
    label: Path
    instance: Path | None


@dataclass
class Found:
    """What is there of a ``Source``: its pictures, sorted, and how to read them."""

    name: str  # such as kitti; of a plain folder the folder's own
    title: str
    items: list[Item]
    classes: classmaps.ClassMap
    share: float
    rows: float
    unlabelled: list[Path] = field(default_factory=list)  # pictures without a label map
    sequence: bool = False  # frames of videos, one a folder


def find(source: Source) -> Found:
    """Look for a source's pictures. Raises ImageError that says what was looked for and where, ClassMapError."""
    root = Path(source.root).expanduser()
    if source.name and source.name not in DATASETS:
        raise ImageError(
            f"no data set {source.name!r}: there are {', '.join(DATASETS)}; "
            "for images/ and labels/ of your own leave `name` out and give `classes`"
        )
    if not root.is_dir():
        raise ImageError(f"{source.name or source.classes}: {root} is no folder")
    dataset = DATASETS[source.name] if source.name else Dataset(f"{root.resolve().name} (own data)", _PLAIN)
    looked = []
    for layout in dataset.layouts:
        splits = tuple(source.splits or layout.splits) or ("",)
        items: list[Item] = []
        unlabelled: list[Path] = []
        for split in splits:
            below = root / split if split and "{split}" not in layout.images else root
            _search(below, layout, split, items, unlabelled)
        if items:
            classes = classmaps.load(source.classes or layout.classes)
            rows = layout.rows if source.rows is None else source.rows
            name = source.name or root.resolve().name
            return Found(name, dataset.title, items, classes, source.share, rows, unlabelled, source.sequence)
        where = f" of {', '.join(splits)}" if splits != ("",) else ""
        looked.append(f"{layout.images}.* with {layout.labels}.png{where}")
    raise ImageError(
        f"{root}: no labelled pictures of {source.name or source.classes} in it: looked for {', and for '.join(looked)}"
    )


def _search(root: Path, layout: Layout, split: str, items: list[Item], unlabelled: list[Path]) -> None:
    """Add the pictures of one split."""
    pattern = layout.images.replace("{split}", split)
    parts = re.split(r"\{(\w+)\}", pattern)
    named = "".join(f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))
    for image in sorted(root.glob(re.sub(r"\{\w+\}", "*", pattern) + ".*")):
        match = re.fullmatch(named, image.relative_to(root).with_suffix("").as_posix())
        if match is None or image.suffix.lower() not in SUFFIXES:
            continue
        fields = {**match.groupdict(), "split": split}
        label = root / (layout.labels.format(**fields) + ".png")
        instance = root / (layout.instances.format(**fields) + ".png") if layout.instances else None
        if label.is_file():
            items.append(Item(image, label, instance if instance is not None and instance.is_file() else None))
        else:
            unlabelled.append(image)


class Pictures:
    """All pictures of a run, of the sources ``found``. Those that cannot be used are reported once, counted in
    ``left_out`` and never drawn again.

    ``fit``: width and height that are trained at, px; ``memory``: bytes for decoded pictures; ``tell`` gets a line for
    each problem; ``zoom``: the greatest that is asked of a crop. May be used by several threads.
    """

    def __init__(
        self,
        found: Sequence[Found],
        fit: tuple[int, int],
        memory: int,
        tell: Callable[[str], None] = lambda _: None,
        zoom: float = MOST_ZOOM,
    ) -> None:
        self.found = list(found)
        self.left_out: dict[Path, str] = {}
        self.unknown: dict[str, Counter[int]] = {each.name: Counter() for each in found}  # label -> pixels, by source
        self._fit, self._room, self._tell, self._zoom = fit, memory, tell, zoom
        self._kept: dict[Path, Picture] = {}
        self._seen: set[Path] = set()
        self._lock = threading.Lock()
        for each in found:
            if each.unlabelled:
                first = f", such as {each.unlabelled[0].name}" if len(each.unlabelled) > 1 else ""
                tell(f"{each.unlabelled[0].parent}: {len(each.unlabelled)} pictures without labels{first}: left out")

    def __len__(self) -> int:
        return sum(len(each.items) for each in self.found)

    def draw(self, rng: np.random.Generator) -> Picture:
        """A picture at random: a source by its share, then one of its pictures. Raises ImageError when a source has
        none that can be read."""
        shares = np.array([each.share for each in self.found])
        source = self.found[int(rng.choice(len(shares), p=shares / shares.sum()))]
        while any(item.image not in self.left_out for item in source.items):
            picture = self.get(source, source.items[int(rng.integers(len(source.items)))])
            if picture is not None:
                return picture
        raise ImageError(f"{source.name}: not one of its {len(source.items)} pictures can be used")

    def stretch(self, rng: np.random.Generator, frames: int) -> list[Picture]:
        """So many consecutive frames of a video at random, from the sources that are sequences. Raises ImageError when
        none is that long."""
        videos = [each for each in self.found if each.sequence]
        shares = np.array([each.share for each in videos])
        source = videos[int(rng.choice(len(shares), p=shares / shares.sum()))]
        starts = self._starts(source, frames)
        while starts:
            first = starts.pop(int(rng.integers(len(starts))))
            found = [self.get(source, item) for item in source.items[first : first + frames]]
            whole = [picture for picture in found if picture is not None]
            if len(whole) == frames:
                return whole
        raise ImageError(f"{source.name}: no video of {frames} frames that can be read, which rollouts want")

    @staticmethod
    def _starts(source: Found, frames: int) -> list[int]:
        """Where stretches of so many frames begin, none over the end of a folder."""
        folders = [item.image.parent for item in source.items]
        return [k for k in range(len(folders) - frames + 1) if folders[k] == folders[k + frames - 1]]

    def sample(self, most: int) -> Iterator[Picture]:
        """At most so many of the pictures that can be read, evenly spread over each source."""
        for each in self.found:
            count = min(len(each.items), max(1, most // len(self.found)))
            for index in np.linspace(0, len(each.items) - 1, count).round().astype(int):
                picture = self.get(each, each.items[index])
                if picture is not None:
                    yield picture

    def check(self) -> Iterator[Picture | None]:
        """Read every picture once; None for each that had to be left out."""
        for each in self.found:
            for item in each.items:
                yield self.get(each, item)

    def get(self, source: Found, item: Item) -> Picture | None:
        """One picture, None if it cannot be used."""
        if item.image in self.left_out:
            return None
        kept = self._kept.get(item.image)
        if kept is not None:
            return kept
        try:
            picture = self._load(source, item)
        except ImageError as error:
            with self._lock:
                if item.image not in self.left_out:
                    self.left_out[item.image] = str(error)
                    self._tell(f"{error}: left out")
            return None
        size = (
            picture.image.nbytes + picture.label.nbytes + (0 if picture.instance is None else picture.instance.nbytes)
        )
        with self._lock:
            if item.image not in self._kept and size <= self._room:
                self._room -= size
                self._kept[item.image] = picture
        return picture

    def summary(self) -> list[str]:
        """One line for each label that no class map lists, and one for all that was left out."""
        lines = [
            f"{name}: label {label} is not in the class map: {pixels} pixels, trained as unlabeled"
            for name, counts in self.unknown.items()
            for label, pixels in sorted(counts.items())
        ]
        return lines + ([f"{len(self.left_out)} of {len(self)} pictures left out"] if self.left_out else [])

    def _load(self, source: Found, item: Item) -> Picture:
        image = cv2.cvtColor(read(item.image), cv2.COLOR_BGR2RGB)
        label = read_ids(item.label)
        instance = None if item.instance is None else read_ids(item.instance)
        for path, ids in ((item.label, label), (item.instance, instance)):
            if ids is not None and ids.shape != image.shape[:2]:
                raise ImageError(
                    f"{path}: {ids.shape[1]}x{ids.shape[0]} pixels, its picture has {image.shape[1]}x{image.shape[0]}"
                )
        with self._lock:
            if item.label not in self._seen:
                self._seen.add(item.label)
                for missing, count in source.classes.unknown(label).items():
                    if missing not in self.unknown[source.name]:
                        self._tell(f"{item.label}: label {missing} is not in the class map {source.classes.name}")
                    self.unknown[source.name][missing] += count
        rows = max(1, round(source.rows * len(label)))
        size = self._size(label.shape[1], rows)
        image = cv2.resize(image[:rows], size, interpolation=cv2.INTER_AREA)
        tag = source.classes.tags[cv2.resize(label[:rows], size, interpolation=cv2.INTER_NEAREST)]
        if instance is not None:
            instance = cv2.resize(instance[:rows], size, interpolation=cv2.INTER_NEAREST).astype(np.uint16)
        channels = CARLA_TO_CHANNEL[tag]
        if not (source.classes.tags == Tag.ROAD_LINE).any():
            channels = mark_road_lines(image, channels)
        return Picture(item.image.stem, image, channels, instance, source.name)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """What a crop at the greatest zoom still has all the pixels of."""
        scale = min(1.0, self._zoom * max(self._fit[0] / width, self._fit[1] / height))
        return max(1, round(width * scale)), max(1, round(height * scale))
