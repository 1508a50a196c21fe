"""``neuralsim model evaluate``: all measures of a model, as JSON and as a page with videos."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from neuralsim import runtimes, zoo
from neuralsim.base.failure import fail, reason
from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.classmaps import ClassMapError
from neuralsim.evaluation import (
    class_realism,
    content,
    drive_metrics,
    html_report,
    real_clip,
    step_ablation,
    town_realism,
    upscaling_quality,
)
from neuralsim.evaluation.ablations import ALONE, SHIPPED, SMOOTHED
from neuralsim.evaluation.metric_networks import HERE as METRIC_NETWORKS
from neuralsim.evaluation.options import CLIP_PARTS, EvaluateOptions
from neuralsim.imaging.image_files import ImageError
from neuralsim.recording import RecordingError
from neuralsim.renderer.neural_renderer import NeuralRenderer, RuntimeUnavailable

_COST_SIZE = 512, 256  # px
_COST_STEPS = 40


@dataclass(frozen=True)
class Criterion:
    """A row of the table: the path of its figure in the results, and its limits."""

    name: str
    what: str
    path: tuple[str, ...]  # {way} stands for the variant of the model
    low: float | None = None
    high: float | None = None
    aim: str = ""

    def spread(self, results: dict[str, Any]) -> float | None:
        """Return the standard deviation of the figure over the seeds, None for one that has none."""
        figure = _at(results.get("spread"), [step.format(way=SHIPPED) for step in self.path])
        return figure if isinstance(figure, float) else None

    def row(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Return the row with its figures, None where it was not measured."""
        figures = {
            way: _at(results, [step.format(way=way) for step in self.path]) for way in (SHIPPED, ALONE, SMOOTHED)
        }
        value = figures[SHIPPED]
        if value is None:
            return None
        ways = "{way}" in self.path
        low, high = self.low, self.high
        met = (
            None if low is None and high is None else (low is None or value >= low) and (high is None or value <= high)
        )
        bounds = {(True, False): f"≥ {low}", (False, True): f"≤ {high}", (True, True): f"{low} to {high}"}
        return {
            "name": self.name,
            "what": self.what,
            "value": value,
            "spread": self.spread(results),
            ALONE: figures[ALONE] if ways else None,
            SMOOTHED: figures[SMOOTHED] if ways else None,
            "limit": bounds.get((low is not None, high is not None), "reported"),
            "aim": self.aim,
            "met": met,
        }


LINES = (
    Criterion("label fidelity", "the CamVid segmenter's mIoU on the output over its mIoU on the real frames",
              ("clip", "{way}", "label_fidelity"), low=0.88, aim="≥ 0.95"),
    Criterion("realism", "Fréchet ratio (as FID): generated–real over half–half of real, EfficientNet-Lite2, stride 16",
              ("clip", "{way}", "realism"), high=1.6, aim="≤ 1.35"),
    Criterion("realism, vehicles", "Fréchet ratio of crops around vehicles, each at 96 px, means of the same layer",
              ("clip", "{way}", "objects", "vehicles", "ratio")),
    Criterion("realism, people", "the same for people and cycles",
              ("clip", "{way}", "objects", "people", "ratio")),
    Criterion("flicker, clip", "warping error over that of the real clip, dense inverse-search flow",
              ("clip", "{way}", "flicker"), high=1.25, aim="≤ 1.1"),
    Criterion("flicker, town", "warping error over that of the same weights frame by frame, exact motion",
              ("town", "{way}", "flicker"), high=0.4, aim="≤ 0.25"),
    Criterion("sharpness", "variance of the Laplacian after a Gaussian of 1 px, over that of the real clip",
              ("clip", "{way}", "sharpness"), low=0.6, high=1.4, aim="0.8 to 1.25"),
    Criterion("shift test", "map and surfaces moved by 2, 4, 6 px: mean error, of 255, of the image moved back",
              ("shift", "error"), high=2.5, aim="≤ 1"),
    Criterion("drift", "greatest change of label fidelity, brightness, sharpness at the end against a fresh state",
              ("drift", "worst"), high=0.05),
    Criterion("return", "PSNR, dB, of houses on the second lap against the first",
              ("return", "{way}", "psnr"), aim="as high as possible"),
    Criterion("vehicles' colour", "median distance in CIELAB's (a, b) from the simulator image, from 400 px on",
              ("content", "vehicle", "chroma_difference"), high=8.0),
    Criterion("vehicles' tone", "rank correlation of their lightness with that in the simulator image",
              ("content", "vehicle", "lightness_rank"), low=0.8),
    Criterion("traffic lights", "share of those within 40 m whose colour is rendered, no lamp drawn on top",
              ("content", "traffic_lights", "read"), low=0.98),
    Criterion("drives", "Fréchet distance of recorded drives of four towns to real frames (Lite2, stride 16)",
              ("drives", "recorded", "stride16"), high=230.0, aim="≤ 190"),
    Criterion("classes", "Fréchet ratio of cells of one class, mean of six: drives to two real sets, over set to set",
              ("classes", "model", "mean")),
    Criterion("classes, simulator", "the same of the simulator image",
              ("classes", "simulator", "mean")),
    Criterion("classes, recordings", "the same of recordings' generated images",
              ("classes", "recordings", "mean")),
    Criterion("classes, photographs", "the same of further real sets, their mean",
              ("classes", "photographs", "mean")),
    Criterion("cost", "ms per step at 512x256 on this machine, the shortest of 40",
              ("cost", "ms"), high=15.0, aim="11 ms"),
    Criterion("upscaled", "distance to 1024x512 rendered by 16 shifted cameras, over that of half the size scaled up",
              ("upscaling", "distance_ratio"), high=0.5, aim="≤ 0.35"),
    Criterion("stairs", "misfit of gradients along outlines against the same, over that of half the size scaled up",
              ("upscaling", "stairs_ratio"), high=0.4, aim="≤ 0.25"),
    Criterion("upscaling", "ms of composing an image of 1024x512, in addition to rendering",
              ("upscaling", "ms"), high=6.0, aim="4 ms"),
)  # fmt: skip


