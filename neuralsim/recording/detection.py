"""A recording as a data set for detectors and for depth: in the files of COCO, KITTI or YOLO.

``coco/``: ``images/``, ``annotations.json`` (boxes, masks as run lengths, and of each object whose pose was recorded
``box3d``), ``instance/``, ``depth/``. ``kitti/training/``: ``image_2/``, ``label_2/``, ``calib/`` as the object
benchmark has them, ``depth_2/`` as the depth benchmark does, ``instance_2/``. ``yolo/``: ``images/``, ``labels/``,
``data.yaml``. Pictures are the painted ones, else the simulator's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from math import atan2
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.messages import Camera, Frame, MovingObject
from bridge.tags import MOVERS, Tag
from neuralsim.recording import RecordingError
from neuralsim.recording.labels import CATEGORIES, SMALLEST, coco_annotations
from neuralsim.recording.picture_folder import data_set_errors, encode_depth, write_png
from neuralsim.recording.reading.random_access_reader import frame_of
from neuralsim.recording.reading.recorded_frame import Recorded
from neuralsim.recording.reading.sequential_reader import McapRecording

FORMATS = ("coco", "kitti", "yolo")
KITTI_DEPTH = 256.0  # steps per metre; 0 where there is none, as beyond 255 m (Uhrig et al. 2017, devkit)
#: KITTI's types by tag; what has none is Misc.
KITTI_TYPES = {
    Tag.CAR: "Car", Tag.TRUCK: "Truck", Tag.PEDESTRIAN: "Pedestrian", Tag.RIDER: "Cyclist", Tag.BICYCLE: "Cyclist",
    Tag.MOTORCYCLE: "Cyclist", Tag.TRAIN: "Tram",
}  # fmt: skip
_SEEN = (0.5, 0.2)  # shares of its box that an object shows: below, it is partly (1) or largely (2) occluded
_NEAR = 0.1  # m, corners of boxes nearer to the camera's plane are not projected
#: Camera's axes of KITTI and COCO's ``box3d`` (x right, y down, z forward) <- ours (x forward, y right, z up).
_AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def export_detection(
    source: Path,
    folder: Path,
    kind: str,
    progress: Callable[[int], None] = lambda _: None,
    missing: Callable[[str], None] = lambda _: None,
) -> int:
    """Write what ``source`` (.mcap) holds below ``folder`` as ``kind``, one of ``FORMATS``; returns the number of
    frames.

    ``progress`` is called with the frames so far, ``missing`` with a line if not all could be read. Raises
    :class:`RecordingError`, also where pictures, tags, instances or depths were not recorded.
    """
    recording = McapRecording(source)
    count = 0
    with data_set_errors(source, folder, kind):
        writer = {"coco": _coco, "kitti": _kitti, "yolo": _yolo}[kind](folder)
        next(writer)
        for recorded in recording.frames():
            _check(source, recorded)
            writer.send(recorded)
            count += 1
            progress(count)
        writer.close()
    if recording.problem:
        missing(recording.problem)
    if not count:
        raise RecordingError(f"{source} holds no whole frame")
    return count


def box3d(camera: Camera, thing: MovingObject) -> dict[str, Any]:
    """The box of ``thing`` in the camera's axes (x right, y down, z forward), metres and radians.

    ``location`` of the middle of its bottom, ``dimensions`` (height, width, length), ``rotation_y`` about the y axis,
    0 where it looks to the right, and ``alpha``, the same as seen along the ray to it: KITTI's definitions.
    """
    pose = np.linalg.inv(camera.pose) @ thing.pose
    length, width, height = (2.0 * half for half in thing.extent)
    x, y, z = _AXES @ (pose[:3, 3] - pose[:3, 2] * thing.extent[2])
    right, _, ahead = _AXES @ pose[:3, 0]
    turned = atan2(-ahead, right)
    return {
        "location": [float(x), float(y), float(z)],
        "dimensions": [height, width, length],
        "rotation_y": turned,
        "alpha": float((turned - atan2(x, z) + np.pi) % (2.0 * np.pi) - np.pi),
    }


def projected(camera: Camera, thing: MovingObject) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, px, around the corners of the box of ``thing`` before the camera; it may reach beyond
    the picture. All 0 where no corner is."""
    pose = np.linalg.inv(camera.pose) @ thing.pose
    corners = pose[:3, :3] @ (_CORNERS * thing.extent).T + pose[:3, 3:]
    x, y, z = corners[:, corners[0] > _NEAR]
    if not len(x):
        return 0.0, 0.0, 0.0, 0.0
    u, v = camera.width / 2.0 + camera.focal * y / x, camera.height / 2.0 - camera.focal * z / x
    return float(u.min()), float(v.min()), float(u.max()), float(v.max())


def kitti_label(frame: Frame, thing: MovingObject) -> str | None:
    """A line of KITTI's ``label_2``; None for what shows fewer than ``SMALLEST`` pixels.

    ``truncated``: the share of its projected box beyond the picture. ``occluded``: 0, 1 or 2 by the share of the rest
    that it shows, an estimate.
    """
    shown = (frame.planes["instance"] == thing.instance) & np.isin(frame.planes["tag"], MOVERS)
    area = int(shown.sum())
    if area < SMALLEST:
        return None
    x, y, width, height = cv2.boundingRect(shown.astype(np.uint8))
    left, top, right, bottom = projected(frame.camera, thing)
    whole = max((right - left) * (bottom - top), 1e-6)
    inside = max(min(right, frame.camera.width) - max(left, 0.0), 0.0) * max(
        min(bottom, frame.camera.height) - max(top, 0.0), 0.0
    )
    share = area / max(inside, 1.0)
    occluded = 0 if share > _SEEN[0] else 1 if share > _SEEN[1] else 2
    box = box3d(frame.camera, thing)
    values = (box["alpha"], x, y, x + width, y + height, *box["dimensions"], *box["location"], box["rotation_y"])
    kind = KITTI_TYPES.get(Tag(thing.tag), "Misc")
    return f"{kind} {1.0 - inside / whole:.2f} {occluded} " + " ".join(f"{value:.2f}" for value in values)


