"""The data card: what a data set contains, how it was made, under which terms, with histograms and a sample sheet."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim import __version__, zoo
from neuralsim.base.html_pages import render
from neuralsim.recording.labels import coco_annotations
from neuralsim.recording.reading.sequential_reader import McapRecording

SAMPLES = 24  # images of the sample sheet
_DISTANCES = (0, 10, 20, 40, 80, 1000)  # m, limits of the histogram of objects
_HEIGHTS = (0, 8, 16, 32, 64, 128, 100_000)  # px, limits of the histogram of boxes
_SAMPLED = 5  # frames between two that count in the histograms of pixels and boxes
_SHOWN = 0.001  # share of the pixels from which on a class is shown
_CONDITIONS = ("towns", "town_seeds", "weathers", "sun_altitude", "vehicles", "walkers", "speed")
_THUMBNAIL = 256  # px, width


def measure(recording: Path, thumbnail: Path) -> dict[str, Any]:
    """Return the figures of a recording, and write its middle image to ``thumbnail``. Raises ``RecordingError``.

    ``sha256`` is that of everything recorded but its arrangement in the file.
    """
    digest, frames = hashlib.sha256(), 0
    pixels, boxes, distances = np.zeros(256, np.int64), Counter[str](), np.zeros(len(_DISTANCES) - 1, np.int64)
    heights = np.zeros(len(_HEIGHTS) - 1, np.int64)
    images: list[bytes] = []
    for frame in McapRecording(recording).frames():
        for camera in (frame, *frame.views.values()):
            contents = {**{name: plane.tobytes() for name, plane in camera.planes.items()}, **camera.images}
            for name, content in sorted(contents.items()):
                digest.update(name.encode())
                digest.update(content)
            if frames % _SAMPLED == 0 and {"tag", "instance"} <= camera.planes.keys():
                pixels += np.bincount(camera.planes["tag"].ravel(), minlength=256)
                found = coco_annotations(camera.planes["tag"], camera.planes["instance"])
                boxes.update(Tag(each["category_id"]).name.lower() for each in found)
                heights += np.histogram([each["bbox"][3] for each in found], _HEIGHTS)[0]
        objects = frame.json.get("objects", {}).get("objects", [])
        digest.update(json.dumps(objects, sort_keys=True).encode())
        if objects and "camera" in frame.poses:
            places = np.array([each["pose"] for each in objects]).reshape(-1, 4, 4)[:, :2, 3] * (1.0, -1.0)
            distances += np.histogram(np.linalg.norm(places - frame.pose("camera")[:2, 3], axis=1), _DISTANCES)[0]
        if frame.images:
            images = [*images[-1:], frame.images.get("neural") or frame.images["rgb"]]
        frames += 1
    image = cv2.imdecode(np.frombuffer(images[0], np.uint8), cv2.IMREAD_COLOR) if images else None
    if image is not None:
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        height = round(_THUMBNAIL * image.shape[0] / image.shape[1])
        cv2.imwrite(str(thumbnail), cv2.resize(image, (_THUMBNAIL, height), interpolation=cv2.INTER_AREA))
    shown = {Tag(k).name.lower(): int(n) for k, n in enumerate(pixels.tolist()) if n and k < len(Tag)}
    return {
        "frames": frames, "sha256": digest.hexdigest(), "pixels": shown, "boxes": dict(sorted(boxes.items())),
        "distances": distances.tolist(), "heights": heights.tolist(),
    }  # fmt: skip


def write_card(
    folder: Path, spec: dict[str, Any], model: str, drives: Sequence[dict[str, Any]], missing: dict[str, str]
) -> None:
    """Write ``card.json``, ``README.md``, ``histograms.svg`` and ``samples.jpg``.

    ``drives``: name, split, settings and figures of each drive; ``missing``: drives without a recording, and why. The
    files depend on nothing else, so that equal data sets have equal cards.
    """
    pixels, boxes = Counter[str](), Counter[str]()
    distances, heights = np.zeros(len(_DISTANCES) - 1, np.int64), np.zeros(len(_HEIGHTS) - 1, np.int64)
    for drive in drives:
        pixels.update(drive["pixels"])
        boxes.update(drive["boxes"])
        distances += drive["distances"]
        heights += drive.get("heights", 0)
    terms = "" if model == "tags" else zoo.load(model).licence
    card = {
        "spec": spec, "made_with": f"NeuralSim {__version__}", "model": model, "terms": terms,
        "frames": sum(drive["frames"] for drive in drives), "pixels": dict(pixels.most_common()),
        "boxes": dict(boxes.most_common()), "distances": _binned(distances, _DISTANCES, "m"),
        "heights": _binned(heights, _HEIGHTS, "px"),
        "drives": list(drives), "missing": missing,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_text(card), encoding="utf-8")
    page = render(Path(__file__).parent / "report" / "histograms.svg.j2", charts=_charts(card))
    (folder / "histograms.svg").write_text(page, encoding="utf-8")
    _sheet([folder / "thumbnails" / f"{drive['name']}.jpg" for drive in drives[:SAMPLES]], folder / "samples.jpg")


def _binned(counts: np.ndarray, limits: Sequence[int], unit: str) -> dict[str, int]:
    """Return a histogram by the names of its bins."""
    names = [f"{a} to {b} {unit}" for a, b in itertools.pairwise(limits)]
    names[-1] = f"over {limits[-2]} {unit}"
    return dict(zip(names, counts.tolist(), strict=True))


def _charts(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what ``histograms.svg`` shows: charts with a title and bars of a name, a length (0 to 1) and a text."""
    total = max(sum(card["pixels"].values()), 1)
    shares = {name.replace("_", " "): n / total for name, n in card["pixels"].items() if n / total >= _SHOWN}
    contents: list[tuple[str, dict[str, Any], str]] = [
        ("Share of pixels", shares, "{:.1%}"),
        ("Boxes by class", card["boxes"], "{:,}"),
        ("Boxes by height", card["heights"], "{:,}"),
        ("Objects by distance", card["distances"], "{:,}"),
    ]
    return [
        {
            "title": title,
            "bars": [(name, n / max([*values.values(), 1e-9]), form.format(n)) for name, n in values.items()],
        }
        for title, values, form in contents
    ]


