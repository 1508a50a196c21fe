"""Export a recording as a file that Rerun's viewer and its ``rerun.dataframe`` read (.rrd).

``/world``: right-handed, z up. ``/world/ego``: the vehicle, its ``lidar``, and its cameras by name with image, tags
and depth. ``/world/objects``: boxes. ``/speed``, ``/controls/...``: curves. ``/events/...``: a text and a point on the
curve of the speed for each collision, lane left, change of the weather and hole. The time line is ``simulated``. The
file has a layout with all that the replay shows (``rerun_layout.py``).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import rerun as rr
from scipy.spatial.transform import Rotation

from bridge.tags import Tag
from neuralsim.recording import Progress, Report, ignore
from neuralsim.recording.drive_track import EVENTS, DriveTrack, Event, known_events, track_of, with_events
from neuralsim.recording.exporting.rerun_layout import CURVES, MARKS, TIMELINE, layout
from neuralsim.recording.exporting.surround import Box, Shot, Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors, finish_export
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.renderer.views import tag_image

APPLICATION = "neuralsim"
_REACH = 100.0  # m shown of a depth image


def export_rerun(source: Path, path: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write ``source`` (.mcap) as ``path/recording.rrd``; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    recording, frames = surround_frames(source)
    times: list[float] = []

    def logged(stream: rr.RecordingStream, frames: Iterable[Surround]) -> Iterator[RecordedFrame]:
        for frame in frames:
            if not times:
                _log_constant(stream)
                stream.send_blueprint(layout(list(frame.shots)))
            _log(stream, frame)
            times.append(frame.time)
            progress(len(times))
            yield frame.recorded

    with data_set_errors(source, path, "rerun"):
        path.mkdir(parents=True, exist_ok=True)
        with rr.RecordingStream(APPLICATION, recording_id=source.parent.name or source.stem) as stream:
            stream.save(path / "recording.rrd")
            track = track_of(logged(stream, frames))
            _log_events(stream, with_events(known_events(source, times), track), track, times)
            stream.flush()
    return finish_export(source, recording.problem, len(times), report_problem)


def _log_constant(stream: rr.RecordingStream) -> None:
    """Log the axes, and names and colours of the tags."""
    colours = tag_image(np.arange(256, dtype=np.uint8)[None])[0]
    classes = [rr.AnnotationInfo(int(tag), tag.name.lower(), colours[tag].tolist()) for tag in Tag]
    stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, rr.AnnotationContext(classes), static=True)
    for name, (colour, title) in CURVES.items():
        stream.log(name, rr.SeriesLines(colors=colour, names=title), static=True)
    for kind, colour in MARKS.items():
        points = rr.SeriesPoints(colors=colour, names=EVENTS[kind], markers="diamond", marker_sizes=6.0)
        stream.log(f"events/{kind}", points, static=True)


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


def _log_events(stream: rr.RecordingStream, events: list[Event], track: DriveTrack, times: list[float]) -> None:
    """Log each event with its text, and with the speed at its time. ``times``: of the frames, s."""
    for now, kind, text in events:
        stream.set_time(TIMELINE, duration=times[0] + now)
        level = rr.TextLogLevel.INFO if kind == "weather" else rr.TextLogLevel.WARN
        stream.log(f"events/{kind}", rr.TextLog(text, level=level, color=MARKS[kind]))
        speed = float(np.interp(now, track.values[:, 0], track.values[:, 1]))
        stream.log(f"events/{kind}", rr.Scalars(speed))


def _log_camera(stream: rr.RecordingStream, shot: Shot, pose: np.ndarray) -> None:
    path = f"world/ego/{shot.name}"
    stream.log(path, _transform(pose))
    lens = rr.Pinhole(
        image_from_camera=shot.intrinsics,
        resolution=list(shot.size),
        camera_xyz=rr.ViewCoordinates.RDF,
        image_plane_distance=1.0,
    )
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
        labels=[f"{'parked ' * box.parked}{Tag(box.tag).name.lower()} {box.instance}" for box in boxes],
    )


def _transform(pose: np.ndarray) -> rr.Transform3D:
    return rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