def _check(source: Path, recorded: Recorded) -> None:
    lacking = [name for name in ("tag", "instance", "depth") if name not in recorded.planes]
    if not recorded.pictures:
        lacking.insert(0, "neural (or rgb)")
    if lacking:
        raise RecordingError(f"{source} lacks {', '.join(lacking)}: record with these planes")


def _shown(recorded: Recorded) -> bytes:
    """The JPEG of the painted picture, else of the simulator's."""
    return recorded.pictures.get("neural") or recorded.pictures["rgb"]


def _coco(folder: Path) -> Generator[None, Recorded, None]:
    """Takes recorded frames; writes the annotations as they come."""
    images: list[dict[str, Any]] = []
    numbers = 0
    _make(folder, "images")
    with (folder / "annotations.json").open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{"description": "NeuralSim"}}, "licenses": [], "categories": {json.dumps(CATEGORIES)}')
        file.write(', "annotations": [')
        try:
            while True:
                recorded = yield
                frame, name = frame_of(recorded), f"{recorded.index:06d}"
                boxes = {thing.instance: box3d(frame.camera, thing) for thing in frame.objects}
                for each in coco_annotations(frame.planes["tag"], frame.planes["instance"]):
                    numbers += 1
                    known = {"box3d": boxes[each["instance"]]} if each["instance"] in boxes else {}
                    numbered = {"id": numbers, "image_id": recorded.index, **each, **known}
                    file.write((", " if numbers > 1 else "") + json.dumps(numbered))
                (folder / f"images/{name}.jpg").write_bytes(_shown(recorded))
                write_png(folder / f"instance/{name}.png", frame.planes["instance"])
                write_png(folder / f"depth/{name}.png", encode_depth(frame.planes["depth"]))
                size = {"width": frame.camera.width, "height": frame.camera.height}
                images.append(
                    {"id": recorded.index, "file_name": f"{name}.jpg", **size, "intrinsics": recorded.intrinsics}
                )
        finally:
            file.write(f'], "images": {json.dumps(images)}}}\n')


def _kitti(folder: Path) -> Generator[None, Recorded, None]:
    """Takes recorded frames."""
    training = folder / "training"
    _make(training, "label_2", "calib")
    while True:
        recorded = yield
        frame, name = frame_of(recorded), f"{recorded.index:06d}"
        lines = [line for thing in frame.objects if (line := kitti_label(frame, thing)) is not None]
        (training / f"label_2/{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (training / f"calib/{name}.txt").write_text(_calibration(frame.camera), encoding="utf-8")
        write_png(
            training / f"image_2/{name}.png", recorded.picture("neural" if "neural" in recorded.pictures else "rgb")
        )
        metres = frame.planes["depth"]
        steps = np.where(metres < 255.0, np.rint(metres * KITTI_DEPTH), 0.0).astype(np.uint16)
        write_png(training / f"depth_2/{name}.png", steps)
        write_png(training / f"instance_2/{name}.png", frame.planes["instance"])


def _calibration(camera: Camera) -> str:
    """KITTI's calibration of one camera, with a laser scanner at its place that looks its way."""
    focal, x, y = camera.focal, camera.width / 2.0, camera.height / 2.0
    rows: dict[str, tuple[float, ...]] = {f"P{k}": (focal, 0, x, 0, 0, focal, y, 0, 0, 0, 1, 0) for k in range(4)}
    rows["R0_rect"] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    rows["Tr_velo_to_cam"] = (0, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0)
    rows["Tr_imu_to_velo"] = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    return "".join(f"{name}: {' '.join(f'{value:.12e}' for value in row)}\n" for name, row in rows.items())


def _yolo(folder: Path) -> Generator[None, Recorded, None]:
    """Takes recorded frames."""
    _make(folder, "images", "labels")
    names = {k: tag.name.lower() for k, tag in enumerate(MOVERS)}
    classes = {int(tag): k for k, tag in enumerate(MOVERS)}
    about = {"path": ".", "train": "images", "val": "images", "names": names}
    (folder / "data.yaml").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")  # which is YAML, too
    while True:
        recorded = yield
        name, (width, height) = f"{recorded.index:06d}", recorded.size
        recorded.check_planes()
        lines = []
        for each in coco_annotations(recorded.planes["tag"], recorded.planes["instance"]):
            x, y, wide, high = each["bbox"]
            middle = (x + wide / 2.0) / width, (y + high / 2.0) / height
            values = " ".join(f"{value:.6f}" for value in (*middle, wide / width, high / height))
            lines.append(f"{classes[each['category_id']]} {values}\n")
        (folder / f"labels/{name}.txt").write_text("".join(lines), encoding="utf-8")
        (folder / f"images/{name}.jpg").write_bytes(_shown(recorded))


def _make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
