"""What each step after the network gains and costs: the same images with all steps, with none, and without each one.

A step that gains nothing on material that it was not tuned on is better left out. So drives have several seeds, and the
real label maps two halves: one to choose by, and the other to publish.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.messages import Frame
from bridge.weather import FAIR_WEATHER
from neuralsim import classmaps
from neuralsim.evaluation import class_realism, measures
from neuralsim.evaluation.content import TOWNS
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, HERE, MetricNetwork, confusion, iou
from neuralsim.evaluation.real_clip import LabelledClip, camvid_of_tag, metric_size
from neuralsim.evaluation.town_realism import SIZE
from neuralsim.imaging import optical_flow
from neuralsim.imaging.image_files import find_image, list_images, read_ids, read_image
from neuralsim.models.classes import CARLA_TO_CHANNEL
from neuralsim.offline import flow_folder, render_folder
from neuralsim.offline.options import RenderOptions
from neuralsim.renderer.frame_renderer import GeneratedImage
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.postprocessing import pipeline
from neuralsim.town.town_drive import TownDrive

ALL = "all"
NONE = "none"
#: The steps that are measured: those on images. What changes the past is judged by flicker and drift.
MEASURED = tuple(step.name for step in (*pipeline.ON_GENERATED, *pipeline.ON_IMAGE))
HALVES = "first", "second"
_ON_PAST = frozenset(step.name for step in pipeline.ON_PAST)
_APART = 8  # frames of a drive from one that is measured to the next
_PER_CAR = 5  # of these
_MAPS = 60  # label maps of each set

Progress = Callable[[int, int], None]


def variants(steps: Sequence[str] = MEASURED) -> dict[str, frozenset[str]]:
    """Return the names of the steps of each variant: all of them, none, and all but each of ``steps``."""
    everything = frozenset(MEASURED)
    return {ALL: everything, NONE: frozenset(), **{step: everything - {step} for step in steps}}


class Times:
    """CPU times of steps, s by name, one for each image."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = defaultdict(list)

    def medians(self) -> dict[str, float]:
        """Return the median of each step, ms."""
        return {name: 1e3 * float(np.median(times)) for name, times in self.of.items()}


def finished(
    renderer: NeuralRenderer, generated: GeneratedImage, chosen: Mapping[str, Collection[str]], times: Times
) -> dict[str, np.ndarray]:
    """Return the image u8 (H, W, 3) of each variant in ``chosen``; equal ones are the same object.

    The renderer has no steps of its own but those on the past. ``times`` gets those of the steps of ``ALL``.
    """
    scene = renderer.scene(generated.inputs)
    out: dict[str, np.ndarray] = {}
    for name, names in chosen.items():
        image = generated.rgb.copy()
        for step in (*pipeline.ON_GENERATED, *pipeline.ON_IMAGE):
            begun = time.process_time()
            pipeline.run_steps(image, scene, (step,), names)
            if name == ALL:
                times.of[step.name].append(time.process_time() - begun)
        same = next((other for other in (out.get(ALL), out.get(NONE)) if other is not None), None)
        out[name] = same if same is not None and np.array_equal(same, image) else image
    return out


def town_images(
    model: str, runtime: str, town: str, seed: int, count: int, chosen: Mapping[str, Collection[str]], times: Times
) -> Iterator[tuple[Frame, dict[str, np.ndarray]]]:
    """Yield ``count`` frames of rides through a town on a fair day, and their images by variant."""
    renderer = NeuralRenderer(model, runtime, postprocess=_ON_PAST)
    renderer.follow(FAIR_WEATHER)
    drive = TownDrive(*SIZE, seed=seed, town=town)
    for index in range(count * _APART):
        if index % (_PER_CAR * _APART) == 0:
            drive.ride()
            renderer.reset()
        frame = drive.next_frame(colour="rgb")
        generated = renderer.generate(frame)
        if index % _APART == _APART - 1:
            yield frame, finished(renderer, generated, chosen, times)


