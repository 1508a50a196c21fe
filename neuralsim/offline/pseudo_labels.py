"""Pseudo-labels: ``neuralsim label IMAGES --segmenter MODEL.onnx --classes MAP --out LABELS``.

Any semantic segmenter as an ONNX graph labels pictures that have no labels, so that they can be trained on and
rendered. What the graph wants is read from its input: pixels first or channels first, bytes or floats, a fixed size or
a free one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import onnxruntime as ort

from bridge.untrusted import limits
from bridge.untrusted.files import FileRefused, open_regular
from neuralsim import classmaps
from neuralsim.base.failure import fail
from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.imaging.picture_files import ImageError, pictures, read, write_png
from neuralsim.offline.options import SCALES, LabelOptions

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MULTIPLE = 32  # px, of a size that the graph leaves free


class Segmenter:
    """A segmentation network: ``segmenter(rgb)`` gives each pixel's class.

    ``scale``: one of ``SCALES``, "" = by the type of the input: bytes, or floats as ImageNet's networks want them;
    ``bgr``: blue first; ``size``: width and height in px that pictures are brought to, None = the graph's own, else
    theirs. Raises ImageError for a graph that is no such network.

    Args:
        file: The ONNX graph.
        scale: Of its input, one of ``SCALES``.
        bgr: Blue first.
        size: Width and height, px.
        output: Name of the one to read where the graph has several.
    """

    def __init__(
        self, file: Path, scale: str = "", bgr: bool = False, size: tuple[int, int] | None = None, output: str = ""
    ) -> None:
        self._file, self._bgr = file, bgr
        if not file.is_file():
            raise ImageError(f"{file}: no such file")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        here = ort.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in here]
        try:
            self._session = ort.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own kinds, which share no base
            raise ImageError(f"{file}: not a network that ONNX Runtime can run: {_line(error)}") from None
        inputs = self._session.get_inputs()
        outputs = {each.name: each for each in self._session.get_outputs()}
        if output and output not in outputs:
            raise ImageError(f"{file}: no output {output!r}; there are {', '.join(outputs)}")
        self._output = output or next(iter(outputs))
        self._input, shape = inputs[0].name, list(inputs[0].shape)
        self._batched = len(shape) == 4
        frame = shape[1:] if self._batched else shape
        self._first = len(frame) == 3 and frame[0] == 3 and frame[2] != 3  # channels first
        several = self._batched and isinstance(shape[0], int) and shape[0] != 1
        if len(inputs) != 1 or len(frame) != 3 or 3 not in (frame[0], frame[2]) or several:
            takes = ", ".join(f"{each.name} {each.shape}" for each in inputs)
            raise ImageError(f"{file}: wanted one input, one RGB picture; it takes {takes}")
        if inputs[0].type not in (*_FLOATS, "tensor(uint8)"):
            raise ImageError(f"{file}: its input is {inputs[0].type}; wanted bytes or floats")
        self._type = _FLOATS.get(inputs[0].type, np.uint8)
        chosen = SCALES[scale or ("bytes" if self._type is np.uint8 else "imagenet")]
        self._mean, self._deviation = (np.asarray(value, np.float32) for value in chosen)
        height, width = frame[1:] if self._first else frame[:2]
        self._size = (width, height) if isinstance(height, int) and isinstance(width, int) else size

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Class of each pixel, u8 or u16 (H, W), of a picture u8 (H, W, 3). Raises ImageError."""
        height, width = rgb.shape[:2]
        size = self._size or (_rounded(width), _rounded(height))
        smaller = size[0] < width
        frame: np.ndarray = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        if self._type is not np.uint8:
            frame = ((frame - self._mean) / self._deviation).astype(self._type)
        if self._bgr:
            frame = frame[..., ::-1]
        frame = np.ascontiguousarray(frame.transpose(2, 0, 1) if self._first else frame)
        try:
            out = self._session.run([self._output], {self._input: frame[None] if self._batched else frame})[0]
        except Exception as error:
            raise ImageError(
                f"{self._file}: fails on {size[0]}x{size[1]} pixels ({_line(error)}); try --size"
            ) from None
        return self._ids(np.asarray(out), (width, height))

    def _ids(self, out: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Classes at ``size`` from the graph's output: classes already, or a score for each."""
        shape = out.shape
        while out.ndim > 2 and out.shape[0] == 1:
            out = out[0]
        if out.ndim == 3 and out.shape[2] == 1:
            out = out[..., 0]
        if out.ndim == 2:
            if out.min() < 0 or out.max() > np.iinfo(np.uint16).max:
                raise ImageError(
                    f"{self._file}: its output {self._output} is no map of classes; name another, --output"
                )
            ids: np.ndarray = out.astype(np.uint8 if out.max() < 256 else np.uint16)
            return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT))
        if out.ndim != 3 or not np.issubdtype(out.dtype, np.floating):
            raise ImageError(f"{self._file}: its output {self._output} is {shape}; wanted classes or scores per pixel")
        scores = out if _channels_first(out.shape, size) else out.transpose(2, 0, 1)
        best = np.full((size[1], size[0]), -np.inf, np.float32)
        ids = np.zeros(best.shape, np.uint16)
        for index in range(len(scores)):  # one at a time: all at full size would be gigabytes
            full = cv2.resize(np.asarray(scores[index], np.float32), size, interpolation=cv2.INTER_LINEAR)
            better = full > best
            ids[better], best[better] = index, full[better]
        return ids if len(scores) > 256 else ids.astype(np.uint8)


