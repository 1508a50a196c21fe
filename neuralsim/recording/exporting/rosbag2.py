"""Export a recording as a rosbag2 (MCAP, ROS 2 Humble's messages) under the topic names of CARLA's ROS bridge.

Per camera, with its name X: ``/carla/ego_vehicle/rgb_X/image``, ``.../image/compressed``, ``.../camera_info``,
``semantic_segmentation_X/image`` (``mono8``, CARLA's tags) and ``depth_X/image`` (``32FC1``, m). Besides:
``/clock``, ``/tf``, ``/carla/ego_vehicle/{odometry,speedometer,vehicle_status,lidar}`` and ``/carla/markers``.
"""

from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.exporting.ros2_messages import CameraView, Ros2Messages, VehicleMessages, VehicleView
from neuralsim.recording.exporting.surround import Shot, Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors, finish_export

_PEDALS = ("throttle", "steer", "brake", "hand_brake", "reverse")
_PLANES = {"semantic_segmentation": ("tag", "mono8"), "depth": ("depth", "32FC1")}


def export_rosbag2(source: Path, folder: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write ``source`` (.mcap) as the bag ``folder``, which must not exist yet; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    count = 0
    if folder.exists():
        raise RecordingError(f"{folder} exists already; choose another folder")
    recording, frames = surround_frames(source)
    messages = Ros2Messages()
    vehicle, connections = VehicleMessages(messages), dict[str, Any]()
    with data_set_errors(source, folder, "rosbag2"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            for frame in frames:
                now = round(frame.time * 1e9)
                for topic, short, make in chain(messages.world(frame.time, frame.boxes), vehicle.of(_view(frame))):
                    kind = short.replace("/", "/msg/")
                    if topic not in connections:
                        connections[topic] = writer.add_connection(topic, kind, typestore=messages.store)
                    writer.write(connections[topic], now, messages.store.serialize_cdr(make(), kind))
                count += 1
                progress(count)
    return finish_export(source, recording.problem, count, report_problem)


def _view(frame: Surround) -> VehicleView:
    state, pedals = (frame.recorded.json.get(name, {}) for name in ("ego", "control"))
    control = {name: pedals[name] for name in _PEDALS if name in pedals} | {"gear": state.get("gear", 0)}
    speed, cameras = float(state.get("speed", 0.0)), [_camera(shot) for shot in frame.shots.values()]
    return VehicleView(frame.time, frame.ego, speed, cameras, frame.sweep, control)


def _camera(shot: Shot) -> CameraView:
    images = {"rgb": ("bgr8", partial(_decoded, shot))}
    for name, (plane, encoding) in _PLANES.items():
        if plane in shot.planes:
            images[name] = encoding, partial(shot.planes.__getitem__, plane)
    return CameraView(shot.name, shot.pose, shot.intrinsics, shot.size, images, lambda: shot.jpeg)


def _decoded(shot: Shot) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise RecordingError(f"an image of the camera {shot.name} is damaged")
    return bgr
