"""All formats that recordings can be exported to, by name."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuralsim.base.extras import missing
from neuralsim.recording import Progress, RecordingError, Report, ignore

#: Module and function of each format below ``neuralsim.recording``; the function takes ``SEVERAL`` or one recording.
FORMATS = {
    "mp4": "export:export_mp4",
    "frames": "image_folder:export_frames",
    "coco": "detection:export_detection",
    "kitti": "detection:export_detection",
    "yolo": "detection:export_detection",
    "kitti-odometry": "exporting.kitti_odometry:export_odometry",
    "nuimages": "exporting.nuimages:export_nuimages",
    "nuscenes": "exporting.nuscenes:export_nuscenes",
    "lerobot": "exporting.lerobot:export_lerobot",
    "rosbag2": "exporting.rosbag2:export_rosbag2",
    "rerun": "exporting.rerun_:export_rerun",
}
SEVERAL = ("nuscenes", "nuimages", "lerobot")  # formats of data sets with any number of recordings


def export(source: Path, folder: Path, kind: str, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write ``source`` (.mcap) as ``kind``, one of ``FORMATS``; return the number of frames.

    ``folder`` is the file for "mp4"; ``report_problem`` is called with a line if not all could be read. Raises
    RecordingError, also if a package is missing.
    """
    function = function_of(kind)
    if FORMATS[kind].endswith(":export_detection"):
        count: int = function(source, folder, kind, progress, report_problem)
    else:
        count = function([source] if kind in SEVERAL else source, folder, progress, report_problem)
    return count


def function_of(kind: str) -> Callable[..., Any]:
    """Import the function that writes ``kind``. Raises :class:`RecordingError` if a package is missing."""
    module, _, name = FORMATS[kind].partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(f"neuralsim.recording.{module}"), name)
    except ModuleNotFoundError as error:
        raise RecordingError(missing(error, "export")) from None
    return function
