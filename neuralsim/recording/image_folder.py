"""Export a recording as a folder of images and labels, on all cores.

``tag/``: 8-bit PNG, CARLA's ids. ``trainId/``: the same as Cityscapes' train ids. ``instance/``: 16-bit. ``depth/``:
16-bit PNG, 1/64 m. ``motion/``: KITTI's flow PNG (Geiger et al., devkit): 16 bit, red and green 64 x + 2^15 of (dx, dy)
in pixels, blue 1 where valid; here the flow points back to the frame before. ``rgb/`` and ``neural/``: PNG. Further
cameras have a folder of their name each. ``cityscapes/``: ``leftImg8bit`` and ``gtFine`` under the names that its
loaders expect. ``coco.json``: boxes and masks. ``index.parquet``, ``index.jsonl``: a row per frame.
``calibration.json``; ``poses.txt``: the first camera's, as KITTI's odometry has them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bridge.untrusted import limits
from neuralsim.base.failure import reason
from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.labels import CATEGORIES, LABEL_IDS, TRAIN_IDS, coco_annotations, instance_ids
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.recording.reading.sequential_reader import McapRecording

DEPTH_STEPS = 64.0  # per metre
MOTION_STEPS = 64.0  # per pixel
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]
_ROWS = 256  # rows of the parquet index per write


@dataclass
class _Written:
    """A written frame: its line of the index, and its part of the other files."""

    line: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)  # width, height


@contextlib.contextmanager
def data_set_errors(source: Path, folder: Path, kind: str) -> Iterator[None]:
    """Turn errors while ``source`` is exported as ``kind`` into ``folder`` into a :class:`RecordingError`, one line."""
    try:
        yield
    except OSError as error:
        raise RecordingError(f"cannot write {kind} to {folder}: {reason(error)}") from None
    except ValueError as error:  # frames that do not fit together
        raise RecordingError(f"{source}: cannot be exported as a data set: {reason(error)}") from None


def finish_export(source: Path, problem: str, count: int, report_problem: Report) -> int:
    """Report the ``problem`` of a recording, if any; return ``count``. Raises :class:`RecordingError` if it is 0."""
    if problem:
        report_problem(problem)
    if not count:
        raise RecordingError(f"{source} holds no complete frame")
    return count


def export_frames(source: Path, folder: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write the content of ``source`` (.mcap) below ``folder``; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    recording = McapRecording(source)
    waiting = deque[tuple[Future[_Written], int]]()  # with the bytes of the frame
    workers = os.cpu_count() or 1
    with data_set_errors(source, folder, "frames"):
        folder.mkdir(parents=True, exist_ok=True)
        with _Index(folder) as index, ThreadPoolExecutor(workers) as pool:

            def settle() -> None:
                index.add(waiting.popleft()[0].result())
                progress(index.frames)

            for frame in recording.frames():
                name = recording.scenario.replace("_", "-")  # Cityscapes' names split at it
                size = sum(plane.nbytes for view in (frame, *frame.views.values()) for plane in view.planes.values())
                waiting.append((pool.submit(_write, frame, folder, name), size))
                while len(waiting) > 2 * workers or sum(size for _, size in waiting) > limits.WAITING:
                    settle()  # keeps memory bounded for recordings of any length
            while waiting:
                settle()
    return finish_export(source, recording.problem, index.frames, report_problem)


class _Index:
    """The files with a row per frame, written as the frames come."""

    def __init__(self, folder: Path) -> None:
        self.frames = 0
        self._folder = folder
        self._lines = (folder / "index.jsonl").open("w", encoding="utf-8")
        self._poses = (folder / "poses.txt").open("w", encoding="utf-8")
        self._images = (folder / "coco.images.part").open("w", encoding="utf-8")
        self._objects = (folder / "coco.annotations.part").open("w", encoding="utf-8")
        self._annotations = 0
        self._rows: list[dict[str, Any]] = []
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> _Index:
        return self

    def __exit__(self, *_: object) -> None:
        """Assemble the parts."""
        self._flush()
        if self._parquet is not None:
            self._parquet.close()
        for file in (self._lines, self._poses, self._images, self._objects):
            file.close()
        with (self._folder / "coco.json").open("w", encoding="utf-8") as file:
            file.write('{"info": {"description": "NeuralSim"}, "licenses": [], "categories": ')
            file.write(json.dumps(CATEGORIES))
            for name in ("images", "annotations"):
                file.write(f', "{name}": [')
                part = self._folder / f"coco.{name}.part"
                with part.open(encoding="utf-8") as rows:
                    shutil.copyfileobj(rows, file)
                part.unlink()
                file.write("]")
            file.write("}\n")

    def add(self, written: _Written) -> None:
        """Add the next frame."""
        line = written.line
        if not self.frames:
            width, height = written.size
            calibration = {"width": width, "height": height, "K": line["intrinsics"], "distortion": [0.0] * 5}
            text = json.dumps({"camera": calibration, "axes": "right-handed; x right, y down, z forward"}, indent=1)
            (self._folder / "calibration.json").write_text(text + "\n", encoding="utf-8")
        self._lines.write(json.dumps(line) + "\n")
        self._poses.write(" ".join(f"{value:.9g}" for value in line["camera"][:12]) + "\n")
        shown = next((line["files"][name] for name in ("neural", "rgb", "tag") if name in line["files"]), "")
        image = {"id": line["frame"], "file_name": shown, "width": written.size[0], "height": written.size[1]}
        self._images.write((", " if self.frames else "") + json.dumps(image))
        for each in written.annotations:
            separator = ", " if self._annotations else ""
            self._annotations += 1
            numbered = {"id": self._annotations, "image_id": line["frame"], **each}
            self._objects.write(separator + json.dumps(numbered))
        self._rows.append(_row(line))
        self.frames += 1
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows)
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._folder / "index.parquet", table.schema, compression="zstd")
        self._parquet.write_table(table)
        self._rows = []


def _row(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the index as columns of simple types."""
    ego, control = line.get("ego", {}), line.get("control", {})
    return {
        "frame": line["frame"],
        "time": line["time"],
        **{f"{name.replace('/', '_')}_file": path for name, path in line["files"].items()},
        **{name: float(ego.get(name, 0.0)) for name in ("speed",)},
        **{name: int(ego.get(name, 0)) for name in ("gear", "road_id", "lane_id", "collisions")},
        **{name: float(control.get(name, 0.0)) for name in ("throttle", "brake", "steer")},
        "weather": str(ego.get("weather", "")),
        "objects": len(line.get("objects", {}).get("objects", ())),
        "intrinsics": line["intrinsics"],
        "camera": line["camera"],
        "ego_pose": line["ego_pose"],
    }


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Encode depth f32 (H, W), metres, as u16 (H, W), 1/64 m."""
    return np.clip(np.rint(depth * DEPTH_STEPS), 0, 65535).astype(np.uint16)


def encode_motion(motion: np.ndarray) -> np.ndarray:
    """Encode motion f16 (H, W, 2), px, as u16 (H, W, 3) in OpenCV's order: valid, dy, dx; overflows are not valid."""
    steps = motion.astype(np.float32) * MOTION_STEPS + 32768.0
    valid = np.isfinite(steps).all(axis=2) & (steps >= 0.0).all(axis=2) & (steps <= 65535.0).all(axis=2)
    coded = np.zeros((*valid.shape, 3), np.uint16)
    coded[..., 0] = valid
    coded[..., 2] = np.rint(np.where(valid, steps[..., 0], 0.0))
    coded[..., 1] = np.rint(np.where(valid, steps[..., 1], 0.0))
    return coded


