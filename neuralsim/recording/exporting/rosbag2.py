"""Export a recording as a rosbag2 (MCAP, ROS 2 Humble's messages) under the topic names of CARLA's ROS bridge.

Per camera, with its name X: ``/carla/ego_vehicle/rgb_X/image``, ``.../image/compressed``, ``.../camera_info``,
``semantic_segmentation_X/image`` (``mono8``, CARLA's tags) and ``depth_X/image`` (``32FC1``, m). Besides:
``/clock``, ``/tf``, ``/carla/ego_vehicle/{odometry,speedometer,vehicle_status,lidar}`` and ``/carla/markers``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from bridge.tags import Tag
from neuralsim.recording import Progress, RecordingError, Report, ignore
from neuralsim.recording.exporting.surround import MOUNT, Shot, Surround, surround_frames
from neuralsim.recording.image_folder import data_set_errors, finish_export

_EGO = "/carla/ego_vehicle"
#: Those of ``ros-carla-msgs`` that the bridge publishes about its vehicle.
_CARLA_MESSAGES = {
    "carla_msgs/msg/CarlaEgoVehicleControl": """
        std_msgs/Header header
        float32 throttle
        float32 steer
        float32 brake
        bool hand_brake
        bool reverse
        int32 gear
        bool manual_gear_shift
    """,
    "carla_msgs/msg/CarlaEgoVehicleStatus": """
        std_msgs/Header header
        float32 velocity
        geometry_msgs/Accel acceleration
        geometry_msgs/Quaternion orientation
        carla_msgs/CarlaEgoVehicleControl control
    """,
}
_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
_FLOAT32, _CUBE = 7, 1  # of sensor_msgs/PointField and visualization_msgs/Marker

Message = Any  # of a type store, made at run time


def export_rosbag2(source: Path, folder: Path, progress: Progress = ignore, report_problem: Report = ignore) -> int:
    """Write ``source`` (.mcap) as the bag ``folder``, which must not exist yet; return the number of frames.

    ``progress`` is called with the frames so far, ``report_problem`` with a line if not all could be read. Raises
    :class:`RecordingError`.
    """
    count = 0
    if folder.exists():
        raise RecordingError(f"{folder} exists already; choose another folder")
    recording, frames = surround_frames(source)
    with data_set_errors(source, folder, "rosbag2"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            bag = _Bag(writer)
            for frame in frames:
                bag.add(frame)
                count += 1
                progress(count)
    return finish_export(source, recording.problem, count, report_problem)


class _Bag:
    """Turns frames into messages and writes them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in _CARLA_MESSAGES.items():
            self._store.register(get_types_from_msg(text, name))
        self._connections: dict[str, Any] = {}
        self._before: tuple[float, np.ndarray, np.ndarray] | None = None  # time, pose and velocity of the last frame

    def add(self, frame: Surround) -> None:
        """Write all messages of a frame."""
        now = round(frame.time * 1e9)
        stamp = self._new("builtin_interfaces/msg/Time", now // 10**9, now % 10**9)
        for topic, kind, message in self._messages(frame, stamp):
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store)
            self._writer.write(self._connections[topic], now, self._store.serialize_cdr(message, kind))

    def _new(self, kind: str, *values: Any) -> Message:
        return self._store.types[kind](*values)

    def _header(self, stamp: Message, frame_id: str) -> Message:
        return self._new("std_msgs/msg/Header", stamp, frame_id)

    def _vector(self, x: float, y: float, z: float, kind: str = "Vector3") -> Message:
        return self._new(f"geometry_msgs/msg/{kind}", float(x), float(y), float(z))

    def _quaternion(self, pose: np.ndarray) -> Message:
        return self._new("geometry_msgs/msg/Quaternion", *Rotation.from_matrix(pose[:3, :3]).as_quat().tolist())

    def _pose(self, pose: np.ndarray) -> Message:
        x, y, z = pose[:3, 3].tolist()
        return self._new("geometry_msgs/msg/Pose", self._vector(x, y, z, "Point"), self._quaternion(pose))

    def _messages(self, frame: Surround, stamp: Message) -> Iterator[tuple[str, str, Message]]:
        yield "/clock", "rosgraph_msgs/msg/Clock", self._new("rosgraph_msgs/msg/Clock", stamp)
        yield from self._vehicle(frame, stamp)
        to_ego = np.linalg.inv(frame.ego)
        lidar = np.eye(4)
        lidar[:3, 3] = MOUNT
        frames = {f"ego_vehicle/rgb_{shot.name}": to_ego @ shot.pose for shot in frame.shots.values()}
        transforms = [("map", "ego_vehicle", frame.ego), ("ego_vehicle", "ego_vehicle/lidar", lidar)]
        transforms += [("ego_vehicle", name, pose) for name, pose in frames.items()]
        stamped = [
            self._new(
                "geometry_msgs/msg/TransformStamped", self._header(stamp, parent), child,
                self._new("geometry_msgs/msg/Transform", self._vector(*pose[:3, 3]), self._quaternion(pose)),
            )
            for parent, child, pose in transforms
        ]  # fmt: skip
        yield "/tf", "tf2_msgs/msg/TFMessage", self._new("tf2_msgs/msg/TFMessage", stamped)
        for shot in frame.shots.values():
            yield from self._camera(shot, stamp)
        yield f"{_EGO}/lidar", "sensor_msgs/msg/PointCloud2", self._cloud(frame, stamp)
        kind = "visualization_msgs/msg/MarkerArray"
        yield "/carla/markers", kind, self._new(kind, [self._marker(frame, k, stamp) for k in range(len(frame.boxes))])

    def _vehicle(self, frame: Surround, stamp: Message) -> Iterator[tuple[str, str, Message]]:
        state, pedals = (frame.recorded.json.get(name, {}) for name in ("ego", "control"))
        speed = float(state.get("speed", 0.0))
        velocity = np.array([speed, 0.0, 0.0])
        turn, acceleration = 0.0, np.zeros(3)
        if self._before is not None:
            seconds = max(frame.time - self._before[0], 1e-6)
            moved = Rotation.from_matrix(self._before[1][:3, :3].T @ frame.ego[:3, :3])
            turn, acceleration = float(moved.as_rotvec()[2]) / seconds, (velocity - self._before[2]) / seconds
        self._before = frame.time, frame.ego, velocity
        linear, angular = self._vector(*velocity), self._vector(0.0, 0.0, turn)
        twist = self._new("geometry_msgs/msg/Twist", linear, angular)
        yield f"{_EGO}/odometry", "nav_msgs/msg/Odometry", self._new(
            "nav_msgs/msg/Odometry", self._header(stamp, "map"), "ego_vehicle",
            self._new("geometry_msgs/msg/PoseWithCovariance", self._pose(frame.ego), np.zeros(36)),
            self._new("geometry_msgs/msg/TwistWithCovariance", twist, np.zeros(36)),
        )  # fmt: skip
        yield f"{_EGO}/speedometer", "std_msgs/msg/Float32", self._new("std_msgs/msg/Float32", speed)
        header = self._header(stamp, "ego_vehicle")
        control = self._new(
            "carla_msgs/msg/CarlaEgoVehicleControl", header, float(pedals.get("throttle", 0.0)),
            float(pedals.get("steer", 0.0)), float(pedals.get("brake", 0.0)), bool(pedals.get("hand_brake", False)),
            bool(pedals.get("reverse", False)), int(state.get("gear", 0)), False,
        )  # fmt: skip
        accel = self._new("geometry_msgs/msg/Accel", self._vector(*acceleration), angular)
        kind = "carla_msgs/msg/CarlaEgoVehicleStatus"
        status = self._new(kind, header, speed, accel, self._quaternion(frame.ego), control)
        yield f"{_EGO}/vehicle_status", kind, status

    def _camera(self, shot: Shot, stamp: Message) -> Iterator[tuple[str, str, Message]]:
        header = self._header(stamp, f"ego_vehicle/rgb_{shot.name}")
        bgr = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise RecordingError(f"an image of the camera {shot.name} is damaged")
        images: dict[str, tuple[str, np.ndarray]] = {f"rgb_{shot.name}": ("bgr8", bgr)}
        for name, plane, encoding in (("semantic_segmentation", "tag", "mono8"), ("depth", "depth", "32FC1")):
            if plane in shot.planes:
                images[f"{name}_{shot.name}"] = encoding, shot.planes[plane]
        info = self._info(shot, header)
        for name, (encoding, image) in images.items():
            height, width = image.shape[:2]
            data = np.frombuffer(image.tobytes(), np.uint8)
            kind = "sensor_msgs/msg/Image"
            step = data.size // height
            yield f"{_EGO}/{name}/image", kind, self._new(kind, header, height, width, encoding, 0, step, data)
            yield f"{_EGO}/{name}/camera_info", "sensor_msgs/msg/CameraInfo", info
        kind = "sensor_msgs/msg/CompressedImage"
        compressed = self._new(kind, header, "bgr8; jpeg compressed bgr8", np.frombuffer(shot.jpeg, np.uint8))
        yield f"{_EGO}/rgb_{shot.name}/image/compressed", kind, compressed

    def _info(self, shot: Shot, header: Message) -> Message:
        width, height = shot.size
        projection = np.concatenate([shot.intrinsics, np.zeros((3, 1))], axis=1)
        region = self._new("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        return self._new(
            "sensor_msgs/msg/CameraInfo", header, height, width, "plumb_bob", np.zeros(5), shot.intrinsics.ravel(),
            np.eye(3).ravel(), projection.ravel(), 0, 0, region,
        )  # fmt: skip

    def _cloud(self, frame: Surround, stamp: Message) -> Message:
        sweep = frame.sweep()
        points = np.zeros(len(sweep), _POINT)
        for k, name in enumerate("xyz"):
            points[name] = sweep[:, k] - MOUNT[k]
        points["intensity"] = sweep[:, 3]
        fields = [
            self._new("sensor_msgs/msg/PointField", name, 4 * k, _FLOAT32, 1)
            for k, name in enumerate(_POINT.names or ())
        ]
        data = np.frombuffer(points.tobytes(), np.uint8)
        header, size = self._header(stamp, "ego_vehicle/lidar"), _POINT.itemsize
        return self._new(
            "sensor_msgs/msg/PointCloud2", header, 1, len(points), fields, False, size, size * len(points), data, True
        )

    def _marker(self, frame: Surround, k: int, stamp: Message) -> Message:
        """Return the marker of an object: a cube."""
        box = frame.boxes[k]
        name = f"{'parked ' * box.parked}{Tag(box.tag).name.lower()}"
        red, green, blue = ((0.0, 0.4, 1.0), (1.0, 0.6, 0.0))[box.tag != Tag.PEDESTRIAN]
        colour = self._new("std_msgs/msg/ColorRGBA", red, green, blue, 0.6)
        lifetime = self._new("builtin_interfaces/msg/Duration", 0, 100_000_000)
        zero = self._new("builtin_interfaces/msg/Time", 0, 0)
        texture = self._new("sensor_msgs/msg/CompressedImage", self._header(zero, ""), "", np.zeros(0, np.uint8))
        mesh = self._new("visualization_msgs/msg/MeshFile", "", np.zeros(0, np.uint8))
        return self._new(
            "visualization_msgs/msg/Marker", self._header(stamp, "map"), name, box.instance,
            _CUBE, 0, self._pose(box.pose), self._vector(*box.size), colour, lifetime, False, [], [], "", texture, [],
            box.blueprint, "", mesh, False,
        )  # fmt: skip
