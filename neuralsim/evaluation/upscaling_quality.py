"""Quality of images that are composed from windows of several frames, on a drive through the embedded town.

The reference is the average of the same model at full size, with its memory, from 16 cameras shifted by quarters of a
pixel: no stairs, and nothing scaled. Compared with it are the image rendered at half the size and scaled up bilinearly,
and the output of ``TemporalUpscaler`` from the same number of rendered pixels. All follow the simulator image, and are
sharpened as they are shown.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.jitter import NONE
from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim.base.colour import luma
from neuralsim.evaluation import measures
from neuralsim.evaluation.metric_networks import HERE, MetricNetwork
from neuralsim.evaluation.side_by_side import Video
from neuralsim.models.visibility import still_visible, warp_source
from neuralsim.renderer.frame_renderer import FrameInputs
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

SIZE = 1024, 512  # output size, px; a quarter of the pixels is rendered in each frame
BILINEAR = "bilinear"
UPSCALED = "upscaled"
REFERENCE = "reference"
_SHIFTS = [((i + 0.5) / 4.0 - 0.5, (j + 0.5) / 4.0 - 0.5) for i in range(4) for j in range(4)]
_SETTLED = 12  # frames until every window has been rendered twice
_LATELY = 5  # frames for which newly visible surfaces count as uncovered
_CROP = 128, 80  # width and height of a detail, px
_ENLARGED = 3

Progress = Callable[[int, int], None]


def measure(
    model: str, runtime: str, frames: int, out: Path, seed: int = 0, threads: int | None = None,
    progress: Progress = lambda _done, _all: None,
) -> dict[str, Any]:  # fmt: skip
    """Compare both ways of filling ``SIZE`` with the reference, over ``frames`` frames (more than ``_SETTLED``) of a
    drive.

    Writes ``upscaling.mp4`` and ``details.png`` into ``out``. Keys of the result: ``distance`` (mean squared difference
    of unit features of EfficientNet-Lite2), ``mse``, ``psnr`` (dB), ``stairs`` (mean difference of gradients along
    outlines, of 255 per px), ``uncovered`` (mean absolute error, of 255, where something came into view within five
    frames, over that elsewhere), ``flicker`` (warping error over that of the model frame by frame at full size), each
    by way; ``..._ratio``: upscaled over bilinear; ``ms``: median time of composing an image.
    """
    town = TownDrive(*SIZE, seed=seed)
    town.ride()
    renderers = _Renderers(model, runtime)
    network = MetricNetwork(HERE / "features.onnx", threads)
    names = {BILINEAR: "half size, bilinear", UPSCALED: "upscaled", REFERENCE: "reference"}
    video = Video(out / "upscaling.mp4", names, 30.0)
    values: dict[str, dict[str, list[float]]] = {way: {} for way in names}
    alone: list[float] = []
    times: list[float] = []
    before: tuple[Frame, dict[str, np.ndarray], np.ndarray] | None = None
    age = np.full(SIZE[::-1], _LATELY)
    try:
        for index in range(frames):
            frame = town.next_frame(colour="rgb")
            pictures, single = renderers.render(frame, town)
            if before is not None:
                seen, motion = still_visible(before[0], frame), frame.planes["motion"].astype(np.float32)
                rows, columns, _ = warp_source(motion)
                age = np.where(seen, np.minimum(age[rows, columns] + 1, _LATELY), 0)
                if index >= _SETTLED:
                    alone.append(measures.warping_error(before[2], single, motion, seen))
                    for way, picture in pictures.items():
                        error = measures.warping_error(before[1][way], picture, motion, seen)
                        values[way].setdefault("flicker", []).append(error)
                    times.append(renderers.seconds)
                    _compare(pictures, frame, age < _LATELY, network, values)
            video.add(pictures)
            before = frame, pictures, single
            progress(index + 1, frames)
    finally:
        video.close()
    assert before is not None
    cv2.imwrite(str(out / "details.png"), details(before[0], before[1])[..., ::-1])
    result: dict[str, Any] = {"frames": frames, "size": list(SIZE), "ms": 1e3 * float(np.median(times))}
    for way, each in values.items():
        result[way] = {name: float(np.mean(measured)) for name, measured in each.items()}
        result[way]["flicker"] /= float(np.mean(alone))
        if way != REFERENCE:
            result[way]["psnr"] = float(10.0 * np.log10(255.0**2 / result[way]["mse"]))
    for name in ("distance", "mse", "stairs"):
        result[f"{name}_ratio"] = result[UPSCALED][name] / result[BILINEAR][name]
    return result


class _Renderers:
    """Renderers of the model in four variants at once: at half the size, in windows, as the reference, and frame by
    frame."""

    def __init__(self, model: str, runtime: str) -> None:
        width, height = SIZE
        self._half = NeuralRenderer(model, runtime, (width // 2, height // 2))
        self._windows = NeuralRenderer(model, runtime, SIZE, pixels=width * height // 4)
        self._full = NeuralRenderer(model, runtime, SIZE)
        self._states: list[dict[str, np.ndarray]] = []
        self.seconds = 0.0  # time to compose the last image

    def render(self, frame: Frame, town: TownDrive) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return images u8 (H, W, 3) by variant, and the image of ``frame`` without any past."""
        half = self._half.render(_half_size(town.recapture((-0.5, -0.5), colour="rgb")))
        upscaled = self._windows.generate(town.recapture(NONE, "rgb_half"))  # as in a drive
        pictures = {
            BILINEAR: cv2.resize(half, SIZE, interpolation=cv2.INTER_LINEAR),
            UPSCALED: self._windows.postprocess(upscaled),
            REFERENCE: self._reference(town),
        }
        self.seconds = upscaled.compositing
        inputs = self._full.encode(frame)
        self._full.reset()
        return pictures, self._shown(inputs)

    def _reference(self, town: TownDrive) -> np.ndarray:
        total = np.zeros((*SIZE[::-1], 3), np.float32)
        first = not self._states
        for number, shift in enumerate(_SHIFTS):
            frame = town.recapture(shift, colour="rgb")
            inputs = self._full.encode(frame)
            if first:
                self._full.reset()
            else:
                self._full.restore(self._states[number])
            total += self._shown(inputs)
            self._states[number : number + 1] = [self._full.state()]
        return np.asarray(total / len(_SHIFTS) + 0.5).astype(np.uint8)

    def _shown(self, inputs: FrameInputs) -> np.ndarray:
        """Render ``inputs`` without anti-aliasing: the edges of 16 cameras are smooth by themselves."""
        return self._full.postprocess(self._full.run(inputs), antialias=False)