def run(options: EvaluateOptions) -> int:
    """Measure and write ``figures.json`` and ``index.html``; returns the exit code. Problems are one line on stderr."""
    try:
        results = measure(options)
        _write(options, results)
    except (ImageError, ClassMapError, zoo.ModelError, RuntimeUnavailable, RecordingError) as error:
        return fail(error)
    except OSError as error:
        return fail(f"{options.out}: {reason(error)}")
    for row in rows(results):
        verdict = {True: "met", False: "missed", None: ""}[row["met"]]
        spread = "" if row["spread"] is None else f"± {html_report.number(row['spread'])}"
        print(f"{row['name']:22} {html_report.number(row['value']):>8} {spread:8} {row['limit']:12} {verdict}")
    if "steps" in results:
        print(step_ablation.table(results["steps"]["gains"]), end="")
    print(f"{options.out / 'index.html'}")
    return 0


def measure(options: EvaluateOptions) -> dict[str, Any]:
    """Return the results of all requested parts, by name. Raises what the parts raise."""
    card = zoo.load(options.model)
    runtimes.check(options.runtime)
    results: dict[str, Any] = {"model": card.name, "seeds": list(options.seeds), "spread": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    model, runtime, requested = options.model, options.runtime, options.parts
    on_clip = [part for part in requested if part in CLIP_PARTS]
    if options.data and on_clip:
        clip = real_clip.find(*options.data, options.real, options.motion)
        results["judges"] = yaml.safe_load((METRIC_NETWORKS / "card.yaml").read_text(encoding="utf-8"))
        with _Shown("clip") as shown:
            results["clip"] = real_clip.evaluate(
                clip, model, runtime, on_clip, options.out, options.size, options.style, options.frames,
                options.threads, shown,
            )  # fmt: skip
    frames, threads = options.town_frames, options.threads
    parts: dict[str, Callable[[int, _Shown], Any]] = {
        "town": lambda seed, shown: drive_metrics.flicker(model, runtime, frames, options.out, seed, shown),
        "shift": lambda seed, shown: drive_metrics.shift(model, runtime, frames, seed, shown),
        "drift": lambda seed, shown: drive_metrics.drift(model, runtime, options.drift_frames, seed, threads, shown),
        "return": lambda seed, shown: drive_metrics.comes_back(model, runtime, seed, options.frames, shown),
        "content": lambda seed, shown: content.content(model, runtime, options.content_frames, seed, progress=shown),
        "drives": lambda seed, shown: town_realism.realism(
            model, runtime, options.drives_real, options.drives_frames, seed, threads, progress=shown
        ),
        "classes": lambda seed, shown: class_realism.realism(
            model,
            runtime,
            options.classes_real,
            options.classes_frames,
            seed,
            threads,
            recordings=[file for folder in options.classes_recordings for file in sorted(folder.rglob("*.mcap"))],
            progress=shown,
        ),
        "upscaling": lambda seed, shown: upscaling_quality.measure(
            model, runtime, options.upscaling_frames, options.out, seed, threads, shown
        ),
    }
    needed = {"drives": options.drives_real, "classes": options.classes_real}
    for name, part in parts.items():
        if name in requested and needed.get(name, True):
            by_seed = []
            for seed in options.seeds:
                with _Shown(f"{name}, seed {seed}") as shown:
                    by_seed.append(part(seed, shown))
            results[name], results["spread"][name] = over_seeds(by_seed)
    if "cost" in requested:
        results["cost"] = _cost(model, runtime)
    if "steps" in requested and options.classes_real:
        results["steps"] = _steps(options)
    return results


def over_seeds(results: list[Any]) -> tuple[Any, Any]:
    """Return the results of several seeds as one, in which every float is their mean, and its standard deviations.

    What is no float, and what a seed lacks, is that of the first one.
    """
    first = results[0]
    if isinstance(first, dict):
        pairs = {key: over_seeds([each.get(key) for each in results]) for key in first}
        return {key: mean for key, (mean, _) in pairs.items()}, {key: spread for key, (_, spread) in pairs.items()}
    if isinstance(first, float) and all(isinstance(each, float) for each in results):
        return float(np.mean(results)), float(np.std(results)) if len(results) > 1 else None
    return first, None


def _steps(options: EvaluateOptions) -> dict[str, Any]:
    model, runtime, threads, results = options.model, options.runtime, options.threads, dict[str, Any]()
    results["classes"] = []
    for seed in options.seeds:
        with _Shown(f"steps, seed {seed}") as shown:
            results["classes"].append(
                step_ablation.classes(
                    model, runtime, options.classes_real, options.classes_frames, seed, threads, progress=shown
                )
            )
    results["fidelity"] = {}
    for real in options.classes_real[:2]:
        with _Shown(f"steps, maps of {real[0]}") as shown:
            results["fidelity"][real[0]] = step_ablation.fidelity(model, runtime, real, threads, progress=shown)
    if options.data:
        clip = real_clip.find(*options.data, options.real, options.motion)
        with _Shown("steps, clip") as shown:
            results["flicker"] = step_ablation.flicker(
                model, runtime, clip, options.out, options.frames, progress=shown
            )
    return results | {"gains": step_ablation.gains(results)}


def _cost(model: str, runtime: str) -> dict[str, Any]:
    renderer = NeuralRenderer(model, runtime, size=_COST_SIZE)
    return {"ms": 1e3 * renderer.seconds_per_step(_COST_STEPS), "runtime": renderer.runtime}


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table that were measured."""
    return [row for line in LINES if (row := line.row(results)) is not None]


def _write(options: EvaluateOptions, results: dict[str, Any]) -> None:
    text = json.dumps({"table": rows(results), **results}, indent=1, ensure_ascii=False)
    (options.out / "figures.json").write_text(text + "\n", encoding="utf-8")
    videos = {}
    if "clip" in results:
        videos["The real clip, and rendered from its labels alone"] = options.out / "clip.mp4"
    if "town" in results:
        videos["A drive through the embedded town"] = options.out / "town.mp4"
    if "upscaling" in results:
        videos["Rendered at half the size and scaled up, upscaled, and the reference"] = options.out / "upscaling.mp4"
    html_report.write(options.out / "index.html", f"Evaluation of {results['model']}", rows(results), text, videos)


def _at(tree: Any, path: list[str]) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


class _Shown:
    def __init__(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()
        self._progress: ProgressLine | None = None

    def __enter__(self) -> _Shown:
        return self

    def __call__(self, done: int, total: int) -> None:
        if self._progress is None:
            self._progress = ProgressLine(total)
        self._progress.count(done, done / max(1e-6, time.monotonic() - self._begun))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._progress is not None:
            self._progress.close()
        if kind is None:
            logger().info(f"{self._name}: {time.monotonic() - self._begun:.0f} s")