def _text(card: dict[str, Any]) -> str:
    spec, drives = card["spec"], card["drives"]
    splits = Counter(drive["split"] for drive in drives)
    lines = [
        f"# {spec['title']}",
        f"{card['frames']} frames of {len(drives)} drives in {', '.join(spec['towns'])}; {card['made_with']}.",
        "Images are generated by a network from a simulator's labels; labels and depths are the simulator's, exact.",
        "![One image of each of up to 24 drives](samples.jpg)",
        "![Pixels and boxes by class, boxes by height, objects by distance](histograms.svg)",
        "## Terms",
        f"Model `{card['model']}`: {card['terms'] or 'none; the images show the labels.'}",
        "## Splits",
        *(f"* {name}: {count} drive{'s' * (count != 1)}" for name, count in sorted(splits.items())),
    ]
    lines += ["## Conditions", *(f"* {name.replace('_', ' ')}: {_values(spec[name])}" for name in _CONDITIONS)]
    total = max(sum(card["pixels"].values()), 1)
    lines += [
        "## Pixels and boxes",
        "Boxes are those of every fifth frame.",
        "| class | pixels | boxes |\n| --- | --- | --- |",
    ]
    lines[-1] += "".join(
        f"\n| {name} | {n / total:.2%} | {card['boxes'].get(name, '')} |" for name, n in card["pixels"].items()
    )
    if card["missing"]:
        lines += ["## Missing", *(f"* {name}: {why}" for name, why in card["missing"].items())]
    return "\n\n".join(lines).replace("\n\n* ", "\n* ").replace("\n\n    ", "\n    ") + "\n"


def _values(value: Any) -> str:
    """Return a list, or a range such as 5 to 9."""
    if not isinstance(value, list) or not value:
        return "the preset's" if value is None else str(value)
    if all(isinstance(each, float | int) for each in value):
        return f"{value[0]:g} to {value[-1]:g}" if value[0] != value[-1] else f"{value[0]:g}"
    return ", ".join(map(str, value))


def _sheet(files: Sequence[Path], target: Path) -> None:
    """Write thumbnails in rows of six."""
    images = [image for image in (cv2.imread(str(file)) for file in files) if image is not None]
    if not images:
        return
    height, width = images[0].shape[:2]
    rows = -(-len(images) // 6)
    sheet = np.full((rows * height, min(len(images), 6) * width, 3), 255, np.uint8)
    for k, image in enumerate(images):
        if image.shape == images[0].shape:
            y, x = k // 6 * height, k % 6 * width
            sheet[y : y + height, x : x + width] = image
    cv2.imwrite(str(target), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
