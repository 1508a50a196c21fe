"""Export a recording as a file that Rerun's viewer and its ``rerun.dataframe`` read (.rrd).

``/world``: right-handed, z up. ``/world/ego``: the vehicle, its ``lidar``, and its cameras by name with image, tags
and depth. ``/world/objects``: boxes. ``/speed``, ``/controls/...``: curves. The time line is ``simulated``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rerun as rr
from scipy.spatial.transform import Rotation

from bridge.tags import Tag
from neuralsim.recording import Progress, Report, ignore
from neuralsim.recording.exporting.surround import Box, Shot, Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors, finish_export
from neuralsim.renderer.views import tag_image

APPLICATION = "neuralsim"
TIMELINE = "simulated"
_REACH = 100.0  # m shown of a depth image


def export_rerun(source: Path, path: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write ``source`` (.mcap) as ``path/recording.rrd``; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    count = 0
    recording, frames = surround_frames(source)
    with data_set_errors(source, path, "rerun"):
        path.mkdir(parents=True, exist_ok=True)
        with rr.RecordingStream(APPLICATION, recording_id=source.parent.name or source.stem) as stream:
            stream.save(path / "recording.rrd")
            for frame in frames:
                if not count:
                    _log_constant(stream)
                _log(stream, frame)
                count += 1
                progress(count)
            stream.flush()
    return finish_export(source, recording.problem, count, report_problem)


def _log_constant(stream: rr.RecordingStream) -> None:
    """Log the axes, and names and colours of the tags."""
    colours = tag_image(np.arange(256, dtype=np.uint8)[None])[0]
    classes = [rr.AnnotationInfo(int(tag), tag.name.lower(), colours[tag].tolist()) for tag in Tag]
    stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, rr.AnnotationContext(classes), static=True)


def _log(stream: rr.RecordingStream, frame: Surround) -> None:
    stream.set_time(TIMELINE, duration=frame.time)
    stream.log("world/ego", _transform(frame.ego))
    to_ego = np.linalg.inv(frame.ego)
    for shot in frame.shots.values():
        _log_camera(stream, shot, to_ego @ shot.pose)
    sweep = frame.sweep()
    stream.log("world/ego/lidar", rr.Points3D(sweep[:, :3], radii=0.03))
    stream.log("world/objects", _boxes(frame.boxes))
    state, pedals = (frame.recorded.json.get(name, {}) for name in ("ego", "control"))
    stream.log("speed", rr.Scalars(float(state.get("speed", 0.0))))
    for name in ("throttle", "brake", "steer"):
        stream.log(f"controls/{name}", rr.Scalars(float(pedals.get(name, 0.0))))


def _log_camera(stream: rr.RecordingStream, shot: Shot, pose: np.ndarray) -> None:
    path = f"world/ego/{shot.name}"
    stream.log(path, _transform(pose))
    lens = rr.Pinhole(
        image_from_camera=shot.intrinsics, resolution=list(shot.size), camera_xyz=rr.ViewCoordinates.RDF,
        image_plane_distance=1.0,
    )  # fmt: skip
    stream.log(path, lens)
    stream.log(f"{path}/image", rr.EncodedImage(contents=shot.jpeg, media_type="image/jpeg"))
    if "tag" in shot.planes:
        stream.log(f"{path}/tag", rr.SegmentationImage(shot.planes["tag"]))
    if "depth" in shot.planes:
        stream.log(f"{path}/depth", rr.DepthImage(shot.planes["depth"], meter=1.0, depth_range=(0.0, _REACH)))


def _boxes(boxes: list[Box]) -> rr.Boxes3D:
    return rr.Boxes3D(
        centers=[box.pose[:3, 3] for box in boxes],
        half_sizes=[np.array(box.size) / 2 for box in boxes],
        quaternions=[rr.Quaternion(xyzw=Rotation.from_matrix(box.pose[:3, :3]).as_quat()) for box in boxes],
        class_ids=[box.tag for box in boxes],
        labels=[f"{Tag(box.tag).name.lower()} {box.instance}" for box in boxes],
    )


def _transform(pose: np.ndarray) -> rr.Transform3D:
    return rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
