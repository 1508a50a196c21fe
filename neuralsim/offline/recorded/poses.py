"""Poses of a recording's camera: a CSV or JSON of transforms, our own export's index, KITTI's and nuScenes' files.

All become CARLA's: x forward, y right, z up, left-handed, metres; degrees.
"""

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from bridge.geometry import pose_matrix
from bridge.untrusted import limits
from bridge.untrusted.files import FileRefused, read_text
from neuralsim.base.failure import reason
from neuralsim.imaging.image_files import ImageError
from neuralsim.recording.foxglove import right_handed
from neuralsim.recording.topics import OPTICAL

_NAMES = ("x", "y", "z", "pitch", "yaw", "roll")
_FRAME = ("frame", "frame_id", "frame_number", "image", "file", "filename", "name", "id", "index", "frameid", "stem")
_TIME = ("time", "timestamp", "sim_time", "elapsed", "elapsed_seconds", "t")
_FOV = ("fov", "fov_deg", "field_of_view", "hfov")
_PREFIX = re.compile(r"^(camera|cam|sensor|transform|location|rotation|loc|rot|pos|position|ego|world)[_.]")
_FARTHEST = 1e7  # m


@dataclass
class Poses:
    """The camera's poses.

    Attributes:
        file: Where they come from.
        poses: f64 (4, 4), world <- camera, in CARLA's axes, in order.
        numbers: Frame number of each pose, None where the file has none: then they are those of the frames in order.
        times: s, of each pose, None where the file has none.
        fov: Horizontal field of view, degrees, None where the file has none.
        weather: ``carla.WeatherParameters`` by name, where the file has them (our own export's).
    """

    file: Path
    poses: list[np.ndarray]
    numbers: list[int] | None = None
    times: list[float] | None = None
    fov: float | None = None
    weather: dict[str, float] = field(default_factory=dict)


def load(file: Path, files: Sequence[Path] = (), camera: int = 0) -> Poses:
    """Read a file of poses.

    Args:
        file: The file; nuScenes' ``ego_pose.json`` is read with the tables next to it.
        files: The pictures whose poses are looked up in those tables.
        camera: Number of the camera, where the file has those of a vehicle with several (KITTI-CARLA).

    Raises:
        ImageError: One line: it cannot be read, or holds none.
    """
    try:
        text = read_text(file, limits.POSES_SIZE)
    except (OSError, FileRefused) as error:
        raise ImageError(f"{file}: {reason(error)}") from None
    try:
        suffix = file.suffix.lower()
        if file.name == "ego_pose.json" and (file.parent / "sample_data.json").is_file():
            found = _from_nuscenes(file, json.loads(text), files)
        elif suffix == ".csv":
            found = _from_rows(file, _csv_rows(text))
        elif suffix == ".jsonl":
            found = _from_rows(file, [json.loads(line) for line in text.splitlines() if line.strip()])
        elif suffix == ".json":
            found = _from_json(file, json.loads(text))
        else:
            found = _from_matrices(file, text, camera)
    except OSError as error:
        raise ImageError(f"{error.filename}: {reason(error)}, which {file.name} needs") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, csv.Error) as error:
        raise ImageError(f"{file}: no poses: {' '.join(str(error).split())[:200]}") from None
    if not found.poses:
        raise ImageError(f"{file}: holds no poses")
    if not np.isfinite(found.poses).all() or np.abs(found.poses).max() > _FARTHEST:
        raise ImageError(f"{file}: poses with numbers that are not finite")
    if found.fov is not None and not 1.0 <= found.fov <= 179.0:
        raise ImageError(f"{file}: a field of view of {found.fov:g} degrees")
    return found


def _csv_rows(text: str) -> list[dict[str, Any]]:
    dialect = ";" if text[:2000].count(";") > text[:2000].count(",") else ","
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    first = next(csv.reader([lines[0].lstrip("#").strip()], delimiter=dialect))
    if all(_number(cell) is not None for cell in first):  # no header
        names = {6: list(_NAMES), 7: ["frame", *_NAMES], 8: ["frame", "time", *_NAMES]}.get(len(first))
        if names is None:
            raise ValueError("a CSV without a header has 6 to 8 columns: [frame, [time,]] x, y, z, pitch, yaw, roll")
        return [dict(zip(names, row, strict=True)) for row in csv.reader(lines, delimiter=dialect)]
    return list(csv.DictReader(io.StringIO("\n".join([lines[0].lstrip("#").strip(), *lines[1:]])), delimiter=dialect))


