"""``neuralsim evaluate``: every line by which a model is judged, as JSON and as a page with videos."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import yaml

from neuralsim import runtimes, zoo
from neuralsim.base.failure import reason
from neuralsim.base.progress import Progress
from neuralsim.classmaps import ClassMapError
from neuralsim.evaluation import clip, drives, page
from neuralsim.evaluation.judges import HERE as JUDGES
from neuralsim.evaluation.options import CLIP_PARTS, EvaluateOptions
from neuralsim.evaluation.ways import ALONE, SHIPPED, SMOOTHED
from neuralsim.offline.images import ImageError
from neuralsim.recording.mp4 import RecordingError
from neuralsim.renderer.neural_renderer import NeuralRenderer, RuntimeUnavailable

_COST_SIZE, _COST_STEPS = (512, 256), 40


@dataclass(frozen=True)
class Line:
    """A row of the table: where its figure lies in the results, and the bounds it is held against."""

    name: str
    what: str
    path: tuple[str, ...]  # {way} stands for the way of painting
    low: float | None = None
    high: float | None = None
    aim: str = ""

    def row(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """The line with its figures, None where it was not measured."""
        found = {way: _at(results, [step.format(way=way) for step in self.path]) for way in (SHIPPED, ALONE, SMOOTHED)}
        value = found[SHIPPED]
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
            ALONE: found[ALONE] if ways else None,
            SMOOTHED: found[SMOOTHED] if ways else None,
            "limit": bounds.get((low is not None, high is not None), "reported"),
            "aim": self.aim,
            "met": met,
        }


LINES = (
    Line("obedience", "mIoU of the CamVid segmenter on the output, over its mIoU on the real frames",
         ("clip", "{way}", "obedience"), low=0.88, aim="≥ 0.95"),
    Line("realism", "Fréchet distance generated–real over real half–real half, EfficientNet-Lite2 at stride 16",
         ("clip", "{way}", "realism"), high=1.6, aim="≤ 1.35"),
    Line("flicker, clip", "warping error over that of the real clip, dense inverse-search flow",
         ("clip", "{way}", "flicker"), high=1.25, aim="≤ 1.1"),
    Line("flicker, town", "warping error over that of the same weights frame by frame, exact motion",
         ("town", "{way}", "flicker"), high=0.4, aim="≤ 0.25"),
    Line("sharpness", "variance of the Laplacian after a Gaussian of 1 px, over that of the real clip",
         ("clip", "{way}", "sharpness"), low=0.6, high=1.4, aim="0.8 to 1.25"),
    Line("shift test", "map and surfaces moved by 2, 4, 6 px: mean error, of 255, of the picture moved back",
         ("shift", "error"), high=2.5, aim="≤ 1"),
    Line("drift", "greatest change of obedience, brightness, sharpness at a drive's end against a fresh state",
         ("drift", "worst"), high=0.05),
    Line("return", "PSNR, dB, of houses on the second lap against the first",
         ("return", "{way}", "psnr"), aim="as high as it gets"),
    Line("cost", "ms per step at 512x256 on this machine, the shortest of 40", ("cost", "ms"), high=15.0, aim="11 ms"),
)  # fmt: skip


def run(options: EvaluateOptions) -> int:
    """Measure, write ``figures.json`` and ``index.html``; returns the exit code. Problems are one line on stderr."""
    try:
        results = measure(options)
        _write(options, results)
    except (ImageError, ClassMapError, zoo.ModelError, RuntimeUnavailable, RecordingError) as error:
        print(f"neuralsim: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"neuralsim: {options.out}: {reason(error)}", file=sys.stderr)
        return 1
    for row in rows(results):
        verdict = {True: "met", False: "missed", None: ""}[row["met"]]
        print(f"{row['name']:14} {page.number(row['value']):>8}  {row['limit']:12} {verdict}")
    print(f"{options.out / 'index.html'}")
    return 0


def measure(options: EvaluateOptions) -> dict[str, Any]:
    """All wanted parts, by name. Raises what its parts raise."""
    card = zoo.load(options.model)
    runtimes.check(options.runtime)
    results: dict[str, Any] = {"model": card.name, "seed": options.seed}
    options.out.mkdir(parents=True, exist_ok=True)
    model, runtime, wanted = options.model, options.runtime, options.parts
    on_clip = [part for part in wanted if part in CLIP_PARTS]
    if options.data and on_clip:
        found = clip.find(*options.data, options.real, options.motion)
        results["judges"] = yaml.safe_load((JUDGES / "card.yaml").read_text(encoding="utf-8"))
        with _Shown("clip") as shown:
            results["clip"] = clip.evaluate(
                found, model, runtime, on_clip, options.out, options.size, options.style, options.frames,
                options.threads, shown,
            )  # fmt: skip
    if "town" in wanted:
        with _Shown("town") as shown:
            results["town"] = drives.flicker(model, runtime, options.town_frames, options.out, options.seed, shown)
    if "shift" in wanted:
        with _Shown("shift") as shown:
            results["shift"] = drives.shift(model, runtime, options.town_frames, options.seed, shown)
    if "drift" in wanted:
        with _Shown("drift") as shown:
            results["drift"] = drives.drift(model, runtime, options.drift_frames, options.seed, options.threads, shown)
    if "return" in wanted:
        with _Shown("return") as shown:
            results["return"] = drives.comes_back(model, runtime, options.seed, options.frames, shown)
    if "cost" in wanted:
        renderer = NeuralRenderer(model, runtime, size=_COST_SIZE)
        results["cost"] = {"ms": 1e3 * renderer.seconds_per_step(_COST_STEPS), "runtime": renderer.runtime}
    return results


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The table's rows that were measured."""
    return [row for line in LINES if (row := line.row(results)) is not None]


def _write(options: EvaluateOptions, results: dict[str, Any]) -> None:
    text = json.dumps({"table": rows(results), **results}, indent=1, ensure_ascii=False)
    (options.out / "figures.json").write_text(text + "\n", encoding="utf-8")
    videos = {}
    if "clip" in results:
        videos["The real clip, and painted from its labels alone"] = options.out / "clip.mp4"
    if "town" in results:
        videos["A drive through the embedded town"] = options.out / "town.mp4"
    page.write(options.out / "index.html", f"Evaluation of {results['model']}", rows(results), text, videos)


def _at(tree: Any, path: list[str]) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


class _Shown:
    """A part's progress on stderr, and how long it took."""

    def __init__(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()
        self._progress: Progress | None = None

    def __enter__(self) -> _Shown:
        return self

    def __call__(self, done: int, wanted: int) -> None:
        if self._progress is None:
            self._progress = Progress(wanted)
        self._progress.count(done, done / max(1e-6, time.monotonic() - self._begun))

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.close()
        print(f"{self._name}: {time.monotonic() - self._begun:.0f} s", file=sys.stderr)