def classes(
    model: str,
    runtime: str,
    real: Sequence[tuple[str, Path]],
    frames: int,
    seed: int,
    threads: int | None = None,
    steps: Sequence[str] = MEASURED,
    progress: Progress = lambda _done, _all: None,
) -> dict[str, Any]:
    """Return the realism class by class (``class_realism``) of each variant on one seed's drives through the towns, and
    the steps' CPU times, ms.

    ``real``: two sets of labelled images: class map and folder.

    Raises:
        ImageError, ClassMapError: As ``class_realism.realism``.
    """
    network = MetricNetwork(HERE / "features.onnx", threads)
    sets = [class_realism.real_cells(network, *each)[1] for each in real[:2]]
    chosen, times = variants(steps), Times()
    samples: dict[str, dict[str, list[np.ndarray]]] = {
        name: {each: [] for each in class_realism.CLASSES} for name in chosen
    }
    per_town, done = max(1, frames // len(TOWNS)), 0
    for town in TOWNS:
        for frame, images in town_images(model, runtime, town, seed, per_town, chosen, times):
            channels = CARLA_TO_CHANNEL[frame.planes["tag"]]
            known: dict[int, dict[str, np.ndarray]] = {}
            for name, image in images.items():
                if id(image) not in known:
                    known[id(image)] = class_realism.cells(network, image, channels)
                for each, rows in known[id(image)].items():
                    samples[name][each].append(rows)
            done += 1
            progress(done, per_town * len(TOWNS))
    joined = {name: {each: np.concatenate(rows) for each, rows in sample.items()} for name, sample in samples.items()}
    return {
        "frames": done,
        "classes": {name: class_realism.compare(sample, *sets) for name, sample in joined.items()},
        "ms": times.medians(),
    }


@dataclass
class _Half:
    """Sums over one half of a set of label maps: the segmenter's confusions by variant, and on the real images."""

    real: np.ndarray = field(default_factory=lambda: np.zeros((len(CAMVID_CLASSES),) * 2, np.int64))
    own: dict[str, np.ndarray] = field(default_factory=dict)

    def fidelity(self, name: str) -> float:
        """Return the mean IoU of a variant over that on the real images."""
        return float(np.nanmean(iou(self.own[name])) / np.nanmean(iou(self.real)))


def fidelity(
    model: str,
    runtime: str,
    real: tuple[str, Path],
    threads: int | None = None,
    steps: Sequence[str] = MEASURED,
    progress: Progress = lambda _done, _all: None,
) -> dict[str, Any]:
    """Return the label fidelity of each variant on label maps of real images, rendered one by one as ``neuralsim
    render`` does, for each of ``HALVES``: every other map.

    ``real``: class map and folder of labelled images.

    Raises:
        ImageError, ClassMapError: One line.
    """
    segmenter = MetricNetwork(HERE / "segmenter.onnx", threads)
    class_map, pairs = classmaps.load(real[0]), class_realism.labelled_images(real[1])
    places = np.unique(np.linspace(0, len(pairs) - 1, min(_MAPS, len(pairs))).astype(int))
    chosen, times = variants(steps), Times()
    renderer = NeuralRenderer(model, runtime, guide="exemplars", postprocess=_ON_PAST)
    if class_map.style in renderer.card.styles:
        renderer.set_style(str(class_map.style))
    options = RenderOptions(labels=real[1], classes=real[0], out=real[1])
    halves = {half: _Half() for half in HALVES}
    for number, place in enumerate(places):
        image_file, label_file = pairs[place]
        half = halves[HALVES[number % 2]]
        (item,) = render_folder.maps(options, class_map, [label_file], render_folder.LabelCensus())
        photograph = cv2.cvtColor(read_image(image_file), cv2.COLOR_BGR2RGB)
        label = metric_size(camvid_of_tag()[class_map.tags[read_ids(label_file)]], cv2.INTER_NEAREST)
        half.real += confusion(segmenter(metric_size(photograph, cv2.INTER_AREA))[0], label)
        renderer.reset()
        known: dict[int, np.ndarray] = {}
        images = finished(renderer, renderer.generate(item.frame), chosen, times)
        for name, image in images.items():
            if id(image) not in known:
                shown = metric_size(render_folder.finish_image(image, item, False), cv2.INTER_AREA)
                known[id(image)] = confusion(segmenter(shown)[0], label)
            half.own[name] = half.own.get(name, 0) + known[id(image)]
        progress(number + 1, len(places))
    return {
        "maps": len(places),
        **{half: {name: sums.fidelity(name) for name in chosen} for half, sums in halves.items() if sums.own},
    }


def flicker(
    model: str,
    runtime: str,
    clip: LabelledClip,
    out: Path,
    frames: int | None = None,
    steps: Sequence[str] = MEASURED,
    progress: Progress = lambda _done, _all: None,
) -> dict[str, Any]:
    """Return the flicker of each variant on a real clip, over that of the real one, for each half of it.

    ``clip``: labels, images and perhaps motion. ``out``: folder for estimated motion.

    Raises:
        ImageError, ClassMapError: One line.
    """
    class_map, files = classmaps.load(clip.classes), list_images(clip.labels)[:frames]
    motions = clip.motion or out / "motion"
    if clip.motion is None:
        flow_folder.run([find_image(clip.images, file.stem) for file in files], motions)
    options = RenderOptions(labels=clip.labels, classes=clip.classes, out=out, sequence=True, motion=motions)
    renderer = NeuralRenderer(model, runtime, guide="exemplars", postprocess=_ON_PAST)
    if class_map.style in renderer.card.styles:
        renderer.set_style(str(class_map.style))
        renderer.reset()
    chosen, times = variants(steps), Times()
    errors: dict[str, dict[str, list[float]]] = {half: defaultdict(list) for half in HALVES}
    before: dict[str, np.ndarray] = {}
    for index, item in enumerate(render_folder.maps(options, class_map, files, render_folder.LabelCensus())):
        images = finished(renderer, renderer.generate(item.frame), chosen, times)
        shown = {name: render_folder.finish_image(image, item, True) for name, image in images.items()}
        shown["real"] = cv2.cvtColor(read_image(find_image(clip.images, item.name)), cv2.COLOR_BGR2RGB)
        if index:
            half = HALVES[2 * index // len(files)]
            motion, valid = optical_flow.load(find_image(motions, item.name))
            for name, image in shown.items():
                errors[half][name].append(measures.warping_error(before[name], image, motion, valid))
        before = shown
        progress(index + 1, len(files))
    means = {half: {name: float(np.mean(each)) for name, each in of.items()} for half, of in errors.items() if of}
    return {half: {name: of[name] / of["real"] for name in chosen} for half, of in means.items()}


def gains(results: Mapping[str, Any], steps: Sequence[str] = MEASURED) -> list[dict[str, Any]]:
    """Return a row for each step, and one for all of them together, with what it gains; positive is better.

    ``results``: ``classes``: what ``classes`` returned, one for each seed; ``fidelity``: by set, what ``fidelity``
    returned; ``flicker``: what ``flicker`` returned. Any of them may be missing.
    """
    reasons = {step.name: step.reason for step in pipeline.STEPS}
    by_seed = [each["classes"] for each in results.get("classes", ())]
    rows = []
    for step in (*steps, NONE):
        row: dict[str, Any] = {"step": step, "reason": reasons.get(step, "all steps together")}
        if by_seed:
            row |= {"classes": None, "classes_spread": None}  # for too few frames
            if all(each[ALL]["mean"] is not None for each in by_seed):
                differences = [each[step]["mean"] - each[ALL]["mean"] for each in by_seed]
                row |= {"classes": float(np.mean(differences)), "classes_spread": float(np.std(differences))}
            times = [each["ms"] for each in results["classes"]]
            row["ms"] = float(np.mean([sum(each.values()) if step == NONE else each[step] for each in times]))
        for name, of_set in results.get("fidelity", {}).items():
            row |= {f"fidelity_{name}_{half}": of_set[half][ALL] - of_set[half][step] for half in HALVES}
        for half, of in results.get("flicker", {}).items():
            row[f"flicker_{half}"] = of[step] - of[ALL]
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return ``rows`` as a table in Markdown."""
    columns = [name for name in rows[0] if name not in ("step", "reason", "classes_spread")]
    lines = ["| " + " | ".join(["step", "reason", *columns]) + " |", "| --- | --- " + "| ---: " * len(columns) + "|"]
    for row in rows:
        cells = ["–" if row[name] is None else f"{row[name]:{'.2f' if name == 'ms' else '+.3f'}}" for name in columns]
        if row.get("classes_spread") is not None:
            cells[columns.index("classes")] += f" ± {row['classes_spread']:.3f}"
        lines.append("| " + " | ".join([str(row["step"]), str(row["reason"]), *cells]) + " |")
    return "\n".join(lines) + "\n"
