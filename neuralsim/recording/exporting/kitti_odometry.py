"""Export a recording as a sequence of KITTI's odometry benchmark.

``sequences/00/``: ``image_2/`` (PNG), ``velodyne/`` (f32 x, y, z, reflectance), ``calib.txt``, ``times.txt``;
``poses/00.txt``: the first camera's, relative to its first one (Geiger et al., CVPR 2012).
"""

from pathlib import Path

import cv2
import numpy as np

from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.exporting.surround import MOUNT, surround_frames
from neuralsim.recording.image_folder import data_set_errors, write_png

_SEQUENCE = "00"


def export_odometry(source: Path, folder: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write ``source`` (.mcap) as a sequence below ``folder``; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    recording, frames = surround_frames(source)
    poses: list[np.ndarray] = []
    times: list[float] = []
    sequence = folder / "sequences" / _SEQUENCE
    with data_set_errors(source, folder, "kitti-odometry"):
        for name in ("image_2", "velodyne"):
            (sequence / name).mkdir(parents=True, exist_ok=True)
        (folder / "poses").mkdir(exist_ok=True)
        for frame in frames:
            shot, number = next(iter(frame.shots.values())), f"{len(poses):06d}"
            image = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise RecordingError(f"frame {frame.index}: the image is damaged")
            write_png(sequence / f"image_2/{number}.png", image)
            sweep = frame.sweep()
            points = np.column_stack([sweep[:, :3] - MOUNT, sweep[:, 3] / 255.0]).astype("<f4")
            (sequence / f"velodyne/{number}.bin").write_bytes(points.tobytes())
            if not poses:
                lidar = np.eye(4)
                lidar[:3, 3] = MOUNT
                to_camera = np.linalg.inv(shot.pose) @ frame.ego @ lidar
                projection = np.concatenate([shot.intrinsics, np.zeros((3, 1))], axis=1)
                rows = {**{f"P{k}": projection for k in range(4)}, "Tr": to_camera[:3]}
                text = "".join(f"{name}: {_numbers(row)}\n" for name, row in rows.items())
                (sequence / "calib.txt").write_text(text, encoding="utf-8")
            poses.append(shot.pose)
            times.append(frame.time)
            progress(len(poses))
        if not poses:
            raise RecordingError(f"{source} holds no complete frame")
        start = np.linalg.inv(poses[0])
        lines = "".join(f"{_numbers((start @ pose)[:3])}\n" for pose in poses)
        (folder / "poses" / f"{_SEQUENCE}.txt").write_text(lines, encoding="utf-8")
        (sequence / "times.txt").write_text("".join(f"{time - times[0]:.6e}\n" for time in times), encoding="utf-8")
    if recording.problem:
        report_problem(recording.problem)
    return len(poses)


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.9e}" for value in values.ravel())
