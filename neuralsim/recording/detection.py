"""Export a recording as a data set for detection and depth, in the formats of COCO, KITTI or YOLO.

``coco/``: ``images/``, ``annotations.json`` (boxes, masks as run lengths, and of each object whose pose was recorded
``box3d`` and whether it is ``parked``), ``instance/``, ``depth/``. ``kitti/training/``: ``image_2/``, ``label_2/``,
``calib/`` as the object benchmark has them, ``depth_2/`` as the depth benchmark does, ``instance_2/``, ``identity_2/``
(for each line of a label: instance, and 1 if parked). ``yolo/``: ``images/``, ``labels/``, ``data.yaml``. Images are
the rendered ones, else the simulator's.
"""

import json
from collections.abc import Generator
from math import atan2
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.messages import Camera, Frame, MovingObject
from bridge.tags import MOVERS, Tag
from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.image_folder import data_set_errors, encode_depth, finish_export, write_png
from neuralsim.recording.labels import CATEGORIES, SMALLEST, coco_annotations
from neuralsim.recording.reading.random_access_reader import frame_of
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.recording.reading.sequential_reader import McapRecording

FORMATS = ("coco", "kitti", "yolo")
KITTI_DEPTH = 256.0  # steps per metre; 0 where there is no depth, as beyond 255 m (Uhrig et al. 2017, devkit)
#: KITTI's types by tag; others are Misc.
KITTI_TYPES = {
    Tag.CAR: "Car", Tag.TRUCK: "Truck", Tag.PEDESTRIAN: "Pedestrian", Tag.RIDER: "Cyclist", Tag.BICYCLE: "Cyclist",
    Tag.MOTORCYCLE: "Cyclist", Tag.TRAIN: "Tram",
}  # fmt: skip
_VISIBLE = (0.5, 0.2)  # visible shares of an object's box below which it is partly (1) or largely (2) occluded
_NEAR = 0.1  # m from the camera's plane: nearer corners of boxes are not projected
#: Camera axes of KITTI and COCO's ``box3d`` (x right, y down, z forward) <- ours (x forward, y right, z up).
_AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def export_detection(
    source: Path, folder: Path, kind: str, progress: Progress = ignore, report_problem: Report = ignore
) -> int:
    """Write the content of ``source`` (.mcap) below ``folder`` as ``kind``, one of ``FORMATS``.

    Returns the number of frames. ``progress`` is called with the frames so far, ``report_problem`` with a line if not
    all could be read. Raises :class:`RecordingError`, also where images, tags, instances or depths were not recorded.
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
    return finish_export(source, recording.problem, count, report_problem)


def box3d(camera: Camera, moving: MovingObject) -> dict[str, Any]:
    """Return the box of ``moving`` in the camera's axes (x right, y down, z forward), metres and radians.

    KITTI's definitions: ``location`` of the middle of its bottom, ``dimensions`` (height, width, length),
    ``rotation_y`` about the y axis, 0 where it faces to the right, and ``alpha``, the same relative to the ray to it.
    """
    pose = np.linalg.inv(camera.pose) @ moving.pose
    length, width, height = (2.0 * half for half in moving.extent)
    x, y, z = _AXES @ (pose[:3, 3] - pose[:3, 2] * moving.extent[2])
    right, _, ahead = _AXES @ pose[:3, 0]
    rotation = atan2(-ahead, right)
    return {
        "location": [float(x), float(y), float(z)],
        "dimensions": [height, width, length],
        "rotation_y": rotation,
        "alpha": float((rotation - atan2(x, z) + np.pi) % (2.0 * np.pi) - np.pi),
    }


def projected(camera: Camera, moving: MovingObject) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom, px, around the box corners of ``moving`` that are in front of the camera.

    They may lie outside of the image. All are 0 where no corner is in front.
    """
    pose = np.linalg.inv(camera.pose) @ moving.pose
    corners = pose[:3, :3] @ (_CORNERS * moving.extent).T + pose[:3, 3:]
    x, y, z = corners[:, corners[0] > _NEAR]
    if not len(x):
        return 0.0, 0.0, 0.0, 0.0
    u, v = camera.width / 2.0 + camera.focal * y / x, camera.height / 2.0 - camera.focal * z / x
    return float(u.min()), float(v.min()), float(u.max()), float(v.max())


def kitti_label(frame: Frame, moving: MovingObject) -> str | None:
    """Return a line of KITTI's ``label_2``; None for an object with fewer than ``SMALLEST`` visible pixels.

    ``truncated``: the share of its projected box outside of the image. ``occluded``: 0, 1 or 2, estimated from the
    visible share of the rest.
    """
    visible = (frame.planes["instance"] == moving.instance) & np.isin(frame.planes["tag"], MOVERS)
    area = int(visible.sum())
    if area < SMALLEST:
        return None
    x, y, width, height = cv2.boundingRect(visible.astype(np.uint8))
    left, top, right, bottom = projected(frame.camera, moving)
    whole = max((right - left) * (bottom - top), 1e-6)
    inside = max(min(right, frame.camera.width) - max(left, 0.0), 0.0) * max(
        min(bottom, frame.camera.height) - max(top, 0.0), 0.0
    )
    share = area / max(inside, 1.0)
    occluded = 0 if share > _VISIBLE[0] else 1 if share > _VISIBLE[1] else 2
    box = box3d(frame.camera, moving)
    values = (box["alpha"], x, y, x + width, y + height, *box["dimensions"], *box["location"], box["rotation_y"])
    kind = KITTI_TYPES.get(Tag(moving.tag), "Misc")
    return f"{kind} {1.0 - inside / whole:.2f} {occluded} " + " ".join(f"{value:.2f}" for value in values)


