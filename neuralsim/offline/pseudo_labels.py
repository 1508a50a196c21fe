"""Pseudo-labels: ``neuralsim images label IMAGES --segmenter MODEL.onnx --classes MAP --out LABELS``.

Any semantic segmentation network in ONNX labels images that have no labels, so that they can be trained on and
rendered. Its input tells the expected format: pixels first or channels first, bytes or floats, a fixed size or a free
one.
"""

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
from neuralsim.imaging.image_files import ImageError, list_images, read_image, write_png
from neuralsim.offline.options import SCALES, LabelOptions

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MULTIPLE = 32  # px, of a size that the graph leaves free


class Segmenter:
    """A segmentation network: ``segmenter(rgb)`` returns each pixel's class.

    Args:
        file: The ONNX graph.
        scale: Of its input, one of ``SCALES``; "": by the input's type: bytes, or floats as ImageNet's networks expect.
        bgr: The network expects BGR.
        size: Width and height that images are resized to, px; None: the graph's own, else the images'.
        output: Name of the output to read; "": the first.

    Raises:
        ImageError: The graph is not such a network.
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
        available = ort.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        try:
            self._session = ort.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own kinds, which share no base
            raise ImageError(f"{file}: not a network that ONNX Runtime can run: {_line(error)}") from None
        inputs = self._session.get_inputs()
        outputs = [port.name for port in self._session.get_outputs()]
        if output and output not in outputs:
            raise ImageError(f"{file}: no output {output!r}; there are {', '.join(outputs)}")
        self._output = output or outputs[0]
        self._input, shape = inputs[0].name, list(inputs[0].shape)
        self._batched = len(shape) == 4
        frame = shape[1:] if self._batched else shape
        self._channels_first = len(frame) == 3 and frame[0] == 3 and frame[2] != 3
        several = self._batched and isinstance(shape[0], int) and shape[0] != 1
        if len(inputs) != 1 or len(frame) != 3 or 3 not in (frame[0], frame[2]) or several:
            takes = ", ".join(f"{port.name} {port.shape}" for port in inputs)
            raise ImageError(f"{file}: expected one input, one RGB image; it takes {takes}")
        if inputs[0].type not in (*_FLOATS, "tensor(uint8)"):
            raise ImageError(f"{file}: its input is {inputs[0].type}; expected bytes or floats")
        self._type = _FLOATS.get(inputs[0].type, np.uint8)
        statistics = SCALES[scale or ("bytes" if self._type is np.uint8 else "imagenet")]
        self._mean, self._deviation = (np.asarray(value, np.float32) for value in statistics)
        height, width = frame[1:] if self._channels_first else frame[:2]
        self._size = (width, height) if isinstance(height, int) and isinstance(width, int) else size

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Return the class of each pixel, u8 or u16 (H, W), of an image u8 (H, W, 3). Raises ImageError."""
        height, width = rgb.shape[:2]
        size = self._size or (_rounded(width), _rounded(height))
        smaller = size[0] < width
        frame: np.ndarray = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        if self._type is not np.uint8:
            frame = ((frame - self._mean) / self._deviation).astype(self._type)
        if self._bgr:
            frame = frame[..., ::-1]
        frame = np.ascontiguousarray(frame.transpose(2, 0, 1) if self._channels_first else frame)
        try:
            out = self._session.run([self._output], {self._input: frame[None] if self._batched else frame})[0]
        except Exception as error:
            raise ImageError(
                f"{self._file}: fails on {size[0]}x{size[1]} pixels ({_line(error)}); try --size"
            ) from None
        return self._ids(np.asarray(out), (width, height))

    def _ids(self, out: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return the classes at ``size`` from the graph's output, which has classes or a score for each."""
        shape = out.shape
        while out.ndim > 2 and out.shape[0] == 1:
            out = out[0]
        if out.ndim == 3 and out.shape[2] == 1:
            out = out[..., 0]
        if out.ndim == 2:
            if out.min() < 0 or out.max() > np.iinfo(np.uint16).max:
                raise ImageError(
                    f"{self._file}: its output {self._output} is no map of classes; choose another with --output"
                )
            ids: np.ndarray = out.astype(np.uint8 if out.max() < 256 else np.uint16)
            return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT))
        if out.ndim != 3 or not np.issubdtype(out.dtype, np.floating):
            raise ImageError(
                f"{self._file}: its output {self._output} is {shape}; expected classes or scores per pixel"
            )
        scores = out if _has_channels_first(out.shape, size) else out.transpose(2, 0, 1)
        best = np.full((size[1], size[0]), -np.inf, np.float32)
        ids = np.zeros(best.shape, np.uint16)
        for index in range(len(scores)):  # one at a time: all at full size would be gigabytes
            full = cv2.resize(np.asarray(scores[index], np.float32), size, interpolation=cv2.INTER_LINEAR)
            better = full > best
            ids[better], best[better] = index, full[better]
        return ids if len(scores) > 256 else ids.astype(np.uint8)


