"""A real labelled clip: rendered from its labels alone and compared with the real frames."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.size import Size
from bridge.tags import Tag
from neuralsim import classmaps
from neuralsim.evaluation import measures
from neuralsim.evaluation.ablations import SHIPPED, WAYS, Variants
from neuralsim.evaluation.by_class import EVERY, ByClass
from neuralsim.evaluation.metric_networks import (
    CAMVID_CLASSES,
    CAMVID_VOID,
    FEATURE_LAYERS,
    HERE,
    MetricNetwork,
    confusion,
    iou,
)
from neuralsim.evaluation.object_realism import ObjectCrops
from neuralsim.evaluation.side_by_side import Video
from neuralsim.imaging import optical_flow
from neuralsim.imaging.image_files import ImageError, find_image, list_images, read_ids, read_image
from neuralsim.models.classes import CARLA_TO_CHANNEL, Channel
from neuralsim.offline import flow_folder, render_folder
from neuralsim.offline.render_folder import RenderOptions

REAL = "real"
_STRIDES = {"stride8": 8, "stride16": 16}
_RECOGNISED = 0.25  # least IoU on the real frames for a class that the segmenter recognises
_METRIC_ROWS = 360  # height of the input of the metric networks, px: CamVid's
_CAMVID_OF = (
    Channel.SKY, Channel.BUILDING, Channel.POLE, Channel.ROAD, Channel.SIDEWALK, Channel.VEGETATION, Channel.SIGN,
    Channel.BARRIER, Channel.VEHICLE, Channel.PERSON, Channel.CYCLE,
)  # fmt: skip


def camvid_of_tag() -> np.ndarray:
    """Return u8 (256,): CARLA tag -> CamVid's label, void for tags without one.

    Walls are buildings in CamVid's 12-class edition, whose fences one sees through or are of wood.
    """
    table = np.full(256, CAMVID_VOID, np.uint8)
    for label, channel in enumerate(_CAMVID_OF):
        table[np.flatnonzero(int(channel) == CARLA_TO_CHANNEL)] = label
    table[Tag.ROAD_LINE] = CAMVID_CLASSES.index("road")
    table[Tag.WALL] = CAMVID_CLASSES.index("building")
    return table


def camvid_label(tag: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Return CamVid's labels u8 (H, W) of a frame of a town with the planes ``tag`` u8 and ``instance`` u16 (H, W).

    The towns tag trunks as poles, CamVid labels them as trees. A pole counts as a tree if the frame shows vegetation of
    its instance; a trunk whose crown is out of view stays a pole.
    """
    label = camvid_of_tag()[tag]
    trees = np.unique(instance[tag == Tag.VEGETATION])
    label[(tag == Tag.POLE) & np.isin(instance, trees[trees > 0])] = CAMVID_CLASSES.index("tree")
    return label


@dataclass(frozen=True)
class LabelledClip:
    """The folders of a real clip: ``labels`` and ``images`` with the same names, ``motion`` by `neuralsim images
    flow` or None; and the class map ``classes``."""

    classes: str
    labels: Path
    images: Path
    motion: Path | None = None


def find(classes: str, where: Path, images: Path | None, motion: Path | None) -> LabelledClip:
    """Return the clip in the folder ``where``: with ``label/`` and ``image/`` in it or in its ``val/``, or of label
    maps.

    Raises ImageError.
    """
    for root in (where, where / "val"):
        if (root / "label").is_dir():
            return LabelledClip(classes, root / "label", images or root / "image", motion)
    if images is None:
        raise ImageError(f"{where}: no label/ in it; for a folder of label maps give the folder of images with --real")
    return LabelledClip(classes, where, images, motion)