def _channels_first(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Is the first of three dimensions the classes? The other two have the picture's proportions."""
    wanted = math.log(size[0] / size[1])
    return abs(math.log(shape[2] / shape[1]) - wanted) <= abs(math.log(shape[1] / shape[0]) - wanted)


def _rounded(pixels: int) -> int:
    return max(_MULTIPLE, round(pixels / _MULTIPLE) * _MULTIPLE)


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@dataclass
class PictureCensus:
    """What turned up: pixels of labels that the class map does not list, and pictures that could not be read."""

    unknown: Counter[int]
    damaged: list[str]
    labelled: int = 0


def label(options: LabelOptions) -> PictureCensus:
    """Label a folder of pictures into ``out``, or a video into ``out/images`` and ``out/labels``.

    Raises ImageError, ClassMapError.
    """
    classes = classmaps.load(options.classes)
    segmenter = Segmenter(options.segmenter, options.scale, options.bgr, options.size, options.output)
    census = PictureCensus(Counter(), [])
    video = options.images.is_file()
    files = [] if video else pictures(options.images)
    progress = ProgressLine(None if video else len(files), "pictures")
    begun = time.monotonic()
    try:
        for name, rgb in _frames(options.images, options.every) if video else _pictures(files, census):
            ids = segmenter(rgb)
            census.unknown.update(classes.unknown(ids))
            if video:
                write_png(options.out / "images" / f"{name}.png", rgb[..., ::-1])
            write_png((options.out / "labels" if video else options.out) / f"{name}.png", ids)
            census.labelled += 1
            progress.count(census.labelled, census.labelled / max(1e-6, time.monotonic() - begun))
    finally:
        progress.close()
    return census


def run(options: LabelOptions) -> int:
    """Label; returns the exit code, 1 also where pictures were left out. Problems are one line on stderr."""
    try:
        census = label(options)
    except (ImageError, classmaps.ClassMapError) as error:
        return fail(error)
    for missing, pixels in sorted(census.unknown.items()):
        print(f"label {missing} is not in the class map: {pixels} pixels; is {options.classes} what the network knows?")
    for line in census.damaged:
        logger().warning(f"{line}: left out")
    left = f", {len(census.damaged)} pictures left out" if census.damaged else ""
    print(f"{options.out}: {census.labelled} label maps{left}")
    return 1 if census.damaged else 0


def _pictures(files: list[Path], census: PictureCensus) -> Iterator[tuple[str, np.ndarray]]:
    for file in files:
        try:
            picture = read(file)
        except ImageError as error:
            census.damaged.append(str(error))
            continue
        yield file.stem, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _frames(file: Path, every: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each ``every``-th frame of a video. Raises ImageError for a file without any."""
    count = 0
    try:
        # A file that is a list of others may not lead out of this machine.
        with (
            open_regular(file) as data,
            av.open(data, "r", options={"protocol_whitelist": "file", "max_pixels": str(limits.PIXELS)}) as video,
        ):
            for frame in video.decode(video=0):
                if count % every == 0:
                    yield f"{file.stem}_{count:06d}", frame.to_ndarray(format="rgb24")
                count += 1
    except (av.error.FFmpegError, IndexError, OSError, FileRefused):
        if not count:
            raise ImageError(f"{file}: neither a folder of pictures nor a video") from None
        logger().warning(f"{file}: damaged after frame {count - 1}")