def _has_channels_first(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Return whether the first of three dimensions is the classes: the other two have the image's proportions."""
    expected = math.log(size[0] / size[1])
    return abs(math.log(shape[2] / shape[1]) - expected) <= abs(math.log(shape[1] / shape[0]) - expected)


def _rounded(pixels: int) -> int:
    return max(_MULTIPLE, round(pixels / _MULTIPLE) * _MULTIPLE)


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@dataclass
class LabellingReport:
    """What was labelled, and the problems."""

    unknown: Counter[int]  # pixels by label that the class map does not list
    damaged: list[str]  # what is wrong with images that could not be read
    labelled: int = 0


def label(options: LabelOptions) -> LabellingReport:
    """Label a folder of images into ``out``, or a video into ``out/images`` and ``out/labels``.

    Raises ImageError, ClassMapError.
    """
    classes = classmaps.load(options.classes)
    segmenter = Segmenter(options.segmenter, options.scale, options.bgr, options.size, options.output)
    report = LabellingReport(Counter(), [])
    video = options.images.is_file()
    files = [] if video else list_images(options.images)
    progress = ProgressLine(None if video else len(files), "images")
    begun = time.monotonic()
    try:
        for name, rgb in _frames(options.images, options.every) if video else _read_images(files, report):
            ids = segmenter(rgb)
            report.unknown.update(classes.unknown(ids))
            if video:
                write_png(options.out / "images" / f"{name}.png", rgb[..., ::-1])
            write_png((options.out / "labels" if video else options.out) / f"{name}.png", ids)
            report.labelled += 1
            progress.count(report.labelled, report.labelled / max(1e-6, time.monotonic() - begun))
    finally:
        progress.close()
    return report


def run(options: LabelOptions) -> int:
    """Label; returns the exit code, 1 also if images were skipped. Problems are one line on stderr."""
    try:
        report = label(options)
    except (ImageError, classmaps.ClassMapError) as error:
        return fail(error)
    for missing, pixels in sorted(report.unknown.items()):
        print(f"label {missing} is not in the class map: {pixels} pixels; does {options.classes} match the network?")
    for line in report.damaged:
        logger().warning(f"{line}: skipped")
    skipped = f", {len(report.damaged)} images skipped" if report.damaged else ""
    print(f"{options.out}: {report.labelled} label maps{skipped}")
    return 1 if report.damaged else 0


def _read_images(files: list[Path], report: LabellingReport) -> Iterator[tuple[str, np.ndarray]]:
    for file in files:
        try:
            image = read_image(file)
        except ImageError as error:
            report.damaged.append(str(error))
            continue
        yield file.stem, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _frames(file: Path, every: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each ``every``-th frame of a video, with a name. Raises ImageError for a file without frames."""
    count = 0
    try:
        # A playlist must not lead to other machines.
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
            raise ImageError(f"{file}: neither a folder of images nor a video") from None
        logger().warning(f"{file}: damaged after frame {count - 1}")