def _from_json(file: Path, data: Any) -> Poses:
    rows: list[Any]
    shared: dict[str, Any] = {}
    if isinstance(data, dict):
        listed = next((value for key, value in data.items() if not re.search(r"\d", key) and _is_rows(value)), None)
        if listed is not None:
            rows, shared = listed, {key: value for key, value in data.items() if not isinstance(value, list)}
        else:  # by frame
            entries = {key: value for key, value in data.items() if isinstance(value, dict | list)}
            numbered = {key: value for key, value in entries.items() if re.search(r"\d", key)}
            shared = {key: value for key, value in data.items() if key not in numbered}
            rows = [
                {"frame": key, **value} if isinstance(value, dict) else {"frame": key, "matrix": value}
                for key, value in numbered.items()
            ]
    elif isinstance(data, list):
        rows = data
    else:
        raise ValueError("expected a list or an object")
    found = _from_rows(file, [row if isinstance(row, dict) else {"matrix": row} for row in rows])
    if found.fov is None:
        found.fov = _fov(_flat(shared))
    return found


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _from_rows(file: Path, rows: list[dict[str, Any]]) -> Poses:
    poses, numbers, times, fov = [], [], [], None
    weather: dict[str, float] = {}
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError("expected one object per frame")
        flat = _flat(row)
        poses.append(_pose(row, flat))
        numbers.append(_frame_number(flat))
        times.append(next((value for key in _TIME if (value := _number(flat.get(key))) is not None), None))
        fov = _fov(flat) if fov is None else fov
        if fov is None and isinstance(row.get("intrinsics"), list):
            k = np.asarray(row["intrinsics"], np.float64).ravel()
            fov = math.degrees(2.0 * math.atan(k[2] / k[0])) if k.size == 9 else None
        if not weather and isinstance(row.get("ego"), dict):
            values = row["ego"].get("weather_parameters")
            if isinstance(values, dict):
                weather = {str(key): float(value) for key, value in values.items()}
    has_numbers = all(number is not None for number in numbers)
    has_times = all(time is not None for time in times)
    return Poses(
        file,
        poses,
        [number for number in numbers if number is not None] if has_numbers else None,
        [time for time in times if time is not None] if has_times else None,
        fov,
        weather,
    )


def _pose(row: dict[str, Any], flat: dict[str, Any]) -> np.ndarray:
    if "intrinsics" in row and "camera" in row:  # our own export's index: right-handed, optical
        return _from_optical(_matrix(row["camera"]))
    for key in ("matrix", "transform", "transform_matrix", "pose", "extrinsic", "camera_to_world", "camera"):
        if isinstance(row.get(key), list):
            return _matrix(row[key])
    values = [_number(flat.get(name)) for name in _NAMES]
    if None in values[:3]:
        raise ValueError("expected x, y, z, pitch, yaw and roll, or a matrix of 4 by 4, for each frame")
    x, y, z, pitch, yaw, roll = (value or 0.0 for value in values)
    angles = np.radians([pitch, yaw, roll])
    return pose_matrix((x, y, z), np.cos(angles), np.sin(angles))


def _from_optical(pose: np.ndarray) -> np.ndarray:
    """Return a camera's pose in CARLA's axes from one in a right-handed world, x right, y down, z forward."""
    return right_handed(pose @ np.linalg.inv(OPTICAL))


def _matrix(value: Any) -> np.ndarray:
    array = np.asarray(value, np.float64).ravel()
    if array.size not in (12, 16):
        raise ValueError(f"a matrix of {array.size} numbers; expected 4 by 4")
    out = np.eye(4)
    out.ravel()[: array.size] = array
    return out