def _check(source: Path, recorded: RecordedFrame) -> None:
    missing = [name for name in ("tag", "instance", "depth") if name not in recorded.planes]
    if not recorded.images:
        missing.insert(0, "neural (or rgb)")
    if missing:
        raise RecordingError(f"{source} lacks {', '.join(missing)}: record with these planes")


def _jpeg(recorded: RecordedFrame) -> bytes:
    """Return the JPEG of the rendered image, else of the simulator's."""
    return recorded.images.get("neural") or recorded.images["rgb"]


def _coco(folder: Path) -> Generator[None, RecordedFrame, None]:
    """Receive recorded frames; write the annotations as they come."""
    images: list[dict[str, Any]] = []
    count = 0
    _make_folders(folder, "images")
    with (folder / "annotations.json").open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{"description": "NeuralSim"}}, "licenses": [], "categories": {json.dumps(CATEGORIES)}')
        file.write(', "annotations": [')
        try:
            while True:
                recorded = yield
                frame, name = frame_of(recorded), f"{recorded.index:06d}"
                known = {
                    each.instance: {"box3d": box3d(frame.camera, each), "parked": each.parked} for each in frame.objects
                }
                for each in coco_annotations(frame.planes["tag"], frame.planes["instance"]):
                    count += 1
                    numbered = {"id": count, "image_id": recorded.index, **each, **known.get(each["instance"], {})}
                    file.write((", " if count > 1 else "") + json.dumps(numbered))
                (folder / f"images/{name}.jpg").write_bytes(_jpeg(recorded))
                write_png(folder / f"instance/{name}.png", frame.planes["instance"])
                write_png(folder / f"depth/{name}.png", encode_depth(frame.planes["depth"]))
                size = {"width": frame.camera.width, "height": frame.camera.height}
                images.append(
                    {"id": recorded.index, "file_name": f"{name}.jpg", **size, "intrinsics": recorded.intrinsics}
                )
        finally:
            file.write(f'], "images": {json.dumps(images)}}}\n')


def _kitti(folder: Path) -> Generator[None, RecordedFrame, None]:
    """Receive recorded frames."""
    training = folder / "training"
    _make_folders(training, "label_2", "calib", "identity_2")
    while True:
        recorded = yield
        frame, name = frame_of(recorded), f"{recorded.index:06d}"
        labels = [(line, each) for each in frame.objects if (line := kitti_label(frame, each)) is not None]
        lines = "".join(f"{line}\n" for line, _ in labels)
        (training / f"label_2/{name}.txt").write_text(lines, encoding="utf-8")
        lines = "".join(f"{each.instance} {int(each.parked)}\n" for _, each in labels)
        (training / f"identity_2/{name}.txt").write_text(lines, encoding="utf-8")
        (training / f"calib/{name}.txt").write_text(_calibration(frame.camera), encoding="utf-8")
        write_png(training / f"image_2/{name}.png", recorded.image("neural" if "neural" in recorded.images else "rgb"))
        metres = frame.planes["depth"]
        steps = np.where(metres < 255.0, np.rint(metres * KITTI_DEPTH), 0.0).astype(np.uint16)
        write_png(training / f"depth_2/{name}.png", steps)
        write_png(training / f"instance_2/{name}.png", frame.planes["instance"])


def _calibration(camera: Camera) -> str:
    """Return KITTI's calibration of one camera, with a laser scanner at the same pose."""
    focal, x, y = camera.focal, camera.width / 2.0, camera.height / 2.0
    rows: dict[str, tuple[float, ...]] = {f"P{k}": (focal, 0, x, 0, 0, focal, y, 0, 0, 0, 1, 0) for k in range(4)}
    rows["R0_rect"] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    rows["Tr_velo_to_cam"] = (0, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0)
    rows["Tr_imu_to_velo"] = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    return "".join(f"{name}: {' '.join(f'{value:.12e}' for value in row)}\n" for name, row in rows.items())


def _yolo(folder: Path) -> Generator[None, RecordedFrame, None]:
    """Receive recorded frames."""
    _make_folders(folder, "images", "labels")
    names = {k: tag.name.lower() for k, tag in enumerate(MOVERS)}
    classes = {int(tag): k for k, tag in enumerate(MOVERS)}
    config = {"path": ".", "train": "images", "val": "images", "names": names}
    (folder / "data.yaml").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")  # JSON is YAML, too
    while True:
        recorded = yield
        name, (width, height) = f"{recorded.index:06d}", recorded.size
        recorded.check_planes()
        lines = []
        for each in coco_annotations(recorded.planes["tag"], recorded.planes["instance"]):
            x, y, box_width, box_height = each["bbox"]
            centre = (x + box_width / 2.0) / width, (y + box_height / 2.0) / height
            values = " ".join(f"{value:.6f}" for value in (*centre, box_width / width, box_height / height))
            lines.append(f"{classes[each['category_id']]} {values}\n")
        (folder / f"labels/{name}.txt").write_text("".join(lines), encoding="utf-8")
        (folder / f"images/{name}.jpg").write_bytes(_jpeg(recorded))


def _make_folders(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
