"""Measurements on drives through the embedded town: flicker, the shift test, drift, and return to a place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridge.link.motion import reproject
from bridge.messages import Frame
from bridge.tags import COLOURS as TAG_COLOURS
from bridge.tags import Tag
from neuralsim.evaluation import measures
from neuralsim.evaluation.ablations import ALONE, SHIPPED, WAYS, ThreeWays
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, HERE, MetricNetwork, confusion, iou
from neuralsim.evaluation.real_clip import camvid_of_tag
from neuralsim.evaluation.side_by_side import Video
from neuralsim.evaluation.stability import shift_error, warp
from neuralsim.models.warp import still_visible, warp_source
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.town_drive import TownDrive, TownLoop

_SHIFT_EVERY = 15  # frames
_AFRESH, _FROM = 100, 50  # frames before the end: the state is started afresh; from there on it is compared
_RETURN_EVERY = 12  # frames
_LEAST_WALL = 400  # px of houses for a pair of frames to count

OnProgress = Callable[[int, int], None]


def _quiet(_done: int, _all: int) -> None:
    """No progress shown."""


def flicker(
    model: str, runtime: str, frames: int, out: Path, seed: int = 0, progress: OnProgress = _quiet
) -> dict[str, Any]:
    """Warping error (of 255, exact motion) and sharpness of a drive painted three ways; ``flicker`` is the warping
    error over that of the same weights frame by frame. Writes ``out/town.mp4``.

    Args:
        model: Name of a shipped model or a folder.
        runtime: As for ``neuralsim.runtimes.create``.
        frames: How many.
        out: Folder for the video.
        seed: Of the town's traffic.
        progress: Called with the frames done and all of them.
    """
    town = TownDrive(seed=seed)
    town.ride()
    painter = ThreeWays(model, runtime)
    video = Video(out / "town.mp4", {"tags": "tags", **{way: way.replace("_", " ") for way in WAYS}}, 30.0)
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    sharp: dict[str, list[float]] = {way: [] for way in WAYS}
    before: tuple[Frame, dict[str, np.ndarray]] | None = None
    try:
        for index in range(frames):
            frame = town.next()
            painted = painter.paint(frame)
            if before is not None:
                seen, motion = still_visible(before[0], frame), frame.planes["motion"].astype(np.float32)
                for way in WAYS:
                    errors[way].append(measures.warping_error(before[1][way], painted[way], motion, seen))
            for way in WAYS:
                sharp[way].append(measures.sharpness(painted[way]))
            video.add({"tags": TAG_COLOURS[frame.planes["tag"]], **painted})
            before = frame, painted
            progress(index + 1, frames)
    finally:
        video.close()
    alone = float(np.mean(errors[ALONE]))
    return {
        "frames": frames,
        "runtime": painter.runtime,
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
    """The shift test on every fifteenth of so many frames of a drive: mean error, of 255.

    Args:
        model: Name of a shipped model or a folder.
        runtime: As for ``neuralsim.runtimes.create``.
        frames: Of the drive.
        seed: Of the town's traffic.
        progress: Called with the frames done and all of them.
    """
    town = TownDrive(seed=seed)
    town.ride()
    renderer = NeuralRenderer(model, runtime)
    found = []
    for index in range(frames):
        frame = town.next()
        if index % _SHIFT_EVERY == 0:
            found.append(shift_error(renderer, frame))
        progress(index + 1, frames)
    return {"frames": len(found), "error": float(np.mean(found))}


def drift(
    model: str, runtime: str, frames: int, seed: int = 0, threads: int | None = None, progress: OnProgress = _quiet
) -> dict[str, Any]:
    """Obedience, brightness and sharpness of the last 50 of ``frames`` frames of one drive, with the state of all of
    them and with one started afresh 100 frames before the end; ``worst`` is the greatest relative difference.

    Args:
        model: Name of a shipped model or a folder.
        runtime: As for ``neuralsim.runtimes.create``.
        frames: Of the drive.
        seed: Of the town's traffic.
        threads: CPU threads of the segmenter, None = all.
        progress: Called with the frames done and all of them.
    """
    town = TownDrive(seed=seed)
    town.ride()
    old, fresh = NeuralRenderer(model, runtime), NeuralRenderer(model, runtime)
    segmenter, to_camvid = MetricNetwork(HERE / "segmenter.onnx", threads), camvid_of_tag()
    names = ("kept", "afresh")
    tallies = {name: np.zeros((len(CAMVID_CLASSES),) * 2, np.int64) for name in names}
    bright: dict[str, list[float]] = {name: [] for name in names}
    sharp: dict[str, list[float]] = {name: [] for name in names}
    for index in range(frames):
        frame = town.next()
        pictures = {"kept": old.render(frame)}
        if index >= frames - _AFRESH:
            pictures["afresh"] = fresh.render(frame)
        if index >= frames - _FROM:
            label = to_camvid[frame.planes["tag"]]
            for name, picture in pictures.items():
                tallies[name] += confusion(segmenter(picture)[0], label)
                bright[name].append(float(picture.mean()))
                sharp[name].append(measures.sharpness(picture))
        progress(index + 1, frames)
    result: dict[str, Any] = {"frames": frames, "compared": _FROM}
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
    """Drive a loop twice, the second time a hand's breadth beside and between the first's frames: PSNR, dB, of what is
    painted on houses the second time against the first time's picture seen from there, with and without state.

    Args:
        model: Name of a shipped model or a folder.
        runtime: As for ``neuralsim.runtimes.create``.
        seed: Of the town.
        most: Only so many frames of a lap.
        progress: Called with the frames done and all of both laps.
    """
    town = TownLoop(seed=seed)
    lap = min(town.lap, most or town.lap)
    kept, alone = NeuralRenderer(model, runtime), NeuralRenderer(model, runtime)
    first: dict[int, tuple[Frame, dict[str, np.ndarray]]] = {}
    found: dict[str, list[float]] = {SHIPPED: [], ALONE: []}
    for index in range(2 * lap):
        again, number = index >= lap, index % lap
        frame = town.frame(number + (0.5 if again else 0.0), aside=0.2 if again else 0.0)
        pictures = {SHIPPED: kept.render(frame)}
        if number % _RETURN_EVERY == 0:
            alone.reset()
            pictures[ALONE] = alone.render(frame)
            if not again:
                first[number] = frame, pictures
            else:
                _compare(first[number], frame, pictures, found)
        progress(index + 1, 2 * lap)
    return {
        "lap": lap,
        "compared": len(found[SHIPPED]),
        **{name: {"psnr": float(np.mean(values)) if values else None} for name, values in found.items()},
    }


def _compare(
    then: tuple[Frame, dict[str, np.ndarray]],
    now: Frame,
    pictures: dict[str, np.ndarray],
    found: dict[str, list[float]],
) -> None:
    """PSNR on houses that both frames see, of the pictures of ``now`` against those of ``then`` seen from there."""
    before, painted = then
    motion = reproject(now.planes["depth"], now.camera, before.camera.pose)
    rows, columns, inside = warp_source(motion)
    old, here = before.planes, now.planes
    seen = inside & (here["tag"] == Tag.BUILDING) & (here["instance"] == old["instance"][rows, columns])
    seen &= np.abs(old["depth"][rows, columns] / here["depth"] - 1.0) < 0.1
    if seen.sum() < _LEAST_WALL:
        return
    for name, values in found.items():
        values.append(measures.psnr(warp(painted[name], motion.astype(np.float32)), pictures[name], seen))
