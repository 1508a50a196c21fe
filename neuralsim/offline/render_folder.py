"""``neuralsim render --classes``: renders a folder of label maps as images, and with ``--sequence`` as a video."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bridge.geometry import focal_length
from bridge.messages import HIDDEN_MOTION, UNKNOWN_MOTION, Camera, Frame
from neuralsim import classmaps, zoo
from neuralsim.base.failure import fail
from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.base.shared_options import model_of
from neuralsim.imaging import optical_flow
from neuralsim.imaging.image_files import ImageError, find_image, list_images, read_ids, write_png
from neuralsim.imaging.label_maps import read_labels
from neuralsim.imaging.object_tracker import ObjectTracker
from neuralsim.imaging.pseudo_depth import PseudoDepth, horizon_row
from neuralsim.models.classes import CARLA_TO_CHANNEL
from neuralsim.offline.options import RenderOptions
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.neural_renderer import NeuralRenderer, RuntimeUnavailable
from neuralsim.renderer.postprocessing.sharpening import sharpen_scaled
from neuralsim.renderer.remap import Remap

_WIDTHS = 384, 1024  # px, least and largest default width: models were trained at that scale
_SUPERSAMPLED = 640  # px, width up to which maps are supersampled
_SUPERSAMPLING = 1.5  # largest factor, in each direction
_SHARPENING = 0.7  # of supersampled images, once they are scaled down
_FIRST_PLOT = 61_000  # first instance number of houses


@dataclass
class Map:
    """A label map as a frame for the model."""

    name: str
    size: tuple[int, int]  # of the file, px
    frame: Frame
    has_motion: bool  # from the map before


@dataclass
class LabelCensus:
    """The problems in a folder of maps."""

    unknown: Counter[int] = field(default_factory=Counter)  # pixels by label that is not in the class map
    seen_in: Counter[int] = field(default_factory=Counter)  # files by the same label
    damaged: list[str] = field(default_factory=list)  # what is wrong with single maps that could not be read
    doubtful: list[float] = field(default_factory=list)  # share of each coloured map's pixels


def run(options: RenderOptions) -> int:
    """Render a folder; returns the exit code, 1 also if maps were skipped. Problems are one line on stderr."""
    try:
        census, count = render(options)
    except (ImageError, classmaps.ClassMapError, zoo.ModelError, RuntimeUnavailable, RecordingError) as error:
        return fail(error)
    for label, pixels in sorted(census.unknown.items()):
        files = census.seen_in[label]
        print(f"label {label} is not in the class map: {pixels} pixels in {files} files, rendered as unlabeled")
    if census.doubtful:
        mean, most = sum(census.doubtful) / len(census.doubtful), max(census.doubtful)
        print(
            f"{mean:.1%} of the pixels of {len(census.doubtful)} coloured maps ({most:.1%} of one at most) are between "
            "colours or far from all: they have the label of the nearest other pixel"
        )
    for line in census.damaged:
        logger().warning(f"{line}: skipped")
    print(f"{options.out}: {count} images" + (f", {len(census.damaged)} skipped" if census.damaged else ""))
    return 1 if census.damaged else 0


def render(options: RenderOptions) -> tuple[LabelCensus, int]:
    """Render a folder; returns the problems of the maps and the count of images.

    Raises ImageError, ClassMapError, ModelError, RuntimeUnavailable, RecordingError.
    """
    assert options.classes is not None, "else it is a recording"
    classes = classmaps.load(options.classes)
    files = list_images(options.labels)
    pixels = options.paint and options.paint.pixels
    renderer = NeuralRenderer(
        model_of(options.model, options.quality), options.runtime, guide="exemplars", pixels=pixels
    )
    style = options.style or (classes.style if classes.style in renderer.card.styles else None)
    if style:
        renderer.set_style(style)
    renderer.set_remap(Remap.parse(options.remap or ""))
    census = LabelCensus()
    video: Mp4Writer | None = None
    progress = ProgressLine(len(files))
    begun = time.monotonic()
    has_past = options.sequence and not options.frame_by_frame
    try:
        for index, item in enumerate(maps(options, classes, files, census)):
            if index == 0 or not has_past:
                renderer.reset()
            image = finish_image(renderer.render(item.frame), item, has_past)
            write_png(options.out / f"{item.name}.png", image[..., ::-1])
            if options.sequence:
                if video is None:
                    video = Mp4Writer(
                        options.out / f"{options.labels.resolve().name}.mp4", item.size, rate=options.fps, block=True
                    )
                video.write(image, index / options.fps)
                if video.error:
                    raise RecordingError(video.error)
            progress.count(index + 1, (index + 1) / max(1e-6, time.monotonic() - begun))
    finally:
        progress.close()
        if video is not None:
            video.close()
    if video is not None and video.error:
        raise RecordingError(video.error)
    return census, len(files) - len(census.damaged)


def maps(options: RenderOptions, classes: classmaps.ClassMap, files: list[Path], census: LabelCensus) -> Iterator[Map]:
    """Yield the folder's maps as frames.

    Labels that ``classes`` does not list, and single maps that cannot be read, are added to ``census``. Raises
    ImageError for a gap in a clip, and for instance and motion files.
    """
    objects: ObjectTracker | None = None
    world: PseudoDepth | None = None
    first: tuple[int, int] | None = None
    for number, file in enumerate(files):
        try:
            label, doubtful = read_labels(file, classes)
        except ImageError as error:
            if options.sequence:
                raise
            census.damaged.append(str(error))
            continue
        if doubtful:
            census.doubtful.append(doubtful)
        for missing, count in classes.unknown(label).items():
            census.unknown[missing] += count
            census.seen_in[missing] += 1
        full = label.shape[1], label.shape[0]
        if options.sequence and first is not None and full != first:
            raise ImageError(
                f"{file}: {full[0]}x{full[1]} pixels, but the clip began with {first[0]}x{first[1]}; "
                "omit --sequence to render images of different sizes"
            )
        size = options.size or render_size(full)
        motion, valid = _motion(options, file, full, size) if options.motion and number else (None, None)
        tag = _resized(classes.tags[label], size)
        if world is None or objects is None or not options.sequence:
            focal = focal_length(size[0], options.fov)
            sample = files[:: max(1, len(files) // 8)] if options.sequence else [file]
            tags = (classes.tags[read_labels(path, classes)[0]] for path in sample)
            horizon = horizon_row([CARLA_TO_CHANNEL[_resized(each, size)] for each in tags])
            world, objects = PseudoDepth(size, focal, horizon), ObjectTracker()
        first = first or full
        if options.instances is not None:
            path = find_image(options.instances, file.stem)
            ids = read_ids(path)
            if ids.shape != label.shape:
                raise ImageError(f"{path}: {ids.shape[1]}x{ids.shape[0]} pixels, its label map has {full[0]}x{full[1]}")
            instance = _resized(ids, size)
        else:
            instance = objects.track(tag, motion)
        view = world.view(tag, instance, motion, valid)
        instance = np.where(view.plot > 0, _FIRST_PLOT + view.plot, instance).astype(np.uint16)
        if motion is None or valid is None:
            back: np.ndarray = np.full((size[1], size[0], 2), UNKNOWN_MOTION, np.float16)
        else:
            back = np.where(valid[..., None], motion, HIDDEN_MOTION).astype(np.float16)
        camera = Camera(size[0], size[1], options.fov, view.pose)
        planes = {"tag": tag, "instance": instance, "depth": view.depth, "motion": back}
        rendered = Frame(number, number + 1, number / options.fps, camera, planes, estimated=True)
        yield Map(file.stem, full, rendered, motion is not None)


def _motion(
    options: RenderOptions, file: Path, full: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Read the motion of a map, in pixels of ``size``, and its validity."""
    assert options.motion is not None
    path = find_image(options.motion, file.stem)
    motion, valid = optical_flow.load(path)
    if motion.shape[:2] != (full[1], full[0]):
        raise ImageError(f"{path}: {motion.shape[1]}x{motion.shape[0]} pixels, its label map has {full[0]}x{full[1]}")
    scale = np.array([size[0] / full[0], size[1] / full[1]], np.float32)
    motion = cv2.resize(motion, size, interpolation=cv2.INTER_LINEAR) * scale
    return motion, _resized(valid.astype(np.uint8), size) > 0


