"""Export recordings as a LeRobot data set, version 3: driving as imitation learning reads it.

``data/``: parquet with ``observation.state`` (speed m/s, yaw rate rad/s), ``action`` (throttle, brake, steer) and the
indices. ``videos/observation.images.X/``: one MP4 per camera X and recording. ``meta/``: info, statistics, tasks,
episodes. Each recording is an episode; its task is the scenario's title.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.exporting.surround import Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors
from neuralsim.recording.writing.mp4 import Mp4Writer

STATE = ("speed", "yaw_rate")
ACTION = ("throttle", "brake", "steer")
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_FILES = 1000  # per chunk
_SAMPLED = 8  # frames between two that count in the statistics of images
_SCALARS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def export_lerobot(
    sources: Sequence[Path], folder: Path, progress: Progress = ignore, report_problem: Report = ignore
) -> int:
    """Write recordings as episodes of a data set below ``folder``; return the number of frames.

    All have the same cameras, sizes and rate. ``progress`` is called with the frames so far, ``report_problem`` with a
    line if not all could be read. Raises :class:`RecordingError`.
    """
    with data_set_errors(sources[0], folder, "lerobot"):
        writer = _Writer(folder)
        for source in sources:
            writer.add(source, progress, report_problem)
        writer.close()
    return writer.frames


class _Writer:
    def __init__(self, folder: Path) -> None:
        self.folder, self.frames = folder, 0
        self._episodes: list[dict[str, Any]] = []
        self._tasks: list[str] = []
        self._cameras: dict[str, tuple[int, int]] = {}  # size by video key
        self._fps = 0.0
        self._all: dict[str, list[np.ndarray]] = {}  # values by feature, for the statistics

    def add(self, source: Path, progress: Progress, report_problem: Report) -> None:
        """Write an episode."""
        number = len(self._episodes)
        recording, frames = surround_frames(source)
        videos: dict[str, Mp4Writer] = {}
        states: list[list[float]] = []
        actions: list[list[float]] = []
        values: dict[str, list[np.ndarray]] = {}
        before: tuple[float, float] | None = None
        try:
            for frame in frames:
                if not states:
                    videos = self._open(frame, recording.fps, number, source)
                yaw = float(np.arctan2(frame.ego[1, 0], frame.ego[0, 0]))
                turn = 0.0 if before is None else ((yaw - before[1] + np.pi) % (2 * np.pi) - np.pi) * recording.fps
                before = frame.time, yaw
                ego, pedals = (frame.recorded.json.get(name, {}) for name in ("ego", "control"))
                self._film(frame, videos, len(states), recording.fps, values)
                states.append([float(ego.get("speed", 0.0)), turn])
                actions.append([float(pedals.get(name, 0.0)) for name in ACTION])
                self.frames += 1
                progress(self.frames)
        finally:
            for video in videos.values():
                video.close()
        for video in videos.values():
            if video.error is not None:
                raise RecordingError(video.error)
        if not states:
            raise RecordingError(f"{source} holds no complete frame")
        if recording.problem:
            report_problem(recording.problem)
        self._finish(number, _task(recording.about, recording.scenario), states, actions, values)

    def _open(self, frame: Surround, fps: float, number: int, source: Path) -> dict[str, Mp4Writer]:
        cameras = {f"observation.images.{name}": shot.size for name, shot in frame.shots.items()}
        if number and (cameras != self._cameras or fps != self._fps):
            raise RecordingError(f"{source} has other cameras, sizes or another rate than the recordings before it")
        self._cameras, self._fps = cameras, fps
        return {
            key: Mp4Writer(self._path(_VIDEO, number, video_key=key), size, rate=fps, block=True)
            for key, size in cameras.items()
        }

    def _path(self, pattern: str, number: int, **names: str) -> Path:
        path = self.folder / pattern.format(chunk_index=number // _FILES, file_index=number % _FILES, **names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _film(
        self, frame: Surround, videos: dict[str, Mp4Writer], k: int, fps: float, values: dict[str, list[np.ndarray]]
    ) -> None:
        for name, shot in frame.shots.items():
            key = f"observation.images.{name}"
            if key not in videos:
                raise RecordingError(f"frame {frame.index} has a camera {name} that the first one has not")
            image = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
            if image is None or (image.shape[1], image.shape[0]) != videos[key].size:
                raise RecordingError(f"frame {frame.index}: the image of the camera {name} is damaged")
            rgb = np.ascontiguousarray(image[..., ::-1])
            videos[key].write(rgb, k / fps)
            if k % _SAMPLED == 0:
                small = rgb[::4, ::4].reshape(-1, 3) / 255.0
                values.setdefault(key, []).append(small)

    def _finish(
        self, number: int, task: str, states: list[Any], actions: list[Any], values: dict[str, list[np.ndarray]]
    ) -> None:
        count, first = len(states), self.frames - len(states)
        if task not in self._tasks:
            self._tasks.append(task)
        columns = {
            "observation.state": np.array(states, np.float32),
            "action": np.array(actions, np.float32),
            "timestamp": (np.arange(count) / self._fps).astype(np.float32),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, number),
            "index": first + np.arange(count),
            "task_index": np.full(count, self._tasks.index(task)),
        }
        arrays = {
            name: pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), column.shape[1]) if column.ndim > 1
            else pa.array(column)
            for name, column in columns.items()
        }  # fmt: skip
        pq.write_table(pa.table(arrays), self._path(_DATA, number))
        chunk, file = number // _FILES, number % _FILES
        row: dict[str, Any] = {
            "episode_index": number, "tasks": [task], "length": count, "data/chunk_index": chunk,
            "data/file_index": file, "dataset_from_index": first, "dataset_to_index": first + count,
            "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0,
        }  # fmt: skip
        for key in self._cameras:
            row |= {f"videos/{key}/chunk_index": chunk, f"videos/{key}/file_index": file}
            row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": count / self._fps}
        of_episode = {**columns, **{key: np.concatenate(pixels) for key, pixels in values.items()}}
        for name, column in of_episode.items():
            row |= {f"stats/{name}/{kind}": value for kind, value in _statistics(name, column).items()}
            self._all.setdefault(name, []).append(column)
        self._episodes.append(row)

    def close(self) -> None:
        """Write what describes the data set."""
        meta = self.folder / "meta"
        meta.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self._episodes), self._path(_EPISODES, 0))
        tasks = pa.table({"task_index": list(range(len(self._tasks))), "task": self._tasks})
        index = {"index_columns": ["task"], "column_indexes": [], "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
        ]}  # fmt: skip
        pq.write_table(tasks.replace_schema_metadata({"pandas": json.dumps(index)}), meta / "tasks.parquet")
        statistics = {name: _statistics(name, np.concatenate(parts)) for name, parts in self._all.items()}
        (meta / "stats.json").write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
        (meta / "info.json").write_text(json.dumps(self._info(), indent=2) + "\n", encoding="utf-8")

    def _info(self) -> dict[str, Any]:
        features: dict[str, Any] = {
            "observation.state": {"dtype": "float32", "shape": [len(STATE)], "names": list(STATE)},
            "action": {"dtype": "float32", "shape": [len(ACTION)], "names": list(ACTION)},
        }
        for key, (width, height) in self._cameras.items():
            features[key] = {
                "dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"],
                "info": {
                    "video.fps": round(self._fps), "video.height": height, "video.width": width, "video.channels": 3,
                    "video.codec": "h264", "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "has_audio": False,
                },
            }  # fmt: skip
        for name in _SCALARS:
            kind = "float32" if name == "timestamp" else "int64"
            features[name] = {"dtype": kind, "shape": [1], "names": None}
        return {
            "codebase_version": "v3.0", "robot_type": "car", "total_episodes": len(self._episodes),
            "total_frames": self.frames, "total_tasks": len(self._tasks), "chunks_size": _FILES,
            "data_files_size_in_mb": 100, "video_files_size_in_mb": 500, "fps": round(self._fps),
            "splits": {"train": f"0:{len(self._episodes)}"}, "data_path": _DATA, "video_path": _VIDEO,
            "features": features,
        }  # fmt: skip


def _task(about: dict[str, str], scenario: str) -> str:
    """Return what the driver does in a recording: the title of its scenario."""
    from scenarios.language.problems import ScenarioError, parse_yaml

    try:
        content, _ = parse_yaml(Path(scenario), about.get("scenario_yaml", ""))
    except ScenarioError:
        content = None
    title = content.get("title") if isinstance(content, dict) else None
    return str(title)[:200] if title else scenario


def _statistics(name: str, values: np.ndarray) -> dict[str, Any]:
    """Return LeRobot's statistics of a feature; those of images are per channel, of shape (3, 1, 1)."""
    is_image = name.startswith("observation.images.")
    columns = values.reshape(len(values), -1).astype(np.float64)
    count = len(values)
    statistics = {"min": columns.min(0), "max": columns.max(0), "mean": columns.mean(0), "std": columns.std(0)}
    shaped = {key: value.reshape(-1, 1, 1) if is_image else value for key, value in statistics.items()}
    return {**{key: value.tolist() for key, value in shaped.items()}, "count": [count]}