def _flat(row: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of nested objects by their last name, in lower case: ``location.x`` is ``x``."""
    out: dict[str, Any] = {}
    for key, value in row.items():
        name = str(key).strip().lower().replace(" ", "_")
        if isinstance(value, dict):
            for inner, each in _flat(value).items():
                out.setdefault(inner, each)
            continue
        short = name
        while (shorter := _PREFIX.sub("", short)) != short:
            short = shorter
        short = re.sub(r"[_\[(](m|deg|degrees|metres|meters)[\])]?$", "", short)
        out[short] = value
    return out


def _frame_number(flat: dict[str, Any]) -> int | None:
    for key in _FRAME:
        if (value := flat.get(key)) is not None:
            digits = re.findall(r"\d+", Path(str(value)).stem if not isinstance(value, float) else str(int(value)))
            if digits:
                return int(digits[-1][-18:])
    return None


def _fov(flat: dict[str, Any]) -> float | None:
    return next((value for key in _FOV if (value := _number(flat.get(key))) is not None), None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _from_matrices(file: Path, text: str, camera: int) -> Poses:
    """Read KITTI's odometry: twelve numbers a line, right-handed, optical; KITTI-CARLA's LiDAR has a time as well."""
    rows = [
        [float(cell) for cell in line.split()]
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    widths = {len(row) for row in rows}
    if widths == {12}:
        return Poses(file, [_from_optical(_matrix(row)) for row in rows], fov=_kitti_fov(file))
    if widths == {13}:
        return _kitti_carla(file, rows, camera)
    raise ValueError("expected twelve numbers a line, as in KITTI's odometry")


def _kitti_fov(file: Path) -> float | None:
    """Return the field of view in our own export's ``calibration.json`` next to the poses."""
    try:
        camera = json.loads(read_text(file.parent / "calibration.json", limits.MIB))["camera"]
        k = np.asarray(camera["K"], np.float64).ravel()
        return math.degrees(2.0 * math.atan(k[2] / k[0]))
    except (OSError, FileRefused, ValueError, KeyError, TypeError, IndexError):
        return None


def _kitti_carla(file: Path, rows: list[list[float]], camera: int) -> Poses:
    """Return the cameras' poses of KITTI-CARLA from those of its LiDAR, a thousand a second, and the cameras' times.

    Its axes are right-handed, x forward; ``lidar_to_cam0.txt`` leads from the LiDAR to the camera.
    """
    stamps = [
        (int(line.split()[0]), float(line.split()[1]))
        for line in read_text(file.parent / "full_ts_camera.txt", limits.POSES_SIZE).splitlines()
        if line.strip() and not line.startswith("#")
    ]
    calibration = [
        float(cell)
        for line in read_text(file.parent / f"lidar_to_cam{camera}.txt", limits.MIB).splitlines()
        if not line.lstrip().startswith("#")
        for cell in line.split()
    ]
    to_lidar = np.linalg.inv(_matrix(calibration[:12]))
    clock = np.array([row[12] for row in rows])
    poses = []
    for _, time in stamps:
        row = rows[int(np.abs(clock - time).argmin())]
        poses.append(right_handed(_matrix(row[:12]) @ to_lidar))
    return Poses(file, poses, [number for number, _ in stamps], [time for _, time in stamps], 72.0)


def _from_nuscenes(file: Path, egos: Any, files: Sequence[Path]) -> Poses:
    """Return the poses of pictures of a nuScenes data set, by the tables next to ``ego_pose.json``.

    Its axes are right-handed; a camera's are optical.
    """
    tables = {
        name: json.loads(read_text(file.parent / f"{name}.json", limits.POSES_SIZE))
        for name in ("sample_data", "calibrated_sensor")
    }
    by_token = {row["token"]: row for row in (*egos, *tables["calibrated_sensor"])}
    by_name = {Path(row["filename"]).name: row for row in tables["sample_data"]}
    poses, times, fov = [], [], None
    for picture in files:
        row = by_name[picture.name]
        sensor = by_token[row["calibrated_sensor_token"]]
        poses.append(_from_optical(_rigid(by_token[row["ego_pose_token"]]) @ _rigid(sensor)))
        times.append(float(row["timestamp"]) * 1e-6)
        k = np.asarray(sensor["camera_intrinsic"], np.float64)
        fov = math.degrees(2.0 * math.atan(float(row["width"]) / (2.0 * k[0, 0])))
    return Poses(file, poses, None, times, fov)


def _rigid(row: dict[str, Any]) -> np.ndarray:
    """Return a row's translation and rotation (a quaternion, w first) as f64 (4, 4)."""
    w, x, y, z = (float(value) for value in row["rotation"])
    out = np.eye(4)
    out[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    out[:3, 3] = row["translation"]
    return out
