"""The messages of CARLA's ROS bridge about its vehicle, in the types of ROS 2 Humble: for bags and for a live ROS 2.

Poses are right-handed, world <- local: vehicles x forward, y left, z up; cameras x right, y down, z forward; metres.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from bridge.tags import Tag
from neuralsim.recording.exporting.surround import MOUNT, Box

#: The fields of messages outside of ROS 2's own packages: of ros-carla-msgs, derived_object_msgs and ackermann_msgs.
_DEFINITIONS = {
    "carla_msgs/msg/CarlaEgoVehicleControl": (
        "std_msgs/Header header\nfloat32 throttle\nfloat32 steer\nfloat32 brake\nbool hand_brake\nbool reverse\n"
        "int32 gear\nbool manual_gear_shift"
    ),
    "carla_msgs/msg/CarlaEgoVehicleStatus": (
        "std_msgs/Header header\nfloat32 velocity\ngeometry_msgs/Accel acceleration\n"
        "geometry_msgs/Quaternion orientation\ncarla_msgs/CarlaEgoVehicleControl control"
    ),
    "carla_msgs/msg/CarlaCollisionEvent": (
        "std_msgs/Header header\nuint32 other_actor_id\ngeometry_msgs/Vector3 normal_impulse"
    ),
    "carla_msgs/msg/CarlaStatus": (
        "uint64 frame\nfloat32 fixed_delta_seconds\nbool synchronous_mode\nbool synchronous_mode_running"
    ),
    "carla_msgs/msg/CarlaWorldInfo": "string map_name\nstring opendrive",
    "derived_object_msgs/msg/Object": (
        "std_msgs/Header header\nuint32 id\nuint8 detection_level\nbool object_classified\ngeometry_msgs/Pose pose\n"
        "geometry_msgs/Twist twist\ngeometry_msgs/Accel accel\ngeometry_msgs/Polygon polygon\n"
        "shape_msgs/SolidPrimitive shape\nuint8 classification\nuint8 classification_certainty\n"
        "uint32 classification_age"
    ),
    "derived_object_msgs/msg/ObjectArray": "std_msgs/Header header\nderived_object_msgs/Object[] objects",
    "ackermann_msgs/msg/AckermannDrive": (
        "float32 steering_angle\nfloat32 steering_angle_velocity\nfloat32 speed\nfloat32 acceleration\nfloat32 jerk"
    ),
}
_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
_FLOAT32, _CUBE = 7, 1  # of sensor_msgs/PointField and visualization_msgs/Marker
_BOX = 1  # of shape_msgs/SolidPrimitive
_SURE = 255  # as the certainty of a classification
#: ``classification`` of derived_object_msgs/Object.
_OTHER_VEHICLE = 9
_CLASSES = {Tag.PEDESTRIAN: 4, Tag.BICYCLE: 5, Tag.CAR: 6, Tag.TRUCK: 7, Tag.MOTORCYCLE: 8}

Message = Any  # of a type store, made at run time
#: Topic, type, and what makes the message: much of it costs more than to learn that nobody wants it.
Entry = tuple[str, str, Callable[[], Message]]


@dataclass
class CameraView:
    """What a camera of a vehicle sees."""

    name: str
    pose: np.ndarray  # f64 (4, 4)
    intrinsics: np.ndarray  # f64 (3, 3)
    size: tuple[int, int]  # width, height, px
    #: Kind of camera (rgb, semantic_segmentation, depth) -> encoding, and what makes the image.
    images: Mapping[str, tuple[str, Callable[[], np.ndarray]]]
    jpeg: Callable[[], bytes]  # of the rgb image


@dataclass
class VehicleView:
    """A vehicle, and what its sensors measure at one time."""

    time: float  # s
    pose: np.ndarray  # f64 (4, 4)
    speed: float  # m/s, negative in reverse
    cameras: list[CameraView]
    sweep: Callable[
        [], np.ndarray
    ]  # LiDAR points f32 (N, 4 or more): x, y, z in the vehicle's axes, intensity 0 to 255
    #: Fields of CarlaEgoVehicleControl; those that are not given are zero.
    control: dict[str, Any] = field(default_factory=dict)


class Ros2Messages:
    """Makes messages; ``store`` has their types."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in _DEFINITIONS.items():
            self.store.register(get_types_from_msg(text, name))

    def new(self, kind: str, **given: Any) -> Message:
        """Return a message; fields that are not given are zero or empty. ``kind``: such as std_msgs/Header."""
        name = kind if "/msg/" in kind else kind.replace("/", "/msg/")
        fields = self.store.fielddefs[name][1]
        return self.store.types[name](
            **given, **{field: self._empty(node) for field, node in fields if field not in given}
        )

    def _empty(self, node: Any) -> Any:
        what, of = node
        if what == Nodetype.NAME:
            return self.new(of)
        if what == Nodetype.BASE:
            return {"string": "", "bool": False}.get(of[0], 0)
        (inner, item), count = of[0], of[1] if what == Nodetype.ARRAY else 0
        is_number = inner == Nodetype.BASE and item[0] != "string"
        return np.zeros(count, item[0]) if is_number else [self._empty(of[0]) for _ in range(count)]

    def header(self, time: float, frame_id: str) -> Message:
        """Return a std_msgs/Header."""
        return self.new("std_msgs/Header", stamp=self._stamp(time), frame_id=frame_id)

    def vector(self, vector: Sequence[float] | np.ndarray, kind: str = "Vector3") -> Message:
        """Return a geometry_msgs/Vector3, or Point."""
        return self.new(f"geometry_msgs/{kind}", **dict(zip("xyz", map(float, vector), strict=True)))

    def pose(self, pose: np.ndarray) -> Message:
        """Return a geometry_msgs/Pose."""
        place = self.vector(pose[:3, 3], "Point")
        return self.new("geometry_msgs/Pose", position=place, orientation=self.quaternion(pose))

    def quaternion(self, pose: np.ndarray) -> Message:
        """Return a geometry_msgs/Quaternion."""
        turn = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
        return self.new("geometry_msgs/Quaternion", **dict(zip("xyzw", turn, strict=True)))

    def world(self, time: float, boxes: Sequence[Box]) -> Iterator[Entry]:
        """Yield the clock, and markers of vehicles and people."""
        kind = "rosgraph_msgs/Clock"
        yield "/clock", kind, partial(self.new, kind, clock=self._stamp(time))
        kind, header = "visualization_msgs/MarkerArray", self.header(time, "map")
        yield "/carla/markers", kind, lambda: self.new(kind, markers=[self._marker(box, header) for box in boxes])

    def objects(self, topic: str, time: float, boxes: Iterable[tuple[Box, np.ndarray, np.ndarray]]) -> Entry:
        """Return an array of objects: box, velocity and acceleration of each, f64 (3,), m/s and m/s^2 in the world."""
        header, kind = self.header(time, "map"), "derived_object_msgs/ObjectArray"
        return topic, kind, lambda: self.new(kind, header=header, objects=[self._object(*box, header) for box in boxes])

    def _stamp(self, time: float) -> Message:
        now = round(time * 1e9)
        return self.new("builtin_interfaces/Time", sec=now // 10**9, nanosec=now % 10**9)

    def _object(self, box: Box, velocity: np.ndarray, acceleration: np.ndarray, header: Message) -> Message:
        return self.new(
            "derived_object_msgs/Object",
            header=header,
            id=box.instance,
            object_classified=True,
            pose=self.pose(box.pose),
            twist=self.new("geometry_msgs/Twist", linear=self.vector(velocity)),
            accel=self.new("geometry_msgs/Accel", linear=self.vector(acceleration)),
            shape=self.new("shape_msgs/SolidPrimitive", type=_BOX, dimensions=np.array(box.size)),
            classification=_CLASSES.get(Tag(box.tag), _OTHER_VEHICLE),
            classification_certainty=_SURE,
        )

    def _marker(self, box: Box, header: Message) -> Message:
        """Return the marker of an object: a cube."""
        red, green, blue = ((0.0, 0.4, 1.0), (1.0, 0.6, 0.0))[box.tag != Tag.PEDESTRIAN]
        return self.new(
            "visualization_msgs/Marker",
            header=header,
            ns=f"{'parked ' * box.parked}{Tag(box.tag).name.lower()}",
            id=box.instance,
            type=_CUBE,
            pose=self.pose(box.pose),
            scale=self.vector(box.size),
            color=self.new("std_msgs/ColorRGBA", r=red, g=green, b=blue, a=0.6),
            lifetime=self.new("builtin_interfaces/Duration", nanosec=100_000_000),
            text=box.blueprint,
        )


class VehicleMessages:
    """Makes the messages about one vehicle, tick by tick; ``role``: its name, which begins its topics and frames."""

    def __init__(self, messages: Ros2Messages, role: str = "ego_vehicle") -> None:
        self.topic, self.role, self._messages = f"/carla/{role}", role, messages
        self._before: tuple[float, np.ndarray, np.ndarray] | None = None  # time, pose and velocity at the last tick

    def of(self, view: VehicleView) -> Iterator[Entry]:
        """Yield what there is to say at a tick."""
        make, topic, role = self._messages, self.topic, self.role
        velocity, turn, acceleration = self._motion(view)
        pose = make.new("geometry_msgs/PoseWithCovariance", pose=make.pose(view.pose))
        twist = make.new("geometry_msgs/Twist", linear=make.vector(velocity), angular=make.vector((0.0, 0.0, turn)))
        yield self._entry(
            f"{topic}/odometry",
            "nav_msgs/Odometry",
            header=make.header(view.time, "map"),
            child_frame_id=role,
            pose=pose,
            twist=make.new("geometry_msgs/TwistWithCovariance", twist=twist),
        )
        yield self._entry(f"{topic}/speedometer", "std_msgs/Float32", data=view.speed)
        header = make.header(view.time, role)
        yield self._entry(
            f"{topic}/vehicle_status",
            "carla_msgs/CarlaEgoVehicleStatus",
            header=header,
            velocity=view.speed,
            acceleration=make.new("geometry_msgs/Accel", linear=make.vector(acceleration)),
            orientation=pose.pose.orientation,
            control=make.new("carla_msgs/CarlaEgoVehicleControl", header=header, **view.control),
        )
        kind = "tf2_msgs/TFMessage"
        yield "/tf", kind, lambda: make.new(kind, transforms=self._transforms(view))
        for camera in view.cameras:
            yield from self._camera(camera, make.header(view.time, f"{role}/rgb_{camera.name}"))
        yield f"{topic}/lidar", "sensor_msgs/PointCloud2", lambda: self._cloud(view)

    def _entry(self, topic: str, kind: str, **given: Any) -> Entry:
        return topic, kind, partial(self._messages.new, kind, **given)

    def _motion(self, view: VehicleView) -> tuple[np.ndarray, float, np.ndarray]:
        """Return velocity (m/s), rate of turn (rad/s) and acceleration (m/s^2) since the last tick, vehicle's axes."""
        velocity, turn, acceleration = np.array([view.speed, 0.0, 0.0]), 0.0, np.zeros(3)
        if self._before is not None:
            seconds = max(view.time - self._before[0], 1e-6)
            moved = Rotation.from_matrix(self._before[1][:3, :3].T @ view.pose[:3, :3])
            turn, acceleration = float(moved.as_rotvec()[2]) / seconds, (velocity - self._before[2]) / seconds
        self._before = view.time, view.pose, velocity
        return velocity, turn, acceleration

    def _transforms(self, view: VehicleView) -> list[Message]:
        make, role = self._messages, self.role
        lidar, to_vehicle = np.eye(4), np.linalg.inv(view.pose)
        lidar[:3, 3] = MOUNT
        transforms = [("map", role, view.pose), (role, f"{role}/lidar", lidar)]
        transforms += [(role, f"{role}/rgb_{each.name}", to_vehicle @ each.pose) for each in view.cameras]
        stamped = []
        for parent, child, pose in transforms:
            place, turn = make.vector(pose[:3, 3]), make.quaternion(pose)
            moved = make.new("geometry_msgs/Transform", translation=place, rotation=turn)
            header = make.header(view.time, parent)
            stamped.append(
                make.new("geometry_msgs/TransformStamped", header=header, child_frame_id=child, transform=moved)
            )
        return stamped

    def _camera(self, camera: CameraView, header: Message) -> Iterator[Entry]:
        make = self._messages
        shape = {"header": header, "width": camera.size[0], "height": camera.size[1]}

        def image_of(encoding: str, pixels: Callable[[], np.ndarray]) -> Message:
            data = np.frombuffer(pixels().tobytes(), np.uint8)
            step = data.size // camera.size[1]
            return make.new("sensor_msgs/Image", **shape, encoding=encoding, step=step, data=data)

        info = shape | {"distortion_model": "plumb_bob", "d": np.zeros(5), "k": camera.intrinsics.ravel()}
        info |= {"r": np.eye(3).ravel(), "p": np.pad(camera.intrinsics, ((0, 0), (0, 1))).ravel()}
        for kind, source in camera.images.items():
            topic = f"{self.topic}/{kind}_{camera.name}"
            yield f"{topic}/image", "sensor_msgs/Image", partial(image_of, *source)
            yield self._entry(f"{topic}/camera_info", "sensor_msgs/CameraInfo", **info)
        kind = "sensor_msgs/CompressedImage"
        yield (
            f"{self.topic}/rgb_{camera.name}/image/compressed",
            kind,
            lambda: make.new(
                kind, header=header, format="bgr8; jpeg compressed bgr8", data=np.frombuffer(camera.jpeg(), np.uint8)
            ),
        )

    def _cloud(self, view: VehicleView) -> Message:
        make, sweep = self._messages, view.sweep()
        points = np.zeros(len(sweep), _POINT)
        for k, name in enumerate("xyz"):
            points[name] = sweep[:, k] - MOUNT[k]
        points["intensity"] = sweep[:, 3]
        return make.new(
            "sensor_msgs/PointCloud2",
            header=make.header(view.time, f"{self.role}/lidar"),
            height=1,
            width=len(points),
            fields=[
                make.new("sensor_msgs/PointField", name=name, offset=4 * k, datatype=_FLOAT32, count=1)
                for k, name in enumerate(_POINT.names or ())
            ],
            point_step=_POINT.itemsize,
            row_step=points.nbytes,
            data=np.frombuffer(points.tobytes(), np.uint8),
            is_dense=True,
        )
