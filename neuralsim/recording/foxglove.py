"""Foxglove's message schemas, as protobuf classes and as the descriptors that go into an MCAP file.

Field names, types and numbers are those of https://github.com/foxglove/foxglove-sdk (schemas/proto/foxglove); only the
messages that a recording holds are here. CARLA's axes are left-handed (x forward, y right, z up), Foxglove's
right-handed: y changes its sign on the way in and on the way out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import DecodeError

_Kind = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _Kind.TYPE_DOUBLE,
    "fixed32": _Kind.TYPE_FIXED32,
    "string": _Kind.TYPE_STRING,
    "bytes": _Kind.TYPE_BYTES,
}
_TIME = ("timestamp", 1, ".google.protobuf.Timestamp")

#: Message -> its fields: name, number, type; ``*`` marks repeated ones. A message comes after those that it is made of.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Vector3": (("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double")),
    "Quaternion": (("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double"), ("w", 4, "double")),
    "Pose": (("position", 1, ".foxglove.Vector3"), ("orientation", 2, ".foxglove.Quaternion")),
    "PoseInFrame": (_TIME, ("frame_id", 2, "string"), ("pose", 3, ".foxglove.Pose")),
    "FrameTransform": (
        _TIME,
        ("parent_frame_id", 2, "string"),
        ("child_frame_id", 3, "string"),
        ("translation", 4, ".foxglove.Vector3"),
        ("rotation", 5, ".foxglove.Quaternion"),
    ),
    "CompressedImage": (_TIME, ("data", 2, "bytes"), ("format", 3, "string"), ("frame_id", 4, "string")),
    "RawImage": (
        _TIME,
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("encoding", 4, "string"),
        ("step", 5, "fixed32"),
        ("data", 6, "bytes"),
        ("frame_id", 7, "string"),
    ),
    "CameraCalibration": (
        _TIME,
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("distortion_model", 4, "string"),
        ("D", 5, "double*"),
        ("K", 6, "double*"),
        ("R", 7, "double*"),
        ("P", 8, "double*"),
        ("frame_id", 9, "string"),
    ),
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="foxglove/recording.proto",
        package="foxglove",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            label = _Kind.LABEL_REPEATED if kind.endswith("*") else _Kind.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, label=label)
            if kind.startswith("."):
                made.type, made.type_name = _Kind.TYPE_MESSAGE, kind
            else:
                made.type = _SCALARS[kind.rstrip("*")]
    return file


_FILE = _file()
_POOL = descriptor_pool.DescriptorPool()
_TIMESTAMP = descriptor_pb2.FileDescriptorProto()
timestamp_pb2.DESCRIPTOR.CopyToProto(_TIMESTAMP)
_POOL.Add(_TIMESTAMP)
_POOL.Add(_FILE)


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"foxglove.{name}"))


CompressedImage = _class("CompressedImage")
RawImage = _class("RawImage")
CameraCalibration = _class("CameraCalibration")
FrameTransform = _class("FrameTransform")
PoseInFrame = _class("PoseInFrame")


def parsed(kind: Any, topic: str, data: bytes) -> Any:
    """A message of one of these classes. Raises ``ValueError``, one line, for what is none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise ValueError(f"{topic}: not a {kind.DESCRIPTOR.full_name}") from None


def descriptors() -> bytes:
    """The ``FileDescriptorSet`` that an MCAP schema record with encoding ``protobuf`` holds."""
    return descriptor_pb2.FileDescriptorSet(file=[_TIMESTAMP, _FILE]).SerializeToString()


def right_handed(pose: np.ndarray) -> np.ndarray:
    """A pose f64 (4, 4) from CARLA's axes to right-handed ones, or back: y changes its sign."""
    flip = np.array([1.0, -1.0, 1.0, 1.0])
    return pose * flip[:, None] * flip[None, :]


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of a rotation matrix f64 (3, 3) (Shepperd's method: the largest component first)."""
    m = rotation
    squares = np.array(
        [
            1.0 + m[0, 0] - m[1, 1] - m[2, 2],
            1.0 - m[0, 0] + m[1, 1] - m[2, 2],
            1.0 - m[0, 0] - m[1, 1] + m[2, 2],
            1.0 + m[0, 0] + m[1, 1] + m[2, 2],
        ]
    )
    k = int(squares.argmax())
    q = np.empty(4)
    if k == 3:
        q[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]
    else:
        i, j = (k + 1) % 3, (k + 2) % 3
        q[k], q[i], q[j], q[3] = squares[k], m[i, k] + m[k, i], m[k, j] + m[j, k], m[j, i] - m[i, j]
    q /= np.linalg.norm(q)
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def matrix(translation: Any, rotation: Any) -> np.ndarray:
    """f64 (4, 4) of a Vector3 and a Quaternion message."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), translation.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), translation.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), translation.z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
