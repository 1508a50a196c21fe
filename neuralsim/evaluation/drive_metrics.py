"""Measurements on drives through the embedded town: flicker, the shift test, drift, and return to a place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.link.motion import reproject
from bridge.messages import Frame
from bridge.tags import COLOURS as TAG_COLOURS
from bridge.tags import Tag
from neuralsim.evaluation import measures
from neuralsim.evaluation.ablations import ALONE, SHIPPED, WAYS, Variants
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, HERE, MetricNetwork, confusion, iou
from neuralsim.evaluation.real_clip import camvid_label
from neuralsim.evaluation.side_by_side import Video
from neuralsim.models.visibility import still_visible, warp_source
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive, TownLoop

_SHIFT_EVERY = 15  # frames
_SHIFTS = (2, 4, 6)  # px
_RESTART = 100  # frames before the end, where the fresh state starts
_COMPARISON = 50  # frames before the end, where the comparison starts
_RETURN_EVERY = 12  # frames
_LEAST_WALL = 400  # px of houses that a pair of frames needs

OnProgress = Callable[[int, int], None]


def _quiet(_done: int, _all: int) -> None:
    """Ignore progress."""


def flicker(
    model: str, runtime: str, frames: int, out: Path, seed: int = 0, progress: OnProgress = _quiet
) -> dict[str, Any]:
    """Return warping error (of 255, exact motion) and sharpness of each variant on a drive; write ``out/town.mp4``.

    ``flicker`` is the warping error over that of the same weights frame by frame.

    ``out``: folder for the video.
    """
    town = TownDrive(seed=seed)
    town.ride()
    variants = Variants(model, runtime)
    video = Video(out / "town.mp4", {"tags": "tags", **{way: way.replace("_", " ") for way in WAYS}}, 30.0)
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    sharp: dict[str, list[float]] = {way: [] for way in WAYS}
    before: tuple[Frame, dict[str, np.ndarray]] | None = None
    try:
        for index in range(frames):
            frame = town.next_frame()
            rendered = variants.render(frame)
            if before is not None:
                visible, motion = still_visible(before[0], frame), frame.planes["motion"].astype(np.float32)
                for way in WAYS:
                    errors[way].append(measures.warping_error(before[1][way], rendered[way], motion, visible))
            for way in WAYS:
                sharp[way].append(measures.sharpness(rendered[way]))
            video.add({"tags": TAG_COLOURS[frame.planes["tag"]], **rendered})
            before = frame, rendered
            progress(index + 1, frames)
    finally:
        video.close()
    alone = float(np.mean(errors[ALONE]))
    return {
        "frames": frames,
        "runtime": variants.runtime,
        **{
            way: {
                "warping_error": float(np.mean(errors[way])),
                "flicker": float(np.mean(errors[way])) / alone,
                "laplacian_variance": float(np.mean(sharp[way])),
            }
            for way in WAYS
        },
    }


def shift(model: str, runtime: str, frames: int, seed: int = 0, progress: OnProgress = _quiet) -> dict[str, Any]:
    """Run the shift test on every fifteenth frame of a drive; return the mean error, of 255."""
    town = TownDrive(seed=seed)
    town.ride()
    renderer = NeuralRenderer(model, runtime)
    errors = []
    for index in range(frames):
        frame = town.next_frame()
        if index % _SHIFT_EVERY == 0:
            errors.append(shift_error(renderer, frame))
        progress(index + 1, frames)
    return {"frames": len(errors), "error": float(np.mean(errors))}


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


def drift(
    model: str, runtime: str, frames: int, seed: int = 0, threads: int | None = None, progress: OnProgress = _quiet
) -> dict[str, Any]:
    """Return label fidelity, brightness and sharpness of the last 50 of ``frames`` frames of one drive.

    They are measured with the state of the whole drive, and with one that starts 100 frames before the end; ``worst``
    is the greatest relative difference.
    """
    town = TownDrive(seed=seed)
    town.ride()
    old, fresh = NeuralRenderer(model, runtime), NeuralRenderer(model, runtime)
    segmenter = MetricNetwork(HERE / "segmenter.onnx", threads)
    names = ("kept", "afresh")
    tallies = {name: np.zeros((len(CAMVID_CLASSES),) * 2, np.int64) for name in names}
    bright: dict[str, list[float]] = {name: [] for name in names}
    sharp: dict[str, list[float]] = {name: [] for name in names}
    for index in range(frames):
        frame = town.next_frame()
        images = {"kept": old.render(frame)}
        if index >= frames - _RESTART:
            images["afresh"] = fresh.render(frame)
        if index >= frames - _COMPARISON:
            label = camvid_label(frame.planes["tag"], frame.planes["instance"])
            for name, image in images.items():
                tallies[name] += confusion(segmenter(image)[0], label)
                bright[name].append(float(image.mean()))
                sharp[name].append(measures.sharpness(image))
        progress(index + 1, frames)
    result: dict[str, Any] = {"frames": frames, "compared": _COMPARISON}
    for name in names:
        result[name] = {
            "mean_iou": float(np.nanmean(iou(tallies[name]))),
            "brightness": float(np.mean(bright[name])),
            "laplacian_variance": float(np.mean(sharp[name])),
        }
    kept, afresh = result["kept"], result["afresh"]
    result["change"] = {key: kept[key] / afresh[key] - 1.0 for key in kept}
    result["worst"] = max(abs(value) for value in result["change"].values())
    return result


def comes_back(
    model: str, runtime: str, seed: int = 0, most: int | None = None, progress: OnProgress = _quiet
) -> dict[str, Any]:
    """Drive a loop twice, the second time 0.2 m to the side and between the frames of the first; return the PSNR, dB,
    of houses in the second lap against the first lap's image warped to it, with and without state.

    ``most``: frames of a lap; None: all. ``progress``: called with the number of finished frames and of all frames of
    both laps.
    """
    town = TownLoop(seed=seed)
    lap = min(town.lap, most or town.lap)
    kept, alone = NeuralRenderer(model, runtime), NeuralRenderer(model, runtime)
    first: dict[int, tuple[Frame, dict[str, np.ndarray]]] = {}
    ratios: dict[str, list[float]] = {SHIPPED: [], ALONE: []}
    for index in range(2 * lap):
        again, number = index >= lap, index % lap
        frame = town.frame(number + (0.5 if again else 0.0), lateral=0.2 if again else 0.0)
        images = {SHIPPED: kept.render(frame)}
        if number % _RETURN_EVERY == 0:
            alone.reset()
            images[ALONE] = alone.render(frame)
            if not again:
                first[number] = frame, images
            else:
                _compare(first[number], frame, images, ratios)
        progress(index + 1, 2 * lap)
    return {
        "lap": lap,
        "compared": len(ratios[SHIPPED]),
        **{name: {"psnr": float(np.mean(values)) if values else None} for name, values in ratios.items()},
    }


def _compare(
    then: tuple[Frame, dict[str, np.ndarray]],
    now: Frame,
    images: dict[str, np.ndarray],
    ratios: dict[str, list[float]],
) -> None:
    """Add the PSNR on houses that both frames see, of the images of ``now`` against those of ``then`` warped to it."""
    before, rendered = then
    motion = reproject(now.planes["depth"], now.camera, before.camera.pose)
    rows, columns, inside = warp_source(motion)
    old, here = before.planes, now.planes
    visible = inside & (here["tag"] == Tag.BUILDING) & (here["instance"] == old["instance"][rows, columns])
    visible &= np.abs(old["depth"][rows, columns] / here["depth"] - 1.0) < 0.1
    if visible.sum() < _LEAST_WALL:
        return
    for name, values in ratios.items():
        values.append(measures.psnr(measures.warp(rendered[name], motion.astype(np.float32)), images[name], visible))
