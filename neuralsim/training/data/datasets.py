"""Data sets on disk: where their images, labels and instances are, and what is wrong with them.

The layouts of data sets are data, ``DATASETS``: patterns of paths. Images are decoded when they are drawn, shrunk to
the size that training can use, and kept while there is room in memory.
"""

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
from neuralsim.imaging.image_files import SUFFIXES, ImageError, read_ids, read_image
from neuralsim.models.classes import CARLA_TO_CHANNEL
from neuralsim.training.config import Source
from neuralsim.training.data.conditioning import MAX_ZOOM, Picture, mark_road_lines


@dataclass(frozen=True)
class Layout:
    """The paths below a data set's root, without suffix. ``{split}`` is one of the splits, ``{name}`` the image's name,
    anything else in braces one folder of any name; labels and instances are PNGs."""

    images: str
    labels: str
    instances: str = ""  # "": connected components of movers
    classes: str = ""  # class map
    splits: tuple[str, ...] = ()  # used unless the config names others
    rows: float = 1.0  # share of the rows, from the top, that is no bonnet


@dataclass(frozen=True)
class Dataset:
    """A data set: its ``title`` for a card, and ``layouts``, of which the first with labelled images is used."""

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
    # frames written by `neuralsim recording export`, with simulator images
    "neuralsim": Dataset("NeuralSim recordings", (Layout("rgb/{name}", "tag/{name}", "instance/{name}", "carla"),)),
}


@dataclass(frozen=True)
class Item:
    """The files of a labelled image, and that of its instances, if there is one."""

    image: Path
    label: Path
    instance: Path | None


@dataclass
class ImageSet:
    """The images of a ``Source`` on disk, sorted, and how to read them."""

    name: str  # such as kitti; for a plain folder, its own name
    title: str
    items: list[Item]
    classes: classmaps.ClassMap
    share: float
    rows: float
    unlabelled: list[Path] = field(default_factory=list)  # images without a label map
    sequence: bool = False  # frames of videos, one a folder


def find(source: Source) -> ImageSet:
    """Find a source's images. Raises ImageError that says what was looked for and where, ClassMapError."""
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
            return ImageSet(name, dataset.title, items, classes, source.share, rows, unlabelled, source.sequence)
        where = f" of {', '.join(splits)}" if splits != ("",) else ""
        looked.append(f"{layout.images}.* with {layout.labels}.png{where}")
    raise ImageError(
        f"{root}: no labelled images of {source.name or source.classes} in it: looked for {', and for '.join(looked)}"
    )


def _search(root: Path, layout: Layout, split: str, items: list[Item], unlabelled: list[Path]) -> None:
    """Add the images of one split."""
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
    """All images of a run, from the sources ``sources``. Those that cannot be used are reported once, counted in
    ``left_out`` and never drawn again.

    ``fit``: width and height of training, px; ``memory``: bytes for decoded images; ``tell`` receives a line for each
    problem; ``zoom``: the largest scale of a crop. It can be used by several threads.
    """

    def __init__(
        self,
        sources: Sequence[ImageSet],
        fit: tuple[int, int],
        memory: int,
        tell: Callable[[str], None] = lambda _: None,
        zoom: float = MAX_ZOOM,
    ) -> None:
        self.sources = list(sources)
        self.left_out: dict[Path, str] = {}
        self.unknown: dict[str, Counter[int]] = {each.name: Counter() for each in sources}  # label -> pixels, by source
        self._fit, self._room, self._tell, self._zoom = fit, memory, tell, zoom
        self._kept: dict[Path, Picture] = {}
        self._seen: set[Path] = set()
        self._lock = threading.Lock()
        for each in sources:
            if each.unlabelled:
                first = f", such as {each.unlabelled[0].name}" if len(each.unlabelled) > 1 else ""
                tell(f"{each.unlabelled[0].parent}: {len(each.unlabelled)} images without labels{first}: left out")

    def __len__(self) -> int:
        return sum(len(each.items) for each in self.sources)

    def draw(self, rng: np.random.Generator) -> Picture:
        """Return a random image: a source by its share, then one of its images. Raises ImageError when a source has
        none that can be read."""
        shares = np.array([each.share for each in self.sources])
        source = self.sources[int(rng.choice(len(shares), p=shares / shares.sum()))]
        while any(item.image not in self.left_out for item in source.items):
            picture = self.get(source, source.items[int(rng.integers(len(source.items)))])
            if picture is not None:
                return picture
        raise ImageError(f"{source.name}: none of its {len(source.items)} images can be used")

    def stretch(self, rng: np.random.Generator, frames: int) -> list[Picture]:
        """Return ``frames`` consecutive frames of a random video, from the sources that are sequences.

        Raises ImageError when none is that long.
        """
        videos = [each for each in self.sources if each.sequence]
        shares = np.array([each.share for each in videos])
        source = videos[int(rng.choice(len(shares), p=shares / shares.sum()))]
        starts = self._starts(source, frames)
        while starts:
            first = starts.pop(int(rng.integers(len(starts))))
            images = [self.get(source, item) for item in source.items[first : first + frames]]
            whole = [picture for picture in images if picture is not None]
            if len(whole) == frames:
                return whole
        raise ImageError(f"{source.name}: no video of {frames} frames that can be read, which rollouts need")

    @staticmethod
    def _starts(source: ImageSet, frames: int) -> list[int]:
        """Return where stretches of ``frames`` frames start, none across the end of a folder."""
        folders = [item.image.parent for item in source.items]
        return [k for k in range(len(folders) - frames + 1) if folders[k] == folders[k + frames - 1]]

    def sample(self, most: int) -> Iterator[Picture]:
        """Yield at most ``most`` of the images that can be read, evenly spread over each source."""
        for each in self.sources:
            count = min(len(each.items), max(1, most // len(self.sources)))
            for index in np.linspace(0, len(each.items) - 1, count).round().astype(int):
                picture = self.get(each, each.items[index])
                if picture is not None:
                    yield picture

    def check(self) -> Iterator[Picture | None]:
        """Read every image once; yield None for each that had to be left out."""
        for each in self.sources:
            for item in each.items:
                yield self.get(each, item)

    def get(self, source: ImageSet, item: Item) -> Picture | None:
        """Return one image, None if it cannot be used."""
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
        """Return one line for each label that no class map lists, and one for all images that were left out."""
        lines = [
            f"{name}: label {label} is not in the class map: {pixels} pixels, trained as unlabeled"
            for name, counts in self.unknown.items()
            for label, pixels in sorted(counts.items())
        ]
        return lines + ([f"{len(self.left_out)} of {len(self)} images left out"] if self.left_out else [])

    def _load(self, source: ImageSet, item: Item) -> Picture:
        image = cv2.cvtColor(read_image(item.image), cv2.COLOR_BGR2RGB)
        label = read_ids(item.label)
        instance = None if item.instance is None else read_ids(item.instance)
        for path, ids in ((item.label, label), (item.instance, instance)):
            if ids is not None and ids.shape != image.shape[:2]:
                raise ImageError(
                    f"{path}: {ids.shape[1]}x{ids.shape[0]} pixels, its image has {image.shape[1]}x{image.shape[0]}"
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
        """Return the size at which a crop at the largest zoom still has all pixels."""
        scale = min(1.0, self._zoom * max(self._fit[0] / width, self._fit[1] / height))
        return max(1, round(width * scale)), max(1, round(height * scale))
