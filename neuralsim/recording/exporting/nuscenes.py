"""Export recordings as a data set that ``nuscenes-devkit`` reads, with the files of its CAN bus expansion.

``samples/``, ``sweeps/``: JPEG per camera and ``LIDAR_TOP`` (f32 x, y, z, intensity, beam). ``v1.0-neuralsim/``: all
thirteen tables. ``maps/``: the ground that the cameras saw as road. ``can_bus/``. Each recording is a scene.
Only objects with a pose in the recording are annotated: vehicles, parked ones too, cyclists and pedestrians.
(Caesar et al., nuScenes, CVPR 2020.)
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from bridge.tags import Tag
from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.exporting import can_bus
from neuralsim.recording.exporting.surround import MOUNT, Box, Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors
from neuralsim.recording.reading.sequential_reader import McapRecording

VERSION = "v1.0-neuralsim"
INTERVAL = 0.5  # s between annotated frames, as in nuScenes
TABLES = (
    "attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map", "sample", "sample_annotation",
    "sample_data", "scene", "sensor", "visibility",
)  # fmt: skip
LIDAR = "LIDAR_TOP"
_APART = 3_600_000_000  # µs from the beginning of one scene to that of the next
_CELL = 0.1  # m, of the map: the devkit's default
_GAP = 15  # cells between two pixels of the road that are closed
_MARGIN = 130.0  # m around the drive that the map covers
_GROUND = 60.0  # m from a camera up to which its pixels count for the map
_MOVING = 0.5  # m/s
#: Axes of nuScenes' LiDAR (x right, y forward) in those of the ego (x forward, y left).
_LIDAR_TURN = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
CATEGORIES = {
    Tag.CAR: "vehicle.car", Tag.TRUCK: "vehicle.truck", Tag.BUS: "vehicle.bus.rigid", Tag.TRAIN: "vehicle.bus.bendy",
    Tag.MOTORCYCLE: "vehicle.motorcycle", Tag.BICYCLE: "vehicle.bicycle", Tag.PEDESTRIAN: "human.pedestrian.adult",
    Tag.RIDER: "vehicle.bicycle",
}  # fmt: skip
ATTRIBUTES = (
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.moving",
    "pedestrian.standing",
)
_VISIBILITIES = {"1": ("v0-40", 0.4), "2": ("v40-60", 0.6), "3": ("v60-80", 0.8), "4": ("v80-100", 1.01)}

Row = dict[str, Any]


def export_nuscenes(
    sources: Sequence[Path], folder: Path, progress: Progress = ignore, report_problem: Report = ignore
) -> int:
    """Write recordings as scenes of a data set below ``folder``; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`, also where images, tags, instances or depths were not recorded.
    """
    with data_set_errors(sources[0], folder, "nuscenes"):
        writer = _Writer(folder)
        for source in sources:
            recording, frames = surround_frames(source)
            writer.add_scene(recording, source, frames, progress)
            if recording.problem:
                report_problem(recording.problem)
        writer.close()
    return writer.frames


def token_of(*key: object) -> str:
    """Return a token of 32 hexadecimal digits, the same for the same ``key``."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:32]


def camera_channel(name: str) -> str:
    """Return nuScenes' name of a camera: ``CAM_FRONT_LEFT`` for ``front_left``."""
    return name.upper() if name.upper().startswith("CAM_") else f"CAM_{name.upper()}"


class _Writer:
    """Collects the rows of all tables and writes the files of each frame."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames = 0
        self.tables: dict[str, list[Row]] = {name: [] for name in TABLES}
        self._scenes = 0
        for key, (level, _) in _VISIBILITIES.items():
            text = f"visibility of whole object is between {level[1:].replace('-', ' and ')}%"
            self.tables["visibility"].append({"token": key, "level": level, "description": text})
        for name in ATTRIBUTES:
            self._add("attribute", name, name=name, description="")
        for name in sorted(set(CATEGORIES.values())):
            self._add("category", name, name=name, description="")

    def _add(self, table: str, *key: object, **values: Any) -> Row:
        row = {"token": token_of(table, *key), **values}
        self.tables[table].append(row)
        return row

    def add_scene(self, recording: McapRecording, source: Path, frames: Iterable[Surround], progress: Progress) -> None:
        """Write one recording."""
        track = [frame.pose("ego")[:2, 3] for frame in McapRecording(source).frames(("/tf",))]
        if not track:
            raise RecordingError(f"{source} holds no complete frame")
        self._scenes += 1
        scene = _Scene(self, self._scenes, np.array(track))
        for frame in frames:
            scene.add(frame)
            self.frames += 1
            progress(self.frames)
        scene.close(recording)

    def close(self) -> None:
        """Write the tables."""
        tables = self.folder / VERSION
        tables.mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            (tables / f"{name}.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


class _Scene:
    """One scene: its samples, its map, and what links one frame to the next."""

    def __init__(self, writer: _Writer, number: int, track: np.ndarray) -> None:
        """``track`` f64 (N, 2): where the ego drives; the map's origin is beyond its lower left."""
        self.writer, self.name = writer, f"scene-{number:04d}"
        self.begin = number * _APART  # µs: the devkit sorts scenes by their time
        self.offset = _MARGIN - track.min(0)
        wide, high = np.ceil((np.ptp(track, axis=0) + 2 * _MARGIN) / _CELL).astype(int).tolist()
        self.road = np.zeros((high, wide), np.uint8)  # row 0 is y = 0
        self.samples: list[Row] = []
        self.poses: list[tuple[int, np.ndarray, dict[str, Any]]] = []  # for the CAN bus
        self._last: dict[str, Row] = {}  # newest sample_data by channel
        self._annotations: dict[str, list[Row]] = {}  # by instance token
        self._categories: dict[str, str] = {}  # category token by instance token
        self._places: dict[str, tuple[float, np.ndarray]] = {}  # of the instances at their last annotation
        self._due = -np.inf

    def add(self, frame: Surround) -> None:
        """Write a frame."""
        now = self.begin + round(frame.time * 1e6)
        is_key = frame.time >= self._due - 1e-6
        if is_key:
            self._due = frame.time + INTERVAL
            self._add_sample(now)
        ego = self._moved(frame.ego)
        pose = self.writer._add("ego_pose", self.name, now, timestamp=now, **pose_row(ego))
        self.poses.append((now, ego, {**frame.recorded.json.get("ego", {}), **frame.recorded.json.get("control", {})}))
        to_ego = np.linalg.inv(frame.ego)
        for shot in frame.shots.values():
            channel = camera_channel(shot.name)
            row = self._add_data(channel, now, is_key, pose, "jpg", shot.size)
            self._calibrate(row, "camera", channel, to_ego @ shot.pose, shot.intrinsics.tolist())
            self._file(row).write_bytes(shot.jpeg)
        sweep = frame.sweep()
        row = self._add_data(LIDAR, now, is_key, pose, "pcd.bin", (0, 0))
        lidar = np.eye(4)
        lidar[:3, :3], lidar[:3, 3] = _LIDAR_TURN, MOUNT
        self._calibrate(row, "lidar", LIDAR, lidar, [])
        points = sweep.copy()
        points[:, :3] = (sweep[:, :3] - MOUNT) @ _LIDAR_TURN
        self._file(row).write_bytes(points.astype("<f4").tobytes())
        if is_key:
            self._pave(frame)
            for box in frame.boxes:
                self._annotate(box, frame, sweep)

    def close(self, recording: McapRecording) -> None:
        """Write the scene's own rows, its map and its CAN bus."""
        log = self.writer._add(
            "log", self.name, logfile=recording.scenario, vehicle="ego", date_captured="2026-01-01",
            location=recording.scenario,
        )  # fmt: skip
        self.road = cv2.morphologyEx(self.road, cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8))
        filename = f"maps/{log['token']}.png"
        (self.writer.folder / "maps").mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(self.writer.folder / filename), self.road[::-1]):
            raise OSError(f"cannot write {filename}")
        self.writer._add("map", self.name, log_tokens=[log["token"]], category="semantic_prior", filename=filename)
        scene = self.writer._add(
            "scene", self.name, log_token=log["token"], nbr_samples=len(self.samples), name=self.name,
            first_sample_token=self.samples[0]["token"], last_sample_token=self.samples[-1]["token"],
            description=f"{recording.scenario}, seed {recording.about.get('seed', '')}, NeuralSim",
        )  # fmt: skip
        for sample in self.samples:
            sample["scene_token"] = scene["token"]
        for instance, rows in self._annotations.items():
            for before, after in itertools.pairwise(rows):
                before["next"], after["prev"] = after["token"], before["token"]
            self.writer.tables["instance"].append(
                {
                    "token": instance, "category_token": self._categories[instance], "nbr_annotations": len(rows),
                    "first_annotation_token": rows[0]["token"], "last_annotation_token": rows[-1]["token"],
                }
            )  # fmt: skip
        can_bus.write(self.writer.folder / "can_bus", self.name, self.poses)

    def _moved(self, pose: np.ndarray) -> np.ndarray:
        """Return a pose in the map's coordinates."""
        moved = pose.copy()
        moved[:2, 3] += self.offset
        return moved

    def _add_sample(self, now: int) -> None:
        sample = self.writer._add("sample", self.name, now, timestamp=now, prev="", next="", scene_token="")
        if self.samples:
            sample["prev"], self.samples[-1]["next"] = self.samples[-1]["token"], sample["token"]
        self.samples.append(sample)

    def _add_data(self, channel: str, now: int, is_key: bool, pose: Row, suffix: str, size: tuple[int, int]) -> Row:
        part = "samples" if is_key else "sweeps"
        row = self.writer._add(
            "sample_data", self.name, channel, now, sample_token=self.samples[-1]["token"],
            ego_pose_token=pose["token"], calibrated_sensor_token="", timestamp=now, fileformat=suffix.split(".")[0],
            is_key_frame=is_key, height=size[1], width=size[0], prev="", next="",
            filename=f"{part}/{channel}/{self.name}__{channel}__{now}.{suffix}",
        )  # fmt: skip
        before = self._last.get(channel)
        if before is not None:
            row["prev"], before["next"] = before["token"], row["token"]
        self._last[channel] = row
        return row

    def _calibrate(self, row: Row, modality: str, channel: str, pose: np.ndarray, intrinsics: list[Any]) -> None:
        """Set the calibration of a ``sample_data``: that of its channel in this scene, made with the first frame."""
        row["calibrated_sensor_token"] = token_of("calibrated_sensor", self.name, channel)
        if row["prev"]:
            return
        sensor = token_of("sensor", channel)
        if all(each["token"] != sensor for each in self.writer.tables["sensor"]):
            self.writer._add("sensor", channel, channel=channel, modality=modality)
        values = {"sensor_token": sensor, **pose_row(pose), "camera_intrinsic": intrinsics}
        self.writer._add("calibrated_sensor", self.name, channel, **values)
        for part in ("samples", "sweeps"):
            (self.writer.folder / part / channel).mkdir(parents=True, exist_ok=True)

    def _file(self, row: Row) -> Path:
        return self.writer.folder / str(row["filename"])

    def _annotate(self, box: Box, frame: Surround, sweep: np.ndarray) -> None:
        instance = token_of("instance", self.name, box.instance)
        pose = self._moved(box.pose)
        category = CATEGORIES.get(Tag(box.tag), "vehicle.car")
        to_box = np.linalg.inv(box.pose) @ frame.ego
        inside = np.abs(sweep[:, :3] @ to_box[:3, :3].T + to_box[:3, 3]) <= np.array(box.size) / 2 + 0.05
        time, place = self._places.get(instance, (frame.time, pose[:3, 3]))
        speed = float(np.linalg.norm(pose[:3, 3] - place)) / max(frame.time - time, 1e-6)
        self._places[instance] = frame.time, pose[:3, 3]
        length, width, height = box.size
        visibility = next(key for key, (_, limit) in _VISIBILITIES.items() if box.visibility < limit)
        row = self.writer._add(
            "sample_annotation", self.name, box.instance, self.samples[-1]["timestamp"],
            sample_token=self.samples[-1]["token"], instance_token=instance, visibility_token=visibility,
            attribute_tokens=[token_of("attribute", attribute_of(category, speed > _MOVING, box.parked))],
            translation=pose[:3, 3].tolist(), size=[width, length, height], rotation=pose_row(pose)["rotation"],
            prev="", next="", num_lidar_pts=int(inside.all(1).sum()), num_radar_pts=0,
        )  # fmt: skip
        self._annotations.setdefault(instance, []).append(row)
        self._categories.setdefault(instance, token_of("category", category))

    def _pave(self, frame: Surround) -> None:
        """Enter what the cameras see as road into the map."""
        for shot in frame.shots.values():
            tag, depth = shot.planes["tag"], shot.planes["depth"]
            rows, columns = np.nonzero(np.isin(tag, (Tag.ROAD, Tag.ROAD_LINE)) & (depth < _GROUND))
            near = depth[rows, columns].astype(float)
            pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
            points = shot.pose[:3, :3] @ (np.linalg.inv(shot.intrinsics) @ pixels * near) + shot.pose[:3, 3:]
            x, y = ((points[:2].T + self.offset) / _CELL).astype(int).T
            inside = (x >= 0) & (y >= 0) & (x < self.road.shape[1]) & (y < self.road.shape[0])
            self.road[y[inside], x[inside]] = 255


def pose_row(pose: np.ndarray) -> Row:
    """Return a pose as nuScenes has it: translation, and rotation as a quaternion, w first."""
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
    return {"translation": pose[:3, 3].tolist(), "rotation": [w, x, y, z]}


def attribute_of(category: str, is_moving: bool, is_parked: bool) -> str:
    """Return the attribute of an object."""
    if category in ("vehicle.motorcycle", "vehicle.bicycle"):
        return "cycle.without_rider" if is_parked else "cycle.with_rider"
    if is_parked:
        return "vehicle.parked"
    if category.startswith("human"):
        return "pedestrian.moving" if is_moving else "pedestrian.standing"
    return "vehicle.moving" if is_moving else "vehicle.stopped"