@dataclass
class _Tally:
    """Sums over the frames of one variant, or of the real clip."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros((len(CAMVID_CLASSES),) * 2, np.int64))
    features: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in FEATURE_LAYERS})
    whole: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in FEATURE_LAYERS})
    errors: list[float] = field(default_factory=list)
    sharp: list[float] = field(default_factory=list)
    last: np.ndarray | None = None


def evaluate(
    clip: LabelledClip,
    model: str,
    runtime: str,
    parts: Iterable[str],
    out: Path,
    size: Size | None = None,
    style: str | None = None,
    most: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Render ``clip`` in three variants and measure ``parts``; write ``out/clip.mp4``, real and rendered side by side.

    ``clip``: labels and real images. ``parts``: parts of ``CLIP_PARTS`` to measure. ``out``: folder for the video and
    estimated motion. ``size``: width and height to render at; None: as ``neuralsim render`` does. ``style``: style of
    the model; None: that of the class map.

    Raises:
        ImageError, ClassMapError, ModelError, RuntimeUnavailable, RecordingError: One line each.
    """
    parts = set(parts)
    classes = classmaps.load(clip.classes)
    files = list_images(clip.labels)[:most]
    motions = clip.motion or out / "motion"
    if clip.motion is None:
        _make_motion(clip, files, motions)
    style = style or classes.style
    options = RenderOptions(
        labels=clip.labels, classes=clip.classes, out=out, sequence=True, motion=motions, size=size, style=style
    )
    measured = _Measured(parts, threads)
    variants = Variants(model, runtime, style, "exemplars")  # as `neuralsim render` does
    census = render_folder.LabelCensus()
    video: Video | None = None
    to_camvid = camvid_of_tag()
    try:
        for index, item in enumerate(render_folder.maps(options, classes, files, census)):
            real = cv2.cvtColor(read_image(find_image(clip.images, item.name)), cv2.COLOR_BGR2RGB)
            if (real.shape[1], real.shape[0]) != item.size:
                raise ImageError(
                    f"{item.name}: image {real.shape[1]}x{real.shape[0]}, labels {item.size[0]}x{item.size[1]} pixels"
                )
            rendered = variants.render(item.frame)
            shown = {REAL: real}
            shown |= {way: render_folder.finish_image(rendered[way], item, way == SHIPPED) for way in WAYS}
            label = to_camvid[classes.tags[read_ids(files[index])]]
            moved = optical_flow.load(find_image(motions, item.name)) if "flicker" in parts and index else None
            measured.add(index, shown, label, moved)
            if video is None:
                video = Video(out / "clip.mp4", {REAL: "real", **{way: way.replace("_", " ") for way in WAYS}}, 15.0)
            video.add(shown)
            progress(index + 1, len(files))
    finally:
        if video is not None:
            video.close()
    result, first = measured.figures(), measured.tallies[REAL].last
    assert first is not None
    result |= {
        "frames": len(files),
        "labels": str(clip.labels),
        "style": style,
        "runtime": variants.runtime,
        "painted_at": list(size or render_folder.render_size((first.shape[1], first.shape[0]))),
        "by_class": None if measured.by_class is None else measured.by_class.figures(),
        "unknown_labels": {str(label): count for label, count in sorted(census.unknown.items())},
    }
    return result


class _Measured:
    """The measurement of ``parts``, frame by frame, on the real images and those of each variant."""

    def __init__(self, parts: set[str], threads: int | None) -> None:
        self._parts = parts
        self._segmenter = MetricNetwork(HERE / "segmenter.onnx", threads) if "label_fidelity" in parts else None
        of_features = parts & {"realism", "classes", "objects"}
        features = MetricNetwork(HERE / "features.onnx", threads) if of_features else None
        self._realism = features if "realism" in parts else None
        self.by_class = ByClass(features) if features is not None and "classes" in parts else None
        self._crops = (
            ObjectCrops(features, (REAL, *WAYS), REAL) if features is not None and "objects" in parts else None
        )
        self.tallies = {name: _Tally() for name in (REAL, *WAYS)}

    def add(
        self, index: int, shown: dict[str, np.ndarray], label: np.ndarray, moved: tuple[np.ndarray, np.ndarray] | None
    ) -> None:
        """Add frame ``index``: images by name, CamVid's label, and its motion from the frame before."""
        for name, tally in self.tallies.items():
            _add(tally, shown[name], label, moved, self._segmenter, self._realism, "sharpness" in self._parts)
        if self.by_class is not None and index % EVERY == 0:
            real, rendered = (metric_size(shown[name], cv2.INTER_AREA) for name in (REAL, SHIPPED))
            self.by_class.add(real, rendered, metric_size(label, cv2.INTER_NEAREST))
        if self._crops is not None:
            small = {name: metric_size(picture, cv2.INTER_AREA) for name, picture in shown.items()}
            self._crops.add(small, metric_size(label, cv2.INTER_NEAREST))

    def figures(self) -> dict[str, Any]:
        """Return the figures by name of the variant, and of the real clip."""
        figures = _summary(self.tallies, self._parts)
        for name, kinds in self._crops.figures().items() if self._crops is not None else ():
            figures[name]["objects"] = kinds
        return figures