def _write(frame: RecordedFrame, folder: Path, scenario: str) -> _Written:
    for view in (frame, *frame.views.values()):
        view.check_planes()
    annotations: list[dict[str, Any]] = []
    tag, instance = frame.planes.get("tag"), frame.planes.get("instance")
    if tag is not None and instance is not None:
        known = {each["instance"]: each.get("parked") for each in frame.json.get("objects", {}).get("objects", ())}
        annotations = coco_annotations(tag, instance)  # first, because it may raise
        for each in annotations:
            if (parked := known.get(each["instance"])) is not None:
                each["parked"] = parked
    files = _write_view(frame, folder, "", frame.index)
    for name, view in frame.views.items():
        files |= _write_view(view, folder, f"{name}/", frame.index)
    if tag is not None:
        _write_cityscapes(folder, f"{scenario}_{frame.index:06d}_000000", tag, instance, files)
    line = {
        "frame": frame.index,
        "time": frame.time,
        "files": files,
        "intrinsics": frame.intrinsics,
        "camera": frame.pose("camera").ravel().tolist(),
        "ego_pose": frame.pose("ego").ravel().tolist(),
        **frame.json,
    }
    return _Written(line, annotations, frame.size)


def _write_view(frame: RecordedFrame, folder: Path, prefix: str, index: int) -> dict[str, str]:
    """Write the images of one camera; return the files by kind."""
    images: dict[str, np.ndarray] = {}
    for name, plane in frame.planes.items():
        images[name] = {"depth": encode_depth, "motion": encode_motion}.get(name, np.asarray)(plane)
    if "tag" in frame.planes:
        images["trainId"] = TRAIN_IDS[frame.planes["tag"]]
    for name in frame.images:
        images[name] = frame.image(name)
    files = {}
    for name, image in images.items():
        file = f"{prefix}{name}/{index:06d}.png"
        write_png(folder / file, image)
        files[f"{prefix}{name}"] = file
    return files


def _write_cityscapes(
    folder: Path, stem: str, tag: np.ndarray, instance: np.ndarray | None, files: dict[str, str]
) -> None:
    """Write the frame under Cityscapes' names; the image and the train ids are links to the files written already."""
    city = stem.split("_")[0]
    truth = folder / "cityscapes/gtFine/train" / city
    write_png(truth / f"{stem}_gtFine_labelIds.png", LABEL_IDS[tag])
    _link(folder / files["trainId"], truth / f"{stem}_gtFine_labelTrainIds.png")
    if instance is not None:
        write_png(truth / f"{stem}_gtFine_instanceIds.png", instance_ids(tag, instance))
    shown = files.get("neural", files.get("rgb"))
    if shown is not None:
        _link(folder / shown, folder / "cityscapes/leftImg8bit/train" / city / f"{stem}_leftImg8bit.png")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image u8 or u16 (H, W) or (H, W, 3), BGR, and create its folder.

    Raises :class:`RecordingError` and ``OSError``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    done, coded = cv2.imencode(".png", image, _PNG)
    if not done:
        raise RecordingError(f"{path} cannot be compressed")
    path.write_bytes(coded.tobytes())
