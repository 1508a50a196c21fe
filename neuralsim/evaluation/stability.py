"""Stability of a model's image on its surfaces: ``python -m neuralsim.evaluation.stability --model street-rt``.

Two measures. *Warping error*: a drive through the town, mean absolute difference, of 255, between each image and
the one before moved by the exact motion, where the surface is visible in both; with the model's state, without it,
and without it but with plain smoothing of the output. *Shift test*: map and surfaces moved by a few pixels on the
screen, rendered without state, moved back: differences come from the network's grid. Sharpness (variance of the
Laplacian) is reported with them, because blur wins the first two.
"""

import json
from dataclasses import replace

import numpy as np

from bridge.messages import Frame
from bridge.process.option_types import Positive
from bridge.process.options import Options, parse
from neuralsim.base.colour import luma
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber, Model, Runtime
from neuralsim.models.visibility import still_visible
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive

_SMOOTHING = 0.8  # weight of the past in plain output smoothing
_SHIFTS = (2, 4, 6)  # px


def warp(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return f32 (H, W, C): ``image`` of the frame before seen from this one, bilinear, backward ``motion`` (H, W, 2)
    px."""
    height, width = motion.shape[:2]
    x = np.clip(np.arange(width, dtype=np.float32)[None, :] + motion[..., 0], 0, width - 1.001)
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] + motion[..., 1], 0, height - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    u, v = (x - column)[..., None], (y - row)[..., None]
    image = image.astype(np.float32)
    top = image[row, column] * (1 - u) + image[row, column + 1] * u
    bottom = image[row + 1, column] * (1 - u) + image[row + 1, column + 1] * u
    return np.asarray(top * (1 - v) + bottom * v)


def sharpness(picture: np.ndarray) -> float:
    """Return the variance of the 4-neighbour Laplacian of the luminance."""
    grey = luma(picture)
    inner = grey[1:-1, 1:-1]
    return float(np.var(grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner))


def drive_error(renderer: NeuralRenderer, frames: list[Frame], state: bool, smooth: bool = False) -> dict[str, float]:
    """Return warping error, of 255, and sharpness over a drive, with or without state, or with smoothed output."""
    renderer.reset()
    errors, sharp = [], []
    last: np.ndarray | None = None
    for before, frame in zip([None, *frames], frames, strict=False):
        if not state:
            renderer.reset()
        picture = renderer.render(frame).astype(np.float32)
        if smooth and last is not None:
            picture = _SMOOTHING * last + (1 - _SMOOTHING) * picture
        if before is not None and last is not None:
            visible = still_visible(before, frame)
            moved = warp(last, frame.planes["motion"].astype(np.float32))
            errors.append(float(np.abs(picture - moved)[visible].mean()))
        sharp.append(sharpness(picture))
        last = picture
    return {"warping_error": float(np.mean(errors)), "sharpness": float(np.mean(sharp))}


def shift_error(renderer: NeuralRenderer, wide: Frame) -> float:
    """Return the mean error, of 255, between images of ``wide`` cut out at different columns and moved back onto each
    other."""
    width = wide.camera.width - 32
    renderer.prepare((width, wide.camera.height))

    def render(offset: int) -> np.ndarray:
        planes = {key: np.ascontiguousarray(value[:, offset : offset + width]) for key, value in wide.planes.items()}
        tensors = renderer.encode(replace(wide, planes=planes)).tensors
        tensors["camera"][18] -= offset  # the principal point stays where it was in the world
        renderer.reset()
        return renderer.run_graph(tensors).astype(np.float32)

    still = render(0)
    moved = {shift: render(shift) for shift in _SHIFTS}
    errors = [np.abs(m[:, 32 : -32 - s] - still[:, 32 + s : -32]).mean() for s, m in moved.items()]
    return float(np.mean(errors))


class StabilityOptions(Options):
    """Measure how stable a model's image is on its surfaces."""

    model: Model = DEFAULT_MODEL
    """A shipped model, or a folder with a card."""
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    """RUNTIME[:PRECISION]."""
    frames: Positive = 90
    """Frames of the town drive."""
    seed: int = 0
    """Seed of the town drive."""


def main() -> None:
    """Measure a model and print one JSON line."""
    options = parse(StabilityOptions, None, "stability")
    town = TownDrive(seed=options.seed)
    town.ride()
    frames = [town.next_frame() for _ in range(options.frames)]
    renderer = NeuralRenderer(options.model, options.runtime)
    print(
        json.dumps(
            {
                "model": renderer.model,
                "frames": options.frames,
                "with_state": drive_error(renderer, frames, state=True),
                "frame_by_frame": drive_error(renderer, frames, state=False),
                "smoothed": drive_error(renderer, frames, state=False, smooth=True),
                "shift_error": float(np.mean([shift_error(renderer, frame) for frame in frames[::15]])),
            }
        )
    )


if __name__ == "__main__":
    main()