def _half_size(frame: Frame) -> Frame:
    """Return every second pixel of a frame that is shifted by (-0.5, -0.5): exactly the view of a camera of half the
    size."""
    camera = frame.camera
    planes = {name: np.ascontiguousarray(plane[::2, ::2]) for name, plane in frame.planes.items()}
    planes["motion"] = (planes["motion"].astype(np.float32) / 2.0).astype(np.float16)
    return replace(frame, planes=planes, camera=Camera(camera.width // 2, camera.height // 2, camera.fov, camera.pose))


def _compare(
    pictures: dict[str, np.ndarray],
    frame: Frame,
    uncovered: np.ndarray,
    network: MetricNetwork,
    values: dict[str, dict[str, list[float]]],
) -> None:
    reference = pictures[REFERENCE]
    expected, slopes, rim = network(reference), gradient(reference), outlines(frame)
    for way in (BILINEAR, UPSCALED):
        picture, figures = pictures[way], values[way]
        error = np.abs(picture.astype(np.float32) - reference).mean(axis=2)
        for name, value in {
            "distance": distance(network(picture), expected),
            "mse": float(np.square(picture.astype(np.float32) - reference).mean()),
            "stairs": float(np.abs(gradient(picture) - slopes).sum(axis=2)[rim].mean()),
            "uncovered": float(error[uncovered].mean() / error[~uncovered].mean()) if uncovered.any() else 1.0,
        }.items():
            figures.setdefault(name, []).append(value)


def distance(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Return the mean over layers and places of the squared difference of features (1, C, h, w) scaled to unit length
    at each place: LPIPS without learned weights (Zhang et al., CVPR 2018)."""
    each = []
    for first, second in zip(a, b, strict=True):
        one, two = (x.reshape(x.shape[-3:]) for x in (first, second))
        one, two = (x / np.sqrt(np.square(x).sum(axis=0, keepdims=True) + 1e-8) for x in (one, two))
        each.append(float(np.square(one - two).sum(axis=0).mean()))
    return float(np.mean(each))


def gradient(picture: np.ndarray) -> np.ndarray:
    """Return f32 (H, W, 2): Sobel's slopes of the luminance to the right and down, of 255 per px."""
    grey = luma(picture)
    return np.stack([cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=3, scale=0.125) for axis in ((1, 0), (0, 1))], axis=-1)


def outlines(frame: Frame) -> np.ndarray:
    """Return outlines, bool (H, W): pixels with a 4-neighbour that shows another object or class."""
    key = frame.planes["instance"].astype(np.int64) << 8 | frame.planes["tag"]
    rim = np.zeros(key.shape, bool)
    across, down = key[:, 1:] != key[:, :-1], key[1:] != key[:-1]
    rim[:, 1:] |= across
    rim[:, :-1] |= across
    rim[1:] |= down
    rim[:-1] |= down
    return rim


def details(frame: Frame, pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Return u8 (h, w, 3): bilinear, upscaled and reference side by side, for a car, a post, a tree and the far
    street."""
    tag = frame.planes["tag"]
    places = [
        _middle(np.isin(tag, tags), frame) for tags in ((Tag.CAR, Tag.TRUCK, Tag.BUS), (Tag.POLE,), (Tag.VEGETATION,))
    ]
    places.append((SIZE[0] // 2, SIZE[1] // 2))
    rows = []
    for x, y in places:
        left = min(max(x - _CROP[0] // 2, 0), SIZE[0] - _CROP[0])
        top = min(max(y - _CROP[1] // 2, 0), SIZE[1] - _CROP[1])
        cells = [pictures[way][top : top + _CROP[1], left : left + _CROP[0]] for way in (BILINEAR, UPSCALED, REFERENCE)]
        rows.append(np.hstack([np.pad(cell, ((0, 2), (0, 2), (0, 0)), constant_values=255) for cell in cells]))
    whole = np.vstack(rows)
    return np.asarray(cv2.resize(whole, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_NEAREST))


def _middle(where: np.ndarray, frame: Frame) -> tuple[int, int]:
    """Return column and row of the middle of the object with most pixels of ``where``; without any, of the image."""
    instance = np.where(where, frame.planes["instance"], 0)
    ids, counts = np.unique(instance[where & (frame.planes["instance"] > 0)], return_counts=True)
    mask = instance == ids[np.argmax(counts)] if len(ids) else where
    if not mask.any():
        return SIZE[0] // 2, SIZE[1] // 2
    rows, columns = np.nonzero(mask)
    return int(np.median(columns)), int(np.median(rows))
