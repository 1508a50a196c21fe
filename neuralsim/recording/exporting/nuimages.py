"""Export recordings as a data set that ``nuscenes-devkit``'s ``NuImages`` reads: masks of objects and of surfaces.

``samples/``: JPEG per camera, twice a second. ``v1.0-neuralsim/``: all ten tables. ``object_ann`` has each moving
object with its box and mask, whether an actor or parked; ``surface_ann`` the rest, under the names of
nuScenes-lidarseg, of which nuImages itself has ``flat.driveable_surface`` alone. (Caesar et al., nuScenes, 2020.)
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.tags import Tag
from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.exporting.nuscenes import (
    ATTRIBUTES,
    CATEGORIES,
    INTERVAL,
    VERSION,
    attribute_of,
    camera_channel,
    pose_row,
    token_of,
)
from neuralsim.recording.exporting.surround import Shot, Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors
from neuralsim.recording.labels import coco_annotations, rle

TABLES = (
    "attribute", "calibrated_sensor", "category", "ego_pose", "log", "object_ann", "sample", "sample_data", "sensor",
    "surface_ann",
)  # fmt: skip
SURFACES: dict[str, tuple[Tag, ...]] = {
    "flat.driveable_surface": (Tag.ROAD, Tag.ROAD_LINE),
    "flat.sidewalk": (Tag.SIDEWALK,),
    "flat.terrain": (Tag.TERRAIN,),
    "flat.other": (Tag.GROUND, Tag.RAIL_TRACK, Tag.WATER),
    "static.manmade": (
        Tag.BUILDING, Tag.WALL, Tag.FENCE, Tag.POLE, Tag.TRAFFIC_LIGHT, Tag.TRAFFIC_SIGN, Tag.BRIDGE, Tag.GUARD_RAIL,
    ),
    "static.vegetation": (Tag.VEGETATION,),
    "static.other": (Tag.STATIC, Tag.DYNAMIC, Tag.OTHER),
}  # fmt: skip
_APART = 3_600_000_000  # µs from the beginning of one recording to that of the next
_MOVING = 0.5  # m/s

Row = dict[str, Any]


def export_nuimages(
    sources: Sequence[Path], folder: Path, progress: Progress = ignore, report_problem: Report = ignore
) -> int:
    """Write the annotated frames of recordings below ``folder``; return the number of frames read.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`, also where images, tags or instances were not recorded.
    """
    count = 0
    with data_set_errors(sources[0], folder, "nuimages"):
        writer = _Writer(folder)
        for number, source in enumerate(sources, 1):
            recording, frames = surround_frames(source)
            due, before = -np.inf, count
            for frame in frames:
                if frame.time >= due - 1e-6:
                    due = frame.time + INTERVAL
                    writer.add(number, recording.scenario, frame, source)
                count += 1
                progress(count)
            if count == before:
                raise RecordingError(f"{source} holds no complete frame")
            if recording.problem:
                report_problem(recording.problem)
        writer.close()
    return count


class _Writer:
    """Collects the rows of all tables and writes the images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[tuple[int, int], tuple[float, np.ndarray]] = {}  # s, m; by recording and instance
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in TABLES}
        for name in ATTRIBUTES:
            self._add("attribute", name, name=name, description="")
        for name in sorted({*CATEGORIES.values(), *SURFACES}):
            self._add("category", name, name=name, description="")

    def _add(self, table: str, *key: object, **values: Any) -> str:
        """Add a row unless there is one with this key; return its token."""
        token = token_of(table, *key)
        self._tables[table].setdefault(token, {"token": token, **values})
        return token

    def add(self, number: int, name: str, frame: Surround, source: Path) -> None:
        """Write a frame of recording ``number``: a sample for each camera."""
        now = number * _APART + round(frame.time * 1e6)
        log = self._add("log", number, logfile=name, vehicle="ego", date_captured="2026-01-01", location=name)
        state = frame.recorded.json.get("ego", {})
        pose = self._add(
            "ego_pose", number, now, timestamp=now, **pose_row(frame.ego), speed=float(state.get("speed", 0.0)),
            acceleration=[0.0] * 3, rotation_rate=[0.0] * 3,
        )  # fmt: skip
        moving, parked = self._moving(number, frame), {box.instance for box in frame.boxes if box.parked}
        for shot in frame.shots.values():
            if not {"tag", "instance"} <= shot.planes.keys():
                raise RecordingError(f"{source} lacks tag or instance: record with these planes")
            channel = camera_channel(shot.name)
            sensor = self._add("sensor", channel, channel=channel, modality="camera")
            mount = np.linalg.inv(frame.ego) @ shot.pose
            calibrated = self._add(
                "calibrated_sensor", number, channel, sensor_token=sensor, **pose_row(mount),
                camera_intrinsic=shot.intrinsics.tolist(), camera_distortion=[0.0] * 6,
            )  # fmt: skip
            file = f"samples/{channel}/{number:04d}__{channel}__{now}.jpg"
            image, sample = (token_of(table, number, channel, now) for table in ("sample_data", "sample"))
            self._add("sample", number, channel, now, timestamp=now, log_token=log, key_camera_token=image)
            width, height = shot.size
            self._add(
                "sample_data", number, channel, now, sample_token=sample, ego_pose_token=pose,
                calibrated_sensor_token=calibrated, filename=file, fileformat="jpg", width=width, height=height,
                timestamp=now, is_key_frame=True, prev="", next="",
            )  # fmt: skip
            path = self._folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(shot.jpeg)
            self._annotate(image, shot, moving, parked)

    def _moving(self, number: int, frame: Surround) -> set[int]:
        """Return the instances that have moved since they were last annotated."""
        moving = set()
        for box in frame.boxes:
            time, place = self._places.get((number, box.instance), (frame.time, box.pose[:3, 3]))
            self._places[number, box.instance] = frame.time, box.pose[:3, 3]
            if np.linalg.norm(box.pose[:3, 3] - place) > _MOVING * (frame.time - time):
                moving.add(box.instance)
        return moving

    def _annotate(self, image: str, shot: Shot, moving: set[int], parked: set[int]) -> None:
        tag, instance = shot.planes["tag"], shot.planes["instance"]
        for k, each in enumerate(coco_annotations(tag, instance)):
            x, y, width, height = each["bbox"]
            category = CATEGORIES.get(Tag(each["category_id"]), "vehicle.car")
            attribute = attribute_of(category, each["instance"] in moving, each["instance"] in parked)
            self._add(
                "object_ann", image, k, sample_data_token=image, category_token=token_of("category", category),
                attribute_tokens=[token_of("attribute", attribute)],
                bbox=[x, y, x + width, y + height], mask=_mask(each["segmentation"]["counts"], tag),
            )  # fmt: skip
        for name, tags in SURFACES.items():
            surface = np.isin(tag, tags)
            if surface.any():
                self._add(
                    "surface_ann", image, name, sample_data_token=image, category_token=token_of("category", name),
                    mask=_mask(rle(surface), tag),
                )  # fmt: skip

    def close(self) -> None:
        """Write the tables."""
        tables = self._folder / VERSION
        tables.mkdir(parents=True, exist_ok=True)
        for name, rows in self._tables.items():
            (tables / f"{name}.json").write_text(json.dumps([*rows.values()], indent=0) + "\n", encoding="utf-8")


def _mask(counts: str, tag: np.ndarray) -> Row:
    """Return a mask as nuImages has it: COCO's run lengths in base 64."""
    return {"size": list(tag.shape), "counts": base64.b64encode(counts.encode("ascii")).decode("ascii")}