def render_size(full: tuple[int, int]) -> tuple[int, int]:
    """Return the size to render a map of ``full`` size at: its own, within the scale that models were trained at.

    A small map is supersampled: rendered larger and scaled down to its own size.
    """
    larger = min(_SUPERSAMPLING * full[0], _SUPERSAMPLED)
    scale = float(np.clip(max(full[0], larger), *_WIDTHS)) / full[0]
    return round(full[0] * scale), round(full[1] * scale)


def _resized(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (ids.shape[1], ids.shape[0]) == size:
        return ids
    return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``image`` at ``size`` without aliasing and without blur.

    A supersampled image is scaled down by a cubic filter, which is sharper than an area's mean and still covers all of
    a pixel.
    """
    if (image.shape[1], image.shape[0]) == size:
        return image
    factor = image.shape[1] / size[0]
    if factor < 1:
        interpolation = cv2.INTER_LANCZOS4
    else:
        interpolation = cv2.INTER_CUBIC if factor <= _SUPERSAMPLING else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=interpolation))


def finish_image(image: np.ndarray, item: Map, has_past: bool) -> np.ndarray:
    """Return the image u8 (H, W, 3) of ``item`` at the size of its file, as sharp as others of that size.

    ``has_past``: it follows the image of the map before, where there is motion from that. By themselves, supersampled
    images are sharp enough.
    """
    resized = resize_image(image, item.size)
    if has_past and item.has_motion and image.shape[1] > item.size[0]:
        sharpen_scaled(resized, _resized(item.frame.planes["tag"], item.size), _SHARPENING)
    return resized