def _make_motion(clip: LabelledClip, files: list[Path], out: Path) -> None:
    flow_folder.run([find_image(clip.images, file.stem) for file in files], out)


def metric_size(picture: np.ndarray, interpolation: int) -> np.ndarray:
    """Return ``picture`` at the height of the metric networks' input."""
    height, width = picture.shape[:2]
    if height == _METRIC_ROWS:
        return picture
    size = (round(width * _METRIC_ROWS / height), _METRIC_ROWS)
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation))


def _add(
    tally: _Tally,
    picture: np.ndarray,
    label: np.ndarray,
    moved: tuple[np.ndarray, np.ndarray] | None,
    segmenter: MetricNetwork | None,
    features: MetricNetwork | None,
    sharp: bool,
) -> None:
    small = metric_size(picture, cv2.INTER_AREA)
    if segmenter is not None:
        tally.counts += confusion(segmenter(small)[0], metric_size(label, cv2.INTER_NEAREST))
    if features is not None:
        for (name, stride), feature in zip(_STRIDES.items(), features(small), strict=True):
            tally.features[name].append(measures.patches(feature, stride))
            tally.whole[name].append(feature.mean((1, 2), dtype=np.float64))
    if moved is not None and tally.last is not None:
        tally.errors.append(measures.warping_error(tally.last, picture, *moved))
    if sharp:
        tally.sharp.append(measures.sharpness(picture))
    tally.last = picture


def _summary(tallies: dict[str, _Tally], parts: set[str]) -> dict[str, Any]:
    real = tallies[REAL]
    out: dict[str, Any] = {name: {} for name in tallies}
    for name, tally in tallies.items():
        figures = out[name]
        if "label_fidelity" in parts:
            own, best = iou(tally.counts), iou(real.counts)
            figures["mean_iou"] = float(np.nanmean(own))
            figures["label_fidelity"] = float(np.nanmean(own) / np.nanmean(best))
            # classes that the segmenter hardly recognises on real frames say little about rendered ones
            recognised = best >= _RECOGNISED
            ratio = float(own[recognised].mean() / best[recognised].mean()) if recognised.any() else None
            figures["label_fidelity_of_recognised"] = ratio
            figures["iou"] = {c: float(v) for c, v in zip(CAMVID_CLASSES, own, strict=True) if not np.isnan(v)}
        if "flicker" in parts and tally.errors:
            figures["warping_error"] = float(np.mean(tally.errors))
            figures["flicker"] = float(np.mean(tally.errors) / np.mean(real.errors))
        if "sharpness" in parts:
            figures["laplacian_variance"] = float(np.mean(tally.sharp))
            figures["sharpness"] = float(np.mean(tally.sharp) / np.mean(real.sharp))
        if "realism" in parts and len(real.whole["stride16"]) >= 4:
            figures.update(_realism(tally, real))
    return out


def _realism(tally: _Tally, real: _Tally) -> dict[str, Any]:
    """Return the distances to the real clip over those between its halves; the main figure is of patches at stride
    16."""
    figures: dict[str, Any] = {}
    for name in FEATURE_LAYERS:
        half = len(real.features[name]) // 2
        one, two = np.concatenate(real.features[name][:half]), np.concatenate(real.features[name][half:])
        both, own = np.concatenate([one, two]), np.concatenate(tally.features[name])
        floor = measures.frechet(one, two)
        distance = measures.frechet(own, both)
        whole, mine = np.stack(real.whole[name]), np.stack(tally.whole[name])
        frames = measures.frechet(mine, whole, shrink=True) / measures.frechet(whole[:half], whole[half:], shrink=True)
        figures[f"frechet_{name}"] = {
            "channels": own.shape[1],
            "patches": len(own),
            "distance": distance,
            "halves": floor,
            "ratio": distance / floor,
            "ratio_of_whole_frames": frames,
            "kid": measures.kid(own, both),
            "kid_halves": measures.kid(one, two),
        }
    figures["realism"] = figures["frechet_stride16"]["ratio"]
    return figures
